"""Where the questions of evaluation suites stand in training texts: whole, or in part by shared n-grams.

A question of fewer words than an n-gram is looked for by all its words running, and by its choices; only
the shortest ones are compared with whole texts alone (`SuiteIndex.whole_only`).

What is made of it, and when it is too much, is `glow.data.contamination`. It measures wording: a translation
or a paraphrase is not found, and a passage or template that two texts share is found without being a leak.

The suites' n-grams are indexed once, the training files are streamed: memory grows with the suites and
the widest training row only.

*Words.* Text is folded (Unicode NFKC, case) and split into runs of letters and digits. Typographic marks
are dropped; operators, comparisons and brackets stay with the word after them, since `p + 1` and `p - 1`
are different questions. *Training texts* are all strings of a row, whatever their keys, so that
trajectories, problems, chats and unmapped rows of a user's own are read alike.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from glow.data.choices import with_choices
from glow.data.problem_rows import suite_name
from glow.errors import UserError
from glow.files.jsonl import Record
from glow.files.progress import progress_bar
from glow.files.rows import Row, read_rows, text

_BATCH_WORDS = 200_000
"""Training words that are looked up together."""

SHORTEST = 5
"""Words from which a question that is shorter than an n-gram is looked for inside longer texts.

In 34 million words of solutions to MATH, GSM8K and MMLU-Pro, the runs of 4 words and more that are a
question of one of eleven suites are all of questions that are asked there whole. A shorter question is
easily met by chance: `-4 + (-3)`, with its choices, in a solution; `What is 2 + 3?` in any sum.
"""

_REACH = 1000
"""Words after a short question within which its choices are looked for."""

_FILTER = 22
"""Bits of a hash that are looked up first: most runs of a training text are in no suite."""

_PAIRS = 4_000_000
"""Pairs of a training text and a word of a suite that are held at once; a template has many."""

_TYPOGRAPHY = str.maketrans(
    dict.fromkeys(".,;:!?'\"`$|_\\~‘’“”«»…", " ") | dict.fromkeys("‐‑‒–—−", "-")  # noqa: RUF001
)
_HYPHEN = re.compile(r"-+(?=[^\W\d]{2})")
_AFTER_SYMBOL = re.compile(r"(?<=[^\w\s])\s+")
_WORD = re.compile(r"[^\w\s]*\w+|[^\w\s]+$")
_SYMBOLS = re.compile(r"^[^\w\s]+")
_CONTINUES = re.compile(r"[-+*/^%][({]*(\d|\w$)")
_CHOICE_MARK = re.compile(r"^\W*[A-Za-z][.):]\s+")


def words(text: str) -> list[str]:
    """The words of a text as they are compared: folded, operators and brackets kept with the next word."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = _HYPHEN.sub(" ", text.casefold().translate(_TYPOGRAPHY))
    return _WORD.findall(_AFTER_SYMBOL.sub("", text.rstrip()))


# --- questions ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A question of a suite: what is asked (`stem`, without its choices), and where it is from."""

    suite: str
    name: str
    stem: str
    choices: tuple[str, ...]
    """Normalised."""
    wholes: frozenset[str]
    """The normalised forms under which a training text without choices of its own may hold it whole."""


def read_suites(paths: Sequence[Path]) -> list[Question]:
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


def _question(row: Row, suite: str) -> Question:
    asked = text(row, "question", "every row of a suite needs a question")
    stem, choices = _parted(row.record)
    wholes = frozenset(filter(None, map(_joined, (asked, stem, with_choices(stem, choices)))))
    return Question(suite, _name(row), stem, tuple(map(_joined, choices)), wholes)


def _parted(record: Record) -> tuple[str, list[str]]:
    """What a row asks, and its choices: a list of their own, or the lines after its `stem`."""
    asked, stem = str(record["question"]), record.get("stem")
    for key in ("choices", "options"):
        found = record.get(key)
        if isinstance(found, list) and found and all(isinstance(choice, str) for choice in found):
            return stem if isinstance(stem, str) else asked, found
    if isinstance(stem, str) and stem and asked.startswith(stem):
        lines = [_CHOICE_MARK.sub("", line) for line in asked[len(stem) :].splitlines()]
        return stem, [line for line in lines if line.strip()]
    return asked, []


def _unended(text_words: list[str]) -> list[str]:
    """Without a last word of symbols alone: inside a longer text they would be part of the next word."""
    return text_words[:-1] if len(text_words) > 1 and not _bare(text_words[-1]) else text_words


def _bare(word: str) -> str:
    """The word without the symbols before it."""
    return word if word[0].isalnum() else _SYMBOLS.sub("", word)


def _half(found: Iterable[bool]) -> bool:
    """Whether at least half are true."""
    each = list(found)
    return 2 * sum(each) >= len(each)


def _joined(text: str) -> str:
    return " ".join(words(text))


def _name(row: Row) -> str:
    """A row's id where it has one, or else its place."""
    for key in ("trajectory_id", "problem_id", "id"):
        if isinstance(row.record.get(key), str | int):
            return str(row.record[key])
    return row.place


# --- training texts -----------------------------------------------------------------------------


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


# --- the index ----------------------------------------------------------------------------------


class SuiteIndex:
    """The questions of all suites, by their n-grams and as wholes."""

    def __init__(self, questions: Sequence[Question], ngram: int) -> None:
        self.questions = questions
        self.ngram = ngram
        stems = [_unended(words(question.stem)) for question in questions]
        self.lengths = np.array([len(stem) for stem in stems])
        hashes, places = _ngrams(stems, ngram)
        order = np.argsort(hashes, kind="stable")
        self._grams, first = _HashSet.of(hashes[order])
        self._starts = np.append(first, len(order))
        self._places = places[order]
        """Where each n-gram begins, in the words of all questions laid end to end; by n-gram."""
        self._question_of = np.repeat(np.arange(len(questions)), self.lengths)
        self._total = int(self.lengths.sum())
        self._wholes: dict[str, list[int]] = {}
        self._stems: dict[str, list[int]] = {}
        for number, (question, stem) in enumerate(zip(questions, stems, strict=True)):
            if stem:
                self._stems.setdefault(_joined(question.stem), []).append(number)
            for whole in question.wholes:
                self._wholes.setdefault(whole, []).append(number)
        self._whole_lengths = {whole.count(" ") + 1 for whole in self._wholes}
        self._short = _ShortQuestions(questions, stems, ngram)
        self.shortest_run = min({ngram, *self._short.sizes})
        """Words of the shortest run that is looked for."""
        self.whole_only = (self.lengths < ngram) & ~self._short.looked_up
        """Which questions are too short to be looked for inside longer texts."""

    def equal(self, text_words: Sequence[str]) -> list[int]:
        """The questions that a training text without choices is equal to."""
        if len(text_words) not in self._whole_lengths:
            return []
        return self._wholes.get(" ".join(text_words), [])

    def equal_choice(self, record: Record) -> list[int]:
        """The questions that a training row with choices is equal to.

        The stem is the same, and so is at least half of the suite's choices, in any order (MMLU-Pro adds
        some to MMLU's); "Which of these is true?" alone is no copy.
        """
        stem, listed = _parted(record)
        choices = set(map(_joined, listed))
        return [
            number
            for number in self._stems.get(_joined(stem), [])
            if _half(choice in choices for choice in set(self.questions[number].choices))
        ]

    def covered(self, batch: Sequence[Sequence[str]]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """How many words of which questions lie in n-grams that they share with which texts.

        Those of a short question (`_ShortQuestions`) are all covered, or none.

        Args:
            batch: texts as words.

        Yields:
            Equally long arrays: number of the text, number of the question (no pair twice), words covered.
        """
        laid = _Laid(batch)
        for size, hashes in laid.runs({self.ngram, *self._short.sizes}):
            if size == self.ngram:
                places, gram = laid.inside(size, *self._grams.find(hashes))
                pairs = np.unique(np.stack([laid.text_of[places], gram]), axis=1)  # By text, then by n-gram.
                for part in self._parts(*pairs):
                    yield self._counted(*part)
            else:
                text_of, question = self._short.held(laid, size, hashes)
                yield text_of, question, self.lengths[question]

    def _parts(self, text_of: np.ndarray, gram: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The pairs in parts of whole texts, none of which has many more than `_PAIRS` occurrences."""
        occurrences = np.cumsum(self._starts[gram + 1] - self._starts[gram])
        start = 0
        while start < len(gram):
            before = occurrences[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(occurrences, before + _PAIRS, side="right")))
            # The last text of a part may have n-grams left: give it whole to one part.
            end = int(np.searchsorted(text_of, text_of[end - 1], side="right"))
            yield text_of[start:end], gram[start:end]
            start = end

    def _counted(self, text_of: np.ndarray, gram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Words covered, from pairs of a text and an n-gram that it holds."""
        counts = self._starts[gram + 1] - self._starts[gram]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self._places[np.repeat(self._starts[gram], counts) + offsets]
        key = np.sort(np.repeat(text_of, counts) * self._total + places)
        texts_, question = key // self._total, self._question_of[key % self._total]
        new = np.append(True, (np.diff(texts_) != 0) | (np.diff(question) != 0))
        # An n-gram adds its words up to where the next one begins; that of another question begins after it.
        step = np.minimum(np.append(np.diff(key), self.ngram), self.ngram)
        first = np.flatnonzero(new)
        return texts_[first], question[first], np.add.reduceat(step, first)


class _ShortQuestions:
    """Questions of fewer words than an n-gram, each looked for by all its words as one run.

    Where a question has no choices, that run is a copy, unless a formula goes on after it. Where it has
    ("Which of these is true?"), at least half of them must stand after the run; and below `SHORTEST` words
    all of them, lettered and at once. Without choices, fewer words than that are not looked for.
    """

    def __init__(self, questions: Sequence[Question], stems: Sequence[list[str]], ngram: int) -> None:
        self._choices = [
            [_joined_bare(choice.split()) for choice in question.choices] for question in questions
        ]
        self._stem_lengths = [len(stem) for stem in stems]
        by_size: dict[int, list[int]] = {}
        for number, stem in enumerate(stems):
            if 0 < len(stem) < ngram and (len(stem) >= SHORTEST or self._choices[number]):
                by_size.setdefault(len(stem), []).append(number)
        self.looked_up = np.zeros(len(questions), bool)
        self.sizes = frozenset(by_size)
        self._sets: dict[int, _HashSet] = {}
        self._numbers: dict[int, list[np.ndarray]] = {}
        for size, numbers in by_size.items():
            self.looked_up[numbers] = True
            hashes, _ = _ngrams([stems[number] for number in numbers], size)
            order = np.argsort(hashes, kind="stable")
            self._sets[size], first = _HashSet.of(hashes[order])
            self._numbers[size] = np.split(np.array(numbers)[order], first[1:])

    def held(self, laid: "_Laid", size: int, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which texts hold which questions of `size` words: their numbers, from all runs of this size."""
        places, found = laid.inside(size, *self._sets[size].find(hashes))
        pairs: set[tuple[int, int]] = set()
        for place, which in zip(places.tolist(), found.tolist(), strict=True):
            number_of_text = int(laid.text_of[place])
            rest = laid.batch[number_of_text][place - laid.starts[number_of_text] + size :][:_REACH]
            pairs |= {(number_of_text, number) for number in self._copied(self._numbers[size][which], rest)}
        text_of, question = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
        return text_of, question

    def _copied(self, numbers: np.ndarray, rest: Sequence[str]) -> list[int]:
        """Which questions of one wording are copied, from the words after it."""
        bare = f" {_joined_bare(rest)} " if any(self._choices[number] for number in numbers) else ""
        return [number for number in numbers.tolist() if self._is_copied(number, rest, bare)]

    def _is_copied(self, number: int, rest: Sequence[str], bare: str) -> bool:
        choices = self._choices[number]
        if not choices:
            return not (rest and _CONTINUES.match(rest[0]))
        if self._stem_lengths[number] >= SHORTEST:
            return _half(f" {choice} " in bare for choice in choices)
        lettered = " ".join(f"{chr(97 + place)} {choice}" for place, choice in enumerate(choices))
        return bare.startswith(f" {lettered} ")


def _joined_bare(text_words: Sequence[str]) -> str:
    """The words without symbols before them, so that `A. x`, `(A) x` and `- x` are alike."""
    return " ".join(filter(None, map(_bare, text_words)))


# --- hashes -------------------------------------------------------------------------------------


class _HashSet:
    """Hashes to be found among many others, most of which are none of them."""

    def __init__(self, distinct: np.ndarray) -> None:
        self._distinct = distinct
        self._maybe = np.zeros(1 << _FILTER, bool)
        self._maybe[distinct >> np.uint64(64 - _FILTER)] = True

    @classmethod
    def of(cls, ordered: np.ndarray) -> tuple[Self, np.ndarray]:
        """The set of ordered hashes, and where each distinct one is first."""
        distinct, first = np.unique(ordered, return_index=True)
        return cls(distinct), first

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of the hashes are in the set, and what number each has there."""
        maybe = np.flatnonzero(self._maybe[hashes >> np.uint64(64 - _FILTER)])
        found = np.searchsorted(self._distinct, hashes[maybe])
        hit = self._distinct[np.minimum(found, len(self._distinct) - 1)] == hashes[maybe]
        return maybe[hit], found[hit]


class _Laid:
    """The words of texts laid end to end, and the hashes of their runs.

    What stands before a run's first word is not part of it: the copy may stand in brackets or in bold.
    64 bits: of 10^8 training n-grams against 10^7 of suites, one in 10^4 runs meets a chance agreement.
    """

    def __init__(self, batch: Sequence[Sequence[str]]) -> None:
        self.batch = batch
        lengths = [len(text_words) for text_words in batch]
        self.text_of = np.repeat(np.arange(len(batch)), lengths)
        self.starts = np.cumsum([0, *lengths])
        flat = [word for text_words in batch for word in text_words]
        self._ids = np.fromiter(map(hash, flat), np.int64, len(flat)).view(np.uint64)
        self._bare = np.fromiter(map(hash, map(_bare, flat)), np.int64, len(flat)).view(np.uint64)

    def runs(self, sizes: Collection[int]) -> Iterator[tuple[int, np.ndarray]]:
        """For each size, the hash of the run of so many words that begins at each place."""
        hashes = self._bare
        for size in range(1, min(max(sizes), len(hashes)) + 1):
            if size > 1:
                hashes = hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) + self._ids[size - 1 :]
            if size in sizes:
                yield size, hashes

    def inside(self, size: int, places: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of runs of so many words, by their places, those that lie in one text."""
        one = self.text_of[places] == self.text_of[places + size - 1]
        return places[one], *(other[one] for other in others)


def _ngrams(batch: Sequence[Sequence[str]], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all n-grams of the texts, and where each begins in their words laid end to end."""
    laid = _Laid(batch)
    for _, hashes in laid.runs({n}):
        places, inside = laid.inside(n, np.arange(len(hashes)), hashes)
        return inside, places
    return np.empty(0, np.uint64), np.empty(0, np.int64)


# --- one training file --------------------------------------------------------------------------


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
        names += [_name(row)] * len(long)
        waiting += sum(map(len, long))
        if waiting >= _BATCH_WORDS:
            _look_up(batch, names, index, found)
            batch, names, waiting = [], [], 0
    _look_up(batch, names, index, found)
    return found


def _long_texts(row: Row, index: SuiteIndex, found: Found) -> list[list[str]]:
    """The words of each text of a row in which a run may be found; whole questions are noted."""
    stem, choices = _parted(row.record) if isinstance(row.record.get("question"), str) else (None, [])
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
        numbers, name = np.array(equal), _name(row)
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
