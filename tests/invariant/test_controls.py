"""Runs that replay another's weights use just these, however they are cut, and also after a kill."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from glow_runs import SAMPLES, RecordingTrainer, make_trainer, relative_difference, run_processes, train
from safetensors.torch import load_file
from test_exactness import TOLERANCE, assert_agrees, assert_same_run
from test_resume import SAVING, assert_same_to_the_bit, run_and_die

from glow import GlowConfig
from glow.errors import UserError
from glow.training.history import read_history

SEED = 7
"""That of `glow_runs.SETTINGS`."""


@pytest.fixture(scope="module")
def glow_history(whole_batches: RecordingTrainer) -> Path:
    """The history of a finished GLOW run of three epochs."""
    return Path(str(whole_batches.args.output_dir)) / "history"


def expected_weights(history: Path, objective: str) -> dict[tuple[int, int], float]:
    """The weights of a control by epoch and row, made from the table alone."""
    found = {}
    for epoch, own in read_history(history).groupby("epoch"):
        weights = own["weight"].astype(float).tolist()  # in order of the training set
        order = sorted(range(SAMPLES), key=lambda row: _hash("glow_permuted", SEED, epoch, str(row)))
        mean = sum(weights) / SAMPLES
        for row in range(SAMPLES):
            found[epoch, row] = weights[order[row]] if objective == "glow_permuted" else mean
    return found


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@pytest.fixture(scope="module", params=["glow_permuted", "glow_mean"])
def replayed(
    request: pytest.FixtureRequest,
    tiny_model: Path,
    dataset: Dataset,
    glow_history: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> RecordingTrainer:
    folder = tmp_path_factory.mktemp(request.param)
    return train(tiny_model, dataset, folder, objective=request.param, replayed_history=str(glow_history))


def test_the_weights_are_those_of_the_table(
    tiny_model: Path, glow_history: Path, replayed: RecordingTrainer
) -> None:
    expected = expected_weights(glow_history, replayed.args.objective)
    history = replayed.history()
    rows = history["sample_id"].str.removeprefix("t-").astype(int)
    wanted = [expected[key] for key in zip(history["epoch"], rows, strict=True)]
    assert history["weight"].tolist() == pytest.approx(wanted, rel=1e-7)
    assert_agrees(replayed, tiny_model, replayed.args.objective, expected)


def test_a_permutation_moves_the_weights_and_keeps_them(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, glow_history: Path, whole_batches: RecordingTrainer
) -> None:
    settings = {"objective": "glow_permuted", "replayed_history": str(glow_history)}
    seeds = [train(tiny_model, dataset, tmp_path / str(seed), seed=seed, **settings) for seed in (7, 8)]
    recorded = whole_batches.history()
    for trainer in seeds:
        moved = trainer.history()
        for epoch in (2, 3):
            own, other = (frame.loc[frame["epoch"] == epoch, "weight"] for frame in (moved, recorded))
            assert sorted(own) == sorted(other)
            assert (own.to_numpy() == other.to_numpy()).mean() < 0.2
    weights = [trainer.history()["weight"] for trainer in seeds]
    assert (weights[0] != weights[1]).mean() > 0.5


def test_the_cut_changes_nothing(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, glow_history: Path, replayed: RecordingTrainer
) -> None:
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "padding_free": True}
    settings |= {"objective": replayed.args.objective, "replayed_history": str(glow_history)}
    cut = train(tiny_model, dataset, tmp_path, **settings)
    assert relative_difference(cut.model.state_dict(), replayed.model.state_dict()) < TOLERANCE
    assert_same_run(cut.history(), replayed.history())


def test_processes_change_nothing(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, glow_history: Path
) -> None:
    settings = {"objective": "glow_permuted", "replayed_history": str(glow_history), "logging_steps": 100}
    one = train(tiny_model, dataset, tmp_path / "one", **settings)
    run_processes(tiny_model, tmp_path / "two", {**settings, "per_device_train_batch_size": 4})
    parameters = load_file(tmp_path / "two" / "parameters.safetensors")
    expected = {name: one.model.state_dict()[name] for name in parameters}
    assert relative_difference(parameters, expected) < TOLERANCE
    assert_same_run(read_history(tmp_path / "two" / "history"), one.history())


def test_a_killed_run_goes_on_with_the_same_weights_and_with_no_others(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, glow_history: Path
) -> None:
    control = {"objective": "glow_permuted", "replayed_history": str(glow_history), "save_steps": 7}
    run_and_die(tiny_model, tmp_path / "cut", **control, alpha=None, beta=None, kill_at=8)
    whole = train(tiny_model, dataset, tmp_path / "whole", **SAVING, **control)
    other = read_history(glow_history)
    other.loc[3, "weight"] += 0.5
    other.to_parquet(tmp_path / "other.parquet")
    changed = {**SAVING, **control, "replayed_history": str(tmp_path / "other.parquet")}
    with pytest.raises(UserError, match=r"of another run .*replayed weights has changed"):
        make_trainer(tiny_model, dataset, tmp_path / "cut", **changed).train(resume_from_checkpoint=True)
    resumed = make_trainer(tiny_model, dataset, tmp_path / "cut", **SAVING, **control)
    resumed.train(resume_from_checkpoint=True)
    assert min(sample["step"] for sample in resumed.seen) == 7
    assert_same_to_the_bit(resumed, whole)


@pytest.mark.parametrize(
    ("epochs", "changes", "message"),
    [
        (3, {"num_train_epochs": 2}, r"of a run of 3 epoch\(s\), and this one has 2: train for as many"),
        (2, {}, r"of a run of 2 epoch\(s\), and this one has 3"),
        (3, {"max_steps": 16}, r"of a run of 3 epoch\(s\), and this one has 4"),
    ],
)
def test_another_number_of_epochs_is_refused(
    tiny_model: Path,
    dataset: Dataset,
    tmp_path: Path,
    glow_history: Path,
    epochs: int,
    changes: dict[str, Any],
    message: str,
) -> None:
    table = read_history(glow_history)
    table[table["epoch"] <= epochs].to_parquet(tmp_path / "table.parquet")
    settings = {"objective": "glow_mean", "replayed_history": str(tmp_path / "table.parquet"), **changes}
    with pytest.raises(UserError, match=message):
        train(tiny_model, dataset, tmp_path / "run", **settings)


def test_an_epoch_that_was_cut_short_is_replayed_as_far_as_it_went(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """Seven steps are an epoch of five, and 16 samples of the next; another order meets others of these."""
    short: dict[str, Any] = {"max_steps": 7}
    glow = train(tiny_model, dataset, tmp_path / "glow", **short)
    control = {**short, "objective": "glow_mean", "replayed_history": str(tmp_path / "glow" / "history")}
    history = train(tiny_model, dataset, tmp_path / "mean", **control).history()
    last = history[history["epoch"] == 2]
    recorded = glow.history().query("epoch == 2")["weight"].astype(float)
    assert len(last) == len(recorded) == 16
    assert last["weight"].tolist() == pytest.approx([recorded.mean()] * 16, rel=1e-7)
    with pytest.raises(UserError, match=r"no weight in epoch 2 for 't-.*: that run saw other samples in it"):
        train(tiny_model, dataset, tmp_path / "other order", **control, seed=8)


def test_weights_need_a_history_and_a_history_an_objective(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="objective 'glow_mean' replays the weights of a finished run"):
        GlowConfig(str(tmp_path), objective="glow_mean")
    with pytest.raises(UserError, match=r"a\.parquet: objective 'glow' replays no weights; leave out"):
        GlowConfig(str(tmp_path), replayed_history="a.parquet")
