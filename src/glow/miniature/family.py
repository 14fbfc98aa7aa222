"""What a problem family is, and the small vocabulary that all families share.

A family draws questions, says of every step of a solution what it must be given the steps before, and
recomputes the answer from the question's text alone, by code that does not know how the question was drawn.
The families themselves are in `arithmetic`, `lists`, `logic` and `world`; `families` is their register.
"""

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NAMES = ("Ann", "Ben", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal")
ITEMS = ("pens", "cups", "hats", "keys", "nuts", "eggs")
LABELS = "pqrstuvw"

OPENERS = ("Step by step:", "Let us see:", "We go through it:")
CLOSERS = ("So the answer is", "Thus we get", "Hence")
STEP_MARK = ", "
"""Between two steps; it occurs in none."""


@dataclass(frozen=True)
class WorkedProblem:
    """A question, its worked solution (which ends in `\\boxed{answer}`) and its answer."""

    question: str
    solution: str
    answer: str


@dataclass(frozen=True)
class Family:
    """A kind of problem.

    Attributes:
        steps: how many steps solutions take, about; both ends included.
        draw: (rng, steps) -> a question whose solution takes about `steps` steps.
        next_step: (question, steps so far) -> the step that must follow, also after steps with slips; None
            where the answer must. A step that cannot be read raises ValueError.
        conclude: (question, all steps) -> the answer that they lead to.
        solve: question -> answer, the exact checker's own solution; it raises ValueError on a text that is
            not a question of the family.
        options: all answers that can occur, when they are words; None when they are numbers.
    """

    name: str
    summary: str
    steps: tuple[int, int]
    draw: Callable[[random.Random, int], str]
    next_step: Callable[[str, Sequence[str]], str | None]
    conclude: Callable[[str, Sequence[str]], str]
    solve: Callable[[str], str]
    options: tuple[str, ...] | None = None

    def sample(self, rng: random.Random) -> WorkedProblem:
        """A problem of any size in the family's range; the solution's first and last words vary."""
        question = self.draw(rng, rng.randint(*self.steps))
        steps = self.worked_steps(question)
        answer = self.conclude(question, steps)
        solution = f"{rng.choice(OPENERS)} {STEP_MARK.join(steps)}. {rng.choice(CLOSERS)} \\boxed{{{answer}}}"
        return WorkedProblem(question, solution, answer)

    def worked_steps(self, question: str) -> list[str]:
        """All steps of the solution."""
        steps: list[str] = []
        while (step := self.next_step(question, steps)) is not None:
            steps.append(step)
        return steps

    def check(self, question: str, answer: str) -> bool:
        """Whether `answer` is right for `question`, judged from the question's text alone."""
        return self.solve(question) == answer.strip()


def parse(pattern: str, text: str) -> re.Match[str]:
    """Match the whole text against `pattern`.

    Raises:
        ValueError: the text has another form.
    """
    found = re.fullmatch(pattern, text)
    if found is None:
        raise ValueError(f"not of the form {pattern!r}: {text!r}")
    return found


def reserved_for_pretraining(question: str) -> bool:
    """Whether the question belongs to the half of the problem space that only pretraining may use.

    It depends on the question's text alone (the lowest bit of its SHA-256), so no pretrained model can have
    seen a problem of any training set or suite, whatever the seeds.
    """
    return hashlib.sha256(question.encode()).digest()[-1] % 2 == 0
