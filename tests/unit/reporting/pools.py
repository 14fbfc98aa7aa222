"""Three fabricated worlds of one design, whose differences are known."""

from pathlib import Path

from fabricated import CORRECT, PROBLEMS, World, document

from glow.reporting.results import Run
from glow.reporting.tables import write_tables

STATED = [
    {"arm": "glow", "over": "all", "scope": "ood"},
    {"arm": "negative", "over": "positive", "scope": "ood"},
]
SHIFTS = {
    (1, "sft", "glow", "lists"): 1,
    (2, "sft", "glow", "lists"): -1,
    (1, "grpo", "base", "arithmetic"): -1,
    (2, "grpo", "base", "arithmetic"): -2,
}
"""(place of the world, kind, name, suite) -> how many questions more are right than in `fabricated`."""


class Pool(World):
    """The fabricated study, drawn anew."""

    place = 0

    def correct(self, run: Run, suite: str) -> list[bool]:
        right = super().correct(run, suite)
        count = sum(right) + SHIFTS.get((self.place, run.kind, run.name, suite), 0)
        return [index < count for index in range(PROBLEMS)]


def write_pools(root: Path, numbers: tuple[int, ...] = (1, 2, 3), **changes: object) -> list[Pool]:
    """Finished studies of worlds with these numbers, in folders by that name."""
    found = []
    for place, number in enumerate(numbers):
        world = Pool(root / f"world-{number}", document(**{"contrasts": STATED, "world": number} | changes))
        world.place = place
        world.write()
        write_tables(world.results.experiment, world.root)
        found.append(world)
    return found


def counts(place: int, kind: str, name: str, suite: str) -> list[int]:
    """How many questions are right, by seed (0, 1)."""
    column = ["arithmetic", "lists", "choice"].index(suite)
    shift = SHIFTS.get((place, kind, name, suite), 0)
    return [own[column] + shift for own in CORRECT[kind, name]]  # type: ignore[index]
