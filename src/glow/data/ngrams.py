"""The suites' n-grams in arrays: which runs of words of many texts are in which questions.

The words of many texts are laid end to end, the runs that begin at each word are hashed, and the hashes
are looked up together. What the words of a text are is `glow.data.wording`; what is made of an overlap
is `glow.data.contamination`.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Self

import numpy as np

from glow.data.wording import (
    IndexedQuestion,
    at_least_half,
    bare_word,
    normalised,
    stem_and_choices,
    without_last_symbols,
    words,
)
from glow.files.jsonl import Record

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

_CONTINUES = re.compile(r"[-+*/^%][({]*(\d|\w$)")


class SuiteIndex:
    """The questions of all suites, by their n-grams and as wholes."""

    def __init__(self, questions: Sequence[IndexedQuestion], ngram: int) -> None:
        self.questions = questions
        self.ngram = ngram
        stems = [without_last_symbols(words(question.stem)) for question in questions]
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
                self._stems.setdefault(normalised(question.stem), []).append(number)
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
        stem, listed = stem_and_choices(record)
        choices = set(map(normalised, listed))
        return [
            number
            for number in self._stems.get(normalised(stem), [])
            if at_least_half(choice in choices for choice in set(self.questions[number].choices))
        ]

    def covered(self, batch: Sequence[Sequence[str]]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """How many words of which questions lie in n-grams that they share with which texts.

        Those of a short question (`_ShortQuestions`) are all covered, or none.

        Args:
            batch: texts as words.

        Yields:
            Equally long arrays: number of the text, number of the question (no pair twice), words covered.
        """
        laid = _Concatenation(batch)
        for size, hashes in laid.runs({self.ngram, *self._short.sizes}):
            if size == self.ngram:
                places, gram = laid.inside(size, *self._grams.find(hashes))
                pairs = np.unique(np.stack([laid.text_of[places], gram]), axis=1)  # By text, then by n-gram.
                for part in self._parts(*pairs):
                    yield self._words_covered(*part)
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

    def _words_covered(
        self, text_of: np.ndarray, gram: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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

    def __init__(self, questions: Sequence[IndexedQuestion], stems: Sequence[list[str]], ngram: int) -> None:
        self._choices = [
            [_without_symbols(choice.split()) for choice in question.choices] for question in questions
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

    def held(self, laid: "_Concatenation", size: int, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which texts hold which questions of `size` words: their numbers, from all runs of this size."""
        places, found = laid.inside(size, *self._sets[size].find(hashes))
        pairs: set[tuple[int, int]] = set()
        for place, which in zip(places.tolist(), found.tolist(), strict=True):
            number_of_text = int(laid.text_of[place])
            rest = laid.batch[number_of_text][place - laid.starts[number_of_text] + size :][:_REACH]
            pairs |= {
                (number_of_text, number) for number in self._copies_among(self._numbers[size][which], rest)
            }
        text_of, question = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
        return text_of, question

    def _copies_among(self, numbers: np.ndarray, rest: Sequence[str]) -> list[int]:
        """Which questions of one wording are copied, from the words after it."""
        bare = f" {_without_symbols(rest)} " if any(self._choices[number] for number in numbers) else ""
        return [number for number in numbers.tolist() if self._is_copy(number, rest, bare)]

    def _is_copy(self, number: int, rest: Sequence[str], bare: str) -> bool:
        choices = self._choices[number]
        if not choices:
            return not (rest and _CONTINUES.match(rest[0]))
        if self._stem_lengths[number] >= SHORTEST:
            return at_least_half(f" {choice} " in bare for choice in choices)
        lettered = " ".join(f"{chr(97 + place)} {choice}" for place, choice in enumerate(choices))
        return bare.startswith(f" {lettered} ")


def _without_symbols(text_words: Sequence[str]) -> str:
    """The words without symbols before them, so that `A. x`, `(A) x` and `- x` are alike."""
    return " ".join(filter(None, map(bare_word, text_words)))


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


class _Concatenation:
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
        self._bare = np.fromiter(map(hash, map(bare_word, flat)), np.int64, len(flat)).view(np.uint64)

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
    laid = _Concatenation(batch)
    for _, hashes in laid.runs({n}):
        places, inside = laid.inside(n, np.arange(len(hashes)), hashes)
        return inside, places
    return np.empty(0, np.uint64), np.empty(0, np.int64)
