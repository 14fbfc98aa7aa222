"""The per-sample loss memory that GLOW's gain is measured against.

Dense tensors on the training device, 16 bytes a sample: no per-step host read, no gather of Python
objects. Processes record separately and merge once an epoch, since an epoch's losses are only needed in
the next. Rows are positions in the training set; `glow.training.trainer` maps them to the samples' ids, and
`glow.training.history` keeps the finished epochs.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from glow.training.weighting import loss_gain

MISSING = float("nan")

FORM = 2
"""The form of the files that `LossLedger.save` writes: another number whenever it changes."""

NO_SAMPLE = -1
"""Row of a sample that must not count: a repeat that only makes the processes' batches equally large."""


@dataclass(frozen=True)
class Page:
    """One epoch, by sample: (samples,) float32; NaN for a sample that it did not see.

    Attributes:
        step: the optimiser step of the epoch, from 1, in which the sample came up.
    """

    epoch: int
    loss: Tensor
    weight: Tensor
    gain: Tensor
    step: Tensor


class LossLedger:
    """Losses, weights and steps of the running epoch, and the losses of the one before.

    Args:
        size: number of samples.
        device: where the tensors live (the model's device).
    """

    def __init__(self, size: int, device: torch.device | str = "cpu") -> None:
        self.epoch = 0
        # One slot more than samples: the last, row NO_SAMPLE, takes values that must not count.
        self._previous_loss = torch.full((size + 1,), MISSING, device=device)
        self._loss = torch.full((size + 1,), MISSING, device=device)
        self._weight = torch.full((size + 1,), MISSING, device=device)
        self._step = torch.full((size + 1,), MISSING, device=device)  # of the run; exact to 2^24
        self._tokens = 0
        self._own_tokens = torch.zeros((), dtype=torch.int64, device=device)  # since `_tokens` was summed up

    def __len__(self) -> int:
        return len(self._loss) - 1

    def previous_loss(self, rows: Tensor) -> Tensor:
        """The losses, (batch,), of samples `rows`, (batch,) int64, an epoch ago; NaN where unseen."""
        return self._previous_loss[rows]

    def record(self, rows: Tensor, loss: Tensor, weight: Tensor, step: int) -> None:
        """Keep the losses and weights, (batch,), of samples `rows`, (batch,) int64, for this epoch.

        Args:
            step: the run's optimiser step that they are of; a page counts from the first of its epoch.
        """
        self._loss[rows] = loss.detach().float()
        self._weight[rows] = weight.detach().float()
        self._step.index_fill_(0, rows, step)

    def count(self, tokens: Tensor) -> None:
        """Add to what this process has read: a number of tokens, () int64."""
        self._own_tokens += tokens

    def total_tokens(self) -> int:
        """The tokens that all processes have read since the run began (each must call)."""
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(self._own_tokens)
        self._tokens += int(self._own_tokens)
        self._own_tokens.zero_()
        return self._tokens

    def turn_page(self) -> Page:
        """Finish the running epoch and begin the next; return the finished one, merged (each must call)."""
        self.merge()
        loss, weight, step = (values[:-1].clone() for values in self._running)
        gain = loss_gain(self._previous_loss[:-1], loss)
        first_step = step.nan_to_num(nan=float("inf")).min()
        page = Page(self.epoch, loss, weight, gain, step - first_step + 1)
        self._previous_loss[:-1] = loss
        for values in self._running:
            values.fill_(MISSING)
        self.epoch += 1
        return page

    def save(self, path: Path) -> None:
        """Write the whole state to one safetensors file; `merge` and `total_tokens` before."""
        save_file(
            {
                "previous_loss": self._previous_loss[:-1].cpu(),
                "loss": self._loss[:-1].cpu(),
                "weight": self._weight[:-1].cpu(),
                "step": self._step[:-1].cpu(),
            },
            path,
            metadata={"epoch": str(self.epoch), "tokens": str(self._tokens)},
        )

    def merge(self) -> None:
        """Give every process what any of them has recorded in the running epoch (each must call)."""
        for values in self._running:
            values[:-1] = _merge_processes(values[:-1])

    @property
    def _running(self) -> tuple[Tensor, ...]:
        """What is kept of the running epoch."""
        return self._loss, self._weight, self._step

    def load(self, path: Path) -> None:
        """Restore what `save` wrote.

        Raises:
            ValueError: the file is for another number of samples.
        """
        with safe_open(path, framework="pt") as state:
            samples = state.get_slice("loss").get_shape()[0]
            if samples != len(self):
                raise ValueError(
                    f"{path}: a ledger of {samples} samples does not fit a training set of {len(self)}"
                )
            self.epoch = int(state.metadata()["epoch"])
            self._tokens = int(state.metadata().get("tokens", 0))  # older checkpoints have none
            self._previous_loss[:-1] = state.get_tensor("previous_loss")
            self._loss[:-1] = state.get_tensor("loss")
            self._weight[:-1] = state.get_tensor("weight")
            self._step[:-1] = state.get_tensor("step")


def _merge_processes(values: Tensor) -> Tensor:
    """The values of all processes; in an epoch only one process has a value for a sample."""
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return values
    merged = values.nan_to_num(nan=float("inf"), posinf=float("inf"))
    torch.distributed.all_reduce(merged, op=torch.distributed.ReduceOp.MIN)
    return torch.where(merged.isinf(), MISSING, merged)
