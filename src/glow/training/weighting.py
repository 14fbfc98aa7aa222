"""The method: how much each sample's loss counts, given its progress since the previous epoch.

Tensors in, tensors out; no state and no trainer. The losses of earlier epochs are kept by
`glow.training.ledger`, other ways to weight stand in `glow.training.objectives`, and `glow.training.trainer`
puts them together.
"""

import torch
from torch import Tensor

Clamp = tuple[float, float]


def glow_weights(
    previous_loss: Tensor,
    current_loss: Tensor,
    alpha: float,
    beta: float,
    clamp: Clamp | None = None,
    added: float = 0.0,
) -> Tensor:
    """Gain-based loss weights, `w = alpha * (1 - sigmoid(beta * gain))` with
    `gain = previous_loss - current_loss` (docs/paper.md, "The GLOW weights").

    A sample that improved since the previous epoch (gain > 0) gets less than `alpha / 2`, one that
    got worse gets more: training turns to what has not been learnt yet.

    Args:
        previous_loss: each sample's loss in the previous epoch, nats per token; NaN where there is
            none (the first epoch, or a sample not seen), which gives weight 1. Any shape.
        current_loss: the same samples' loss now; same shape.
        alpha: scale; the weight lies in (0, alpha).
        beta: steepness in the gain, per nat.
        clamp: `(low, high)` bounds put on the weight ((0.5, 5.0) in the released code), or None.
        added: what is added to the weight, before the bounds (1 in a comment of the released code).

    Returns:
        Weights, detached, in float32 (float64 for float64 losses); same shape.
    """
    gain = loss_gain(previous_loss, current_loss)
    # 1 - sigmoid(x) = sigmoid(-x), which keeps its precision where sigmoid(x) rounds to 1.
    weight = added + alpha * torch.sigmoid(-beta * gain)
    if clamp is not None:
        weight = weight.clamp(*clamp)
    return torch.where(gain.isnan(), torch.ones_like(weight), weight)


def loss_gain(previous_loss: Tensor, current_loss: Tensor) -> Tensor:
    """`previous_loss - current_loss`, detached, in float32 or better; NaN where there is no previous loss."""
    dtype = torch.promote_types(torch.promote_types(previous_loss.dtype, current_loss.dtype), torch.float32)
    return previous_loss.detach().to(dtype) - current_loss.detach().to(dtype)


def sample_sums(values: Tensor, document: Tensor | None = None) -> Tensor:
    """Each sample's sum over its tokens, in float32 or better.

    A sample's loss is `-sample_sums(log_probs) / sample_sums(label_mask)`: the mean over its response
    tokens of `-log p(token)`.

    Args:
        values: one number a next token, (batch, length), zero where there is no label.
        document: for a batch of one row that holds several samples, which tokens are whose:
            (samples, length) bool. None: each row is one sample.

    Returns:
        (samples,); where `document` is None, (batch,).
    """
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    if document is not None:
        # A sum over a masked copy, not a scatter: on GPU, scattered sums differ from run to run.
        values = torch.where(document, values, 0.0)
    return values.sum(dim=1)
