r"""Numbers in digits: whole, decimal, periodic and mixed ones."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import TypeGuard

from glow.verifier.grammar.cursor import Cursor
from glow.verifier.grammar.tokens import NotReadError
from glow.verifier.grammar.tree import Expression, Number

Argument = Callable[[], Expression]
"""Reads what a macro takes at the cursor."""

_PERIOD_MARKS = (r"\overline", r"\bar", r"\dot")
_THRICE = re.compile(r"(\d)\1\1$")
_PLACES_BEFORE_DOTS = 6
"""Decimal places before dots (`0.716815...`) that are enough to say what is meant."""


def number(text: str) -> Number:
    """The number that digits with or without a point are."""
    return Number(Fraction(text), len(text.partition(".")[2]))


def read_number(cursor: Cursor, argument: Argument) -> Number:
    r"""The number at the cursor: `2`, `0.5`, `2\frac{1}{2}`, `2 1/2`, `0.\overline{3}` and its like."""
    written = cursor.next().text
    if periodic := _periodic(written, cursor, argument):
        return periodic
    plain = number(written)
    if plain.places >= _PLACES_BEFORE_DOTS:
        cursor.take("...")
    return plain if plain.places else Number(plain.value + _fraction_behind(cursor, argument))


# --- mixed numbers --------------------------------------------------------------------------------


def _fraction_behind(cursor: Cursor, argument: Argument) -> Fraction:
    """The proper fraction that makes a mixed number of a whole one; 0 where none comes next."""
    start = cursor.at
    above: Expression
    below: Expression
    first, slash, second = (cursor.peek(ahead) for ahead in range(3))
    if first.text == r"\frac":
        cursor.at += 1
        above, below = argument(), argument()
    elif first.kind == second.kind == "number" and first.spaced and slash.text == "/":
        cursor.at += 3
        above, below = number(first.text), number(second.text)
    else:
        return Fraction(0)
    if _is_whole(above) and _is_whole(below) and 0 < above.value < below.value:
        return above.value / below.value
    cursor.at = start
    return Fraction(0)


def _is_whole(expression: Expression) -> TypeGuard[Number]:
    return isinstance(expression, Number) and expression.value.denominator == 1


# --- periodic numbers -----------------------------------------------------------------------------


def _periodic(written: str, cursor: Cursor, argument: Argument) -> Number | None:
    r"""`0.1\overline{6}`, `0.\dot{1}4\dot{2}`, `0.(3)`, `0.333...`, exactly."""
    whole, point, places = written.partition(".")
    start = cursor.at
    if not point and (cursor.peek().spaced or not cursor.take(".")):
        return None
    period = _period(cursor, argument)
    if period is None and _THRICE.search(places) and cursor.take("..."):
        places, period = places[:-1], places[-1]
    if period is None:
        cursor.at = start
        return None
    repeated = Fraction(int(period), 10 ** len(period) - 1)
    return Number((int(whole + places) + repeated) / 10 ** len(places))


def _period(cursor: Cursor, argument: Argument) -> str | None:
    """The digits that are said to repeat."""
    if cursor.at_sign("(") and not cursor.peek().spaced:
        inside, closing = cursor.peek(1), cursor.peek(2)
        if inside.kind != "number" or not inside.text.isdigit() or closing.text != ")":
            return None
        cursor.at += 3
        return inside.text
    if cursor.peek().text not in _PERIOD_MARKS:
        return None
    dotted = cursor.peek().text == r"\dot"
    digits = _marked(cursor, argument)
    if dotted:  # from the first dot to the second
        if cursor.peek().kind == "number":
            digits += cursor.next().text
        if cursor.peek().text in _PERIOD_MARKS:
            digits += _marked(cursor, argument)
    if not digits.isdigit():
        raise NotReadError("a period that is no number")
    return digits


def _marked(cursor: Cursor, argument: Argument) -> str:
    """The digits below a mark, leading zeros among them; nothing where it is no number."""
    cursor.at += 1
    start = cursor.at
    if not isinstance(argument(), Number):
        return ""
    return "".join(token.text for token in cursor.tokens[start : cursor.at] if token.kind == "number")
