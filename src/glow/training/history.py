"""The per-sample history of a run: one Parquet file an epoch, written when the epoch ends.

Not to be confused with the ledger (`glow.training.ledger`), which keeps what the next weights need on the
device.
"""

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from glow.files.atomic import atomic_path
from glow.training.ledger import Page

HISTORY = "history"
"""Folder of the files, in a run's output and in each of its checkpoints."""

_EMPTY = pd.DataFrame(
    {
        "epoch": pd.Series(dtype="int32"),
        "sample_id": pd.Series(dtype="object"),
        "loss": pd.Series(dtype="float32"),
        "gain": pd.Series(dtype="float32"),
        "weight": pd.Series(dtype="float32"),
        "step": pd.Series(dtype="int32"),
    }
)


def write_page(folder: Path, page: Page, sample_ids: Sequence[str | int]) -> None:
    """Write what every sample did in one epoch; samples that it did not see are left out.

    Columns: epoch (int32, from 1), sample_id, loss (nats per token), gain (NaN in a sample's first
    epoch), weight (all float32), step (int32: the optimiser step of the epoch, from 1, in which the sample
    came up); in order of the training set.
    """
    frame = pd.DataFrame(
        {
            "epoch": np.int32(page.epoch + 1),
            "sample_id": sample_ids,
            "loss": page.loss.cpu().numpy(),
            "gain": page.gain.cpu().numpy(),
            "weight": page.weight.cpu().numpy(),
            "step": page.step.cpu().numpy(),
        }
    )
    seen = frame[frame["loss"].notna()].astype({"step": "int32"})
    with atomic_path(folder / f"epoch-{page.epoch + 1:05d}.parquet") as partial:
        seen.to_parquet(partial, index=False)


def read_history(folder: Path) -> pd.DataFrame:
    """All epochs of a folder, in order of epoch and of the training set; columns as in `write_page`.

    Before the first epoch has ended it has no rows.
    """
    frames = [pd.read_parquet(file) for file in sorted(folder.glob("epoch-*.parquet"))]
    return pd.concat(frames, ignore_index=True) if frames else _EMPTY.copy()


def begin_history(folder: Path, checkpoint: Path | None) -> None:
    """Make `folder` the history of a run that begins, or goes on from a checkpoint.

    One of an earlier run is kept under the first free name `history-1`, `history-2`, ...
    """
    is_same_run = checkpoint is not None and checkpoint.resolve().parent == folder.resolve().parent
    if folder.is_dir() and not is_same_run:
        names = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(1))
        free = next(name for name in names if not name.exists())
        folder.rename(free)
        print(f"{folder}: of an earlier run; kept as {free.name}")
    copy_history(checkpoint and checkpoint / HISTORY, folder)


def copy_history(source: Path | None, target: Path) -> None:
    """Make `target` a copy of `source`, with nothing else in it; None or a missing folder counts as empty."""
    shutil.rmtree(target, ignore_errors=True)
    if source is not None and source.is_dir():
        shutil.copytree(source, target)
