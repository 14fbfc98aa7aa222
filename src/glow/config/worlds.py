"""A world: all that is drawn once for all seeds of an experiment, and how to draw it anew.

The models that are made here, the problems, the trajectories and the suites' questions follow from seeds of
their own, which stand in the configuration. Studies that differ in these alone say whether a finding is one
of the method, or of one base and its data.
"""

from typing import Any, TypeVar

from glow.config.evaluation import Suite
from glow.config.experiment import Experiment
from glow.config.models import Model
from glow.config.section import Section
from glow.files.hashing import digest

Seeded = TypeVar("Seeded", bound=Section)


def drawn_seeds(experiment: Experiment) -> dict[str, int]:
    """The seeds of a world, by their keys: of what is made or drawn here, and not of what is given whole."""
    return {f"{key}.seed": vars(part)["seed"] for key, part in _drawn(experiment).items()}


def _drawn(experiment: Experiment) -> dict[str, Section]:
    """The sections that have such a seed, by their dotted keys."""
    found: dict[str, Section | None] = {}
    for role, model in experiment.named_models.items():
        found |= {f"{role}.pretrain": model.pretrain, f"{role}.scratch": model.scratch}
    found |= {f"domains.{name}.problems": domain.problems for name, domain in experiment.domains.items()}
    found["sampling"] = experiment.sampling
    found |= {f"suites.{name}": suite for name, suite in experiment.suites.items() if _is_drawn(suite)}
    return {key: part for key, part in found.items() if part is not None}


def _is_drawn(suite: Suite) -> bool:
    """Whether its questions are drawn: not where they are all that a task has."""
    return suite.families is not None or suite.problems is not None


def redrawn(experiment: Experiment) -> Experiment:
    """The experiment in the world that it asks for: with other seeds of what is drawn, and a name of its own.

    Each seed follows from the one in the configuration and the world's number, so that equal ones stay equal
    and different ones different. Without a number the experiment is returned as it is.
    """
    world = experiment.world
    if world is None:
        return experiment
    changes: dict[str, Any] = {"name": f"{experiment.name}-world-{world}"}
    for role in ("student", "teacher"):
        if (model := getattr(experiment, role)) is not None:
            changes[role] = _model(model, world)
    if experiment.students:
        changes["students"] = {
            name: student.model_copy(update={"model": _model(student.model, world)})
            for name, student in experiment.students.items()
        }
    changes["domains"] = {
        name: domain.model_copy(update={"problems": _reseeded(domain.problems, world)})
        for name, domain in experiment.domains.items()
    }
    if experiment.sampling is not None:
        changes["sampling"] = _reseeded(experiment.sampling, world)
    changes["suites"] = {
        name: _reseeded(suite, world) if _is_drawn(suite) else suite
        for name, suite in experiment.suites.items()
    }
    return experiment.model_copy(update=changes)


def _model(model: Model, world: int) -> Model:
    made = {"pretrain": model.pretrain, "scratch": model.scratch}
    return model.model_copy(
        update={key: _reseeded(own, world) for key, own in made.items() if own is not None}
    )


def _reseeded(part: Seeded, world: int) -> Seeded:
    seed = int(digest(["world", world, vars(part)["seed"]])[:8], 16)
    return part.model_copy(update={"seed": seed})
