"""Training logged where people look: TensorBoard, Weights & Biases (wandb), Trackio.

What is logged is what a trainer logs: every metric of its steps, and GRPO's evaluations. The files of
TensorBoard and wandb stay below one folder. Trackio reads the folder of its own from TRACKIO_DIR when it is
imported, which TRL does first of all: the workflow's rules set it.

A run that goes on after a kill goes on there too, as it is named by its identity (`glow.files.same_run`);
a run with other settings is another one. TensorBoard then shows each step once; wandb and Trackio keep both
rows of the steps between the last checkpoint and the kill. Process 0 alone logs. It changes no number: what
a stage writes is the same with and without.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback, TrackioCallback, WandbCallback

from glow.config import Tracking
from glow.config.packages import require
from glow.errors import UserError
from glow.files.hashing import digest
from glow.files.same_run import Identity


def refuse_missing_trackers(tracking: Tracking) -> None:
    """Refuse trackers whose package is not installed, before anything is loaded.

    Raises:
        UserError: says what installs it.
    """
    for name in tracking.trackers:
        require(name, "report_to")


@contextmanager
def reported(trainer: Trainer, tracking: Tracking, output: Path, identity: Identity) -> Iterator[None]:
    """Let a trainer report to what `tracking` names while it trains.

    Args:
        output: the folder of the run, after which it is named unless `tracking` says otherwise.
        identity: what makes two runs the same.
    """
    if not tracking.trackers or not trainer.is_world_process_zero():
        yield
        return
    folder = (tracking.tracking_dir or output / "tracking").absolute()
    project, name = tracking.project or "glow", tracking.run_name or str(output)
    run = digest([project, name, identity])[:16]
    folder.mkdir(parents=True, exist_ok=True)
    if "tensorboard" in tracking.trackers:
        trainer.add_callback(_TensorBoard(folder / "tensorboard" / name / run))
    if "trackio" in tracking.trackers:
        trainer.args.project, trainer.args.run_name = project, f"{name} {run}"
        trainer.add_callback(TrackioCallback())
    with _wandb_run(tracking, folder, project=project, name=name, id=run):
        if "wandb" in tracking.trackers:
            trainer.add_callback(WandbCallback())
        yield


class _TensorBoard(TensorBoardCallback):
    """Transformers' callback, in a folder of its own; of a killed run it hides what is trained again."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.logging_dir = str(folder)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.tb_writer = self._SummaryWriter(log_dir=self.logging_dir, purge_step=state.global_step + 1)
        super().on_train_begin(args, state, control, **kwargs)


@contextmanager
def _wandb_run(tracking: Tracking, folder: Path, **named: str) -> Iterator[None]:
    """The run of wandb, which its callback finds; none where it is not asked for."""
    if "wandb" not in tracking.trackers:
        yield
        return
    import wandb

    try:
        run = wandb.init(dir=str(folder), resume="allow", **named)
    except wandb.errors.Error as error:
        raise UserError(
            f"report_to wandb: {error}: run `wandb login` once on this machine, or set WANDB_MODE=offline"
        ) from error
    with run:
        yield
