"""Suite files: writing a suite's problems as one local file, and reading one back, checked.

A suite is all boxed or all multiple choice. What its rows are made from is `glow.suites.task_problems`.
"""

import random
from pathlib import Path
from typing import Any, get_args

from glow.config import Suite, unknown
from glow.data.choices import LETTERS
from glow.data.problem_rows import read_problems
from glow.errors import UserError
from glow.files.hashing import hash_path
from glow.files.jsonl import write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Problem, SuiteFormat
from glow.miniature.families import as_choice, draw_problems
from glow.suites.gym import LEVELS, RECIPE
from glow.suites.scorers import require_scorers
from glow.suites.task_problems import task_problems

FAMILY_SUITE_SIZE = 200
"""Problems in a suite of families, unless the configuration says how many."""

FORMATS = get_args(SuiteFormat)

SCORERS = {"gym": ("family", "level", "metadata"), "ifeval": ("key", "instruction_id_list", "kwargs")}
"""The scorers that can judge a boxed answer in place of the verifier (`glow.suites.scorers`), each with the
keys of its `scorer_data`."""


def write_suite(name: str, settings: Suite, output: Path) -> None:
    """Write the problems of suite `name`.

    Raises:
        UserError: the task is unknown, its rows cannot be read, there are fewer than asked for, or the
            packages that would judge their answers are not installed.
    """
    manifest = Manifest("suite")
    facts: dict[str, Any] = {}
    if settings.families is not None:
        problems = _family_suite(settings)
    else:
        problems, facts = task_problems(name, settings)
        require_scorers(problems)
    write_jsonl(output, problems)
    if "hub" in facts:
        facts["sha256"] = {output.name: hash_path(output)}
    inputs = [file for file in (settings.file, settings.shots_file, settings.lm_eval) if file]
    manifest.write(output, settings.model_dump(mode="json"), inputs, {"problems": len(problems), **facts})
    kept = "".join(f", {count} {what}" for what, count in facts.get("kept repeats", {}).items() if count)
    print(f"{output}: {len(problems)} problems, format {problems[0]['format']}{kept}")


def _family_suite(settings: Suite) -> list[Problem]:
    assert settings.families is not None
    problems, _ = draw_problems(settings.families, settings.problems or FAMILY_SUITE_SIZE, settings.seed, ())
    if settings.format != "choice":
        return problems
    return [
        as_choice(problem, random.Random(f"choice/{settings.seed}/{problem['problem_id']}"))
        for problem in problems
    ]


def read_suite(path: Path) -> list[Problem]:
    """The problems of an evaluation suite: all boxed, or all multiple choice.

    Raises:
        UserError: as `read_problems`; or the suite is empty, mixes formats, or has a malformed row.
    """
    problems = read_problems(path)
    if not problems:
        raise UserError(f"{path}: no problems; a suite needs at least one")
    formats = {problem.get("format") for problem in problems}
    if len(formats) > 1 or not formats <= set(FORMATS):
        found = ", ".join(sorted(map(str, formats)))
        raise UserError(f"{path}: 'format' must be the same in every row, boxed or choice; found {found}")
    for problem in problems:
        place = f"{path}: problem {problem['problem_id']!r}"
        if problem["format"] == "choice":
            _check_choices(problem, place)
        elif "scorer" in problem:
            _check_scorer(problem, place)
        if not (isinstance(problem.get("prompt", "none"), str) and problem.get("prompt", "none")):
            raise UserError(f"{place}: 'prompt' must be non-empty text, or be left out")
    if len({"prompt" in problem for problem in problems}) > 1:
        raise UserError(f"{path}: 'prompt' must be in every row or in none")
    return problems


def _check_choices(problem: Problem, place: str) -> None:
    choices = problem.get("choices")
    if not (
        isinstance(choices, list)
        and 2 <= len(choices) <= len(LETTERS)
        and all(isinstance(c, str) for c in choices)
    ):
        raise UserError(f"{place}: 'choices' must be a list of 2 to {len(LETTERS)} texts")
    if problem["answer"] not in list(LETTERS[: len(choices)]):
        raise UserError(f"{place}: 'answer' must be a letter from A to {LETTERS[len(choices) - 1]}")


def _check_scorer(problem: Problem, place: str) -> None:
    """Refuse a row that its scorer could not judge: it would count as a wrong answer, or stop the stage."""
    scorer, data = problem["scorer"], problem.get("scorer_data")
    if str(scorer) not in SCORERS:
        raise UserError(
            f"{place}: scorer {scorer!r} is unknown; known: {', '.join(SCORERS)}; "
            "leave it out for the verifier"
        )
    if not (isinstance(data, dict) and set(SCORERS[scorer]) <= data.keys()):
        raise UserError(
            f"{place}: 'scorer_data' must hold {', '.join(SCORERS[scorer])} for scorer {scorer!r}"
        )
    if scorer == "gym":
        if str(data["family"]) not in RECIPE:
            raise UserError(f"{place}: gym family {unknown(str(data['family']), RECIPE)}")
        if data["level"] not in range(len(LEVELS)) or not isinstance(data["metadata"], dict):
            raise UserError(
                f"{place}: 'scorer_data' must have `level`, from 0 to {len(LEVELS) - 1}, and `metadata`, "
                "a mapping"
            )
    elif not (
        isinstance(data["instruction_id_list"], list)
        and isinstance(data["kwargs"], list)
        and len(data["instruction_id_list"]) == len(data["kwargs"])
    ):
        raise UserError(f"{place}: 'scorer_data' must list as many kwargs as instructions")
