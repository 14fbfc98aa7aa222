"""A run that is killed and resumed ends as one that never was, and no other run's checkpoint is taken."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from datasets import Dataset
from glow_runs import RecordingTrainer, make_trainer, relative_difference, run_processes, train
from safetensors.torch import load_file
from test_exactness import TOLERANCE
from trainer_callbacks import BadUpdate

from glow.errors import UserError
from glow.training.checkpoints import MARKER_FILE
from glow.training.history import read_history

# Five optimiser steps an epoch; AdamW has a state of its own to lose.
SAVING = {"optim": "adamw_torch", "learning_rate": 1e-2, "save_strategy": "steps", "save_total_limit": 2}


def run_and_die(model: Path, folder: Path, **settings: Any) -> None:
    """The run in a process of its own, which SIGKILL ends."""
    script = Path(__file__).with_name("process_run.py")
    command = [sys.executable, str(script), str(model), str(folder), json.dumps({**SAVING, **settings})]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr[-3000:]


def assert_same_to_the_bit(resumed: RecordingTrainer, whole: RecordingTrainer) -> None:
    for name, parameter in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], parameter), name
    pd.testing.assert_frame_equal(resumed.history(), whole.history(), check_exact=True)
    everyone = torch.arange(len(whole.ledger))
    assert torch.equal(
        resumed.ledger.previous_loss(everyone), whole.ledger.previous_loss(everyone)
    )  # after the last page: the last epoch's losses


@pytest.mark.parametrize(
    ("kill", "resumes_from"),
    [
        pytest.param({"save_steps": 7, "kill_at": 8}, "checkpoint-7", id="mid-epoch"),
        pytest.param({"save_steps": 5, "kill_at": 10}, "checkpoint-5", id="at an epoch's end"),
        pytest.param({"save_steps": 5, "kill_at": 11}, "checkpoint-10", id="saved at an epoch's end"),
        *(
            pytest.param(
                {"save_steps": 4, "kill_in_save": [8, before], "save_total_limit": 1},
                resumes_from,
                id=f"in a save, before its {before}",
            )
            for before, resumes_from in [
                ("ledger", "checkpoint-4"),
                ("random state", "checkpoint-4"),
                ("mark", "checkpoint-4"),
                ("rotation", "checkpoint-8"),
            ]
        ),
        pytest.param(
            {"save_steps": 4, "kill_at": 9, "per_device_train_batch_size": 3, "padding_free": True},
            "checkpoint-8",
            id="padding-free",
        ),
    ],
)
def test_killed_run_ends_bit_for_bit_as_an_uninterrupted_one(
    tiny_model: Path,
    dataset: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kill: dict[str, Any],
    resumes_from: str,
) -> None:
    run_and_die(tiny_model, tmp_path / "cut", **kill)
    settings = {**SAVING, **{key: value for key, value in kill.items() if not key.startswith("kill")}}
    whole = train(tiny_model, dataset, tmp_path / "whole", **settings)
    resumed = make_trainer(tiny_model, dataset, tmp_path / "cut", **settings)
    resumed.train(resume_from_checkpoint=True)
    first_step = min(sample["step"] for sample in resumed.seen)
    assert f"checkpoint-{first_step}" == resumes_from
    assert_same_to_the_bit(resumed, whole)
    torn = "kill_in_save" in kill and "rotation" not in kill["kill_in_save"]
    assert ("checkpoint-8: incomplete" in capsys.readouterr().out) == torn


@pytest.fixture(scope="module")
def checkpoint(
    tiny_model: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, RecordingTrainer]:
    """A run's checkpoint after 7 of its 15 steps, and the run when it had ended."""
    folder = tmp_path_factory.mktemp("saved")
    whole = train(tiny_model, dataset, folder, **{**SAVING, "save_total_limit": None}, save_steps=7)
    return folder / "checkpoint-7", whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 1.0}, "alpha was 2.0, is 1.0"),
        ({"beta": 5.0}, "beta was 10.0, is 5.0"),
        ({"clamp": [0.5, 5.0]}, r"clamp was None, is \[0.5, 5.0\]"),
        ({"objective": "plain"}, "objective.objective was 'glow', is 'plain'"),
        ({"per_device_train_batch_size": 4}, "examples per optimiser step was 8, is 4"),
        ({"seed": 8}, "data_seed was 7, is 8"),
        ({"learning_rate": 1e-3}, "learning_rate was 0.01, is 0.001"),
        ({"lr_scheduler_type": "cosine"}, "lr_scheduler_type was 'constant', is 'cosine'"),
        ({"warmup_steps": 3}, "warmup_steps was 0, is 3"),
        ({"optim": "sgd"}, "optim was 'adamw_torch', is 'sgd'"),
        ({"adam_beta2": 0.99}, "adam_beta2 was 0.999, is 0.99"),
        ({"weight_decay": 0.1}, "weight_decay was 0.0, is 0.1"),
        ({"max_grad_norm": 1.0}, "max_grad_norm was 0.0, is 1.0"),
        ({"max_length": 20, "too_long": "cut"}, r"training data \(ids, tokens and order\) has changed"),
        ({"train_sampling_strategy": "sequential"}, "train_sampling_strategy was 'random'"),
        ({"packing": True, "max_length": 64}, "packing was False, is 'in rows of 64 tokens'"),
    ],
)
def test_other_settings_are_refused(
    tiny_model: Path,
    dataset: Dataset,
    tmp_path: Path,
    checkpoint: tuple[Path, RecordingTrainer],
    change: dict[str, Any],
    message: str,
) -> None:
    trainer = make_trainer(tiny_model, dataset, tmp_path, **{**SAVING, **change})
    with pytest.raises(UserError, match=f"of another run.*{message}"):
        trainer.train(resume_from_checkpoint=str(checkpoint[0]))


@pytest.mark.parametrize("swap", [[*range(37), 36], [1, 0, *range(2, 38)]], ids=["replaced", "swapped"])
def test_other_data_are_refused(
    tiny_model: Path,
    dataset: Dataset,
    tmp_path: Path,
    checkpoint: tuple[Path, RecordingTrainer],
    swap: list[int],
) -> None:
    same_ids = dataset.select(swap).remove_columns("trajectory_id")
    same_ids = same_ids.add_column("trajectory_id", dataset["trajectory_id"])
    same_texts = dataset.remove_columns("trajectory_id").add_column("trajectory_id", [f"x{k}" for k in swap])
    for other in (same_ids, same_texts) if len(set(swap)) == 38 else (same_ids,):
        trainer = make_trainer(tiny_model, other, tmp_path, **SAVING)
        with pytest.raises(UserError, match="training data"):
            trainer.train(resume_from_checkpoint=str(checkpoint[0]))


def test_a_checkpoint_with_code_in_it_is_refused_and_nothing_runs(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, checkpoint: tuple[Path, RecordingTrainer]
) -> None:
    poisoned = Path(shutil.copytree(checkpoint[0], tmp_path / "checkpoint-10"))
    for file in ("optimizer.pt", "rng_state.pth", "scheduler.pt"):
        torch.save({"state": Touching(tmp_path / "touched")}, poisoned / file)
        trainer = make_trainer(tiny_model, dataset, tmp_path, **SAVING)
        with pytest.raises(UserError, match=r"checkpoint-10: not read, as it may run code \(.*; delete it"):
            trainer.train(resume_from_checkpoint=str(poisoned))
        shutil.copy(checkpoint[0] / file, poisoned / file)
    assert not (tmp_path / "touched").exists()


class Touching:
    """Makes a folder as soon as it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


def test_another_split_of_the_same_steps_is_accepted(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, checkpoint: tuple[Path, RecordingTrainer]
) -> None:
    split = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    resumed = make_trainer(tiny_model, dataset, tmp_path, **SAVING, **split)
    resumed.train(resume_from_checkpoint=str(checkpoint[0]))
    # AdamW divides by the size of the gradient, so rounding weighs more than in SGD.
    expected = checkpoint[1].model.state_dict()
    assert relative_difference(resumed.model.state_dict(), expected) < 10 * TOLERANCE


def test_a_longer_run_goes_on_by_the_schedule_of_its_own_length(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    settings = {**SAVING, "lr_scheduler_type": "cosine", "save_steps": 10}
    train(tiny_model, dataset, tmp_path, **settings)
    longer = make_trainer(tiny_model, dataset, tmp_path, **settings | {"num_train_epochs": 5})
    longer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))
    rates = {line["step"]: line["learning_rate"] for line in longer.state.log_history if "loss" in line}
    # A line has the rate that its step was taken with. Of the first one after the checkpoint, after 10 of the
    # shorter run's 15 steps, it stands in the optimiser's state: so transformers has it.
    expected = {step: 0.005 * (1 + math.cos(math.pi * (step - 1) / 25)) for step in range(12, 26)}
    expected[11] = 0.005 * (1 + math.cos(math.pi * 10 / 15))
    assert {step: rates[step] for step in range(11, 26)} == pytest.approx(expected)
    assert sorted(longer.history()["epoch"].unique()) == [1, 2, 3, 4, 5]


def test_one_process_goes_on_from_two(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    """No dropout and the same samples a step: the number of processes changes rounding alone.

    Two processes save in mid-epoch, so what the second saw of the epoch must be in the checkpoint.
    """
    saving = {"save_strategy": "steps", "save_steps": 8, "logging_steps": 100}
    run_processes(tiny_model, tmp_path, {**saving, "per_device_train_batch_size": 4})
    whole = train(tiny_model, dataset, tmp_path / "whole", logging_steps=100)
    resumed = make_trainer(tiny_model, dataset, tmp_path, **saving)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    assert min(sample["step"] for sample in resumed.seen) == 8
    assert relative_difference(resumed.model.state_dict(), whole.model.state_dict()) < TOLERANCE
    pd.testing.assert_frame_equal(resumed.history(), whole.history(), rtol=1e-4, atol=1e-5)


def test_two_processes_resume_bit_for_bit(tiny_model: Path, tmp_path: Path) -> None:
    settings = {**SAVING, "save_steps": 7, "per_device_train_batch_size": 4, "save_total_limit": None}
    run_processes(tiny_model, tmp_path / "whole", settings)
    checkpoint = str(tmp_path / "whole" / "checkpoint-7")
    run_processes(tiny_model, tmp_path / "resumed", {**settings, "resume": checkpoint})
    whole, resumed = (load_file(tmp_path / run / "parameters.safetensors") for run in ("whole", "resumed"))
    assert all(torch.equal(resumed[name], values) for name, values in whole.items())
    histories = [read_history(tmp_path / run / "history") for run in ("whole", "resumed")]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


def test_two_processes_of_which_one_is_asked_to_stop_save_the_same_step(
    tiny_model: Path, tmp_path: Path
) -> None:
    settings = {**SAVING, "save_strategy": "no", "per_device_train_batch_size": 4}
    run_processes(tiny_model, tmp_path / "whole", settings)
    run_processes(tiny_model, tmp_path / "stopped", {**settings, "ask": [8, 1]})
    checkpoint = tmp_path / "stopped" / "checkpoint-8"
    assert [path.parent for path in tmp_path.glob(f"*/*/{MARKER_FILE}")] == [checkpoint]
    run_processes(tiny_model, tmp_path / "stopped", {**settings, "resume": str(checkpoint)})
    whole, resumed = (load_file(tmp_path / run / "parameters.safetensors") for run in ("whole", "stopped"))
    assert all(torch.equal(resumed[name], values) for name, values in whole.items())


@pytest.mark.parametrize(
    "change", [{"attention_dropout": 0.1}, {"neftune_noise_alpha": 5.0}, {"dataloader_drop_last": True}]
)
def test_random_steps_and_dropped_batches_hold_a_run_to_its_cut(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, change: dict[str, Any]
) -> None:
    """The same 8 examples a step, but other random numbers, or other examples dropped."""
    settings = {**SAVING, "save_steps": 3, "max_steps": 4, **change}
    dropout = settings.pop("attention_dropout", 0.0)
    written = make_trainer(tiny_model, dataset, tmp_path / "a", **settings)
    written.model.config.attention_dropout = dropout
    written.train()
    split = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    resumed = make_trainer(tiny_model, dataset, tmp_path / "b", **settings, **split)
    resumed.model.config.attention_dropout = dropout
    with pytest.raises(UserError, match="processes was '8 x 1 x 1', is '4 x 2 x 1'"):
        resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))


def test_torn_and_foreign_checkpoints_are_named(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, checkpoint: tuple[Path, RecordingTrainer]
) -> None:
    trainer = make_trainer(tiny_model, dataset, tmp_path, **SAVING)
    with pytest.raises(UserError, match="no complete checkpoint"):
        trainer.train(resume_from_checkpoint=True)
    for name in ("checkpoint-3", "checkpoint-7"):
        shutil.copytree(checkpoint[0], tmp_path / name)
    (tmp_path / "checkpoint-7" / MARKER_FILE).unlink()
    with pytest.raises(UserError, match=r"checkpoint-7: not a complete checkpoint .*: checkpoint-3"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    (tmp_path / "checkpoint-3" / "ledger.safetensors").unlink()
    with pytest.raises(UserError, match=r"checkpoint-3: has no ledger.safetensors"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))


def test_weights_alone_are_nothing_to_resume_from(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    settings = {**SAVING, "save_steps": 3, "max_steps": 4, "save_only_model": True}
    train(tiny_model, dataset, tmp_path, **settings)
    with pytest.raises(UserError, match="written with save_only_model"):
        make_trainer(tiny_model, dataset, tmp_path, **settings).train(resume_from_checkpoint=True)


def test_a_new_run_does_not_mix_with_an_older_ones_checkpoints(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint-best").mkdir()  # a user's own copy is none of ours
    settings = {**SAVING, "save_steps": 3, "max_steps": 4}
    train(tiny_model, dataset, tmp_path, **settings)
    with pytest.raises(UserError, match="has checkpoints, the newest checkpoint-4: go on with"):
        train(tiny_model, dataset, tmp_path, **settings)


@pytest.mark.parametrize("length", [{"max_steps": 7}, {"num_train_epochs": 1.4}])
def test_a_run_that_ended_in_mid_epoch_is_not_trained_further(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, length: dict[str, Any]
) -> None:
    settings = {**SAVING, "save_steps": 7, **length}
    train(tiny_model, dataset, tmp_path, **settings)
    with pytest.raises(UserError, match="has ended at step 7: nothing is left"):
        make_trainer(tiny_model, dataset, tmp_path, **settings).train(resume_from_checkpoint=True)


@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_a_finished_run_is_finished(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, strategy: str
) -> None:
    """Its last checkpoint was written before the page of the last epoch was turned, or after."""
    settings = {**SAVING, "save_strategy": strategy, "save_steps": 15}
    whole = train(tiny_model, dataset, tmp_path, **settings)
    expected = whole.history()
    again = make_trainer(tiny_model, dataset, tmp_path, **settings)
    again.train(resume_from_checkpoint=True)
    assert not again.seen
    pd.testing.assert_frame_equal(again.history(), expected, check_exact=True)


def test_a_second_training_starts_anew(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    trainer = train(tiny_model, dataset, tmp_path)
    trainer.train()
    assert trainer.history().groupby("epoch").size().tolist() == [38, 38, 38]
    assert (trainer.history().query("epoch == 1")["weight"] == 1.0).all()


@pytest.mark.parametrize(
    ("bad", "kept", "settings"),
    [
        pytest.param(8, [4], {}, id="at a checkpoint"),
        pytest.param(12, [8], {"save_total_limit": 1}, id="at a checkpoint, one kept"),
        pytest.param(15, [8, 12], {}, id="at the last step"),
        pytest.param(10, [5], {"save_strategy": "epoch"}, id="at an epoch's end"),
    ],
)
def test_bad_weights_are_not_saved_and_the_run_goes_on_from_before_them(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, bad: int, kept: list[int], settings: dict[str, Any]
) -> None:
    settings = {**SAVING, "save_steps": 4, **settings}
    trainer = make_trainer(tiny_model, dataset, tmp_path / "cut", **settings, callbacks=[BadUpdate(bad)])
    newest = rf"checkpoint-{kept[-1]} .step {kept[-1]}. is from before it"
    with pytest.raises(UserError, match=rf"not finite after optimiser step {bad}: 1 of 26 tensors.*{newest}"):
        trainer.train()
    assert not trainer.model.model.embed_tokens.weight.isfinite().all()
    left = {path.name for path in (tmp_path / "cut").glob("checkpoint-*")}
    assert left == {f"checkpoint-{step}" for step in kept}
    whole = train(tiny_model, dataset, tmp_path / "whole", **settings)
    resumed = make_trainer(tiny_model, dataset, tmp_path / "cut", **settings)
    resumed.train(resume_from_checkpoint=True)
    assert min(sample["step"] for sample in resumed.seen) == kept[-1]
    assert_same_to_the_bit(resumed, whole)


def test_a_run_that_saves_nothing_does_not_end_well_with_bad_weights(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    trainer = make_trainer(tiny_model, dataset, tmp_path, callbacks=[BadUpdate(15)])
    with pytest.raises(UserError, match=r"after optimiser step 15: .*no whole checkpoint to resume"):
        trainer.train()


def test_a_bad_loss_names_a_checkpoint_that_is_good(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """The update of step 9 is bad, and shows in the loss of step 10, two steps before a checkpoint."""
    trainer = make_trainer(tiny_model, dataset, tmp_path, **SAVING, save_steps=4, callbacks=[BadUpdate(9)])
    with pytest.raises(UserError, match=r"loss is not finite at optimiser step 10.*checkpoint-8 .step 8."):
        trainer.train()
    assert all(
        values.isfinite().all() for values in load_file(tmp_path / "checkpoint-8/model.safetensors").values()
    )


@pytest.mark.parametrize("shard", ["ddp", "fsdp2"], ids=["DDP", "FSDP"])
def test_processes_refuse_together_what_one_alone_holds(tiny_model: Path, tmp_path: Path, shard: str) -> None:
    """Only the second process has the bad value: its shard, or its copy that has gone astray."""
    settings = {"save_strategy": "steps", "save_steps": 4, "per_device_train_batch_size": 4}
    run_processes(tiny_model, tmp_path, {**settings, "shard": shard, "spoil": [4, 1]})
    errors = [(tmp_path / f"error-{rank}").read_text() for rank in (0, 1)]
    assert errors[0] == errors[1]
    assert "not finite after optimiser step 4: 1 of 26 tensors, the first model.norm.weight" in errors[0]
    assert not list(tmp_path.glob("checkpoint-*"))
