"""The stage on suites that are asked or judged in ways of their own, and suite files it refuses."""

from pathlib import Path
from typing import Any

import pytest

from glow.config import Evaluation, EvaluationSettings, Prompt
from glow.data.problem_rows import gold_of
from glow.errors import UserError
from glow.evaluation.evaluate import evaluate
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.models.sampling import Completion, Request
from glow.suites.files import read_suite

PROMPT = Prompt(system="Be right.", instruction="Box it.")


class Recorder:
    """An engine that answers everything with one text."""

    device = "cpu"

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[Request] = []

    def generate(self, requests: list[Request], on_done: Any) -> list[Completion]:
        self.asked += requests
        return [Completion(self.text, [3, 4], 5, "stop") for _ in requests]

    def close(self) -> None:
        pass


def run(
    model: Path, folder: Path, rows: list[Record], engine: Recorder, monkeypatch: pytest.MonkeyPatch
) -> list[Record]:
    monkeypatch.setattr("glow.evaluation.model_under_test.load_engine", lambda *_, **__: engine)
    write_jsonl(folder / "mine.jsonl", rows)
    settings = Evaluation(max_tokens=8, entropy_samples=0)
    evaluate(
        model,
        [folder / "mine.jsonl"],
        folder / "out",
        EvaluationSettings(prompt=PROMPT, evaluation=settings, seed=0),
    )
    return list(read_jsonl(folder / "out" / "samples.jsonl.gz"))


def boxed(number: int, **more: object) -> Record:
    return {"problem_id": f"p-{number}", "question": f"Q{number}", "answer": "B", "format": "boxed"} | more


def test_a_row_may_leave_the_instruction_out(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Recorder("\\boxed{B}")
    run(tiny_model, tmp_path, [boxed(1), boxed(2, instruction=False)], engine, monkeypatch)
    assert [request.messages[-1]["content"] for request in engine.asked] == ["Q1\nBox it.", "Q2"]


def test_the_stage_knows_the_choices(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        boxed(1, choices=["the lung", "the heart"], answer_type="choice"),
        boxed(2, choices=["the heart", "the lung"], answer_type="choice"),
    ]
    judged = run(tiny_model, tmp_path, rows, Recorder("\\boxed{the heart}"), monkeypatch)
    assert [row["verdict"] for row in judged] == ["correct", "wrong"]
    assert gold_of(rows[0]).choices == ("the lung", "the heart")


@pytest.mark.extra("gym")
def test_a_row_may_name_its_scorer(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glow.suites.gym import draw

    rows = [row for row in draw(36, 1) if row["family"].startswith("chain_sum")]
    judged = run(tiny_model, tmp_path, rows, Recorder(f"\\boxed{{{rows[0]['answer']}.0}}"), monkeypatch)
    assert [row["verdict"] for row in judged] == ["correct", "wrong", "wrong"]
    assert judged[0]["reason"] == "reasoning-gym's scorer: 1"


def gym(**changes: object) -> Record:
    return boxed(1, scorer="gym", scorer_data={"family": "chain_sum", "level": 0, "metadata": {}} | changes)


def ifeval(**changes: object) -> Record:
    data = {"key": 1, "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]} | changes
    return boxed(1, scorer="ifeval", scorer_data=data)


def test_rows_with_all_that_their_scorers_need_are_read(tmp_path: Path) -> None:
    rows = [gym(), ifeval() | {"problem_id": "p-2"}]
    write_jsonl(tmp_path / "mine.jsonl", rows)
    assert read_suite(tmp_path / "mine.jsonl") == rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([boxed(1, scorer="mine")], "problem 'p-1': scorer 'mine' is unknown; known: gym, ifeval"),
        ([boxed(1, scorer=["gym"])], "problem 'p-1': scorer .* is unknown"),
        ([boxed(1, scorer="gym")], "'p-1': 'scorer_data' must hold family, level, metadata for scorer 'gym'"),
        ([gym(family="chain_sums")], "'p-1': gym family 'chain_sums' is unknown; did you mean 'chain_sum'"),
        ([gym(family=None)], "'p-1': gym family 'None' is unknown"),
        ([gym(level=3)], "'p-1': 'scorer_data' must have `level`, from 0 to 2, and `metadata`, a mapping"),
        (
            [gym(metadata=None)],
            "'p-1': 'scorer_data' must have `level`, from 0 to 2, and `metadata`, a mapping",
        ),
        ([ifeval(kwargs=None)], "'p-1': 'scorer_data' must list as many kwargs as instructions"),
        (
            [boxed(1, scorer="ifeval", scorer_data={"key": 1})],
            "'scorer_data' must hold key, instruction_id_list, kwargs for scorer 'ifeval'",
        ),
        ([boxed(1, prompt=3)], "'p-1': 'prompt' must be non-empty text, or be left out"),
        (
            [boxed(1, format="choice", choices=["a", "b"], prompt="")],
            "'p-1': 'prompt' must be non-empty text",
        ),
        (
            [
                {"problem_id": str(n), "question": "Q", "answer": "A", "format": "choice"}
                | {"choices": ["a", "b"]}
                | ({"prompt": "P"} if n else {})
                for n in (0, 1)
            ],
            "'prompt' must be in every row or in none",
        ),
    ],
)
def test_suites_that_are_refused(tmp_path: Path, rows: list[Record], message: str) -> None:
    write_jsonl(tmp_path / "mine.jsonl", rows)
    with pytest.raises(UserError, match=message):
        read_suite(tmp_path / "mine.jsonl")
