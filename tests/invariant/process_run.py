"""One process of a run that a test watches from outside: torchrun's, or one that is killed.

    torchrun --nproc_per_node 2 process_run.py MODEL FOLDER 'SETTINGS AS JSON'

Beyond `glow_runs.SETTINGS`, settings may be: shard (a sharding of `TrainingHardware`), precision, resume (as
for `train`), kill_at (a step that the process does not survive), kill_in_save (a step, and before what of its
checkpoint the process dies: "ledger", "random state", "mark" or "rotation"), spoil (a step after which the
process of a rank has a weight that is NaN), ask (a step, in which the process of a rank is asked to stop),
measure (losses and answers by epoch, into epochs.jsonl) and weigh (what each process holds, into
bytes-RANK.json).
It leaves parameters.safetensors and log.json; of a run that was spoilt, each process's error in error-RANK.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from glow_runs import make_trainer, measured, toy_dataset
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

import glow.training.sharding
from glow.config import Sft, TrainingHardware
from glow.errors import UserError
from glow.files.stopping import asked, listen
from glow.training.callbacks import StopWhenAsked
from glow.training.ledger import LossLedger
from glow.training.sharding import sharding_arguments, whole_weights
from glow.training.shares import bytes_held
from glow.training.trainer import GlowTrainer


class NoteBytes(TrainerCallback):
    """Notes what this process holds when the gradients of a step are there, once the optimiser has states."""

    def __init__(self, trainer: GlowTrainer, folder: Path) -> None:
        self.trainer, self.folder = trainer, folder

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step != 2:
            return
        stepping = self.trainer.model_wrapped if self.trainer.is_deepspeed_enabled else self.trainer
        take_step = stepping.optimizer.step

        def weigh_and_step(*args: Any, **kwargs: Any) -> Any:
            held = json.dumps(bytes_held(self.trainer))
            (self.folder / f"bytes-{self.trainer.args.process_index}.json").write_text(held)
            return take_step(*args, **kwargs)

        stepping.optimizer.step = weigh_and_step


class KillAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class Spoil(TrainerCallback):
    def __init__(self, step: int, rank: int) -> None:
        self.step, self.rank = step, rank

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step and args.process_index == self.rank:
            weight = kwargs["model"].model.norm.weight.detach()
            own = weight.to_local() if isinstance(weight, DTensor) else weight
            own[-1] = torch.nan


class AskAt(TrainerCallback):
    def __init__(self, step: int, rank: int) -> None:
        self.step, self.rank = step, rank

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step and args.process_index == self.rank:
            os.kill(os.getpid(), signal.SIGUSR1)
            while not asked():
                time.sleep(0.01)


def kill_in_save(trainer: GlowTrainer, step: int, before: str) -> None:
    """Die in the checkpoint of `step`."""
    owner, name = {
        "ledger": (LossLedger, "save"),
        "random state": (trainer, "_save_rng_state"),
        "mark": (glow.training.sharding, "mark_whole"),
        "rotation": (glow.training.sharding, "rotate_checkpoints"),
    }[before]
    part = getattr(owner, name)

    def part_or_die(*args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return part(*args, **kwargs)

    setattr(owner, name, part_or_die)


def main() -> None:
    model, folder, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    shard, resume = settings.pop("shard", "ddp"), settings.pop("resume", None)
    weigh = settings.pop("weigh", False)
    kill_at, kill_save = settings.pop("kill_at", None), settings.pop("kill_in_save", None)
    spoil, ask = settings.pop("spoil", None), settings.pop("ask", None)
    measure = settings.pop("measure", False)
    plain = Sft(precision=settings.pop("precision", "fp32"), gradient_checkpointing=False)
    settings |= sharding_arguments(TrainingHardware(sharding=shard), plain)
    trainer = make_trainer(model, toy_dataset(), folder, **settings)
    assert trainer.sharding == shard
    if weigh:
        trainer.add_callback(NoteBytes(trainer, folder))
    if kill_at:
        trainer.add_callback(KillAt(kill_at))
    if kill_save:
        kill_in_save(trainer, *kill_save)
    if measure:
        trainer.add_callback(measured(trainer, model))
    if spoil:
        trainer.add_callback(Spoil(*spoil))
    if ask:
        trainer.add_callback(AskAt(*ask))
        trainer.add_callback(StopWhenAsked())
    try:
        with listen():
            trainer.train(resume_from_checkpoint=resume)
    except UserError as error:
        if not spoil:
            raise
        (folder / f"error-{trainer.args.process_index}").write_text(str(error))
        return
    parameters = whole_weights(trainer)
    if shard == "fsdp2":
        assert all(isinstance(parameter, DTensor) for parameter in trainer.model.parameters())
    if trainer.is_world_process_zero():
        parameters = trainer.model.state_dict() if parameters is None else parameters
        # Tied to the embeddings: safetensors takes no tensor twice.
        kept = {name: values.contiguous() for name, values in parameters.items() if name != "lm_head.weight"}
        save_file(kept, folder / "parameters.safetensors")
        (folder / "log.json").write_text(json.dumps(trainer.state.log_history))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
