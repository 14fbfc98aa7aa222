"""Reading and writing JSON Lines.

Every file that a stage hands to another is JSON Lines (`.jsonl`, or `.jsonl.gz`), one record a
line. What is read may be packed with gzip or zstd, whatever its name. Writes are atomic: a killed stage
leaves either the old file or the new one, never a part.
"""

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from glow.errors import UserError
from glow.files.atomic import atomic_path
from glow.files.unpacked import kind_of, lines_of, unpacked

Record = dict[str, Any]


# A lone surrogate (JSON text may hold one, UTF-8 may not) stays the escape that it was.
_TEXT: Any = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}


@contextmanager
def _open_for_writing(partial: Path, compressed: bool) -> Iterator[IO[str]]:
    with partial.open("wb") as raw:
        if not compressed:
            with io.TextIOWrapper(raw, **_TEXT) as text:
                yield text
            return
        # No name and no time in the gzip header: equal records give equal bytes.
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
            io.TextIOWrapper(packed, **_TEXT) as text,
        ):
            yield text


def write_jsonl(path: Path, records: Iterable[Mapping[str, object]]) -> int:
    """Write records to `path` atomically (gzip when it ends in .gz); return how many."""
    count = 0
    with (
        atomic_path(path) as partial,
        _open_for_writing(partial, compressed=path.suffix == ".gz") as stream,
    ):
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_jsonl(path: Path) -> Iterator[Record]:
    """Yield the records of a JSON Lines file, packed or not (`glow.files.unpacked`); blank lines are skipped.

    Raises:
        UserError: the file is missing, damaged or hostile, or a line (named as file:line) is no JSON object.
    """
    for _, record in read_numbered_jsonl(path):
        yield record


def read_numbered_jsonl(path: Path) -> Iterator[tuple[int, Record]]:
    """Like `read_jsonl`, with the line number (from 1) of each record."""
    kind_of(path)
    with path.open("rb") as raw:
        yield from jsonl_rows(unpacked(raw, path), path)


def jsonl_rows(stream: BinaryIO, path: Path) -> Iterator[tuple[int, Record]]:
    """The records of a stream of lines, each with the number of its line; `path` names them in messages."""
    for number, line in lines_of(stream, path):
        yield number, _parse(line, path, number)


def _parse(line: bytes, path: Path, number: int) -> Record:
    try:
        # Halves of surrogate pairs pass, as they do where they are written as escapes.
        record = json.loads(line.decode("utf-8", "surrogatepass").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number}: not UTF-8 text (byte {line[error.start]:#04x} at {error.start + 1}); "
            "save it as UTF-8 (of Latin-1: iconv -f LATIN1 -t UTF-8), or give another file if it is no text"
        ) from None
    except (ValueError, RecursionError) as error:
        if b"\0" in line:
            raise UserError(
                f"{path}:{number}: zero bytes: text in UTF-16, or no text; save it as UTF-8"
            ) from None
        raise UserError(f"{path}:{number}: not valid JSON ({error}); fix or remove the line") from None
    if not isinstance(record, dict):
        raise UserError(f"{path}:{number}: expected a JSON object, found {type(record).__name__}")
    return record


def refuse_duplicates(records: Iterable[Mapping[str, object]], key: str, path: Path) -> None:
    """Raise a `UserError` naming the first two records of `path` that share `record[key]`."""
    first_seen: dict[object, int] = {}
    for number, record in enumerate(records, start=1):
        identity = record[key]
        if identity in first_seen:
            raise UserError(
                f"{path}: records {first_seen[identity]} and {number} share {key} {identity!r}; "
                "every record needs its own"
            )
        first_seen[identity] = number


def write_json(path: Path, document: Any) -> None:
    """Write one JSON document atomically, indented, keys in the order given."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", **_TEXT)


_ITS_STAGE = "the stage that makes it"


def present_file(path: Path, stage: str = _ITS_STAGE) -> Path:
    """The path, if there is such a file; a `UserError` that names the stage to run if not."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; run {stage}, or the whole experiment")
    return path


def read_json(path: Path, stage: str = _ITS_STAGE) -> Record:
    """A JSON object from a file that must be there (see `present_file`)."""
    try:
        document = json.loads(present_file(path, stage).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); delete it and run {_ITS_STAGE}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(document).__name__}")
    return document
