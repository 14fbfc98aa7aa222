"""The per-sample history of a run: one Parquet file an epoch, written when the epoch ends.

Not to be confused with the ledger (`glow.training.ledger`), which keeps what the next weights need on the
device.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from glow.files.atomic import atomic_path
from glow.training.ledger import Page

HISTORY = "history"
"""Folder of the files, in a run's output and in each of its checkpoints."""


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
    """All epochs of a folder, in order of epoch and of the training set; columns as in `write_page`."""
    frames = [pd.read_parquet(file) for file in sorted(folder.glob("epoch-*.parquet"))]
    return pd.concat(frames, ignore_index=True)


def copy_history(source: Path | None, target: Path) -> None:
    """Make `target` a copy of `source`, with nothing else in it; None or a missing folder counts as empty."""
    shutil.rmtree(target, ignore_errors=True)
    if source is not None and source.is_dir():
        shutil.copytree(source, target)
