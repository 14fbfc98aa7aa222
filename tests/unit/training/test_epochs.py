"""Held-out loss and accuracy by epoch in the SFT stage: what is left, when, and that training is the same."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, TrainerCallback

from glow.config import ObjectiveChoice, Sft, SftSettings
from glow.errors import UserError
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.files.stopping import Stopped
from glow.models.load import load_tokenizer
from glow.training import callbacks, epochs
from glow.training import sft as stage
from glow.training.epochs import EPOCHS_FILE, read_held_out
from glow.training.sft import fine_tune

SETTINGS = Sft(
    epochs=3,
    batch_size=4,
    learning_rate=1e-3,
    max_length=128,
    precision="fp32",
    gradient_checkpointing=False,
    checkpoints=2,
    epoch_questions=2,
    epoch_max_tokens=8,
)
TRAINED, HELD_OUT = range(10), range(20, 27)
KEYS = [
    "epoch", "step", "samples_correct", "loss_correct", "token_loss_correct", "samples_wrong", "loss_wrong",
    "token_loss_wrong", "questions", "accuracy", "truncated",
]  # fmt: skip


def trajectories(path: Path, numbers: range) -> Path:
    """Trajectories of uneven lengths, two a question, every other one wrong."""
    write_jsonl(
        path,
        (
            {
                "trajectory_id": f"t-{n}",
                "problem_id": f"p-{n // 2}",
                "question": f"{n // 2} plus 1 ?",
                "answer": str(n // 2 + 1),
                "response": "So " * (n % 5) + f"\\boxed{{{n // 2 + 1 + n % 2}}}",
                "verdict": "wrong" if n % 2 else "correct",
            }
            for n in numbers
        ),
    )
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return trajectories(tmp_path / "data.jsonl", TRAINED)


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    return trajectories(tmp_path / "held_out.jsonl", HELD_OUT)


@pytest.fixture(scope="session")
def dropping_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that draws random numbers while it trains."""
    folder = tmp_path_factory.mktemp("models") / "dropping"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.2}))
    return folder


def run(
    data: Path,
    model: Path,
    output: Path,
    held_out: Path | None,
    *,
    everything: Path | None = None,
    **changes: Any,
) -> list[Record]:
    """Train, and read what was measured by epoch."""
    if held_out is None:
        changes = {"epoch_questions": 0} | changes
    settings = SftSettings(
        objective=ObjectiveChoice(objective="glow"), sft=SETTINGS.model_copy(update=changes), seed=0
    )
    fine_tune(data, everything or data, model, output, settings, held_out=held_out)
    return list(read_jsonl(output / EPOCHS_FILE)) if held_out else []


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "model/model.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(values, second[name]) for name, values in first.items())


# --- what is left ---------------------------------------------------------------------------------


def test_a_row_before_training_and_one_after_each_epoch(
    tiny_model: Path, tmp_path: Path, data: Path, aside: Path
) -> None:
    rows = run(data, tiny_model, tmp_path / "run", aside)
    assert [list(row) for row in rows] == [KEYS] * 4
    assert [(row["epoch"], row["step"]) for row in rows] == [(0, 0), (1, 3), (2, 6), (3, 9)]
    for row in rows:
        assert (row["samples_correct"], row["samples_wrong"], row["questions"]) == (4, 3, 2)
        assert 0 <= row["accuracy"] <= 1
    assert len({row["loss_correct"] for row in rows}) == 4
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert str(aside) in manifest["inputs"]
    assert not (tmp_path / "run/checkpoints").exists()


def test_losses_are_those_of_the_models_before_and_after_training(
    tiny_model: Path, tmp_path: Path, data: Path, aside: Path
) -> None:
    """From the saved models, in float64: prompt, response and end of turn by the chat template."""
    rows = run(data, tiny_model, tmp_path / "run", aside)
    tokenizer = load_tokenizer(tiny_model)
    for folder, row in ((tiny_model, rows[0]), (tmp_path / "run/model", rows[-1])):
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        means: dict[str, list[float]] = {"correct": [], "wrong": []}
        for one in read_jsonl(aside):
            asked = [{"role": "user", "content": one["question"]}]
            begun = len(tokenizer.apply_chat_template(asked, add_generation_prompt=True)["input_ids"])
            whole = [*asked, {"role": "assistant", "content": one["response"]}]
            ids = torch.tensor(tokenizer.apply_chat_template(whole)["input_ids"])
            with torch.no_grad():
                log_p = torch.log_softmax(network(ids[None]).logits[0], dim=-1)
            scored = -log_p[range(begun - 1, len(ids) - 1), ids[begun:]]
            means[one["verdict"]].append(scored.mean().item())
        for verdict, own in means.items():
            assert row[f"loss_{verdict}"] == pytest.approx(sum(own) / len(own), rel=1e-5)


def test_epochs_are_those_of_the_history_also_where_the_last_is_cut_short(
    tiny_model: Path, tmp_path: Path, data: Path, aside: Path
) -> None:
    """2 epochs of 14 trajectories are 8 steps: two passes over these 10, and two steps of a third."""
    everything = trajectories(tmp_path / "all.jsonl", range(14))
    changes = {"budget": "steps", "epochs": 2}
    rows = run(data, tiny_model, tmp_path / "run", aside, everything=everything, **changes)
    assert [(row["epoch"], row["step"]) for row in rows] == [(0, 0), (1, 3), (2, 6), (3, 8)]
    history = pd.read_parquet(tmp_path / "run/history.parquet")
    assert history.groupby("epoch").size().to_dict() == {1: 10, 2: 10, 3: 8}


def test_without_questions_only_losses_are_measured(
    tiny_model: Path, tmp_path: Path, data: Path, aside: Path
) -> None:
    rows = run(data, tiny_model, tmp_path / "run", aside, epoch_questions=0)
    assert [(row["questions"], row["accuracy"], row["truncated"]) for row in rows] == [(0, None, None)] * 4
    assert all(row["loss_wrong"] > 0 for row in rows)


def test_what_is_longer_than_max_length_counts_with_what_fits(
    tiny_model: Path, tmp_path: Path, data: Path, aside: Path
) -> None:
    """Of four right ones the first two are long; of one, only the question fits."""
    rows = list(read_jsonl(aside))
    rows[0]["response"] = "so " * 500 + rows[0]["response"]
    rows[2]["question"] = "so " * 500 + rows[2]["question"]
    write_jsonl(aside, rows)
    with pytest.warns(UserWarning, match="evaluation set 'eval': 2 of 7 rows are longer than max_length 128"):
        measured = run(data, tiny_model, tmp_path / "run", aside)
    assert {row["samples_correct"] for row in measured} == {3}


# --- training is the same -------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["tiny_model", "dropping_model"])
def test_training_is_the_same_to_the_last_bit(
    request: pytest.FixtureRequest, model: str, tmp_path: Path, data: Path, aside: Path
) -> None:
    folder = request.getfixturevalue(model)
    run(data, folder, tmp_path / "without", None)
    run(data, folder, tmp_path / "with", aside)
    assert_same_weights(tmp_path / "without", tmp_path / "with")
    for file in ("history.parquet", "log.jsonl"):
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes()
    assert not (tmp_path / "without" / EPOCHS_FILE).exists()


class Killed(TrainerCallback):
    """Dies at a step: after it, in its checkpoint, or at the end of its epoch."""

    def __init__(self, step: int, where: str) -> None:
        self.step, self.where = step, where

    def die(self, state: Any, where: str) -> None:
        if state.global_step == self.step and where == self.where:
            raise KeyboardInterrupt

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.die(state, "step")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.die(state, "save")

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.die(state, "epoch")


@pytest.fixture(scope="module")
def whole(dropping_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    data, aside = trajectories(folder / "data.jsonl", TRAINED), trajectories(folder / "aside.jsonl", HELD_OUT)
    run(data, dropping_model, folder / "run", aside)
    return folder / "run"


@pytest.mark.parametrize(
    ("checkpoints", "step", "where", "resumed_from"),
    [
        (0, 5, "step", None),
        (1, 7, "step", "checkpoint-5"),  # in mid-epoch
        (2, 5, "step", "checkpoint-3"),  # after an epoch's end, where it was measured
        (2, 6, "save", "checkpoint-6"),  # at an epoch's end, before it is measured
        (2, 6, "epoch", "checkpoint-6"),
        (1, 6, "epoch", "checkpoint-5"),  # in mid-epoch, and what was measured later is measured again
    ],
)
def test_a_killed_run_ends_with_the_same_rows(
    dropping_model: Path,
    tmp_path: Path,
    data: Path,
    aside: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Path,
    checkpoints: int,
    step: int,
    where: str,
    resumed_from: str | None,
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "NoFinalCheckpoint", lambda: Killed(step, where))
        run(data, dropping_model, tmp_path / "cut", aside, checkpoints=checkpoints)
    if where == "epoch":
        # The callbacks of the stage come before what measures: this kill is between two epochs' ends.
        assert [row["step"] for row in read_jsonl(tmp_path / "cut/checkpoints" / EPOCHS_FILE)] == [0, 3]
    run(data, dropping_model, tmp_path / "cut", aside, checkpoints=checkpoints)
    facts = json.loads((tmp_path / "cut/manifest.json").read_text())["facts"]
    assert facts["resumed_from"] == resumed_from
    assert (tmp_path / "cut" / EPOCHS_FILE).read_bytes() == (whole / EPOCHS_FILE).read_bytes()
    assert_same_weights(tmp_path / "cut", whole)


@pytest.mark.parametrize("step", [4, 6], ids=["in mid-epoch", "at an epoch's end"])
def test_a_run_that_is_asked_to_stop_measures_no_epoch_that_it_has_not_finished(
    dropping_model: Path,
    tmp_path: Path,
    data: Path,
    aside: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Path,
    step: int,
) -> None:
    steps = iter(range(1, 100))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(callbacks, "asked", lambda: next(steps) == step)
        run(data, dropping_model, tmp_path / "cut", aside, checkpoints=0)
    kept = read_jsonl(tmp_path / "cut/checkpoints" / EPOCHS_FILE)
    assert [row["step"] for row in kept] == [0, 3]
    rows = run(data, dropping_model, tmp_path / "cut", aside, checkpoints=0)
    assert rows == list(read_jsonl(whole / EPOCHS_FILE))


def test_other_held_out_trajectories_are_another_run(
    tiny_model: Path,
    tmp_path: Path,
    data: Path,
    aside: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "NoFinalCheckpoint", lambda: Killed(5, "step"))
        run(data, tiny_model, tmp_path / "cut", aside)
    trajectories(aside, range(20, 24))
    rows = run(data, tiny_model, tmp_path / "cut", aside)
    assert "of another run (input 3 (held_out.jsonl) has changed); deleted" in capsys.readouterr().out
    assert {row["samples_correct"] for row in rows} == {2}


def test_a_slow_measurement_shows_how_far_it_is(
    tiny_model: Path,
    tmp_path: Path,
    data: Path,
    aside: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(epochs, "_SLOW", 0)
    run(data, tiny_model, tmp_path / "run", aside)
    shown = capsys.readouterr().err
    assert all(f"held out, epoch {number}: " in shown for number in range(4))
    assert "/9 [" in shown  # 7 trajectories and 2 questions


# --- what is refused ------------------------------------------------------------------------------


def refused(file: Path | None, trained_on: set[str], asked: int = 2) -> str:
    with pytest.raises(UserError) as error:
        read_held_out(file, SETTINGS.model_copy(update={"epoch_questions": asked}), trained_on)
    return str(error.value)


def test_a_question_that_is_trained_on_is_refused(aside: Path) -> None:
    said = refused(aside, {"11 plus 1 ?"})
    assert said == f"{aside}:3: this question is trained on too; make both files with one `glow arms`"


def test_fewer_questions_than_are_to_be_answered_are_refused(aside: Path) -> None:
    assert refused(aside, set(), asked=5).startswith(f"{aside}: 4 questions, and 5 are to be answered")
    assert "--epoch-questions 1, but no --held-out: give the held_out.jsonl" in refused(None, set(), asked=1)


def test_what_is_no_held_out_file_is_refused(tmp_path: Path, aside: Path) -> None:
    rows = list(read_jsonl(aside))
    write_jsonl(odd := tmp_path / "odd.jsonl", [rows[0], rows[1] | {"verdict": "unparsed"}])
    assert refused(odd, set()).startswith(f"{odd}:2: verdict 'unparsed'; held-out trajectories are correct")
    write_jsonl(odd, [rows[0], rows[0]])
    assert "share trajectory_id 't-20'" in refused(odd, set())
    write_jsonl(odd, [])
    assert refused(odd, set()).startswith(f"{odd}: no held-out trajectories")
    write_jsonl(odd, [{key: value for key, value in rows[0].items() if key != "answer"}])
    assert f"{odd}:1: no key 'answer'" in refused(odd, set())
    assert "no such file" in refused(tmp_path / "none.jsonl", set())


def test_nothing_is_read_where_nothing_is_held_out() -> None:
    assert read_held_out(None, SETTINGS.model_copy(update={"epoch_questions": 0}), set()) == []
