"""Find questions of evaluation suites in training texts: whole, or in part by shared n-grams.

For a question of fewer words than an n-gram, all its words in a row are searched for, and its choices; the
very shortest are only compared with whole texts (`SuiteIndex.whole_only`).

How much overlap is too much is decided in `glow.data.contamination`. Only wording is compared: a translation
or a paraphrase is not found, and a passage or template that two texts share is found without being a leak.

The suites' n-grams are kept in a dictionary, the training files are streamed: memory grows with the suites
alone. How a text is split into words is in `glow.data.wording`.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glow.data.wording import (
    IndexedQuestion,
    at_least_half,
    bare_word,
    normalised,
    row_name,
    stem_and_choices,
    texts,
    without_last_symbols,
    words,
)
from glow.files.jsonl import Record
from glow.files.progress import progress_bar
from glow.files.user_rows import Row, read_rows

SHORTEST = 5
"""Fewest words of a question, shorter than an n-gram, that is searched for inside longer texts.

In 34 million words of solutions to MATH, GSM8K and MMLU-Pro we searched for the questions of eleven suites.
Every run of 4 words or more that was one of these questions came from a text that asks the same question.
Shorter ones also occur by chance: `-4 + (-3)`, with its choices, in a solution; `What is 2 + 3?` in any sum.
"""

_REACH = 1000
"""Words after a short question within which its choices are looked for."""

_CONTINUES = re.compile(r"[-+*/^%][({]*(\d|\w$)")


@dataclass
class Found:
    """Which questions a training file contains, wholly or in part, by question number.

    Attributes:
        exact: the questions that a training text is equal to.
        covered: the most words of a question that one training text covers; questions with no word covered
            are left out.
        row: the training row that covers most; among equals, the one whose name has the smallest hash, so
            that the order of the rows does not matter.
    """

    path: Path
    exact: set[int] = field(default_factory=set)
    covered: dict[int, int] = field(default_factory=dict)
    row: dict[int, str] = field(default_factory=dict)
    rows: int = 0
    words: int = 0

    def note(self, question: int, covered: int, row: str) -> None:
        """Record how many words of a question a row covers."""
        most = self.covered.get(question, -1)
        if covered > most or (covered == most and _order(row) < _order(self.row[question])):
            self.covered[question], self.row[question] = covered, row


def _order(name: str) -> bytes:
    return hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest()


def scan(path: Path, index: "SuiteIndex") -> Found:
    """Read one training file (JSON Lines or Parquet) once, and find the suites' questions in it.

    Raises:
        UserError: the file is missing or malformed.
    """
    found = Found(path)
    for row in progress_bar(f"reading {path.name}", "row", iterable=read_rows(path)):
        _scan_row(row, index, found)
        found.rows += 1
    return found


def _scan_row(row: Row, index: "SuiteIndex", found: Found) -> None:
    name = row_name(row)
    asks = isinstance(row.record.get("question"), str)
    stem, choices = stem_and_choices(row.record) if asks else (None, [])
    equal = index.equal_choice(row.record) if choices else []
    for value in texts(row.record):
        text_words = words(value)
        found.words += len(text_words)
        if not choices or value != stem:
            equal = equal + index.equal(text_words)
        for question, covered in index.covered(text_words).items():
            found.note(question, covered, name)
    for question in equal:
        found.exact.add(question)
        found.note(question, index.lengths[question], name)


class SuiteIndex:
    """The questions of all suites, by their n-grams and as wholes.

    Attributes:
        lengths: words of each question, without its choices.
        whole_only: which questions are too short to be looked for inside longer texts.
    """

    def __init__(self, questions: Sequence[IndexedQuestion], ngram: int) -> None:
        self.questions = questions
        self.ngram = ngram
        stems = [without_last_symbols(words(question.stem)) for question in questions]
        self.lengths = [len(stem) for stem in stems]
        self._wholes: dict[str, list[int]] = {}
        self._stems: dict[str, list[int]] = {}
        self._grams: dict[int, list[int]] = {}
        """Hash of an n-gram -> where it begins, in the words of all questions laid end to end."""
        self._question_at: list[int] = []
        """The question of each of those words."""
        self._short: dict[tuple[str, ...], list[int]] = {}
        self._choices = [
            [_without_symbols(choice.split()) for choice in question.choices] for question in questions
        ]
        for number, (question, stem) in enumerate(zip(questions, stems, strict=True)):
            for whole in question.wholes:
                self._wholes.setdefault(whole, []).append(number)
            if stem:
                self._stems.setdefault(normalised(question.stem), []).append(number)
            for place, gram in _runs(stem, ngram):
                self._grams.setdefault(hash(gram), []).append(len(self._question_at) + place)
            self._question_at += [number] * len(stem)
            if 0 < len(stem) < ngram and (len(stem) >= SHORTEST or question.choices):
                self._short.setdefault((bare_word(stem[0]), *stem[1:]), []).append(number)
        self._whole_lengths = {whole.count(" ") + 1 for whole in self._wholes}
        self._sizes: dict[str, set[int]] = {}
        """First word of a short question -> how many words such questions have."""
        for run in self._short:
            self._sizes.setdefault(run[0], set()).add(len(run))
        looked_up = {number for numbers in self._short.values() for number in numbers}
        self.whole_only = [n < ngram and number not in looked_up for number, n in enumerate(self.lengths)]

    def equal(self, text_words: Sequence[str]) -> list[int]:
        """The questions that a training text without choices is equal to."""
        if len(text_words) not in self._whole_lengths:
            return []
        return self._wholes.get(" ".join(text_words), [])

    def equal_choice(self, record: Record) -> list[int]:
        """The questions that a training row with choices is equal to.

        The stem is the same, and so is at least half of the suite's choices, in any order (MMLU-Pro adds
        some to MMLU's); "Which of these is true?" alone is not a copy.
        """
        stem, listed = stem_and_choices(record)
        choices = set(map(normalised, listed))
        return [
            number
            for number in self._stems.get(normalised(stem), [])
            if at_least_half(choice in choices for choice in set(self.questions[number].choices))
        ]

    def covered(self, text_words: Sequence[str]) -> dict[int, int]:
        """How many words of each question are covered by n-grams that the text shares with it.

        Of a question that is shorter than an n-gram, either all words are covered or no word is.
        """
        grams = {key for _, gram in _runs(text_words, self.ngram) if (key := hash(gram)) in self._grams}
        covered = {number: self.lengths[number] for number in self._short_copies(text_words)}
        end = 0
        for place in sorted({place for gram in grams for place in self._grams[gram]}):
            number = self._question_at[place]
            # Words that the n-gram before covers count once; it cannot reach into the next question.
            covered[number] = covered.get(number, 0) + place + self.ngram - max(place, end)
            end = place + self.ngram
        return covered

    def _short_copies(self, text_words: Sequence[str]) -> Iterator[int]:
        """The questions of fewer words than an n-gram of which a text contains all words.

        Where a question has no choices, its words are a copy, unless a formula goes on after them. Where it
        has ("Which of these is true?"), at least half of them must follow the words; and of a
        question of fewer than `SHORTEST` words all of them, lettered and at once.
        """
        for place, word in enumerate(text_words):
            first = bare_word(word)
            for size in self._sizes.get(first, ()):
                run = (first, *text_words[place + 1 : place + size])
                if len(run) == size and run in self._short:
                    end = place + size
                    yield from self._copies(self._short[run], text_words[end : end + _REACH])

    def _copies(self, numbers: Sequence[int], rest: Sequence[str]) -> Iterator[int]:
        """Which questions of one wording are copied, by the words that follow it."""
        bare = f" {_without_symbols(rest)} " if any(self._choices[number] for number in numbers) else ""
        yield from (number for number in numbers if self._is_copy(number, rest, bare))

    def _is_copy(self, number: int, rest: Sequence[str], bare: str) -> bool:
        choices = self._choices[number]
        if not choices:
            return not (rest and _CONTINUES.match(rest[0]))
        if self.lengths[number] >= SHORTEST:
            return at_least_half(f" {choice} " in bare for choice in choices)
        lettered = " ".join(f"{chr(97 + place)} {choice}" for place, choice in enumerate(choices))
        return bare.startswith(f" {lettered} ")


def _runs(text_words: Sequence[str], size: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each run of `size` words, and where it begins.

    Symbols before a run's first word are not part of it, since a copy may be in brackets or in bold.
    """
    for place in range(len(text_words) - size + 1):
        yield place, (bare_word(text_words[place]), *text_words[place + 1 : place + size])


def _without_symbols(text_words: Sequence[str]) -> str:
    """The words without symbols before them, so that `A. x`, `(A) x` and `- x` are alike."""
    return " ".join(filter(None, map(bare_word, text_words)))
