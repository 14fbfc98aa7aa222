"""Training samples with an identity: ids, row numbers that survive batching, and checks of both.

`glow.training.trainer` numbers the samples of a training set; this module carries the numbers through TRL's
tokenisation, packing and collation, and surveys the tokenised set before training starts.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from trl import pack_dataset

from glow.errors import UserError
from glow.models.scoring import IGNORED
from glow.training.given import refuse_mixed
from glow.training.ledger import NO_SAMPLE
from glow.training.objectives import Average
from glow.training.weighting import sample_sums

ROW = "sample_row"
"""Column with a sample's position in the training set; in a batch, (samples,) int64."""

_SHOWN = 5
"""How many samples a message names."""

PLACE = "sample_place"
"""In a batch: which of its examples (a row, or a pack of several samples) each sample is in, (samples,)."""


def sample_ids(dataset: Dataset, column: str | None, default_column: str) -> Sequence[str | int]:
    """The samples' ids: from the column, or their row numbers for None or if the default column is missing.

    Raises:
        UserError: no such column, or two samples share an id.
    """
    if column is None or column not in dataset.column_names:
        if column in (None, default_column):
            return range(len(dataset))
        raise UserError(
            f"the training set has no column {column!r} (id_column); it has {', '.join(dataset.column_names)}"
        )
    ids = list(dataset[column])
    for row, identity in enumerate(ids):
        if not isinstance(identity, (str, int)):
            raise UserError(
                f"row {row} of the training set has the id {identity!r} (column {column}): "
                "an id must be text or a whole number; id_column=None numbers the samples"
            )
    refuse_mixed(ids, "the training set: ", column)
    twice, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise UserError(
            f"two training samples share the id {twice!r} (column {column}): "
            "each needs its own; id_column=None numbers them"
        )
    return ids


def shown_ids(ids: Sequence[str | int]) -> str:
    """The first few ids, as messages name them."""
    return ", ".join(map(repr, ids[:_SHOWN])) + (", ..." if len(ids) > _SHOWN else "")


def ids_digest(ids: Sequence[str | int]) -> str:
    """SHA-256 of the samples' ids, in order."""
    return hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()


@dataclass(frozen=True)
class Survey:
    """What a tokenised training set holds, sample by sample.

    Attributes:
        rows: positions in the set as the user gave it, (samples,) int64.
        response_tokens: number of tokens to learn, (samples,); the first token of a sequence does not count,
            since nothing predicts it.
        digest: SHA-256 of the rows, tokens and labels, in order.
    """

    rows: np.ndarray
    response_tokens: np.ndarray
    digest: str


def survey(dataset: Dataset) -> Survey:
    """Look at every sample of a tokenised set with columns input_ids, labels and ROW."""
    sha = hashlib.sha256()
    counts = [np.zeros(0, dtype=np.int64)]
    for rows, input_ids, labels, lengths in _columns(dataset):
        for values in (rows, input_ids, labels, lengths):
            sha.update(values.astype(np.int64).tobytes())
        ends = np.cumsum(lengths)
        learnt = labels != IGNORED
        learnt[(ends - lengths)[lengths > 0]] = False
        counts.append(np.diff(np.concatenate([[0], np.cumsum(learnt)])[np.concatenate([[0], ends])]))
    return Survey(np.asarray(dataset[ROW], dtype=np.int64), np.concatenate(counts), sha.hexdigest())


def _columns(dataset: Dataset) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Rows, all input ids, all labels and the lengths, a thousand samples at a time."""
    arrow = dataset.select_columns([ROW, "input_ids", "labels"]).with_format("arrow")
    for table in arrow.iter(batch_size=1000):
        ids = table["input_ids"].combine_chunks()
        lengths = ids.value_lengths().to_numpy(zero_copy_only=False)
        labels = table["labels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        yield table[ROW].to_numpy(), ids.flatten().to_numpy(zero_copy_only=False), labels, lengths


def tokenised_rows(dataset: Dataset) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The place in the set as given, input ids and labels of each sample of a tokenised set."""
    for rows, input_ids, labels, lengths in _columns(dataset):
        cuts = np.cumsum(lengths)[:-1]
        samples = zip(rows.tolist(), np.split(input_ids, cuts), np.split(labels, cuts), strict=True)
        yield from samples


def renumbered(dataset: Dataset) -> tuple[Dataset, list[int]]:
    """The set with its samples numbered from 0 in the order of their rows; and those rows."""
    rows = sorted(dataset[ROW])
    numbers = {row: number for number, row in enumerate(rows)}
    return dataset.map(lambda example: {ROW: numbers[example[ROW]]}, desc="Numbering"), rows


def pack(dataset: Dataset, length: int) -> Dataset:
    """Pack whole samples into rows of at most `length` tokens; ROW becomes a list with a number per sample.

    TRL packs only columns with one value per token, so the row number is repeated for each token.
    """
    a_token = dataset.select_columns(["input_ids", "labels", ROW]).map(_row_for_each_token)
    return pack_dataset(a_token, length, "bfd").map(_row_for_each_document)


def _row_for_each_token(example: dict[str, Any]) -> dict[str, list[int]]:
    return {ROW: [example[ROW]] * len(example["input_ids"])}


def _row_for_each_document(example: dict[str, Any]) -> dict[str, list[int]]:
    starts = np.cumsum([0, *example["seq_lengths"][:-1]])
    return {ROW: [example[ROW][start] for start in starts]}


class SampleCollator:
    """A collator that also hands on which samples the batch holds: ROW and PLACE, (samples,) int64.

    Args:
        collate: the collator for everything else; it does not see the rows.
    """

    def __init__(self, collate: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
        self.collate = collate

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collate(
            [{key: value for key, value in example.items() if key != ROW} for example in examples]
        )
        if ROW in examples[0]:  # an evaluation set has none
            rows = [np.atleast_1d(example[ROW]) for example in examples]
            if "seq_idx" not in batch and len(batch["input_ids"]) != sum(map(len, rows)):
                raise UserError(
                    "the data collator puts several samples in one row without seq_idx, which says which "
                    "token belongs to which sample: use padding_free=True instead"
                )
            batch[ROW] = torch.as_tensor(np.concatenate(rows))
            batch[PLACE] = torch.as_tensor(np.repeat(np.arange(len(rows)), [len(row) for row in rows]))
        return batch


def document_mask(batch: dict[str, Any]) -> torch.Tensor | None:
    """Which next tokens belong to which sample, (samples, length - 1) bool; None unless a row has several."""
    if "seq_idx" not in batch:
        return None
    samples = torch.arange(len(batch[ROW]), device=batch[ROW].device)
    return batch["seq_idx"][:, 1:] == samples[:, None]


def tokens_read(batch: dict[str, Any]) -> torch.Tensor:
    """How many tokens the samples of a batch have, prompts too and padding not, () int64."""
    is_sample, document = batch[ROW] != NO_SAMPLE, None
    if "seq_idx" in batch:
        document = batch["seq_idx"] == torch.arange(len(is_sample), device=is_sample.device)[:, None]
    whole = torch.ones_like(batch["input_ids"])
    lengths = sample_sums(batch.get("attention_mask", whole), document)
    return lengths[is_sample].long().sum()


def averaged(batch: dict[str, Any], average: Average) -> torch.Tensor:
    """How many of what a step averages over are in a batch: samples, or their response tokens; () int64."""
    is_sample = batch[ROW] != NO_SAMPLE
    if average == "samples":
        return is_sample.sum()
    learnt = batch["labels"][:, 1:] != IGNORED  # nothing predicts the first token of a row
    return sample_sums(learnt, document_mask(batch))[is_sample].long().sum()
