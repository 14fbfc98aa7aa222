"""The parts that equality is made of: dressing, units, letters, numbers and brackets, each by itself."""

from fractions import Fraction

import pytest

from glow.verifier.equality import (
    bracket_sequence,
)
from glow.verifier.equality.choices import choice_letter
from glow.verifier.equality.numbers import numbers, read_number, without_unit
from glow.verifier.equality.typography import normalise, respell, unwrap
from glow.verifier.equality.units import read_unit

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


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("\u22125", "-5"),
        ("2 1/2", r"2\frac{1}{2}"),
        (r"\varnothing", r"\emptyset "),
        (r"\{\}", r"\emptyset "),
        (r"x \leqslant 2", r"x \le  2"),
        (r"7,654\pi", r"7654\pi"),
        (r"-7,654\sqrt{2}", r"-7654\sqrt{2}"),
        (r"(7,654\pi)", r"(7,654\pi)"),
        ("]1,2[", "(1,2)"),
        ("2.5e3", r"2.5 \times 10^{3}"),
        ("√3", r"\sqrt{3}"),
        (r"\frac \pi 4", r"\frac{\pi}{4}"),
        (r"\text{2.5e3}", r"2.5 \times 10^{3}"),
        ("$125$ miles", " 125 miles"),
        ("1" + 9 * " " + "2", "1 2"),
        (r"\langle 1,2 \rangle", "( 1,2 )"),
        (r"6, 8\text{, and }10", r"6, 8, \text{ and }10"),
    ],
)
def test_one_spelling_for_what_has_many(text: str, spelt: str) -> None:
    assert respell(text) == spelt


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        (r"6\sqrt{2}\text{ cm}", r"6\sqrt{2}"),
        (r"36\pi square inches", r"36\pi"),
        (r"4\pi\text{ widgets}", r"4\pi"),
        (r"3\text{ or }5", r"3\text{ or }5"),
        (r"7\text{ million}", r"7\text{ million}"),
        (r"9.4\ \mathrm{kg\,m^{-3}}", "9.4"),
        (r"4 \mathrm{~km} \mathrm{~s}^{-1}", "4"),
        (r"2\pi\ \text{eV}", r"2\pi"),
        (r"9\text{J}", "9"),
        (r"A\text{B}", r"A\text{B}"),
        (r"x\text{}", r"x\text{}"),
        ("3ab", "3ab"),
        (r"\text{odd}", r"\text{odd}"),
    ],
)
def test_without_unit(text: str, bare: str) -> None:
    assert without_unit(text) == bare


@pytest.mark.parametrize(
    ("name", "dimension", "power", "factor"),
    [
        ("cm", "length", 1, Fraction(1, 100)),
        ("square inches", "length", 2, Fraction(254, 10000) ** 2),
        ("ft^3", "length", 3, Fraction(3048, 10000) ** 3),
        ("€", "euros", 1, Fraction(1)),
        ("Hours", "time", 1, Fraction(3600)),
        ("km/h", "length1/time1", 1, Fraction(5, 18)),
        ("miles per hour", "length1/time1", 1, Fraction(1397, 3125)),
        ("mph", "length1/time1", 1, Fraction(1397, 3125)),
    ],
)
def test_units(name: str, dimension: str, power: int, factor: Fraction) -> None:
    assert read_unit(name) == (dimension, power, factor)


def test_other_words_are_no_units() -> None:
    assert read_unit("apples") is None
    assert read_unit("apples per hour") is None


# --- letters, numbers, brackets -------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-1,234.50", Fraction(-2469, 2)),
        (".5", Fraction(1, 2)),
        ("$5", Fraction(5)),
        ("€5", Fraction(5)),
        (r"-\frac{3}{4}", Fraction(-3, 4)),
        (r"\frac34", Fraction(3, 4)),
        ("3/4", Fraction(3, 4)),
        (r"2\frac{1}{2}", Fraction(5, 2)),
        (r"-2\frac{1}{2}", Fraction(-5, 2)),
        (r"\frac{2469}{20,000}", Fraction(2469, 20000)),
        ("20%", Fraction(20)),
        ("0,125", Fraction(1, 8)),
        (r"-1.5\times10^{3}", Fraction(-1500)),
        (r"2\cdot10^{-3}", Fraction(1, 500)),
        ("10^{4}", Fraction(10_000)),
        ("2.5e-3", Fraction(1, 400)),
        (r"0.1\overline{6}", Fraction(1, 6)),
    ],
)
def test_numbers_are_read_exactly(text: str, value: Fraction) -> None:
    number = read_number(text)
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize(
    ("stated", "gold", "near"),
    [
        # Of a gold below 0.1, a thousandth of the gold: 0.00005 of 0.05.
        ("0.05005", "0.05", True),
        ("0.050051", "0.05", False),
        ("-0.05005", "-0.05", True),
        ("-0.050051", "-0.05", False),
        ("0.04995", "0.05", True),  # of the stated answer it would be 0.00004995
        ("0.05", "0.04995", False),
        ("0.0000001", "0", False),
        # Up to 1, less than 0.0001; beyond, less than 0.0001 of the gold: 0.002 of 20.
        ("0.50009", "0.5", True),
        ("0.5001", "0.5", False),
        ("20.0019", "20", True),
        ("20.002", "20", False),
        ("-20.0019", "-20", True),
        ("20.00", "20.002", True),  # of the stated answer it would be 0.002
        # A percentage in both its readings.
        ("5.005%", "0.05", True),
        ("5.0051%", "0.05", False),
    ],
)
def test_how_near_a_rounded_number_may_be(stated: str, gold: str, near: bool) -> None:
    """What is near enough to be rounded is left to math-verify; what is not is different."""
    assert numbers(stated, gold) == (None if near else (False, "different numbers"))


@pytest.mark.parametrize(
    "text", ["", "x", "1,2", "0,1", r"\frac{1}{0}", "1/0", "12,34", "1.2.3", "9" * 65, "e5", r"\times10^2"]
)
def test_what_is_no_plain_number(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize("text", ["] ) }", "])}", r"\text{] ) }}", r"$]\ )\ \}$", r"\texttt{] ) \}}"])
def test_rows_of_brackets(text: str) -> None:
    assert bracket_sequence(text) == "])}"


def test_angle_brackets_have_macros() -> None:
    assert bracket_sequence(r"\rangle > \langle") == ">><"
    assert bracket_sequence("(1)") is None
