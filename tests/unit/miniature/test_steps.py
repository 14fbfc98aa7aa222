"""Steps of a response: which hold, and what the first slip is, on chains written by hand."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.miniature.families import FAMILIES
from glow.miniature.family import CLOSERS, OPENERS, STEP_MARK, Family
from glow.miniature.steps import SLIPS, Slip, read_chain

LEDGER = "Ben has 6 pens: p-2, q*3, r+5. How many pens now?"
ERRANDS = "Ann with 7 keys loses 2 then finds 4. What is left?"

# (question's family, question, steps, answer, which steps hold, slip)
BY_HAND: list[tuple[str, str, str, str | None, list[bool], Slip | None]] = [
    ("ledger", LEDGER, "p:6-2=4, q:4*3=12, r:12+5=17", "17", [True, True, True], None),
    ("ledger", LEDGER, "p:6-2=4, q:4*3=13, r:13+5=18", "18", [True, False, True], "calculation"),
    ("ledger", LEDGER, "p:6+2=8, q:8*3=24, r:24+5=29", "29", [False, True, True], "sign"),
    ("ledger", LEDGER, "p:6-3=3, q:3*3=9, r:9+5=14", "14", [False, True, True], "operand"),
    ("ledger", LEDGER, "p:6-2=4, q:4+5=9, r:9+5=14", "14", [True, False, True], "operation"),
    ("ledger", LEDGER, "p:6-2=4, q:6*3=18, r:18+5=23", "23", [True, False, True], "carried"),
    ("ledger", LEDGER, "p:6-2=4, r:4+5=9", "9", [True, False], "label"),
    ("ledger", LEDGER, "p:6-2=4, q:4*3=12", "12", [True, True], "early"),
    ("ledger", LEDGER, "p:6-2=4, q:4*3=12, r:12+5=17, s:17+1=18", "18", [True, True, True, False], "late"),
    ("ledger", LEDGER, "p:6-2=4, q:4*3=12, r:12+5=17", "12", [True, True, True], "answer"),
    ("ledger", LEDGER, "p:6-2=4, q:4*3=12, r:12+5=17", None, [True, True, True], "answer"),
    ("ledger", LEDGER, "p:6-2=4, q 12, r:12+5=17", "17", [True, False, False], "form"),
    ("ledger", LEDGER, "", "17", [], "early"),
    ("errands", ERRANDS, "loses:7-2=5, finds:5+4=9", "9", [True, True], None),
    ("errands", ERRANDS, "loses:7-2=5, finds:5-4=1", "1", [True, False], "sign"),
    ("sorting", "Sort 3142 upwards.", "1:342, 2:34, 3:4, 4:none", "1234", [True] * 4, None),
    ("sorting", "Sort 3142 upwards.", "1:342, 3:42, 2:4, 4:none", "1324", [True, False, True, True], "step"),
    ("boolean", "Start with true, p and false, q or true. Result?", "p and false is true, q or true is true",
     "true", [False, True], "step"),
]  # fmt: skip


def response(steps: str, answer: str | None) -> str:
    stated = "" if answer is None else f" \\boxed{{{answer}}}"
    return f"{OPENERS[0]} {steps}. {CLOSERS[0]}{stated}" if steps else stated


@pytest.mark.parametrize(("name", "question", "steps", "answer", "valid", "slip"), BY_HAND)
def test_chains_written_by_hand(
    name: str, question: str, steps: str, answer: str | None, valid: list[bool], slip: Slip | None
) -> None:
    chain = read_chain(FAMILIES[name], question, response(steps, answer), answer)
    assert chain.steps == tuple(steps.split(STEP_MARK) if steps else ())
    assert (list(chain.valid), chain.slip) == (valid, slip)
    place = valid.index(False) if False in valid else len(valid)
    assert chain.first == (None if slip is None else place)


def test_every_slip_has_a_chain_written_by_hand() -> None:
    assert {slip for *_, slip in BY_HAND} == {None, *SLIPS}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
@given(seed=st.integers(0, 2**32))
def test_worked_solutions_have_no_slip(family: Family, seed: int) -> None:
    problem = family.sample(random.Random(seed))
    chain = read_chain(family, problem.question, problem.solution, problem.answer)
    assert chain.slip is None and all(chain.valid) and chain.steps


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
@given(data=st.data())
def test_any_text_can_be_read(family: Family, data: st.DataObject) -> None:
    """Steps in any order, twice, cut anywhere or made of anything: a judgement comes of it, and no crash."""
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    problem, other = family.sample(rng), family.sample(rng)
    pieces = [*family.worked_steps(problem.question), *family.worked_steps(other.question)]
    texts = st.one_of(st.sampled_from(pieces), st.text(max_size=12))
    steps = data.draw(st.lists(texts, max_size=9))
    text = response(STEP_MARK.join(steps), data.draw(st.sampled_from(["1", problem.answer])))
    cut = data.draw(st.integers(0, len(text)))
    chain = read_chain(family, problem.question, text[:cut], None)
    assert len(chain.steps) == len(chain.valid)
    assert (chain.slip is None) == (chain.first is None)


def test_a_question_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match="not of the form"):
        read_chain(FAMILIES["ledger"], "Sort 3142 upwards.", "", None)
