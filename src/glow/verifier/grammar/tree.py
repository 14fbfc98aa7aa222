"""What an answer says, as a tree: expressions, and the statements that are made of them.

Trees are equal (`==`) when the answers are the same but for spelling. Whether two trees mean the same is
asked in `glow.verifier.equality`.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

# --- expressions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A rational number that was written in digits, and how many of them stand behind the point."""

    value: Fraction
    places: int = 0


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable or a constant: `x`, `x_1`, `AB`, `pi`."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A function or operator applied: `add`, `mul`, `pow`, `pm`, `degree`, `sin` ..."""

    name: str
    arguments: "tuple[Expression, ...]"


Expression = Number | Symbol | Operation
CONSTANTS = frozenset({"pi", "e", "i", "infinity"})


def parts(expression: Expression) -> "list[Expression]":
    """The expression and all that it is made of."""
    found = [expression]
    for one in found:
        if isinstance(one, Operation):
            found.extend(one.arguments)
    return found


def depth(expression: Expression) -> int:
    """How many operations stand within one another."""
    found, level = 0, [expression]
    while level := [inner for one in level if isinstance(one, Operation) for inner in one.arguments]:
        found += 1
    return found


def difference(first: Expression, second: Expression) -> Expression:
    """The first less the second."""
    return Operation("add", (first, Operation("neg", (second,))))


def symbols(expression: Expression) -> set[str]:
    """The variables of an expression."""
    return {one.name for one in parts(expression) if isinstance(one, Symbol)} - CONSTANTS


# --- statements -----------------------------------------------------------------------------------


class Unit(NamedTuple):
    """What is measured, and how: a quantity x in this unit is x * factor + offset in the basic one."""

    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Quantity:
    """An expression with the unit or the per cent sign behind it; a description there says nothing."""

    value: Expression
    unit: Unit | None = None
    percent: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Members in brackets: a tuple, an interval, a vector or a set. The brackets are one character each."""

    opening: str
    members: "tuple[Statement, ...]"
    closing: str


@dataclass(frozen=True, slots=True)
class Several:
    """Members without brackets, in the order in which they stand, and what stands between the last two."""

    members: "tuple[Statement, ...]"
    between: Literal[",", "and", "or"]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of expressions; a determinant has the opening `|`."""

    rows: tuple[tuple[Expression, ...], ...]
    opening: str = "("


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain: `1 < x <= 2` has the sides 1, x, 2 and the signs <, <=."""

    sides: "tuple[Statement, ...]"
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetAlgebra:
    """Sets joined by `union`, `intersection` or `difference`."""

    name: str
    members: "tuple[Statement, ...]"


@dataclass(frozen=True, slots=True)
class SetBuilder:
    """All `element` for which `condition` holds."""

    element: "Statement"
    condition: "Statement"


@dataclass(frozen=True, slots=True)
class NamedSet:
    """The real numbers, the empty set and their like."""

    name: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """`3:4:5`."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Numeral:
    """Digits in a base that was named."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Family:
    """A statement for every integer value of a letter: `k pi, k in Z`."""

    body: "Statement"
    letter: str


@dataclass(frozen=True, slots=True)
class Dots:
    """Dots, which stand for members that are left out."""


Statement = (
    Quantity
    | Numeral
    | Ratio
    | Several
    | Group
    | Matrix
    | NamedSet
    | SetAlgebra
    | SetBuilder
    | Relation
    | Family
    | Dots
)
