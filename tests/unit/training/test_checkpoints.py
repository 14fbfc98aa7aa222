"""Resume points: same run resumed, other runs' and torn ones deleted, bad weights never among them."""

import errno
import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from accelerate import PartialState
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from glow.errors import UserError
from glow.files.same_run import IDENTITY_FILE
from glow.training import callbacks
from glow.training.card import Card
from glow.training.checkpoints import (
    MARKER_FILE,
    UNIVERSAL,
    FiniteWeights,
    NoFinalCheckpoint,
    make_room,
    mark_whole,
    refuse_non_finite_weights,
    resume_point,
    save_steps,
)
from glow.training.saving import SavedForm

RUN = {"seed": 1, "sft.epochs": 2}


def _checkpoint(directory: Path, step: int, whole: bool = True) -> Path:
    checkpoint = directory / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights").write_text("w")
    if whole:
        (checkpoint / MARKER_FILE).touch()
    return checkpoint


def test_first_run_has_nothing_to_resume_and_leaves_its_identity(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    assert resume_point(directory, RUN, 200) is None
    assert [path.name for path in directory.iterdir()] == [IDENTITY_FILE]


def test_newest_whole_checkpoint_is_resumed_and_torn_one_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "checkpoints"
    resume_point(directory, RUN, 200)
    _checkpoint(directory, 90)
    newest = _checkpoint(directory, 100)
    torn = _checkpoint(directory, 110, whole=False)
    assert resume_point(directory, RUN, 200) == newest
    assert not torn.exists()
    printed = capsys.readouterr().out
    assert "checkpoint-110: incomplete; deleted" in printed
    assert f"resuming from {newest}" in printed


def test_a_shorter_run_takes_no_checkpoint_from_behind_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, at, behind = (_checkpoint(tmp_path / "checkpoints", step) for step in (99, 100, 110))
    (tmp_path / "checkpoints" / IDENTITY_FILE).write_text('{"seed": 1, "sft.epochs": 2}')
    assert resume_point(tmp_path / "checkpoints", RUN, 100) == before
    assert not at.exists()
    assert not behind.exists()
    assert "checkpoint-100: past the 100 steps asked for now; deleted" in capsys.readouterr().out
    assert resume_point(tmp_path / "checkpoints", RUN, 50) is None
    assert not before.exists()


def test_other_run_starts_afresh_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "checkpoints"
    resume_point(directory, RUN, 200)
    stale = _checkpoint(directory, 5)
    other = {**RUN, "sft.epochs": 3}
    assert resume_point(directory, other, 200) is None
    assert not stale.exists()
    assert f"{directory}: of another run (sft.epochs was 2, is 3); deleted" in capsys.readouterr().out
    fresh = _checkpoint(directory, 7)
    assert resume_point(directory, other, 200) == fresh


def test_other_processes_only_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "checkpoints"
    monkeypatch.setenv("RANK", "1")
    assert resume_point(directory, RUN, 200) is None
    assert not directory.exists()
    monkeypatch.setenv("RANK", "0")
    resume_point(directory, RUN, 200)
    whole, torn = _checkpoint(directory, 1), _checkpoint(directory, 2, whole=False)
    monkeypatch.setenv("RANK", "1")
    assert resume_point(directory, RUN, 200) == whole
    assert resume_point(directory, {"seed": 2}, 200) is None
    assert torn.exists()
    assert whole.exists()


@pytest.mark.parametrize(
    ("total", "checkpoints", "points"),
    [(40, 2, [14, 28]), (40, 0, []), (3, 2, [1, 2]), (2, 5, [1]), (1, 2, []), (100, 4, [20, 40, 60, 80])],
)
def test_save_steps_spread_over_the_run(total: int, checkpoints: int, points: list[int]) -> None:
    every = save_steps(total, checkpoints)
    assert [step for step in range(1, total) if every is not None and step % every == 0] == points


@pytest.mark.parametrize(
    ("free", "left", "has_room"),
    [
        (100, [2, 4, 6], True),
        (90, [4, 6], True),  # the oldest goes, and frees 20
        (70, [6], True),
        (50, [6], False),  # 90 with both gone: not enough, and the newest stays
    ],
)
def test_room_for_a_checkpoint_is_made_of_older_ones(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    free: int,
    left: list[int],
    has_room: bool,
) -> None:
    for step in (2, 4, 6):
        (_checkpoint(tmp_path, step, whole=True) / "weights").write_bytes(bytes(20))

    def usage(_: Path) -> SimpleNamespace:
        gone = 3 - len(list(tmp_path.glob("checkpoint-*")))
        return SimpleNamespace(free=free + 20 * gone)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert make_room(tmp_path, needed=100) == has_room
    assert sorted(int(path.name[11:]) for path in tmp_path.glob("checkpoint-*")) == left
    assert ("checkpoint-6 stays the newest" in capsys.readouterr().out) == (not has_room)


def test_a_checkpoint_takes_at_least_what_the_newest_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_checkpoint(tmp_path, 2, whole=True) / "weights").write_bytes(bytes(200))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=199))
    assert not make_room(tmp_path, needed=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500))
    assert make_room(tmp_path, needed=1)
    shares = tmp_path / "checkpoint-2" / f"global_step2{UNIVERSAL}"
    shares.mkdir()
    (shares / "0.pt").write_bytes(bytes(400))  # a form that the next checkpoint will not have
    assert make_room(tmp_path, needed=1)


def test_a_mark_is_written_when_all_that_it_marks_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = _checkpoint(tmp_path, 8, whole=False)
    (checkpoint / "shards").mkdir()
    (checkpoint / "shards" / "0.distcp").write_text("s")
    parts = [tmp_path, checkpoint, *checkpoint.rglob("*")]
    names = {path.stat().st_ino: path.name for path in parts}
    done: list[str] = []
    touch = Path.touch

    def record_touch(path: Path) -> None:
        touch(path)
        names[path.stat().st_ino] = path.name
        done.append(f"made {path.name}")

    monkeypatch.setattr(os, "fsync", lambda file: done.append(names[os.fstat(file).st_ino]))
    monkeypatch.setattr(Path, "touch", record_touch)
    mark_whole(checkpoint)
    made = done.index("made complete")
    assert set(done[:made]) == {path.name for path in parts}
    assert done[made:] == ["made complete", "complete", "checkpoint-8"]


def test_the_final_model_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Saving:
        accelerator = PartialState()

        def is_world_process_zero(self) -> bool:
            return True

    def write(trainer: Any, folder: Path, *_: Any) -> None:
        (folder / "model.safetensors").write_text("weights")

    synced: list[set[str]] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append({path.name for path in tmp_path.iterdir()}))
    monkeypatch.setattr(callbacks, "whole_weights", lambda trainer: None)
    monkeypatch.setattr(callbacks, "write_model", write)
    card = SimpleNamespace(written=lambda: SimpleNamespace(save=lambda file: file.write_text("card")))
    form = SavedForm(torch.float32, tmp_path)
    callbacks.save_model(cast("Trainer", Saving()), tmp_path / "model", form, cast("Card", card))
    assert synced == [{".model.partial"}] * 4  # its two files, itself, and the folder that holds it
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"model.safetensors", "README.md"}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_system_that_syncs_no_folders_is_borne_and_a_broken_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(file: int) -> None:
        raise OSError(number, os.strerror(number))

    checkpoint = _checkpoint(tmp_path, 8, whole=False)
    monkeypatch.setattr(os, "fsync", refuse)
    if number == errno.EINVAL:
        mark_whole(checkpoint)
    else:
        with pytest.raises(OSError, match="Input/output"):
            mark_whole(checkpoint)
    assert (checkpoint / MARKER_FILE).exists() == (number == errno.EINVAL)


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
        self.empty = torch.nn.Parameter(torch.ones(0))
        self.large = torch.nn.Parameter(torch.tensor([1e300, -1e300], dtype=torch.float64))
        self.weight = torch.nn.Parameter(torch.ones(3, 5))
        self.short = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))


def test_finite_weights_pass_and_frozen_ones_are_not_ours_to_judge(tmp_path: Path) -> None:
    layer = Layer()
    layer.frozen.data[0] = math.nan
    refuse_non_finite_weights(layer, 8, tmp_path)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_counted_with_a_way_on(tmp_path: Path, bad: float) -> None:
    layer = Layer()
    layer.weight.data[2, 4] = bad
    found = "after optimiser step 8: 1 of 4 tensors, the first weight; they were not saved. "
    with pytest.raises(UserError, match=f"{found}{tmp_path}: no whole checkpoint .* train anew with a lower"):
        refuse_non_finite_weights(layer, 8, tmp_path)
    layer.short.data[1] = bad
    for step, whole in ((4, True), (6, True), (7, False)):
        (_checkpoint(tmp_path, step, whole) / "rng_state.pth").touch()
    (tmp_path / "checkpoint-6" / "rng_state.pth").unlink()  # weights alone: nothing to resume from
    with pytest.raises(UserError, match=r": 2 of 4 tensors.*/checkpoint-4 \(step 4\) is from before it"):
        refuse_non_finite_weights(layer, 8, tmp_path)


def test_a_stage_looks_at_the_weights_after_every_step(tmp_path: Path) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    layer, state = Layer(), TrainerState(global_step=3, max_steps=10)
    FiniteWeights().on_step_end(arguments, state, TrainerControl(), model=layer)
    layer.weight.data[0] = math.nan
    with pytest.raises(UserError, match="after optimiser step 3"):
        FiniteWeights().on_step_end(arguments, state, TrainerControl(), model=layer)


def test_a_stage_saves_no_checkpoint_at_its_end(tmp_path: Path) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    control = TrainerControl(should_save=True)
    NoFinalCheckpoint().on_step_end(arguments, TrainerState(global_step=9, max_steps=10), control)
    assert control.should_save
    NoFinalCheckpoint().on_step_end(arguments, TrainerState(global_step=10, max_steps=10), control)
    assert not control.should_save
