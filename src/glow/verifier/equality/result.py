"""What comparing two parts of answers says."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from glow.files.records import Leniency
from glow.verifier.grammar.tree import Statement


class Same(NamedTuple):
    """Whether two answers are equal (None: not known), why, and what was overlooked."""

    equal: bool | None
    reason: str
    leniency: Leniency | None = None


UNKNOWN = Same(None, "not decided by value")

Compare = Callable[[Statement, Statement], Same]
"""Whether two statements, of whatever kinds, mean the same."""


def all_same(results: Iterable[Same], reason: str = "same members") -> Same:
    """Yes where all say yes; no where one says no."""
    unknown, leniency = False, None
    for result in results:
        if result.equal is False:
            return Same(False, f"a member differs: {result.reason}")
        unknown = unknown or result.equal is None
        leniency = leniency or result.leniency
    return UNKNOWN if unknown else Same(True, reason, leniency)
