"""From raw rows to Problem rows: hub data sets at a commit, choices with letters, repeats.

Shared by training problems and suites (`glow.data.problems`, `glow.suites.task_problems`). A Problem row is
what the other stages read; which keys it may have stands at `problem`.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator

from glow.errors import UserError
from glow.files.jsonl import Record, problem_id
from glow.files.rows import Row, text

LETTERS = string.ascii_uppercase
_LISTED = re.compile(r"^[ \t]*\(?([A-Z])[.)][ \t]+(.*\S)[ \t]*$", re.MULTILINE)
_BOXED = re.compile(r"\s*\\boxed\{([^{}]*)\}\s*")


def hub_rows(dataset: str, revision: str, config: str | None, split: str) -> Iterator[Row]:
    """The rows of one configuration and split of a hub data set at a commit; nothing of it is executed.

    Raises:
        UserError: it cannot be fetched.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        rows = load_dataset(dataset, config, split=split, revision=revision)
    except (OSError, ValueError, DatasetsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"hub data set {dataset} ({config or 'default'}, {split}) at {revision[:8]} cannot be read: "
            f"{reason}; check name and network, or give the rows as a local `file`"
        ) from None
    for number, record in enumerate(rows, start=1):
        yield Row(f"{dataset}/{config or 'default'}/{split}:{number}", record)


def problem(
    source: str,
    question: str,
    answer: str,
    *,
    family: str | None = None,
    choices: list[str] | None = None,
    format: str = "boxed",
    solution: object = None,
) -> Record:
    """A Problem row.

    Format `boxed`: the model writes the answer; where there are `choices`, `question` lists them and
    `answer` is a letter (`answer_type`: choice), and the full text of the choice counts as well. Format
    `choice`: the likeliest choice is the answer; `question` does not list them.
    """
    chosen = "\n" + "\n".join(choices or []) if format == "choice" else ""
    row: Record = {
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
    return row | ({"solution": solution} if isinstance(solution, str) else {})


def with_choices(question: str, choices: Iterable[str]) -> str:
    """The question with its choices (26 at most) under it, one a line: `A. ...`."""
    lettered = (f"{LETTERS[place]}. {choice}" for place, choice in enumerate(choices))
    return "\n".join([question, *lettered])


def listed_choices(question: str) -> list[str]:
    """The choices that stand at the end of a question, a line each, as `A. ...` or `(A) ...`; or none."""
    found = [(match[1], match[2]) for match in _LISTED.finditer(question)]
    starts = [place for place, (letter, _) in enumerate(found) if letter == "A"]
    last = found[starts[-1] :] if starts else []
    in_order = [letter for letter, _ in last] == list(LETTERS[: len(last)])
    return [choice for _, choice in last] if len(last) > 1 and in_order else []


def choices_of(row: Row, key: str, answer_key: str) -> tuple[list[str], str]:
    """The texts of the choices under `key` and the letter of the right one (A for the first).

    The answer may be a letter, a label of the row's own (ARC has 1 to 4), or an index from 0.

    Raises:
        UserError: these are no choices, or the answer names none of them.
    """
    found = row.record.get(key)
    labels, choices = (found.get("label"), found.get("text")) if isinstance(found, dict) else (None, found)
    if (
        not isinstance(choices, list)
        or not 2 <= len(choices) <= len(LETTERS)
        or not all(isinstance(choice, str) for choice in choices)
    ):
        raise UserError(f"{row.place}: {key!r} must be a list of 2 to {len(LETTERS)} texts")
    answer = row.record.get(answer_key)
    names = labels if isinstance(labels, list) else list(LETTERS[: len(choices)])
    position = answer if isinstance(answer, int) else names.index(answer) if answer in names else -1
    if isinstance(answer, bool) or not 0 <= position < len(choices):
        raise UserError(f"{row.place}: answer {answer!r} names none of the {len(choices)} choices")
    return choices, LETTERS[position]


def stated(row: Row, key: str, remedy: str) -> str:
    r"""The gold answer under `key`; one that is nothing but a box (`\boxed{204}`) is what the box holds."""
    answer = text(row, key, remedy)
    boxed = _BOXED.fullmatch(answer)
    return boxed[1].strip() if boxed else answer


def repeats(problems: Iterable[Record]) -> dict[str, int]:
    """How many rows repeat an earlier one, and how many rows' question has more than one answer."""
    answers: dict[str, Counter[str]] = {}
    for row in problems:
        answers.setdefault(row["problem_id"], Counter())[row["answer"]] += 1
    disputed = [found for found in answers.values() if len(found) > 1]
    return {
        "exact repeats": sum(found.total() - len(found) for found in answers.values()),
        "rows whose question has two answers": sum(found.total() for found in disputed),
    }
