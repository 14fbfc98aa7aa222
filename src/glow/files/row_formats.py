"""Rows in text that is not JSON Lines: a JSON array of objects, or CSV. Rows are read one after another.

Places are what an editor shows: the line where a row of CSV begins; in an array, the row's number.
"""

import codecs
import csv
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from glow.errors import UserError
from glow.files.jsonl import Record
from glow.files.unpacked import LONGEST_LINE

_CHUNK = 2**20
_CSV_SUFFIXES = (".csv", ".tsv")
_PACKED_SUFFIXES = (".gz", ".zst")
_DELIMITERS = ",;\t"


def is_csv(path: Path) -> bool:
    """Whether a file is named as CSV, or as CSV that is packed."""
    name = path.name.lower()
    for suffix in _PACKED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(_CSV_SUFFIXES)


def begins_an_array(head: bytes) -> bool:
    """Whether a text of which these are the first bytes is a JSON array."""
    return head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def array_rows(stream: BinaryIO, path: Path) -> Iterator[tuple[int, Record]]:
    """The objects of a JSON array, each with its number (from 1).

    Raises:
        UserError: the text is not a whole array of objects.
    """
    reading = _Array(stream, path)
    number = 0
    while (row := reading.next_value(number + 1)) is not _END:
        number += 1
        if not isinstance(row, dict):
            raise UserError(
                f"{path}:{number}: expected a JSON object in the array, found {type(row).__name__}"
            )
        yield number, row


_END = object()


class _Array:
    """A JSON array of which only what is being read is in memory."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path = stream, path
        self._text, self._at, self._ended = "", 0, False
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder()
        self._read_more(1)
        self._skip(1)
        self._at += 1  # The bracket that `begins_an_array` has seen.

    def next_value(self, number: int) -> object:
        """The next value, which is that with this number; `_END` at the end."""
        if self._skip(number) == "]":
            self._at += 1
            if self._skip(number, may_end=True):
                raise self._refusal(number, "other text follows the end of the array")
            return _END
        if number > 1:
            if self._text[self._at] != ",":
                raise self._refusal(number, f"expected a comma or ], found {self._text[self._at]!r}")
            self._at += 1
            self._skip(number)
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if self._ended or len(self._text) - self._at > LONGEST_LINE:
                    raise self._refusal(number, f"not valid JSON ({error})") from None
                self._read_more(number)
                continue
            if end == len(self._text) and not self._ended:  # A number may go on behind what was read.
                self._read_more(number)
                continue
            self._at = end
            found: object = value
            return found

    def _skip(self, number: int, *, may_end: bool = False) -> str:
        """Go on to what is no white space; that character, or nothing at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                if may_end:
                    return ""
                raise self._refusal(number, "the file ends before the array does")
            self._read_more(number)

    def _read_more(self, number: int) -> None:
        """Read on: as much as there is already, so that a long row is not parsed again and again."""
        self._text = self._text[self._at :]
        self._at = 0
        more = self._stream.read(max(_CHUNK, len(self._text)))
        self._ended = not more
        try:
            self._text += self._utf8.decode(more, final=self._ended)
        except UnicodeDecodeError as error:
            raise self._refusal(number, f"not UTF-8 ({error.reason})") from None

    def _refusal(self, number: int, what: str) -> UserError:
        return UserError(
            f"{self._path}: row {number} of the JSON array: {what}; fix the file, or write it again"
        )


def csv_rows(stream: BinaryIO, path: Path) -> Iterator[tuple[int, Record]]:
    """The rows of CSV by the names in its first line, each with the line where it begins; cells are text.

    Cells are parted by what parts the names: commas, semicolons or tabs.

    Raises:
        UserError: the text is not UTF-8, is no CSV, or a row has more or fewer cells than there are names.
    """
    csv.field_size_limit(LONGEST_LINE)
    lines = _decoded_lines(stream, path)
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{path}:{begins}: not valid CSV ({error}); fix the row, or write it again"
            ) from None
        if cells is None:
            return
        if names is None:
            names = _distinct(cells, path)
        elif len(cells) == len(names):
            yield begins, dict(zip(names, cells, strict=True))
        elif cells:  # A blank line has none.
            raise UserError(
                f"{path}:{begins}: {len(cells)} cells, but there are {len(names)} names in the first line; "
                "quote cells that hold commas or line ends"
            )


def _decoded_lines(stream: BinaryIO, path: Path) -> Iterator[str]:
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise UserError(f"{path}:{number}: a line of more than {LONGEST_LINE:,} bytes, which is no row")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}:{number}: not UTF-8 ({error.reason}); save the file as UTF-8") from None
        yield text


def _distinct(names: list[str], path: Path) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}:1: two columns are called {name!r}; rename one")
    return names
