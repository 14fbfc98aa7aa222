"""The trajectories stage: shards, resumption after a kill, and what is refused."""

import json
import os
import signal
import time
from pathlib import Path
from typing import ClassVar

import pytest

from glow.config import GenerateSettings, Prompt, Sampling
from glow.data import generate as stage
from glow.data.generate import generate
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.files.records import trajectory_id
from glow.files.stopping import Stopped, listen
from glow.models.sampling import Completion, OnDone, Request

SAMPLING = Sampling(max_tokens=50, samples=3, seed=5)


class FakeEngine:
    """Answers the question with the sample's key; ends like a killed process after `lives` responses."""

    asked: ClassVar[list[Request]] = []
    lives = 10**9
    thought_open = False
    device = "cpu"

    def generate(self, requests: list[Request], on_done: OnDone) -> list[Completion]:
        completions = []
        # In an order of its own, as batches by length are.
        for index in reversed(range(len(requests))):
            if FakeEngine.lives == 0:
                raise KeyboardInterrupt
            FakeEngine.lives -= 1
            FakeEngine.asked.append(requests[index])
            seed, problem, sample = requests[index].key
            text = f"{requests[index].messages[-1]['content']} {seed}/{problem}/{sample} £\u2028"
            reason = "length" if sample == 0 else "stop"
            completions.append(Completion(text, [1] * (sample + 2), 7, reason, self.thought_open))
            on_done(index, completions[-1])
        return completions[::-1]

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> type[FakeEngine]:
    monkeypatch.setattr(stage, "load_engine", lambda *given, **trust: FakeEngine())
    monkeypatch.setattr(FakeEngine, "asked", [])
    monkeypatch.setattr(FakeEngine, "lives", 10**9)
    return FakeEngine


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    rows = [
        {"problem_id": f"p-{n}", "question": f"Q{n}", "answer": str(n), "family": "f", "format": "boxed"}
        for n in range(5)
    ]
    write_jsonl(path, rows)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "teacher"
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "qwen2"}')
    return path


def run(
    problems: Path, model: Path, output: Path, sampling: Sampling = SAMPLING, shard: int = 0, shards: int = 1
) -> Path:
    settings = GenerateSettings(sampling=sampling, prompt=Prompt(instruction="Go."))
    generate(problems, model, output, settings, shard=shard, shards=shards)
    return output


def test_rows_are_trajectories(problems: Path, model: Path, tmp_path: Path) -> None:
    rows = list(read_jsonl(run(problems, model, tmp_path / "out.jsonl.gz")))
    assert [(row["problem_id"], row["sample_index"]) for row in rows] == [
        (f"p-{n}", index) for n in range(5) for index in range(3)
    ]
    text = "Q1\nGo. 5/p-1/2 £\u2028"
    assert rows[5] == {
        "trajectory_id": trajectory_id("p-1", "teacher", 5, 2, text),
        "problem_id": "p-1",
        "family": "f",
        "question": "Q1",
        "answer": "1",
        "response": text,
        "generator": "teacher",
        "seed": 5,
        "sample_index": 2,
        "finish_reason": "stop",
        "prompt_tokens": 7,
        "response_tokens": 4,
    }


def test_a_row_says_that_the_prompt_opened_a_thought(
    problems: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "thought_open", True)
    rows = list(read_jsonl(run(problems, model, tmp_path / "out.jsonl.gz")))
    assert {row["thought_open"] for row in rows} == {True}


def test_the_text_of_a_template_is_part_of_the_run(
    problems: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template, output = tmp_path / "own.jinja", tmp_path / "out.jsonl"
    settings = GenerateSettings(sampling=SAMPLING, prompt=Prompt(chat_template=str(template)))
    for text in ("one", "two"):
        template.write_text(text)
        FakeEngine.lives = 5
        with pytest.raises(KeyboardInterrupt):
            generate(problems, model, output, settings, shard=0, shards=1)
    assert "of another run (input 3 (own.jinja) has changed)" in capsys.readouterr().err


def test_a_template_that_is_not_there_is_refused(problems: Path, model: Path, tmp_path: Path) -> None:
    settings = GenerateSettings(sampling=SAMPLING, prompt=Prompt(chat_template="none.jinja"))
    with pytest.raises(UserError, match=r"none\.jinja: cannot be read as a chat template"):
        generate(problems, model, tmp_path / "out.jsonl", settings, shard=0, shards=1)


def test_manifest_and_closing_line(
    problems: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(problems, model, tmp_path / "out.jsonl.gz")
    manifest = json.loads((tmp_path / "out.jsonl.gz.manifest.json").read_text())
    # Of 3 samples one is truncated; they have 2, 3 and 4 tokens.
    expected = {"trajectories": 15, "tokens": 45, "truncated": 5, "resumed": 0}
    assert expected.items() <= manifest["facts"].items()
    line = capsys.readouterr().out
    assert line.startswith(f"{output}: 15 trajectories of 5 problems, 45 tokens, ")
    assert line.endswith("33.3% truncated\n")


def test_shards_share_the_problems_and_change_nothing(problems: Path, model: Path, tmp_path: Path) -> None:
    whole = list(read_jsonl(run(problems, model, tmp_path / "whole.jsonl.gz")))
    shards = [
        list(read_jsonl(run(problems, model, tmp_path / f"{k}.jsonl.gz", shard=k, shards=2))) for k in (0, 1)
    ]
    assert [row["problem_id"] for row in shards[0]] == ["p-0"] * 3 + ["p-2"] * 3 + ["p-4"] * 3
    assert sorted(shards[0] + shards[1], key=lambda row: row["trajectory_id"]) == sorted(
        whole, key=lambda row: row["trajectory_id"]
    )


def test_a_shard_without_problems_is_empty(
    problems: Path, model: Path, tmp_path: Path, fake_engine: type[FakeEngine]
) -> None:
    assert list(read_jsonl(run(problems, model, tmp_path / "7.jsonl.gz", shard=7, shards=9))) == []
    assert fake_engine.asked == []


@pytest.mark.parametrize("lives", [0, 1, 7, 14, 15])
def test_a_killed_shard_goes_on_where_it_was(
    problems: Path, model: Path, tmp_path: Path, fake_engine: type[FakeEngine], lives: int
) -> None:
    expected = run(problems, model, tmp_path / "expected.jsonl.gz").read_bytes()
    output = tmp_path / "out.jsonl.gz"
    fake_engine.lives, fake_engine.asked = lives, []
    if lives < 15:
        with pytest.raises(KeyboardInterrupt):
            run(problems, model, output)
        assert not output.exists()
    fake_engine.lives = 10**9
    # The batch size has no part in what is sampled: a run that ran out of memory may go on with less.
    run(problems, model, output, SAMPLING.model_copy(update={"batch_size": 2}))
    assert output.read_bytes() == expected
    assert len(fake_engine.asked) == len({request.key for request in fake_engine.asked}) == 15
    assert not list(tmp_path.glob("out*.partial*"))


def test_a_shard_that_is_asked_to_stop_keeps_its_responses(
    problems: Path,
    model: Path,
    tmp_path: Path,
    fake_engine: type[FakeEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = run(problems, model, tmp_path / "expected.jsonl.gz").read_bytes()

    def decode(engine: FakeEngine, requests: list[Request], on_done: OnDone) -> None:
        with pytest.raises(KeyboardInterrupt):
            sample(engine, requests, on_done)
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(6000):  # a batch that takes long
            time.sleep(0.01)

    sample, output = FakeEngine.generate, tmp_path / "out.jsonl.gz"
    fake_engine.lives = 4
    with (
        monkeypatch.context() as patch,
        listen(),
        pytest.raises(Stopped, match=r"kept in .*out.jsonl.gz.partial"),
    ):
        patch.setattr(FakeEngine, "generate", decode)
        run(problems, model, output)
    assert not output.exists()
    fake_engine.lives, fake_engine.asked = 10**9, []
    assert run(problems, model, output).read_bytes() == expected
    assert len(fake_engine.asked) == 15 - 4


def test_a_torn_last_line_is_sampled_again(
    problems: Path, model: Path, tmp_path: Path, fake_engine: type[FakeEngine]
) -> None:
    expected = run(problems, model, tmp_path / "expected.jsonl.gz").read_bytes()
    output, partial = tmp_path / "out.jsonl.gz", tmp_path / "out.jsonl.gz.partial.jsonl"
    fake_engine.lives = 4
    with pytest.raises(KeyboardInterrupt):
        run(problems, model, output)
    partial.write_bytes(partial.read_bytes()[:-20])
    fake_engine.lives, fake_engine.asked = 10**9, []
    assert run(problems, model, output).read_bytes() == expected
    assert len(fake_engine.asked) == 15 - 3


@pytest.mark.parametrize(("samples", "asked"), [(5, 25 - 7), (2, 10 - 4)])
def test_a_run_of_more_or_fewer_samples_keeps_those_that_it_has(
    problems: Path, model: Path, tmp_path: Path, fake_engine: type[FakeEngine], samples: int, asked: int
) -> None:
    """Killed after all three of problems 4 and 3, and the last of problem 2: 4 with an index below 2."""
    fake_engine.lives = 7
    with pytest.raises(KeyboardInterrupt):
        run(problems, model, tmp_path / "out.jsonl.gz")
    fake_engine.lives, fake_engine.asked = 10**9, []
    other = SAMPLING.model_copy(update={"samples": samples})
    resumed = run(problems, model, tmp_path / "out.jsonl.gz", other)
    assert len(fake_engine.asked) == asked
    assert resumed.read_bytes() == run(problems, model, tmp_path / "whole.jsonl.gz", other).read_bytes()


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("settings", "sampling.temperature was 1.0, is 0.5"),
        ("problems", "input 1 (problems.jsonl) has changed"),
        ("model", "input 2 (teacher) has changed"),
    ],
)
def test_responses_of_another_run_are_discarded(
    problems: Path, model: Path, tmp_path: Path, fake_engine: type[FakeEngine], what: str,
    changed: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output, sampling = tmp_path / "out.jsonl.gz", SAMPLING
    fake_engine.lives = 4
    with pytest.raises(KeyboardInterrupt):
        run(problems, model, output)
    if what == "settings":
        sampling = SAMPLING.model_copy(update={"temperature": 0.5})
    elif what == "problems":
        write_jsonl(problems, [row | {"answer": "0"} for row in read_jsonl(problems)])
    else:
        (model / "config.json").write_text('{"model_type": "qwen2"} ')
    fake_engine.lives, fake_engine.asked = 10**9, []
    run(problems, model, output, sampling)
    assert len(fake_engine.asked) == 15
    assert f"of another run ({changed}); starting afresh" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"problem_id": "p", "question": "q", "answer": "1"}] * 2, "records 1 and 2 share problem_id 'p'"),
        ([{"problem_id": "p", "question": "q"}], "problems.jsonl:1: no key 'answer'"),
        (
            [{"problem_id": "p", "question": "q", "answer": 3}],
            "problems.jsonl:1: 'answer': input should be a valid string, found 3",
        ),
    ],
)
def test_malformed_problems_are_refused(
    rows: list[dict], message: str, model: Path, tmp_path: Path, fake_engine: type[FakeEngine]
) -> None:
    write_jsonl(tmp_path / "problems.jsonl", rows)
    with pytest.raises(UserError, match=message):
        run(tmp_path / "problems.jsonl", model, tmp_path / "out.jsonl")
    assert fake_engine.asked == []


def test_a_shard_that_is_none_is_refused(problems: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--shard: 2 is not among the 2 shards 0 to 1"):
        run(problems, model, tmp_path / "out.jsonl", shard=2, shards=2)


def test_a_path_without_a_model_is_refused(problems: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no model here"):
        run(problems, tmp_path / "nowhere", tmp_path / "out.jsonl")
    assert not list(tmp_path.glob("out*"))


def test_with_a_real_model_batches_and_shards_change_nothing(
    problems: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glow.models.engines import load_engine

    monkeypatch.setattr(stage, "load_engine", load_engine)
    sampling = SAMPLING.model_copy(update={"max_tokens": 10})
    whole = list(read_jsonl(run(problems, tiny_model, tmp_path / "whole.jsonl", sampling)))
    small = sampling.model_copy(update={"batch_size": 2})
    parts = [
        list(read_jsonl(run(problems, tiny_model, tmp_path / f"{k}.jsonl", small, k, 2))) for k in (0, 1)
    ]
    assert {row["trajectory_id"]: row for part in parts for row in part} == {
        row["trajectory_id"]: row for row in whole
    }
    assert len(whole) == 15
    assert all(row["response_tokens"] <= 10 and row["prompt_tokens"] > 3 for row in whole)
