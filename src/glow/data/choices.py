"""Choices of a question: their letters, and which one is right."""

import re
import string
from collections.abc import Iterable

from glow.errors import UserError
from glow.files.user_rows import Row

LETTERS = string.ascii_uppercase

_LISTED = re.compile(r"^[ \t]*\(?([A-Z])[.)][ \t]+(.*\S)[ \t]*$", re.MULTILINE)


def with_choices(question: str, choices: Iterable[str]) -> str:
    """The question with its choices (26 at most) under it, one a line: `A. ...`."""
    lettered = (f"{LETTERS[place]}. {choice}" for place, choice in enumerate(choices))
    return "\n".join([question, *lettered])


def listed_choices(question: str) -> list[str]:
    """The choices at the end of a question, one a line, as `A. ...` or `(A) ...`; empty if it has none."""
    found = [(match[1], match[2]) for match in _LISTED.finditer(question)]
    starts = [place for place, (letter, _) in enumerate(found) if letter == "A"]
    last = found[starts[-1] :] if starts else []
    in_order = [letter for letter, _ in last] == list(LETTERS[: len(last)])
    return [choice for _, choice in last] if len(last) > 1 and in_order else []


def choices_of(row: Row, key: str, answer_key: str) -> tuple[list[str], str]:
    """The texts of the choices under `key` and the letter of the right one (A for the first).

    The answer may be a letter, one of the row's own labels (ARC has 1 to 4), or an index from 0.

    Raises:
        UserError: the key does not have a list of choices, or the answer is not one of them.
    """
    found = row.record.get(key)
    labels, choices = (found.get("label"), found.get("text")) if isinstance(found, dict) else (None, found)
    if (
        not isinstance(choices, list)
        or not 2 <= len(choices) <= len(LETTERS)
        or not all(isinstance(choice, str) for choice in choices)
    ):
        raise UserError(f"{row.place}: {key!r} must be a list of 2 to {len(LETTERS)} texts")
    answer = row.record.get(answer_key)
    names = labels if isinstance(labels, list) else list(LETTERS[: len(choices)])
    position = answer if isinstance(answer, int) else names.index(answer) if answer in names else -1
    if isinstance(answer, bool) or not 0 <= position < len(choices):
        raise UserError(f"{row.place}: answer {answer!r} is not one of the {len(choices)} choices")
    return choices, LETTERS[position]
