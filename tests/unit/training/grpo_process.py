"""One process of a GRPO run that torchrun started: grpo_process.py PROBLEMS MODEL OUTPUT HARDWARE."""

import json
import sys
from pathlib import Path

import torch
from grpo_runs import SETTINGS, LetterVerifier, train

from glow.config import TrainingHardware
from glow.training import grpo as stage

stage.Verifier = LetterVerifier  # type: ignore[misc,assignment]
# A low rate: Adam takes steps of one size however small a gradient, and so magnifies rounding by the rate.
settings = SETTINGS.model_copy(update={"steps": 3, "checkpoints": 0, "learning_rate": 1e-4})
problems, model, output = map(Path, sys.argv[1:4])
train(problems, model, output, settings, TrainingHardware(**json.loads(sys.argv[4])))
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
