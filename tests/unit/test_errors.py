"""errors: what the machine refuses is said like a user's mistake, whichever library tells of it."""

import errno
import os
from pathlib import Path

import pytest

from glow.errors import of_machine

OUTPUT = Path("results/x/out.jsonl")
ROOM = "no space left on device; make room, or name a place on another disk (TMPDIR for temporary files)"


def raised(code: int, *names: str) -> OSError:
    return OSError(code, os.strerror(code), *names)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (raised(errno.ENOSPC), f"results/x/out.jsonl: {ROOM}"),
        (raised(errno.ENOSPC, "/tmp/a"), f"/tmp/a: {ROOM}"),
        (
            raised(errno.EACCES, "results/x/.out.jsonl.partial-7"),
            "results/x/out.jsonl: permission denied; change",
        ),
        (raised(errno.EROFS, "/mnt/a"), "/mnt/a: read-only file system; name a place that may be written to"),
        (raised(errno.EISDIR, "config"), "config: is a directory; name a file"),
        (raised(errno.ENOTDIR, "a/b"), "a/b: not a directory; a part of it is a file"),
        (raised(errno.ENOENT, "none"), "none: no such file or directory; name one that is there"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), f"results/x/out.jsonl: {ROOM}"),
        (caused(ValueError("a table"), raised(errno.ENOSPC)), f"results/x/out.jsonl: {ROOM}"),
    ],
)
def test_what_the_machine_refuses_is_said_with_its_mend(error: Exception, said: str) -> None:
    found = of_machine(error, OUTPUT)
    assert found is not None
    assert found.startswith(said)
    assert "\n" not in found


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a"),
        RuntimeError("no such thing"),
        OSError("odd"),
        raised(errno.ECHILD),
        ValueError("No such file or directory"),
    ],
)
def test_a_fault_of_the_program_is_none_of_these(error: Exception) -> None:
    assert of_machine(error, OUTPUT) is None


def test_without_an_output_nothing_is_named() -> None:
    assert of_machine(raised(errno.ENOSPC)) == ROOM
