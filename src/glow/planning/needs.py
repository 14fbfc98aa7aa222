"""What a device must have for a study, where nobody has said which device there is."""

from pathlib import Path

from glow.config import Experiment
from glow.errors import UserError
from glow.planning.constants import Device
from glow.planning.fit import Machine
from glow.planning.kinds import Kinds, question_of
from glow.planning.resources import is_large

_ANY = 2**50
"""Bytes of a device on which everything fits."""


def needs(experiment: Experiment, results: Path) -> list[str]:
    """A line that says what a GPU must hold as the rules' defaults have it; none for a study of small models.

    A model whose size is not known is named instead: this is no refusal.
    """
    models = experiment.named_models
    if not any(is_large(model) for model in models.values()):
        return []
    try:
        return [_line(experiment, results)]
    except UserError as error:
        return [f"memory: {error}"]


def _line(experiment: Experiment, results: Path) -> str:
    machine = Machine(Device("any", _ANY, 1.0, 1.0), 1, 8)
    most: dict[str, tuple[int, str]] = {}
    for kind in Kinds(question_of(experiment, machine, results=results)).all:
        if kind.fit is not None and kind.fit.gpus:
            needed = kind.fit.device.total
            if "vLLM" in kind.fit.device.parts:  # a share of whatever there is
                needed -= kind.fit.device.parts["vLLM"]
            most[kind.job.rule] = max(most.get(kind.job.rule, (0, "")), (needed, kind.job.student))
    said = ", ".join(
        f"{rule} {size / 1e9:,.0f} GB{f' ({student})' if student else ''}"
        for rule, (size, student) in most.items()
    )
    return f"memory on one GPU, as the rules have it: {said}; --gpu h100 says what fits there"
