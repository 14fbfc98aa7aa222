"""Finished studies of one design in several worlds: read, and refused where they cannot be pooled.

A world is what one study draws once for all of its seeds (`glow.config.worlds`). Studies can be pooled when
their configurations differ in seeds alone, and each drew everything anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from glow.config import Experiment, Section, drawn_seeds
from glow.errors import UserError
from glow.files.same_run import Identity, difference, run_identity
from glow.reporting.results import Results

Study = tuple[Experiment, Path]
"""A configuration, and the folder of its results."""


@dataclass(frozen=True)
class World:
    """A finished study, and what tables call it."""

    label: str
    results: Results


def read_worlds(studies: Sequence[Study], student: str = "") -> list[World]:
    """The studies as worlds, in their order.

    Args:
        student: whose they are, where each has several.

    Raises:
        UserError: there are fewer than two; one is not finished or has changed since its tables were made;
            two are of different designs; or two share something that each world has to draw anew.
    """
    if len(studies) < 2:
        raise UserError("give the results of two worlds or more: one alone has nothing to be pooled with")
    found = [Results(experiment, root, student) for experiment, root in studies]
    for results in found[1:]:
        _refuse_another_design(found[0], results)
    for one, other in combinations(found, 2):
        _refuse_a_shared_world(one, other)
    for results in found:
        results.refuse_outdated("tables")
    labels = _labels(found)
    return [World(label, results) for label, results in zip(labels, found, strict=True)]


def _labels(found: Sequence[Results]) -> list[str]:
    """The worlds' numbers where each has its own, and else the studies' folders."""
    numbers = [results.experiment.world for results in found]
    if None not in numbers and len(set(numbers)) == len(numbers):
        return [f"World {number}" for number in numbers]
    names = [results.root.name for results in found]
    return names if len(set(names)) == len(names) else [str(results.root) for results in found]


# --- what is refused ------------------------------------------------------------------------------


def _refuse_another_design(first: Results, other: Results) -> None:
    if change := difference(design(first.experiment), design(other.experiment)):
        raise UserError(
            f"{other.root}: another design than that of {first.root}: {change}; pool studies whose "
            "configurations differ in seeds and world alone"
        )


NO_DESIGN = ("name", "world", "seeds", "grpo.seeds", "shards", "evaluation.shards")
"""What may differ beside the seeds of a world: it changes no number, or is a seed too."""


def design(experiment: Experiment) -> Identity:
    """What studies must have in common to be pooled: every setting that changes a number and is no seed."""
    return run_identity(_settings(experiment), leave_out=[*NO_DESIGN, *drawn_seeds(experiment)])


def _settings(value: Any) -> Any:
    """Sections as mappings, with what their dumps leave out, and without what changes no number."""
    if isinstance(value, Section):
        keys = [key for key in type(value).model_fields if not value.neutral(key, getattr(value, key))]
        return {key: _settings(getattr(value, key)) for key in keys} | (value.model_extra or {})
    if isinstance(value, dict):
        return {key: _settings(inner) for key, inner in value.items()}
    return [_settings(inner) for inner in value] if isinstance(value, list) else value


def _refuse_a_shared_world(one: Results, other: Results) -> None:
    seeds, own = drawn_seeds(one.experiment), drawn_seeds(other.experiment)
    if not own:
        raise UserError(
            f"{other.root}: models, problems, trajectories and questions of this study are all given, and "
            "none is drawn here, so there are no other worlds of it"
        )
    shared = [key for key, seed in own.items() if seeds.get(key) == seed]
    if not shared:
        return
    if len(shared) == len(own):
        what = f"the same world as {one.root}"
    else:
        more = f" and {len(shared) - 1} more seed(s)" if len(shared) > 1 else ""
        what = f"not drawn anew whole: {shared[0]}{more} as in {one.root}"
    raise UserError(f"{other.root}: {what}; give studies of different worlds (config/README.md, `world`)")
