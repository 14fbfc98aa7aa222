"""What one process holds of a training state that may be in shares, under FSDP2 or ZeRO."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import Trainer


def own_share(parameter: Tensor) -> Tensor:
    """What this process holds of a parameter: its share, or all of it."""
    if isinstance(parameter, DTensor):
        return parameter.to_local().detach()
    share: Tensor = getattr(parameter, "ds_tensor", parameter)  # ZeRO-3
    return share.detach()


def bytes_held(trainer: Trainer) -> dict[str, int]:
    """What this process holds of the training state, in bytes: weights, gradients and optimiser.

    To be asked between a backward pass and the end of its step, where gradients are there.
    """
    model: Any = trainer.model
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return {
        "weights": sum(map(_bytes, map(own_share, parameters))),
        "gradients": sum(_bytes(own_share(p.grad)) for p in parameters if p.grad is not None),
        "optimiser": sum(map(_bytes, _optimiser_tensors(trainer.optimizer))),
    }


def _bytes(values: Tensor) -> int:
    return values.numel() * values.element_size()


def _optimiser_tensors(optimizer: Any) -> Iterator[Tensor]:
    for state in optimizer.state.values():
        yield from (own_share(value) for value in state.values() if torch.is_tensor(value) and value.ndim)
