"""Resume points: same run resumed, other runs' and torn ones deleted with a reason."""

from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from glow.files.same_run import IDENTITY_FILE
from glow.training.checkpoints import (
    MARKER_FILE,
    CheckpointMarker,
    NoFinalCheckpoint,
    resume_point,
    save_steps,
)

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


def test_marker_is_written_on_save(tmp_path: Path) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    checkpoint = _checkpoint(tmp_path, 8, whole=False)
    CheckpointMarker().on_save(arguments, TrainerState(global_step=8, max_steps=10), TrainerControl())
    assert (checkpoint / MARKER_FILE).is_file()


def test_a_stage_saves_no_checkpoint_at_its_end(tmp_path: Path) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    control = TrainerControl(should_save=True)
    NoFinalCheckpoint().on_step_end(arguments, TrainerState(global_step=9, max_steps=10), control)
    assert control.should_save
    NoFinalCheckpoint().on_step_end(arguments, TrainerState(global_step=10, max_steps=10), control)
    assert not control.should_save
