"""What a GLOW run reports: the log's means over samples, losses that are not finite, samples not seen.

Per-sample results of each micro-batch stay on the device until a log line is due, so that the host never
waits for the device between log lines.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from glow.errors import UserError
from glow.training.checkpoints import way_on
from glow.training.ledger import NO_SAMPLE, Page
from glow.training.samples import shown_ids

CONSTANT_SPREAD = 0.01
"""Weights whose standard deviation is less than this share of their mean count as constant."""


@dataclass(frozen=True)
class Results:
    """One micro-batch, by sample: everything but `step` has shape (samples,) and is detached.

    Attributes:
        tokens, entropy, top1: sums over the sample's response tokens.
        aux_loss: load balancing of a mixture of experts, of the micro-batch as a whole, (); else None.
    """

    step: int
    rows: Tensor
    loss: Tensor
    weight: Tensor
    gain: Tensor
    tokens: Tensor
    entropy: Tensor
    top1: Tensor
    aux_loss: Tensor | None = None


class Monitor:
    """Collects results between log lines.

    Args:
        sample_ids: names of the rows.
        bounds: the weights' clamp, or None.
        accelerator: of the trainer; every process must make the same calls.
        directory: where the run keeps its checkpoints.
    """

    def __init__(
        self,
        sample_ids: Sequence[str | int],
        bounds: Sequence[float] | None,
        accelerator: Accelerator,
        directory: Path,
    ) -> None:
        self.sample_ids = sample_ids
        self.low, self.high = bounds or (float("-inf"), float("inf"))
        self.accelerator = accelerator
        self.directory = directory
        self.has_warned = False
        self.results: list[Results] = []

    def drain(self) -> dict[str, float]:
        """The log line's means since the last one, over all processes; then start a new collection.

        Raises:
            UserError: see `refuse_non_finite`.
        """
        totals = self.accelerator.reduce(self._totals()).tolist()
        samples, tokens, loss, entropy, top1, weight, weight_square, gain, gains, low, high, bad, *aux = (
            totals
        )
        if bad:
            self.refuse_non_finite()
        self.results = []
        mean = weight / samples
        return {
            "sample_loss": loss / samples,
            "gain_mean": gain / gains if gains else 0.0,
            "weight_mean": mean,
            "weight_std": max(weight_square / samples - mean**2, 0.0) ** 0.5,
            "weight_ess": weight**2 / weight_square / samples if weight_square else 0.0,
            "share_at_low": low / samples,
            "share_at_high": high / samples,
            "entropy": entropy / tokens,
            "mean_token_accuracy": top1 / tokens,
            **({"aux_loss": aux[0] / aux[1]} if aux else {}),
        }

    def _totals(self) -> Tensor:
        """This process's sums, in the order in which `drain` names them."""
        # Mean and spread of weights that hardly differ need the digits; Apple's GPUs have no float64.
        dtype = torch.float32 if self.accelerator.device.type == "mps" else torch.float64
        fields = ("rows", "tokens", "loss", "entropy", "top1", "weight", "gain")
        rows, tokens, loss, entropy, top1, weight, gain = (
            torch.cat([getattr(results, field) for results in self.results]) for field in fields
        )
        known = rows != NO_SAMPLE
        tokens, loss, entropy, top1, weight, gain = (
            values[known] for values in (tokens, loss, entropy, top1, weight, gain)
        )
        sums = [
            known,
            tokens,
            loss,
            entropy,
            top1,
            weight,
            weight.to(dtype).square(),
            gain.nan_to_num(nan=0.0),
            gain.isfinite(),
            weight <= self.low,
            weight >= self.high,
            ~loss.isfinite(),
        ]
        auxiliary = [results.aux_loss for results in self.results if results.aux_loss is not None]
        if auxiliary:
            losses = torch.stack(auxiliary)
            sums += [losses, torch.ones_like(losses)]
        return torch.stack([values.sum(dtype=dtype) for values in sums])

    def refuse_non_finite(self) -> None:
        """Look for a loss that is not finite since the last log line, in all processes.

        Raises:
            UserError: a loss is not finite; the message names only the samples of the first such step, which
                may have caused those after it.
        """
        mine = [
            (part.step, self.sample_ids[row])
            for part in self.results
            for row in part.rows[~part.loss.isfinite() & (part.rows != NO_SAMPLE)].tolist()
        ]
        found = torch.tensor(len(mine), device=self.accelerator.device)
        if not self.accelerator.reduce(found).item():
            return
        bad = gather_object(mine)
        first = min(step for step, _ in bad)
        names = [name for step, name in bad if step == first]
        raise UserError(
            f"the loss is not finite at optimiser step {first + 1}, for {len(names)} sample(s): "
            f"{shown_ids(names)}. Look at them. {way_on(self.directory)}"
        )

    def warn_of_unseen(self, page: Page) -> None:
        """Warn of samples that a finished epoch did not see, once a run."""
        unseen = [self.sample_ids[row] for row in page.loss.isnan().nonzero().flatten().tolist()]
        if unseen and not self.has_warned:
            self.has_warned = True
            warnings.warn(
                f"epoch {page.epoch + 1} did not see {len(unseen)} of {len(page.loss)} samples: "
                f"{shown_ids(unseen)}. dataloader_drop_last, a sampler or a callback left them out",
                stacklevel=2,
            )

    def warn_of_constant_weights(self, page: Page, spread: float) -> None:
        """Warn of weights that compare with the epoch before and hardly differ; their spread, of the mean."""
        if page.epoch >= 1 and spread < CONSTANT_SPREAD:
            warnings.warn(
                f"the weights of epoch {page.epoch + 1} are nearly the same for all samples (standard "
                f"deviation {spread:.2%} of the mean): this acts like plain SFT with another learning rate. "
                "Raise beta, or widen or remove the clamp",
                stacklevel=2,
            )


def epoch_summary(page: Page) -> dict[str, float]:
    """The log line of a finished epoch: means over its samples, spread of weights, and samples not seen."""
    seen = page.loss.isfinite()
    weight, gain = page.weight[seen], page.gain[page.gain.isfinite()]
    mean = weight.mean()
    return {
        "epoch_loss": page.loss[seen].mean().item(),
        "epoch_gain": gain.mean().item() if len(gain) else 0.0,
        "epoch_weight": mean.item(),
        "epoch_weight_spread": (weight.std(correction=0) / mean).item(),
        "unseen_samples": int((~seen).sum()),
    }
