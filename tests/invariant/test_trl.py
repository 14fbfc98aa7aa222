"""The objective `sft` is TRL's own: both trainers make the same parameters of the same rows, and one log."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from glow_runs import EPOCHS, relative_difference, settings_with, train
from test_exactness import TOLERANCE
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3MoeConfig, Qwen3MoeForCausalLM
from trl import SFTConfig, SFTTrainer

OURS = ("id_column", "alpha", "beta")
"""Fields that an SFTConfig does not have."""


def trained_by_trl(model: Path, dataset: Dataset, folder: Path, settings: dict[str, Any]) -> SFTTrainer:
    """TRL's SFTTrainer on the same rows with the same settings; its loss_type stays the default."""
    settings = dict(settings)
    held_out = settings.pop("eval_dataset", None)
    shared = {key: value for key, value in settings_with(**settings).items() if key not in OURS}
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=SFTConfig(**{**shared, "output_dir": str(folder), "data_seed": shared["seed"]}),
        train_dataset=dataset.remove_columns("trajectory_id"),
        eval_dataset=held_out,
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="8x1"),
        pytest.param({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}, id="2x4"),
        pytest.param(
            {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "padding_free": True},
            id="padding-free 3x2",
        ),
        pytest.param(
            {
                "per_device_train_batch_size": 1,
                "gradient_accumulation_steps": 3,
                "packing": True,
                "max_length": 64,
            },
            id="packed 1x3",
        ),
    ],
)
def test_sft_is_the_sft_of_trl(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Responses of 1 to 5 numbers, three epochs, the last step of each short."""
    settings = {**settings, "objective": "sft"}
    ours = train(tiny_model, dataset, tmp_path / "ours", **settings)
    del settings["objective"]
    theirs = trained_by_trl(tiny_model, dataset, tmp_path / "theirs", settings)
    expected = theirs.model.state_dict()
    assert relative_difference(ours.model.state_dict(), expected) < TOLERANCE
    losses = [[line["loss"] for line in run.state.log_history if "loss" in line] for run in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(losses[0]) > EPOCHS


def theirs_in(ours: SFTTrainer, theirs: SFTTrainer) -> None:
    """Each line of TRL's log stands in ours, at its place and with its numbers, but for those of time."""
    assert len(ours.state.log_history) == len(theirs.state.log_history)
    for own, line in zip(ours.state.log_history, theirs.state.log_history, strict=True):
        assert line.keys() <= own.keys()
        for key, value in line.items():
            if not re.search("runtime|per_second|flos", key):
                assert own[key] == pytest.approx(value, rel=1e-4), key


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"logging_steps": 10}, id="the last steps after the last line"),
        pytest.param({"logging_steps": 100}, id="shorter than a line"),
        pytest.param({"padding_free": True, "logging_steps": 4}, id="padding-free"),
    ],
)
def test_the_log_is_that_of_trl(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Loss, entropy, accuracy and tokens, and evaluations between them.

    Batches have equally many tokens: then TRL's mean over batches is the mean over tokens.
    """
    settings = {
        **settings,
        "eval_strategy": "steps",
        "eval_steps": 3,
        "lr_scheduler_type": "linear",
        "eval_dataset": dataset.select(range(4)),
    }
    same = Dataset.from_list([{**dataset[4], "trajectory_id": f"s-{n}"} for n in range(16)])
    ours = train(tiny_model, same, tmp_path / "ours", **settings, objective="sft")
    theirs = trained_by_trl(tiny_model, same, tmp_path / "theirs", settings)
    theirs_in(ours, theirs)
    assert ours.state.log_history[-1]["num_tokens"] > 0


def test_experts_are_logged_as_trl_logs_them(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    """Load balancing is part of the loss in both, and a number of the log."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        moe_intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        num_experts=4,
        num_experts_per_tok=2,
        router_aux_loss_coef=0.1,
    )
    experts = tmp_path / "experts"
    Qwen3MoeForCausalLM(config).save_pretrained(experts)
    tokenizer.save_pretrained(experts)
    settings = {"logging_steps": 4, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}
    same = Dataset.from_list([{**dataset[4], "trajectory_id": f"s-{n}"} for n in range(16)])
    ours = train(experts, same, tmp_path / "ours", **settings, objective="sft")
    theirs = trained_by_trl(experts, same, tmp_path / "theirs", settings)
    theirs_in(ours, theirs)
    assert ours.state.log_history[-1]["aux_loss"] > 0
    assert relative_difference(ours.model.state_dict(), theirs.model.state_dict()) < TOLERANCE
