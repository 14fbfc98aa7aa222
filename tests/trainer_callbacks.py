"""Callbacks by which tests disturb a training run, whichever trainer it is."""

from typing import Any

import torch
from transformers import TrainerCallback


class BadUpdate(TrainerCallback):
    """Makes the gradient of one step infinite, and so weights of that update NaN; the loss stays finite."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            next(kwargs["model"].parameters()).grad.fill_(torch.inf)
