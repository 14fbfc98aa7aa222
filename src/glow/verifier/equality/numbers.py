"""Numbers in all their forms, with units and without, and numerals of other bases."""

import re
from fractions import Fraction
from typing import NamedTuple

from glow.verifier.equality.gold import Decision
from glow.verifier.equality.typography import TEXT_MACRO, normalise, unmarked, unwrap
from glow.verifier.equality.units import Unit, read_unit


class Number(NamedTuple):
    """A rational number as written."""

    value: Fraction
    decimal: bool
    percent: bool


_DIGITS = r"\d{1,3}(?:,\d{3})+|\d+"
_CURRENCY = r"(?:\$|€|£|¥|\\pounds\s?|\\euro\s?)"
_DECIMAL = re.compile(rf"([+-]?){_CURRENCY}?({_DIGITS})?(\.\d+)?(%?)")
_RATIO = re.compile(
    rf"([+-]?)(\d+)?(?:\\frac(?:\{{(-?(?:{_DIGITS}))\}}|(\d))(?:\{{(-?(?:{_DIGITS}))\}}|(\d))|(?<!\d)({_DIGITS})/({_DIGITS}))(%?)"
)
_COMMA_DECIMAL = re.compile(r"([+-]?0),(\d{3})")
_SCIENTIFIC = re.compile(
    r"([+-]?)(?:(\d{1,20}(?:\.\d{1,20})?)(?:\\times|\\cdot|(?=[eE])))?(?:10\^|[eE](?=[+-]?\d))\{?([+-]?\d{1,3})\}?"
)
_REPEATING_DECIMAL = re.compile(r"([+-]?)(\d{0,20})\.(\d{0,20})\\overline\{(\d{1,20})\}")
_LONGEST_NUMBER = 64


def read_number(text: str) -> Number | None:
    r"""The number that a normalised answer is: `-1,234.50`, `$5`, `20%`, `3/4`, `2\frac{1}{2}`; else None."""
    if len(text) > _LONGEST_NUMBER:
        return None
    # 0,125 groups no thousands: the comma is a decimal one. (0,1 is rather a list.)
    text = _COMMA_DECIMAL.sub(r"\1.\2", text) if _COMMA_DECIMAL.fullmatch(text) else text
    if (found := _DECIMAL.fullmatch(text)) and (found[2] or found[3]):
        digits = (found[2] or "0").replace(",", "") + (found[3] or "")
        return Number(Fraction(found[1] + digits), bool(found[3]), bool(found[4]))
    if found := _RATIO.fullmatch(text):
        above, below = found[3] or found[4] or found[7], found[5] or found[6] or found[8]
        above, below = int(above.replace(",", "")), int(below.replace(",", ""))
        if below == 0 or (found[2] and min(above, below) < 0):
            return None
        value = int(found[2] or 0) + Fraction(above, below)
        return Number(value * (-1 if found[1] == "-" else 1), False, bool(found[9]))
    return _read_scientific(text) or _read_repeating(text)


def _read_scientific(text: str) -> Number | None:
    r"""`1.5\times10^{-3}`, `1.5e-3`, `10^4`."""
    found = _SCIENTIFIC.fullmatch(text)
    if found is None or (found[2] is None and "10^" not in text):
        return None
    value = Fraction(found[1] + (found[2] or "1")) * Fraction(10) ** int(found[3])
    return Number(value, "." in text or value.denominator > 1, False)


def _read_repeating(text: str) -> Number | None:
    r"""`0.1\overline{6}`, exactly."""
    found = _REPEATING_DECIMAL.fullmatch(text)
    if found is None:
        return None
    once, period = found[2] + found[3], found[4]
    value = int(once or 0) + Fraction(int(period), 10 ** len(period) - 1)
    return Number(value / 10 ** len(found[3]) * (-1 if found[1] == "-" else 1), False, False)


class Measure(NamedTuple):
    """A number and the unit that it was given with, None where none known here was."""

    number: Number
    unit: Unit | None


_AMOUNT = re.compile(
    r"(.*?[\d}%])\s*(\^\{?\\circ\}?\s?[CF]?|€|£|¥|¢|(?:\\(?:text|mathrm)\s*\{)?[A-Za-z]+(?:[\s/.-]+[A-Za-z]+)*\.?\}?(?:\^?\{?[23]\}?)?)?",
    re.DOTALL,
)
_SCALE = re.compile(r"(?i)(hundred|thousand|million|billion|trillion|dozen)\b\s*")
_SCALES = {
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
}
BLANK = re.compile(r"\\[ ,;:]|~")
NO_UNIT = re.compile(
    r"(?i)\b(?:hundred|thousand|million|billion|trillion|dozen|pi|mod|sqrt|and|or|base|factorial"
    r"|sin|cos|tan|log|ln|exp)\b"
)
_NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
PERCENT = re.compile(r"(?i)\s*\b(?:percent|percentage|pct|per\s+cent)\b\.?")
_CURRENCY_AMOUNT = re.compile(r"([+-]?)(\\\$|\$|€|£|¥|\\pounds|\\euro)\s*(.*)", re.DOTALL)
_SYMBOLS = {r"\$": "$", r"\pounds": "£", r"\euro": "€"}


_ENDS_IN_TEXT = re.compile(TEXT_MACRO + r"\s*\{[^{}\d]*\}[^{}A-Za-z]*\Z")
_POWER = re.compile(r"\^?\{?[23]\}?\Z")
_JOINT = re.compile(r"[\s/.-]+")


def _may_be_factors(name: str, spaced: bool, in_text: bool) -> bool:
    r"""Whether what stands behind a number may be variables and no unit: `3ab`, `5m`, `2x-y`, `3x^2`.

    A word of three letters behind a blank is none (but `6xyz`); a shorter one is a unit where it is a known
    one behind a blank (`5 m`, `3 m/s`), or in `\text{}` (`9 \text{ eV}`, `4\mathrm{J}`; not `3\mathrm{i}`).
    """
    words = [word for word in _JOINT.split(_POWER.sub("", name)) if word]
    if not all(map(str.isalpha, words)):
        return False
    known = "-" not in name and all(map(read_unit, words))
    if any(len(word) > 2 for word in words):
        return not (known or spaced or in_text)
    if in_text:
        return not (known or any(len(word) == 2 or word.isupper() for word in words))
    return not (known and (spaced or len(words[0]) > 1))


def read_measure(text: str) -> Measure | None:
    r"""The number that an answer is, a unit beside it or not: `5\text{ cm}`, `\$3.50`, `12 million`."""
    bare = BLANK.sub(" ", PERCENT.sub("%", unmarked(text)).replace(r"\%", "%").replace(r"\!", ""))
    if bare.lower() in _NUMBER_WORDS:
        return Measure(Number(Fraction(_NUMBER_WORDS.index(bare.lower())), False, False), None)
    symbol = None
    if found := _CURRENCY_AMOUNT.fullmatch(bare):
        bare, symbol = found[1] + found[3], _SYMBOLS.get(found[2], found[2])
    if number := read_number(normalise(bare)):
        return Measure(number, read_unit(symbol) if symbol else None)
    amount = _AMOUNT.fullmatch(bare)
    if amount is None:
        return None
    number, name = read_number(normalise(amount[1])), amount[2]
    if number and name and (scale := _SCALE.match(name)):
        number = number._replace(value=number.value * _SCALES[scale[1].lower()])
        name = name[scale.end() :] or None
    if number is None or (name and NO_UNIT.search(name)):
        return None
    if name and _may_be_factors(name, bare.endswith(" " + name), _ENDS_IN_TEXT.search(text) is not None):
        return None
    unit = read_unit(name) if name else (read_unit(symbol) if symbol else None)
    return Measure(number, unit)


def numbers(stated: str, gold: str) -> Decision | None:
    """Two numbers, and their units where both have one.

    `20%` is both 20 and 0.2: the golds of MATH omit the sign at will.
    """
    ours, theirs = read_measure(stated), read_measure(gold)
    if ours is None or theirs is None:
        return None
    value, right = ours.number.value, theirs.number.value
    if ours.unit and theirs.unit:
        if (ours.unit.dimension, ours.unit.power) != (theirs.unit.dimension, theirs.unit.power):
            return Decision(False, "different units")
        value, right = value * ours.unit.factor, right * theirs.unit.factor
    factors = {Fraction(1)}
    if ours.number.percent != theirs.number.percent:
        factors.add(Fraction(1, 100) if ours.number.percent else Fraction(100))
    if any(value * factor == right for factor in factors):
        dressed = ours.unit != theirs.unit
        return Decision(True, "same number, with a unit" if dressed else "same number")
    near = any(_near(value * factor, right) for factor in factors)
    if near and (ours.number.decimal or theirs.number.decimal):
        return None  # How much rounding is right is math-verify's to say.
    return Decision(False, "different numbers")


def _near(value: Fraction, right: Fraction) -> bool:
    """Whether one may be the other, rounded; 2e-19 is not 3e-19, though they agree in six places."""
    gap = abs(value - right)
    return gap < Fraction(1, 10**4) * max(Fraction(1), abs(right)) and gap <= abs(right) / 1000


_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def decimal_commas(stated: str, gold: str) -> Decision | None:
    """`1,22` is 1.22 where the other side has the same digits around a point; else it is a list."""
    ours, theirs = normalise(stated), normalise(gold)
    for comma, point in ((ours, theirs), (theirs, ours)):
        if _DECIMAL_COMMA.fullmatch(comma) and comma.replace(",", ".") == point:
            return Decision(True, "same number, with a decimal comma")
    return None


_BASED_NUMERAL = re.compile(r"([+-]?)(?=[0-9A-Za-z])0*+([0-9A-Za-z]*?)(?:_(\d+))?")


def bases(stated: str, gold: str) -> Decision | None:
    """Numerals that name their base: math-verify ignores it, so 12_8 and 12_9 would be equal to it.

    Where only one side names it, the digits are compared: the question has named the base.
    """
    ours, theirs = _BASED_NUMERAL.fullmatch(normalise(stated)), _BASED_NUMERAL.fullmatch(normalise(gold))
    if not (ours and theirs and (ours[3] or theirs[3])):
        return None
    if ours.group(1, 2) != theirs.group(1, 2) or (ours[3] and theirs[3] and ours[3] != theirs[3]):
        return Decision(False, "different numerals")
    return Decision(True, "same numeral" if ours[3] and theirs[3] else "same digits, base left out")


# --- units behind expressions -----------------------------------------------------------------------

# Every repetition is bounded, as each may begin anywhere in the answer.
_TRAILING_UNIT = re.compile(
    rf"(.*?[^\s\\~^])(?:\\[ ,;:!]|[\s~^]){{0,8}}"
    rf"(?:{TEXT_MACRO}\s*\{{((?:[^{{}}]|\{{[^{{}}]{{0,9}}\}}){{0,80}})\}}"
    r"|(?<=\s)([A-Za-z]{2,20}(?:\s[A-Za-z]{1,20}){0,5}))(\^\{?-?[1-9]\}?)?\s*\.?",
    re.DOTALL,
)


def without_unit(text: str) -> str:
    r"""`text` without the units at its end: `6\sqrt{2}\text{ cm}^2`, `36\pi square inches`."""
    for _ in range(_MOST_UNITS):
        found = _TRAILING_UNIT.fullmatch(unwrap(text))
        name = BLANK.sub(" ", found[2] or found[3] or "").strip() if found else ""
        if found is None or not name or NO_UNIT.search(name) or PERCENT.search(name):
            return text
        # In \text{} words are a unit, and so are J behind a number (not A\text{B}) and s with its power -1.
        alone = (name.isupper() and found[1][-1].isdigit()) or "-" in (found[4] or "")
        words = found[2] is not None and (len(name) > 1 or alone)
        if not (words or read_unit(name + (found[4] or ""))):
            return text
        text = found[1]
    return text


_MOST_UNITS = 4
"""Units in a row: `\text{ km}\text{ s}^{-1}`."""
