"""A YAML (or JSON) file as a document, with a refusal of what YAML would take for something else, in silence.

YAML lets the last of two equal keys win, reads `no` as false and `010` as eight, and lets a few lines stand
for billions of values. Here each of these is a mistake with its line and what to write. What a configuration
may say is not known here.
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from glow.errors import UserError, abbreviated

_DEEPEST = 100
"""Levels of lists and mappings within each other, of which a configuration has less than ten."""

_LARGEST = 10_000_000
"""Bytes of a file."""

_MOST_VALUES = 1_000_000
"""Values of a document, with those that anchors repeat."""

_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"


def read_yaml(path: Path) -> Any:
    """The document of a file.

    Raises:
        UserError: it is missing, no UTF-8 text or no YAML; or it says something in a way of which YAML would
            make something else. The message has the line.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a configuration file")
    if not path.is_file():
        raise UserError(f"{path}: no such configuration file")
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path}: is too large for a configuration; name the file that has the settings")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not valid YAML: not UTF-8 text; save it as UTF-8") from None
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _Look(path).at(root, ())
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise UserError(f"{path}{_explained(error, text)}") from None
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: lists and mappings are nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()


def _explained(error: yaml.YAMLError, text: str) -> str:
    """The place and the cause of a mistake in the grammar, after the name of the file."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: error.position].count("\n") + 1
        return f":{line}: not valid YAML: the character {chr(error.character)!r}; remove it"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return f": not valid YAML: {' '.join(str(error).split())}"
    said = error.problem or error.context or "it cannot be read"
    if "'\\t'" in said:
        said = "a tab where spaces are wanted; indent with spaces"
    elif error.context and error.context_mark and error.context_mark.line != mark.line:
        said += f" ({error.context} that begins in line {error.context_mark.line + 1})"
    return f":{mark.line + 1}: not valid YAML: {said}"


class _Look:
    """Looks through the nodes of a document, before values are made of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sizes: dict[int, int] = {}  # of nodes that were looked at, with all below them

    def at(self, node: yaml.Node, above: tuple[int, ...]) -> int:
        """Look at a node and at all below it; return how many values it stands for."""
        if id(node) in above:
            raise self._mistake(node, "a value within itself, by its anchor; remove the alias")
        if len(above) > _DEEPEST:
            raise self._mistake(node, "lists and mappings are nested too deeply")
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        size = 1
        if isinstance(node, yaml.ScalarNode):
            self._scalar(node)
        elif isinstance(node, yaml.MappingNode):
            self._keys(node)
            size += sum(self.at(value, (*above, id(node))) for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            size += sum(self.at(item, (*above, id(node))) for item in node.value)
        if size > _MOST_VALUES:
            raise self._mistake(node, "its aliases make millions of values of it; write out what is meant")
        self._sizes[id(node)] = size
        return size

    def _keys(self, node: yaml.MappingNode) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if key.tag != _TEXT or not isinstance(key, yaml.ScalarNode):
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or a mapping"
                raise self._mistake(key, f"the key {shown} is no text to YAML; write it in quotes: '{shown}'")
            self._scalar(key)
            line = key.start_mark.line + 1
            if key.value in seen:
                name, first = abbreviated(key.value), seen[key.value]
                raise self._mistake(key, f"the key {name} is in line {first} already; remove one of the two")
            seen[key.value] = line

    def _scalar(self, node: yaml.ScalarNode) -> None:
        """Refuse what is read as something else than it looks like, or as nothing that can be written."""
        kind, value = node.tag.rpartition(":")[2], node.value
        shown = value if len(value) < 60 else f"{value[:56]}..."
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self._mistake(node, "half a character (a lone surrogate, \\ud800 to \\udfff); remove it")
        if kind == "int" and _OCTAL.fullmatch(value):
            raise self._mistake(
                node, f"{shown}: a number that begins with 0 is octal; write it without the 0"
            )
        if kind in ("int", "float") and _SEXAGESIMAL.fullmatch(value):
            raise self._mistake(
                node, f"{shown}: sixties are counted where numbers have colons; write it in quotes"
            )
        if kind not in ("int", "float", "timestamp", "binary"):
            return
        try:
            found = yaml.SafeLoader("").construct_object(node, deep=True)
        except (ValueError, OverflowError, yaml.YAMLError):
            raise self._mistake(node, f"{shown}: no {_KINDS[kind]} can be made of it; change it") from None
        if kind == "float" and not math.isfinite(found):
            raise self._mistake(node, f"{shown}: a finite number is wanted; change it")

    def _mistake(self, node: yaml.Node, said: str) -> UserError:
        return UserError(f"{self._path}:{node.start_mark.line + 1}: {said}")


_KINDS = {"int": "whole number", "float": "number", "timestamp": "date", "binary": "bytes"}
