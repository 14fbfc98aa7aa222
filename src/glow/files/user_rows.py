"""Rows that users bring: read from JSON Lines or Parquet, and checked key by key.

Every function here names the place of a mistake (file:line) and the option that fixes it. Rows that
stages pass to one another are in `glow.files.records`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from glow.errors import UserError, abbreviated
from glow.files.jsonl import Record, read_numbered_jsonl
from glow.files.records import ANSWER_TYPES, AnswerType


class Row(NamedTuple):
    """A row, and its place as messages name it: file:line, or file:row for Parquet."""

    place: str
    record: Record


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file (.parquet), or of a JSON Lines file (any other name; .gz: compressed).

    Raises:
        UserError: the file is missing, damaged, or of another kind.
    """
    if path.suffix == ".parquet":
        yield from _read_parquet(path)
        return
    for number, record in read_numbered_jsonl(path):
        yield Row(f"{path}:{number}", record)


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error})") from None
    for number, record in enumerate(table.to_pylist(), start=1):
        yield Row(f"{path}:{number}", record)


def text(row: Row, key: str, remedy: str, *, may_be_empty: bool = False) -> str:
    """The text under `key`; a plain number counts as its own text.

    Raises:
        UserError: the key is absent or its value is not text; `remedy` says what to do ("map it with ...").
    """
    if key not in row.record:
        raise UserError(f"{row.place}: no key {key!r}; {remedy}")
    value = row.record[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise UserError(f"{row.place}: {key!r} must be text, found {_kind(value)}; fix it, or {remedy}")
    if not value.strip() and not may_be_empty:
        raise UserError(f"{row.place}: {key!r} is empty; fix or remove the row")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise UserError(f"{row.place}: {key!r} contains half of a surrogate pair (\\udXXX); fix the row")
    return value


def label(row: Row, key: str, remedy: str) -> bool | None:
    """The correctness label under `key`: true, false, 1 or 0; null where the row has no label.

    Raises:
        UserError: the key is absent, or holds something else.
    """
    if key not in row.record:
        raise UserError(f"{row.place}: no key {key!r}; {remedy}")
    value = row.record[key]
    if value is None:
        return None
    if value not in (0, 1) or isinstance(value, float):
        raise UserError(
            f"{row.place}: label {key!r} is {abbreviated(value, 40)}; "
            "it must be true or false (or 1, 0, null)"
        )
    return bool(value)


def answer_type(row: Row, key: str) -> AnswerType | None:
    """The type of the gold answer under `key`; None (it will be inferred) where it is null or absent.

    Raises:
        UserError: it is not a type that the verifier knows.
    """
    kind = row.record.get(key)
    if kind not in (None, *ANSWER_TYPES):
        raise UserError(
            f"{row.place}: {key!r} is {abbreviated(kind, 40)}; it must be one of {', '.join(ANSWER_TYPES)}, "
            "or null, to infer it"
        )
    return kind


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
