"""Held-out loss and accuracy by epoch, so that overfitting can be seen: when they are measured, and kept.

They are measured before training and at the end of each epoch, and so after the last optimiser step. An
epoch is what it is in the history (`glow.training.history`): a pass over the arm's trajectories, of which the
last may be cut short where the number of steps is given. What is measured, and how, stands in
`glow.training.held_out`.

The rows so far are kept beside the checkpoints, and go on with them: those of later steps than a resumed
run's are dropped and measured again, from the same weights. With several processes all measure the same,
as a network that is divided among them needs all for each pass; the first one keeps the rows.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import (
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from glow.config import Sft, SftSettings
from glow.errors import UserError
from glow.files.jsonl import Record, read_jsonl, refuse_duplicates, write_jsonl
from glow.files.progress import progress_bar
from glow.files.records import Judged, read_records
from glow.training.checkpoints import run_folder
from glow.training.held_out import (
    DECIDED,
    HeldOutLosses,
    HeldOutQuestions,
    Tokenised,
    evaluating,
    first_questions,
)
from glow.training.sharding import that_answers
from glow.training.trainer import GlowTrainer
from glow.verifier.verify import Verifier, own_cores

EPOCHS_FILE = "epochs.jsonl"
"""The rows, in a run's output and, while it runs, in its folder of checkpoints.

Keys: epoch (0: before training), step (optimiser steps so far); samples_correct, loss_correct (mean over
samples of their mean over response tokens) and token_loss_correct (mean over all response tokens), in nats,
null without such trajectories; the same with `wrong`; questions (how many were answered), accuracy and
truncated (shares of them, null for no question).
"""

_SLOW = 5
"""Seconds after which a measurement shows a progress bar."""


class EpochMeasures(TrainerCallback):
    """Measures what is held out, epoch by epoch.

    Args:
        losses, questions: what is measured.
        trainer: whose model is measured; its checkpoints' folder keeps the rows.
    """

    def __init__(self, losses: HeldOutLosses, questions: HeldOutQuestions, trainer: GlowTrainer) -> None:
        self.parts = (losses, questions)
        self.trainer = trainer
        self.file = run_folder(trainer.args) / EPOCHS_FILE
        self.rows: list[Record] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        kept = list(read_jsonl(self.file)) if self.file.is_file() else []
        self.rows = [row for row in kept if row["step"] < state.global_step]
        # Before the first step; or a kill came between the epoch's last checkpoint and its end.
        if state.epoch is None or state.epoch == int(state.epoch):
            self._measure(state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Where the run was asked to stop, it goes on later, and measures then.
        if not control.should_training_stop or state.global_step >= state.max_steps:
            self._measure(state)

    def _measure(self, state: TrainerState) -> None:
        row: Record = {"epoch": math.ceil(state.epoch or 0), "step": state.global_step}
        bar = progress_bar(
            f"held out, epoch {row['epoch']}",
            "response",
            total=sum(len(part) for part in self.parts),
            delay=_SLOW,
            leave=False,
            disable=not state.is_world_process_zero,
        )
        with bar, that_answers(self.trainer) as network, evaluating(network):
            for part in self.parts:
                row |= part.measure(network, bar.update)
        self.rows.append(row)
        if state.is_world_process_zero:
            write_jsonl(self.file, self.rows)


@contextmanager
def measured_by_epoch(
    trainer: GlowTrainer,
    rows: Sequence[Judged],
    settings: SftSettings,
    tokenizer: PreTrainedTokenizerBase,
    stops: Sequence[int],
) -> Iterator[None]:
    """Let a trainer measure held-out trajectories while it trains; for no rows it measures nothing.

    Args:
        trainer: its evaluation set has the rows, in any order; rows of which max_length leaves no response
            token are not in it, and count for no loss.
        stops: the tokens that end a response.
    """
    if not rows:
        yield
        return
    verdicts = {row["trajectory_id"]: row["verdict"] for row in rows}
    assert isinstance(trainer.eval_dataset, Dataset)
    samples = [
        Tokenised(verdicts[sample["trajectory_id"]], sample["input_ids"], sample["labels"])
        for sample in trainer.eval_dataset
    ]
    asked = first_questions(rows, settings.sft.epoch_questions)
    with Verifier(settings.verification, own_cores(), settings.prompt.thought) as verifier:
        questions = HeldOutQuestions(
            asked,
            settings.prompt,
            tokenizer,
            stops,
            settings.sft.epoch_max_tokens,
            verifier,
        )
        trainer.add_callback(EpochMeasures(HeldOutLosses(samples), questions, trainer))
        yield


def read_held_out(file: Path | None, sft: Sft, trained_on: Collection[str]) -> list[Judged]:
    """The held-out trajectories of a file; none without one.

    Args:
        trained_on: the questions of the arm.

    Raises:
        UserError: the file is missing, malformed or empty, a row is neither right nor wrong, two share an id,
            one has a question that is trained on, or there are fewer questions than are to be answered.
    """
    if file is None:
        if sft.epoch_questions:
            raise UserError(
                f"--epoch-questions {sft.epoch_questions}, but no --held-out: give the held_out.jsonl that "
                "`glow arms` leaves, or 0"
            )
        return []
    keys = (
        "trajectory_id",
        "problem_id",
        "question",
        "answer",
        "answer_type",
        "choices",
        "response",
        "verdict",
    )
    rows = []
    for place, row in read_records(file, Judged, keys):
        if row["verdict"] not in DECIDED:
            raise UserError(
                f"{place}: verdict {row['verdict']!r}; held-out trajectories are correct or wrong"
            )
        if row["question"] in trained_on:
            raise UserError(f"{place}: this question is trained on too; make both files with one `glow arms`")
        rows.append(row)
    if not rows:
        raise UserError(f"{file}: no held-out trajectories; leave out --held-out, or set some aside")
    refuse_duplicates(rows, "trajectory_id", file)
    questions = len(first_questions(rows, len(rows)))
    if questions < sft.epoch_questions:
        raise UserError(
            f"{file}: {questions} questions, and {sft.epoch_questions} are to be answered after each epoch; "
            "lower sft.epoch_questions (--epoch-questions), or hold out more"
        )
    return rows
