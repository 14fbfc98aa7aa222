"""What jobs ask for: the defaults of rules, what a profile says instead, and the hardware that this means.

The rules of the workflow take their defaults from here, so that what is planned is what runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import Wildcards
from snakemake.resources import Resources

from glow.config import EngineHardware, Model, Sharding, TrainingHardware
from glow.config.options import section_from_resources
from glow.errors import UserError

Hardware = TypeVar("Hardware", bound=TrainingHardware)

_LARGE_BYTES = 2e9


@dataclass(frozen=True)
class Asked:
    """What a job of a rule asks for, unless a profile or `--set-resources` says otherwise.

    Attributes:
        mem_mb: memory of each node, MB.
        runtime: limit, minutes.
        gpu: GPUs, on all nodes together.
        micro_batch: of training; 0 for the whole share of a step.
    """

    threads: int
    mem_mb: int
    runtime: int
    gpu: int
    micro_batch: int = 0
    nodes: int = 1
    sharding: Sharding = "ddp"
    offload: bool = False


_TRAINING = (Asked(1, 3000, 60, 0), Asked(8, 128000, 2880, 1, micro_batch=1))
_SAMPLING = (Asked(1, 3000, 60, 0), Asked(8, 64000, 1440, 1))

DEFAULTS = {
    "sft": _TRAINING,
    "grpo": _TRAINING,
    "generate": _SAMPLING,
    "pass_rates": _SAMPLING,
    "answer": _SAMPLING,
    "evaluate": _SAMPLING,
}
"""By rule: of small models, and of large ones. Other rules ask for one core and no GPU."""

TRAINING_RULES, SAMPLING_RULES = ("sft", "grpo"), ("generate", "pass_rates", "answer", "evaluate")


def asked(rule: str, model: Model) -> Asked:
    """What a job of `rule` asks for by default, by the size of its model."""
    small, large = DEFAULTS[rule]
    return large if is_large(model) else small


def is_large(model: Model) -> bool:
    """Whether a model wants a GPU: fetched ones, and your own of 2 GB and more."""
    if model.path is None:
        return model.hub is not None
    return sum(file.stat().st_size for file in model.path.glob("*.safetensors")) >= _LARGE_BYTES


# --- hardware -------------------------------------------------------------------------------------


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


def engine_hardware(resources: Mapping[str, Any]) -> EngineHardware:
    """What an engine runs on, from resources of the names of `EngineHardware`'s settings.

    Without `tensor_parallel`, a model is spread over all of the job's GPUs: one engine can use them in no
    other way.

    Raises:
        UserError: a resource is of the wrong type or out of bounds.
    """
    given = {key: value for key in EngineHardware.model_fields if (value := resources.get(key)) is not None}
    spread = {"tensor_parallel": max(1, resources.get("gpu") or 0)}
    return section_from_resources(spread | given, EngineHardware)


# --- profiles -------------------------------------------------------------------------------------


def evaluated(resources: Mapping[str, Any], wildcards: Mapping[str, str]) -> dict[str, Any] | None:
    """Resources of a rule, as Snakemake has them, for jobs with these wildcards.

    Returns:
        Their values; None where one depends on more of a job than these.
    """
    job = {"input": [], "attempt": 1, "threads": 1, "rulename": "", "async_run": None}
    try:
        found = {
            name: one.evaluate(Wildcards(fromdict=dict(wildcards)), **job) for name, one in resources.items()
        }
    except (WorkflowError, AttributeError):
        return None
    return {name: one.value for name, one in found.items()}


@dataclass(frozen=True)
class Profile:
    """What a profile, and options of Snakemake, say of resources.

    Attributes:
        of_rules: resources by rule, Snakemake's own, which may be expressions of wildcards.
        limits: how much all jobs may use together, by resource (`training: 8`).
        jobs: at most so many at a time; None for no limit.
    """

    of_rules: dict[str, Resources]
    limits: dict[str, int]
    jobs: int | None = None

    def of(self, rule: str, wildcards: Mapping[str, str]) -> dict[str, Any]:
        """What it says of a job.

        Raises:
            UserError: a value depends on more than the job's wildcards, such as the size of its input.
        """
        found = evaluated(self.of_rules.get(rule, {}), wildcards)
        if found is None:
            raise UserError(
                f"set-resources: {rule}: a value depends on more than wildcards, and cannot be planned"
            )
        return found


NO_PROFILE = Profile({}, {})


def read_profile(folder: Path | None, given: list[str]) -> Profile:
    """A profile, and what `--set-resources` says over it.

    Args:
        folder: of the profile, with a config.yaml; or that file.
        given: RULE:NAME=VALUE, as Snakemake takes them.

    Raises:
        UserError: there is no such profile, or an entry is malformed.
    """
    document = {} if folder is None else _document(folder)
    source = f"{folder}: set-resources" if folder else "--set-resources"
    words = [*_two_levels(document.get("set-resources"), source), *given]
    by_rule: dict[str, list[str]] = {}
    for word in words:
        rule, colon, assignment = word.partition(":")
        if not colon or "=" not in assignment:
            raise UserError(f"{source}: {word!r} is not RULE:NAME=VALUE")
        by_rule.setdefault(rule, []).append(assignment)
    try:
        of_rules = {rule: Resources.parse(list(own), allow_expressions=True) for rule, own in by_rule.items()}
    except WorkflowError as error:
        raise UserError(f"{source}: {error}") from None
    limits = {name: int(value) for name, value in _pairs(document.get("resources"))}
    return Profile(of_rules, limits, int(document["jobs"]) if "jobs" in document else None)


def _document(folder: Path) -> dict[str, Any]:
    file = folder / "config.yaml" if folder.is_dir() else folder
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"--profile {folder}: {file}: cannot be read ({error})") from None
    if not isinstance(document, dict):
        raise UserError(f"--profile {folder}: {file}: is no mapping")
    return document


def _pairs(section: Any) -> list[tuple[str, str]]:
    """NAME=VALUE words, or a mapping, as Snakemake takes either in a profile."""
    if isinstance(section, dict):
        return [(name, str(value)) for name, value in section.items()]
    words = [section] if isinstance(section, str) else section or []
    return [(name, value) for name, _, value in (str(word).partition("=") for word in words)]


def _two_levels(section: Any, source: str) -> list[str]:
    if not isinstance(section, dict):
        return [section] if isinstance(section, str) else list(section or [])
    if not all(isinstance(own, dict) for own in section.values()):
        raise UserError(f"{source}: give a mapping for each rule: {{sft: {{gpu: 8}}}}")
    return [f"{rule}:{name}={value}" for rule, own in section.items() for name, value in own.items()]
