"""The weights that a finished run gave to its samples, for a control that trains on the same samples.

They are read from that run's history before training. What a control makes of an epoch's weights stands in
`glow.training.objectives` (`Objective.replayed_weights`); here they are checked, and looked up by row.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import torch
from torch import Tensor

from glow.errors import UserError
from glow.files.jsonl import present_file
from glow.training.history import read_history
from glow.training.objectives import ReplayedWeights
from glow.training.samples import shown_ids
from glow.training.trainer_config import GlowConfig

_ID_COLUMNS = ("trajectory_id", "sample_id")
"""What the stage's history.parquet, and a GlowTrainer's own history, call the samples."""


class Replay:
    """The weights of a finished run, as a control gives them to the same samples.

    Args:
        source: the history.parquet of `glow sft`, or the folder `history` of a GlowTrainer.
        sample_ids: of the training set, in its order.
        replayed_weights: what is made of the weights of an epoch.
        seed: of this run.
        device: where the losses are.

    Attributes:
        digest: SHA-256 of the weights, by epoch and sample.

    Raises:
        UserError: the history cannot be read, or it is not of a run of these samples.
    """

    def __init__(
        self,
        source: Path,
        sample_ids: Sequence[str | int],
        replayed_weights: ReplayedWeights,
        seed: int,
        device: torch.device,
    ) -> None:
        self.source = source
        self._sample_ids = sample_ids
        self._replayed_weights = replayed_weights
        self._seed = seed
        self._device = device
        table = _table(source)
        self._refuse_other_samples(set(table.columns))
        # (epochs, samples) float64, NaN where an epoch did not see a sample
        self._recorded = table.reindex(columns=list(sample_ids)).to_numpy(dtype=np.float64)
        self.digest = hashlib.sha256(self._recorded.tobytes()).hexdigest()
        self._epoch = -1
        self._weights = torch.empty(0)
        self._is_partial = False

    def weights(self, epoch: int, rows: Tensor) -> Tensor:
        """The weights, (batch,) float32, of samples `rows`, (batch,) int64, in an epoch (from 0).

        Raises:
            UserError: the replayed run did not see one of them in that epoch.
        """
        if epoch != self._epoch:
            self._begin(epoch)
        weights = self._weights[rows]
        # Only an epoch with gaps makes the host wait for the device.
        if self._is_partial and weights.isnan().any():
            unseen = [self._sample_ids[row] for row in rows[weights.isnan()].tolist()]
            raise UserError(
                f"{self.source}: no weight in epoch {epoch + 1} for {shown_ids(unseen)}: that run saw other "
                "samples in it. Replay a run with this one's seed, batch size and number of steps"
            )
        return weights

    def _begin(self, epoch: int) -> None:
        """Make the weights of an epoch, with a slot more, 0, for the row NO_SAMPLE."""
        recorded = self._recorded[epoch]
        seen = ~np.isnan(recorded)
        values = np.full(len(recorded) + 1, np.nan, dtype=np.float32)
        values[:-1][seen] = self._replayed_weights(recorded[seen], self._seed, epoch + 1)
        values[-1] = 0.0
        self._epoch, self._is_partial = epoch, not seen.all()
        self._weights = torch.as_tensor(values, device=self._device)

    def refuse_other_length(self, epochs: int) -> None:
        """Refuse to replay the weights of a run with another number of epochs.

        Raises:
            UserError: names both numbers.
        """
        if epochs != len(self._recorded):
            raise UserError(
                f"{self.source}: of a run of {len(self._recorded)} epoch(s), and this one has {epochs}: "
                "train for as many epochs, or replay a run of as many"
            )

    def _refuse_other_samples(self, found: set[str | int]) -> None:
        trained = set(self._sample_ids)
        missing = [identity for identity in self._sample_ids if identity not in found]
        others = sorted(found - trained, key=str)
        if missing:
            what = f"no weights for {len(missing)} of {len(trained)} samples: {shown_ids(missing)}"
        elif others:
            what = f"weights of {len(others)} samples that are not trained on here: {shown_ids(others)}"
        else:
            return
        raise UserError(f"{self.source}: has {what}. Replay a run of the same trajectories")


def chosen_replay(args: GlowConfig, sample_ids: Sequence[str | int], device: torch.device) -> Replay | None:
    """The weights that a run with these arguments replays; None for one with weights of its own."""
    replayed_weights = args.chosen_objective.entry.replayed_weights
    if replayed_weights is None:
        return None
    return Replay(Path(str(args.replayed_history)), sample_ids, replayed_weights, args.seed, device)


def _table(source: Path) -> pd.DataFrame:
    """The weights of a history: a row an epoch, from the first, and a column a sample, by its id."""
    history = _history(source)
    id_column = next((name for name in _ID_COLUMNS if name in history), _ID_COLUMNS[0])
    absent = [name for name in ("epoch", id_column, "weight") if name not in history]
    if absent:
        raise UserError(
            f"{source}: no column {', '.join(absent)}; give history.parquet as `glow sft` writes it, or the "
            "folder history of a GlowTrainer"
        )
    history = history.assign(weight=pd.to_numeric(history["weight"], errors="coerce"))
    is_whole = np.isfinite(history["weight"]).all() and not history.duplicated(["epoch", id_column]).any()
    if not is_whole or set(history["epoch"]) != set(range(1, history["epoch"].nunique() + 1)):
        raise UserError(
            f"{source}: not a history: that has epochs from 1 on, a sample at most once in each, and finite "
            "weights; run `glow sft` on the replayed arm again"
        )
    return history.pivot(index="epoch", columns=id_column, values="weight")


def _history(source: Path) -> pd.DataFrame:
    try:
        if source.is_dir() and any(source.glob("epoch-*.parquet")):
            return read_history(source)
        return pd.read_parquet(present_file(source, "`glow sft` on the arm whose weights are replayed"))
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{source}: not a readable Parquet file ({error})") from None
