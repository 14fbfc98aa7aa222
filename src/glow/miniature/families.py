"""The register of the miniature's problem families, and how problems are drawn from them.

The configuration is checked against `FAMILIES`, so nothing here may import a deep-learning library.
"""

import random
import string
from collections.abc import Collection, Sequence
from itertools import chain, zip_longest

from glow.config import unknown
from glow.errors import UserError
from glow.files.records import Problem, problem_id
from glow.miniature.arithmetic import ARITHMETIC
from glow.miniature.family import Family, WorkedProblem, reserved_for_pretraining
from glow.miniature.lists import LISTS
from glow.miniature.logic import LOGIC
from glow.miniature.world import WORLD

FAMILIES: dict[str, Family] = {family.name: family for family in (*ARITHMETIC, *LISTS, *LOGIC, *WORLD)}
"""Every family by name: arithmetic (the training domain) first, then those out of domain."""

BRIEF_CUE = " Answer only."
"""Put after a question to ask for the answer without steps, as in multiple choice."""

CHOICES = 4
_VAIN_DRAWS = 2000
"""A family that gives nothing new in this many draws counts as used up."""


def draw_problems(
    families: Sequence[str], n: int, seed: int, exclude_questions: Collection[str] = ()
) -> tuple[list[Problem], int]:
    """Draw `n` different problems, taking the families in turn and skipping `exclude_questions`.

    Problems come only from the half of the problem space that pretraining never uses. A family's draw
    depends on (seed, family) alone, and a larger draw begins with a smaller one.

    Returns:
        The problems as records (format `boxed`, source `miniature/<family>`), and how many draws were
        skipped because they are in `exclude_questions`.

    Raises:
        UserError: a family is unknown, or has fewer problems left than were asked for.
    """
    excluded = {question.removesuffix(BRIEF_CUE) for question in exclude_questions}
    columns, overlaps = [], 0
    for position, name in enumerate(families):
        share = n // len(families) + (position < n % len(families))
        problems, skipped = _draw_family(family_named(name), share, seed, excluded)
        columns.append([_record(name, problem) for problem in problems])
        overlaps += skipped
    return [record for record in chain(*zip_longest(*columns)) if record is not None], overlaps


def family_named(name: str, option: str = "--families") -> Family:
    """The family of that name; `option` is the key that a message names.

    Raises:
        UserError: no family has that name; the message suggests the nearest.
    """
    if name not in FAMILIES:
        raise UserError(f"{option}: {unknown(name, FAMILIES)}")
    return FAMILIES[name]


def _draw_family(family: Family, n: int, seed: int, excluded: set[str]) -> tuple[list[WorkedProblem], int]:
    rng = random.Random(f"problems/{seed}/{family.name}")
    drawn: dict[str, WorkedProblem] = {}
    overlaps, vain = set(), 0
    while len(drawn) < n:
        problem = family.sample(rng)
        if problem.question in excluded:
            overlaps.add(problem.question)
        elif not reserved_for_pretraining(problem.question) and problem.question not in drawn:
            drawn[problem.question] = problem
            vain = 0
            continue
        vain += 1
        if vain == _VAIN_DRAWS:
            raise UserError(
                f"families: {family.name!r} has only about {len(drawn)} problems left, but {n} are asked "
                "for; ask for fewer, or add families"
            )
    return list(drawn.values()), len(overlaps)


def _record(family: str, problem: WorkedProblem) -> Problem:
    source = f"miniature/{family}"
    return {
        "problem_id": problem_id(source, problem.question),
        "source": source,
        "family": family,
        "question": problem.question,
        "answer": problem.answer,
        "format": "boxed",
        "solution": problem.solution,
    }


# --- multiple choice --------------------------------------------------------------------------------


def as_choice(problem: Problem, rng: random.Random) -> Problem:
    """Turn a drawn problem into multiple choice: up to four answers in random order, one of them right.

    The question asks for the bare answer (`BRIEF_CUE`); `answer` becomes the letter of the right choice.
    """
    name, right = problem["family"], problem["answer"]
    assert name is not None  # `draw_problems` made it.
    family, source = family_named(name), f"miniature/{name}"
    choices = [right, *_distractors(family, problem["question"], right, rng)]
    rng.shuffle(choices)
    question = problem["question"] + BRIEF_CUE
    return {
        "problem_id": problem_id(source, question + "\n" + "\n".join(choices)),
        "source": source,
        "family": name,
        "question": question,
        "answer": string.ascii_uppercase[choices.index(right)],
        "choices": choices,
        "format": "choice",
        "solution": problem["solution"],
    }


def _distractors(family: Family, question: str, right: str, rng: random.Random) -> list[str]:
    """Wrong answers of the right one's kind: words (those of the question first), or near numbers."""
    if family.options is None:
        candidates = sorted(_numbers_near(right) - {right})
        rng.shuffle(candidates)
    else:
        candidates = [option for option in family.options if option != right]
        rng.shuffle(candidates)
        words = set(question.split())
        candidates.sort(key=lambda option: option not in words)
    return candidates[: CHOICES - 1]


def _numbers_near(right: str) -> set[str]:
    """Numbers that a slip would give: two neighbouring digits swapped, or one digit off by 1 or 2."""
    swapped = {right[:i] + right[i + 1] + right[i] + right[i + 2 :] for i in range(len(right) - 1)}
    moved = {
        right[:i] + str(int(right[i]) + shift) + right[i + 1 :]
        for i in range(len(right))
        for shift in (-2, -1, 1, 2)
        if 0 <= int(right[i]) + shift <= 9
    }
    return {number for number in swapped | moved if not (len(number) > 1 and number.startswith("0"))}
