"""One process of a GRPO run that torchrun started: grpo_process.py PROBLEMS MODEL OUTPUT HARDWARE CHANGES.

CHANGES, as JSON, may have kill_at (a step that the process does not survive), given (rollouts that are drawn
by step and place alone, and from no model: the same under any sharding) and further settings, below "grpo".
"""

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from grpo_runs import SETTINGS, LetterVerifier, train
from transformers import TrainerCallback

from glow.config import Grpo, TrainingHardware
from glow.models.load import prompt_ids
from glow.training import grpo as stage


class Kill(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def given_rollouts(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    tokenizer, first = trainer.processing_class, len(prompts) * trainer.accelerator.process_index
    completions = []
    for place in range(first, first + len(prompts)):
        draw = random.Random(f"{trainer.state.global_step} {place}")
        tokens = draw.choices(range(5, len(tokenizer)), k=draw.randint(3, 11))
        completions.append([*tokens, tokenizer.eos_token_id])
    asked = [prompt_ids(tokenizer, messages) for messages in prompts]
    return {"prompt_ids": asked, "completion_ids": completions, "logprobs": None}


make_trainer, changes = stage._trainer, json.loads(sys.argv[5])


def make_changed(*arguments: Any) -> Any:
    trainer = make_trainer(*arguments)
    if "kill_at" in changes:
        trainer.add_callback(Kill(changes["kill_at"]))
    if changes.get("given"):
        trainer.rollout_func = given_rollouts
    return trainer


stage._trainer = make_changed
stage.Verifier = LetterVerifier  # type: ignore[misc,assignment]
# A low rate: Adam takes steps of one size however small a gradient, and so magnifies rounding by the rate.
settings = {"steps": 4, "checkpoints": 3, "learning_rate": 1e-4} | changes.get("grpo", {})
problems, model, output = map(Path, sys.argv[1:4])
whole = Grpo.model_validate(SETTINGS.model_dump() | settings)
train(problems, model, output, whole, TrainingHardware(**json.loads(sys.argv[4])))
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
