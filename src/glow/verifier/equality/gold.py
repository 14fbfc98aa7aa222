"""A gold answer with what is known of it, and what a rule says of two answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from glow.files.records import AnswerType, Leniency

LONGEST = 2000
"""Characters of an answer that is looked at as more than a string of characters."""


@dataclass(frozen=True)
class Gold:
    """A gold answer and what is known of it.

    type: None means inferred from the answer. A type that is given is believed: in a `list` or `tuple`
    order counts, in a `set` it does not, `text` is compared as words and never as an expression.
    choices: the texts of choices A, B, C, ...; a response may then state a choice by its text.
    """

    answer: str
    type: AnswerType | None = None
    choices: tuple[str, ...] = ()


class Decision(NamedTuple):
    """Whether two answers are equal, by which rule that was seen, and what was overlooked."""

    equal: bool
    reason: str
    leniency: Leniency | None = None


TOO_LONG = Decision(False, f"longer than {LONGEST} characters: compared as text and as a list only")
"""Not known to be equal, and not known to be different either: no verdict."""

Rule = Callable[[str, str], Decision | None]
