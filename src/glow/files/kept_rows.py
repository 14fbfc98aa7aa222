"""Responses that are kept as soon as they are there, so that a kill loses none of them.

The file is JSON Lines: a header with the run's identity (`glow.files.same_run`), then one row a line, each
named by its problem_id and sample_index. A run goes on after the rows of its own identity, and drops those of
any other.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from glow.files.jsonl import write_jsonl
from glow.files.same_run import Identity, difference
from glow.files.stopping import note_kept

SampleKey = tuple[str, int]
"""What names a response: problem_id and sample_index."""


class KeptRows:
    """The rows of a run under way, in a file of its own that grows line by line; it outlives a failure.

    Args:
        path: of the file, which is made where there is none.
        identity: of the run.

    Attributes:
        rows: all rows: those that an interrupted run of the same identity left, and those since.
        differs: what is another in the run that left the file, in words; empty where nothing is.
    """

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a+b")
        self._stream.seek(0)
        self.rows, end, self.differs = _read(self._stream, identity)
        self._stream.truncate(end)
        if end == 0:
            self._write(identity)

    def append(self, row: Mapping[str, object]) -> None:
        """Keep one more row; from here on a kill does not lose it."""
        self.rows[_key(row)] = row
        self._write(row)
        note_kept()

    def close(self) -> None:
        """Close the file, which stays."""
        self._stream.close()

    def _write(self, row: Mapping[str, object]) -> None:
        self._stream.write(json.dumps(row).encode() + b"\n")
        self._stream.flush()


def read_kept(path: Path, identity: Identity) -> tuple[dict[SampleKey, Any], str]:
    """The rows in a file (.jsonl or .jsonl.gz), or in words how its run's identity differs.

    Another process may be adding rows.
    """
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        rows, _, differs = _read(stream, identity)
    return rows, differs


def write_kept(path: Path, identity: Identity, rows: Iterable[Mapping[str, object]]) -> None:
    """Write the rows of a finished run at once, for `read_kept`."""
    write_jsonl(path, [identity, *rows])


def _read(stream: Iterable[bytes], identity: Identity) -> tuple[dict[SampleKey, Any], int, str]:
    """The rows, the size of what they take with their header, and what differs; nothing of another run."""
    lines = list(_whole_lines(stream))
    if not lines:
        return {}, 0, ""
    if differs := difference(lines[0][0], identity):
        return {}, 0, differs
    return {_key(row): row for row, _ in lines[1:]}, sum(size for _, size in lines), ""


def _whole_lines(stream: Iterable[bytes]) -> Iterator[tuple[Any, int]]:
    """Each line with its size, up to the first that a kill, or a crash of the machine, left in part."""
    for line in stream:
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            return
        if row is None:
            return
        yield row, len(line)


def _key(row: Any) -> SampleKey:
    return row["problem_id"], row["sample_index"]
