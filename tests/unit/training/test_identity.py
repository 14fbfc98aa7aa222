"""What identifies a run of the trainer: all its arguments but those that are named as changing no number."""

import json
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

from glow.files.same_run import difference
from glow.training.identity import CHANGES_NO_NUMBER, EVALUATION, SAVING, given_settings, identifying
from glow.training.trainer import GlowTrainer
from glow.training.trainer_config import GlowConfig

LEFT_OUT = set(" ".join(CHANGES_NO_NUMBER.values()).split())
SOMETIMES = set(EVALUATION.split()) | set(SAVING.split())


def arguments(**settings: Any) -> GlowConfig:
    return GlowConfig(**{"output_dir": "out", "report_to": "none", **settings})


def test_every_field_is_in_but_those_that_are_named() -> None:
    names = Counter(" ".join([*CHANGES_NO_NUMBER.values(), EVALUATION, SAVING]).split())
    known = {field.name for field in fields(GlowConfig)}
    assert {name for name, times in names.items() if times > 1} == set()
    assert names.keys() - known == set()
    assert identifying(arguments(), draws_random_numbers=False).keys() == known - LEFT_OUT - SOMETIMES


def test_what_changes_a_number_is_not_named_as_changing_none() -> None:
    """By hand, in TRL 1.16: optimiser, schedule, precision, loss, order and chance."""
    wanted = (
        "learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args weight_decay "
        "adam_beta1 adam_beta2 adam_epsilon optim_target_modules max_grad_norm label_smoothing_factor bf16 "
        "fp16 tf32 neftune_noise_alpha seed data_seed full_determinism train_sampling_strategy "
        "length_column_name dataloader_drop_last dataloader_in_order packing_strategy padding_free "
        "model_init_kwargs deepspeed router_aux_loss_coef accelerator_config load_best_model_at_end "
        "metric_for_best_model loss_type"
    )
    assert set(wanted.split()) <= identifying(arguments(), draws_random_numbers=False).keys()


def test_of_a_deepspeed_configuration_what_changes_a_number_counts(tmp_path: Path) -> None:
    shares = {
        "zero_optimization": {"stage": 3},
        "gradient_clipping": "auto",
        "torch_autocast": {"enabled": False},
    }
    optimizer = {"type": "AdamW", "params": {"lr": 1e-3}}
    file = tmp_path / "zero.json"
    file.write_text(json.dumps(shares | {"optimizer": optimizer}))
    given = arguments()
    for deepspeed, counts in ((None, None), (shares, None), (str(file), {"optimizer": optimizer})):
        given.deepspeed = deepspeed  # as it was given; made with it, arguments want DeepSpeed itself
        assert identifying(given, draws_random_numbers=False)["deepspeed"] == counts


def test_a_field_of_a_later_trl_is_in() -> None:
    @dataclass
    class LaterConfig(GlowConfig):
        sharpness: float = 0.5

    later = LaterConfig(output_dir="out", report_to="none")
    assert identifying(later, draws_random_numbers=False)["sharpness"] == 0.5


@pytest.mark.parametrize(
    ("settings", "draws", "counted"),
    [
        ({}, False, set()),
        ({}, True, set(EVALUATION.split())),
        ({"metric_for_best_model": "loss"}, False, SOMETIMES),
    ],
)
def test_evaluation_counts_where_it_steers(settings: dict[str, Any], draws: bool, counted: set[str]) -> None:
    assert identifying(arguments(**settings), draws).keys() & SOMETIMES == counted


# --- what a trainer is given ----------------------------------------------------------------------


def build(model: Path, settings: dict[str, Any], momentum: float | None = None, **given: Any) -> GlowTrainer:
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if momentum is not None:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=momentum)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
        given["optimizers"] = (optimizer, schedule)
    return GlowTrainer(
        model=network,
        args=arguments(use_cpu=True, bf16=False, **settings),
        train_dataset=[{"prompt": "1 +", "completion": " 1"}, {"prompt": "1 + 1 +", "completion": " 1"}],
        processing_class=AutoTokenizer.from_pretrained(model),
        **given,
    )


def test_an_optimiser_of_ones_own_counts_as_it_was_before_training(tiny_model: Path) -> None:
    one, same, other = (build(tiny_model, {}, momentum) for momentum in (0.5, 0.5, 0.9))
    same.optimizer.param_groups[0]["lr"] = 0.001  # as a schedule does
    assert difference(one.identity(), same.identity()) == ""
    assert difference(one.identity(), other.identity()) == "optimizer.0.momentum was 0.5, is 0.9"
    assert one.identity()["schedule.T_max"] == 10
    assert "optimizer.class was 'SGD', is unset" in difference(
        one.identity(), build(tiny_model, {}).identity()
    )
    named = [
        build(tiny_model, {}, optimizer_cls_and_kwargs=(torch.optim.Adagrad, {"lr": rate})) for rate in (1, 2)
    ]
    assert difference(named[0].identity(), named[1].identity()) == "optimizer.lr was 1, is 2"


def test_model_and_adapters_count(tiny_model: Path) -> None:
    adapters = [LoraConfig(r=rank, target_modules=["q_proj", "v_proj"]) for rank in (2, 2, 4)]
    one, same, other = (build(tiny_model, {}, peft_config=adapter).identity() for adapter in adapters)
    assert difference(one, same) == ""
    assert difference(one, other) == "adapter default.r was 2, is 4"
    plain = build(tiny_model, {})
    assert plain.identity()["model.name"] == tiny_model.name
    before = given_settings(plain)
    plain.model.config.pad_token_id = 99  # as training does, by the tokenizer
    assert given_settings(plain) == before
    plain.model.config.attention_dropout = 0.5
    assert given_settings(plain)["model"]["attention_dropout"] == 0.5


@pytest.mark.parametrize(
    "settings",
    [
        {"num_train_epochs": 9},
        {"max_steps": 9},
        {"logging_steps": 3, "save_steps": 4, "save_total_limit": 1, "output_dir": "elsewhere"},
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
        {"gradient_checkpointing": False},
        {"max_length": 512},
        {"eval_steps": 3},
        {"hub_token": "hf_secret", "hub_model_id": "me/mine"},
    ],
)
def test_what_changes_no_number_makes_no_other_run(tiny_model: Path, settings: dict[str, Any]) -> None:
    assert difference(build(tiny_model, {}).identity(), build(tiny_model, settings).identity()) == ""
