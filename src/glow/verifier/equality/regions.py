"""Sets of real numbers, in whatever way they are stated: inequalities, intervals, unions, `x != 2`.

A set is a membership test with the points at which it may change. Two sets are compared at those points of
both, beside them, between them and far away.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import pairwise, product

from glow.verifier.equality.quantities import branches, has_signs
from glow.verifier.equality.values import (
    NoValueError,
    Value,
    close,
    coordinates,
    is_real,
    number,
    sampled,
    value,
)
from glow.verifier.grammar.tree import (
    Expression,
    Group,
    NamedSet,
    Quantity,
    Relation,
    SetAlgebra,
    SetBuilder,
    Several,
    Statement,
    Symbol,
    parts,
    symbols,
)

Test = Callable[[Value], bool]


@dataclass(frozen=True)
class Region:
    """A set of real numbers; `variable`: the letter that an inequality is about, if it names one."""

    contains: Test
    breaks: tuple[Value, ...]
    variable: str | None = None


class NoRegionError(Exception):
    """A statement describes no set of real numbers, or one that is not found here."""


def describes_set(statement: Statement) -> bool:
    """Whether a statement can only be a set of numbers: not `(1,2)`, which may be a point."""
    if isinstance(statement, SetAlgebra | SetBuilder | NamedSet):
        return True
    if isinstance(statement, Relation):
        return any(sign not in ("=", "~=") for sign in statement.signs)
    if isinstance(statement, Several):
        return any(describes_set(member) for member in statement.members)
    if isinstance(statement, Group) and statement.opening != "{" and len(statement.members) == 2:
        return (statement.opening, statement.closing) in (("(", "]"), ("[", ")")) or any(
            _is_infinite(member) for member in statement.members
        )
    return False


def _is_infinite(statement: Statement) -> bool:
    return isinstance(statement, Quantity) and Symbol("infinity") in parts(statement.value)


def same_region(first: Statement, second: Statement) -> bool | None:
    """Whether two statements describe the same set; None where that is not found out."""
    pairs = list(product(_regions(first), _regions(second)))
    for one, other in pairs:
        if one.variable and other.variable and one.variable != other.variable:
            continue
        try:
            if _agree(one, other):
                return True
        except NoValueError:
            return None
    return False if pairs else None


def _regions(statement: Statement) -> list[Region]:
    """All sets that a statement may describe; a comma between inequalities may mean and, or or."""
    if isinstance(statement, Several) and statement.between == "," and len(statement.members) < 9:
        meanings: list[Statement] = [Several(statement.members, "and"), Several(statement.members, "or")]
    else:
        meanings = [statement]
    found = []
    for meaning in meanings:
        try:
            found.append(region(meaning))
        except (NoRegionError, NoValueError):
            continue
    return found


def _agree(one: Region, other: Region) -> bool:
    breaks = sorted({*map(_real, (*one.breaks, *other.breaks))})
    if len(breaks) > 200:
        raise NoValueError("too many ends")
    tiny, far = number(Fraction(1, 10**9)), 10**6 * (1 + max(map(abs, breaks), default=number(Fraction(0))))
    points = [number(Fraction(k, 7)) for k in range(-100, 101, 9)] + [-far, far]
    for point in breaks:
        points += [point, point - tiny * (1 + abs(point)), point + tiny * (1 + abs(point))]
    points += [(low + high) / 2 for low, high in pairwise(breaks)]
    return all(one.contains(point) == other.contains(point) for point in points)


def _real(found: Value) -> Value:
    if not is_real(found):
        raise NoValueError("an end that is not real")
    return number(found)


def region(statement: Statement) -> Region:
    """The set that a statement describes.

    Raises:
        NoRegionError: it describes none.
        NoValueError: an end of it has no value.
    """
    match statement:
        case NamedSet(name="R" | "empty"):
            return Region(lambda _: statement.name == "R", ())
        case Group(opening="{"):
            return _finite(statement.members)
        case SetBuilder():
            return region(statement.condition)
    for kind, read in _READERS.items():
        if isinstance(statement, kind):
            return read(statement)
    raise NoRegionError


def _end(statement: Statement) -> Value:
    found = sampled(_expression(statement))[0]
    if found is None:
        raise NoValueError("an end without a value")
    return found


def _finite(members: Sequence[Statement]) -> Region:
    points = tuple(_end(member) for member in members)
    finite = tuple(point for point in points if is_real(point))
    return Region(lambda x: any(close(x, point) for point in finite), finite)


def _interval(group: Group) -> Region:
    if len(group.members) != 2:
        raise NoRegionError
    low, high = (_real(_end(member)) for member in group.members)
    if low > high:
        raise NoRegionError  # a point; or which of two letters is larger is not known

    def contains(x: Value) -> bool:
        above = x > low or (group.opening == "[" and close(x, low))
        below = x < high or (group.closing == "]" and close(x, high))
        at_open_end = (group.opening == "(" and close(x, low)) or (group.closing == ")" and close(x, high))
        return bool(above and below and not at_open_end)

    return Region(contains, tuple(end for end in (low, high) if abs(end) < 10**30))


def _algebra(statement: SetAlgebra) -> Region:
    return _all_joined(statement.name, map(region, statement.members))


def _all_joined(name: str, members: Iterable[Region]) -> Region:
    return reduce(lambda one, other: _joined(name, one, other), members)


def _joined(name: str, one: Region, other: Region) -> Region:
    test: dict[str, Test] = {
        "union": lambda x: one.contains(x) or other.contains(x),
        "intersection": lambda x: one.contains(x) and other.contains(x),
        "difference": lambda x: one.contains(x) and not other.contains(x),
    }
    return Region(test[name], one.breaks + other.breaks, one.variable or other.variable)


def _several(statement: Several) -> Region:
    regions = [region(member) for member in statement.members if not _names_domain(member)]
    if not regions:
        raise NoRegionError
    intervals = all(isinstance(member, Group) for member in statement.members)
    name = "intersection" if statement.between == "and" and not intervals else "union"
    if len({one.variable for one in regions if one.variable}) > 1:
        raise NoRegionError
    return _all_joined(name, regions)


def _names_domain(statement: Statement) -> bool:
    r"""`x \in \mathbb{R}`, which says nothing beside an inequality."""
    return (
        isinstance(statement, Relation) and statement.signs == ("in",) and statement.sides[1] == NamedSet("R")
    )


_TESTS: dict[str, Callable[[Value, Value], bool]] = {
    "<": lambda one, other: one < other and not close(one, other),
    ">": lambda one, other: one > other and not close(one, other),
    "<=": lambda one, other: one <= other or close(one, other),
    ">=": lambda one, other: one >= other or close(one, other),
    "!=": lambda one, other: not close(one, other),
    "=": close,
}


def _relation(statement: Relation) -> Region:
    if statement.signs == ("in",):
        return region(statement.sides[1])
    if statement.signs == ("notin",):
        return _joined("difference", Region(lambda _: True, ()), region(statement.sides[1]))
    if not _TESTS.keys() >= set(statement.signs) or ("!=" in statement.signs and len(statement.signs) > 1):
        raise NoRegionError
    sides = [_expression(side) for side in statement.sides]
    if statement.signs == ("!=",) and any(map(has_signs, statement.sides)):
        return _excluded(statement)
    variable = _variable(sides)
    others = coordinates(set().union(*map(symbols, sides)) - {variable}, 0)

    def contains(x: Value) -> bool:
        values = [_at(side, others | {variable: x}) for side in sides]
        if any(found is None or not is_real(found) for found in values):
            return False
        numbers = [number(found) for found in values]
        return all(_TESTS[sign](*pair) for sign, pair in zip(statement.signs, pairwise(numbers), strict=True))

    ends = [sampled(side)[0] for side in sides if variable not in symbols(side)]
    return Region(contains, tuple(end for end in ends if end is not None and is_real(end)), variable)


def _excluded(statement: Relation) -> Region:
    r"""`x \ne \pm 1`: neither of the two."""
    first, last = statement.sides
    assert isinstance(last, Quantity)
    excluded = (_relation(Relation((first, branch), ("!=",))) for branch in branches(last, together=True))
    return _all_joined("intersection", excluded)


def _at(expression: Expression, point: dict[str, Value]) -> Value | None:
    try:
        return value(expression, point)
    except NoValueError:
        return None


def _expression(statement: Statement) -> Expression:
    if not isinstance(statement, Quantity) or statement.unit is not None or statement.percent:
        raise NoRegionError
    return statement.value


def _variable(sides: list[Expression]) -> str:
    """The letter that a relation is about: one that is a side of its own, or the only one."""
    alone = [side.name for side in sides if isinstance(side, Symbol) and symbols(side)]
    names = set().union(*map(symbols, sides))
    if len(set(alone)) == 1:
        return alone[0]
    if len(names) == 1:
        return names.pop()
    raise NoRegionError


_READERS: dict[type, Callable[..., Region]] = {
    Group: _interval,
    SetAlgebra: _algebra,
    Relation: _relation,
    Several: _several,
}
