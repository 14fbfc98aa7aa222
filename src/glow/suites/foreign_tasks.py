"""The questions of a user's own task file of lm-evaluation-harness, as Problem rows.

lm-eval reads the file and its rows, and writes each question, choice and target as the file says. The study
then asks them in its own way (prompt, sampling, verifier), as all other suites: the file's own prompts with
worked examples, filters and metrics are not used. Functions that it names (`!function`) are code, and run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glow.data.choices import LETTERS
from glow.data.problem_rows import problem, repeats
from glow.errors import UserError
from glow.files.records import Problem
from glow.suites.tasks import Task, function_names, task_document

_UNUSED = {
    "num_fewshot": "worked examples",
    "filter_list": "filters",
    "metric_list": "metrics",
    "process_results": "metrics",
    "generation_kwargs": "sampling settings",
}
"""What task files say that the study does in its own way."""


def foreign_problems(name: str, file: Path, task: Task) -> tuple[list[Problem], dict[str, Any]]:
    """The problems of suite `name`, of a task file, and what the manifest notes.

    Raises:
        UserError: lm-eval refuses the file or its rows, or a question has no text or no right answer.
    """
    document = task_document(file)
    for function in function_names(document):
        print(f"{file}: runs {function}, code that came with the task file")
    unused = dict.fromkeys(what for key, what in _UNUSED.items() if document.get(key))
    if unused:
        print(
            f"{file}: its {', '.join(unused)} are not used: the study asks and judges all suites in one way"
        )
    problems = list(_problems(name, file, task))
    if not problems:
        raise UserError(f"{file}: no questions in its split")
    facts = {
        "rows": len(problems),
        "kept repeats": repeats(problems),
        "source": str(file),
        "task_version": task.version,
    }
    return problems, facts


def _problems(name: str, file: Path, task: Task) -> Iterator[Problem]:
    for number, (question, choices, target) in enumerate(_questions(file), start=1):
        place = f"{file}: question {number}"
        if not isinstance(question, str) or not question.strip():
            raise UserError(f"{place}: doc_to_text gives no text")
        if task.format == "choice":
            yield problem(name, question, _letter(place, target, choices), choices=choices, format="choice")
            continue
        answer = target[0] if isinstance(target, list) and len(target) == 1 else target
        if isinstance(answer, int) and choices:
            answer = choices[answer]
        if isinstance(answer, list) or answer is None or not str(answer).strip():
            raise UserError(f"{place}: doc_to_target gives {answer!r}; one right answer is needed")
        yield problem(name, question, str(answer).strip())


def _letter(place: str, target: Any, choices: Any) -> str:
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        raise UserError(
            f"{place}: doc_to_choice must give 2 to {len(LETTERS)} choices, found {choices!r:.80}"
        )
    at = choices.index(target) if target in choices else target
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < len(choices):
        raise UserError(f"{place}: doc_to_target gives {target!r}, which is not one of the choices")
    return LETTERS[at]


def _questions(file: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Question, choices (None for a task without) and target of each row, as lm-eval makes them."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        task = ConfigurableTask(config=dict(load_yaml(file, resolve_func=True, recursive=True)))
        for row in task.eval_docs:
            has_choices = task.config.doc_to_choice is not None
            choices = [str(one) for one in task.doc_to_choice(row)] if has_choices else None
            yield task.doc_to_text(row), choices, task.doc_to_target(row)
    except Exception as error:  # of any kind: the file's functions and templates are the user's
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"{file}: lm-eval cannot make questions of it: {type(error).__name__}: {reason}"
        ) from error
