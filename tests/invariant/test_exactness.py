"""The same sample groups give the same parameters however a batch is cut, and those of the formula."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import Dataset
from glow_runs import (
    EPOCHS,
    GLOW_BY_TOKENS,
    SAMPLES,
    RecordingTrainer,
    make_trainer,
    measured,
    reference,
    relative_difference,
    run_processes,
    train,
)
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from glow.files.jsonl import read_jsonl
from glow.training.epochs import EPOCHS_FILE
from glow.training.history import read_history

TOLERANCE = 1e-6
"""Relative, of all parameters after three epochs in float32 (measured here: 1e-8 to 2e-7)."""

PACKS_OF = 70
"""Tokens a pack: the toy data then fill an odd number of them."""


def assert_agrees(
    trainer: RecordingTrainer,
    model: Path,
    objective: str = "glow",
    given: dict[tuple[int, int], float] | None = None,
) -> None:
    """Parameters and history are those of the float64 reference on the samples as they came."""
    expected, expected_history = reference(model, trainer.seen, objective, given)
    assert relative_difference(trainer.model.state_dict(), expected) < TOLERANCE
    history = trainer.history()
    history["row"] = history["sample_id"].str.removeprefix("t-").astype(int)
    both = history.merge(expected_history, on=["epoch", "row"], suffixes=("", "_expected"))
    assert len(both) == EPOCHS * SAMPLES
    assert both["loss"].to_numpy() == pytest.approx(both["loss_expected"].to_numpy(), rel=1e-5)
    assert both["weight"].to_numpy() == pytest.approx(both["weight_expected"].to_numpy(), rel=1e-4)
    assert both["step"].tolist() == both["step_expected"].tolist()


def assert_same_run(history: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(history, expected, rtol=1e-4, atol=1e-5)


def test_whole_batches_agree_with_the_formula(tiny_model: Path, whole_batches: RecordingTrainer) -> None:
    assert_agrees(whole_batches, tiny_model)
    # It is no empty agreement: the run moved the parameters, by weights that differ.
    started = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).state_dict()
    assert relative_difference(started, whole_batches.model.state_dict()) > 1e-2
    history = whole_batches.history()
    assert history.loc[history["epoch"] > 1, "weight"].std() > 0.01


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, id="4x2"),
        pytest.param({"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}, id="1x8"),
        pytest.param({"padding_free": True}, id="padding-free"),
        pytest.param(
            {"padding_free": True, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
            id="padding-free 2x4",
        ),
        pytest.param({"padding_free": True, "pad_to_multiple_of": 64}, id="padding-free, padded to 64"),
        pytest.param({"padding_free": True, "max_length": 64}, id="padding-free, of a longest length"),
        pytest.param({"gradient_checkpointing": True}, id="gradient checkpointing"),
    ],
)
def test_the_cut_changes_nothing(
    tiny_model: Path,
    dataset: Dataset,
    tmp_path: Path,
    whole_batches: RecordingTrainer,
    settings: dict[str, Any],
) -> None:
    cut = train(tiny_model, dataset, tmp_path, **settings)
    assert relative_difference(cut.model.state_dict(), whole_batches.model.state_dict()) < TOLERANCE
    assert_same_run(cut.history(), whole_batches.history())


def test_the_cut_changes_nothing_under_the_usual_settings(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """The released clamp, AdamW, clipped gradients, warm-up and decay."""
    usual = {"clamp": [0.5, 5.0], "optim": "adamw_torch", "learning_rate": 1e-3, "max_grad_norm": 1.0}
    usual |= {"lr_scheduler_type": "cosine", "warmup_steps": 2}
    whole = train(tiny_model, dataset, tmp_path / "whole", **usual)
    split = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "padding_free": True}
    cut = train(tiny_model, dataset, tmp_path / "cut", **usual, **split)
    # AdamW divides by the size of the gradient: rounding weighs more than in SGD.
    assert relative_difference(cut.model.state_dict(), whole.model.state_dict()) < 10 * TOLERANCE
    assert_same_run(cut.history(), whole.history())


def test_packed_rows_agree_with_the_formula(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    """The reference sees each sample alone: no document attends to another, none is lost or counted twice."""
    packed = train(tiny_model, dataset, tmp_path, packing=True, max_length=64, per_device_train_batch_size=3)
    assert len(packed.train_dataset) < SAMPLES / 2
    assert_agrees(packed, tiny_model)


def test_packing_changes_nothing_where_it_leaves_the_groups(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """Every step takes the whole set, in one padded batch or in packs over several micro-batches."""
    whole = train(tiny_model, dataset, tmp_path / "whole", per_device_train_batch_size=SAMPLES)
    packed = train(
        tiny_model,
        dataset,
        tmp_path / "packed",
        packing=True,
        max_length=64,
        per_device_train_batch_size=5,
        gradient_accumulation_steps=8,
    )
    assert relative_difference(packed.model.state_dict(), whole.model.state_dict()) < TOLERANCE
    assert_same_run(packed.history(), whole.history())


@pytest.mark.parametrize("objective", ["dft", "sft", pytest.param(GLOW_BY_TOKENS, id="GLOW by tokens")])
def test_other_objectives_agree_with_the_formula(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, objective: str
) -> None:
    trainer = train(tiny_model, dataset, tmp_path, objective=objective, gradient_accumulation_steps=2)
    assert_agrees(trainer, tiny_model, objective)


@pytest.fixture(scope="module")
def by_tokens(
    tiny_model: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> RecordingTrainer:
    """As `whole_batches`, with GLOW's weights and the mean over tokens."""
    return train(tiny_model, dataset, tmp_path_factory.mktemp("tokens"), objective=GLOW_BY_TOKENS)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}, id="1x8"),
        pytest.param(
            {"padding_free": True, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
            id="padding-free 2x4",
        ),
    ],
)
def test_the_cut_changes_no_mean_over_tokens(
    tiny_model: Path,
    dataset: Dataset,
    tmp_path: Path,
    by_tokens: RecordingTrainer,
    settings: dict[str, Any],
) -> None:
    cut = train(tiny_model, dataset, tmp_path, objective=GLOW_BY_TOKENS, **settings)
    assert relative_difference(cut.model.state_dict(), by_tokens.model.state_dict()) < TOLERANCE
    assert_same_run(cut.history(), by_tokens.history())


def test_processes_change_no_mean_over_tokens(
    tiny_model: Path, tmp_path: Path, by_tokens: RecordingTrainer
) -> None:
    """The repeats that fill up a process's last batch count with none of their tokens."""
    settings = {"objective": GLOW_BY_TOKENS, "per_device_train_batch_size": 4, "padding_free": True}
    run_processes(tiny_model, tmp_path, settings)
    parameters = load_file(tmp_path / "parameters.safetensors")
    expected = {name: by_tokens.model.state_dict()[name] for name in parameters}
    assert relative_difference(parameters, expected) < TOLERANCE
    assert_same_run(read_history(tmp_path / "history"), by_tokens.history())


def test_plain_is_glow_with_weights_of_one(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    plain = train(tiny_model, dataset, tmp_path / "plain", objective="plain")
    # beta = 0 makes every weight alpha / 2 = 1.
    with pytest.warns(UserWarning, match="nearly the same for all samples"):
        flat = train(tiny_model, dataset, tmp_path / "flat", alpha=2.0, beta=0.0)
    assert (plain.history()["weight"] == 1.0).all()
    for name, parameter in plain.model.state_dict().items():
        torch.testing.assert_close(flat.model.state_dict()[name], parameter, rtol=0, atol=0)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"per_device_train_batch_size": 4}, id="2 processes x 4"),
        pytest.param(
            {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}, id="2 processes x 1x4"
        ),
        pytest.param(
            {"per_device_train_batch_size": 4, "padding_free": True}, id="2 processes, padding-free"
        ),
        pytest.param({"per_device_train_batch_size": 4, "shard": "fsdp2"}, id="2 processes, FSDP"),
    ],
)
def test_processes_change_nothing(
    tiny_model: Path, tmp_path: Path, whole_batches: RecordingTrainer, settings: dict[str, Any]
) -> None:
    """38 samples in twos of 4 leave one process two short: the repeats that fill up count for nothing."""
    run_processes(tiny_model, tmp_path, settings)
    parameters = load_file(tmp_path / "parameters.safetensors")
    expected = {name: whole_batches.model.state_dict()[name] for name in parameters}
    assert relative_difference(parameters, expected) < TOLERANCE
    assert_same_run(read_history(tmp_path / "history"), whole_batches.history())
    log = [line for line in json.loads((tmp_path / "log.json").read_text()) if "sample_loss" in line]
    expected_log = [line for line in whole_batches.state.log_history if "sample_loss" in line]
    for key in ("loss", "sample_loss", "gain_mean", "weight_mean", "weight_std", "entropy", "num_tokens"):
        assert [line[key] for line in log] == pytest.approx(
            [line[key] for line in expected_log], rel=1e-3, abs=1e-4
        ), key


@pytest.mark.parametrize("shard", ["ddp", "fsdp2"], ids=["2 processes", "2 processes, FSDP"])
def test_what_is_measured_by_epoch_is_the_same_in_several_processes(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, shard: str
) -> None:
    """And the run is the same to the last bit as the same processes' run that measures nothing."""
    for name, measure in (("with", True), ("without", False)):
        settings = {"per_device_train_batch_size": 4, "shard": shard, "measure": measure}
        run_processes(tiny_model, tmp_path / name, settings)
    parameters = [load_file(tmp_path / name / "parameters.safetensors") for name in ("with", "without")]
    assert all(torch.equal(values, parameters[1][name]) for name, values in parameters[0].items())
    one = make_trainer(tiny_model, dataset, tmp_path / "one")
    one.add_callback(measured(one, tiny_model))
    one.train()
    rows, expected = (list(read_jsonl(tmp_path / name / EPOCHS_FILE)) for name in ("with", "one"))
    assert [(row["epoch"], row["step"]) for row in rows] == [(0, 0), (1, 5), (2, 10), (3, 15)]
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4)


def test_packed_repeats_of_two_processes_count_for_nothing(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """An odd number of packs leaves one process a pack short; every step takes the whole set."""
    settings = {"packing": True, "max_length": PACKS_OF, "logging_steps": 100}
    one = train(tiny_model, dataset, tmp_path / "one", **settings, per_device_train_batch_size=SAMPLES)
    assert len(one.train_dataset) % 2 == 1
    split = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": SAMPLES}
    run_processes(tiny_model, tmp_path / "two", {**settings, **split})
    parameters = load_file(tmp_path / "two" / "parameters.safetensors")
    expected = {name: one.model.state_dict()[name] for name in parameters}
    assert relative_difference(parameters, expected) < TOLERANCE
    assert_same_run(read_history(tmp_path / "two" / "history"), one.history())
