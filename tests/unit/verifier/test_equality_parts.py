"""The parts that equality is made of: dressing, letters and brackets, each by itself."""

import pytest

from glow.verifier.equality import bracket_sequence
from glow.verifier.equality.choices import choice_letter
from glow.verifier.equality.typography import normalise, unwrap

# --- dressing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        (r"\text{even}.", "even"),
        (r"$\textbf{(C)}$", "(C)"),
        ("**4**", "4"),
        (r"\( x + 1 \)", "x + 1"),
        ('"neither"', "neither"),
        ("x", "x"),
        ("12\\", "12"),
        (r"\boxed{7}", "7"),
        (r"\underline{7}", "7"),
        (r"\text{a}\text{b}", r"\text{a}\text{b}"),
    ],
)
def test_unwrap(text: str, bare: str) -> None:
    assert unwrap(text) == bare


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\dfrac{\pi}{2})"),
        (r"10\,000", "10000"),
        ("10\u2009000", "10000"),
        (r"12^{\circ}", r"12^\circ"),
        (r"1{,}000", "1,000"),
        (r"1011_{2}", "1011_2"),
        (r"20 \%", "20%"),
        (r"2 \pi r", r"2\pi r"),
    ],
)
def test_typography_makes_no_difference(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("3 4", "34"), ("(1,2)", "[1,2]"), ("-5", "5"), ("X", "x"), ("1,2", "2,1"), (r"\pi r", r"\pir")],
)
def test_what_normalising_keeps_apart(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


# --- letters and brackets -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "C",
        "(C)",
        "C.",
        r"\text{C}",
        r"\textbf{(C)}",
        r"$\text{(C)}$",
        "[C]",
        "C)",
        "Option C",
        "Answer: (C)",
        "The correct answer is (C)",
    ],
)
def test_a_letter_in_any_dress(text: str) -> None:
    assert choice_letter(text) == "C"


@pytest.mark.parametrize("text", ["CD", "5", "", "(C) ellipse", "C + D", "optional"])
def test_no_letter(text: str) -> None:
    assert choice_letter(text) is None


@pytest.mark.parametrize("text", ["] ) }", "])}", r"\text{] ) }}", r"$]\ )\ \}$", r"\texttt{] ) \}}"])
def test_rows_of_brackets(text: str) -> None:
    assert bracket_sequence(text) == "])}"


def test_angle_brackets_have_macros() -> None:
    assert bracket_sequence(r"\rangle > \langle") == ">><"
    assert bracket_sequence("(1)") is None
