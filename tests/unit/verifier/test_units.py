"""Units by what they measure; words and products of letters that share their names are none."""

from fractions import Fraction

import pytest

from glow.verifier.grammar.tree import Unit
from glow.verifier.grammar.units import read_unit

LENGTH, AREA, VOLUME, TIME = "meter^1", "meter^2", "meter^3", "second^1"
SPEED, ENERGY = "meter^1 second^-1", "kilogram^1 meter^2 second^-2"


@pytest.mark.parametrize(
    ("phrase", "dimension", "factor"),
    [
        ("m", LENGTH, Fraction(1)), ("cm", LENGTH, Fraction(1, 100)), ("kilometers", LENGTH, Fraction(1000)),
        ("Meters", LENGTH, Fraction(1)), ("in", LENGTH, Fraction(254, 10000)),
        ("feet", LENGTH, Fraction(3048, 10000)), ("cm^2", AREA, Fraction(1, 10000)),
        ("square inches", AREA, Fraction(254, 10000) ** 2), ("sq. ft", AREA, Fraction(3048, 10000) ** 2),
        ("meters squared", AREA, Fraction(1)), ("ft^3", VOLUME, Fraction(3048, 10000) ** 3),
        ("mL", VOLUME, Fraction(1, 10**6)), ("liters", VOLUME, Fraction(1, 1000)),
        ("hours", TIME, Fraction(3600)), ("Hours", TIME, Fraction(3600)), ("day", TIME, Fraction(86400)),
        ("min", TIME, Fraction(60)), ("km/h", SPEED, Fraction(5, 18)),
        ("miles per hour", SPEED, Fraction(1397, 3125)), ("mph", SPEED, Fraction(1397, 3125)),
        ("m s^-1", SPEED, Fraction(1)), ("m/s^2", "meter^1 second^-2", Fraction(1)),
        ("kg m^2/s^2", ENERGY, Fraction(1)), ("kg (m/s)^2", ENERGY, Fraction(1)),
        ("kg m^2 s^(-2)", ENERGY, Fraction(1)), ("kJ", ENERGY, Fraction(1000)),
        ("kWh", ENERGY, Fraction(3_600_000)), ("dollars", "dollar^1", Fraction(1)),
        ("$", "dollar^1", Fraction(1)), ("cents", "dollar^1", Fraction(1, 100)), ("€", "euro^1", Fraction(1)),
        ("degrees", "degree", Fraction(1)), ("rad", "radian", Fraction(1)),
    ],
)  # fmt: skip
def test_units(phrase: str, dimension: str, factor: Fraction) -> None:
    assert read_unit(phrase) == Unit(dimension, factor)


def test_temperatures_have_an_offset() -> None:
    assert read_unit("degC") == Unit("kelvin^1", Fraction(1), Fraction(27315, 100))
    fahrenheit = read_unit("degF")
    assert fahrenheit is not None
    assert 212 * fahrenheit.factor + fahrenheit.offset == Fraction(37315, 100)


@pytest.mark.parametrize(
    "phrase",
    [
        "", "apples", "apples per hour", "cats", "ab", "abc", "x", "points", "pixels", "square", "per",
        "times", "people", "5", "3 m", "/h", "m/", "m^", "%", "__import__('os')", "m" * 100,
        "cm^9^9^9", "cm^2^999999", "cm^9^(9)^9", "cm**9**9**9", "m ((((km^9)^9)^9)^9)^9", "cm 9^9^9",
    ],
)  # fmt: skip
def test_other_words_are_no_units(phrase: str) -> None:
    assert read_unit(phrase) is None
