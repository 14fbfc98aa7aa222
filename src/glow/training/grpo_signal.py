"""Whether a GRPO run had anything to learn from, by its log: rollouts of one prompt that differ in reward.

A run without such signal ends like any other, with weights that hardly moved. The stage warns of it, and the
table of GRPO marks it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

MOST = 0.5
"""From this share of the steps on, their lack of signal is said."""

WITHOUT_SIGNAL = {
    "clipped_ratio": (1, "no rollout ended within max_tokens, and such a one is never correct: raise it"),
    "reward": (
        0,
        "no rollout was correct (reward 0): the problems are too hard for the model, or its answers are not "
        "where the verifier looks",
    ),
    "unanimous_ratio": (
        1,
        "the rollouts of each prompt all had the same reward, which teaches nothing: choose problems that "
        "the model solves now and then, or raise generations",
    ),
}
"""Columns of the log, and the value of each in a step that teaches nothing."""


def no_signal(log: Iterable[Mapping[Any, float]]) -> list[str]:
    """What most of a run's steps lacked, in words; empty where most had something to learn from.

    Args:
        log: rows of log.jsonl, one a step.
    """
    rows = list(log)
    found = []
    for column, (value, words) in WITHOUT_SIGNAL.items():
        steps = sum(row.get(column) == value for row in rows)
        if rows and steps >= MOST * len(rows):
            found.append(f"in {steps} of {len(rows)} steps {words}")
    return found
