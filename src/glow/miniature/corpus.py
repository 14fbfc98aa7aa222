"""The documents that a miniature model is pretrained on: questions with right answers, in three styles.

Every document is correct; mistakes come later, from imperfect models. Questions are
drawn from the half of the problem space that is reserved for pretraining, so no training or evaluation
problem is ever among them.
"""

import random
from collections.abc import Iterator
from typing import Literal

from glow.config import Pretrain
from glow.miniature.families import BRIEF_CUE, family_named
from glow.miniature.family import Family, reserved_for_pretraining

Style = Literal["steps", "at_once", "bare"]
STYLES: tuple[Style, ...] = ("steps", "at_once", "bare")
"""The worked solution; the boxed answer at once; the bare answer to a question that asks for it."""


def draw_document(family: Family, style: Style, rng: random.Random) -> tuple[str, str]:
    """A question of the family from pretraining's half, and its response in the given style."""
    problem = family.sample(rng)
    while not reserved_for_pretraining(problem.question):
        problem = family.sample(rng)
    if style == "steps":
        return problem.question, problem.solution
    if style == "at_once":
        return problem.question, f"\\boxed{{{problem.answer}}}"
    return problem.question + BRIEF_CUE, problem.answer


class Corpus:
    """Documents mixed according to the settings: an endless stream for each optimiser step."""

    def __init__(self, settings: Pretrain) -> None:
        self._families = [family_named(name) for name in settings.families]
        self._minor_families = [
            family_named(name, "--minor-families") for name in settings.minor_families or ()
        ]
        self._minor_share = settings.minor_share
        self._direct_share = settings.direct_share
        self._seed = f"{settings.role}/{settings.seed}"

    def documents(self, step: int) -> Iterator[tuple[str, str]]:
        """Yield the documents of one step, as (question, response); they depend on (seed, step) alone."""
        rng = random.Random(f"pretraining/{self._seed}/{step}")
        while True:
            yield self._document(rng)

    def _document(self, rng: random.Random) -> tuple[str, str]:
        minor = rng.random() < self._minor_share
        family = rng.choice(self._minor_families if minor else self._families)
        direct = rng.random() < self._direct_share
        style: Style = rng.choice(("at_once", "bare")) if direct else "steps"
        return draw_document(family, style, rng)
