"""Resume points of a training run: which run they belong to, which are complete, and how many there are.

SFT and GRPO keep the Trainer's checkpoints in a directory that no rule declares, with the run's identity
(`glow.files.same_run`) beside them. Here is what both need to resume a killed run from the newest checkpoint
that is complete, and from no other run's; and, for `glow.training.trainer` used as a library, how
it finds and refuses a checkpoint. What is in one is the trainer's business, but for the weights: none whose
weights are not finite is written.
"""

import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from glow.errors import UserError
from glow.files.same_run import IDENTITY_FILE, Identity, difference, read_identity, write_identity
from glow.training.history import HISTORY
from glow.training.shares import own_share

MARKER_FILE = "complete"

UNIVERSAL = "_universal"
"""Ends the name of the folder with DeepSpeed's universal form of a checkpoint."""

"""Empty file that is written into a checkpoint last: one without it was torn by a kill."""


def resume_point(directory: Path, wanted: Identity, steps: int) -> Path | None:
    """Make `directory` ready for a run of `steps` steps; return the checkpoint to resume from, if any.

    That is the newest whole one of the same run with steps left to take. Torn ones are deleted, and so are
    longer runs' later ones and all of another run: the workflow runs a stage again when its configuration
    changed, so refusing would only block it. What is deleted or resumed is printed, with the difference.

    With several processes the first alone deletes and writes. It removes the old identity first, so
    that the others, which only look, come to the same answer at any moment.
    """
    first_process = _is_first_process()
    found = read_identity(directory)
    if found != wanted:
        if first_process:
            _start_afresh(directory, found, wanted)
        return None
    whole, torn = _checkpoints(directory)
    useful = [checkpoint for checkpoint in whole if _step(checkpoint) < steps]
    for checkpoint in [*torn, *whole[len(useful) :]] if first_process else []:
        why = "incomplete" if checkpoint in torn else f"past the {steps} steps asked for now"
        print(f"{checkpoint}: {why}; deleted")
        shutil.rmtree(checkpoint)
    newest = useful[-1] if useful else None
    if newest is None and first_process:
        # Of epochs that a kill ended before the first checkpoint: they are trained again.
        shutil.rmtree(directory / HISTORY, ignore_errors=True)
    if newest is not None:
        logging.getLogger("transformers.trainer").addFilter(_is_news)
        if first_process:
            print(f"resuming from {newest}")
    return newest


def _checkpoints(directory: Path) -> tuple[list[Path], list[Path]]:
    """The whole and the torn checkpoints of a run, oldest first."""
    numbered = [path for path in directory.glob("checkpoint-*") if path.name[len("checkpoint-") :].isdigit()]
    found = sorted(numbered, key=_step)
    whole = list(filter(is_whole, found))
    return whole, [checkpoint for checkpoint in found if checkpoint not in whole]


def find_checkpoint(wanted: str | bool | None, directory: Path, ledger_file: str) -> Path | None:
    """What to resume from: a named checkpoint, or for True the newest whole one of `directory`.

    Raises:
        UserError: there is none, or the one named is torn, has no ledger or no optimiser state.
    """
    if wanted is None or wanted is False:
        return None
    newest = _newest_checkpoint(directory) if wanted is True else Path(wanted)
    if not is_whole(newest):
        whole, _ = _checkpoints(newest.parent)
        before = f"whole ones beside it: {', '.join(path.name for path in whole) or 'none'}"
        raise UserError(f"{newest}: not a complete checkpoint of a GlowTrainer; {before}")
    if not (newest / ledger_file).is_file():
        raise UserError(f"{newest}: has no {ledger_file}, so no GlowTrainer wrote it")
    if not _has_state(newest):
        raise UserError(f"{newest}: written with save_only_model, so nothing to resume from but weights")
    return newest


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end, by all processes."""
    return (checkpoint / MARKER_FILE).is_file()


def _has_state(checkpoint: Path) -> bool:
    """Whether a checkpoint holds more than weights: save_only_model leaves out the rest."""
    return any(checkpoint.glob("rng_state*"))


def way_on(directory: Path) -> str:
    """How a run goes on whose numbers went bad, for its error: from which step, and what to try."""
    whole = [checkpoint for checkpoint in _checkpoints(directory)[0] if _has_state(checkpoint)]
    found = f"{directory}: no whole checkpoint to resume from, so train anew"
    if whole:
        found = (
            f"{whole[-1]} (step {_step(whole[-1])}) is from before it: resume there if the cause was outside "
            "the settings, or train anew"
        )
    return f"{found} with a lower learning rate, in float32, or without samples that look wrong"


def _newest_checkpoint(directory: Path) -> Path:
    whole, torn = _checkpoints(directory)
    if not whole:
        raise UserError(f"{directory}: no complete checkpoint; train without resuming")
    for checkpoint in torn if _is_first_process() else []:
        print(f"{checkpoint}: incomplete; {whole[-1]} is used")
    return whole[-1]


def refuse_used(directory: Path) -> None:
    """Refuse a new run where another's checkpoints stand: resuming could take the wrong run's.

    Raises:
        UserError: names the newest.
    """
    whole, _ = _checkpoints(directory)
    if whole:
        raise UserError(
            f"{directory}: has checkpoints, the newest {whole[-1].name}: go on with "
            "train(resume_from_checkpoint=True), or choose another output_dir"
        )


def refuse_finished(state: TrainerState) -> None:
    """Refuse to resume past the run's end in mid-epoch, where transformers 5.17 would train a step more."""
    if state.global_step >= state.max_steps and state.epoch != int(state.epoch):
        raise UserError(
            f"the run has ended at step {state.global_step}: nothing is left to train; "
            "raise num_train_epochs or max_steps to go on"
        )


def refuse_other_run(checkpoint: Path, wanted: Identity) -> None:
    """Refuse a checkpoint of a run with other data or settings.

    Raises:
        UserError: names the first differences.
    """
    differs = difference(read_identity(checkpoint), wanted)
    if differs:
        raise UserError(
            f"{checkpoint}: of another run ({differs}); "
            "go back to its settings, or train anew in another output_dir"
        )


def _is_news(record: logging.LogRecord) -> bool:
    """False for a warning of each resume: a head tied to the embeddings is not saved, hence "missing"."""
    return "missing keys in the checkpoint model loaded: ['lm_head.weight']" not in record.getMessage()


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _start_afresh(directory: Path, found: Identity | None, wanted: Identity) -> None:
    if directory.exists():
        if any(directory.glob("checkpoint-*")):
            print(f"{directory}: of another run ({difference(found, wanted)}); deleted")
        (directory / IDENTITY_FILE).unlink(missing_ok=True)
        shutil.rmtree(directory)
    write_identity(directory, wanted)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def save_steps(total_steps: int, checkpoints: int) -> int | None:
    """Every how many steps to save, for at most `checkpoints` evenly spread resume points (None: never).

    The end of the run is not one of them: the final model is saved there.
    """
    return -(-total_steps // (checkpoints + 1)) if checkpoints else None


def run_folder(args: TrainingArguments) -> Path:
    """Where a trainer writes its checkpoints."""
    assert args.output_dir is not None  # TrainingArguments names one itself where none was given
    return Path(args.output_dir)


def mark_whole(checkpoint: Path) -> None:
    """Mark a checkpoint as complete, once every process has written its part (each must call).

    What it holds is on the disk before the mark: a machine that fails later leaves no mark without it.
    """
    state = PartialState()
    state.wait_for_everyone()
    if state.is_local_main_process:  # one a machine, each of which may have written files of its own
        sync_folder(checkpoint)
    state.wait_for_everyone()
    if state.is_main_process:
        marker = checkpoint / MARKER_FILE
        marker.touch()
        _sync(marker)
        _sync(checkpoint)


def make_room(directory: Path, needed: int) -> bool:
    """Whether the disk has room for one more checkpoint in `directory`; older ones are deleted for it.

    The newest whole one stays. Where even so there is no room, that is said.

    Args:
        needed: bytes that it will take, or those of the newest if that is larger.
    """
    whole, _ = _checkpoints(directory)
    if whole:
        needed = max(needed, bytes_of(whole[-1]))
    place = directory if directory.exists() else directory.parent
    while (free := shutil.disk_usage(place).free) < needed and len(whole) > 1:
        print(f"{whole[0]}: deleted, as the disk is nearly full")
        shutil.rmtree(whole.pop(0))
    if free < needed:
        kept = f"{whole[-1].name} stays the newest" if whole else "there is none so far"
        print(
            f"{directory}: no checkpoint now: it takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            f"free; {kept}"
        )
    return free >= needed


def bytes_of(checkpoint: Path) -> int:
    """The size of a checkpoint, without a form of ZeRO's shares for another number of devices."""
    files = (file for file in checkpoint.rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in files if UNIVERSAL not in str(file.relative_to(checkpoint)))


def sync_folder(folder: Path) -> None:
    """Wait until a folder, all in it and its own name are on the disk."""
    for path in (*folder.rglob("*"), folder, folder.parent):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot sync a folder
            raise
    finally:
        os.close(descriptor)


# --- weights --------------------------------------------------------------------------------------


def refuse_non_finite_weights(model: torch.nn.Module, step: int, directory: Path) -> None:
    """Refuse trained weights that are NaN or infinite, in all processes alike (each must call).

    Args:
        model: its parameters that train are looked at; of sharded ones, each process looks at its part.
        step: how many optimiser steps were taken.
        directory: where the run keeps its checkpoints.

    Raises:
        UserError: names the step, the first such tensor, and the checkpoint to resume from.
    """
    trained = {name: own_share(values) for name, values in model.named_parameters() if values.requires_grad}
    device = PartialState().device
    finite = torch.stack([_all_finite(values).to(device) for values in trained.values()]).int()
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(finite, torch.distributed.ReduceOp.MIN)
    bad = [name for name, is_finite in zip(trained, finite.tolist(), strict=True) if not is_finite]
    if bad:
        raise UserError(
            f"the weights are not finite after optimiser step {step}: {len(bad)} of {len(trained)} tensors, "
            f"the first {bad[0]}; they were not saved. {way_on(directory)}"
        )


def _all_finite(own: torch.Tensor) -> torch.Tensor:
    """Whether all values are finite, as a tensor on their device."""
    if own.numel() == 0:
        return torch.ones((), dtype=torch.bool, device=own.device)
    return torch.stack(own.aminmax()).isfinite().all()  # both are NaN where any value is


# --- callbacks of stages --------------------------------------------------------------------------


class FiniteWeights(TrainerCallback):
    """Looks at the weights after every step: before a checkpoint, the next rollouts and the final model."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        refuse_non_finite_weights(kwargs["model"], state.global_step, run_folder(args))


class NoFinalCheckpoint(TrainerCallback):
    """Keeps the Trainer from saving at the last step, where a stage saves the final model at once."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step >= state.max_steps:
            control.should_save = False
