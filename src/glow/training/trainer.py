"""GlowTrainer: TRL's SFTTrainer, with each sample's loss weighted by its gain.

The model, tokenisation, collation, optimiser, schedule and distribution are TRL's. What is added:
samples keep an identity (`glow.training.samples`), their losses go into a `LossLedger`, a step's objective is
the same mean over its samples or tokens whatever the split into rows, micro-batches and processes, and the
ledger travels in the checkpoint. What is minimised stands in `glow.training.objectives`.
"""

import copy
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from torch import Tensor
from transformers import (
    DataCollator,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from trl import SFTConfig, SFTTrainer

from glow.files.same_run import Identity, run_identity, write_identity
from glow.models.foreign_code import refuse_foreign_code
from glow.training.adapters import underlying
from glow.training.card import CARD, trainer_card
from glow.training.checkpoints import (
    find_checkpoint,
    refuse_non_finite_weights,
    refuse_other_run,
    refuse_used,
    run_folder,
)
from glow.training.epoch_keeper import EpochKeeper
from glow.training.given import as_dataset, as_datasets, further_arguments
from glow.training.head import use_chunked_head
from glow.training.history import HISTORY, begin_history, copy_history, read_history, write_page
from glow.training.identity import given_settings, identifying
from glow.training.labels import label_check, refuse_altered
from glow.training.ledger import FORM, NO_SAMPLE, LossLedger
from glow.training.lengths import LengthLimit, left_to_us
from glow.training.monitor import Monitor, Results, epoch_summary
from glow.training.objectives import ChosenObjective
from glow.training.preflight import (
    draws_random_numbers,
    refuse_no_steps,
    refuse_sequence_parallelism,
    refuse_unanswered,
    refuse_unreadable,
    refuse_unsupported,
    warn_of_two_begins,
    warn_of_user_turns,
)
from glow.training.replay import chosen_replay
from glow.training.samples import (
    PLACE,
    ROW,
    SampleCollator,
    averaged,
    document_mask,
    ids_digest,
    pack,
    renumbered,
    sample_ids,
    survey,
    tokens_read,
)
from glow.training.sharding import ShardedTrainer
from glow.training.trainer_config import DEFAULT_ID_COLUMN, GlowConfig, as_glow_config
from glow.training.weighting import loss_gain, sample_sums

LEDGER_FILE = "ledger.safetensors"


class GlowTrainer(ShardedTrainer, SFTTrainer):
    """Train by GLOW, plain SFT or another objective; takes what SFTTrainer takes.

    Args:
        model, and every keyword not named here: as for SFTTrainer.
        args: a `GlowConfig`; TRL's SFTConfig gives GLOW with its defaults.
        train_dataset, eval_dataset: as for SFTTrainer, or a list of dictionaries. Training samples have the
            ids of the column `args.id_column`, or are numbered from 0.

    Attributes:
        sample_ids: of the samples that it trains on, in their order.
        too_long: ids of the samples that were longer than max_length, and were left out or cut.
        replay: the weights of another run, for an objective that replays them; else None.

    Raises:
        UserError: two samples share an id; a sample has no response tokens, or would not be trained as it is
            (`glow.training.labels`); too many are longer than max_length; or a setting under which samples
            cannot be told apart or weighted.
        ValueError, TypeError: as SFTTrainer.
    """

    _tag_names = ["trl", "sft", "glow"]  # noqa: RUF012 (TRL's own attribute)

    # Trainer's own attributes, of which more is known here.
    args: GlowConfig
    model: PreTrainedModel
    train_dataset: Dataset
    _signature_columns: list[str]  # type: ignore[assignment]  # Trainer starts with None, and declares that

    def __init__(
        self,
        model: str | PreTrainedModel,
        args: SFTConfig | None = None,
        data_collator: DataCollator | None = None,
        train_dataset: Dataset | list[dict[str, Any]] | None = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *others: Any,
        **named: Any,
    ) -> None:
        kwargs = further_arguments(others, named)
        args = as_glow_config(args, model)
        rows = as_dataset(train_dataset, "train_dataset")
        if rows is None:
            raise ValueError("`train_dataset` is required: a datasets.Dataset or a list of dictionaries")
        refuse_unsupported(args, rows, getattr(processing_class, "tokenizer", processing_class), kwargs)
        if isinstance(model, str) and Path(model).is_dir():
            refuse_foreign_code(Path(model), args.trust_remote_code)
        self.sample_ids = sample_ids(rows, args.id_column, DEFAULT_ID_COLUMN)
        self.too_long: list[str | int] = []
        self._limit, self._data_digest = args.length_limit, ""
        with left_to_us(args):
            super().__init__(
                model,
                args,
                data_collator,
                rows.add_column(ROW, range(len(rows))),
                as_datasets(eval_dataset, "eval_dataset"),
                processing_class,
                **kwargs,
            )
        self.replay = chosen_replay(self.args, self.sample_ids, self.accelerator.device)
        self._given = given_settings(self)
        if self.accelerator.device.type == "cpu":
            use_chunked_head(underlying(self.model))
        refuse_sequence_parallelism(self.accelerator.parallelism_config)
        refuse_no_steps(self.args, len(self.train_dataset))
        # Trainer then leaves the division by accumulation steps to compute_loss, for any model.
        self.model_accepts_loss_kwargs = True
        self.data_collator = SampleCollator(self.data_collator)
        self._begin_records()
        self.add_callback(EpochKeeper(self))

    def _begin_records(self) -> None:
        """Begin a run's ledger and monitor."""
        self.ledger = LossLedger(len(self.sample_ids), self.accelerator.device)
        self.monitor = Monitor(
            self.sample_ids, self._objective.bounds, self.accelerator, run_folder(self.args)
        )

    # Data: rows through preparation, packing and batching

    def _prepare_dataset(
        self,
        dataset: Dataset,
        processing_class: Any,
        args: SFTConfig,
        packing: bool,
        formatting_func: Any,
        dataset_name: str,
    ) -> Dataset:
        """TRL's preparation; the training set, which alone has rows, is checked, and packed last, with its
        rows."""
        assert isinstance(args, GlowConfig)  # as_glow_config
        uncut, limit = copy.copy(args), self._limit
        uncut.max_length = None
        rest = (formatting_func, dataset_name)
        if ROW not in (dataset.column_names or ()):  # a stream does not know its columns
            if packing or not isinstance(dataset, Dataset):
                return super()._prepare_dataset(dataset, processing_class, args, packing, *rest)
            whole = super()._prepare_dataset(dataset, processing_class, uncut, False, *rest)
            return limit.cut_evaluation(whole, dataset_name)
        if formatting_func is None:
            refuse_unreadable(dataset, processing_class, args.dataset_text_field)
        whole = super()._prepare_dataset(dataset, processing_class, uncut, False, *rest)
        if formatting_func is None:
            self._check_labels(dataset, whole, args)
        prepared = self._fitted(whole, limit)
        found = survey(prepared)
        refuse_unanswered(found.response_tokens, [self.sample_ids[row] for row in found.rows])
        self._data_digest = found.digest + ids_digest(self.sample_ids)
        if not packing:
            return prepared
        assert args.max_length is not None  # refuse_unsupported
        return pack(prepared, args.max_length)

    def _check_labels(self, dataset: Dataset, whole: Dataset, args: GlowConfig) -> None:
        """Refuse or warn of a tokenised set that teaches something else than what was said."""
        warn_of_user_turns(args, dataset)
        warn_of_two_begins(whole, self._tokenizer)
        everything = not (self.completion_only_loss or args.assistant_only_loss)
        check = label_check(self._tokenizer, self.chat_template, dataset[0], everything)
        if check is not None:
            refuse_altered(dataset, whole, check, self.sample_ids)

    def _fitted(self, whole: Dataset, limit: LengthLimit) -> Dataset:
        """The tokenised set without what is longer than max_length, or with that cut."""
        longer = limit.longer(whole)
        if not longer.any():
            return whole
        limit.refuse(whole, longer, self.sample_ids)
        limit.say(longer)
        self.too_long = [self.sample_ids[row] for row in np.asarray(whole[ROW])[longer]]
        if limit.too_long == "cut":
            return limit.cut(whole)
        kept, rows = renumbered(whole.select(np.flatnonzero(~longer)))
        self.sample_ids = [self.sample_ids[row] for row in rows]
        return kept

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if ROW not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, ROW]

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], Tensor]:
        """The micro-batches of an optimiser step, and its samples or response tokens over all processes.

        Their number divides the step's sum: exact whatever the split, also where its last part is short.
        """
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if self.accelerator.gradient_state.end_of_dataloader:
            self._blank_repeats(batches[-1])
        number = torch.stack([averaged(batch, self._objective.entry.average) for batch in batches]).sum()
        return batches, self.accelerator.gather(number.to(device)).sum()

    def _blank_repeats(self, batch: dict[str, Any]) -> None:
        """Blank the rows of examples that accelerate repeats, to give all processes full last batches.

        Batches of an epoch go to the processes in turn, so the epoch's last round holds `remainder`
        examples, dealt from process 0 on, and repeats of the epoch's first ones after them.
        """
        size = self.args.per_device_train_batch_size
        remainder = len(self.train_dataset) % (size * self.args.world_size)
        if self.args.world_size > 1 and remainder and not self.args.dataloader_drop_last:
            own = remainder - self.args.process_index * size
            batch[ROW] = batch[ROW].masked_fill(batch[PLACE] >= own, NO_SAMPLE)

    # The step

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """This micro-batch's share of the step's objective (TRL's own loss in evaluation)."""
        if not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        assert num_items_in_batch is not None  # get_batch_samples counts them
        self.ledger.count(tokens_read(inputs))
        document, rows = document_mask(inputs), inputs.pop(ROW)
        del inputs[PLACE]
        if self.aux_loss_enabled:
            inputs["output_router_logits"] = True
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        token_loss = -outputs.log_probs
        chosen = self._objective
        if chosen.entry.token_weights is not None:
            token_loss = chosen.entry.token_weights(outputs.log_probs.detach(), chosen.settings) * token_loss
        tokens = sample_sums(outputs.label_mask, document)
        loss = -sample_sums(outputs.log_probs.detach(), document) / tokens
        weight = self._weigh(rows, loss)
        self._keep(rows, loss, weight, tokens, outputs, document)
        # DDP averages gradients over processes, hence the factor: the divisor counts those of all processes.
        share = self.accelerator.num_processes / num_items_in_batch
        size = tokens if chosen.entry.average == "samples" else 1
        objective = (weight * sample_sums(token_loss, document) / size).sum() * share
        if self.aux_loss_enabled:
            objective = objective + self._auxiliary_loss(outputs)
        return (objective, outputs) if return_outputs else objective

    @property
    def _objective(self) -> ChosenObjective:
        return self.args.chosen_objective

    def _weigh(self, rows: Tensor, loss: Tensor) -> Tensor:
        """The weights, (samples,), of samples with losses `loss`; 0 where a row is no sample."""
        weight, chosen = torch.ones_like(loss), self._objective
        if self.replay is not None:
            weight = self.replay.weights(self.ledger.epoch, rows)
        elif chosen.entry.sample_weights is not None:
            weight = chosen.entry.sample_weights(self.ledger.previous_loss(rows), loss, chosen.settings)
        return torch.where(rows == NO_SAMPLE, 0.0, weight)

    def _auxiliary_loss(self, outputs: Any) -> Tensor:
        """Load balancing of a mixture of experts: a mean of the micro-batch, so averaged over the step's."""
        return self.router_aux_loss_coef * outputs.aux_loss / self.current_gradient_accumulation_steps

    def _keep(
        self,
        rows: Tensor,
        loss: Tensor,
        weight: Tensor,
        tokens: Tensor,
        outputs: Any,
        document: Tensor | None,
    ) -> None:
        gain = loss_gain(self.ledger.previous_loss(rows), loss)
        self.ledger.record(rows, loss, weight, self.state.global_step)
        entropy = sample_sums(outputs.entropy.detach(), document)
        top1 = sample_sums(outputs.is_top1, document)
        aux_loss = outputs.aux_loss.detach() if self.aux_loss_enabled else None
        self.monitor.results.append(
            Results(self.state.global_step, rows, loss, weight, gain, tokens, entropy, top1, aux_loss)
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Trainer's log line; of training, with the means since the last one over samples and tokens.

        As TRL has it, the line of the whole run (train_loss) has those of the steps after the last line.
        """
        if ("loss" in logs or "train_loss" in logs) and self.monitor.results:
            logs |= {"num_tokens": self.ledger.total_tokens(), **self.monitor.drain()}
        super().log(logs, start_time)

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As SFTTrainer; `eval_dataset` may be a list of dictionaries, too."""
        self._total_train_tokens = self.ledger.total_tokens()  # which TRL logs
        return super().evaluate(as_datasets(eval_dataset, "eval_dataset"), *args, **kwargs)

    # Epochs

    def finish_epoch(self) -> None:
        """Close the running epoch: merge the processes' losses, write the history, say what it was like."""
        self.monitor.refuse_non_finite()
        if self.args.logging_strategy == "no":
            self.monitor.results.clear()
        page = self.ledger.turn_page()
        summary = epoch_summary(page)
        if self.is_world_process_zero():
            write_page(self._history_folder, page, self.sample_ids)
        if self._objective.entry.uses_history:
            self.monitor.warn_of_constant_weights(page, summary["epoch_weight_spread"])
        if self.state.epoch >= page.epoch + 1 or not self.control.should_training_stop:  # not cut by the end
            self.monitor.warn_of_unseen(page)
        self._tell(summary)

    def _tell(self, line: dict[str, float]) -> None:
        """Let loggers hear a line that is not kept: in log_history the places of TRL's lines stay."""
        is_due = self.control.should_log  # with logging_strategy "epoch" that of the loss, which comes next
        heard = {**line, "epoch": self.state.epoch}
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, heard)
        self.control.should_log = is_due

    def history(self) -> pd.DataFrame:
        """What every sample did in every finished epoch; columns as in `glow.training.history.write_page`."""
        return read_history(self._history_folder)

    @property
    def _history_folder(self) -> Path:
        return run_folder(self.args) / HISTORY

    # Checkpoints

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train, or go on from a checkpoint: True takes the newest in output_dir that was wholly written.

        Raises:
            UserError: no such checkpoint, a torn one, or one of another run (the difference is named);
                a new run in an output_dir with checkpoints, which it would mix with its own; or a loss, or
                weights at a checkpoint or at the end, that are not finite.

        The history of an earlier run in output_dir is kept beside that of this one.
        """
        folder = run_folder(self.args)
        checkpoint = find_checkpoint(resume_from_checkpoint, folder, LEDGER_FILE)
        self._begin_records()
        if checkpoint is None:
            refuse_used(folder)
        else:
            refuse_other_run(checkpoint, self.identity())
            self.ledger.load(checkpoint / LEDGER_FILE)
        self.accelerator.wait_for_everyone()  # all have looked before the first one writes
        if self.is_world_process_zero():
            begin_history(self._history_folder, checkpoint)
        trained = super().train(str(checkpoint) if checkpoint else None, *args, **kwargs)
        refuse_non_finite_weights(self.model, self.state.global_step, folder)
        return trained

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """A checkpoint with ledger and history; none where a loss or the weights are not finite."""
        self.monitor.refuse_non_finite()
        super()._save_checkpoint(model, trial)

    def add_to_checkpoint(self, folder: Path) -> None:
        self.ledger.merge()
        self.ledger.total_tokens()
        if self.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            write_identity(folder, self.identity())
            self.ledger.save(folder / LEDGER_FILE)
            copy_history(self._history_folder, folder / HISTORY)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write the run's card to output_dir; arguments as TRL's (`glow.training.card.trainer_card`)."""
        if self.is_world_process_zero():
            trainer_card(self, *args, **kwargs).save(run_folder(self.args) / CARD)

    def identity(self) -> Identity:
        """What a resumed run must share with the one that wrote the checkpoint.

        How a step's examples are cut into batches and processes is part of it only where that changes more
        than rounding: where random numbers are drawn by batch, or an epoch's last batch is dropped.
        """
        args, random = self.args, draws_random_numbers(self.model, self.args)
        cut = (args.per_device_train_batch_size, args.gradient_accumulation_steps, args.world_size)
        facts = {
            "samples": len(self.sample_ids),
            "training data (ids, tokens and order)": self._data_digest,
            "objective": self._objective.identity,
            "replayed weights": self.replay and self.replay.digest,
            "form of the ledger": FORM,
            "examples per optimiser step": math.prod(cut),
            "packing": args.packing and f"in rows of {args.max_length} tokens",
        }
        if random or args.dataloader_drop_last:
            facts["batch size x accumulation x processes"] = " x ".join(map(str, cut))
        return run_identity(facts | identifying(args, random) | self._given)
