"""The objective `sft` is TRL's own: both trainers make the same parameters of the same rows."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from glow_runs import EPOCHS, relative_difference, settings_with, train
from test_exactness import TOLERANCE
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

OURS = ("id_column", "alpha", "beta")
"""Fields that an SFTConfig does not have."""


def trained_by_trl(model: Path, dataset: Dataset, folder: Path, settings: dict[str, Any]) -> SFTTrainer:
    """TRL's SFTTrainer on the same rows with the same settings; its loss_type stays the default."""
    shared = {key: value for key, value in settings_with(**settings).items() if key not in OURS}
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=SFTConfig(**{**shared, "output_dir": str(folder), "data_seed": shared["seed"]}),
        train_dataset=dataset.remove_columns("trajectory_id"),
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
