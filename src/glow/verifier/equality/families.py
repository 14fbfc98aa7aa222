r"""Families with an integer parameter: `\frac{\pi}{4} + k\pi`, in any letter and from any member."""

from fractions import Fraction
from itertools import pairwise

from glow.verifier.equality.members import collection
from glow.verifier.equality.result import UNKNOWN, Same
from glow.verifier.equality.values import NoValueError, Value, close, coordinates, is_real, number, value
from glow.verifier.grammar.tree import Expression, Family, Quantity, Statement, symbols

_INTEGERS = frozenset("kmnlpqj")
_SPAN = 60


def same_families(stated: Statement, gold: Statement) -> Same:
    own, right = (_expressions(one) for one in (stated, gold))
    if own is None or right is None:
        return Same(False, "a family and something else") if own is None else UNKNOWN
    ours, theirs = _window(*own), _window(*right)
    if ours is None or theirs is None:
        return UNKNOWN
    period = min(ours[1], theirs[1])
    for one, others in ((ours[0], theirs[0]), (theirs[0], ours[0])):
        inside = [found for found in one if abs(found) < 12 * period]
        if not inside or not all(
            any(close(found, other) or abs(found - other) < 1e-40 for other in others) for found in inside
        ):
            return Same(False, "different families")
    return Same(True, "the same family")


def _expressions(statement: Statement) -> tuple[list[Expression], str] | None:
    """The expressions of a family, and the letter that runs over the integers."""
    letter = None
    if isinstance(statement, Family):
        letter, statement = statement.letter, statement.body
    several = collection(statement, together=True)
    if several is None or not all(isinstance(one, Quantity) for one in several.members):
        return None
    found = [one.value for one in several.members if isinstance(one, Quantity)]
    names: set[str] = set().union(*map(symbols, found))
    if letter is None:
        if len(names) != 1 or not names <= _INTEGERS:
            return None
        letter = names.pop()
    return (found, letter) if letter in names or not names else None


def _window(found: list[Expression], letter: str) -> tuple[list[Value], Value] | None:
    """The values for the integers around zero, and the smallest step between neighbours."""
    members: list[Value] = []
    steps: list[Value] = []
    for expression in found:
        others = coordinates(symbols(expression) - {letter}, 0)
        try:
            run = [
                number(value(expression, others | {letter: Fraction(k)})) for k in range(-_SPAN, _SPAN + 1)
            ]
        except NoValueError:
            return None
        if not all(is_real(one) for one in run):
            return None
        members += run
        steps += [abs(one - other) for one, other in pairwise(run)]
    period = max(steps)
    return (members, period) if period > 0 else None
