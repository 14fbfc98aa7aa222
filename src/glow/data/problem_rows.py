"""Make, read and check Problem rows, and get the gold answer from one.

The stages that ask questions read Problem rows, in training and in suites. Their keys are in
`glow.files.records.Problem`; problems come from `glow.data.problems` and `glow.suites.task_problems`.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from glow.files.jsonl import refuse_duplicates
from glow.files.records import Asked, GoldFacts, Problem, SuiteFormat, problem_id, read_records
from glow.files.user_rows import Row, text
from glow.verifier.equality import Gold

_BOXED = re.compile(r"\s*\\boxed\{([^{}]*)\}\s*")


def problem(
    source: str,
    question: str,
    answer: str,
    *,
    family: str | None = None,
    choices: list[str] | None = None,
    format: SuiteFormat = "boxed",
) -> Problem:
    """A Problem row.

    Format `boxed`: the model writes the answer; where there are `choices`, `question` lists them and
    `answer` is a letter (`answer_type`: choice), and the full text of the choice counts as well. Format
    `choice`: the likeliest choice is the answer; `question` does not list them.
    """
    chosen = "\n" + "\n".join(choices or []) if format == "choice" else ""
    row: Problem = {
        "problem_id": problem_id(source, question + chosen),
        "source": source,
        "family": family,
        "question": question,
        "answer": answer,
    }
    if choices:
        row["choices"] = choices
        if format == "boxed":
            row["answer_type"] = "choice"
    row["format"] = format
    return row


def stated(row: Row, key: str, remedy: str) -> str:
    r"""The gold answer under `key`; if it is nothing but a box (`\boxed{204}`), the content of the box."""
    answer = text(row, key, remedy)
    boxed = _BOXED.fullmatch(answer)
    return boxed[1].strip() if boxed else answer


def repeats(problems: Iterable[Problem]) -> dict[str, int]:
    """How many rows repeat an earlier one, and how many rows' question has more than one answer."""
    answers: dict[str, Counter[str]] = {}
    for row in problems:
        answers.setdefault(row["problem_id"], Counter())[row["answer"]] += 1
    disputed = [found for found in answers.values() if len(found) > 1]
    return {
        "exact repeats": sum(found.total() - len(found) for found in answers.values()),
        "rows whose question has two answers": sum(found.total() for found in disputed),
    }


def read_problems(path: Path) -> list[Problem]:
    """The problems of a JSON Lines file, in its order.

    Raises:
        UserError: the file is missing, a row is not a problem, or two rows share an id.
    """
    keys = ("problem_id", "question", "answer", "answer_type")
    problems = [problem for _, problem in read_records(path, Problem, keys)]
    refuse_duplicates(problems, "problem_id", path)
    return problems


def suite_name(path: Path) -> str:
    """The name of the suite in a file: its file name without .jsonl or .jsonl.gz."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def gold_facts(row: Asked) -> GoldFacts:
    """A row's facts about its gold answer besides its text; empty where the row gives no type."""
    facts: GoldFacts = {}
    if row.get("answer_type") is not None:
        if "choices" in row:
            facts["choices"] = row["choices"]
        facts["answer_type"] = row["answer_type"]
    return facts


def gold_of(row: Asked) -> Gold:
    """The gold answer of a boxed problem, with its type and the choices' texts where the row has them."""
    return Gold(row["answer"], row.get("answer_type"), tuple(row.get("choices") or ()))
