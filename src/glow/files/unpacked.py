"""What a file is by its first bytes, and its lines: unpacked where it is packed, and never without end.

Packed is what begins as gzip or zstd does, whatever its name. A small file may unpack to more than a machine
holds (a decompression bomb), and a line may be a whole disk long: both are refused before they are read.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from glow.errors import UserError

LONGEST_LINE = 2**26
"""Bytes of a line, or of a row of Parquet: some thousand long responses. More is no row, or no text."""

MOST_BLANK = 1_000_000
"""Blank lines of a file."""

ROW_COSTS = 2**10
"""Bytes that a row takes in memory besides its text."""

UNPACKS_TO = 400
"""How many times its own size a file may unpack to; text and trajectories come to less than 50."""

ALWAYS_FITS = 2**28
"""Bytes that any file may unpack to."""

Kind = Literal["gzip", "zstd", "Parquet", ""]
"""What a file is by its first bytes; empty: text, or unknown."""

_KINDS: dict[bytes, Kind] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PAR1": "Parquet"}

_FOREIGN = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet, or a checkpoint of torch)",
    b"\xfd7zXZ\x00": "packed with xz",
    b"BZh": "packed with bzip2",
    b"ARROW1": "an Arrow file",
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"SQLite format 3": "a database",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
"""First bytes of what is often given by mistake."""


def kind_of(path: Path) -> Kind:
    """What a file is by its first bytes.

    Raises:
        UserError: there is no such file, or it is of a kind that nothing here reads.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
    with path.open("rb") as raw:
        return _kind(raw.read(16), path)


def _kind(head: bytes, path: Path) -> Kind:
    for start, what in _FOREIGN.items():
        if head.startswith(start):
            mend = "save it as UTF-8" if "text" in what else "give JSON Lines (also .gz or .zst) or Parquet"
            raise UserError(f"{path}: {what}, which is not read here; {mend}")
    return next((kind for start, kind in _KINDS.items() if head.startswith(start)), "")


def unpacked(raw: io.BufferedReader, path: Path) -> BinaryIO:
    """The bytes of an open file, unpacked if they are packed; `path` names it in messages.

    Raises:
        UserError: it is of a kind that nothing here reads. Reading raises it where the file is damaged or
            unpacks to more than `UNPACKS_TO` times its size.
    """
    kind = _kind(raw.peek(16)[:16], path)
    if kind in ("", "Parquet"):
        return raw
    if kind == "gzip":
        return io.BufferedReader(_Unpacking(gzip.GzipFile(fileobj=raw), path))
    import pyarrow

    return io.BufferedReader(_Unpacking(pyarrow.CompressedInputStream(raw, "zstd"), path))


class _Unpacking(io.RawIOBase):
    """The bytes of a packed stream, as long as they are in proportion to the file's."""

    def __init__(self, source: Any, path: Path) -> None:
        self._source, self._path = source, path
        self._bomb = _Bomb(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = self._source.read(len(buffer))
        except EOFError:
            raise UserError(f"{self._path}: the packed file ends early; fetch or write it again") from None
        except (OSError, zlib.error) as error:
            raise UserError(f"{self._path}: {_damage(error)}") from None
        self._bomb.refuse(len(chunk) + ROW_COSTS * chunk.count(b"\n"))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _damage(error: Exception) -> str:
    said = str(error)
    if "Truncated" in said:
        return "the packed file ends early; fetch or write it again"
    if "Not a gzipped file" in said or "Unknown frame descriptor" in said:
        return "other bytes follow the end of the packed data; cut them off, or fetch the file again"
    return f"damaged: it does not unpack ({said}); fetch or write it again"


class _Bomb:
    """How much of a file has been unpacked, which is refused where it is out of proportion to its size."""

    def __init__(self, path: Path) -> None:
        self._path, self._size = path, path.stat().st_size
        self._unpacked = 0

    def refuse(self, more: int) -> None:
        self._unpacked += more
        refuse_bomb(self._path, self._size, self._unpacked)


def refuse_bomb(path: Path, size: int, in_memory: int) -> None:
    """Refuse a file that takes many times its size in memory.

    Args:
        size: bytes of the file.
        in_memory: bytes of what it holds, with `ROW_COSTS` for each row.

    Raises:
        UserError: it is out of proportion.
    """
    if in_memory > max(ALWAYS_FITS, UNPACKS_TO * size):
        raise UserError(
            f"{path}: {size:,} bytes that unpack to more than {UNPACKS_TO} times as much (a decompression "
            "bomb?); unpack it yourself and give that if it is what you mean"
        )


def lines_of(stream: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a stream that are not blank, each with its number (from 1).

    Raises:
        UserError: a line is longer than `LONGEST_LINE`, or more than `MOST_BLANK` are blank.
    """
    number = blank = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise UserError(
                f"{path}:{number}: a line of more than {LONGEST_LINE:,} bytes; each row must be a "
                "line of its own, and smaller"
            )
        if line.strip():
            yield number, line
            continue
        blank += 1
        if blank > MOST_BLANK:
            raise UserError(f"{path}:{number}: more than {MOST_BLANK:,} blank lines; remove them")
