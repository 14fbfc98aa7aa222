"""Hashes: digests of documents and paths, and orders drawn by them."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar


def digest(document: Any) -> str:
    """SHA-256 of a JSON document, keys sorted: equal settings give equal hashes."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


Item = TypeVar("Item")


def keyed_order(items: Iterable[Item], name: Callable[[Item], str], *salt: str | int) -> list[Item]:
    """The items in an order that depends on the salt and each item's own name alone.

    Neither the order in which they come nor another item's absence moves one of them, so the first n are a
    draw, and a longer draw begins with the shorter one.
    """
    return sorted(items, key=lambda item: digest([*salt, name(item)]))


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of a directory's file names and contents (manifests left out)."""
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and file.name != "manifest.json" and not file.name.startswith(".")
        )
        return digest([(str(file.relative_to(path)), hash_path(file)) for file in files])
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
