"""WorkedProblem families: answers are right, draws are reproducible, fresh and disjoint from pretraining."""

import random
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from glow.config import Pretrain
from glow.errors import UserError
from glow.experiment import load
from glow.files.records import problem_id
from glow.miniature import families
from glow.miniature.corpus import STYLES, Corpus, draw_document
from glow.miniature.families import BRIEF_CUE, FAMILIES, as_choice, draw_problems
from glow.miniature.family import Family, reserved_for_pretraining

MINIATURE = Path(__file__).resolve().parents[3] / "config" / "miniature.yaml"

# Answers worked out by hand.
BY_HAND = [
    ("sums", "Eve asks: 12+3, 4*3, 17-5. Say the last.", "12"),
    ("ledger", "Ben has 17 pens: p-4, q+5, r-1. How many pens now?", "17"),
    ("ledger", "Ben has 6 pens: p-2, q*3, r+5. How many pens now?", "17"),
    ("substitution", "Let a = 13, b = a+5, c = a-8, d = b-9. Find d.", "9"),
    ("errands", "Ann with 7 keys loses 2 then finds 4 then gives 3. What is left?", "6"),
    ("turns", "From 10 by turns p-3, q+5. Value after 3 turns?", "9"),
    ("reversal", "Write 18632 backwards.", "23681"),
    ("sorting", "Sort 78596 upwards.", "56789"),
    ("filtering", "Keep what is above 5 in 39718.", "978"),
    ("filtering", "Keep what is below 5 in 39718.", "31"),
    ("decoding", "Key b:5, k:1, h:8, j:6. Decode h b b j.", "8556"),
    ("counting", "How many boxes hold pens: p nuts, q pens, r nuts, s pens, t hats?", "2"),
    ("membership", "Set P 632, set Q 421. What is in both?", "2"),
    ("boolean", "Start with true, p and false, q xor true, r or false. Result?", "true"),
    ("boolean", "Start with false, p or true, q and true, r xor true. Result?", "false"),
    ("brackets", "Name the last open bracket: [ ( ) < >", "square"),
    ("brackets", "Name the last open bracket: < [ ( )", "square"),
    ("ordering", "Say Dan over Fay, Dan under Cid. Who is second?", "Dan"),
    ("ordering", "Say Eve under Hal, Gus over Hal, Ann over Gus. Who is bottom?", "Eve"),
    ("calendar", "It is Thursday: p+3, q-1, r+2 days. Which day?", "Monday"),
    ("navigation", "Facing north turn p left, q right, r back, s left. Facing where?", "east"),
    ("links", "Links m to d, v to f, d to v. From m go 3 links. Where?", "f"),
]


@pytest.mark.parametrize(("name", "question", "answer"), BY_HAND)
def test_the_checker_agrees_with_answers_worked_out_by_hand(name: str, question: str, answer: str) -> None:
    assert FAMILIES[name].solve(question) == answer
    assert FAMILIES[name].check(question, f" {answer} ")
    assert not FAMILIES[name].check(question, answer + "1")


def test_every_family_has_an_answer_worked_out_by_hand() -> None:
    assert {name for name, _, _ in BY_HAND} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
@given(seed=st.integers(0, 2**32))
def test_drawn_problems_are_right(family: Family, seed: int) -> None:
    problem = family.sample(random.Random(seed))
    assert family.solve(problem.question) == problem.answer
    assert problem.solution.endswith(f"\\boxed{{{problem.answer}}}")
    assert family.options is None or problem.answer in family.options


@pytest.mark.parametrize("name", ["sums", "ledger", "substitution", "errands", "turns"])
def test_every_step_of_an_arithmetic_solution_is_right(name: str) -> None:
    rng = random.Random(name)
    for _ in range(200):
        solution = FAMILIES[name].sample(rng).solution
        steps = re.findall(r"(\d+)([+*-])(\d+) ?= ?(\d+)", solution)
        assert len(steps) >= 2
        for left, sign, right, result in steps:
            expected = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}
            assert expected[sign] == int(result)


def test_a_question_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match="not of the form"):
        FAMILIES["ledger"].solve("Write 18632 backwards.")


def test_a_draw_is_shared_out_evenly_reproducible_and_free_of_repeats() -> None:
    names = ["ledger", "reversal", "boolean"]
    first, overlaps = draw_problems(names, 100, seed=3)
    assert draw_problems(names, 100, seed=3) == (first, 0) and overlaps == 0
    assert [sum(row["family"] == name for row in first) for name in names] == [34, 33, 33]
    assert len({row["question"] for row in first}) == len({row["problem_id"] for row in first}) == 100
    assert draw_problems(names, 100, seed=4)[0] != first
    assert first[0] == {
        "problem_id": problem_id("miniature/ledger", first[0]["question"]),
        "source": "miniature/ledger",
        "family": "ledger",
        "question": first[0]["question"],
        "answer": FAMILIES["ledger"].solve(first[0]["question"]),
        "format": "boxed",
        "solution": first[0]["solution"],
    }


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert (
        draw_problems(["links", "turns"], 40, seed=0)[0][:20]
        == draw_problems(["links", "turns"], 20, seed=0)[0]
    )


def test_excluded_questions_are_skipped_and_counted() -> None:
    taken, _ = draw_problems(["calendar"], 50, seed=0)
    questions = [row["question"] for row in taken]
    fresh, overlaps = draw_problems(["calendar"], 50, seed=0, exclude_questions=questions)
    assert overlaps == 50
    assert not {row["question"] for row in fresh} & set(questions)
    # A multiple-choice problem excludes the question that it was made from.
    choices = [as_choice(row, random.Random(0))["question"] for row in taken]
    assert draw_problems(["calendar"], 50, seed=0, exclude_questions=choices) == (fresh, 50)


def corpus_of(settings: Pretrain) -> Corpus:
    """The corpus of the first phase."""
    return Corpus(settings, *next(iter(settings.phases.items())))


def test_an_unknown_family_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'legder' is unknown; did you mean 'ledger'\?"):
        draw_problems(["legder"], 1, seed=0)


def test_a_family_that_is_used_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(rng: random.Random, steps: int) -> str:
        return f"question {rng.randrange(16)}"

    small = Family(
        "small", "sixteen questions", (1, 1), draw, lambda *_: None, lambda *_: "1", lambda question: "1"
    )
    monkeypatch.setitem(families.FAMILIES, "small", small)
    left = sum(not reserved_for_pretraining(f"question {number}") for number in range(16))
    assert 0 < left < 16
    assert len(draw_problems(["small"], left, seed=0)[0]) == left
    with pytest.raises(UserError, match=f"only about {left} problems left, but {left + 1} are asked for"):
        draw_problems(["small"], left + 1, seed=0)


def test_pretraining_and_problems_share_no_question() -> None:
    names = list(FAMILIES)
    problems = {row["question"] for row in draw_problems(names, 800, seed=0)[0]}
    corpus = corpus_of(Pretrain(role="base", families=names, bare_share=0.5))
    seen = {question.removesuffix(BRIEF_CUE) for question, _ in islice(corpus.documents(0), 800)}
    assert len(seen) > 700
    assert not any(map(reserved_for_pretraining, problems))
    assert all(map(reserved_for_pretraining, seen))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
@pytest.mark.parametrize("style", STYLES)
def test_the_corpus_holds_right_answers_only(family: Family, style: str) -> None:
    rng = random.Random(0)
    for _ in range(50):
        question, response = draw_document(family, style, rng)
        boxed = re.search(r"\\boxed\{(.+)\}$", response)
        assert (boxed is None) == (style == "bare") == question.endswith(BRIEF_CUE)
        assert family.check(question.removesuffix(BRIEF_CUE), boxed[1] if boxed else response)


def test_the_corpus_is_mixed_as_the_settings_say() -> None:
    corpus = corpus_of(
        Pretrain(
            role="base",
            families={"one": ["links"], "other": ["ledger"], "none": ["boolean"]},
            phases={"all": {"steps": 1, "shares": {"one": 0.4, "other": 0.1}}},
            bare_share=0.3,
        )
    )
    documents = list(islice(corpus.documents(7), 4000))
    assert documents == list(islice(corpus.documents(7), 4000)) != list(islice(corpus.documents(8), 4000))
    other = sum(" has " in question for question, _ in documents) / 4000
    absent = sum(question.startswith("Start") for question, _ in documents)
    bare = sum("boxed" not in response for _, response in documents) / 4000
    # Five standard deviations of a share of 4000 are at most 0.04.
    assert (other, absent, bare) == pytest.approx((0.2, 0, 0.3), abs=0.04)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_multiple_choice_has_one_right_answer(name: str) -> None:
    rng = random.Random(0)
    letters = set()
    for row in draw_problems([name], 40, seed=0)[0]:
        made = as_choice(row, rng)
        assert made["format"] == "choice" and made["question"] == row["question"] + BRIEF_CUE
        assert made["choices"]["ABCD".index(made["answer"])] == row["answer"]
        assert sum(FAMILIES[name].check(row["question"], choice) for choice in made["choices"]) == 1
        assert 2 <= len(set(made["choices"])) == len(made["choices"]) <= 4
        assert made["problem_id"] == problem_id(
            row["source"], made["question"] + "\n" + "\n".join(made["choices"])
        )
        letters.add(made["answer"])
    assert {"A", "B"} <= letters


def test_the_configuration_refuses_an_unknown_family_by_its_key() -> None:
    document = yaml.safe_load(MINIATURE.read_text())
    document["suites"]["arithmetic"]["families"] = ["ledger", "revrsal"]
    pretrain = document["student"]["pretrain"]  # its families are an anchor, which the teacher shares
    pretrain["families"] = pretrain["families"] | {"near": ["link"]}
    with pytest.raises(UserError) as error:
        load(document, "c.yaml")
    assert str(error.value).splitlines() == [
        "c.yaml: student.pretrain.families.near: 'link' is unknown; did you mean 'links'?",
        "c.yaml: suites.arithmetic.families: 'revrsal' is unknown; did you mean 'reversal'?",
    ]


def test_the_register_loads_no_deep_learning_library() -> None:
    code = "import glow.miniature.families, sys; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
