"""Numbers with units and money: what a unit says, and when it may be left out.

A closed table, so that a word after a number which is no unit known here counts as a description
(`5 apples`) and not as a part of the value. No conversion beyond fixed factors.
"""

import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """What is measured (with its power: area is length squared), and the factor to its basic unit."""

    dimension: str
    power: int
    factor: Fraction


def _table() -> dict[str, Unit]:
    inch = Fraction(254, 10000)
    entries: list[tuple[str, str, Fraction | int]] = [
        ("length", "mm millimeter millimeters millimetre millimetres", Fraction(1, 1000)),
        ("length", "cm centimeter centimeters centimetre centimetres", Fraction(1, 100)),
        ("length", "dm decimeter decimeters", Fraction(1, 10)),
        ("length", "m meter meters metre metres", 1),
        ("length", "km kilometer kilometers kilometre kilometres", 1000),
        ("length", "in inch inches", inch),
        ("length", "ft foot feet", 12 * inch),
        ("length", "yd yard yards", 36 * inch),
        ("length", "mi mile miles", 63360 * inch),
        ("mass", "mg milligram milligrams", Fraction(1, 1000)),
        ("mass", "g gm gram grams", 1),
        ("mass", "kg kilogram kilograms", 1000),
        ("weight", "oz ounce ounces", 1),
        ("weight", "lb lbs", 16),
        ("time", "s sec secs second seconds", 1),
        ("time", "min mins minute minutes", 60),
        ("time", "h hr hrs hour hours", 3600),
        ("time", "day days", 86400),
        ("time", "week weeks", 604800),
        ("years", "month months", 1),
        ("years", "yr year years", 12),
        ("volume", "ml milliliter milliliters millilitre millilitres", Fraction(1, 1000)),
        ("volume", "l liter liters litre litres", 1),
        ("cups", "cup cups", 1),
        ("cups", "pint pints", 2),
        ("cups", "quart quarts", 4),
        ("cups", "gal gallon gallons", 16),
        ("dollars", "¢ cent cents", Fraction(1, 100)),
        ("dollars", "$ dollar dollars usd", 1),
        ("euros", "€ euro euros eur", 1),
        ("sterling", "£ gbp", 1),
        ("yen", "¥ yen jpy", 1),
        ("length1/time1", "mph", 63360 * inch / 3600),
        ("length1/time1", "kph", Fraction(1000, 3600)),
        ("angle", "^\\circ degree degrees deg", 1),
        ("radians", "rad radian radians", 1),
    ]
    return {
        name: Unit(dimension, 1, Fraction(factor))
        for dimension, names, factor in entries
        for name in names.split()
    }


_UNITS = _table()
_NAME = re.compile(r"(sq|square|cubic|cu)?\s*([^\s^]+|\^\\circ)(?:\^\{?([23])\}?)?")
_PER = re.compile(r"\s*/\s*|\s+per\s+")
_POWERS = {"sq": 2, "square": 2, "cu": 3, "cubic": 3, None: 1}


def read_unit(text: str) -> Unit | None:
    """The unit that `text` names (`cm`, `square inches`, `ft^3`, `€`, `miles per hour`, `m/s`), or None."""
    name = text.strip().rstrip(".").lower()
    parts = _PER.split(name)
    if len(parts) == 2 and (above := read_unit(parts[0])) and (below := read_unit(parts[1])):
        dimension = f"{above.dimension}{above.power}/{below.dimension}{below.power}"
        return Unit(dimension, 1, above.factor / below.factor)
    found = _NAME.fullmatch(name)
    if found is None or found[2] not in _UNITS:
        return None
    basic = _UNITS[found[2]]
    power = int(found[3]) if found[3] else _POWERS[found[1]]
    return Unit(basic.dimension, power, basic.factor**power)
