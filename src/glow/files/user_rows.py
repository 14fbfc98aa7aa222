"""Rows that users bring: read from JSON Lines, JSON, CSV or Parquet, and checked key by key.

Every function here names the place of a mistake (file:line) and the option that fixes it. Rows that
stages pass to one another are in `glow.files.records`.
"""

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from glow.errors import UserError, abbreviated
from glow.files.jsonl import Record, jsonl_rows
from glow.files.parquet_rows import read_parquet
from glow.files.records import ANSWER_TYPES, AnswerType, FinishReason
from glow.files.row_formats import array_rows, begins_an_array, csv_rows, is_csv
from glow.files.unpacked import kind_of, unpacked

FINISH_KEYS = ("finish_reason", "truncated")
"""Keys that say why a response ended, where no other is mapped."""

STATED_KEY = "stated"
"""The key that holds the answer which a response states, in rows that have one, where no other is mapped."""

_ENDINGS: dict[FinishReason | None, str] = {
    "stop": "stop stopped stop_sequence stop_token stop_word stop_str word eos eos_token end end_turn "
    "endoftext finish finished complete completed done normal",
    "length": "length max_length model_length context_length max_tokens max_new_tokens max_output_tokens "
    "max_completion_tokens token_limit token_limit_reached limit truncated model_context_window_exceeded",
    "interrupted": "interrupted abort aborted cancelled canceled error failed timeout time_limit incomplete "
    "not_finished insufficient_system_resource tool_call tool_calls tool_use function_call pause_turn "
    "malformed_function_call unexpected_tool_call refusal content_filter content_filtered safety recitation "
    "blocklist prohibited_content spii language other error_toxic error_limit guardrail_intervened",
    None: "null none unknown unspecified",
}
_FINISH_REASONS = {
    word.replace("_", ""): reason for reason, words in _ENDINGS.items() for word in words.split()
}
"""What the interfaces of public models say (OpenAI, Anthropic, Google, Cohere, Mistral, AWS, IBM, TGI, vLLM,
SGLang, llama.cpp and others), in small letters and nothing else. A call of a tool is no answer either."""


LABELS = {
    word: is_right
    for is_right, words in (
        (True, "true yes y t correct right pass passed 1 1.0"),
        (False, "false no n f incorrect wrong fail failed 0 0.0"),
    )
    for word in words.split()
}
"""What a label says, in small letters."""
_KEYS_SHOWN = 25


class Row(NamedTuple):
    """A row, and its place as messages name it: file:line, or file:row for Parquet."""

    place: str
    record: Record


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, packed or not: Parquet, a JSON array, CSV (by its name), or JSON Lines.

    Raises:
        UserError: the file is missing, damaged, hostile (`glow.files.unpacked`), or of another kind.
    """
    for row, _ in read_with_share(path):
        yield row


def read_with_share(path: Path) -> Iterator[tuple[Row, float]]:
    """Like `read_rows`, each row with the share of the file that was read by then, at least; 1 of Parquet."""
    if kind_of(path) == "Parquet" or path.suffix == ".parquet":
        for number, record in read_parquet(path):
            yield Row(f"{path}:{number}", record), 1.0
        return
    size = max(1, path.stat().st_size)
    with path.open("rb") as raw:
        for number, record in _records(cast(io.BufferedReader, unpacked(raw, path)), path):
            yield Row(f"{path}:{number}", record), raw.tell() / size


def _records(stream: io.BufferedReader, path: Path) -> Iterator[tuple[int, Record]]:
    if is_csv(path):
        return csv_rows(stream, path)
    return array_rows(stream, path) if begins_an_array(stream.peek()) else jsonl_rows(stream, path)


class UnseenKeys:
    """Keys of which each must be in some row, though not in every one; each with its remedy."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._unseen = dict(keys)

    def look_at(self, row: Row) -> None:
        """Take note of the keys of one more row."""
        self._unseen = {key: remedy for key, remedy in self._unseen.items() if key not in row.record}

    def refuse(self, files: Iterable[Path | str]) -> None:
        """Refuse the files, or what else has the rows that were looked at, if none has a key."""
        for key, remedy in self._unseen.items():
            raise UserError(f"{', '.join(map(str, files))}: no row has the key {key!r}; {remedy}")


def empty_files(files: Sequence[Path]) -> list[Path]:
    """Those of the files that have no row.

    Raises:
        UserError: none of them has one, or the beginning of one cannot be read.
    """
    empty = [path for path in files if next(read_rows(path), None) is None]
    if len(empty) == len(files):
        raise UserError(f"{', '.join(map(str, files))}: no rows; give a file that has some")
    return empty


def text(row: Row, key: str, remedy: str, *, may_be_empty: bool = False) -> str:
    """The text under `key`; a plain number counts as its own text.

    Raises:
        UserError: the key is absent or its value is not text; `remedy` says what to do ("map it with ...").
    """
    if key not in row.record:
        raise _no_key(row, key, remedy)
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


def stated(row: Row, key: str | None, remedy: str) -> str | None:
    """The answer that a response states, under `key` (None: `STATED_KEY`); None in rows without that key.

    Raises:
        UserError: it is neither text nor a number nor null.
    """
    key = STATED_KEY if key is None else key
    if key not in row.record:
        return None
    value = row.record[key]
    if value is None or (isinstance(value, float) and math.isnan(value)):  # pandas' null
        return ""
    return text(row, key, remedy, may_be_empty=True)


def _no_key(row: Row, key: str, remedy: str) -> UserError:
    """What to say of a key that a row does not have: those that it has."""
    names = [str(name) for name in row.record]
    further = f" and {len(names) - _KEYS_SHOWN} more" if len(names) > _KEYS_SHOWN else ""
    there = f"the keys are {', '.join(names[:_KEYS_SHOWN])}{further}" if names else "there are no keys"
    return UserError(f"{row.place}: no key {key!r}; {there}; {remedy}")


def label(row: Row, key: str, remedy: str, threshold: float | None = None) -> bool | None:
    """The correctness label under `key`; null where the row has no label.

    It may be true or false, 1 or 0, as numbers or text; yes and no, correct and wrong, pass and fail in any
    case; or a number, of which those from `threshold` on are right.

    Raises:
        UserError: the key is absent, or holds something else.
    """
    if key not in row.record:
        raise _no_key(row, key, remedy)
    value = row.record[key]
    if value is None or (isinstance(value, float) and math.isnan(value)):  # pandas' null
        return None
    said = value.strip().lower() if isinstance(value, str) else value
    if said in ("", "null", "none", "nan", "n/a"):
        return None
    if isinstance(said, str) and said in LABELS:
        return LABELS[said]
    number = _number(said)
    if number is not None and threshold is not None and not isinstance(value, bool):
        return number >= threshold
    if number in (0, 1):
        return bool(number)
    reward = (
        "; of a reward, say from where on a response is right: trajectories.label_threshold "
        "(--label-threshold)"
        if number is not None
        else ""
    )
    raise UserError(
        f"{row.place}: label {key!r} is {abbreviated(value, 40)}; "
        f"it must be true or false (or yes, no, 1, 0, null){reward}"
    )


def _number(value: Any) -> float | None:
    """The number that a value is, or that a text says."""
    if isinstance(value, int | float):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


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


def finish_reason(row: Row, key: str | None, remedy: str) -> FinishReason | None:
    """Why a row's response ended; None where that is unknown.

    Args:
        key: holds the reason as the model's interface gave it or, where its name says "trunc", whether the
            response was cut off. None: those of `FINISH_KEYS` that the row has; if one of them says that the
            response is not whole, it is not.

    Raises:
        UserError: it holds something that does not say whether the response is whole.
    """
    if key is None:
        reasons = [reason for name in FINISH_KEYS if (reason := finish_reason(row, name, remedy))]
        return next((reason for reason in reasons if reason != "stop"), reasons[0] if reasons else None)
    value = row.record.get(key)
    if value in (None, "") or (isinstance(value, float) and math.isnan(value)):  # pandas' null
        return None
    if "trunc" in key.lower() and (cut := LABELS.get(str(value).lower())) is not None:
        return "length" if cut else "stop"
    said = value.get("type") if isinstance(value, dict) else value  # SGLang: {"type": "length", "length": 64}
    word = re.sub(r"[\W_]", "", said).lower().removeprefix("finishreason") if isinstance(said, str) else None
    if word not in _FINISH_REASONS:
        raise UserError(
            f"{row.place}: {key!r} is {abbreviated(value, 40)}, which does not say whether the response is "
            f"whole; write stop, length or null, or {remedy}"
        )
    return _FINISH_REASONS[word]


def thought_open(row: Row) -> bool:
    """Whether the prompt had opened a thought, by the row's `thought_open`; false where that is absent.

    Raises:
        UserError: it is neither true nor false.
    """
    is_open = row.record.get("thought_open") or False
    if not isinstance(is_open, bool):
        raise UserError(
            f"{row.place}: 'thought_open' is {abbreviated(is_open, 40)}; it must be true or false"
        )
    return is_open


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
