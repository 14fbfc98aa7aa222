"""The kind of answer that a gold looks to be."""

import re
from fractions import Fraction
from functools import lru_cache

from glow.files.records import AnswerType
from glow.verifier.equality.brackets import bracket_sequence
from glow.verifier.equality.choices import choice_letter
from glow.verifier.equality.dates import read_date, read_time
from glow.verifier.equality.gold import LONGEST
from glow.verifier.equality.quantities import has_signs, is_literal
from glow.verifier.equality.regions import describes_set
from glow.verifier.equality.typography import unmarked
from glow.verifier.equality.words import BOOLEAN, words_of
from glow.verifier.grammar import read
from glow.verifier.grammar.characters import spell
from glow.verifier.grammar.tree import (
    Family,
    Group,
    Matrix,
    NamedSet,
    Numeral,
    Quantity,
    Relation,
    SetAlgebra,
    SetBuilder,
    Several,
    Statement,
    Symbol,
    parts,
)


def rational(text: str) -> Fraction | None:
    """A decimal number of few places, or a fraction of whole numbers, in its commonest spelling."""
    if found := _FRACTION.fullmatch(text):
        below = int(found[3])
        return Fraction(int(found[1] + found[2]), below) if below else None
    if found := _DECIMAL.fullmatch(text):
        return Fraction(text) if found[1] else Fraction(int(text))
    return None


_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_DECIMAL = re.compile(r"-?\d+(\.\d{1,5})?")
"""Of more places, it may be rounded (`values.rounded`)."""


@lru_cache(maxsize=4096)
def infer_type(gold: str) -> AnswerType:
    r"""The kind of answer that `gold` looks to be.

    A bare comma list is a `set`: the golds of MATH so write all solutions, in no order. `(1,2)` is a
    `tuple` (an open interval is compared alike); `[1,2)` and unions are intervals.
    """
    if len(gold) > LONGEST:
        return "expression"
    if rational(gold) is not None:
        return "number"
    text = spell(gold)
    statements = read(text).statements
    of_text: tuple[tuple[bool, AnswerType], ...] = (
        (bracket_sequence(gold) is not None, "brackets"),
        (BOOLEAN.fullmatch(unmarked(text)) is not None, "boolean"),
        (choice_letter(text) in set("ABCDEFGHIJ"), "choice"),
        (read_date(text) is not None, "date"),
        (read_time(text) is not None, "time"),
        (words_of(text) is not None, "text"),
    )
    kind = next((kind for holds, kind in of_text if holds), None)
    return kind or (_of_statement(statements[0]) if statements else "expression")


def _of_statement(statement: Statement) -> AnswerType:  # noqa: PLR0911 (one line for each kind)
    match statement:
        case Quantity() if has_signs(statement):
            return "set"
        case Quantity() if is_literal(statement.value):
            return "number"
        case Quantity() if Symbol("i") in parts(statement.value):
            return "complex"
        case Matrix():
            return "matrix"
        case Relation():
            return "relation"
        case SetAlgebra() | SetBuilder() | NamedSet():
            return "interval"
        case Group(opening="{") | Several() | Family():
            return "set"
        case Group():
            return "interval" if describes_set(statement) else "tuple"
        case Numeral():
            return "number"
    return "expression"
