"""What a training step minimises: how tokens and samples are weighted. One short function each.

For samples i of an optimiser step, with response tokens t of log-probability log p_t,

    objective = mean over i of  sample_weight_i * mean over t of  token_weight_t * -log p_t

To add one, write its function and name it in OBJECTIVES; `GlowConfig(objective="<name>")` then trains
with it. The step's arithmetic, ledger, log and checkpoints are `glow.training.trainer`'s and stay as they
are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Settings(Protocol):
    """What an objective may read of its configuration; a `GlowConfig` has it."""

    alpha: float
    beta: float
    clamp: list[float] | None


SampleWeights = Callable[["Tensor", "Tensor", Settings], "Tensor"]
"""(previous_loss, loss, settings) -> weights; all (samples,), previous_loss NaN where there is none.

Elementwise: a sample's weight may depend on its own losses alone. What else is in the batch (a median, a
rank) depends on how a step is cut into micro-batches and processes, and so then would the result.
"""

TokenWeights = Callable[["Tensor"], "Tensor"]
"""log_prob of the label -> weight, elementwise, detached; zero log_prob where there is no label."""


@dataclass(frozen=True)
class Objective:
    """A way to weight; None counts every sample, or every token of a sample, alike.

    Attributes:
        uses_history: whether the weights differ from 1 only once an epoch has gone before.
    """

    sample_weights: SampleWeights | None = None
    token_weights: TokenWeights | None = None
    uses_history: bool = False


def glow(previous_loss: "Tensor", loss: "Tensor", settings: Settings) -> "Tensor":
    """GLOW: less weight to a sample the more its loss fell since the previous epoch."""
    from glow.training.weighting import glow_weights  # Late: whoever asks for names waits for no torch.

    clamp = None if settings.clamp is None else (settings.clamp[0], settings.clamp[1])
    return glow_weights(previous_loss, loss, settings.alpha, settings.beta, clamp)


def dft(log_prob: "Tensor") -> "Tensor":
    """Dynamic fine-tuning: each token by its own probability (arXiv 2508.05629, eq. 9)."""
    return log_prob.exp()


OBJECTIVES: dict[str, Objective] = {
    "plain": Objective(),
    "glow": Objective(sample_weights=glow, uses_history=True),
    "dft": Objective(token_weights=dft),
}
