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

    Gradients are there between a backward pass and the end of its step. The weights that DeepSpeed's
    optimiser steps on count as the optimiser's, where they are not a view of the model's.
    """
    model: Any = trainer.model
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = list(map(own_share, parameters))
    of_weights = {values.untyped_storage().data_ptr() for values in weights}
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)  # accelerate wraps it
    copies = [v for v in _copies(optimizer) if v.untyped_storage().data_ptr() not in of_weights]
    gradients = [own_share(p.grad) for p in parameters if p.grad is not None]
    return {
        "weights": sum(map(_bytes, weights)),
        "gradients": sum(map(_bytes, [*gradients, *_gradients_of_zero(optimizer)])),
        "optimiser": sum(map(_bytes, [*copies, *_states(optimizer)])),
    }


def _bytes(values: Tensor) -> int:
    return values.numel() * values.element_size()


def _copies(optimizer: Any) -> Iterator[Tensor]:
    """ZeRO's weights to step on: its own, or a view of the model's."""
    for name in ("single_partition_of_fp32_groups", "fp32_partitioned_groups_flat"):  # ZeRO-2, ZeRO-3
        yield from (values.detach() for values in getattr(optimizer, name, ()))


def _gradients_of_zero(optimizer: Any) -> Iterator[Tensor]:
    """ZeRO's gradients, which stand in buffers of its own while it has not taken its step."""
    for group in getattr(optimizer, "averaged_gradients", {}).values():
        yield from group or ()


def _states(optimizer: Any) -> Iterator[Tensor]:
    """What an optimiser keeps of past gradients."""
    for state in getattr(optimizer, "optimizer", optimizer).state.values():  # ZeRO's holds another
        yield from (own_share(value) for value in state.values() if torch.is_tensor(value) and value.ndim)
