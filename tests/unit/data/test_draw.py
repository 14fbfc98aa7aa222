"""Draws that hold few problems: they are those of a list of all."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.data import draw as drawing
from glow.data.draw import Draw, drawn
from glow.data.problem_rows import problem
from glow.files.hashing import keyed_order
from glow.files.records import Problem

ROWS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("aaab")), max_size=120)


def problems(rows: list[tuple[int, str]]) -> list[Problem]:
    return [problem("source", f"question {number}", answer) for number, answer in rows]


def by_hand(rows: list[Problem], wanted: int, seed: int) -> tuple[list[Problem], tuple[int, int, int]]:
    """The draw with everything at hand."""
    first: dict[str, Problem] = {}
    answers: dict[str, set[str]] = {}
    for row in rows:
        first.setdefault(row["problem_id"], row)
        answers.setdefault(row["problem_id"], set()).add(row["answer"])
    certain = [row for name, row in first.items() if len(answers[name]) == 1]
    counts = (len(rows) - len(first), len(first) - len(certain), len(certain))
    return keyed_order(certain, lambda row: row["problem_id"], seed)[:wanted], counts


@given(ROWS, st.integers(1, 12), st.integers(0, 3))
def test_a_draw_that_keeps_few_is_the_draw_from_all(
    rows: list[tuple[int, str]], wanted: int, seed: int
) -> None:
    found = problems(rows)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(drawing, "SPARE", 2)
        changed.setattr(drawing, "FEWEST", 1)
        draw = drawn(lambda: found, wanted, seed)
    assert (draw.problems(), draw.counts()) == by_hand(found, wanted, seed)


def test_few_are_held() -> None:
    draw = Draw(wanted=5, seed=1, kept=20)
    for row in problems([(number, "a") for number in range(5000)]):
        draw.add(row)
        assert len(draw._kept) <= 40
    assert draw.counts() == (0, 0, 5000)


def test_where_too_many_turn_out_disputed_the_rows_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 400 in the order of the seed have two answers: of these alone nothing can be drawn."""
    monkeypatch.setattr(drawing, "FEWEST", 100)
    found = problems([(number, "a") for number in range(1000)])
    order = keyed_order(found, lambda row: row["problem_id"], 7)
    again = [row | {"answer": "b"} for row in order[:400]]
    reads: Counter[str] = Counter()

    def rows() -> Iterator[Problem]:
        reads["times"] += 1
        yield from (*found, *again)

    draw = drawn(rows, 10, 7)
    assert draw.problems() == order[400:410]
    assert reads["times"] == 2
    assert draw.counts() == (400, 400, 600)


def test_no_rows_are_no_problems() -> None:
    draw = drawn(lambda: (), 3, 0)
    assert draw.problems() == []
    assert draw.counts() == (0, 0, 0)
