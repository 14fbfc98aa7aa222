"""Configuration files as documents, and a document as an experiment; messages name the key and how to fix it.

Stages and workflow call `glow.experiment`, which also checks the names that other rooms define.
"""

import difflib
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from glow.config.experiment import Experiment
from glow.config.section import Section, existing, message
from glow.config.worlds import redrawn
from glow.config.yaml_file import read_yaml
from glow.errors import UserError, abbreviated

# --- documents ------------------------------------------------------------------------------------


def read_document(path: Path, *overlays: Path) -> tuple[Any, str]:
    """A YAML configuration file, overlays laid over it in turn as Snakemake does; and what messages call it.

    Raises:
        UserError: a file is missing or is not YAML.
    """
    document = read_yaml(path)
    for overlay in overlays:
        document = _merged(document, read_yaml(overlay))
    return document, " + ".join(map(str, (path, *overlays)))


def _merged(document: Any, overlay: Any) -> Any:
    """Mappings are merged key by key, anything else is replaced."""
    if not isinstance(document, dict) or not isinstance(overlay, dict):
        return overlay
    return document | {key: _merged(document.get(key), value) for key, value in overlay.items()}


def extended(document: Any, source: str) -> Any:
    """The document laid over the file that its key `extends` names, and that over the file that it names.

    Raises:
        UserError: there is no such file, it is no configuration, or it extends itself.
    """
    below: list[str] = []
    while isinstance(document, dict) and "extends" in document:
        file, own = document["extends"], {key: value for key, value in document.items() if key != "extends"}
        if not isinstance(file, str):
            raise UserError(f"{source}: extends: the name of a file is wanted, found {abbreviated(file)}")
        if file in below:
            raise UserError(f"{source}: extends: {file!r} extends itself, perhaps by way of others")
        below.append(file)
        try:
            existing(Path(file))
        except ValueError as error:
            raise UserError(f"{source}: extends: {error}") from None
        document = _merged(_mapping(read_yaml(Path(file)), file), own)
    return document


def _mapping(document: Any, source: str) -> dict[str, Any]:
    if document is None:
        raise UserError(f"{source}: is empty; config/own_data.yaml has what an experiment says")
    if not isinstance(document, dict):
        raise UserError(f"{source}: expected a mapping of keys, found {type(document).__name__}")
    return document


# --- an experiment --------------------------------------------------------------------------------


def load(document: Any, source: str) -> Experiment:
    """Validate a configuration that is already parsed; `source` names it in messages.

    What it extends is read, and the seeds of a redrawn world are in place.

    What other rooms define (families, tasks, objectives and their settings) is not checked here:
    `glow.experiment` does.

    Raises:
        UserError: one line a mistake, each naming its key and what to do.
    """
    whole = _mapping(extended(document, source), source)
    try:
        experiment = redrawn(Experiment.model_validate(whole))
    except ValidationError as error:
        raise UserError(_lines(source, "", error)) from None
    for name in experiment.students:
        try:
            own = experiment.of(name)
        except ValidationError as error:
            raise UserError(_lines(source, f"students.{name}.", error)) from None
        if own.reference_arm != experiment.reference_arm:
            raise UserError(
                f"{source}: students.{name}.arms: without {experiment.reference_arm!r}, with which tables "
                "compare the other arms, it cannot stand beside other students; add it"
            )
    return experiment


def _lines(source: str, above: str, error: ValidationError) -> str:
    """A line for each mistake; `above` are the keys that an experiment of one student stands below."""
    return "\n".join(dict.fromkeys(f"{source}: {_explain(above, mistake)}" for mistake in error.errors()))


def _explain(above: str, mistake: Any) -> str:
    location = [str(part) for part in mistake["loc"]]
    key = above + ".".join(location)
    if mistake["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_nearest_key(location)}"
    return f"{key.removesuffix('.')}: {message(mistake)}" if key else message(mistake)


def _nearest_key(location: list[str]) -> str:
    """A hint for a misspelt key, from the keys of the section that it is in."""
    section: Any = Experiment
    for part in location[:-1]:
        section = _section_below(section, part)
        if section is None:
            return "remove it"
    known = list(section.model_fields)
    near = difflib.get_close_matches(location[-1], known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _section_below(section: type[Section], part: str) -> type[Section] | None:
    """The section class found under key `part`; a named entry of a mapping leads to its own class."""
    if part not in section.model_fields:
        return section
    return _section_in(section.model_fields[part].annotation)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _section_in(argument))), None)
