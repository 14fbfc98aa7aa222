"""The trainer's invariants on one GPU, in bf16: `pytest -m gpu` where there is one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from glow_runs import (
    SAMPLES,
    RecordingTrainer,
    make_trainer,
    measured,
    reference,
    relative_difference,
    train,
)
from transformers import AutoModelForCausalLM

from glow import LossLedger, glow_weights
from glow.files.jsonl import read_jsonl
from glow.training.epochs import EPOCHS_FILE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

BF16 = {"use_cpu": False, "bf16": True}
"""Autocast over float32 weights, as the SFT stage trains."""

SHARE_OF_THE_WAY = 0.05
"""bf16 has 8 bits: how far a run may end from another, relative to how far it went."""


def distance(trainer: RecordingTrainer, other: dict[str, torch.Tensor], model: Path) -> float:
    """Where a run ended against `other`, relative to the way from the start."""
    ended = {name: values.cpu() for name, values in trainer.model.state_dict().items()}
    other = {name: values.cpu() for name, values in other.items()}
    start = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
    return relative_difference(ended, other) / relative_difference(start, other)


@pytest.fixture(scope="module")
def on_gpu(tiny_model: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RecordingTrainer:
    return train(tiny_model, dataset, tmp_path_factory.mktemp("gpu"), **BF16)


def test_agrees_with_the_formula(tiny_model: Path, on_gpu: RecordingTrainer) -> None:
    expected, _ = reference(tiny_model, on_gpu.seen)
    assert distance(on_gpu, expected, tiny_model) < SHARE_OF_THE_WAY


def test_offloaded_activations_change_no_number(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, on_gpu: RecordingTrainer
) -> None:
    trainer = train(tiny_model, dataset, tmp_path, activation_offloading=True, **BF16)
    assert distance(trainer, on_gpu.model.state_dict(), tiny_model) < SHARE_OF_THE_WAY


def test_what_is_measured_by_epoch_leaves_the_run_as_it_is(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, on_gpu: RecordingTrainer
) -> None:
    trainer = make_trainer(tiny_model, dataset, tmp_path, **BF16)
    trainer.add_callback(measured(trainer, tiny_model))
    trainer.train()
    assert distance(trainer, on_gpu.model.state_dict(), tiny_model) < SHARE_OF_THE_WAY
    rows = list(read_jsonl(tmp_path / EPOCHS_FILE))
    assert [row["step"] for row in rows] == [0, 5, 10, 15]
    assert rows[-1]["loss_correct"] < rows[0]["loss_correct"]


@pytest.mark.parametrize(
    "settings",
    [
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
        {"padding_free": True},
        {"gradient_checkpointing": True},
    ],
    ids=["4x2", "1x8", "padding-free", "gradient checkpointing"],
)
def test_the_cut_changes_little(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, on_gpu: RecordingTrainer, settings: dict[str, Any]
) -> None:
    cut = train(tiny_model, dataset, tmp_path, **BF16, **settings)
    assert distance(cut, on_gpu.model.state_dict(), tiny_model) < SHARE_OF_THE_WAY


def test_packed_rows_agree_with_the_formula(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    packed = train(tiny_model, dataset, tmp_path, **BF16, packing=True, max_length=64)
    expected, _ = reference(tiny_model, packed.seen)
    assert distance(packed, expected, tiny_model) < SHARE_OF_THE_WAY


def test_resumed_run_is_the_same_to_the_bit(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    settings = {**BF16, "save_strategy": "steps", "save_steps": 7, "optim": "adamw_torch"}
    whole = train(tiny_model, dataset, tmp_path, **settings)
    resumed = make_trainer(tiny_model, dataset, tmp_path / "resumed", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    for name, values in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], values), name
    assert resumed.history().equals(whole.history())


def test_ledger_and_weights_do_not_wait_for_the_device() -> None:
    ledger = LossLedger(SAMPLES, "cuda")
    rows, loss = torch.arange(8, device="cuda"), torch.rand(8, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        weight = glow_weights(ledger.previous_loss(rows), loss, 1.0, 10.0, (0.5, 5.0))
        ledger.record(rows, loss, weight, step=0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert ledger.turn_page().loss[:8].tolist() == loss.tolist()
