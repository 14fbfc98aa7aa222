"""The callback that closes a GlowTrainer's epochs, and looks at its settings as a run begins."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from glow.training.checkpoints import refuse_finished
from glow.training.preflight import warn_of_short_runs


class EpochKeeper(TrainerCallback):
    """Turns the ledger's page as an epoch ends, also one that a checkpoint at its last step left open.

    Args:
        trainer: the GlowTrainer, whose module imports this one.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        refuse_finished(state)
        if self.trainer.replay is not None:
            self.trainer.replay.refuse_other_length(state.num_train_epochs)
        warn_of_short_runs(self.trainer.args, state, len(self.trainer.train_dataset))

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if int(state.epoch) > self.trainer.ledger.epoch:
            self.trainer.finish_epoch()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.trainer.finish_epoch()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if int(state.epoch) > self.trainer.ledger.epoch:  # resumed at its end: no epoch was left to run
            self.trainer.finish_epoch()
