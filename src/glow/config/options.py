"""Settings as command-line options: from a section of the configuration to shell words, and back.

The Snakefile writes a stage's settings with `flags`; the command line declares them with
`add_options` and reads them with `section_from`. So a rule's command can be copied and run by hand.
"""

import argparse
import json
import shlex
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from glow.config.section import Section
from glow.errors import UserError

SectionType = TypeVar("SectionType", bound=Section)


def flags(section: Section) -> str:
    """The options that `add_options` reads back into an equal section, quoted for a shell.

    A setting that is None is left out: a missing option means None.
    """
    return shlex.join(_words(section))


def _words(section: Section) -> Iterator[str]:
    further = section.model_extra or {}
    for key, value in section.model_dump(mode="json", exclude=set(further)).items():
        option = _option(key)
        inner = getattr(section, key)
        if isinstance(inner, Section) and _section_class(type(section).model_fields[key].annotation):
            yield from _words(inner)
        elif isinstance(value, bool):
            yield option if value else "--no-" + option[2:]
        elif isinstance(value, list):
            yield from (option, *map(_quoted, value)) if value else ()
        elif isinstance(value, dict):
            yield from _pairs(option, value)
        elif value is not None:
            yield f"{option}={value}"
    yield from _pairs(_further_option(type(section)), further)


def _quoted(item: Any) -> str:
    """An item of a list as a word; as in JSON, with quotation marks, where it would be taken amiss."""
    word = str(item)
    return json.dumps(word) if word[:1] in ("", "-", '"') or not word.isprintable() else word


def _unquoted(word: str) -> str:
    """The item that `_quoted` wrote; any other word as it is."""
    try:
        return json.loads(word) if word.startswith('"') else word
    except json.JSONDecodeError:
        return word


def _pairs(option: str, values: dict[str, Any]) -> Iterator[str]:
    """KEY=VALUE words with the values as JSON; nothing for no values."""
    if values:
        yield option
        yield from (f"{key}={json.dumps(value)}" for key, value in values.items())


def add_options(parser: argparse.ArgumentParser, section: type[Section]) -> None:
    """Give `parser` one option for each setting of `section`, with its description and default.

    The options of a section within the section form a group of their own.
    """
    fields = {key: field for key, field in section.model_fields.items() if not field.exclude}
    inner = {key: found for key, field in fields.items() if (found := _section_class(field.annotation))}
    for within in inner.values():
        add_options(parser, within)
    own = {key: field for key, field in fields.items() if key not in inner}
    if not own:
        return
    group = parser.add_argument_group("run" if inner else f"{_name(section)} settings", section.__doc__)
    for key, field in own.items():
        # What is not given stays away, so that the section sees what was: its own defaults may depend on it.
        options: dict[str, Any] = {"help": _help(field), "required": field.is_required()}
        kind = _scalar(field.annotation)
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif get_origin(kind) in (list, tuple):
            options["nargs"] = 2 if get_origin(kind) is tuple else "+"
        elif _is_pairs(kind):
            options |= {"nargs": "+", "metavar": "KEY=VALUE", "default": []}
        if choices := _choices(kind):
            options["metavar"] = f"{{{','.join(choices)}}}"
        group.add_argument(_option(key), **options)
    if _takes_further(section):
        text = "settings of its own, the values as in JSON (clamp=[0.5,5]), texts without quotes too"
        group.add_argument(_further_option(section), nargs="+", default=[], metavar="KEY=VALUE", help=text)


def _name(section: type[Section]) -> str:
    return section.__name__.removesuffix("Settings").removesuffix("Choice").lower()


def _takes_further(section: type[Section]) -> bool:
    """Whether the section has keys beside its fields, as that of an objective has its settings."""
    return section.model_config.get("extra") == "allow"


def _further_option(section: type[Section]) -> str:
    """The option for keys that are not fields of the section: `--objective-settings`."""
    return f"--{_name(section)}-settings"


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _help(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, dict):
        named = {key: value.model_dump(mode="json", exclude_unset=True) for key, value in default.items()}
        default = " ".join(f"{key}={json.dumps(value)}" for key, value in named.items()) or None
    shown = "" if field.is_required() or default in (None, []) else f" (default: {default})"
    return _escaped((field.description or "") + shown)


def _escaped(text: str) -> str:
    """The text as argparse shows it: a % begins a format."""
    return text.replace("%", "%%")


def _section_class(annotation: Any) -> type[Section] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _is_pairs(kind: Any) -> bool:
    """Whether a setting is written as KEY=VALUE words: a dictionary, or a section that may be left out."""
    return get_origin(kind) is dict or _section_class(kind) is not None


def _choices(kind: Any) -> list[str]:
    """The values of a setting that has few, or of each in a list of such; pydantic refuses others."""
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if any(get_origin(part) is not Literal for part in parts):
        return []
    return [str(value) for part in parts for value in get_args(part)]


def _scalar(annotation: Any) -> Any:
    """The annotation without its `| None`."""
    arguments = [argument for argument in get_args(annotation) if argument is not NoneType]
    return arguments[0] if NoneType in get_args(annotation) and len(arguments) == 1 else annotation


def section_from(arguments: argparse.Namespace, section: type[SectionType]) -> SectionType:
    """Build `section` from parsed options; pydantic converts and checks the values.

    Raises:
        UserError: a value of the wrong type or out of bounds, named by its option.
    """
    given: dict[str, Any] = {}
    for key, field in section.model_fields.items():
        if field.exclude:
            continue
        if inner := _section_class(field.annotation):
            given[key] = section_from(arguments, inner)
        elif _is_pairs(_scalar(field.annotation)):
            if words := getattr(arguments, key):  # none given: the default, which may hold some
                given[key] = dict(_pair(word, _option(key)) for word in words)
        elif (value := getattr(arguments, key)) is not None:
            if get_origin(_scalar(field.annotation)) in (list, tuple):
                given[key] = [_unquoted(word) if isinstance(word, str) else word for word in value]
            else:  # argparse takes the value out of `--option=--`, and leaves an empty list.
                given[key] = "--" if value == [] else value
    if _takes_further(section):
        option = _further_option(section)
        given |= (_pair(word, option) for word in getattr(arguments, option[2:].replace("-", "_")))
    return validated(section, given, "--{}", dashes=True)


def section_from_resources(resources: Mapping[str, Any], section: type[SectionType]) -> SectionType:
    """Build `section` from a rule's resources of the same names; what they lack has its default.

    A resource is one word or whole number. So several values are joined by `+`
    (`report_to=tensorboard+wandb`), and a share is given in per cent.

    Raises:
        UserError: a value of the wrong type or out of bounds, named by its resource.
    """
    given: dict[str, Any] = {}
    for key, field in section.model_fields.items():
        if (value := resources.get(key)) is not None:
            kind = _scalar(field.annotation)
            if get_origin(kind) is list:
                value = str(value).split("+")
            elif kind is float:
                value = _share(key, value)
            given[key] = value
    return validated(section, given, "resource {}")


def _share(resource: str, value: Any) -> float:
    """A share that is given in per cent. Snakemake rounds numbers, so that 0.45 comes as 0 and 0.9 as 1."""
    try:
        percent = int(value)
    except ValueError:
        percent = 0
    if percent <= 1:
        raise UserError(f"resource {resource}: give per cent, as a whole number: 45 for a share of 0.45")
    return percent / 100


def _pair(word: str, option: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if not equals:
        raise UserError(f"{option}: {word!r} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def validated(
    section: type[SectionType], given: dict[str, Any], option: str, *, dashes: bool = False
) -> SectionType:
    """Build `section` from `given`; messages write a key as the format `option` has it (`--metadata {}`).

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
