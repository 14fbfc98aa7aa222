"""Samples that are longer than max_length: refused, left out or cut, and always counted.

A response that is cut has neither its answer nor its end, and trains as if it were whole.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

import numpy as np
from datasets import Dataset
from trl import SFTConfig

from glow.config import DONE_TO_LONG, Sft, TooLong
from glow.errors import UserError
from glow.models.scoring import IGNORED
from glow.training.samples import ROW

_NAMED = 3
"""How many samples an error names."""


@dataclass(frozen=True)
class LengthLimit:
    """How long samples may be, and what happens to longer ones.

    Attributes:
        tokens: the longest prompt and response together; None for no limit.
        too_long: what is done with longer ones: one of TooLong.
        largest_share: of samples that may be left out; with more the set is refused.
        keep_end: whether a cut leaves the end of a sample, not its beginning.
    """

    tokens: int | None
    too_long: str = Sft().too_long
    largest_share: float = Sft().too_long_limit
    keep_end: bool = False

    def __post_init__(self) -> None:
        if self.too_long not in get_args(TooLong):
            raise UserError(f"too_long: {self.too_long!r} is none of {', '.join(get_args(TooLong))}")
        if not 0 <= self.largest_share <= 1:
            raise UserError(f"too_long_limit: {self.largest_share} is not between 0 and 1")

    def longer(self, dataset: Dataset) -> np.ndarray:
        """Which rows of a tokenised set are too long, (rows,) bool."""
        return np.zeros(len(dataset), dtype=bool) if self.tokens is None else lengths(dataset) > self.tokens

    def cut(self, dataset: Dataset) -> Dataset:
        """The set with rows that are too long cut."""
        kept = slice(-self.tokens, None) if self.keep_end and self.tokens else slice(None, self.tokens)
        return dataset.map(_cut, fn_kwargs={"kept": kept}, desc="Cutting")

    def cut_evaluation(self, dataset: Dataset, name: str) -> Dataset:
        """A tokenised evaluation set, cut as TRL cuts it, without what has nothing left to score."""
        if self.tokens is None:
            return dataset
        longer = self.longer(dataset)
        scored = self.cut(dataset).filter(lambda row: any(label != IGNORED for label in row["labels"]))
        if longer.any() or len(scored) < len(dataset):
            warnings.warn(
                f"evaluation set {name!r}: {longer.sum()} of {len(dataset)} rows are longer than max_length "
                f"{self.tokens} and are cut; {len(dataset) - len(scored)} have no response left and vanish",
                stacklevel=2,
            )
        return scored

    def refuse(self, dataset: Dataset, longer: np.ndarray, ids: Sequence[str | int]) -> None:
        """Refuse too many rows that are too long.

        Raises:
            UserError: names the length that would hold 99 % of the rows, and some of those that are too long.
        """
        share = longer.mean()
        allowed = {"refuse": 0.0, "drop": self.largest_share, "cut": 1.0}[self.too_long]
        nothing_left = self.too_long == "drop" and longer.all()
        if share <= allowed and not nothing_left:
            return
        sizes = lengths(dataset)
        holds_most = np.quantile(sizes, 0.99, method="inverted_cdf")
        places = np.flatnonzero(longer)[:_NAMED].tolist()
        shown = ", ".join(f"{ids[dataset[place][ROW]]!r} ({sizes[place]})" for place in places)
        most = f", and too_long_limit allows {allowed:.3g}" if allowed > 0 else ""
        raise UserError(
            f"{longer.sum()} of {len(dataset)} samples ({share:.1%}) are longer than max_length "
            f"{self.tokens}{most}: {shown}{', ...' if longer.sum() > _NAMED else ''}\n"
            f"Set max_length to {holds_most}, which holds 99 % of all samples ({sizes.max()} holds all); or "
            "leave long ones out (too_long: drop, too_long_limit: 1), or train on what fits (too_long: cut)"
        )

    def say(self, longer: np.ndarray) -> None:
        """Warn of rows that are too long."""
        loss = ", and train without their end" if self.too_long == "cut" else ""
        warnings.warn(
            f"{longer.sum()} of {len(longer)} samples ({longer.mean():.1%}) are longer than max_length "
            f"{self.tokens}: {DONE_TO_LONG[self.too_long]}{loss}",
            stacklevel=2,
        )


def lengths(dataset: Dataset) -> np.ndarray:
    """The number of tokens of each row of a tokenised set, (rows,)."""
    arrow = dataset.select_columns(["input_ids"]).with_format("arrow")
    found = [
        table["input_ids"].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
        for table in arrow.iter(batch_size=1000)
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


def _cut(example: dict[str, list[int]], kept: slice) -> dict[str, list[int]]:
    return {name: example[name][kept] for name in ("input_ids", "labels")}


@contextmanager
def left_to_us(args: SFTConfig) -> Iterator[None]:
    """Hide max_length from TRL, which beside padding_free does not enforce it, and so refuses it."""
    tokens = args.max_length
    if args.padding_free and not args.packing:
        args.max_length = None
    try:
        yield
    finally:
        args.max_length = tokens
