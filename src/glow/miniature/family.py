"""What a problem family is, and the small vocabulary that all families share.

A family draws problems with a worked solution, and recomputes the answer from the question's text
alone, by code that does not know how the question was drawn. The families themselves are in
`arithmetic`, `lists`, `logic` and `world`; `families` is their register.
"""

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NAMES = ("Ann", "Ben", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal")
ITEMS = ("pens", "cups", "hats", "keys", "nuts", "eggs")
LABELS = "pqrstuvw"

_OPENERS = ("Step by step:", "Let us see:", "We go through it:")
_CLOSERS = ("So the answer is", "Thus we get", "Hence")


@dataclass(frozen=True)
class WorkedProblem:
    """A question, its worked solution (which ends in `\\boxed{answer}`) and its answer."""

    question: str
    solution: str
    answer: str


@dataclass(frozen=True)
class Family:
    """A kind of problem.

    `draw(rng, steps)` makes a problem whose solution takes about `steps` steps; `steps` gives the
    range in use, both ends included. `solve(question)` is the exact checker's own solution, read from
    the question's text; it raises ValueError on a text that is not a question of the family.
    `options` are all answers that can occur, when they are words; None when they are numbers.
    """

    name: str
    summary: str
    steps: tuple[int, int]
    draw: Callable[[random.Random, int], WorkedProblem]
    solve: Callable[[str], str]
    options: tuple[str, ...] | None = None

    def sample(self, rng: random.Random) -> WorkedProblem:
        """A problem of any size in the family's range."""
        return self.draw(rng, rng.randint(*self.steps))

    def check(self, question: str, answer: str) -> bool:
        """Whether `answer` is right for `question`, judged from the question's text alone."""
        return self.solve(question) == answer.strip()


def worked(rng: random.Random, question: str, steps: Sequence[str], answer: str) -> WorkedProblem:
    """A problem from its parts; the solution's first and last words vary, its steps do not."""
    solution = f"{rng.choice(_OPENERS)} {', '.join(steps)}. {rng.choice(_CLOSERS)} \\boxed{{{answer}}}"
    return WorkedProblem(question, solution, answer)


def parse(pattern: str, question: str) -> re.Match[str]:
    """Match the whole question against `pattern`.

    Raises:
        ValueError: the question has another form.
    """
    found = re.fullmatch(pattern, question)
    if found is None:
        raise ValueError(f"not a question of this family: {question!r}")
    return found


def reserved_for_pretraining(question: str) -> bool:
    """Whether the question belongs to the half of the problem space that only pretraining may use.

    It depends on the question's text alone (the lowest bit of its SHA-256), so no pretrained model can have
    seen a problem of any training set or suite, whatever the seeds.
    """
    return hashlib.sha256(question.encode()).digest()[-1] % 2 == 0
