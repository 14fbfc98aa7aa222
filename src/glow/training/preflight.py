"""Checks before GlowTrainer trains: refuse or warn of settings and data that would mislead."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerState
from transformers.trainer_pt_utils import AcceleratorConfig
from trl.data_utils import is_conversational, is_conversational_from_value

from glow.errors import UserError
from glow.training.samples import ROW, shown_ids, tokenised_rows
from glow.training.trainer_config import GlowConfig


def refuse_unsupported(
    args: GlowConfig,
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase | None,
    trainer_arguments: dict[str, Any],
) -> None:
    """Refuse settings under which samples could not be told apart, or the loss would not be the objective's.

    Raises:
        UserError: a setting is refused; the message names it and says what to do.
    """
    if not isinstance(dataset, Dataset):
        raise UserError(
            f"train_dataset is a {type(dataset).__name__}: every epoch must see the same samples, "
            "so give a datasets.Dataset or a list of dictionaries"
        )
    # The annotations allow a dictionary, text or file; TrainingArguments has read these by now.
    accelerator: object = args.accelerator_config
    assert isinstance(accelerator, AcceleratorConfig)
    assert not isinstance(args.dataset_kwargs, str)
    refused = {
        "train_dataset has no samples": len(dataset) == 0,
        "train_dataset has images, and GlowTrainer is for text": bool(
            {"image", "images"} & set(dataset.column_names)
        ),
        f"packing_strategy {args.packing_strategy!r} cuts samples apart: use 'bfd'": args.packing
        and args.packing_strategy != "bfd",
        "packing fills rows of max_length tokens: set max_length": args.packing and args.max_length is None,
        "skip_prepare_dataset: give input_ids and labels columns instead, which TRL takes as they are": bool(
            (args.dataset_kwargs or {}).get("skip_prepare_dataset")
        ),
        "label_smoothing_factor is another loss: use objective": args.label_smoothing_factor > 0,
        "compute_loss_func is another loss: use objective": trainer_arguments.get("compute_loss_func")
        is not None,
        "auto_find_batch_size starts over with other batches: set per_device_train_batch_size": (
            args.auto_find_batch_size
        ),
        "accelerator_config: leave split_batches and dispatch_batches off, even_batches on": bool(
            accelerator.split_batches or accelerator.dispatch_batches or not accelerator.even_batches
        ),
        "train_sampling_strategy 'batch_rebalance' changes the order of samples: use another": (
            args.train_sampling_strategy == "batch_rebalance"
        ),
        "activation_offloading moves what a GPU holds to the host's memory, and there is none: turn it off": (
            args.activation_offloading and not torch.accelerator.is_available()
        ),
        "ignore_data_skip: a resumed run must go on with the samples that are left: turn it off": (
            args.ignore_data_skip
        ),
        f"train_dataset has a column {ROW}, which GlowTrainer needs for itself: rename it": ROW
        in dataset.column_names,
        "the tokenizer has neither a pad nor an end token: set args.pad_token": tokenizer is not None
        and not (args.pad_token or tokenizer.pad_token or tokenizer.eos_token),
    }
    for reason, found in refused.items():
        if found:
            raise UserError(reason)


def refuse_unreadable(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, text_column: str) -> None:
    """Refuse columns that TRL cannot use, and conversations without a chat template to render them."""
    columns = set(dataset.column_names)
    if "input_ids" in columns:
        return
    conversational = is_conversational(dataset[0]) or is_conversational_from_value(dataset[0])
    if conversational and not tokenizer.chat_template:
        raise UserError(
            "the data are conversations, and the tokenizer has no chat template: set "
            "chat_template_path, or give prompt and completion as plain text"
        )
    if not (conversational or {"prompt", "completion"} <= columns or text_column in columns):
        raise UserError(
            f"the training set has the columns {', '.join(sorted(columns - {ROW}))}; it needs prompt and "
            f"completion, messages, {text_column} or input_ids (see TRL's dataset formats)"
        )


def refuse_unanswered(response_tokens: np.ndarray, ids: Sequence[str | int]) -> None:
    """Refuse samples without tokens to learn, which TRL would drop."""
    empty = [ids[place] for place in np.flatnonzero(response_tokens == 0).tolist()]
    if empty:
        raise UserError(
            f"{len(empty)} sample(s) have no response tokens (within max_length): {shown_ids(empty)}. Leave "
            "them out, or raise max_length"
        )


def warn_of_user_turns(args: GlowConfig, dataset: Dataset) -> None:
    """Warn of conversations of which all turns are learnt, the user's too (TRL's default)."""
    completion = dataset[0].get("completion")
    has_others = isinstance(completion, list) and any(turn["role"] != "assistant" for turn in completion)
    has_others = has_others or bool({"messages", "conversations"} & set(dataset.column_names))
    if has_others and not args.assistant_only_loss:
        warnings.warn(
            "the training set has whole conversations (messages), or turns of others in its completions, "
            "and all turns are learnt, the user's too: set assistant_only_loss=True to learn the assistant's",
            stacklevel=2,
        )


def warn_of_two_begins(prepared: Dataset, tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn of samples that begin with two tokens of a text's beginning: their own, and the tokenizer's."""
    begin = tokenizer.bos_token_id
    if begin is None:
        return
    twice = sum(input_ids[:2].tolist() == [begin, begin] for _, input_ids, _ in tokenised_rows(prepared))
    if twice:
        warnings.warn(
            f"{twice} of {len(prepared)} samples begin with {tokenizer.bos_token} twice: the tokenizer adds "
            "one to the text's own; remove it from the text",
            stacklevel=2,
        )


def refuse_sequence_parallelism(parallelism: Any) -> None:
    """Refuse meshes where a sample's tokens, or one batch, are shared by several processes."""
    if parallelism is not None and (
        parallelism.cp_enabled or parallelism.sp_enabled or parallelism.tp_enabled
    ):
        raise UserError("context, sequence and tensor parallelism split a sample: use DDP or FSDP")


def refuse_no_steps(args: GlowConfig, rows: int) -> None:
    """Refuse a training set that dataloader_drop_last drops entirely."""
    batch = args.per_device_train_batch_size * args.world_size
    if rows < batch and args.dataloader_drop_last:
        raise UserError(
            f"the training set has {rows} row(s), less than one batch of {batch}, and "
            "dataloader_drop_last drops it: lower per_device_train_batch_size"
        )


def warn_of_short_runs(args: GlowConfig, state: TrainerState, rows: int) -> None:
    """Warn of a run in which the weights, or the batch size, have no effect."""
    if args.chosen_objective.entry.uses_history and state.num_train_epochs <= 1:
        warnings.warn(
            f"only one epoch: objective {args.objective!r} compares with the epoch before, "
            "so this is plain SFT; set num_train_epochs to 2 or more",
            stacklevel=2,
        )
    step = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    if rows < step:
        warnings.warn(
            f"the training set has {rows} row(s), fewer than the {step} of an optimiser step: "
            "every step takes all of them",
            stacklevel=2,
        )


def draws_random_numbers(model: PreTrainedModel, args: GlowConfig) -> bool:
    """Whether training draws random numbers in a step: dropout (a module's or a setting), or NEFTune."""
    settings = model.config.get_text_config().to_dict()
    return (
        bool(args.neftune_noise_alpha)
        or any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in model.modules())
        or any(
            "dropout" in name and isinstance(value, float) and value > 0 for name, value in settings.items()
        )
    )
