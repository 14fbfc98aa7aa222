r"""Whether two answers, as the grammar reads them, mean the same.

There is one comparison for each pair of kinds. Each says yes, no, or that it does not know; then the texts go
to math-verify (`glow.verifier.compare`).
"""

from collections.abc import Callable

from glow.verifier.equality import regions
from glow.verifier.equality.equations import (
    Assigned,
    Contradiction,
    Equation,
    are_equations,
    by_letters,
    is_equality,
    other_letters,
    resolved,
    same_equations,
)
from glow.verifier.equality.families import same_families
from glow.verifier.equality.members import same_members
from glow.verifier.equality.quantities import has_signs, same_quantities
from glow.verifier.equality.result import UNKNOWN, Same
from glow.verifier.equality.shapes import has_basis, same_matrices, same_numerals, same_ratios, vector
from glow.verifier.equality.values import same_values
from glow.verifier.grammar.tree import (
    Dots,
    Family,
    Group,
    Matrix,
    NamedSet,
    Numeral,
    Operation,
    Quantity,
    Ratio,
    Relation,
    Several,
    Statement,
    Symbol,
    difference,
)


def same(stated: Statement, gold: Statement, order: bool | None = None) -> Same:
    """Compare two statements. `order`: whether that of members counts, where the type of the gold says so."""
    if stated == gold and not isinstance(stated, Dots):
        return Same(True, "same but for spelling")
    for applies, compare in _COMPARISONS:
        if applies(stated, gold):
            return compare(stated, gold, order)
    return Same(False, "different kinds of answers")


def _equalities(stated: Statement, gold: Statement, order: bool | None) -> Same:
    if isinstance(stated, Several) or isinstance(gold, Several):
        ours, theirs = (by_letters(one) if isinstance(one, Relation) else one for one in (stated, gold))
        return same_members(ours, theirs, order, same)
    own, right = resolved(stated), resolved(gold)
    if isinstance(own, Contradiction):
        return Same(False, "contradicts itself")
    if isinstance(own, Relation) or isinstance(right, Relation | Contradiction):
        return UNKNOWN
    if isinstance(own, Equation) or isinstance(right, Equation) or are_equations(own, right):
        return same_equations(own, right)
    if isinstance(own, Assigned) and isinstance(right, Assigned) and other_letters(own, right):
        return Same(False, "values of different letters")
    return _bodies(stated, own, right.body if isinstance(right, Assigned) else gold, order)


def _bodies(stated: Statement, own: object, right: Statement, order: bool | None) -> Same:
    r"""The value that is assigned, or the one to which it was rounded: `x = \pi \approx 3.14`."""
    found = same(own.body if isinstance(own, Assigned) else stated, right, order)
    if found.equal is False and isinstance(stated, Relation) and "~=" in stated.signs:
        return same(stated.sides[-1], right, order)
    return found


def _regions(stated: Statement, gold: Statement, order: bool | None) -> Same:
    stated, gold = (NamedSet("R") if one == Quantity(Symbol("R")) else one for one in (stated, gold))
    found = regions.same_region(stated, gold)
    if found is not None:
        return Same(found, "the same set of numbers" if found else "different sets of numbers")
    if isinstance(stated, Relation) and isinstance(gold, Relation):
        return _inequalities(stated, gold)
    if not regions.describes_set(stated) or not regions.describes_set(gold):
        return Same(False, "a set of numbers and something else")
    groups = isinstance(stated, Group) and isinstance(gold, Group)
    return same_members(stated, gold, order, same) if groups else UNKNOWN


_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}


def _inequalities(stated: Relation, gold: Relation) -> Same:
    """Inequalities of several variables: the same but for a constant factor."""
    if len(stated.signs) > 1 or len(gold.signs) > 1 or stated.signs[0] not in _TURNED:
        return UNKNOWN
    zeros = []
    for one in (stated, gold):
        first, second = one.sides
        if not isinstance(first, Quantity) or not isinstance(second, Quantity):
            return UNKNOWN
        zeros.append(difference(first.value, second.value))
    if gold.signs[0] == stated.signs[0] and same_values(*zeros):
        return Same(True, "the same inequality")
    turned = Operation("neg", (zeros[0],))
    if gold.signs[0] == _TURNED[stated.signs[0]] and same_values(turned, zeros[1]):
        return Same(True, "the same inequality")
    return UNKNOWN


# --- which comparison -----------------------------------------------------------------------------


def _members(stated: Statement, gold: Statement, order: bool | None) -> Same:
    return same_members(stated, gold, order, same)


def _values(stated: Statement, gold: Statement, order: bool | None) -> Same:
    assert isinstance(stated, Quantity) and isinstance(gold, Quantity)
    if has_signs(stated) or has_signs(gold):
        return _members(stated, gold, order)
    return same_quantities(stated, gold)


def _vectors(stated: Statement, gold: Statement, order: bool | None) -> Same:
    ours, theirs = (vector(one) if has_basis(one) else one for one in (stated, gold))
    return same(ours, theirs, order)


Applies = Callable[[Statement, Statement], bool]


def _one_is(*kinds: type) -> Applies:
    return lambda stated, gold: isinstance(stated, kinds) or isinstance(gold, kinds)


def _one(test: Callable[[Statement], bool]) -> Applies:
    return lambda stated, gold: test(stated) or test(gold)


_COMPARISONS: tuple[tuple[Applies, Callable[[Statement, Statement, bool | None], Same]], ...] = (
    (_one_is(Dots), lambda stated, gold, order: Same(stated == gold, "dots")),
    (_one_is(Family), lambda stated, gold, order: same_families(stated, gold)),
    (_one(is_equality), _equalities),
    (_one_is(Numeral), lambda stated, gold, order: same_numerals(stated, gold)),
    (_one(regions.describes_set), _regions),
    (_one(has_basis), _vectors),
    (_one_is(Matrix), lambda stated, gold, order: same_matrices(stated, gold)),
    (_one_is(Several, Group), _members),
    (_one_is(Ratio), lambda stated, gold, order: same_ratios(stated, gold)),
    (lambda stated, gold: isinstance(stated, Quantity) and isinstance(gold, Quantity), _values),
)
"""The first that applies to one of two statements compares them."""
