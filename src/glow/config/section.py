"""The base class of every group of settings, and the checks that several of them share."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict

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


class Section(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def neutral(cls, key: str, value: Any) -> bool:
        """Whether a setting changes no number: it never does, or it came later and has its default value."""
        field = cls.model_fields[key]
        default = field.get_default(call_default_factory=True)
        is_default = value == (list(default) if isinstance(value, list) and default is not None else default)
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
    text = str(mistake["msg"])
    if mistake["type"] == "value_error":
        return text.removeprefix("Value error, ")
    return f"{text[0].lower()}{text[1:]}, found {abbreviated(mistake['input'])}"


def unknown(name: str, known: list[str] | dict[str, Any]) -> str:
    """A message that `name` is not among `known`, with the nearest one as a hint."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{name!r} is unknown; {hint}"
