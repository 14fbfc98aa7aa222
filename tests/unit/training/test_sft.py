"""The SFT stage on a tiny model: its budget, its files, its errors, and a run killed on the way."""

import json
import os
import re
import shlex
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

from glow.cli import main
from glow.config import ObjectiveChoice, Prompt, Sft, SftSettings
from glow.config.options import flags
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.models.load import load_tokenizer
from glow.training import sft as stage
from glow.training import trainer as trainer_module
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
    ("budget", "samples", "all_samples", "batch_size", "steps"),
    [
        ("epochs", 10, 25, 4, 9),  # 3 epochs of 3 batches
        ("steps", 10, 25, 4, 21),  # 3 epochs of 7 batches
        ("steps", 10, 25, 8, 12),
        ("epochs", 8, 8, 8, 3),
    ],
)
def test_budget_of_steps(budget: str, samples: int, all_samples: int, batch_size: int, steps: int) -> None:
    sft = Sft(budget=budget, epochs=3, batch_size=batch_size)
    assert _optimiser_steps(samples, all_samples, sft) == steps


def test_leaves_model_history_and_log(tiny_model: Path, tmp_path: Path) -> None:
    run(trajectories(tmp_path / "data.jsonl", 10), tiny_model, tmp_path / "run")
    history = pd.read_parquet(tmp_path / "run/history.parquet")
    assert list(history.columns) == ["epoch", "trajectory_id", "verdict", "loss", "gain", "weight", "step"]
    assert history.groupby("epoch").size().to_dict() == {1: 10, 2: 10, 3: 10}
    assert history.groupby(["epoch", "step"]).size().tolist() == [4, 4, 2] * 3
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


def test_a_run_that_is_asked_to_stop_saves_and_ends_in_the_same_weights(
    tiny_model: Path, tmp_path: Path
) -> None:
    """The whole command, as a job has it: it saves where it was asked, which no setting had planned."""
    data = trajectories(tmp_path / "data.jsonl", 40)
    settings = SETTINGS.model_copy(update={"epochs": 9, "checkpoints": 0})
    options = flags(SftSettings(objective=GLOW, sft=settings, seed=0))
    output = tmp_path / "stopped"
    paths = f"--data {data} --all {data} --model {tiny_model} --output {output}"
    command = [sys.executable, "-m", "glow.cli", "sft", *shlex.split(f"{paths} {options}")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (output / "checkpoints").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 75, said
    (checkpoint,) = (output / "checkpoints").glob("checkpoint-*")
    step = checkpoint.name.removeprefix("checkpoint-")
    assert f"asked to stop (SIGUSR1): saved after step {step} of 90, in {output / 'checkpoints'}\n" in said
    assert not (output / "model").exists()
    subprocess.run(command, check=True, capture_output=True)
    assert json.loads((output / "manifest.json").read_text())["facts"]["resumed_from"] == checkpoint.name
    run(data, tiny_model, tmp_path / "whole", sft=settings)
    whole, stopped = (load_file(tmp_path / name / "model/model.safetensors") for name in ("whole", "stopped"))
    assert all((whole[name] == stopped[name]).all() for name in whole)
    histories = (pd.read_parquet(tmp_path / name / "history.parquet") for name in ("whole", "stopped"))
    pd.testing.assert_frame_equal(*histories, check_exact=True)


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


# What replays another run's weights


def replaying(data: Path, model: Path, output: Path, history: Path | None, how: str = "glow_mean") -> None:
    settings = SftSettings(objective=ObjectiveChoice(objective=how), sft=SETTINGS, seed=0)
    fine_tune(data, data, model, output, settings, replayed=history)


def test_a_control_replays_the_weights_of_a_finished_run(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both runs meet the same samples in the same steps; the control's weights are those of the table."""
    data = trajectories(tmp_path / "data.jsonl", 10)
    run(data, tiny_model, tmp_path / "glow")
    source = tmp_path / "glow/history.parquet"
    recorded = pd.read_parquet(source)
    same = ["epoch", "trajectory_id", "verdict", "step"]
    for how in ("glow_mean", "glow_permuted"):
        replaying(data, tiny_model, tmp_path / how, source, how)
        history = pd.read_parquet(tmp_path / how / "history.parquet")
        pd.testing.assert_frame_equal(history[same], recorded[same])
        for epoch in (1, 2, 3):
            own, others = (frame[frame["epoch"] == epoch]["weight"] for frame in (history, recorded))
            if how == "glow_mean":
                assert own.tolist() == pytest.approx([others.astype(float).mean()] * 10, rel=1e-7)
            else:
                assert sorted(own) == sorted(others)
    assert not history["weight"].equals(recorded["weight"])
    manifest = json.loads((tmp_path / "glow_permuted/manifest.json").read_text())
    assert str(source) in manifest["inputs"]
    assert manifest["settings"]["objective"] == {"objective": "glow_permuted", "of": "glow"}
    assert "10 trajectories, permuted weights, of = glow" in capsys.readouterr().out


def test_another_history_is_another_run(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = trajectories(tmp_path / "data.jsonl", 10)
    run(data, tiny_model, tmp_path / "glow")
    source = tmp_path / "glow/history.parquet"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "NoFinalCheckpoint", KillAt)
        replaying(data, tiny_model, tmp_path / "cut", source)
    changed = pd.read_parquet(source)
    changed.loc[changed["epoch"] == 2, "weight"] *= 2
    changed.to_parquet(source, index=False)
    replaying(data, tiny_model, tmp_path / "cut", source)
    assert "(history.parquet) has changed; replayed weights has changed); deleted" in capsys.readouterr().out
    replaying(data, tiny_model, tmp_path / "whole", source)
    whole, cut = (load_file(tmp_path / name / "model/model.safetensors") for name in ("whole", "cut"))
    assert all((whole[name] == cut[name]).all() for name in whole)


def test_a_history_of_other_trajectories_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    run(trajectories(tmp_path / "fewer.jsonl", 9), tiny_model, tmp_path / "glow")
    data, source = trajectories(tmp_path / "data.jsonl", 10), tmp_path / "glow/history.parquet"
    with pytest.raises(UserError, match=r"history\.parquet: has no weights for 1 of 10 samples: 't-9'"):
        replaying(data, tiny_model, tmp_path / "run", source)
    with pytest.raises(UserError, match=r"give its history\.parquet \(--replayed"):
        replaying(data, tiny_model, tmp_path / "run", None)


def test_a_checkpoint_with_a_ledger_of_another_form_is_not_resumed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = trajectories(tmp_path / "data.jsonl", 10)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "NoFinalCheckpoint", KillAt)
        patch.setattr(trainer_module, "FORM", 1)
        run(data, tiny_model, tmp_path / "cut")
    run(data, tiny_model, tmp_path / "cut")
    assert "of another run (form of the ledger was 1, is 2); deleted" in capsys.readouterr().out


# An objective of somebody else's


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


GOOD = {"trajectory_id": "t-0", "question": "1 plus 1 ?", "response": "\\boxed{2}", "verdict": "correct"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        *((json.dumps({**GOOD, key: 5}).encode(), f"{key}': input should be") for key in GOOD),
        *(
            (json.dumps({name: GOOD[name] for name in GOOD if name != key}).encode(), f"no key '{key}'; give")
            for key in GOOD
        ),
        (json.dumps({**GOOD, "verdict": "good"}).encode(), "'verdict': input should be 'correct', 'wrong'"),
        (json.dumps({**GOOD, "response": "a \ud800"}).encode(), "half of a surrogate pair"),
        (b"[1]", "expected a JSON object, found list"),
        ('{"question": "caf\xe9"}'.encode("latin-1"), "UTF-8"),
        (bytes(range(128, 256)), "UTF-8"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_named_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: bytes, said: str
) -> None:
    data, model = tmp_path / "arm.jsonl", tmp_path / "model"
    data.write_bytes(json.dumps({**GOOD, "trajectory_id": "t-1"}).encode() + b"\n" + written + b"\n")
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "qwen2"}')
    words = [
        "--data",
        str(data),
        "--all",
        str(data),
        "--model",
        str(model),
        "--output",
        str(tmp_path / "out"),
    ]
    assert main(["sft", *words, "--seed", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"glow sft: {data}:2: ")
    assert said.lower() in line.lower()
    assert not (tmp_path / "out").exists()


def test_a_directory_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing: no model here"):
        run(trajectories(tmp_path / "data.jsonl", 4), tmp_path / "nothing", tmp_path / "run")


# What is too long, and what a chat template does to a response


def with_long_ones(path: Path, count: int, long: int) -> Path:
    """Trajectories of which the last `long` have a thousand words more."""
    rows = list(read_jsonl(trajectories(path, count)))
    for row in rows[count - long :]:
        row["response"] = "so " * 1000 + row["response"]
    write_jsonl(path, rows)
    return path


def test_more_than_one_in_a_hundred_too_long_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    data = with_long_ones(tmp_path / "data.jsonl", 10, 1)
    with pytest.raises(
        UserError, match=r"1 of 10 samples \(10.0%\) .* max_length 128.*'t-9' \(\d{4}\)"
    ) as error:
        run(data, tiny_model, tmp_path / "run")
    assert not (tmp_path / "run/model").exists()
    holds_all = re.search(r"Set max_length to (\d+)", str(error.value))
    assert holds_all is not None
    run(data, tiny_model, tmp_path / "run", sft=SETTINGS.model_copy(update={"max_length": int(holds_all[1])}))
    assert json.loads((tmp_path / "run/manifest.json").read_text())["facts"]["samples"] == 10


@pytest.mark.parametrize(
    ("too_long", "trained", "steps", "said"), [("drop", 8, 6, "left out"), ("cut", 10, 9, "cut")]
)
def test_too_long_ones_are_counted_by_verdict(
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    too_long: str,
    trained: int,
    steps: int,
    said: str,
) -> None:
    changes = {"too_long": too_long, "too_long_limit": 0.2}
    with pytest.warns(UserWarning, match=r"2 of 10 samples \(20.0%\) are longer than max_length 128"):
        run(
            with_long_ones(tmp_path / "data.jsonl", 10, 2),
            tiny_model,
            tmp_path / "run",
            sft=SETTINGS.model_copy(update=changes),
        )
    facts = json.loads((tmp_path / "run/manifest.json").read_text())["facts"]
    assert facts["samples"] == trained
    # t-8 is right and t-9 wrong.
    assert facts["too_long"] == {"found": 2, "of": 10, "done": too_long, "correct": 1, "wrong": 1}
    shown = capsys.readouterr().out.splitlines()[-1]
    assert f"{steps} steps on {trained} trajectories" in shown  # 3 epochs of ceil(trained / 4) batches
    assert shown.endswith(f"; 2 too long and {said}")
    assert set(pd.read_parquet(tmp_path / "run/history.parquet").groupby("epoch").size()) == {trained}


def test_a_template_that_deletes_the_thought_is_refused_and_mended(tiny_model: Path, tmp_path: Path) -> None:
    """DeepSeek-R1-Distill's template drops what stands before </think>; TRL's for training keeps it."""
    rows = list(read_jsonl(trajectories(tmp_path / "data.jsonl", 4)))
    for row in rows:
        row["response"] = f"<think>\nWe add one.\n</think>\n\n{row['response']}"
    write_jsonl(tmp_path / "data.jsonl", rows)

    def tuned(output: str, template: str) -> None:
        prompt = Prompt(chat_template=template)
        settings = SftSettings(prompt=prompt, objective=GLOW, sft=SETTINGS, seed=0)
        fine_tune(tmp_path / "data.jsonl", tmp_path / "data.jsonl", tiny_model, tmp_path / output, settings)

    with pytest.raises(UserError) as error:
        tuned("broken", "deepseek_r1_distill")
    assert "chat template deepseek_r1_distill: 4 of 4 sample(s) would not be trained" in str(error.value)
    assert "'t-0' would" in str(error.value)
    tuned("mended", "chatml")
    assert (tmp_path / "mended/model").is_dir()


def test_a_template_that_fails_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    fails = tmp_path / "fails.jinja"
    fails.write_text("{{ messages[0]['content'] + 1 }}")
    settings = SftSettings(prompt=Prompt(chat_template=str(fails)), objective=GLOW, sft=SETTINGS, seed=0)
    data = trajectories(tmp_path / "data.jsonl", 2)
    with pytest.raises(UserError, match="chat template refuses the prompt: TypeError"):
        fine_tune(data, data, tiny_model, tmp_path / "run", settings)


def test_a_thought_that_the_template_opens_is_trained_as_it_is_sampled(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A response sampled after `<think>` does not repeat it: the prompt has it in training, too."""
    opens = tmp_path / "opens.jinja"
    opens.write_text(
        "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
        "{{- '<|im_end|>\\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif -%}"
    )
    prompt = Prompt(chat_template=str(opens))
    tokenizer = load_tokenizer(tiny_model, prompt)
    rows = list(read_jsonl(trajectories(tmp_path / "data.jsonl", 2)))
    rows[0]["response"] = "We add.</think>" + rows[0]["response"]
    rows[1]["response"] = "<think>\nWe add.</think>" + rows[1]["response"]
    made = stage._dataset(rows, prompt, tokenizer)  # type: ignore[arg-type]  # the keys that it needs
    said = [row["completion"][0]["content"] for row in made]
    assert said == ["<think>\n" + rows[0]["response"], rows[1]["response"]]
    settings = SftSettings(prompt=prompt, objective=GLOW, sft=SETTINGS, seed=0)
    write_jsonl(tmp_path / "data.jsonl", rows)
    fine_tune(tmp_path / "data.jsonl", tmp_path / "data.jsonl", tiny_model, tmp_path / "run", settings)
    write_jsonl(tmp_path / "data.jsonl", [row | {"response": "\\boxed{1}"} for row in rows])
    with pytest.raises(UserError, match=r"opens a thought .* 2 of 2 responses have no </think>: t-0, t-1"):
        fine_tune(tmp_path / "data.jsonl", tmp_path / "data.jsonl", tiny_model, tmp_path / "no", settings)
