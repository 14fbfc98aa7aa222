"""What of a GlowTrainer identifies its run: its training arguments, and the objects that it was given.

How identities are kept and compared stands in `glow.files.same_run`, data and objective in
`glow.training.trainer`.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from trl import SFTTrainer

CHANGES_NO_NUMBER = {
    "how long the run is: it may go on, and then has the schedule of its new length": (
        "num_train_epochs max_steps"
    ),
    "how a step's examples are cut, and on what they run: the trainer says where that matters": (
        "per_device_train_batch_size gradient_accumulation_steps use_cpu local_rank fsdp fsdp_config "
        "parallelism_config ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers "
        "ddp_static_graph ddp_backend ddp_timeout dataloader_num_workers dataloader_pin_memory "
        "dataloader_persistent_workers dataloader_prefetch_factor dataloader_multiprocessing_context"
    ),
    "memory bought with time": (
        "gradient_checkpointing gradient_checkpointing_kwargs activation_offloading torch_empty_cache_steps"
    ),
    "what they do to the data shows in its hash, and the trainer has packing": (
        "chat_template_path dataset_text_field dataset_kwargs dataset_num_proc eos_token pad_token "
        "max_length truncation_mode too_long too_long_limit completion_only_loss assistant_only_loss "
        "shuffle_dataset id_column packing"
    ),
    "the objective's: it says itself what identifies it, and the weights that it replays are hashed": (
        "objective alpha beta clamp objective_settings replayed_history"
    ),
    "the log, the hub, and what is left where": (
        "output_dir logging_strategy logging_steps logging_first_step log_on_each_node "
        "logging_nan_inf_filter include_num_input_tokens_seen log_level log_level_replica disable_tqdm "
        "report_to run_name project trackio_space_id trackio_bucket_id trackio_static_space_id "
        "save_only_model save_on_each_node save_total_limit enable_jit_checkpoint push_to_hub hub_token "
        "hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision debug "
        "skip_memory_metrics do_train do_eval do_predict resume_from_checkpoint"
    ),
}
"""Fields of a GlowConfig outside a run's identity, by reason. All others are in, those of a later TRL too."""

EVALUATION = (
    "eval_strategy eval_steps eval_delay eval_on_start per_device_eval_batch_size "
    "eval_accumulation_steps eval_do_concat_batches eval_use_gather_object eval_packing bf16_full_eval "
    "fp16_full_eval prediction_loss_only include_for_metrics batch_eval_metrics"
)
"""In it where an evaluation picks the best checkpoint or steers the schedule, and where training draws
random numbers: an evaluation draws some too."""

SHARES_ONLY = (
    "zero_optimization zero_allow_untested_optimizer zero_force_ds_cpu_optimizer train_batch_size "
    "train_micro_batch_size_per_gpu gradient_accumulation_steps steps_per_print"
)
"""Keys of a DeepSpeed configuration that say what each device holds and takes, and change no number."""

SAVING = "save_strategy save_steps"
"""In it where the best checkpoint is picked."""


def identifying(args: TrainingArguments, draws_random_numbers: bool) -> dict[str, Any]:
    """The arguments that change a number, in a run whose steps draw random numbers or not."""
    left_out = list(CHANGES_NO_NUMBER.values())
    if args.metric_for_best_model is None:  # transformers sets one where an evaluation has a say
        left_out += [SAVING] if draws_random_numbers else [SAVING, EVALUATION]
    names = {field.name for field in fields(args)} - set(" ".join(left_out).split())
    found = {name: getattr(args, name) for name in sorted(names)}
    return found | {"deepspeed": _deciding(args.deepspeed)}


def _deciding(deepspeed: dict[str, Any] | str | None) -> dict[str, Any] | None:
    """What of a DeepSpeed configuration, or of a file with one, changes a number; None where nothing does.

    What is left to the arguments ("auto") is in the identity as theirs.
    """
    settings = deepspeed or {}
    if isinstance(settings, str):
        settings = json.loads(Path(settings).read_text(encoding="utf-8"))
    decides = {
        key: value
        for key, value in settings.items()
        if key not in SHARES_ONLY.split() and value != "auto" and not _is_off(value)
    }
    return decides or None


def _is_off(value: Any) -> bool:
    return isinstance(value, dict) and value.get("enabled") is False


def given_settings(trainer: SFTTrainer) -> dict[str, Any]:
    """What can be told of model, adapters, optimiser and schedule, to be asked before the first step.

    Not the starting weights: they are in the checkpoint, save those of a model under adapters, of which
    name and configuration must do.
    """
    model: Any = trainer.model
    given: dict[str, Any] = {"model": _config(model.config.to_dict())}
    for name, adapter in getattr(model, "peft_config", {}).items():
        given[f"adapter {name}"] = {**adapter.to_dict(), "base_model_name_or_path": None}
    if trainer.optimizer_cls_and_kwargs is not None:
        kind, settings = trainer.optimizer_cls_and_kwargs
        given["optimizer"] = {"class": kind.__qualname__, **settings}
    if trainer.optimizer is not None:
        groups = [{**group, "params": len(group["params"])} for group in trainer.optimizer.param_groups]
        given["optimizer"] = {"class": type(trainer.optimizer).__qualname__, **dict(enumerate(groups))}
    if trainer.lr_scheduler is not None:
        schedule = trainer.lr_scheduler
        given["schedule"] = {"class": type(schedule).__qualname__, **schedule.state_dict()}
    return given


def _config(settings: dict[str, Any]) -> dict[str, Any]:
    """A model's name and settings, without the place it stands and the tokens that its tokenizer sets."""
    settings["name"] = Path(settings.pop("_name_or_path", "")).name
    return {
        key: value
        for key, value in settings.items()
        if key not in ("transformers_version", "use_cache") and not key.endswith("_token_id")
    }
