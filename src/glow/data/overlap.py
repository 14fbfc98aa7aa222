"""Where the questions of evaluation suites stand in training texts: whole, or in part by shared n-grams.

A question of fewer words than an n-gram is looked for by all its words running, and by its choices; only
the shortest ones are compared with whole texts alone (`SuiteIndex.whole_only`).

What is made of it, and when it is too much, is `glow.data.contamination`. It measures wording: a translation
or a paraphrase is not found, and a passage or template that two texts share is found without being a leak.

The suites' n-grams are indexed once, the training files are streamed: memory grows with the suites and
the widest training row only.
What a text's words are is `glow.data.wording`; how n-grams are found is `glow.data.ngrams`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from glow.data.ngrams import SuiteIndex
from glow.data.wording import row_name, stem_and_choices, texts, words
from glow.files.progress import progress_bar
from glow.files.user_rows import Row, read_rows

_BATCH_WORDS = 200_000
"""Training words that are looked up together."""


@dataclass
class Found:
    """What a training file holds of every question: arrays by question number."""

    path: Path
    exact: np.ndarray
    """Whether a training text is equal to the question."""
    covered: np.ndarray
    """The most words of the question that one training text covers."""
    row: list[str]
    """The training row that covers most; of equals, the one whose id has the least hash."""
    order: np.ndarray
    """That hash, so that the order of the rows does not matter."""
    rows: int = 0
    words: int = 0

    @classmethod
    def nothing(cls, path: Path, questions: int) -> Self:
        """Nothing of any question."""
        zeros = np.zeros(questions, np.int64)
        most = np.full(questions, np.iinfo(np.uint64).max, np.uint64)
        return cls(path, zeros.astype(bool), zeros, [""] * questions, most)

    def note(self, question: np.ndarray, covered: np.ndarray, row: Sequence[str], order: np.ndarray) -> None:
        """Take in how many words of a question a row covers, for many of both."""
        best_first = np.lexsort((order, -covered, question))
        question, covered, order = question[best_first], covered[best_first], order[best_first]
        first = np.append(True, np.diff(question) != 0)
        equal = (covered == self.covered[question]) & (order < self.order[question])
        for place in np.flatnonzero(first & ((covered > self.covered[question]) | equal)):
            number = question[place]
            self.covered[number], self.order[number] = covered[place], order[place]
            self.row[number] = row[best_first[place]]


def scan(path: Path, index: SuiteIndex) -> Found:
    """Read one training file (JSON Lines or Parquet) once, and say what it holds of the suites.

    Raises:
        UserError: the file is missing or malformed.
    """
    found = Found.nothing(path, len(index.questions))
    batch: list[list[str]] = []
    names: list[str] = []
    waiting = 0
    for row in progress_bar(f"reading {path.name}", "row", iterable=read_rows(path)):
        long = _long_texts(row, index, found)
        batch += long
        names += [row_name(row)] * len(long)
        waiting += sum(map(len, long))
        if waiting >= _BATCH_WORDS:
            _look_up(batch, names, index, found)
            batch, names, waiting = [], [], 0
    _look_up(batch, names, index, found)
    return found


def _long_texts(row: Row, index: SuiteIndex, found: Found) -> list[list[str]]:
    """The words of each text of a row in which a run may be found; whole questions are noted."""
    stem, choices = (
        stem_and_choices(row.record) if isinstance(row.record.get("question"), str) else (None, [])
    )
    equal = index.equal_choice(row.record) if choices else []
    long = []
    for value in texts(row.record):
        text_words = words(value)
        found.words += len(text_words)
        if not choices or value != stem:
            equal = equal + index.equal(text_words)
        if len(text_words) >= index.shortest_run:
            long.append(text_words)
    found.rows += 1
    if equal:
        numbers, name = np.array(equal), row_name(row)
        found.exact[numbers] = True
        order = np.full(len(numbers), _order(name), np.uint64)
        found.note(numbers, index.lengths[numbers], [name] * len(numbers), order)
    return long


def _look_up(batch: list[list[str]], names: list[str], index: SuiteIndex, found: Found) -> None:
    """Take in what a batch of training texts, and the rows that they are from, hold."""
    orders = np.array([_order(name) for name in names], np.uint64)
    for text_of, question, covered in index.covered(batch):
        found.note(question, covered, [names[place] for place in text_of], orders[text_of])


def _order(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest(), "big")
