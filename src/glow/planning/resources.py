"""What jobs ask for: the defaults of rules, what a profile says instead, and the hardware that this means.

The rules of the workflow take their defaults from here, so that what is planned is what runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from snakemake.common.tbdstring import TBDString
from snakemake.exceptions import ResourceConversionError, ResourceDuplicationError, WorkflowError
from snakemake.iocontainers import Wildcards
from snakemake.resources import Resource, Resources

from glow.config import EngineHardware, Model, Sharding, TrainingHardware
from glow.config.options import section_from_resources
from glow.errors import UserError
from glow.planning.names import refuse_unknown

Hardware = TypeVar("Hardware", bound=TrainingHardware)

_LARGE_BYTES = 2e8
"""100 million parameters in bfloat16: from there on a GPU is many times faster (`glow.planning.compute`)."""


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
    """Whether a model wants a GPU: fetched ones, and your own of 200 MB and more."""
    if model.path is None:
        return model.hub is not None
    return sum(file.stat().st_size for file in model.path.glob("*.safetensors")) >= _LARGE_BYTES


_WHOLE = (
    "gpu",
    "nodes",
    "processes",
    "mem_mb",
    "disk_mb",
    "runtime",
    "tasks",
    "tasks_per_gpu",
    "training",
    "micro_batch",
    "max_model_len",
    "tensor_parallel",
    "vllm_max_model_length",
    "vllm_tensor_parallel_size",
)
"""Resources that are whole numbers, whoever reads them."""


def _whole(resources: Mapping[str, Any], name: str, default: int) -> int:
    """A resource that is a whole number, 0 or above; `default` where there is none.

    Raises:
        UserError: it is a text, as an expression is that names what is not known, or it is below 0.
    """
    value = resources.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        hint = ""
        if name.endswith("_mb"):
            hint = ": the MB, 300000 for 300 GB"
        elif " if " in str(value):
            hint = ", or an expression whose texts alone are in quotes: 8 if '32b' in wildcards.of else 1"
        raise UserError(f"resource {name}: {str(value)!r}; give a whole number{hint}")
    return value


# --- hardware -------------------------------------------------------------------------------------


def training_hardware(resources: Mapping[str, Any], kind: type[Hardware]) -> Hardware:
    """What a training runs on, from the resources of its job.

    A job has `gpu` GPUs in all, on `nodes` nodes. Where it has none, `processes` says how many processes each
    node trains with, on its CPUs. The others are named as in `TrainingHardware`; 0 stands for its default.

    Raises:
        UserError: a resource that is no such setting's value, or GPUs that do not divide among the nodes.
    """
    nodes, gpus = _whole(resources, "nodes", 1), _whole(resources, "gpu", 0)
    if nodes < 1:
        raise UserError(f"resource nodes: {nodes}; give at least 1")
    if gpus % nodes:
        raise UserError(f"gpu={gpus}, nodes={nodes}: give the GPUs of all nodes together, as many on each")
    devices = gpus // nodes or _whole(resources, "processes", 1)
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
    spread = {"tensor_parallel": max(1, _whole(resources, "gpu", 0))}
    return section_from_resources(spread | given, EngineHardware)


# --- profiles -------------------------------------------------------------------------------------


def evaluated(resources: Mapping[str, Any], wildcards: Mapping[str, str]) -> dict[str, Any] | None:
    """Resources of a rule, as Snakemake has them, for jobs with these wildcards.

    Returns:
        Their values; None where one depends on more of a job than these.

    Raises:
        UserError: one is no value, whatever the job.
    """
    job = {"input": [], "attempt": 1, "threads": 1, "rulename": "", "async_run": None}
    found: dict[str, Any] = {}
    for name, one in resources.items():
        try:
            found[name] = one.evaluate(Wildcards(fromdict=dict(wildcards)), **job).value
        except ResourceConversionError:  # a size that came out as text
            found[name] = one.raw
        except (WorkflowError, AttributeError) as error:
            if why := _never(name, one, error):
                raise UserError(why) from None
            return None
        if isinstance(found[name], TBDString):
            return None
    for name in _WHOLE:
        _whole(found, name, 0)
    return found


def _never(name: str, resource: Resource, error: Exception) -> str:
    """Why a resource has no value for any job; empty where another job may give it one."""
    if "could not be parsed" in str(error):
        return str(error)
    if resource.raw is None or any(given in str(resource.raw) for given in ("input", "wildcards")):
        return ""
    return f"resource {name}: {resource.raw!r} cannot be worked out; give a number, a word or an expression"


@dataclass(frozen=True)
class Profile:
    """What a profile, and options of Snakemake, say of resources.

    Attributes:
        of_rules: resources by rule, Snakemake's own, which may be expressions of wildcards.
        limits: how much all jobs may use together, by resource (`training: 8`).
        jobs: at most so many at a time; None for no limit.
        file: of the profile, where the resources of rules are its own.
        is_replaced: whether the profile has such, and `--set-resources` took the place of them.
    """

    of_rules: dict[str, Resources]
    limits: dict[str, int]
    jobs: int | None = None
    file: Path | None = None
    is_replaced: bool = False

    def of(self, rule: str, wildcards: Mapping[str, str]) -> dict[str, Any]:
        """What it says of a job.

        Raises:
            UserError: a value depends on more than the job's wildcards, such as the size of its input; or
                is none.
        """
        try:
            found = evaluated(self.of_rules.get(rule, {}), wildcards)
        except UserError as error:
            raise UserError(f"{self._source}: {rule}: {error}") from None
        if found is None:
            raise UserError(
                f"{self._source}: {rule}: a value depends on more than wildcards, and cannot be planned"
            )
        return found

    def said(self, by_rule: Mapping[str, Mapping[str, Any]]) -> str:
        """How resources are to be asked for, by rule: in the profile if it has some, as an option would
        replace these."""
        if self.file is not None:
            rules = (
                f"{rule}: {{{', '.join(f'{name}: {_quoted(value)}' for name, value in own.items())}}}"
                for rule, own in by_rule.items()
            )
            return f"in {self.file}, below set-resources, {', '.join(rules)}"
        words = (
            _quoted(f"{rule}:{name}={value}") for rule, own in by_rule.items() for name, value in own.items()
        )
        option = "after the same --set-resources," if self.of_rules else "--set-resources"
        return f"{option} {' '.join(words)}"

    @property
    def _source(self) -> str:
        return f"{self.file}: set-resources" if self.file else "--set-resources"


def _quoted(value: Any) -> str:
    """In quotes where it has spaces, for YAML and for a shell."""
    return f'"{value}"' if " " in str(value) else str(value)


NO_PROFILE = Profile({}, {})


def read_profile(folder: Path | None, given: list[str]) -> Profile:
    """A profile, with what `--set-resources` says in place of all that it says of rules.

    So Snakemake has it: an option of the command line replaces that of the profile, whole.

    Args:
        folder: of the profile, with a config.yaml; or that file.
        given: RULE:NAME=VALUE, as Snakemake takes them; none where the option is not given.

    Raises:
        UserError: there is no such profile, an entry is malformed, or it names no rule or resource.
    """
    file = folder / "config.yaml" if folder is not None and folder.is_dir() else folder
    document = {} if file is None else _document(file)
    source = "--set-resources" if given or file is None else f"{file}: set-resources"
    own = [] if file is None else _two_levels(document.get("set-resources"), f"{file}: set-resources")
    by_rule: dict[str, list[str]] = {}
    for word in given or own:
        rule, colon, assignment = str(word).partition(":")
        if not colon or "=" not in assignment:
            raise UserError(f"{source}: {word!r} is not RULE:NAME=VALUE")
        refuse_unknown(rule, assignment.partition("=")[0], source)
        by_rule.setdefault(rule, []).append(assignment)
    of_rules: dict[str, Resources] = {}
    for rule, words in by_rule.items():
        try:
            of_rules[rule] = Resources.parse(words, allow_expressions=True)
        except ResourceDuplicationError as error:
            names = " and ".join(sorted(error.duplicate_resources))
            raise UserError(f"{source}: {rule}: {names} say the same; give one of them") from None
        except (WorkflowError, ResourceConversionError) as error:
            raise UserError(f"{source}: {rule}: {error}") from None
    return Profile(
        of_rules,
        _limits(document, file),
        _jobs(document, file),
        file=file if own and not given else None,
        is_replaced=bool(own and given),
    )


def _limits(document: dict[str, Any], file: Path | None) -> dict[str, int]:
    pairs = _pairs(document.get("resources"))
    for name, value in pairs:
        if not value.isdecimal():
            raise UserError(f"{file}: resources: {name}: {value!r}; give a whole number")
    return {name: int(value) for name, value in pairs}


def _jobs(document: dict[str, Any], file: Path | None) -> int | None:
    jobs = str(document.get("jobs", "unlimited"))
    if jobs == "unlimited":
        return None
    if not jobs.isdecimal():
        raise UserError(f"{file}: jobs: {jobs!r}; give a whole number, or unlimited")
    return int(jobs)


def _document(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"--profile {file}: cannot be read ({error})") from None
    if not isinstance(document, dict):
        raise UserError(f"--profile {file}: is no mapping")
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
    return [f"{rule}:{name}={_word(value)}" for rule, own in section.items() for name, value in own.items()]


def _word(value: Any) -> str:
    """A value as Snakemake puts it on its command line: a number that the profile quotes stays a text."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return value
        return repr(value)
    return str(value)
