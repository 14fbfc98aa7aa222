"""The problems stage: write the problems of a training domain, from families, a local file or the hub.

No problem written for training is in one of the given suites. A hub data set is read at a pinned commit, and
only when a setting asks for one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from glow.config import Problems
from glow.data.choices import choices_of, with_choices
from glow.data.disjoint import SuiteQuestions, folded
from glow.data.draw import drawn
from glow.data.hub import HubSplit
from glow.data.problem_rows import problem, stated
from glow.errors import UserError
from glow.files.hashing import hash_path, keyed_order
from glow.files.jsonl import write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Problem
from glow.files.user_rows import Row, read_rows, text
from glow.miniature.families import draw_problems

SOLUTION = "solution"
"""The key of a row's worked solution, which goes with its problem."""


def write_problems(settings: Problems, suites: list[Path], output: Path, grpo_output: Path) -> None:
    """Write `settings.train` problems to `output` and `settings.grpo` others to `grpo_output`.

    A problem drawn from families that is also in a suite is drawn again, and counted. A file that repeats a
    question or shares one with a suite is refused: its owner can fix it. In a hub data set such rows are left
    out, and counted (OpenMathReasoning repeats a question for each solution).

    Raises:
        UserError: a source cannot be read, has too few problems, or is a file with such rows.
    """
    manifest = Manifest("problems")
    questions = SuiteQuestions(suites)
    wanted = settings.train + settings.grpo
    facts: dict[str, Any] = {}
    if settings.families is not None:
        chosen, redrawn = draw_problems(settings.families, wanted, settings.seed, questions.texts)
        facts["redrawn_because_in_a_suite"] = redrawn
    elif settings.file is not None:
        found = list(_file_problems(settings, questions))
        _refuse_too_few(len(found), settings)
        chosen = keyed_order(found, lambda row: row["problem_id"], settings.seed)[:wanted]
    else:
        chosen, facts = _hub_problems(settings, questions)
    write_jsonl(grpo_output, chosen[settings.train :])
    write_jsonl(output, chosen[: settings.train])
    if "hub" in facts:
        facts["sha256"] = {file.name: hash_path(file) for file in (output, grpo_output)}
    manifest.write(
        output,
        settings.model_dump(mode="json"),
        [*suites, *([settings.file] if settings.file else [])],
        {"train": settings.train, "grpo": settings.grpo, **facts},
    )
    print(
        f"{output}: {settings.train} problems, {settings.grpo} more for GRPO, none of them in a suite "
        f"({_summary(facts)})"
    )


def _summary(facts: dict[str, Any]) -> str:
    if "redrawn_because_in_a_suite" in facts:
        return f"{facts['redrawn_because_in_a_suite']} draws were in a suite and were drawn again"
    left_out = {what: count for what, count in facts.get("left_out", {}).items() if count}
    return "left out: " + (", ".join(f"{count} {what}" for what, count in left_out.items()) or "none")


def _refuse_too_few(count: int, settings: Problems) -> None:
    if count < (wanted := settings.train + settings.grpo):
        raise UserError(
            f"{_source_name(settings)}: {count} problems, but train + grpo = {wanted} are asked for; "
            "ask for fewer"
        )


def _file_problems(settings: Problems, questions: SuiteQuestions) -> Iterable[Problem]:
    """The problems of a file, each question once and none in a suite."""
    assert settings.file is not None
    problems: dict[str, Problem] = {}
    places: dict[str, str] = {}
    for row in read_rows(settings.file):
        found = _training_problem(row, settings)
        identity = found["problem_id"]
        if identity in problems:
            raise UserError(f"{row.place}: same question as {places[identity]}; remove one of them")
        problems[identity], places[identity] = found, row.place
    questions.refuse((places[key], found.get("stem", found["question"])) for key, found in problems.items())
    return problems.values()


def _hub_problems(settings: Problems, questions: SuiteQuestions) -> tuple[list[Problem], dict[str, Any]]:
    """Problems drawn from a hub data set, each question once and none in a suite; and facts of them."""
    assert settings.hub_dataset is not None and settings.revision is not None  # Checked by config.Problems.
    split = HubSplit(
        settings.hub_dataset,
        settings.revision,
        settings.hub_config,
        settings.hub_split,
        filter(None, (settings.question_field, settings.answer_field, settings.choices_field, SOLUTION)),
        settings.data_dir,
    )
    in_suites = {folded(question) for question in questions.texts}
    left_out: Counter[str] = Counter()

    def rows() -> Iterator[Problem]:
        left_out.clear()
        for row in split.rows():
            if row.record.get(settings.answer_field, "absent") in (None, ""):
                left_out["rows without an answer"] += 1
                continue
            found = _training_problem(row, settings)
            if folded(found.get("stem", found["question"])) in in_suites:
                left_out["rows in a suite"] += 1
            else:
                yield found

    draw = drawn(rows, settings.train + settings.grpo, settings.seed)
    repeats, disputed, certain = draw.counts()
    _refuse_too_few(certain, settings)
    counts = {"repeats": repeats, **left_out, "questions with more than one answer": disputed}
    return draw.problems(), {"left_out": counts, "hub": split.facts}


def _source_name(settings: Problems) -> str:
    return f"hub/{settings.hub_dataset}" if settings.file is None else f"file/{settings.file.name}"


def _training_problem(row: Row, settings: Problems) -> Problem:
    source = _source_name(settings)
    question = text(row, settings.question_field, "map it with problems.question_field (--question-field)")
    if settings.choices_field is None:
        answer = stated(row, settings.answer_field, "map it with problems.answer_field (--answer-field)")
        return _with_solution(problem(source, question, answer), row)
    choices, letter = choices_of(row, settings.choices_field, settings.answer_field)
    listed = with_choices(question, choices)
    made = _with_solution(problem(source, listed, letter, choices=choices), row)
    made["stem"] = question
    return made


def _with_solution(made: Problem, row: Row) -> Problem:
    """The problem with the worked solution of its row, where that has one."""
    if isinstance(solution := row.record.get(SOLUTION), str):
        made["solution"] = solution
    return made
