"""The functions that the task files of glow/suites name by `!function`: documents, sample filter, verdicts.

lm-evaluation-harness calls them with any of its models: inside `glow evaluate`, from its own command line, or
as a library.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value

from glow.config import Prompt, Suite, Verification
from glow.config.options import validated
from glow.data.choices import LETTERS
from glow.files.jsonl import Record
from glow.files.records import Problem
from glow.models.prompts import PAPER, problem_messages
from glow.models.sampling import Completion
from glow.suites.files import read_suite
from glow.suites.scorers import Answered, judge_samples
from glow.suites.task_problems import task_problems
from glow.suites.tasks import read_task
from glow.verifier.verify import Verifier

SETTINGS = ("file", "data_dir", "shots_file", "problems", "seed")
"""Settings of a suite that `lm_eval --metadata '{"data_dir": ...}'` may give; and `shots`, a number."""

_COLUMNS = Features(
    {
        "problem_id": Value("string"),
        "asked": Value("string"),
        "continuations": List(Value("string")),
        "is_raw": Value("bool"),
        "answer": Value("string"),
        "row": Value("string"),
    }
)
"""A document: the user's turn or, where `is_raw`, the text before the letter; the whole problem as JSON."""


class SampledText(str):
    """A response as lm-eval handles it, with the completion that it comes from.

    lm-eval makes some of its own, without one: it gives a gold the type of the response it is compared with.
    """

    completion: Completion | None

    def __new__(cls, text: object, completion: Completion | None = None) -> "SampledText":
        made = super().__new__(cls, text)
        made.completion = completion
        return made


# --- documents ------------------------------------------------------------------------------------


def rows(suite: str, instruction: str = PAPER.instruction, **facts: Any) -> dict[str, Dataset]:
    """The problems of a built-in task, as its split.

    Args:
        suite: the task's name.
        instruction: what follows each question that is answered in a box.
        facts: the task's metadata, with the command line's additions.

    Raises:
        UserError: a setting is wrong, or the rows cannot be read.
    """
    given = {key: facts[key] for key in SETTINGS if key in facts}
    if isinstance(facts.get("shots"), int):  # The file's own is a mapping, and stays with the file.
        given["shots"] = facts["shots"]
    problems, _ = task_problems(suite, validated(Suite, given, "--metadata {}"))
    task = read_task(suite)
    return {task.hub.split if task.hub else "test": _documents(problems, instruction)}


def suite_rows(suite_file: str = "", instruction: str = PAPER.instruction, **_: Any) -> dict[str, Dataset]:
    """The problems of a file that `glow suite` wrote, as split `test`.

    Raises:
        UserError: the file is missing or is not a suite.
    """
    return {"test": _documents(read_suite(Path(suite_file)), instruction)}


def _documents(problems: Iterable[Problem], instruction: str) -> Dataset:
    return Dataset.from_list([_document(problem, instruction) for problem in problems], _COLUMNS)


def _document(problem: Problem, instruction: str) -> Record:
    is_raw, continuations = "prompt" in problem, []
    if problem["format"] == "choice":
        choices = problem["choices"]
        continuations = [f" {letter}" for letter in LETTERS[: len(choices)]] if is_raw else choices
        instruction = ""
    asked = problem_messages(problem, Prompt(instruction=instruction))[-1]["content"]
    return {
        "problem_id": problem["problem_id"],
        "asked": problem["prompt"] if is_raw else asked,
        "continuations": continuations,
        "is_raw": is_raw,
        "answer": problem["answer"],
        "row": json.dumps(problem),
    }


# --- results --------------------------------------------------------------------------------------


def all_samples(responses: Sequence[list[str]], documents: Sequence[Record]) -> Sequence[list[str]]:
    """lm-eval's filter: every sample of a question is judged, not the first alone."""
    return responses


def judge_boxed(
    document: Record, results: list[list[str]], verifier: Verifier | None = None
) -> dict[str, Any]:
    """lm-eval's `process_results` where an answer is written: the verdicts of a question's samples.

    Returns:
        accuracy, truncated (where it is known) and unparsed: the shares of samples with that verdict.
        judgements: for each sample its verdict, the extracted answer, where it was found, the reason.
    """
    problem, samples = json.loads(document["row"]), results[0]
    answered = [_answered(response) for response in samples]
    judgements = judge_samples(problem, answered, verifier or _default_verifier())
    verdicts = Counter(judgement.verdict for judgement in judgements)
    return {
        "accuracy": verdicts["correct"] / len(samples),
        "truncated": verdicts["truncated"] / len(samples),
        "unparsed": verdicts["unparsed"] / len(samples),
        "judgements": [
            {
                "verdict": judgement.verdict,
                "extracted": judgement.extracted,
                "extracted_from": judgement.extracted_from,
                "reason": judgement.reason,
                **({"leniency": judgement.leniency} if judgement.leniency else {}),
            }
            for judgement in judgements
        ],
    }


def _answered(response: str) -> Answered:
    """The response with what is known of its end and of its beginning; of another engine's, nothing."""
    if isinstance(response, SampledText) and response.completion is not None:
        return response, response.completion.finish_reason, response.completion.thought_open
    return response, None, False


def judge_choice(document: Record, results: list[tuple[float, bool]]) -> dict[str, Any]:
    """lm-eval's `process_results` where choices are scored: the likeliest counts, the first if several tie.

    Args:
        results: (log-likelihood, whether greedy decoding gives it) of each choice.

    Returns:
        accuracy and judgements, as `judge_boxed` has them.
    """
    likelihoods = [likelihood for likelihood, _ in results]
    chosen = LETTERS[likelihoods.index(max(likelihoods))]
    verdict = "correct" if chosen == document["answer"] else "wrong"
    judgement = {"extracted": chosen, "verdict": verdict, "reason": "the most likely choice"}
    return {"accuracy": float(verdict == "correct"), "judgements": [judgement]}


def count_verdicts(judgements: Iterable[list[Record]]) -> dict[str, int]:
    """lm-eval's aggregation of judgements: how many samples have each verdict."""
    return dict(Counter(judgement["verdict"] for own in judgements for judgement in own))


@cache
def _default_verifier() -> Verifier:
    """One verifier for the process: its worker starts when it is first needed, and ends with the process."""
    return Verifier(Verification())
