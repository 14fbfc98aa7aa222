"""What a model directory may have run here: nothing of its own, unless the caller trusts it.

transformers runs code that a configuration names, and asks on standard input whether it may. It is never
asked here: what would need code is refused before anything is loaded.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glow.errors import UserError


def refuse_foreign_code(model: Path, trust_remote_code: bool) -> None:
    """Refuse a model directory whose configurations name code that may not run.

    Code of the directory itself (`auto_map`) needs `trust_remote_code`; code of another repository and
    attention kernels from the hub are refused always.

    Raises:
        UserError: two lines that name the file, and what to do.
    """
    for file in sorted(model.glob("*config*.json")):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue  # transformers refuses to read it, too
        for key, text in _texts(document):
            if "auto_map" in key:
                _refuse_class(file, text, trust_remote_code)
            if any(part.endswith("_implementation") for part in key) and "/" in text:
                raise UserError(
                    f"{file}: {'.'.join(key)} names a kernel of the Hugging Face hub ({text!r}), which is "
                    "never loaded\nRemove that key: transformers then chooses an implementation of its own"
                )


def _refuse_class(file: Path, name: str, trust_remote_code: bool) -> None:
    if "--" in name:
        raise UserError(
            f"{file}: auto_map names code of another repository ({name!r}), which is never run\n"
            "Use a model that transformers knows, or keep that code (once read) in the model's own directory"
        )
    if not trust_remote_code:
        raise UserError(
            f"{file}: auto_map names code in the model's directory ({name!r}), which is not run\n"
            "Trust a hub model, at its pinned revision, with trust_remote_code: true (by hand "
            "--trust-remote-code); or remove auto_map if transformers knows the model without it"
        )


def _texts(value: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a JSON document, with the keys that lead to it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, (*key, name))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
