"""Reading a file of problems (training problems or a suite), and refusing what is none.

Where problems come from is `glow.data.problems`; here is only what the stages that use them rely on.
"""

from pathlib import Path

from glow.config import unknown
from glow.data.choices import LETTERS
from glow.errors import UserError
from glow.files.jsonl import Record, read_numbered_jsonl, refuse_duplicates
from glow.files.rows import Row, answer_type
from glow.suites.gym import LEVELS, RECIPE
from glow.verifier.equality import Gold

FORMATS = ("boxed", "choice")
SCORERS = {"gym": ("family", "level", "metadata"), "ifeval": ("key", "instruction_id_list", "kwargs")}
"""What may judge a boxed answer in place of the verifier (`glow.suites.scorers`), and what its `scorer_data`
has."""


def read_problems(path: Path) -> list[Record]:
    """The problems of a JSON Lines file, in its order.

    Raises:
        UserError: the file is missing, a row is no problem, or two rows share an id.
    """
    problems = []
    for number, problem in read_numbered_jsonl(path):
        for key in ("problem_id", "question", "answer"):
            if not isinstance(problem.get(key), str):
                raise UserError(f"{path}:{number}: {key!r} is missing or no text; every problem needs one")
        answer_type(Row(f"{path}:{number}", problem), "answer_type")
        problems.append(problem)
    refuse_duplicates(problems, "problem_id", path)
    return problems


def read_suite(path: Path) -> list[Record]:
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
            raise UserError(f"{place}: 'prompt' must be a text, not empty, or be left out")
    if len({"prompt" in problem for problem in problems}) > 1:
        raise UserError(f"{path}: 'prompt' must be in every row or in none")
    return problems


def suite_name(path: Path) -> str:
    """The name of the suite in a file: its file name without .jsonl or .jsonl.gz."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def gold_facts(row: Record) -> Record:
    """What a problem's or trajectory's row says of its gold answer besides its text."""
    return {
        key: row[key]
        for key in ("choices", "answer_type")
        if row.get("answer_type") is not None and key in row
    }


def gold_of(problem: Record) -> Gold:
    """The gold answer of a boxed problem, with what its row says of it: its type, and the choices' texts."""
    return Gold(problem["answer"], problem.get("answer_type"), tuple(problem.get("choices") or ()))


def _check_choices(problem: Record, place: str) -> None:
    choices = problem.get("choices")
    if not (
        isinstance(choices, list)
        and 2 <= len(choices) <= len(LETTERS)
        and all(isinstance(c, str) for c in choices)
    ):
        raise UserError(f"{place}: 'choices' must be a list of 2 to {len(LETTERS)} texts")
    if problem["answer"] not in list(LETTERS[: len(choices)]):
        raise UserError(f"{place}: 'answer' must be a letter from A to {LETTERS[len(choices) - 1]}")


def _check_scorer(problem: Record, place: str) -> None:
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
                f"{place}: 'scorer_data' must have a level, 0 to {len(LEVELS) - 1}, and a mapping metadata"
            )
    elif not (
        isinstance(data["instruction_id_list"], list)
        and isinstance(data["kwargs"], list)
        and len(data["instruction_id_list"]) == len(data["kwargs"])
    ):
        raise UserError(f"{place}: 'scorer_data' must list as many kwargs as instructions")
