"""Sets of real numbers are the same in whatever way they are stated."""

import pytest

from glow.verifier.equality.regions import same_region
from glow.verifier.grammar import read
from glow.verifier.grammar.tree import Statement


def statement(text: str) -> Statement:
    return read(text).statements[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 < x < 2", "(1, 2)"), ("2 > x > 1", "(1, 2)"), ("1 < x < 2", "]1, 2["), ("x > 5", r"(5, \infty)"),
        ("x > 5", "5 < x"), (r"x < 1 \text{ or } x > 3", r"(-\infty, 1) \cup (3, \infty)"),
        ("x < 1, x > 3", r"(-\infty, 1) \cup (3, \infty)"), ("x > 1, x < 3", "(1, 3)"),
        (r"x < 1 \text{ and } x > 3", r"\emptyset"), ("x > 2 \\text{ or } x > 3", "x > 2"),
        (r"x \ne 2", r"(-\infty, 2) \cup (2, \infty)"), (r"\mathbb{R} \setminus \{2\}", r"x \ne 2"),
        (r"\{x : x > 2\}", r"(2, \infty)"), (r"\{x \mid 1 \le x < 2\}", "[1, 2)"),
        (r"\{x \in \mathbb{R} : x^2 < 4\}", "(-2, 2)"), (r"[1, 3) \cap (2, 5]", "(2, 3)"),
        (r"[1, 2] \cup [2, 3]", "[1, 3]"), (r"(0, 1) \cup \{1\}", "(0, 1]"), (r"x \in (1, 2)", "1 < x < 2"),
        (r"x \notin [1, 2]", r"x < 1 \text{ or } x > 2"), ("|x - 1| \\le 3", "[-2, 4]"),
        (r"\text{all real numbers}", r"(-\infty, \infty)"), (r"x > 0, x \in \mathbb{R}", r"(0, \infty)"),
        (r"0 < x < 1, x \ne \frac{1}{2}", r"(0, \frac{1}{2}) \cup (0.5, 1)"),
        (r"(-\infty, \sqrt{8})", r"x < 2\sqrt{2}"),
    ],
)  # fmt: skip
def test_the_same_set(one: str, other: str) -> None:
    assert same_region(statement(one), statement(other)) is True
    assert same_region(statement(other), statement(one)) is True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(1, 2)", "[1, 2)"), ("(1, 2)", "(1, 2]"), (r"x \ge 5", r"(5, \infty)"), ("x > 5", "x < 5"),
        ("x > 5", "y > 5"), (r"x^2 \le 4", "-2 < x < 2"), (r"[1, 2) \cup (2, 3]", "[1, 3]"),
        (r"\mathbb{R} \setminus \{2\}", r"\mathbb{R}"), ("(0, 10^{-7})", "(0, 10^{-8})"),
        (r"(-\infty, \sqrt{2})", r"(-\infty, 1.414213562)"), (r"\{1, 2\}", "[1, 2]"),
        (r"(-\infty, 1) \cup (3, 4)", r"(-\infty, 1) \cup (3, 5)"), 
        (r"(0, \infty)", r"(-\infty, 0)"), (r"x \ne 2", r"x \ne 3"),
        (r"x < 1 \text{ and } x > 3", r"x < 1 \text{ or } x > 3"), ("[0, 10^7]", "[0, 10^7+1]"),
    ],
)  # fmt: skip
def test_another_set(one: str, other: str) -> None:
    assert same_region(statement(one), statement(other)) is False
    assert same_region(statement(other), statement(one)) is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(a, b)", "(a, c)"),
        ("(-1, 1)", "(1, -1)"),
        ("x + y > 1", "x > 1"),
        ("5", "x > 5"),
        (r"\mathbb{Z}", r"\mathbb{R}"),
        (r"x \in \mathbb{R}, y \in \mathbb{R}", "[1, 2)"),
        (r"\frac{1}{2} \in f(x) = ax + b", r"(2, 3) \cup (4, \infty)"),
    ],
)
def test_what_is_not_found_out(one: str, other: str) -> None:
    assert same_region(statement(one), statement(other)) is None
