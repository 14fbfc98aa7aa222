"""The problems of a built-in task: its rows (local file, hub, or reasoning-gym) as Problem rows.

Every row of the source is kept, even repeats, so that scores use the same rows as published figures.
Repeats are counted, and get their own ids. Besides the keys of `glow.data.problem_rows.problem` a row may
have: `instruction` (false where the prompt's instruction is left out), `scorer` and `scorer_data` (where our
verifier does not judge), `stem` (the question before its choices), and `prompt` (the raw text after which a
choice's letter is scored).
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from glow.config import Suite, SuiteFormat
from glow.data.choices import LETTERS, choices_of, listed_choices, with_choices
from glow.data.hub import HubSplit
from glow.data.problem_rows import problem, repeats, stated
from glow.errors import UserError
from glow.files.hashing import keyed_order
from glow.files.records import Problem, problem_id
from glow.files.user_rows import Row, read_rows, text
from glow.suites.foreign_tasks import foreign_problems
from glow.suites.gym import draw, library_version
from glow.suites.tasks import HubRows, Shots, Task, located, task_of


def task_problems(name: str, settings: Suite) -> tuple[list[Problem], dict[str, Any]]:
    """The problems of the task that suite `name` names, and what the manifest notes.

    Raises:
        UserError: the task is unknown or does not support a setting, its rows cannot be read, or there are
            fewer than asked for.
    """
    task, settings = task_of(name, settings), located(name, settings)
    task_name = task.suite
    if task.source == "reasoning_gym":
        problems = draw(settings.problems, settings.seed)
        return problems, {"source": f"reasoning-gym {library_version()}", "task_version": task.version}
    if settings.lm_eval is not None:
        found, facts = foreign_problems(name, settings.lm_eval, task)
        return _draw(name, _with_own_ids(found), settings), facts
    hub: list[dict[str, Any]] = []
    rows = list(_task_rows(task, settings, hub))
    if not rows:
        raise UserError(f"{settings.file or task_name}: no rows")
    problems = [_task_problem(task_name, task, settings.format or task.format, row) for row in rows]
    if task.shots is not None:
        prompts = FewShot(name, task, task.shots, settings, hub)
        problems = [row | {"prompt": prompts.prompt(row)} for row in problems]
    apart = _with_own_ids(problems)
    drawn = _draw(name, apart, settings)
    kept = {row["problem_id"] for row in drawn}
    facts = {
        "rows": len(rows),
        "kept repeats": repeats(
            row for row, own in zip(problems, apart, strict=True) if own["problem_id"] in kept
        ),
        "source": str(settings.file) if settings.file else _hub_name(task),
        "task_version": task.version,
    }
    return drawn, facts | ({"hub": hub} if hub else {})


def _hub_name(task: Task) -> str:
    assert task.hub is not None  # `located` refused it otherwise.
    return f"{task.hub.dataset}@{task.hub.revision}"


def _draw(name: str, problems: list[Problem], settings: Suite) -> list[Problem]:
    """As many problems as the settings ask for, drawn by content hash, in the order of their source."""
    if settings.problems is None:
        return problems
    if settings.problems > len(problems):
        raise UserError(
            f"suite {name!r} has {len(problems)} problems, {settings.problems} are asked for; ask for fewer"
        )
    chosen = keyed_order(problems, lambda row: row["problem_id"], settings.seed)
    kept = {row["problem_id"] for row in chosen[: settings.problems]}
    return [row for row in problems if row["problem_id"] in kept]


def _with_own_ids(problems: Iterable[Problem]) -> list[Problem]:
    """The problems with distinct ids: a repeated question's id also depends on the number of the copy."""
    copies: dict[str, int] = defaultdict(int)
    apart = []
    for row in problems:
        identity = row["problem_id"]
        copies[identity] += 1
        own = identity if copies[identity] == 1 else problem_id(identity, f"copy {copies[identity]}")
        apart.append(row | {"problem_id": own})
    return apart


def _task_rows(task: Task, settings: Suite, read: list[dict[str, Any]]) -> Iterator[Row]:
    if settings.file is not None:
        yield from read_rows(settings.file)
        return
    assert task.hub is not None  # `located` refused it otherwise.
    yield from _split_rows(task, task.hub, task.hub.split, read)


def _split_rows(task: Task, hub: HubRows, split: str, read: list[dict[str, Any]]) -> Iterator[Row]:
    """The rows of a split, of all configurations; `hub_config` says which one a row is from.

    What was read of the hub is added to `read`.
    """
    fields = task.fields
    keys = [
        *fields.question,
        *fields.answer,
        *(fields.choices or ()),
        *(fields.columns or ()),
        *(fields.wrong or ()),
        *fields.family,
    ]
    configs: Sequence[str | None] = hub.configs or [None]
    for config in configs:
        source = HubSplit(hub.dataset, hub.revision, config, split, [*keys, *task.scorer_fields])
        for row in source.rows():
            yield Row(row.place, row.record | {"hub_config": config})
        read.append(source.facts)


def _task_problem(name: str, task: Task, problem_format: SuiteFormat, row: Row) -> Problem:
    question = text(row, _key(row, task.fields.question), "every row needs a question")
    family_key = next((key for key in task.fields.family if row.record.get(key)), None)
    family = str(row.record[family_key]) if family_key else None
    source = f"{name}/{family}" if family else name
    choices, answer = _choices_and_answer(task, row, question)
    if problem_format == "choice":
        if not choices:
            raise UserError(f"{row.place}: no choices; the suite's format can only be boxed")
        return problem(source, question, answer, family=family, choices=choices, format="choice")
    if not choices or task.listed:
        made = problem(source, question, answer, family=family, choices=choices or None)
    else:
        made = problem(source, with_choices(question, choices), answer, family=family, choices=choices)
        made["stem"] = question
    _note_scoring(made, task, row)
    return made


def _note_scoring(made: Problem, task: Task, row: Row) -> None:
    """Note in a problem how it is asked and judged, where that differs from the usual way."""
    if not task.instruction:
        made["instruction"] = False
    if task.scorer == "verifier":
        return
    missing = [key for key in task.scorer_fields if key not in row.record]
    if missing:
        raise UserError(
            f"{row.place}: no key {missing[0]!r}; its scorer needs {', '.join(task.scorer_fields)}"
        )
    made["scorer"] = task.scorer
    made["scorer_data"] = {key: row.record[key] for key in task.scorer_fields}


def _choices_and_answer(task: Task, row: Row, question: str) -> tuple[list[str], str]:
    """The choices, if any, and the gold answer: the letter of a choice, or the answer itself."""
    fields = task.fields
    if fields.wrong is not None:
        return _shuffle_choices(task, row, question)
    if not fields.answer:
        return [], ""
    key = _key(row, fields.answer)
    if fields.columns is not None:
        return choices_of(row, fields.columns, key, fields.answer_as)
    if fields.choices is not None and (found := _key(row, fields.choices)) and _are_choices(task, row, found):
        return choices_of(row, found, key, fields.answer_as)
    answer = stated(row, key, "every row needs an answer")
    if task.answer_after:
        answer = answer.rpartition(task.answer_after)[2].strip()
    choices = listed_choices(question) if task.listed else []
    # A list before a question that asks for something else (penguins in a table) offers no choices.
    return (choices, answer) if answer.strip("()") in set(LETTERS[: len(choices)]) else ([], answer)


def _are_choices(task: Task, row: Row, key: str) -> bool:
    """A task that lists its choices may have rows without any (ACPBench's yes-or-no half)."""
    return not (task.listed and row.record.get(key) is None)


def _shuffle_choices(task: Task, row: Row, question: str) -> tuple[list[str], str]:
    """The right and wrong choices, shuffled by a hash of the question, and the letter of the right one."""
    keys = [_key(row, task.fields.answer), *(task.fields.wrong or [])]
    right, *wrong = (text(row, key, "every row needs all choices").strip() for key in keys)
    order = [right, *wrong]
    random.Random(f"choices/{problem_id(task.suite, question)}").shuffle(order)
    return order, LETTERS[order.index(right)]


def _key(row: Row, alternatives: list[str]) -> str:
    """The first of the alternative keys that the row has; if none, the first alternative, for the message."""
    return next((key for key in alternatives if key in row.record), alternatives[0])


class FewShot:
    """Raw prompts as in lm-eval's `mmlu`: a heading, worked examples of the subject, the question."""

    def __init__(
        self, name: str, task: Task, shots: Shots, settings: Suite, read: list[dict[str, Any]]
    ) -> None:
        self._suite = name
        self.count = shots.count if settings.shots is None else settings.shots
        self._examples: dict[str | None, list[str]] = defaultdict(list)
        if self.count == 0:
            return
        self._source = settings.shots_file or f"{_hub_name(task)} ({shots.split})"
        for row in self._rows(task, shots, settings, read):
            example = _task_problem(task.suite, task, "choice", row)
            self._examples[example["family"]].append(f"{_raw_question(example)} {example['answer']}\n\n")

    @staticmethod
    def _rows(task: Task, shots: Shots, settings: Suite, read: list[dict[str, Any]]) -> Iterable[Row]:
        if settings.shots_file is not None:
            return read_rows(settings.shots_file)
        assert task.hub is not None  # `located` refused it otherwise.
        return _split_rows(task, task.hub, shots.split, read)

    def prompt(self, row: Problem) -> str:
        """The text before the letter of the answer to a multiple-choice problem.

        Raises:
            UserError: the subject has fewer worked examples than are asked for.
        """
        subject = row["family"]
        examples = self._examples[subject][: self.count]
        if len(examples) < self.count:
            raise UserError(
                f"suite {self._suite!r}: {len(examples)} worked examples for subject {subject!r} in "
                f"{self._source}, {self.count} are asked for; ask for fewer with `shots`"
            )
        about = (subject or "").replace("_", " ")
        heading = f"The following are multiple choice questions (with answers) about {about}.\n\n"
        return heading + "".join(examples) + _raw_question(row)


def _raw_question(row: Problem) -> str:
    return with_choices(row["question"].strip(), row["choices"]) + "\nAnswer:"
