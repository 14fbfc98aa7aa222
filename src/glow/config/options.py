"""Settings as command-line options: a section of the configuration to words of a shell, and back.

The Snakefile writes a stage's settings with `flags`; the command line declares them with
`add_options` and reads them with `section_from`. So a rule's command can be copied and run by hand.
"""

import argparse
import shlex
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError

from glow.config import Section
from glow.errors import UserError

SectionType = TypeVar("SectionType", bound=Section)


def flags(section: Section) -> str:
    """The options that `add_options` reads back into an equal section, quoted for a shell.

    A setting that is None is left out: it is its option's absence.
    """
    words: list[str] = []
    for key, value in section.model_dump(mode="json").items():
        option = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words.append(option if value else "--no-" + option[2:])
        elif isinstance(value, list):
            words += [option, *map(str, value)]
        elif value is not None:
            words += [f"{option}={value}"]
    return shlex.join(words)


def add_options(parser: argparse.ArgumentParser, section: type[Section]) -> None:
    """Give `parser` one option a setting of `section`, with its description and default."""
    group = parser.add_argument_group(section.__name__.lower() + " settings", section.__doc__)
    for key, field in section.model_fields.items():
        if field.exclude:
            continue
        options: dict[str, Any] = {"help": field.description, "required": field.is_required()}
        if not field.is_required():
            options["default"] = field.default
            options["help"] += "" if field.default is None else f" (default: {field.default})"
        kind = _scalar(field.annotation)
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif get_origin(kind) in (list, tuple):
            options["nargs"] = 2 if get_origin(kind) is tuple else "+"
        group.add_argument("--" + key.replace("_", "-"), **options)


def _scalar(annotation: Any) -> Any:
    """The annotation without its `| None`."""
    arguments = [argument for argument in get_args(annotation) if argument is not NoneType]
    return arguments[0] if NoneType in get_args(annotation) and len(arguments) == 1 else annotation


def section_from(arguments: argparse.Namespace, section: type[SectionType]) -> SectionType:
    """Build `section` from parsed options; pydantic converts and checks the values.

    Raises:
        UserError: a value of the wrong type or out of bounds, named by its option.
    """
    keys = [key for key, field in section.model_fields.items() if not field.exclude]
    given = {key: value for key in keys if (value := getattr(arguments, key)) is not None}
    # argparse takes the value out of `--option=--`, and leaves an empty list.
    given = {key: "--" if value == [] else value for key, value in given.items()}
    return validated(section, given, "--{}", dashes=True)


def validated(
    section: type[SectionType], given: dict[str, Any], option: str, *, dashes: bool = False
) -> SectionType:
    """Build `section` from `given`; messages name a key as `option` has it (`--metadata {}`).

    Raises:
        UserError: a value of the wrong type or out of bounds, a line each.
    """
    try:
        return section.model_validate(given)
    except ValidationError as error:
        lines = []
        for mistake in error.errors():
            key = "-".join(map(str, mistake["loc"]))
            name = option.format(key.replace("_", "-") if dashes else key)
            lines.append(f"{name}: {mistake['msg'].removeprefix('Value error, ')}")
        raise UserError("\n".join(lines)) from None
