"""Values with their units: numbers, percentages, angles, money."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

from glow.verifier.equality.result import UNKNOWN, Same
from glow.verifier.equality.values import same_values
from glow.verifier.grammar.tree import (
    Expression,
    Number,
    Operation,
    Quantity,
    Statement,
    Symbol,
    parts,
    symbols,
)
from glow.verifier.grammar.units import DEGREE, RADIAN, read_unit


def same_quantities(stated: Quantity, gold: Quantity) -> Same:
    """Compare two values with what stands behind them."""
    found = _measures(stated, gold)
    same_way = stated.unit == gold.unit or None in (stated.unit, gold.unit)
    if (
        found.equal
        and same_way
        and is_literal(gold.value)
        and not is_literal(stated.value)
        and not found.leniency
    ):
        return found if found.reason == _SAME_ANGLE else found._replace(leniency="not worked out")
    return found


_SAME_ANGLE = "the same angle"


def is_literal(expression: Expression) -> bool:
    """A number as an exam wants it: digits, a fraction, a power of ten; not `2+3` or `5!`."""
    match expression:
        case Number():
            return True
        case Operation(name="neg"):
            return is_literal(expression.arguments[0])
        case Operation(name="div"):
            return all(isinstance(_unsigned(one), Number) for one in expression.arguments)
        case Operation(name="mul"):
            first, last = expression.arguments
            return is_literal(first) and (_is_power_of_ten(last) or _is_scale(last))
    return _is_power_of_ten(expression)


def _is_scale(expression: Expression) -> bool:
    """Whether it was a word: `million`, `tenths`."""
    if not isinstance(expression, Number) or expression.places:
        return False
    return expression.value in (12, 100, 1000, 10**6, 10**9, 10**12) or expression.value < 1


def _unsigned(expression: Expression) -> Expression:
    if isinstance(expression, Operation) and expression.name == "neg":
        return expression.arguments[0]
    return expression


def _is_power_of_ten(expression: Expression) -> bool:
    if not isinstance(expression, Operation) or expression.name != "pow":
        return False
    return expression.arguments[0] == Number(Fraction(10))


def _measures(stated: Quantity, gold: Quantity) -> Same:
    if stated.percent != gold.percent:
        return _percentages(stated, gold)
    if stated.unit is not None and gold.unit is not None and stated.unit != gold.unit:
        return _converted(stated, gold)
    if not _may_mean_the_same(stated, gold):
        return Same(False, "a unit and other words")
    found = same_values(stated.value, gold.value)
    if found:
        left_out = stated.unit != gold.unit
        return Same(True, "same value, unit left out" if left_out else "same value")
    if (stated.unit, gold.unit) in ((DEGREE, None), (None, DEGREE), (RADIAN, DEGREE), (DEGREE, RADIAN)):
        return _angles(stated, gold)
    if found is False and (renamed := _other_constant(stated.value, gold.value)) is not None:
        found = same_values(renamed, gold.value)
    return Same(found, "same value" if found else "different values") if found is not None else UNKNOWN


_VAGUE = frozenset(
    ["unit", "units", "square", "cubic", "total", "altogether", "each", "in", "all", "left", "of", "the"]
)


def _may_mean_the_same(stated: Quantity, gold: Quantity) -> bool:
    """Whether words that name no unit may stand for the unit of the other: not `5 dimes` for `5 dollars`."""
    for one, other in ((stated, gold), (gold, stated)):
        if one.words and other.unit is not None:
            words = one.words.lower().split()
            return _VAGUE.issuperset(words) or any(read_unit(word) == other.unit for word in words)
    return True


def _percentages(stated: Quantity, gold: Quantity) -> Same:
    """`25%` is 0.25. That it is 25 as well is overlooked, as many golds leave the sign out."""
    if stated.unit is not None or gold.unit is not None:
        return Same(False, "a percentage and a quantity")
    scaled = [Operation("percent", (one.value,)) if one.percent else one.value for one in (stated, gold)]
    found = same_values(*scaled)
    if found:
        return Same(True, "same value")
    if same_values(stated.value, gold.value):
        return Same(True, "same number, with a per cent sign", "percent sign")
    return Same(False, "different values") if found is False else UNKNOWN


def _converted(stated: Quantity, gold: Quantity) -> Same:
    ours, theirs = stated.unit, gold.unit
    assert ours is not None and theirs is not None
    if {ours, theirs} == {DEGREE, RADIAN}:
        return _angles(stated, gold)
    if ours.dimension != theirs.dimension:
        return Same(False, "different units")
    found = same_values(*(_in_basic_unit(one) for one in (stated, gold)))
    if found is None:
        return UNKNOWN
    return Same(found, "same quantity, in another unit" if found else "different quantities")


def _in_basic_unit(quantity: Quantity) -> Expression:
    assert quantity.unit is not None
    factor, offset = Number(quantity.unit.factor), Number(quantity.unit.offset)
    return Operation("add", (Operation("mul", (quantity.value, factor)), offset))


def _angles(stated: Quantity, gold: Quantity) -> Same:
    r"""`\frac{\pi}{4}` for 45 degrees; but not 45 for \pi/4."""
    radians = []
    for one in (stated, gold):
        if one.unit != DEGREE and not _in_radians(one.value):
            return Same(False, "different values")
        radians.append(Operation("degree", (one.value,)) if one.unit == DEGREE else one.value)
    found = same_values(*radians)
    return Same(found, _SAME_ANGLE if found else "different angles") if found is not None else UNKNOWN


def _in_radians(expression: Expression) -> bool:
    r"""Whether an expression without a unit is an angle: it has \pi, or a degree sign within."""
    return any(
        one == Symbol("pi") or (isinstance(one, Operation) and one.name == "degree")
        for one in parts(expression)
    )


_CONSTANTS_OF_INTEGRATION = frozenset(("c", "C", "k", "K"))


def _other_constant(stated: Expression, gold: Expression) -> Expression | None:
    """`x^2 + c` with the constant of the gold, C."""
    ours, theirs = symbols(stated) - symbols(gold), symbols(gold) - symbols(stated)
    if len(ours) == len(theirs) == 1 and ours | theirs <= _CONSTANTS_OF_INTEGRATION:
        return substituted(stated, ours.pop(), Symbol(theirs.pop()))
    return None


def substituted(expression: Expression, name: str, new: Expression) -> Expression:
    if isinstance(expression, Symbol):
        return new if expression.name == name else expression
    if isinstance(expression, Operation):
        return Operation(expression.name, tuple(substituted(one, name, new) for one in expression.arguments))
    return expression


def has_signs(statement: Statement) -> bool:
    r"""Whether a value stands for several: `\pm 3`."""
    return isinstance(statement, Quantity) and _signs_in(statement.value) > 0


def _signs_in(expression: Expression) -> int:
    return sum(isinstance(one, Operation) and one.name in _SIGNS for one in parts(expression))


_SIGNS = ("pm", "mp")


def branches(quantity: Quantity, together: bool) -> list[Statement]:
    """The values of an expression with plus-or-minus signs; `together`: all are upper, or all lower."""
    count = _signs_in(quantity.value)
    choices = [(True,) * count, (False,) * count] if together else list(product((True, False), repeat=count))
    found: list[Statement] = []
    for choice in choices:
        member = Quantity(_chosen(quantity.value, iter(choice)), quantity.unit, quantity.percent)
        if not any(same_quantities(member, other).equal for other in found if isinstance(other, Quantity)):
            found.append(member)
    return found


def _chosen(expression: Expression, choice: Iterator[bool]) -> Expression:
    if not isinstance(expression, Operation):
        return expression
    if expression.name in _SIGNS:
        upper = next(choice) == (expression.name == "pm")
        first, second = (_chosen(one, choice) for one in expression.arguments)
        signed = second if upper else Operation("neg", (second,))
        return signed if first == Number(Fraction(0)) else Operation("add", (first, signed))
    return Operation(expression.name, tuple(_chosen(one, choice) for one in expression.arguments))
