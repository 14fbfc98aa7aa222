"""Vectors and matrices, ratios, and numerals of other bases."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from glow.verifier.equality.quantities import same_quantities, substituted
from glow.verifier.equality.result import UNKNOWN, Same, all_same
from glow.verifier.equality.values import same_values, sampled
from glow.verifier.grammar.tree import (
    Expression,
    Group,
    Matrix,
    Number,
    Numeral,
    Operation,
    Quantity,
    Ratio,
    Statement,
    symbols,
)

_BASIS = (r"\hati", r"\hatj", r"\hatk")


def has_basis(statement: Statement) -> bool:
    return isinstance(statement, Quantity) and not symbols(statement.value).isdisjoint(_BASIS)


def vector(statement: Statement) -> Group:
    r"""`3\hat{i} - 2\hat{j}` as (3, -2)."""
    assert isinstance(statement, Quantity)
    names = symbols(statement.value)
    width = 3 if _BASIS[2] in names else 2
    members = []
    for k in range(width):
        component = statement.value
        for j, name in enumerate(_BASIS):
            component = substituted(component, name, Number(Fraction(int(j == k))))
        known = sampled(component)[0]
        members.append(Quantity(Number(known) if isinstance(known, Fraction) else component))
    return Group("(", tuple(members), ")")


def same_matrices(stated: Statement, gold: Statement) -> Same:
    ours, theirs = _rows(stated), _rows(gold)
    if ours is None or theirs is None:
        may_be_one = isinstance(stated, Quantity) and symbols(stated.value)
        return UNKNOWN if may_be_one else Same(False, "a matrix and something else")
    if _is_determinant(stated) != _is_determinant(gold):
        return Same(False, "a determinant and a matrix")
    vectors = [isinstance(one, Group) and not isinstance(one.members[0], Group) for one in (stated, gold)]
    if any(vectors):
        ours, theirs = (_flat(rows) for rows in (ours, theirs))
    if [len(row) for row in ours] != [len(row) for row in theirs]:
        return Same(False, "different shapes")
    pairs = zip((cell for row in ours for cell in row), (cell for row in theirs for cell in row), strict=True)
    return all_same((same_quantities(Quantity(own), Quantity(right)) for own, right in pairs), "same entries")


def _is_determinant(statement: Statement) -> bool:
    return isinstance(statement, Matrix) and statement.opening == "|"


Rows = Sequence[Sequence[Expression]]


def _rows(statement: Statement) -> Rows | None:
    if isinstance(statement, Matrix):
        return statement.rows
    if not isinstance(statement, Group) or statement.opening == "{":
        return None
    if all(isinstance(one, Quantity) for one in statement.members):
        return [[one.value for one in statement.members if isinstance(one, Quantity)]]
    rows = [_rows(one) for one in statement.members]
    return [row[0] for row in rows if row is not None] if all(row and len(row) == 1 for row in rows) else None


def _flat(rows: Rows) -> Rows:
    """A column or a row as a vector."""
    return [[cell for row in rows for cell in row]] if min(len(rows), len(rows[0])) == 1 else rows


def same_ratios(stated: Statement, gold: Statement) -> Same:
    ours, theirs = _terms(stated), _terms(gold)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return Same(False, "a ratio and something else")
    for (own, right), (next_own, next_right) in pairwise(zip(ours, theirs, strict=True)):
        crossed = same_values(Operation("mul", (own, next_right)), Operation("mul", (right, next_own)))
        if crossed is not True:
            return Same(crossed, "different ratios")
    return Same(True, "the same ratio")


def _terms(statement: Statement) -> Sequence[Expression] | None:
    if isinstance(statement, Ratio):
        zero = any(sampled(term)[0] == 0 for term in statement.terms)
        return None if zero else statement.terms
    if isinstance(statement, Quantity) and statement.unit is None and not statement.percent:
        return statement.value, Number(Fraction(1))
    return None


def same_numerals(stated: Statement, gold: Statement) -> Same:
    if isinstance(stated, Numeral) and isinstance(gold, Numeral):
        return Same(stated == gold, "different numerals")
    digits = []
    for one in (stated, gold):
        if isinstance(one, Numeral):
            digits.append(one.digits)
        elif isinstance(one, Quantity) and isinstance(one.value, Number) and one.value.value.denominator == 1:
            digits.append(str(one.value.value.numerator))
        else:
            return Same(False, "a numeral and something else")
    alike = digits[0] == digits[1]
    return Same(
        alike,
        "same digits, base left out" if alike else "different numerals",
        "base left out" if alike else None,
    )
