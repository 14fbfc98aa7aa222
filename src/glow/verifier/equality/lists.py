"""Answers of several members: how they part, and what their brackets say."""

import re
from typing import NamedTuple

from glow.verifier.equality.gold import Decision
from glow.verifier.equality.typography import normalise


class Bracketed(NamedTuple):
    """Members between brackets."""

    opening: str
    members: list[str]
    closing: str


_OPEN = {"(": 1, "[": 1, "{": 1}
_CLOSE = {")": 1, "]": 1, "}": 1}


def split_list(bare: str) -> list[str]:
    """The parts between the commas and semicolons that no bracket encloses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(bare):
        depth += _OPEN.get(character, 0) - _CLOSE.get(character, 0)
        if character in ",;" and depth == 0:
            parts.append(bare[start:position])
            start = position + 1
    return [*parts, bare[start:]]


def bracketed(bare: str) -> Bracketed | None:
    r"""A normalised answer as one list in `()`, `[]`, `\{\}` or a mixture of the first two; None else."""
    found = re.fullmatch(r"(\(|\[|\\\{)(.*)(\)|\]|\\\})", bare, re.DOTALL)
    if found is None or (found[1] == r"\{") != (found[3] == r"\}"):
        return None
    depth = 0
    for character in found[2]:
        depth += _OPEN.get(character, 0) - _CLOSE.get(character, 0)
        if depth < 0:
            return None
    members = split_list(found[2])
    return Bracketed(found[1], members, found[3]) if depth == 0 and len(members) > 1 else None


def brackets_of_pairs(stated: str, gold: str) -> Decision | None:
    """`(1,2]` is not `[1,2)`: the released grader ignores an interval's brackets."""
    ours, theirs = bracketed(normalise(stated)), bracketed(normalise(gold))
    if ours is None or theirs is None or len(ours.members) != 2 or len(theirs.members) != 2:
        return None
    own, right = ours.opening + ours.closing, theirs.opening + theirs.closing
    if own != right and r"\{\}" not in (own, right):
        return Decision(False, "different brackets")
    return None


def set_for_tuple(stated: str, gold: str) -> Decision | None:
    r"""`\{2,1\}` states no order, so it is no tuple."""
    ours, theirs = bracketed(normalise(stated)), bracketed(normalise(gold))
    if ours and theirs and ours.opening == r"\{" and theirs.opening != r"\{":
        return Decision(False, "a set for a tuple or interval")
    return None
