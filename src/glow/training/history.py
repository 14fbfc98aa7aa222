"""The per-sample history of a run: one Parquet file an epoch, written when the epoch ends.

Not the ledger (`glow.training.ledger`), which keeps on the device what the next weights need.
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
    epoch), weight (all float32); in order of the training set.
    """
    frame = pd.DataFrame(
        {
            "epoch": np.int32(page.epoch + 1),
            "sample_id": sample_ids,
            "loss": page.loss.cpu().numpy(),
            "gain": page.gain.cpu().numpy(),
            "weight": page.weight.cpu().numpy(),
        }
    )
    with atomic_path(folder / f"epoch-{page.epoch + 1:05d}.parquet") as partial:
        frame[frame["loss"].notna()].to_parquet(partial, index=False)


def read_history(folder: Path) -> pd.DataFrame:
    """All epochs of a folder, in order of epoch and of the training set; columns as in `write_page`."""
    frames = [pd.read_parquet(file) for file in sorted(folder.glob("epoch-*.parquet"))]
    return pd.concat(frames, ignore_index=True)


def copy_history(source: Path | None, target: Path) -> None:
    """Make `target` hold what `source` holds and nothing else; None and a missing folder are empty."""
    shutil.rmtree(target, ignore_errors=True)
    if source is not None and source.is_dir():
        shutil.copytree(source, target)
