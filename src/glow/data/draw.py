"""Problems drawn by content hash from more rows than memory holds: of most rows only hashes are kept.

The draw is that of `glow.files.hashing.keyed_order`: the first of all questions in the order of their keyed
hashes. So a question whose key is above those of enough others can be let go at once.
"""

from array import array
from collections.abc import Callable, Iterable
from operator import itemgetter

import numpy as np

from glow.files.hashing import digest
from glow.files.records import Problem

SPARE = 4
"""How many times as many questions as are wanted are kept: some of them may turn out to have two answers."""

FEWEST = 10_000
"""At least so many are kept."""


class Draw:
    """The `wanted` problems that are first in the order of a seed, of all that are added.

    A question counts once however often it is added, and not at all if it is added with different answers.

    Args:
        kept: how many questions to keep at least, if there are as many.
    """

    def __init__(self, wanted: int, seed: int, kept: int) -> None:
        self._wanted, self._seed, self._most = wanted, seed, max(kept, wanted)
        self._kept: dict[str, tuple[str, Problem]] = {}
        self._disputed: set[str] = set()
        self._bound: str | None = None  # Questions with this key and those above it are let go.
        self._ids, self._answers = array("q"), array("q")

    def add(self, found: Problem) -> None:
        """Add one row's problem."""
        identity = found["problem_id"]
        self._ids.append(hash(identity))
        self._answers.append(hash(found["answer"]))
        key = digest([self._seed, identity])
        if self._bound is not None and key >= self._bound:
            return
        _, earlier = self._kept.setdefault(identity, (key, found))
        if earlier["answer"] != found["answer"]:
            self._disputed.add(identity)
        if len(self._kept) > 2 * self._most:
            self._let_go()

    def _let_go(self) -> None:
        """Keep the first half of the questions in the order of their keys, and from now on only such."""
        self._bound = sorted(key for key, _ in self._kept.values())[self._most]
        self._kept = {name: kept for name, kept in self._kept.items() if kept[0] < self._bound}
        self._disputed &= self._kept.keys()

    @property
    def is_whole(self) -> bool:
        """Whether the problems are those of all rows: not if too many of the kept questions are disputed."""
        return self._bound is None or len(self._kept) - len(self._disputed) >= self._wanted

    def problems(self) -> list[Problem]:
        """The problems, in the order of the seed; fewer if there are fewer."""
        certain = (kept for name, kept in self._kept.items() if name not in self._disputed)
        order = sorted(certain, key=itemgetter(0))
        return [found for _, found in order[: self._wanted]]

    def counts(self) -> tuple[int, int, int]:
        """Rows that repeat a question, questions with more than one answer, and questions with one."""
        ids, answers = np.frombuffer(self._ids, np.int64), np.frombuffer(self._answers, np.int64)
        order = np.lexsort((answers, ids))
        ids, answers = ids[order], answers[order]
        repeats = ids[1:] == ids[:-1]
        disputed = len(np.unique(ids[1:][repeats & (answers[1:] != answers[:-1])]))
        repeated = int(repeats.sum())
        return repeated, disputed, len(ids) - repeated - disputed


def drawn(rows: Callable[[], Iterable[Problem]], wanted: int, seed: int) -> Draw:
    """The draw of `wanted` problems from rows, which are read again if too few were kept the first time."""
    kept = max(SPARE * wanted, FEWEST)
    while True:
        draw = Draw(wanted, seed, kept)
        for found in rows():
            draw.add(found)
        if draw.is_whole:
            return draw
        kept *= SPARE
