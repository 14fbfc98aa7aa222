r"""Values are compared exactly, or to many digits where they are irrational, and in bounded time."""

import pytest

from glow.verifier.equality.values import NoValueError, same_values, value
from glow.verifier.grammar import read
from glow.verifier.grammar.tree import Expression, Quantity


def expression(text: str) -> Expression:
    statement = read(text).statements[0]
    assert isinstance(statement, Quantity)
    return statement.value


def compared(one: str, other: str) -> bool | None:
    found = same_values(expression(one), expression(other))
    assert found == same_values(expression(other), expression(one))
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("99!", r"98! \cdot 99"), (r"\binom{5}{2}", "10"), (r"\binom{n+1}{2}", r"\frac{n(n+1)}{2}"),
        ("2^{-3}", "0.125"), (r"\sqrt{12}", r"2\sqrt{3}"), (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}"),
        ("(-8)^{1/3}", "-2"), (r"\sqrt[3]{-8}", "-2"), (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
        (r"\sin 30^\circ", r"\frac{1}{2}"), (r"e^{i\pi}", "-1"), ("(1+i)^2", "2i"), (r"\log 100", "2"),
        (r"\log_2 8", "3"), (r"\ln x^2", r"2\ln x"), (r"\lfloor -2.5 \rfloor", "-3"), (r"\gcd(12,18)", "6"),
        ("(x+y)^2", "x^2+2xy+y^2"), (r"\sqrt{x^2}", "|x|"), (r"\cos 2x", r"1-2\sin^2 x"),
        ("a^{-1}", r"\frac{1}{a}"), (r"\frac{x^2-1}{x-1}", "x+1"), (r"\cos\frac{\pi}{2}", "0"),
        (r"\sqrt{3-2\sqrt{2}}", r"\sqrt{2}-1"),
    ],
)  # fmt: skip
def test_equal_values(one: str, other: str) -> None:
    assert compared(one, other) is True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # What no floating-point number tells apart.
        ("1/2006!", "1/2004!"), ("1-2^{-99}", "1-2^{-100}"), ("2^{1000}", "2^{1000}+1"),
        ("2^{2^{20}}", "2^{2^{20}}+1"), (r"e^{\pi\sqrt{163}}", "262537412640768744"), ("0.1", "0.1+10^{-40}"),
        (r"\pi", r"\pi+10^{-40}"),
        # What is tiny is not zero, and not all that is tiny is the same.
        ("10^{-50}", "0"), ("10^{-60}", "10^{-61}"), ("e^{-200}", "0"), ("e^{-130}", "e^{-131}"),
        ("e^{-300}", "0"), (r"\frac{\pi}{100!}", r"\frac{1}{100!}"), ("xe^{-1000}", "2xe^{-1000}"),
        (r"\frac{x}{10^{60}}", r"\frac{x}{10^{61}}"),
        # Functions that agree at some points only.
        ("|x|", "x"), (r"\sqrt{x^2}", "x"), ("x^x", "x^2"), ("a^b", "b^a"), ("(x^y)^z", "x^{y^z}"),
        (r"\sin x", "x"), ("x^2", "x^3"), ("xy", "xz"), ("-x^2", "(-x)^2"), (r"\sin 2x", r"2\sin x"),
        ("1/2x", "1/(2x)"), (r"3+4i", "3-4i"),
    ],
)  # fmt: skip
def test_different_values(one: str, other: str) -> None:
    assert compared(one, other) is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2^{2^{25}}", "2^{2^{25}}+1"),
        ("(10^5)!", "(10^5)!+1"),
        ("9^{9^{9^9}}", "5"),
        ("1/0", "5"),
        ("(10^{9})!", "5"),
    ],
)
def test_what_is_too_large_or_has_no_value_is_not_decided(one: str, other: str) -> None:
    assert compared(one, other) is None


@pytest.mark.parametrize(
    "text", ["9^{9^{9}}", "(10^9)!", "1/0", "((10^3)!)!", r"\binom{10^9}{10^8}", "2^{-10^{9}}"]
)
def test_no_value(text: str) -> None:
    with pytest.raises(NoValueError):
        value(expression(text), {})


@pytest.mark.parametrize(
    ("decimal", "exact", "equal"),
    [
        # Six places at least, three of them significant: less is another number.
        ("0.333333", r"\frac{1}{3}", True), ("0.33333", r"\frac{1}{3}", False),
        ("0.000333", r"\frac{1}{3000}", True), ("0.000033", r"\frac{1}{30000}", False),
        ("3.141593", r"\pi", True), ("3.14159", r"\pi", False), ("-1.414214", r"-\sqrt{2}", True),
        ("1.414214", r"-\sqrt{2}", False),
        # Rounded or cut off in the last place; no further away than that.
        ("0.666667", r"\frac{2}{3}", True), ("0.666666", r"\frac{2}{3}", True),
        ("0.666668", r"\frac{2}{3}", False), ("0.666665", r"\frac{2}{3}", False),
        ("0.6666670", r"\frac{2}{3}", False),
        # What has an end must be written to it.
        ("0.500001", r"\frac{1}{2}", False), ("0.1234567", "0.1234568", False), ("2.000001", "2", False),
    ],
)  # fmt: skip
def test_how_a_decimal_may_stand_for_another_number(decimal: str, exact: str, equal: bool) -> None:
    assert compared(decimal, exact) is equal
