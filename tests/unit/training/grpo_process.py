"""One process of a GRPO run that torchrun started: grpo_process.py PROBLEMS MODEL OUTPUT HARDWARE [KILL_AT].

KILL_AT is a step that the process does not survive.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from grpo_runs import SETTINGS, LetterVerifier, train
from transformers import TrainerCallback

from glow.config import TrainingHardware
from glow.training import grpo as stage


class Kill(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


make_trainer = stage._trainer


def make_mortal(*arguments: Any) -> Any:
    trainer = make_trainer(*arguments)
    trainer.add_callback(Kill(int(sys.argv[5])))
    return trainer


if len(sys.argv) > 5:
    stage._trainer = make_mortal
stage.Verifier = LetterVerifier  # type: ignore[misc,assignment]
# A low rate: Adam takes steps of one size however small a gradient, and so magnifies rounding by the rate.
settings = SETTINGS.model_copy(update={"steps": 4, "checkpoints": 3, "learning_rate": 1e-4})
problems, model, output = map(Path, sys.argv[1:4])
train(problems, model, output, settings, TrainingHardware(**json.loads(sys.argv[4])))
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
