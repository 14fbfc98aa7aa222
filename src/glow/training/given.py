"""What a GlowTrainer is given: lists of dictionaries become data sets, and arguments get their names."""

import inspect
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from trl import SFTTrainer

from glow.errors import UserError, abbreviated

NAMED = ("model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class")
"""TRL's first arguments, in its order, which GlowTrainer names itself."""


def further_arguments(by_position: Sequence[Any], by_name: Mapping[str, Any]) -> dict[str, Any]:
    """All others of SFTTrainer's arguments, by name.

    Raises:
        TypeError: there is no such argument, or one is given twice.
    """
    bound = inspect.signature(SFTTrainer).bind(*NAMED, *by_position, **by_name)
    return {name: value for name, value in bound.arguments.items() if name not in NAMED}


def as_datasets(given: Any, name: str) -> Any:
    """Evaluation sets, one or several by name, with lists made data sets; None, text and streams stay.

    Raises:
        UserError: one has no rows, or as `as_dataset` says.
    """
    if isinstance(given, dict):
        return type(given)({key: as_datasets(part, f"{name} {key!r}") for key, part in given.items()})
    found = as_dataset(given, name)
    if isinstance(found, Dataset) and len(found) == 0:
        raise UserError(f"{name} has no rows: leave it out")
    return found


def as_dataset(rows: Any, name: str) -> Any:
    """A list of dictionaries as a Dataset with all their keys; what is no list stays as it is.

    Raises:
        UserError: an entry is no dictionary, or a key has values of several types.
    """
    if not isinstance(rows, list):
        return rows
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UserError(
                f"{name}: entry {place} of the list is a {type(row).__name__}, not a dictionary with a row's "
                "keys; several data sets go into a dictionary, by name"
            )
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = {key: [row.get(key) for row in rows] for key in keys}
    for key, values in columns.items():
        refuse_mixed(values, f"{name}: ", key)
    try:
        return Dataset.from_dict(columns)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"{name}: a key has values of several types in the rows' lists ({said})") from error


def refuse_mixed(values: Sequence[Any], where: str, key: str) -> None:
    """Refuse texts beside numbers, or either beside lists, in one column; empty places do not count.

    Raises:
        UserError: names the first row that differs from the one before it.
    """
    before: tuple[int, Any] | None = None
    for row, value in enumerate(values):
        if value is None:
            continue
        if before is not None and _kind(value) is not _kind(before[1]):
            raise UserError(
                f"{where}row {row} has the {key} {abbreviated(value)} ({type(value).__name__}), and row "
                f"{before[0]} {abbreviated(before[1])} ({type(before[1]).__name__}): give all the same type"
            )
        before = (row, value)


def _kind(value: Any) -> type:
    """Whole and other numbers share a column, and so do lists, tuples and arrays; a bool is no number."""
    if isinstance(value, bool):
        return bool
    kinds: dict[type, tuple[type, ...]] = {
        float: (Number,),
        str: (str,),
        list: (list, tuple, np.ndarray),
        dict: (dict,),
    }
    return next((kind for kind, members in kinds.items() if isinstance(value, members)), type(value))
