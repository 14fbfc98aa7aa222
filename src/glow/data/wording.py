"""Split texts into folded words for comparison, and read suites' questions in that form.

*Words.* Text is folded (Unicode NFKC, case) and split into runs of letters and digits. Typographic marks
are dropped; operators, comparisons and brackets stay with the word after them, since `p + 1` and `p - 1`
are different questions. *Training texts* are all strings of a row, whatever their keys, so that
trajectories, problems, chats and a user's own rows are read alike, without naming their keys.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glow.data.choices import with_choices
from glow.data.problem_rows import suite_name
from glow.errors import UserError
from glow.files.jsonl import Record
from glow.files.user_rows import Row, read_rows, text

_TYPOGRAPHY = str.maketrans(
    dict.fromkeys(".,;:!?'\"`$|_\\~‘’“”«»…", " ") | dict.fromkeys("‐‑‒–—−", "-")  # noqa: RUF001
)

_HYPHEN = re.compile(r"-+(?=[^\W\d]{2})")

_AFTER_SYMBOL = re.compile(r"(?<=[^\w\s])\s+")

_WORD = re.compile(r"[^\w\s]*\w+|[^\w\s]+$")

_SYMBOLS = re.compile(r"^[^\w\s]+")

_CHOICE_MARK = re.compile(r"^\W*[A-Za-z][.):]\s+")


def words(text: str) -> list[str]:
    """The words of a text as they are compared: folded, operators and brackets kept with the next word."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = _HYPHEN.sub(" ", text.casefold().translate(_TYPOGRAPHY))
    return _WORD.findall(_AFTER_SYMBOL.sub("", text.rstrip()))


@dataclass(frozen=True)
class IndexedQuestion:
    """A question of a suite: what is asked (`stem`, without its choices), and its suite."""

    suite: str
    name: str
    stem: str
    choices: tuple[str, ...]
    """Normalised."""
    wholes: frozenset[str]
    """The normalised forms under which a training text without choices of its own may hold it whole."""


def read_suites(paths: Sequence[Path]) -> list[IndexedQuestion]:
    """The questions of suite files (those of `glow suite`, or any rows with a `question`).

    A suite is named by its file; where two files share a name, by their paths.

    Raises:
        UserError: a file is missing, malformed, empty or given twice, or a row has no question.
    """
    for place, path in enumerate(paths):
        if path.resolve() in [before.resolve() for before in paths[:place]]:
            raise UserError(f"{path}: this suite is given twice; give every suite once")
    names = [suite_name(path) for path in paths]
    questions = []
    for path, name in zip(paths, names, strict=True):
        rows = list(read_rows(path))
        if not rows:
            raise UserError(f"{path}: no rows; a suite needs at least one question")
        unique = name if names.count(name) == 1 else str(path)
        questions += [_question(row, unique) for row in rows]
    return questions


def _question(row: Row, suite: str) -> IndexedQuestion:
    asked = text(row, "question", "every row of a suite needs a question")
    stem, choices = stem_and_choices(row.record)
    wholes = frozenset(filter(None, map(normalised, (asked, stem, with_choices(stem, choices)))))
    return IndexedQuestion(suite, row_name(row), stem, tuple(map(normalised, choices)), wholes)


def stem_and_choices(record: Record) -> tuple[str, list[str]]:
    """A row's question without its choices, and the choices: from a list, or the lines after `stem`."""
    asked, stem = str(record["question"]), record.get("stem")
    for key in ("choices", "options"):
        found = record.get(key)
        if isinstance(found, list) and found and all(isinstance(choice, str) for choice in found):
            return stem if isinstance(stem, str) else asked, found
    if isinstance(stem, str) and stem and asked.startswith(stem):
        lines = [_CHOICE_MARK.sub("", line) for line in asked[len(stem) :].splitlines()]
        return stem, [line for line in lines if line.strip()]
    return asked, []


def without_last_symbols(text_words: list[str]) -> list[str]:
    """Drop a last word that is only symbols: inside a longer text they would be part of the next word."""
    return text_words[:-1] if len(text_words) > 1 and not bare_word(text_words[-1]) else text_words


def bare_word(word: str) -> str:
    """The word without the symbols before it."""
    return word if word[0].isalnum() else _SYMBOLS.sub("", word)


def at_least_half(found: Iterable[bool]) -> bool:
    """Whether at least half are true."""
    each = list(found)
    return 2 * sum(each) >= len(each)


def normalised(text: str) -> str:
    return " ".join(words(text))


def row_name(row: Row) -> str:
    """A row's id if it has one, else its place."""
    for key in ("trajectory_id", "problem_id", "id"):
        if isinstance(row.record.get(key), str | int):
            return str(row.record[key])
    return row.place


def texts(value: Any) -> Iterator[str]:
    """All strings of a row, in lists and mappings too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
