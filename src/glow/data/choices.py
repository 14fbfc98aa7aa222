"""Choices of a question: their letters, and which one is right."""

import re
import string
from collections.abc import Iterable, Sequence
from typing import Any

from glow.config import AnswerAs
from glow.errors import UserError
from glow.files.user_rows import Row, text

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


def choices_of(
    row: Row, keys: str | Sequence[str], answer_key: str, answer_as: AnswerAs = "auto"
) -> tuple[list[str], str]:
    """The texts of a row's choices and the letter of the right one (A for the first).

    Args:
        keys: the key of the list of choices, or the keys that hold one choice each, in order.
        answer_as: what the answer is. `auto`: a letter, one of the row's own labels (ARC has 1 to 4), an
            index from 0, or the text of a choice; one that could be two of these is refused.

    Raises:
        UserError: there is no list of choices, or the answer is not one of them.
    """
    labels, choices = _listed(row, keys)
    answer = row.record.get(answer_key)
    places = _places(answer, labels, choices, answer_as)
    if len(places) > 1:
        raise UserError(
            f"{row.place}: answer {answer!r} may be {' or '.join(LETTERS[place] for place in places)}: "
            "say what answers are with `answer_as: letter`, `index` (from 0), `number` (from 1) or `text`"
        )
    if not places:
        raise UserError(
            f"{row.place}: answer {answer!r} is not one of the {len(choices)} choices{_hint(answer)}"
        )
    return choices, LETTERS[places[0]]


def _listed(row: Row, keys: str | Sequence[str]) -> tuple[list[str], list[str]]:
    """The labels of a row's choices (letters, where it has none), and their texts."""
    if isinstance(keys, str):
        found = row.record.get(keys)
        labels, choices = (
            (found.get("label"), found.get("text")) if isinstance(found, dict) else (None, found)
        )
        if (
            not isinstance(choices, list)
            or not 2 <= len(choices) <= len(LETTERS)
            or not all(isinstance(choice, str) for choice in choices)
        ):
            raise UserError(f"{row.place}: {keys!r} must be a list of 2 to {len(LETTERS)} texts")
        return labels if isinstance(labels, list) else list(LETTERS[: len(choices)]), choices
    texts = [text(row, key, "every row needs all choices") for key in keys]
    return list(LETTERS[: len(texts)]), texts


def _places(answer: Any, labels: list[str], choices: list[str], answer_as: AnswerAs) -> list[int]:
    """The choices, from 0, that an answer may mean."""
    if isinstance(answer, bool) or answer is None:
        return []
    word = str(answer).strip()
    whole = int(word) if word.isascii() and word.isdigit() else -1
    by_label = [labels.index(word)] if word in labels else []
    by_text = [place for place, choice in enumerate(choices) if choice.strip() == word]
    by_index = [whole] if 0 <= whole < len(choices) else []
    by_number = [whole - 1] if 1 <= whole <= len(choices) else []
    said = {"letter": by_label, "index": by_index, "number": by_number, "text": by_text}
    if answer_as != "auto":
        return said[answer_as]
    if isinstance(answer, int):
        return by_index
    if by_label and not word.isdigit():  # a letter; that a choice reads so too is chance
        return by_label
    return sorted({*(by_label or by_index), *by_text})


def _hint(answer: Any) -> str:
    """What to do if an answer that is out of bounds counts from 1."""
    is_number = isinstance(answer, int) or (isinstance(answer, str) and answer.strip().isdigit())
    return "; if answers count from 1, say `answer_as: number`" if is_number else ""
