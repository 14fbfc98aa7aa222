"""Resume points: same run resumed, other runs' and torn ones deleted with a reason."""

from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from glow.training.checkpoints import (
    FINGERPRINT_FILE,
    MARKER_FILE,
    CheckpointMarker,
    NoFinalCheckpoint,
    fingerprint,
    resume_point,
    save_steps,
)


def _checkpoint(directory: Path, step: int, whole: bool = True) -> Path:
    checkpoint = directory / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights").write_text("w")
    if whole:
        (checkpoint / MARKER_FILE).touch()
    return checkpoint


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("{}\n")
    return path


def test_first_run_has_nothing_to_resume_and_leaves_its_fingerprint(tmp_path: Path, data: Path) -> None:
    directory = tmp_path / "checkpoints"
    assert resume_point(directory, fingerprint({"seed": 1}, [data])) is None
    assert [path.name for path in directory.iterdir()] == [FINGERPRINT_FILE]


def test_newest_whole_checkpoint_is_resumed_and_torn_one_deleted(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "checkpoints"
    wanted = fingerprint({"sft": {"learning_rate": 1e-5, "clamp": (0.5, 5.0)}}, [data])
    resume_point(directory, wanted)
    _checkpoint(directory, 90)
    newest = _checkpoint(directory, 100)
    torn = _checkpoint(directory, 110, whole=False)
    assert resume_point(directory, wanted) == newest
    assert not torn.exists()
    printed = capsys.readouterr().out
    assert "checkpoint-110: not written to its end; deleted" in printed
    assert f"resuming from {newest}" in printed


@pytest.mark.parametrize(
    ("settings", "content", "reason"),
    [
        ({"seed": 1, "sft": {"epochs": 3}}, "{}\n", "(sft.epochs was 2, is 3)"),
        ({"seed": 1, "sft": {"epochs": 2}}, "[]\n", "(input 1 (data.jsonl) has changed)"),
        ({"seed": 1, "sft": {"epochs": 2}, "kl": 0.1}, "{}\n", "(kl was None, is 0.1)"),
    ],
)
def test_other_run_starts_afresh_and_says_why(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, object],
    content: str,
    reason: str,
) -> None:
    directory = tmp_path / "checkpoints"
    resume_point(directory, fingerprint({"seed": 1, "sft": {"epochs": 2}}, [data]))
    stale = _checkpoint(directory, 5)
    data.write_text(content)
    wanted = fingerprint(settings, [data])
    assert resume_point(directory, wanted) is None
    assert not stale.exists()
    assert f"checkpoints of another run deleted {reason}" in capsys.readouterr().out
    fresh = _checkpoint(directory, 7)
    assert resume_point(directory, wanted) == fresh


def test_where_an_input_stands_does_not_matter(tmp_path: Path, data: Path) -> None:
    moved = tmp_path / "elsewhere" / data.name
    moved.parent.mkdir()
    moved.write_bytes(data.read_bytes())
    assert fingerprint({}, [data]) == fingerprint({}, [moved])


def test_other_processes_only_look(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "checkpoints"
    wanted = fingerprint({"seed": 1}, [data])
    monkeypatch.setenv("RANK", "1")
    assert resume_point(directory, wanted) is None
    assert not directory.exists()
    monkeypatch.setenv("RANK", "0")
    resume_point(directory, wanted)
    whole, torn = _checkpoint(directory, 1), _checkpoint(directory, 2, whole=False)
    monkeypatch.setenv("RANK", "1")
    assert resume_point(directory, wanted) == whole
    assert resume_point(directory, fingerprint({"seed": 2}, [data])) is None
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
