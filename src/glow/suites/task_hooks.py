"""What the task files of glow/suites call by `!function`: rows, the user's turn, and the verdict.

For lm-evaluation-harness's own command line and library, with any of its models; our evaluation stage
builds its tasks from suite files (`glow.evaluation.harness`). Problems, prompt and verdicts are the same.
"""

import json
from functools import cache
from typing import Any

from datasets import Dataset

from glow.config import Suite, Verification
from glow.config.options import validated
from glow.data.choices import LETTERS
from glow.files.jsonl import Record
from glow.files.records import Problem
from glow.models.prompts import PAPER, problem_messages
from glow.suites.scorers import judge_samples
from glow.suites.task_problems import task_problems
from glow.suites.tasks import read_task
from glow.verifier.verify import Verifier

SETTINGS = ("file", "data_dir", "shots_file", "problems", "seed")
"""Settings of a suite that `lm_eval --metadata '{"data_dir": ...}'` may give; and `shots`, a number."""


class SampledText(str):
    """A response as lm-eval handles it, that remembers why it ended."""

    finish_reason: str | None

    def __new__(cls, text: str, finish_reason: str | None) -> "SampledText":
        made = super().__new__(cls, text)
        made.finish_reason = finish_reason
        return made


def rows(suite: str, **facts: Any) -> dict[str, Dataset]:
    """The problems of a task, as its split; `facts` are its metadata and what the command line adds.

    Raises:
        UserError: a setting is wrong, or the rows cannot be read.
    """
    given = {key: facts[key] for key in SETTINGS if key in facts}
    if isinstance(facts.get("shots"), int):  # The file's own is a mapping, and stays with the file.
        given["shots"] = facts["shots"]
    problems, _ = task_problems(suite, validated(Suite, given, "--metadata {}"))
    task = read_task(suite)
    return {task.hub.split if task.hub else "test": Dataset.from_list([_document(row) for row in problems])}


def _document(row: Problem) -> Record:
    """A problem as a document: the columns that task files name, and the whole row as JSON."""
    return {
        "problem_id": row["problem_id"],
        "question": row["question"],
        "answer": row["answer"],
        "prompt": row.get("prompt", ""),
        "letters": list(LETTERS[: len(row.get("choices", []))]),
        "row": json.dumps(row),
    }


def user_turn(document: Record) -> str:
    """The question and, unless the task leaves it out, the paper's instruction."""
    return problem_messages(json.loads(document["row"]), PAPER)[-1]["content"]


def judge(document: Record, results: list[str]) -> dict[str, float]:
    """lm-eval's `process_results`: whether the response is correct, truncated (where known), unparsed."""
    problem = json.loads(document["row"])
    response = results[0]
    finish_reason = response.finish_reason if isinstance(response, SampledText) else None
    verdict = judge_samples(problem, [(response, finish_reason)], _verifier())[0].verdict
    return {
        "accuracy": float(verdict == "correct"),
        "truncated": float(verdict == "truncated"),
        "unparsed": float(verdict == "unparsed"),
    }


@cache
def _verifier() -> Verifier:
    """One verifier for the process: its worker starts when it is first needed, and ends with the process."""
    return Verifier(Verification())
