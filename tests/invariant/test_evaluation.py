"""An evaluation's archive and scores depend neither on batches and shards, nor on a kill."""

import json
import random
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glow.config import AnswerSettings, Evaluation, EvaluationSettings, Pretrain
from glow.config.options import flags
from glow.evaluation.answer import answer
from glow.evaluation.evaluate import evaluate
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.miniature.families import as_choice, draw_problems

BATCHES = (1, 7, 256)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, trained until its greedy answers differ and stop by themselves."""
    from glow.miniature.pretrain import pretrain

    path = tmp_path_factory.mktemp("models") / "small"
    size = {"hidden_size": 32, "layers": 2, "heads": 2}
    families = ["boolean", "turns", "membership"]
    phases = {"all": {"steps": 150, "learning_rate": 0.01}}
    pretrain(path, Pretrain(role="teacher", families=families, phases=phases, batch_size=8, **size))
    return path


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two boxed suites of 9 and 8 questions, and one of choices: no batch size divides them evenly."""
    directory = tmp_path_factory.mktemp("suites")
    rows = {
        "boolean": draw_problems(["boolean"], 9, 1)[0],
        "turns": draw_problems(["turns"], 8, 1)[0],
        "counting": [
            as_choice(problem, random.Random(0)) for problem in draw_problems(["membership"], 5, 1)[0]
        ],
    }
    for name, problems in rows.items():
        write_jsonl(directory / f"{name}.jsonl", problems)
    return [directory / f"{name}.jsonl" for name in rows]


@pytest.mark.parametrize(("temperature", "samples"), [(0.0, 1), (1.2, 3)], ids=["greedy", "sampled"])
def test_batch_size_changes_no_byte(
    model: Path, suites: list[Path], tmp_path: Path, temperature: float, samples: int
) -> None:
    for batch in BATCHES:
        settings = Evaluation(
            max_tokens=64, temperature=temperature, samples=samples, batch_size=batch, entropy_samples=12
        )
        evaluate(model, suites, tmp_path / str(batch), EvaluationSettings(evaluation=settings, seed=5))
    for name in ("samples.jsonl.gz", "scores.json"):
        contents = [(tmp_path / str(batch) / name).read_bytes() for batch in BATCHES]
        assert contents[0] == contents[1] == contents[2]
    rows = [row for row in read_jsonl(tmp_path / "7" / "samples.jsonl.gz") if row["format"] == "boxed"]
    assert len(rows) == 17 * samples
    assert len({row["response_tokens"] for row in rows}) > 2  # Rows of one batch end at different times.
    assert len({row["response"] for row in rows}) > 3


def test_the_order_of_the_suites_changes_no_answer(model: Path, suites: list[Path], tmp_path: Path) -> None:
    """Each sample's randomness is made from (seed, question, index), not from its place."""
    settings = Evaluation(max_tokens=64, temperature=1.2, samples=2, batch_size=7)
    answers = []
    for name, files in (("one", suites), ("other", suites[::-1]), ("alone", suites[1:2])):
        evaluate(model, files, tmp_path / name, EvaluationSettings(evaluation=settings, seed=5))
        rows = read_jsonl(tmp_path / name / "samples.jsonl.gz")
        answers.append(
            {(row["problem_id"], row["sample_index"]): row["response"] for row in rows if "response" in row}
        )
    assert answers[0] == answers[1]
    assert answers[2].items() <= answers[0].items()


SAMPLED = Evaluation(max_tokens=64, temperature=1.2, samples=3, batch_size=7, entropy_samples=12)


@pytest.fixture(scope="module")
def whole(model: Path, suites: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an evaluation in one go leaves."""
    output = tmp_path_factory.mktemp("whole")
    evaluate(model, suites, output, EvaluationSettings(evaluation=SAMPLED, seed=5))
    return results(output)


def results(output: Path) -> dict[str, bytes]:
    files = [file for file in output.rglob("*") if file.is_file() and file.name != "manifest.json"]
    return {str(file.relative_to(output)): file.read_bytes() for file in files}


def test_shards_change_no_byte(
    model: Path, suites: list[Path], tmp_path: Path, whole: dict[str, bytes]
) -> None:
    other = SAMPLED.model_copy(update={"batch_size": 4})
    for shard in (2, 0, 1):
        settings, note = AnswerSettings(evaluation=other, seed=5), tmp_path / "answers" / f"{shard}.json"
        answer(model, suites, note, settings, shard=shard, shards=3)
        note.unlink()  # as Snakemake does
    evaluate(model, suites, tmp_path, EvaluationSettings(evaluation=SAMPLED, seed=5))
    assert results(tmp_path) == whole


DIES = """
import os, signal, sys
from glow import cli
from glow.files.kept_rows import KeptRows

left, keep = int(sys.argv[1]), KeptRows.append

def dies(kept, row):
    global left
    keep(kept, row)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

KeptRows.append = dies
cli.main(sys.argv[2:])
"""
"""`glow`, killed when it has kept so many answers."""


@pytest.mark.parametrize("count", [1, 20, 53])
def test_a_killed_process_goes_on_and_ends_in_the_same_bytes(
    model: Path, suites: list[Path], tmp_path: Path, whole: dict[str, bytes], count: int
) -> None:
    """Of 56 answers, the last 5 of which are choices."""
    settings = EvaluationSettings(evaluation=SAMPLED, seed=5)
    words = ["evaluate", "--model", str(model), "--output", str(tmp_path), *shlex.split(flags(settings))]
    command = [sys.executable, "-c", DIES, str(count), *words, "--suites", *map(str, suites)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    evaluate(model, suites, tmp_path, settings)
    assert results(tmp_path) == whole
    assert json.loads((tmp_path / "manifest.json").read_text())["facts"]["reused"] == count
