"""The documents that a miniature model is pretrained on: questions with right answers, in two styles.

Every document is correct; mistakes come later, from imperfect models. Questions are
drawn from the half of the problem space that is reserved for pretraining, so no training or evaluation
problem is ever among them.
"""

import random
from collections.abc import Iterator
from typing import Literal

from glow.config import Phase, Pretrain
from glow.miniature.families import BRIEF_CUE, family_named
from glow.miniature.family import Family, reserved_for_pretraining

Style = Literal["steps", "bare"]
STYLES: tuple[Style, ...] = ("steps", "bare")
"""The worked solution; the bare answer to a question that asks for it."""


def draw_document(family: Family, style: Style, rng: random.Random) -> tuple[str, str]:
    """A question of the family from pretraining's half, and its response in the given style."""
    problem = family.sample(rng)
    while not reserved_for_pretraining(problem.question):
        problem = family.sample(rng)
    if style == "steps":
        return problem.question, problem.solution
    return problem.question + BRIEF_CUE, problem.answer


class Corpus:
    """Documents mixed according to the settings and one of their phases: an endless stream for each step."""

    def __init__(self, settings: Pretrain, name: str, phase: Phase) -> None:
        self._groups = [[family_named(family) for family in group] for group in settings.families.values()]
        shares = phase.shares
        self._shares = [1.0 if shares is None else shares.get(group, 0.0) for group in settings.families]
        self._bare_share = settings.bare_share
        self._seed = f"{settings.role}/{settings.seed}/{name}"

    def documents(self, step: int) -> Iterator[tuple[str, str]]:
        """Yield the documents of one step, as (question, response); they depend on (seed, step) alone."""
        rng = random.Random(f"pretraining/{self._seed}/{step}")
        while True:
            yield self._document(rng)

    def _document(self, rng: random.Random) -> tuple[str, str]:
        [group] = rng.choices(self._groups, self._shares)
        family = rng.choice(group)
        style: Style = "bare" if rng.random() < self._bare_share else "steps"
        return draw_document(family, style, rng)
