"""The base class of every group of settings, and the checks that several of them share."""

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from glow.errors import abbreviated


class _Neutral:
    """The mark of `Neutral`."""


Value = TypeVar("Value")
Neutral = Annotated[Value, _Neutral()]
"""A setting that changes how a result is made, and no number in it: to change it makes nothing again."""


class _Added:
    """The mark of `Added`."""


Added = Annotated[Value, _Added()]
"""A setting that came later: at its default, results are what they were without it, and stay as they are."""


LARGEST_SEED = 2**32 - 1
"""NumPy takes none above it."""

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
"""The seed of a draw."""

_FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PART_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*")
_LONGEST_NAME = 100


def _folder_name(name: str) -> str:
    if not _FOLDER_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"{abbreviated(name)} cannot be the name of a folder here: begin with a letter, a digit or '_', "
            f"and go on with those, '.' and '-', {_LONGEST_NAME} characters at most"
        )
    return name


def part_name(name: str) -> str:
    """The name, if files can be named after it and others: for validators."""
    if not _PART_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"name {abbreviated(name)}: begin with a letter, a digit or '_', and go on with those, "
            f"'.' and single '-', {_LONGEST_NAME} characters at most"
        )
    return name


FolderName = Annotated[str, AfterValidator(_folder_name)]
"""What a folder of results is called: not dots, which lead out of it, nor what looks like an option."""

PartName = Annotated[str, AfterValidator(part_name)]
"""What a domain, an arm, a suite or a student is called: a part of names of files, where `--` parts them."""

_LARGEST = 2**63 - 1
"""Whole numbers above it fit in no tensor and in no column of a file."""


class Section(BaseModel):
    """A group of settings; unknown keys are refused, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="wrap")
    @classmethod
    def _numbers(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Refuse true and false where a number is wanted, for which pydantic takes them; and huge numbers."""
        assert info.field_name is not None  # a field's validator
        if not _holds_numbers(cls, info.field_name):
            return handler(value)
        if isinstance(flag := next((one for one in _plain(value) if isinstance(one, bool)), None), bool):
            raise ValueError(f"a number is wanted, found {str(flag).lower()}")
        found = handler(value)
        for one in _plain(found):
            if isinstance(one, int) and abs(one) > _LARGEST:
                raise ValueError(f"{abbreviated(one, 30)} is too large a number; lower it")
        return found

    @classmethod
    def neutral(cls, key: str, value: Any) -> bool:
        """Whether a setting changes no number: it never does, or it came later and has its default value."""
        field = cls.model_fields[key]
        default = field.get_default(call_default_factory=True)
        # JSON has lists where a default may be a tuple.
        is_default = value == (
            list(default) if isinstance(default, tuple) and isinstance(value, list) else default
        )
        marks = (_Neutral, _Added) if is_default else (_Neutral,)
        return any(isinstance(mark, marks) for mark in field.metadata)

    def decisive(self) -> dict[str, Any]:
        """The settings on which numbers depend, as JSON: all but the neutral ones."""
        decisive: dict[str, Any] = self.model_dump(mode="json")
        for key in type(self).model_fields:
            if key in decisive and self.neutral(key, decisive[key]):
                del decisive[key]
            elif key in decisive and isinstance(inner := getattr(self, key), Section):
                decisive[key] = inner.decisive()
        return decisive


@cache
def _holds_numbers(section: type[Section], key: str) -> bool:
    """Whether a setting is a number, or a list or mapping of them, and never true or false."""
    kinds = list(_kinds(section.model_fields[key].annotation))
    return any(kind in kinds for kind in (int, float)) and not any(
        kind in kinds for kind in (bool, JsonValue)
    )


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _plain(value: Any) -> Iterator[Any]:
    """A value, or those in a list or mapping of some."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _plain(inner)
    else:
        yield value


def overlaid(section: Section | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is set of a section, and laid over it, key by key, what differs; to be validated as its class.

    Settings that nobody gave are left to their defaults again, which may depend on those that differ.
    """
    given = {} if section is None else {key: getattr(section, key) for key in section.model_fields_set}
    for key, value in changes.items():
        below = given.get(key)
        within = isinstance(below, Section) and isinstance(value, Mapping)
        given[key] = overlaid(below, value) if within else value
    return given


FamilyList = TypeVar("FamilyList", list[str], list[str] | None)


def distinct_families(families: FamilyList) -> FamilyList:
    """Refuse a problem family named twice (a pydantic check); whether it exists is `glow.experiment`'s."""
    if families is not None and len(set(families)) != len(families):
        raise ValueError("a family is named twice")
    return families


def existing(file: Path | None) -> Path | None:
    """The file, if there is one; for field validators."""
    if file is not None and not file.is_file():
        raise ValueError(f"{str(file)!r}: no such file{_from_here(file)}")
    return file


def existing_folder(folder: Path | None) -> Path | None:
    """The folder, if there is one; for field validators."""
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{str(folder)!r}: no such folder{_from_here(folder)}")
    return folder


def _from_here(path: Path) -> str:
    """Where a relative path was looked for, and what to do if that was not meant."""
    if path.is_absolute():
        return ""
    return f" in {Path.cwd()}; run in the folder where the path begins, or give the whole path"


def message(mistake: Any) -> str:
    """The text of one pydantic error, without its key."""
    if mistake["type"] == "missing":
        return "missing; add it"
    text, found = str(mistake["msg"]), mistake["input"]
    if mistake["type"] == "value_error":
        return text.removeprefix("Value error, ")
    if found is None:
        return "nothing is given; give it a value, or remove the key"
    mend = ""
    if isinstance(found, bool) and mistake["type"] == "string_type":
        words = "yes, on or true" if found else "no, off or false"
        mend = f"; YAML reads {words} so: write it in quotes"
    elif isinstance(found, int | float | date) and mistake["type"] in ("string_type", "invalid-json-value"):
        mend = f"; write it in quotes: '{found}'"
    elif mistake["type"] in ("model_type", "dict_type"):
        text = "keys with values are wanted"
    elif mistake["type"] == "list_type" and isinstance(found, str):
        mend = f"; write [{found}]"
    return f"{text[0].lower()}{text[1:]}, found {abbreviated(found)}{mend}"


def unknown(name: str, known: list[str] | dict[str, Any]) -> str:
    """A message that `name` is not among `known`, with the nearest one as a hint."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{name!r} is unknown; {hint}"
