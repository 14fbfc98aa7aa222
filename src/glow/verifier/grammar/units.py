"""What a unit measures and how it converts, by pint; which words are units is decided before it is asked.

pint knows units that share their names with words: `cats` are centi-technical-atmospheres, `ab` is
an attobarn. So symbols are taken from those in common use, with the prefixes that go with them.
"""

import re
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

from glow.verifier.grammar.tree import Unit

_PREFIXED = frozenset(
    "m g s A K V W J N L l Pa Hz Wh eV cal mol bar B b C F H T S ohm Bq Gy Sv rad sr bit byte M".split()
)
_PREFIXES = frozenset("k M G T m u µ n p c d h da f".split())
_ALONE = frozenset(
    "m g s A K V W J N L l Pa Hz Wh eV cal mol bar B T h hr hrs min mins sec secs d in ft yd mi lb lbs oz"
    " gal pt qt mph kph rpm ha atm psi t C F ml mL cc kcal dB rad deg kWh km cm mm gm gms tsp tbsp kg mg amp"
    " amps degC degF ohm ohms M usd USD EUR GBP Rs INR JPY RMB CNY yrs yr mo wk wks".split()
)
_ALIASES = {
    "hrs": "hour", "hr": "hour", "h": "hour", "mins": "minute", "min": "minute", "sec": "second",
    "secs": "second", "lbs": "pound", "gm": "gram", "gms": "gram", "l": "liter", "cc": "cm**3",
    "kph": "kilometer/hour", "kmph": "kilometer/hour", "kmh": "kilometer/hour", "yrs": "year", "yr": "year",
    "mo": "month", "wk": "week", "wks": "week", "amp": "ampere", "amps": "ampere", "d": "day", "ohms": "ohm",
    "Omega": "ohm", "t": "metric_ton", "c": "cent", "B": "byte", "b": "bit", "usd": "dollar", "USD": "dollar",
    "EUR": "euro", "GBP": "sterling", "$": "dollar", "€": "euro", "£": "sterling", "¥": "yen", "₹": "rupee",
    "Rs": "rupee", "INR": "rupee", "JPY": "yen", "RMB": "yuan", "CNY": "yuan", "degC": "degree_Celsius",
    "degF": "degree_Fahrenheit", "celsius": "degree_Celsius", "fahrenheit": "degree_Fahrenheit",
    "Celsius": "degree_Celsius", "Fahrenheit": "degree_Fahrenheit", "centigrade": "degree_Celsius",
    "pounds": "pound", "feet": "foot", "ft": "foot", "in": "inch", "deg": "degree", "litres": "liter",
    "litre": "liter", "metres": "meter", "metre": "meter", "kilometres": "kilometer",
    "centimetres": "centimeter", "millilitres": "milliliter", "mcg": "microgram", "pence": "penny",
    "M": "molar", "Km": "kilometer", "Kg": "kilogram",
}  # fmt: skip
_NO_UNITS = frozenset(
    "point points unit units are count counts square cubic dot dots pixel pixels score scores turn turns"
    " cycle cycles hand hands link links chain chains stone stones grain grains rod rods pole poles mark"
    " marks bit bits percent ppm dozen number time times case cases knot knots parsecs slug slugs barn barns"
    " ares".split()
)
"""Units to pint, but words for something else in most answers."""
_CURRENCIES = (
    "dollar = [dollar]", "cent = dollar / 100", "euro = [euro]", "sterling = [sterling]",
    "penny = sterling / 100", "yen = [yen]", "rupee = [rupee]", "yuan = [yuan]",
)  # fmt: skip
DEGREE, RADIAN = Unit("degree", Fraction(1)), Unit("radian", Fraction(1))
_ANGLES = {
    "degree": DEGREE, "degrees": DEGREE, "deg": DEGREE, "degs": DEGREE, "radian": RADIAN, "radians": RADIAN,
    "rad": RADIAN, "rads": RADIAN,
}  # fmt: skip

_POWERS = (
    (re.compile(r"\b(?:square|sq\.?)\s+([A-Za-z]+)"), r"\1^2"),
    (re.compile(r"\b(?:cubic|cu\.?)\s+([A-Za-z]+)"), r"\1^3"),
    (re.compile(r"([A-Za-z]+)\s+squared\b"), r"\1^2"),
    (re.compile(r"([A-Za-z]+)\s+cubed\b"), r"\1^3"),
)
_PER = re.compile(r"\s+per\s+|\s+an?\s+")
_BRACES = re.compile(r"[{}]")
_LEGAL = re.compile(r"[A-Za-zµ$€£¥₹][A-Za-zµ$€£¥₹_\s*/^().\d-]*")
_NAME = re.compile(r"[A-Za-zµ$€£¥₹][A-Za-z_]*")
_EXPONENT = re.compile(r"\^\s*(\(\s*-?\d\s*\)|-?\d(?!\d))(?!\s*\^)")
_TOWER = re.compile(r"[\d^]|\*\s*\*")
_POWER_OF_GROUP = re.compile(r"\)\s*\^")
"""Exponents are one digit, and few: pint computes `cm^9^9^9` before it says anything."""
_PRODUCT = re.compile(r"(?<=[\w)])\s+(?=[A-Za-z(])")
_LONGEST = 60


@lru_cache(maxsize=4096)
def read_unit(phrase: str) -> Unit | None:
    """The unit that a phrase names (`cm`, `square inches`, `km/h`, `m s^-1`, `miles per hour`), or None."""
    text = phrase.strip().rstrip(".")
    if text.lower() in _ANGLES:
        return _ANGLES[text.lower()]
    for pattern, power in _POWERS:
        text = pattern.sub(power, text)
    text = _BRACES.sub("", _PER.sub("/", text)).replace("light year", "light_year")
    if len(text) > _LONGEST or not _LEGAL.fullmatch(text) or not all(map(_is_unit, _NAME.findall(text))):
        return None
    if _TOWER.search(_EXPONENT.sub("", text)) or len(_POWER_OF_GROUP.findall(text)) > 1:
        return None
    text = _EXPONENT.sub(r"**(\1)", _NAME.sub(lambda found: _for_pint(found[0]), text))
    return _by_pint(_PRODUCT.sub("*", text))


def _is_unit(name: str) -> bool:
    """Whether a name is a unit and nothing else."""
    if name in _NO_UNITS or name.lower() in _NO_UNITS:
        return False
    if name in _ALONE or name in _ALIASES:
        return True
    if any(name[:cut] in _PREFIXES and name[cut:] in _PREFIXED for cut in (1, 2)):
        return True
    return len(name) > 2 and not name.isupper() and _is_long_name(name.lower())


def _for_pint(name: str) -> str:
    """A name as pint has it: `Hours` is the hour."""
    is_symbol = name in _ALONE or any(name[:cut] in _PREFIXES and name[cut:] in _PREFIXED for cut in (1, 2))
    return _ALIASES.get(name, name if is_symbol else name.lower())


def _is_long_name(word: str) -> bool:
    """Whether pint knows a word by its full name: `kilometers`, not `cats`."""
    found = _registry().parse_unit_name(word)
    return any(word.startswith(prefix + unit) and len(unit) > 2 for prefix, unit, _ in found)


def _by_pint(text: str) -> Unit | None:
    registry = _registry()
    try:
        unit = registry.parse_units(text)
        one = registry.Quantity(Fraction(1), unit).to_base_units()
        zero = registry.Quantity(Fraction(0), unit).to_base_units()
    except Exception:  # pint raises many kinds for what is no unit, ZeroDivisionError among them
        return None
    dimension = " ".join(f"{name}^{power}" for name, power in sorted(one.unit_items()))
    offset = Fraction(zero.magnitude)
    return Unit(dimension, Fraction(one.magnitude) - offset, offset)


@cache
def _registry() -> Any:
    import pint  # half a second, which most runs do not need

    registry: Any = pint.UnitRegistry(non_int_type=Fraction, on_redefinition="ignore")
    for currency in _CURRENCIES:
        registry.define(currency)
    return registry
