"""Training that reports to TensorBoard, wandb or Trackio: which run it is there, and no number changes."""

import sys
from pathlib import Path
from typing import Any

import pytest
from grpo_runs import SETTINGS, Runs, is_the_whole

from glow.config import Grpo, GrpoSettings, Prompt, Sft, SftSettings, Tracking
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.training import grpo as stage
from glow.training import report_to
from glow.training.sft import fine_tune

EVALUATED = SETTINGS.model_copy(update={"eval_steps": 2, "eval_problems": 2})


class TrackedRuns(Runs):
    """Runs that report to TensorBoard, in one folder beside them."""

    def train(self, output: Path, settings: Grpo = EVALUATED, **prompt: Any) -> None:
        tracking = Tracking(
            report_to=["tensorboard"],
            project="study",
            run_name="grpo/lists/base/seed-3",
            tracking_dir=output.parent / "logs",
        )
        whole = GrpoSettings(prompt=Prompt(instruction="Go."), grpo=settings, tracking=tracking, seed=3)
        stage.train(self.problems, self.model, output, whole)


@pytest.fixture
def runs(problems: Path, tiny_model: Path, letters: None) -> TrackedRuns:
    return TrackedRuns(problems, tiny_model)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: (step, value) by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in shown.Scalars(name)] for name in shown.Tags()["scalars"]
    }


def the_run(output: Path) -> Path:
    (folder,) = (output.parent / "logs" / "tensorboard" / "grpo" / "lists" / "base" / "seed-3").iterdir()
    return folder


@pytest.mark.extra("tensorboard")
def test_tensorboard_shows_every_step_and_evaluation_and_no_number_changes(
    runs: TrackedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    runs.train(tmp_path / "tracked" / "run")
    Runs(runs.problems, runs.model).train(tmp_path / "plain", EVALUATED)
    assert is_the_whole(tmp_path / "tracked" / "run", tmp_path / "plain")
    shown = scalars(the_run(tmp_path / "tracked" / "run"))
    log = list(read_jsonl(tmp_path / "plain" / "log.jsonl"))
    assert shown["train/reward"] == [(row["step"], pytest.approx(row["reward"])) for row in log]
    assert shown["train/grad_norm"] == [(row["step"], pytest.approx(row["grad_norm"])) for row in log]
    evaluated = list(read_jsonl(tmp_path / "plain" / "evaluations.jsonl"))
    assert shown["eval/reward"] == [(row["step"], pytest.approx(row["reward"])) for row in evaluated]
    assert list((tmp_path / "here").iterdir()) == []
    assert {path.name for path in (tmp_path / "tracked").iterdir()} == {"run", "logs"}


@pytest.mark.extra("tensorboard")
def test_a_resumed_run_goes_on_in_its_own_curve_and_other_settings_are_another_run(
    runs: TrackedRuns, tmp_path: Path
) -> None:
    """It is killed in step 6 and resumed after step 4: step 5 is logged twice, and TensorBoard shows one."""
    output = tmp_path / "run"
    runs.train_killed(6, output, EVALUATED)
    runs.train(output)
    folder = the_run(output)
    assert len(list(folder.iterdir())) == 2
    steps = [step for step, _ in scalars(folder)["train/reward"]]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in scalars(folder)["eval/reward"]] == [0, 2, 4, 6]
    runs.train(output, EVALUATED.model_copy(update={"learning_rate": 1e-4}))
    assert len(list(folder.parent.iterdir())) == 2


@pytest.mark.extra("tensorboard")
def test_sft_reports_its_log_and_ends_in_the_same_bits(tiny_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "arm.jsonl"
    rows = ({"trajectory_id": f"t-{n}", "question": f"{n} + 1 ?", "response": f"{n + 1}"} for n in range(8))
    write_jsonl(data, ({**row, "verdict": "correct"} for row in rows))
    sft = Sft(
        epochs=2,
        batch_size=4,
        learning_rate=1e-3,
        precision="fp32",
        gradient_checkpointing=False,
        checkpoints=0,
    )
    tracking = Tracking(report_to=["tensorboard"], run_name="sft/own", tracking_dir=tmp_path / "logs")
    for name, where in (("plain", Tracking()), ("tracked", tracking)):
        settings = SftSettings(sft=sft, tracking=where, seed=0)
        fine_tune(data, data, tiny_model, tmp_path / name, settings)
    assert is_the_whole(tmp_path / "tracked", tmp_path / "plain")
    (folder,) = (tmp_path / "logs" / "tensorboard" / "sft" / "own").iterdir()
    log = list(read_jsonl(tmp_path / "plain" / "log.jsonl"))
    assert scalars(folder)["train/loss"] == [(row["step"], pytest.approx(row["loss"])) for row in log]


@pytest.mark.extra("tensorboard")
def test_only_the_first_process_reports(runs: TrackedRuns, tmp_path: Path) -> None:
    class Other:
        def is_world_process_zero(self) -> bool:
            return False

    tracking = Tracking(report_to=["tensorboard"], tracking_dir=tmp_path / "logs")
    with report_to.reported(Other(), tracking, tmp_path / "run", {}):  # type: ignore[arg-type]
        pass
    assert not (tmp_path / "logs").exists()


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_read(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glow.config.packages.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    settings = GrpoSettings(grpo=SETTINGS, tracking=Tracking(report_to=["trackio"]), seed=3)
    with pytest.raises(
        UserError, match=r"report_to: trackio is not installed \(no module trackio\): pip install trackio"
    ):
        stage.train(tmp_path / "nowhere.jsonl", tiny_model, tmp_path / "run", settings)


def test_none_stands_alone_and_nothing_twice() -> None:
    for names in (["none", "wandb"], ["wandb", "wandb"]):
        with pytest.raises(ValueError, match="once, and none alone"):
            Tracking(report_to=names)  # type: ignore[arg-type]
    assert Tracking().trackers == []
    assert Tracking(report_to=["wandb", "tensorboard"]).trackers == ["wandb", "tensorboard"]


def test_where_a_run_is_logged_is_no_part_of_it() -> None:
    tracked = GrpoSettings(grpo=SETTINGS, tracking=Tracking(report_to=["wandb"]), seed=3)
    assert tracked.decisive() == GrpoSettings(grpo=SETTINGS, seed=3).decisive()
