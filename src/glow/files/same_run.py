"""One answer to "is this the same run?", for all that goes on after a kill: pretraining, sampling, SFT, GRPO.

A run's identity is a flat JSON object of all that changes its numbers, kept with what a killed run left. A
run with another identity starts afresh or refuses, as its stage sees fit, and says why by `difference`.
Package versions and hardware (device, threads, processes) are part of no identity: the manifest notes them.
A change of these alters last digits, which is no reason to throw a week of computing away.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from glow.errors import abbreviated
from glow.files.hashing import hash_path
from glow.files.jsonl import write_json

Identity = dict[str, Any]

_UNSET = object()

IDENTITY_FILE = "run.json"
"""Where a folder of checkpoints, or one checkpoint, keeps the identity of its run."""


def run_identity(
    settings: Mapping[str, Any], inputs: Iterable[Path] = (), leave_out: Iterable[str] = ()
) -> Identity:
    """What makes two runs the same: every setting under its dotted key, every input's SHA-256.

    Args:
        settings: nested; what JSON does not know counts as the text that Python makes of it. Hashes may
            stand for what is too long.
        inputs: files or directories; their content counts, and their names but not where they stand.
        leave_out: dotted keys of settings that change no number.
    """
    hashes = {f"input {number} ({path.name})": hash_path(path) for number, path in enumerate(inputs, 1)}
    identity = _flatten(json.loads(json.dumps(settings, default=_as_text))) | hashes
    for key in leave_out:
        identity.pop(key, None)
    return identity


def _as_text(value: object) -> str:
    if isinstance(value, (set, frozenset)):
        return str(sorted(map(str, value)))
    return re.sub(" at 0x[0-9a-f]+", "", str(value))  # an address is another in each process


def _flatten(settings: Mapping[str, Any], above: str = "") -> Identity:
    flat: Identity = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{above}{key}.")
        else:
            flat[above + key] = value
    return flat


def difference(found: Identity | None, wanted: Identity) -> str:
    """The first few settings or inputs in which two runs differ, in words; empty for the same run."""
    if found is None:
        return "without a record of its settings"
    keys = [key for key in wanted | found if found.get(key, _UNSET) != wanted.get(key, _UNSET)]
    changes = [f"{key} {_change(found.get(key, _UNSET), wanted.get(key, _UNSET))}" for key in keys[:3]]
    return "; ".join([*changes, *([f"and {len(keys) - 3} more"] if len(keys) > 3 else [])])


def _change(found: object, wanted: object) -> str:
    if any(re.fullmatch("[0-9a-f]{64,}", str(value)) for value in (found, wanted)):
        return "has changed"  # a hash says nothing to anyone
    was, is_now = ("unset" if value is _UNSET else abbreviated(value) for value in (found, wanted))
    return f"was {was}, is {is_now}"


def write_identity(folder: Path, identity: Identity) -> None:
    """Keep the identity of a run with what the run leaves in `folder`."""
    write_json(folder / IDENTITY_FILE, identity)


def read_identity(folder: Path) -> Identity | None:
    """The identity of the run that left `folder`; None where it has none."""
    file = folder / IDENTITY_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
