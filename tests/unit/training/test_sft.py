"""The SFT stage on a tiny model: its budget, its files, its errors, and a run killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file
from transformers import TrainerCallback

from glow.config import ObjectiveChoice, Sft, SftSettings
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.training import sft as stage
from glow.training.sft import _optimiser_steps, fine_tune

SETTINGS = Sft(
    epochs=3,
    batch_size=4,
    learning_rate=1e-3,
    max_length=128,
    precision="fp32",
    gradient_checkpointing=False,
    checkpoints=2,
)
GLOW = ObjectiveChoice(objective="glow", alpha=1.0, beta=10.0)


def trajectories(path: Path, count: int) -> Path:
    """A file of `count` short trajectories, every other one wrong."""
    write_jsonl(
        path,
        (
            {
                "trajectory_id": f"t-{n}",
                "question": f"{n} plus 1 ?",
                "response": f"\\boxed{{{n + 1 + n % 2}}}",
                "verdict": "wrong" if n % 2 else "correct",
            }
            for n in range(count)
        ),
    )
    return path


def run(
    data: Path, model: Path, output: Path, objective: ObjectiveChoice = GLOW, sft: Sft = SETTINGS
) -> None:
    fine_tune(data, data, model, output, SftSettings(objective=objective, sft=sft, seed=0))


@pytest.mark.parametrize(
    ("budget", "samples", "all_samples", "batch_size", "accumulation", "steps"),
    [
        ("epochs", 10, 25, 4, 1, 9),  # 3 epochs of 3 batches
        ("steps", 10, 25, 4, 1, 21),  # 3 epochs of 7 batches
        ("steps", 10, 25, 4, 2, 12),  # 7 batches are 4 optimiser steps
        ("epochs", 8, 8, 8, 1, 3),
    ],
)
def test_budget_of_steps(
    budget: str, samples: int, all_samples: int, batch_size: int, accumulation: int, steps: int
) -> None:
    sft = Sft(budget=budget, epochs=3, batch_size=batch_size, gradient_accumulation=accumulation)
    assert _optimiser_steps(samples, all_samples, sft) == steps


def test_leaves_model_history_and_log(tiny_model: Path, tmp_path: Path) -> None:
    run(trajectories(tmp_path / "data.jsonl", 10), tiny_model, tmp_path / "run")
    history = pd.read_parquet(tmp_path / "run/history.parquet")
    assert list(history.columns) == ["epoch", "trajectory_id", "verdict", "loss", "gain", "weight"]
    assert history.groupby("epoch").size().to_dict() == {1: 10, 2: 10, 3: 10}
    assert history[history["epoch"] == 1]["gain"].isna().all()
    assert (history[history["epoch"] == 1]["weight"] == 1.0).all()
    assert set(history[history["verdict"] == "wrong"]["trajectory_id"]) == {f"t-{n}" for n in (1, 3, 5, 7, 9)}
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 10))
    assert {"loss", "learning_rate", "grad_norm", "entropy", "weight_mean", "share_at_low"} <= log[0].keys()
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["settings"]["objective"]["beta"] == 10.0
    assert (tmp_path / "run/model/model.safetensors").is_file()
    assert (tmp_path / "run/model/tokenizer.json").is_file()
    assert not (tmp_path / "run/checkpoints").exists()


def test_glow_and_all_meet_the_same_samples_in_the_same_order(tiny_model: Path, tmp_path: Path) -> None:
    data = trajectories(tmp_path / "data.jsonl", 10)
    run(data, tiny_model, tmp_path / "glow")
    run(data, tiny_model, tmp_path / "all", ObjectiveChoice(objective="plain"))
    first = [
        pd.read_parquet(tmp_path / name / "history.parquet").query("epoch == 1").reset_index(drop=True)
        for name in ("glow", "all")
    ]
    # All weights are 1 in the first epoch: equal losses mean equal batches, in equal order.
    pd.testing.assert_frame_equal(*first, check_exact=True)


def test_a_killed_run_resumes_and_ends_in_the_same_weights(tiny_model: Path, tmp_path: Path) -> None:
    data = trajectories(tmp_path / "data.jsonl", 40)
    settings = SETTINGS.model_copy(update={"epochs": 12, "checkpoints": 10})
    run(data, tiny_model, tmp_path / "whole", sft=settings)
    script = (
        "import sys; from pathlib import Path; from glow.config import *\n"
        "from glow.training.sft import fine_tune\n"
        "data, model, output, sft, objective = sys.argv[1:]\n"
        "fine_tune(Path(data), Path(data), Path(model), Path(output),"
        " SftSettings(objective=ObjectiveChoice.model_validate_json(objective),"
        " sft=Sft.model_validate_json(sft), seed=0))"
    )
    arguments = [str(data), str(tiny_model), str(tmp_path / "cut"), settings.model_dump_json()]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments, GLOW.model_dump_json()],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    marker = "cut/checkpoints/checkpoint-*/complete"
    while process.poll() is None and not list(tmp_path.glob(marker)):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut/model").exists(), "the run ended before it could be killed"
    run(data, tiny_model, tmp_path / "cut", sft=settings)
    assert json.loads((tmp_path / "cut/manifest.json").read_text())["facts"]["resumed_from"] is not None
    whole, cut = (load_file(tmp_path / name / "model/model.safetensors") for name in ("whole", "cut"))
    assert all((whole[name] == cut[name]).all() for name in whole)
    histories = (pd.read_parquet(tmp_path / name / "history.parquet") for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    # Not the values: a line that a kill parts is the mean over the steps since the checkpoint.
    logs = [list(read_jsonl(tmp_path / name / "log.jsonl")) for name in ("whole", "cut")]
    assert [list(line) for line in logs[0]] == [list(line) for line in logs[1]]


class KillAt(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 4}, "of another run (sft.epochs was 3, is 4; steps was 9, is 12; "),
        ({"learning_rate": 0.5}, "(sft.learning_rate was 0.001, is 0.5; learning_rate was 0.001, is 0.5)"),
        ({"checkpoints": 1, "gradient_checkpointing": True}, "resuming from "),
    ],
)
def test_a_killed_run_goes_on_only_where_no_number_changes(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    said: str,
) -> None:
    """Its length is one that does: the schedule depends on it."""
    data = trajectories(tmp_path / "data.jsonl", 10)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "NoFinalCheckpoint", KillAt)
        run(data, tiny_model, tmp_path / "cut")
    settings = SETTINGS.model_copy(update=change)
    run(data, tiny_model, tmp_path / "cut", sft=settings)
    assert said in capsys.readouterr().out
    run(data, tiny_model, tmp_path / "whole", sft=settings)
    whole, cut = (load_file(tmp_path / name / "model/model.safetensors") for name in ("whole", "cut"))
    assert all((whole[name] == cut[name]).all() for name in whole)


OWN = """
from pydantic import Field
from glow.config import Section
from glow.training.objectives import Objective

class HardSettings(Section):
    threshold: float = Field(1.0, ge=0)

def weights(previous_loss, loss, settings):
    return (loss > settings.threshold).float()

hard = Objective("hard samples only", HardSettings, sample_weights=weights)
"""


def test_an_objective_of_somebody_elses_is_trained_with(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)
    hard = ObjectiveChoice(objective="own.py:hard", threshold=5.4)
    run(trajectories(Path("data.jsonl"), 10), tiny_model, Path("run"), hard)
    history = pd.read_parquet("run/history.parquet")
    assert set(history["weight"]) == {0.0, 1.0}
    assert ((history["loss"] > 5.4) == (history["weight"] == 1.0)).all()
    noted = json.loads(Path("run/manifest.json").read_text())["settings"]["objective"]
    assert noted.keys() == {"objective", "threshold", "source code"}
    assert noted["threshold"] == 5.4
    assert "10 trajectories, hard samples only, threshold = 5.4" in capsys.readouterr().out


def test_a_mistake_in_the_objective_is_found_before_anything_is_read(tmp_path: Path) -> None:
    for objective, message in (
        (ObjectiveChoice(objective="glo"), "objective: 'glo' is unknown; did you mean 'glow'?"),
        (ObjectiveChoice(objective="glow", beta=-1.0), "beta: input should be greater than or equal to 0"),
        (ObjectiveChoice(objective="none.py:hard"), "objective: .*none.py: no such file"),
    ):
        with pytest.raises(UserError, match=message):
            run(tmp_path / "none.jsonl", tmp_path / "none", tmp_path / "run", objective)


def test_no_trajectories_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trajectories to train on"):
        run(trajectories(tmp_path / "data.jsonl", 0), tiny_model, tmp_path / "run")


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing: no model here"):
        run(trajectories(tmp_path / "data.jsonl", 4), tmp_path / "nothing", tmp_path / "run")


def test_a_response_beyond_max_length_is_named(tiny_model: Path, tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"max_length": 3})
    with pytest.raises(UserError, match="no response tokens within max_length 3"):
        run(trajectories(tmp_path / "data.jsonl", 4), tiny_model, tmp_path / "run", sft=short)
