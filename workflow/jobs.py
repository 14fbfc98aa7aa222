"""What a job is told, and what it asks for: options, resources, and what its result depends on.

Which files there are is in `study.py` and `student.py`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import Wildcards

from glow.config import (
    AnswerSettings,
    EngineHardware,
    GenerateSettings,
    GrpoSettings,
    Model,
    PassRateSettings,
    Problems,
    Section,
    SftHardware,
    SftSettings,
    Suite,
    TrainingHardware,
)
from glow.config.options import flags, section_from_resources
from glow.errors import UserError

Amount = TypeVar("Amount", int, float)
Sampled = TypeVar("Sampled", GenerateSettings, PassRateSettings, AnswerSettings)
Hardware = TypeVar("Hardware", SftHardware, TrainingHardware)


def options(*given: Section | str) -> str:
    """Sections as command-line options, and options as they are."""
    return " ".join(filter(None, (flags(part) if isinstance(part, Section) else part for part in given)))


def on_hardware(settings: Sampled, resources: Any) -> Sampled:
    """The settings of a stage that samples, with the hardware of its rule's resources.

    Resources have the names of `EngineHardware`'s settings. Without `tensor_parallel`, a model is spread over
    all of the job's GPUs: one engine can use them in no other way.

    Raises:
        UserError: a resource is of the wrong type or out of bounds.
    """
    given = {key: value for key in EngineHardware.model_fields if (value := resources.get(key)) is not None}
    spread = {"tensor_parallel": max(1, resources.get("gpu") or 0)}
    hardware = section_from_resources(spread | given, EngineHardware)
    return settings.model_copy(update={"hardware": hardware})


def depends_on(*parts: Section | Path | str) -> str:
    """What a result depends on beside its inputs, as one text: when it changes, the result is made again.

    Args:
        parts: sections, of which the decisive settings count; files and folders that are not made here, by
            name, size and time (their names may hold braces, which Snakemake would take for wildcards in an
            input); and names.
    """
    return json.dumps([_noted(part) for part in parts], sort_keys=True)


def _noted(part: Section | Path | str) -> Any:
    if isinstance(part, Section):
        noted = part.decisive()
        if isinstance(part, SftSettings | GrpoSettings):
            # A setting that is no more: the results of those who had left it out stand.
            noted["sft" if "sft" in noted else "grpo"]["gradient_accumulation"] = 1
        return noted
    if isinstance(part, str):
        return part
    files = sorted(file for file in part.rglob("*") if file.is_file()) if part.is_dir() else [part]
    states = [(str(file), file.stat()) for file in files]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]


def training_hardware(resources: Mapping[str, Any], kind: type[Hardware]) -> Hardware:
    """What a training runs on, from the resources of its job.

    A job has `gpu` GPUs in all, on `nodes` nodes. Where it has none, `processes` says how many processes each
    node trains with, on its CPUs. The others are named as in `TrainingHardware`; 0 stands for its default.

    Raises:
        UserError: a resource that is no such setting's value, or GPUs that do not divide among the nodes.
    """
    nodes, gpus = resources.get("nodes", 1), resources.get("gpu", 0)
    if nodes < 1:
        raise UserError(f"resource nodes: {nodes}; give at least 1")
    if gpus % nodes:
        raise UserError(f"gpu={gpus}, nodes={nodes}: give the GPUs of all nodes together, as many on each")
    devices = gpus // nodes or resources.get("processes", 1)
    given = {key: resources.get(key) or None for key in kind.model_fields}
    return section_from_resources(given | {"devices": devices, "nodes": nodes}, kind)


def of_student(resources: Mapping[str, Any], prefix: str) -> dict[str, Any] | None:
    """Resources of a rule, as Snakemake has them, for the jobs of a student.

    Args:
        prefix: the wildcard `of` of these jobs.

    Returns:
        Their values; None where one depends on more of a job than on its student.
    """
    job = {"input": [], "attempt": 1, "threads": 1, "rulename": "", "async_run": None}
    try:
        found = {
            name: one.evaluate(Wildcards(fromdict={"of": prefix}), **job) for name, one in resources.items()
        }
    except (WorkflowError, AttributeError):
        return None
    return {name: one.value for name, one in found.items()}


def one_of(names: Iterable[str]) -> str:
    """A wildcard constraint: any of the names, and nothing else."""
    return "|".join(map(re.escape, names)) or "()"  # An empty constraint would be none.


def read_from(source: Problems | Suite) -> list[Section | Path]:
    """Where problems come from: the settings, and the local files and folders that they name."""
    beside = source.data_dir if isinstance(source, Problems) else source.shots_file
    return [source, *(file for file in (source.file, beside) if file is not None)]


def _is_large(model: Model) -> bool:
    """Whether a model wants a GPU: fetched ones, and your own of 2 GB and more."""
    if model.path is None:
        return model.hub is not None
    return sum(file.stat().st_size for file in model.path.glob("*.safetensors")) >= 2e9


def at_scale(model: Model, small: Amount, large: Amount) -> Amount:
    """A resource by the size of a model; the experiment's own is set in a profile."""
    return large if _is_large(model) else small


def trust(model: Model) -> str:
    """The option that lets a model's own code run, where the configuration says so."""
    return "--trust-remote-code" if model.hub is not None and model.hub.trust_remote_code else ""
