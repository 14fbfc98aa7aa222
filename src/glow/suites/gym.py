"""Fresh problems from the reasoning-gym package, and its own scorers: the suite `gym`, version 1.0.

Twelve families in three difficulty levels; problems are drawn by a seed, so none comes from a published test
set. A model may still have seen some: the package is public, and the smallest cells have few problems
(caesar_cipher/easy: 135). When you change the recipe below, or the package's pinned version, change the
version in suites/gym.yaml too. Only families whose scorer compares text or numbers are included. Left out are
those whose scorer passes an answer to eval, exec, sympy or the like (a test reads their source), and those
whose scorer gives full marks to a right answer followed by more words (word_sorting). Needs the extra `gym`;
no other module imports the package.
"""

import json
from functools import cache
from importlib.metadata import version
from typing import Any

from glow.config.packages import imported
from glow.data.problem_rows import problem
from glow.errors import UserError
from glow.files.hashing import digest
from glow.files.records import Problem

Levels = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]

LEVELS = ("easy", "medium", "hard")

RECIPE: dict[str, Levels] = {
    "chain_sum": (
        {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 2},
        {"min_terms": 4, "max_terms": 6, "min_digits": 2, "max_digits": 3},
        {"min_terms": 8, "max_terms": 12, "min_digits": 3, "max_digits": 5},
    ),
    "leg_counting": (
        {"min_animals": 2, "max_animals": 3, "max_instances": 5},
        {"min_animals": 4, "max_animals": 7, "max_instances": 15},
        {"min_animals": 10, "max_animals": 15, "max_instances": 30},
    ),
    "count_primes": ({"max_n": 150}, {"max_n": 500}, {"max_n": 10000}),
    "simple_equations": (
        {"min_terms": 2, "max_terms": 2, "max_value": 20},
        {"min_terms": 3, "max_terms": 4, "max_value": 100},
        {"min_terms": 5, "max_terms": 8, "max_value": 1000},
    ),
    "number_sequence": ({"max_complexity": 1}, {"max_complexity": 2}, {"max_complexity": 3}),
    "base_conversion": (
        {"max_base": 8, "max_value": 100},
        {"max_base": 16, "max_value": 1000},
        {"min_base": 9, "max_base": 36, "min_value": 1000, "max_value": 100000},
    ),
    "letter_counting": (
        {"min_words": 3, "max_words": 5},
        {"min_words": 8, "max_words": 15},
        {"min_words": 30, "max_words": 50},
    ),
    "spell_backward": (
        {"min_word_len": 3, "max_word_len": 4},
        {"min_word_len": 5, "max_word_len": 7},
        {"min_word_len": 8, "max_word_len": 10},
    ),
    "caesar_cipher": (
        {"min_words": 3, "max_words": 4, "max_rotation": 3},
        {"min_words": 5, "max_words": 8},
        {"min_words": 12, "max_words": 20},
    ),
    "knights_knaves": (
        {"n_people": 2},
        {"n_people": 3},
        {"n_people": 4, "depth_constraint": 3},
    ),
    "shortest_path": (
        {"min_rows": 3, "max_rows": 4, "min_cols": 3, "max_cols": 4},
        {"min_rows": 5, "max_rows": 7, "min_cols": 5, "max_cols": 7},
        {"min_rows": 9, "max_rows": 12, "min_cols": 9, "max_cols": 12},
    ),
    "largest_island": (
        {"min_rows": 4, "max_rows": 5, "min_cols": 4, "max_cols": 5, "max_num_islands": 3},
        {"min_rows": 6, "max_rows": 8, "min_cols": 6, "max_cols": 8},
        {"min_rows": 10, "max_rows": 14, "min_cols": 10, "max_cols": 14, "max_num_islands": 9},
    ),
}  # fmt: skip
"""The settings of each family at each level; all others are the package's defaults."""

CELLS = [(family, level) for level in range(len(LEVELS)) for family in RECIPE]
PER_CELL = 10
"""Problems of each family and level, unless the configuration says how many there are in all."""


def library_version() -> str:
    """The installed version of reasoning-gym.

    Raises:
        UserError: it is not installed.
    """
    _library()
    return version("reasoning-gym")


def draw(problems: int | None, seed: int) -> list[Problem]:
    """`problems` problems (default: ten of each family and level), evenly over families and levels.

    A family's n-th problem at a level depends on (seed, family, level, n) alone.

    Raises:
        UserError: the package is missing.
    """
    wanted = len(CELLS) * PER_CELL if problems is None else problems
    drawn: list[Problem] = []
    for place, (family, level) in enumerate(CELLS):
        share = wanted // len(CELLS) + (place < wanted % len(CELLS))
        drawn += _cell(family, level, share, seed) if share else []
    return drawn


def _cell(family: str, level: int, count: int, seed: int) -> list[Problem]:
    """`count` different problems of one family and level; repeats are skipped."""
    # The package makes entry n of Random(seed + n): seeds far apart share no entry.
    start = int(digest(["gym", seed, family, level])[:12], 16)
    data = _library().create_dataset(family, seed=start, size=50 * count, **RECIPE[family][level])
    found: dict[str, Problem] = {}
    for entry in data:
        name = f"{family}/{LEVELS[level]}"
        made = problem(f"gym/{name}", entry["question"], str(entry["answer"]), family=name)
        data_kept = {"family": family, "level": level, "metadata": _plain(entry["metadata"])}
        found.setdefault(made["problem_id"], made | {"scorer": "gym", "scorer_data": data_kept})
        if len(found) == count:
            return list(found.values())
    raise UserError(
        f"suite gym: only {len(found)} different problems of {name}, but {count} are asked for; ask for fewer"
    )


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata as JSON holds it; what JSON has no form for (dates) becomes text."""
    return json.loads(json.dumps(metadata, default=str))


def gym_score(answer: str, row: Problem) -> float:
    """What the family's own scorer gives an extracted answer: 1 for right, below for wrong or nearly right.

    Raises:
        UserError: the package is missing.
    """
    data = row["scorer_data"]
    entry = {"question": row["question"], "answer": row["answer"], "metadata": data["metadata"]}
    return float(_scorer(data["family"], data["level"])(answer, entry))


@cache
def _scorer(family: str, level: int) -> Any:
    return _library().create_dataset(family, seed=0, size=1, **RECIPE[family][level]).score_answer


def _library() -> Any:
    return imported("reasoning-gym", "suite gym")
