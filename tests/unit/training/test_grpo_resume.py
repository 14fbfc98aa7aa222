"""GRPO that is killed, asked to stop or given bad numbers goes on to the last bit, or starts afresh."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from grpo_runs import (
    OPENING,
    SETTINGS,
    Runs,
    is_the_whole,
    resumed_from,
    same,
    weights,
)
from trainer_callbacks import BadUpdate
from transformers import TrainerCallback

from glow.errors import UserError
from glow.files.jsonl import read_jsonl
from glow.files.stopping import Stopped, asked, listen
from glow.training import sharding
from glow.training.checkpoints import MARKER_FILE


class AskAt(TrainerCallback):
    """Asks this process to stop, in a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGUSR1)
            while not asked():
                time.sleep(0.01)


@pytest.fixture
def runs(problems: Path, tiny_model: Path, letters: None) -> Runs:
    return Runs(problems, tiny_model)


def test_a_changed_template_file_is_another_run(
    runs: Runs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    template = tmp_path / "opening.jinja"
    for text in (OPENING, OPENING.replace("<think>", "")):
        template.write_text(text)
        runs.train_killed(3, tmp_path / "run", chat_template=str(template))
    assert "of another run (input 3 (opening.jinja) has changed); deleted" in capsys.readouterr().out


@pytest.mark.parametrize(("bad", "kept"), [(4, "checkpoint-2"), (5, "checkpoint-4"), (6, "checkpoint-4")])
def test_a_bad_update_leaves_the_checkpoint_before_it_from_which_the_run_ends_in_the_same_bits(
    bad: int,
    kept: str,
    whole: Path,
    runs: Runs,
    tmp_path: Path,
) -> None:
    """Checkpoints stand after steps 2 and 4; step 6 is the last."""
    run = tmp_path / "run"
    with pytest.raises(UserError, match=f"not finite after optimiser step {bad}: .*/{kept} .step"):
        runs.train_with(BadUpdate(bad), run)
    assert not (run / "model").exists()
    assert {path.parent.name for path in run.glob("checkpoints/*/complete")} == {"checkpoint-2", kept}
    assert not (run / "checkpoints" / "checkpoint-6").exists()
    runs.train(run)
    assert resumed_from(run) == kept
    assert is_the_whole(run, whole)


@pytest.mark.parametrize("killed_at", [3, 5])
def test_killed_run_ends_in_the_same_bits(
    killed_at: int,
    whole: Path,
    runs: Runs,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Checkpoints stand after steps 2 and 4; a pass over the five problems ends after step 2."""
    resumed = tmp_path / "resumed"
    runs.train_killed(killed_at, resumed)
    assert not (resumed / "model").exists()
    runs.train(resumed)
    assert resumed_from(resumed) == f"checkpoint-{killed_at - 1}"
    printed = capfd.readouterr()
    rewards = [row["reward"] for row in read_jsonl(resumed / "log.jsonl")]
    assert f"reward {rewards[0]:.3f} -> {rewards[-1]:.3f} (first and last 1 of 6 steps)" in printed.out
    assert "missing keys" not in printed.err
    assert is_the_whole(resumed, whole)


@pytest.mark.parametrize("asked_in", [1, 3])
def test_a_run_that_is_asked_to_stop_saves_that_step_and_ends_in_the_same_bits(
    asked_in: int,
    whole: Path,
    runs: Runs,
    tmp_path: Path,
) -> None:
    """Checkpoints are planned after steps 2 and 4."""
    stopped = tmp_path / "stopped"
    with listen(), pytest.raises(Stopped, match=f"after step {asked_in} of 6"):
        runs.train_with(AskAt(asked_in), stopped)
    runs.train(stopped)
    assert resumed_from(stopped) == f"checkpoint-{asked_in}"
    assert is_the_whole(stopped, whole)


def test_a_run_that_is_asked_to_stop_and_cannot_save_is_not_queued_again(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would do the same again and again."""
    monkeypatch.setattr(sharding, "make_room", lambda *_: False)
    with (
        listen(),
        pytest.raises(UserError, match="asked to stop after step 1 of 6, and no checkpoint could be"),
    ):
        runs.train_with(AskAt(1), tmp_path / "stopped")


def test_a_run_killed_in_its_warm_up_ends_in_the_same_bits(runs: Runs, tmp_path: Path) -> None:
    """Checkpoints stand after steps 2 and 4; the fifth is the first at the whole rate."""
    warm = SETTINGS.model_copy(update={"warmup_steps": 4, "adam_beta2": 0.9})
    runs.train(tmp_path / "whole", warm)
    runs.train_killed(3, tmp_path / "resumed", warm)
    runs.train(tmp_path / "resumed", warm)
    assert resumed_from(tmp_path / "resumed") == "checkpoint-2"
    assert is_the_whole(tmp_path / "resumed", tmp_path / "whole")


def test_a_run_that_is_asked_in_its_last_step_ends(
    whole: Path,
    runs: Runs,
    tmp_path: Path,
) -> None:
    with listen():
        runs.train_with(AskAt(6), tmp_path / "run")
    assert same(weights(tmp_path / "run"), weights(whole))


@pytest.mark.parametrize(
    ("steps", "killed_at", "checkpoint"), [(4, 3, "checkpoint-2"), (8, 7, "checkpoint-3")]
)
def test_a_run_of_another_length_goes_on_to_the_same_bits(
    steps: int,
    killed_at: int,
    checkpoint: str,
    whole: Path,
    runs: Runs,
    tmp_path: Path,
) -> None:
    """The checkpoints of a run of 8 stand after steps 3 and 6, where a run of 6 has nothing left to do."""
    resumed = tmp_path / "resumed"
    other = SETTINGS.model_copy(update={"steps": steps, "gradient_checkpointing": True})
    runs.train_killed(killed_at, resumed, other)
    runs.train(resumed)
    assert resumed_from(resumed) == checkpoint
    assert is_the_whole(resumed, whole)


def test_torn_checkpoint_gives_way_to_the_one_before(
    whole: Path,
    runs: Runs,
    tmp_path: Path,
) -> None:
    resumed = tmp_path / "resumed"
    runs.train_killed(5, resumed)
    torn = resumed / "checkpoints" / "checkpoint-4"
    (torn / MARKER_FILE).unlink()
    (torn / "optimizer.pt").write_bytes(b"half")
    runs.train(resumed)
    assert resumed_from(resumed) == "checkpoint-2"
    assert is_the_whole(resumed, whole)


def test_other_settings_start_afresh(
    runs: Runs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "run"
    runs.train_killed(3, output)
    runs.train(output, SETTINGS.model_copy(update={"steps": 1, "learning_rate": 1e-2}))
    assert "of another run (grpo.learning_rate was 0.001, is 0.01); deleted" in capsys.readouterr().out
    assert [row["step"] for row in read_jsonl(output / "log.jsonl")] == [1]
