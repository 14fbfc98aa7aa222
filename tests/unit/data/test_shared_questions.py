"""Own trajectories whose questions are in a suite, and the look at the first row of their files."""

import json
from pathlib import Path

import pytest

from glow import cli
from glow.data.problem_rows import problem
from glow.files.jsonl import read_jsonl, write_jsonl

OWN = """
name: own
seeds: [0]
trajectories: {{files: [{file}], fields: {{question: q}}}}
student: scratch
suites: {{gsm8k: {{file: {suite}}}}}
sft: {{}}
evaluation: {{max_tokens: 8}}
"""


def written(tmp_path: Path) -> tuple[Path, Path]:
    """Six rows on three questions, and a suite that has one of these, in other letters."""
    rows = [
        {"question": question, "answer": "1", "response": f"{sample} \\boxed{{1}}"}
        for question in ("What is a?", "What is b?", "What is c?")
        for sample in (1, 2)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    write_jsonl(tmp_path / "suite.jsonl", [problem("suite", "what is  B?", "1")])
    return tmp_path / "rows.jsonl", tmp_path / "suite.jsonl"


def run(tmp_path: Path, *words: str) -> int:
    rows, suite = written(tmp_path)
    output = ["--output", str(tmp_path / "out.jsonl"), "--grpo-output", str(tmp_path / "grpo.jsonl")]
    return cli.main(["import", "--files", str(rows), "--suites", str(suite), *output, *words])


def test_they_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 2
    assert "rows.jsonl:3: this question is in suite 'suite' too" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_or_dropped_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither trained on, nor asked by GRPO."""
    assert run(tmp_path, "--shared-questions=drop", "--grpo", "1") == 0
    said = (
        "1 questions kept for GRPO; none shared with a suite (2 rows on 1 questions of suites were dropped)"
    )
    assert f"2 of 6 trajectories on 1 questions; {said}" in capsys.readouterr().out
    kept = {row["question"] for row in read_jsonl(tmp_path / "out.jsonl")}
    asked = {row["question"] for row in read_jsonl(tmp_path / "grpo.jsonl")}
    assert kept | asked == {"What is a?", "What is c?"}
    assert not kept & asked
    facts = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["facts"]
    assert facts["rows_of_suites_dropped"] == facts["rows_of_grpo_questions"] == 2
    assert facts["questions_of_suites_dropped"] == 1


def test_check_looks_at_the_first_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, suite = written(tmp_path)
    config = tmp_path / "own.yaml"
    config.write_text(OWN.format(file=rows, suite=suite))
    assert cli.main(["check", str(config)]) == 2
    said = "no key 'q'; the keys are question, answer, response; map it with trajectories.fields.question"
    assert f"{config}: trajectories: {rows}:1: {said}" in capsys.readouterr().err
    config.write_text(config.read_text().replace("question: q", ""))
    assert cli.main(["check", str(config)]) == 0
