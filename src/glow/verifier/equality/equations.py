"""Equalities: what they assign, the curves that they describe, and chains that contradict themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from glow.verifier.equality.quantities import is_literal, same_quantities
from glow.verifier.equality.result import UNKNOWN, Same
from glow.verifier.equality.values import (
    POINTS,
    NoValueError,
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
    Number,
    Operation,
    Quantity,
    Relation,
    Several,
    Statement,
    Symbol,
    difference,
    parts,
    symbols,
)


@dataclass(frozen=True)
class Assigned:
    """`x = 5`, `f(x) = x^2`, `AB = 7`: a value, and the letter that has it where it is one letter."""

    name: str | None
    label: Expression | None
    body: Statement


@dataclass(frozen=True)
class Equation:
    """What must be zero: `2x + 4y - 3`."""

    zero: Expression


@dataclass(frozen=True)
class Contradiction:
    """`5 = 6`, and `5 = 5`: no value at all."""


def assigned(relation: Relation) -> Assigned | Equation | Contradiction | None:
    """What a chain of equalities states; None where it is another relation."""
    if not is_equality(relation):
        return None
    first, last = relation.sides[0], relation.sides[-1]
    if len(relation.sides) == 2 and _is_name(last) and _is_constant(first):
        return assigned(Relation((last, first), relation.signs))  # 5 = x
    if not all(isinstance(side, Quantity) for side in relation.sides):
        return _whole(first, last) if len(relation.sides) == 2 else None
    return _chain(relation) if _is_constant(first) else _labelled(relation)


def _whole(first: Statement, last: Statement) -> Assigned:
    r"""`(x,y) = (1,2)`, `A = \{1, 2\}`: a list, a set or a matrix with its name."""
    if isinstance(first, Quantity):
        return Assigned(_letter(first), first.value, last)
    return Assigned(None, None, _in_usual_order(first, last))


def _in_usual_order(names: Statement, values: Statement) -> Statement:
    """`(y, x) = (5, 3)` as (3, 5); other letters stay as they stand."""
    pairs = _paired(names, values)
    letters = {_letter(name) if isinstance(name, Quantity) else None for name, _ in pairs}
    if not isinstance(values, Group) or not pairs or not letters <= {"x", "y", "z"}:
        return values
    ordered = sorted(pairs, key=lambda pair: str(pair[0]))
    return Group(values.opening, tuple(member for _, member in ordered), values.closing)


def _paired(names: Statement, values: Statement) -> list[tuple[Statement, Statement]]:
    """Each name with its value, of two groups that have as many members; else none."""
    if not isinstance(names, Group) or not isinstance(values, Group):
        return []
    if len(names.members) != len(values.members):
        return []
    return list(zip(names.members, values.members, strict=True))


def _chain(relation: Relation) -> Assigned | Equation | Contradiction:
    r"""`\frac{1}{4} = 0.25`: the last value, if all are the same; `0 = x + y`, an equation."""
    first, last = relation.sides[0], relation.sides[-1]
    if len(set(relation.sides)) == 1:
        return Contradiction()  # 5 = 5 states nothing
    if _agree(relation.sides, relation.signs):
        return Assigned(None, None, _result(relation.sides, relation.signs))
    return _equation(first, last) if len(relation.sides) == 2 and not _is_constant(last) else Contradiction()


def _labelled(relation: Relation) -> Assigned | Equation | Contradiction:
    r"""`x = 5`, and `x = \frac{10}{2} = 5`, the last value; `x + y = 0`, an equation."""
    first, *rest = relation.sides
    signs = relation.signs[1:]
    if len(rest) > 1 and not _is_calculation(rest[0]) and not _agree(rest, signs):
        return Contradiction()
    body = _result(rest, signs)
    assert isinstance(first, Quantity) and isinstance(body, Quantity)
    is_own = isinstance(first.value, Symbol) and first.value.name in symbols(body.value)  # x = x + 1
    is_zero = sampled(body.value) == (Fraction(0),)
    is_value = _is_constant(body) and not is_zero and not _is_to_be_solved(first.value)
    if (_is_name(first) and not is_own) or is_value:
        return Assigned(_letter(first), first.value, body)
    return _equation(first, body)


def _is_to_be_solved(label: Expression) -> bool:
    """Whether an equality with this side is an equation in one unknown: `2x = 10`, but not `a + b = 31`."""
    names = symbols(label)
    if len(names) != 1:
        return False
    name = next(iter(names))
    is_angle = (
        isinstance(label, Operation)
        and label.name in ("sin", "cos", "tan", "cot", "sec", "csc")
        and name not in "xyzt"
    )
    return not is_angle and not (len(name) > 1 and name.isupper())  # AB^2 = 25


def _equation(first: Statement, last: Statement) -> Equation:
    assert isinstance(first, Quantity) and isinstance(last, Quantity)
    return Equation(difference(first.value, last.value))


def _result(sides: Sequence[Statement], signs: Sequence[str]) -> Statement:
    """The last exact value of a chain."""
    exact = list(signs).index("~=") if "~=" in signs else len(signs)
    return sides[exact]


def _is_calculation(statement: Statement) -> bool:
    """`5+5+1`, which is no value yet: a slip behind it is no second answer."""
    return isinstance(statement, Quantity) and _is_constant(statement) and not is_literal(statement.value)


def _agree(sides: Sequence[Statement], signs: Sequence[str]) -> bool:
    r"""Whether all links of a chain hold; `\approx` holds to one part in a hundred."""
    for one, other, sign in zip(sides, sides[1:], signs, strict=False):
        if not isinstance(one, Quantity) or not isinstance(other, Quantity):
            return False
        if sign == "~=" and _nearly(one.value, other.value):
            continue
        if same_quantities(one, other).equal is False and same_quantities(other, one).equal is False:
            return _nearly(one.value, other.value) and _has_places(other.value)
    return True


def _nearly(one: Expression, other: Expression) -> bool:
    first, second = sampled(one)[0], sampled(other)[0]
    if first is None or second is None or not is_real(first) or not is_real(second):
        return False
    return bool(abs(number(first) - number(second)) <= abs(number(first)) / 100)


def _has_places(expression: Expression) -> bool:
    return any(isinstance(one, Number) and one.places >= 2 for one in parts(expression))


def _is_constant(statement: Statement) -> bool:
    return isinstance(statement, Quantity) and not symbols(statement.value)


def _is_name(statement: Statement) -> bool:
    """A letter, or a function of one: `x`, `f(x)`, `f^{-1}(x)`, `P(A)`, `|AB|`."""
    if not isinstance(statement, Quantity) or not symbols(statement.value):
        return False
    expression = statement.value
    if isinstance(expression, Operation) and expression.name == "mul":
        function, argument = expression.arguments
        if isinstance(function, Operation) and function.name == "pow":
            function = function.arguments[0]
        is_function = isinstance(function, Symbol) and function.name[0] in _FUNCTION_LETTERS
        return is_function and isinstance(argument, Symbol | Number)
    if isinstance(expression, Operation) and expression.name == "abs":
        return expression.arguments[0] not in _UNKNOWNS  # |AB| and |z|, but not |x|
    return isinstance(expression, Symbol)


_UNKNOWNS = (Symbol("x"), Symbol("y"))
_FUNCTION_LETTERS = frozenset("fghpqFGHPQRSTVAVLyuvs")


def _letter(statement: Quantity) -> str | None:
    return statement.value.name if isinstance(statement.value, Symbol) else None


def resolved(statement: Statement) -> Statement | Assigned | Equation | Contradiction:
    """What an equality states; other statements as they are."""
    if isinstance(statement, Relation) and (found := assigned(statement)) is not None:
        return found
    return statement


def is_equality(statement: Statement) -> bool:
    """Whether it is a chain of equalities and nothing else."""
    return isinstance(statement, Relation) and all(sign in ("=", "~=") for sign in statement.signs)


def other_letters(ours: Assigned, theirs: Assigned) -> bool:
    """Whether two values are of different letters: `y = 5` for `x = 5`, but not `n = 5` for `AB = 5`."""
    names = {one.name.lower() for one in (ours, theirs) if one.name is not None and len(one.name) == 1}
    return len(names) > 1 and not are_functions(ours, theirs)


def are_functions(ours: Assigned, theirs: Assigned) -> bool:
    r"""Whether each gives one letter by another: `x = 2y`, `y = \frac{x}{2}`."""
    bodies = [one.body for one in (ours, theirs)]
    return all(isinstance(body, Quantity) and symbols(body.value) for body in bodies)


def by_letters(relation: Relation) -> Statement:
    """`(b, a) = (2, 5)` as b = 2, a = 5."""
    pairs = _paired(relation.sides[0], relation.sides[-1])
    return Several(tuple(Relation(pair, ("=",)) for pair in pairs), ",") if pairs else relation


def are_equations(ours: object, theirs: object) -> bool:
    """Whether one of two equalities is of a curve (`9x^2+4y^2=36`), and not the value of something."""
    if not isinstance(theirs, Assigned) or theirs.label is None:
        return False
    if not isinstance(ours, Assigned) or ours.label is None:
        return _is_sum(theirs.label)
    if ours.name != theirs.name and are_functions(ours, theirs):
        return True
    return not (_is_name(Quantity(ours.label)) and _is_name(Quantity(theirs.label)))


def _is_sum(expression: Expression) -> bool:
    return isinstance(expression, Operation) and expression.name == "add" and len(symbols(expression)) > 1


def same_equations(ours: object, theirs: object) -> Same:
    """Two equations are the same where one side less the other is, but for a constant factor."""
    zeros = [_zero(one) for one in (ours, theirs)]
    if zeros[0] is None or zeros[1] is None:
        return Same(False, "an equation and something else")
    ratios = []
    for point in range(POINTS):
        at = coordinates(symbols(zeros[0]) | symbols(zeros[1]), point)
        try:
            one, other = value(zeros[0], at), value(zeros[1], at)
        except NoValueError:
            continue
        if one == 0 or other == 0 or not (is_real(one) and is_real(other)):
            continue
        ratios.append(number(one) / number(other))
    if len(ratios) < 2:
        return UNKNOWN if _may_vanish(zeros) else Same(False, "an equation that always holds")
    if all(close(ratio, ratios[0]) for ratio in ratios):
        return Same(True, "the same equation")
    return Same(False, "different equations")


def _may_vanish(zeros: Sequence[Expression | None]) -> bool:
    return all(zero is not None and symbols(zero) for zero in zeros)


def _zero(one: object) -> Expression | None:
    if isinstance(one, Equation):
        return one.zero
    if isinstance(one, Assigned) and one.label is not None and isinstance(one.body, Quantity):
        return difference(one.label, one.body.value)
    return None
