"""What a job is told, and what it asks for: options, resources, and what its result depends on.

Which files there are is in `study.py` and `student.py`.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from glow.config import (
    AnswerSettings,
    GenerateSettings,
    GrpoSettings,
    Model,
    PassRateSettings,
    Problems,
    Section,
    SftSettings,
    Suite,
)
from glow.config.options import flags
from glow.planning.resources import engine_hardware

Sampled = TypeVar("Sampled", GenerateSettings, PassRateSettings, AnswerSettings)


def options(*given: Section | str) -> str:
    """Sections as command-line options, and options as they are."""
    return " ".join(filter(None, (flags(part) if isinstance(part, Section) else part for part in given)))


def on_hardware(settings: Sampled, resources: Any) -> Sampled:
    """The settings of a stage that samples, with the hardware of its rule's resources.

    Raises:
        UserError: a resource is of the wrong type or out of bounds.
    """
    return settings.model_copy(update={"hardware": engine_hardware(resources)})


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


def one_of(names: Iterable[str]) -> str:
    """A wildcard constraint: any of the names, and nothing else."""
    return "|".join(map(re.escape, names)) or "()"  # An empty constraint would be none.


def read_from(source: Problems | Suite) -> list[Section | Path]:
    """Where problems come from: the settings, and the local files and folders that they name."""
    beside = [source.data_dir] if isinstance(source, Problems) else [source.shots_file, source.lm_eval]
    return [source, *(file for file in (source.file, *beside) if file is not None)]


def trust(model: Model) -> str:
    """The option that lets a model's own code run, where the configuration says so."""
    return "--trust-remote-code" if model.hub is not None and model.hub.trust_remote_code else ""
