"""Hashes of documents and paths, and reproducible random orders made from hashes."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from glow.files.hash_cache import file_hash


def digest(document: Any) -> str:
    """SHA-256 of a JSON document, keys sorted: equal settings give equal hashes."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


Item = TypeVar("Item")


def keyed_order(items: Iterable[Item], name: Callable[[Item], str], *salt: str | int) -> list[Item]:
    """Shuffle the items, sorted by a hash of the salt and each item's name.

    Which of two items comes first depends on nothing else: not on the input order, nor on which other items
    are present. So the first n are a random sample, and a larger sample begins with them.
    """
    return sorted(items, key=lambda item: digest([*salt, name(item)]))


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of a directory's file names and contents (manifests and model cards left out)."""
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file()
            and file.name not in ("manifest.json", "README.md")
            and not file.name.startswith(".")
        )
        return digest([(str(file.relative_to(path)), hash_path(file)) for file in files])
    return file_hash(path)
