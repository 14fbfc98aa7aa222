"""The SHA-256 of a file. That of a large one is kept in the user's cache folder: not every job reads a model.

A kept hash counts while the file's path, size, inode and times (of content and of inode) are what they were.
As in git, a file that was changed a moment ago is not kept: it could change again within the same tick of the
clock. The folder, $XDG_CACHE_HOME/glow/hashes or ~/.cache/glow/hashes, may be deleted at any time.
"""

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from glow.files.jsonl import write_json

LARGE = 8 * 2**20
"""From how many bytes on a hash is kept: less is read faster than looked up."""

SETTLED_NS = 2 * 10**9
"""How long a file must have been left alone before its hash is kept: the coarsest tick of file systems."""

State = dict[str, Any]


def file_hash(file: Path) -> str:
    """SHA-256 of the file's content, in hex."""
    if file.stat().st_size < LARGE:
        return _hash(file)
    place, state, now = _place(file), _state(file), time.time_ns()
    if place is not None and (kept := _kept(place, state)):
        return kept
    found = _hash(file)
    is_settled = now - max(state["modified_ns"], state["changed_ns"]) >= SETTLED_NS
    if place is not None and is_settled and _state(file) == state:
        # A cache that cannot be written (read-only home, full disk) only means that the file is read again.
        with suppress(OSError):
            write_json(place, state | {"sha256": found})
    return found


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _state(file: Path) -> State:
    found = file.stat()
    return {
        "file": str(file.resolve()),
        "size": found.st_size,
        "inode": found.st_ino,
        "modified_ns": found.st_mtime_ns,
        "changed_ns": found.st_ctime_ns,
    }


def _place(file: Path) -> Path | None:
    """Where the file's hash is kept; None where no cache folder is named, and the user has no home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        try:
            cache = Path("~/.cache").expanduser()
        except RuntimeError:  # a user without an entry in passwd, as in some containers
            return None
    name = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()
    return cache / "glow" / "hashes" / f"{name}.json"


def _kept(place: Path, state: State) -> str | None:
    """The hash kept at `place`, if it was that of the file as it is."""
    try:
        kept = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None  # There is none, or it cannot be read, or is damaged: then the file is hashed again.
    if not isinstance(kept, dict) or {key: kept.get(key) for key in state} != state:
        return None
    found = str(kept.get("sha256"))
    return found if re.fullmatch("[0-9a-f]{64}", found) else None
