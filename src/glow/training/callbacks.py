"""What the training stages, SFT and GRPO, share besides their resume points (`glow.training.checkpoints`)."""

import shutil
import sys
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import PartialState
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging as transformers_logging

from glow.errors import UserError
from glow.files.atomic import partial_folder, put_in_place
from glow.files.progress import progress_bar
from glow.files.stopping import Stopped, asked, note_kept
from glow.training.card import CARD, Card
from glow.training.checkpoints import is_whole, sync_folder
from glow.training.saving import SavedForm, write_model
from glow.training.sharding import whole_weights


def quieten() -> None:
    """Keep the libraries' own bars (tokenising, loading weights) out of log files."""
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        transformers_logging.disable_progress_bar()


class StepProgress(TrainerCallback):
    """A progress bar over optimiser steps that shows the latest value of one metric of the log."""

    def __init__(self, description: str, metric: str) -> None:
        self.description = description
        self.metric = metric

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.bar = progress_bar(
            self.description,
            "step",
            total=state.max_steps,
            initial=state.global_step,
            disable=not state.is_world_process_zero,
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.bar.update()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        logs: dict[str, float] = kwargs["logs"]
        if self.metric in logs:
            self.bar.set_postfix({self.metric: f"{logs[self.metric]:.3f}"}, refresh=False)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.bar.close()


class StopWhenAsked(TrainerCallback):
    """Saves a checkpoint and ends the training after the step in which a process was asked to stop."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if _any_process_asked():
            control.should_save = True
            control.should_training_stop = True


def _any_process_asked() -> bool:
    """Whether any process of this run was asked: all have to save after the same step (each must call)."""
    if not torch.distributed.is_initialized():
        return asked()
    found = torch.tensor(int(asked()), device=PartialState().device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return bool(found)


def raise_if_stopped(trainer: Trainer) -> None:
    """End a stage whose training has stopped before its last step.

    Raises:
        Stopped: says from which step it goes on.
        UserError: no checkpoint could be saved then: to go on later would be to do the same again.
    """
    step, steps = trainer.state.global_step, trainer.state.max_steps
    if step >= steps:
        return
    trainer.accelerator.wait_for_everyone()  # where one of several ends, the others are ended
    folder = str(trainer.args.output_dir)
    if not is_whole(Path(folder, f"checkpoint-{step}")):
        raise UserError(
            f"{folder}: asked to stop after step {step} of {steps}, and no checkpoint could be saved then: "
            "make room on the disk; the same command goes on from the newest that is there, if any"
        )
    note_kept()
    raise Stopped(f"saved after step {step} of {steps}, in {folder}")


def save_model(trainer: Trainer, output: Path, form: SavedForm, card: Card) -> None:
    """Write the model, its tokenizer and its card beside `output`, then move them into place."""
    partial = partial_folder(output)
    if trainer.is_world_process_zero():
        shutil.rmtree(partial, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    weights = whole_weights(trainer)  # each process has its share to give
    if trainer.is_world_process_zero():
        partial.mkdir(parents=True)
        write_model(trainer, partial, output, form, weights)
        card.written().save(partial / CARD)
        sync_folder(partial)  # a stage deletes its checkpoints afterwards
        put_in_place(partial, output)
    trainer.accelerator.wait_for_everyone()
