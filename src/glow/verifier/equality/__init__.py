r"""Equality of two answers as far as it can be seen without parsing them, by kinds.

Each rule is one small function over two texts that decides or passes on, in the module of its kind; what all
pass on goes to math-verify in a worker process (`glow.verifier.compare`). A kind of answer that math-verify
gets wrong is handled by a rule here, before it. Pure string work, safe in any process: no text is executed or
parsed as code.
"""

import re
from functools import lru_cache

from glow.files.records import AnswerType
from glow.verifier.equality.brackets import bracket_sequence, brackets, is_bracket_row
from glow.verifier.equality.choices import by_choices, choice_letter, letters, names_none
from glow.verifier.equality.dates import clock, dates, months, read_date, read_time, times
from glow.verifier.equality.gold import LONGEST, TOO_LONG, Decision, Gold, Rule
from glow.verifier.equality.lists import bracketed, brackets_of_pairs, set_for_tuple, split_list
from glow.verifier.equality.numbers import bases, decimal_commas, numbers, read_measure, without_unit
from glow.verifier.equality.typography import normalise, respell, unmarked, unwrap
from glow.verifier.equality.words import BOOLEAN, booleans, same_text, same_words, symbols, words, words_of

__all__ = [
    "TOO_LONG", "Decision", "Gold", "bracket_sequence", "decide",
    "infer_type", "is_bracket_row", "names_none", "prepared",
]  # fmt: skip


def decide(stated: str, gold: str | Gold) -> Decision | None:
    """Compare two answers by the rules of their kind; None where that settles nothing."""
    gold = gold if isinstance(gold, Gold) else Gold(gold)
    if max(len(stated), len(gold.answer)) > LONGEST:
        return _decide_long(stated, gold.answer)
    if (decision := _decide_at_once(stated, gold)) is not None:
        return decision
    stated, answer = respell(stated), respell(gold.answer)
    for rule in _OF_TYPE.get(gold.type, _RULES):
        if (decision := rule(stated, answer)) is not None:
            return decision
    return Decision(False, f"not the same {gold.type}") if gold.type in _WORDY else None


def _decide_at_once(stated: str, gold: Gold) -> Decision | None:
    """Most of real traffic, and what must be seen before anything is respelt."""
    if gold.choices and (decision := by_choices(stated, gold)) is not None:
        return decision
    if stated == gold.answer:
        return Decision(True, "same text")
    if (
        gold.type in (None, "number")
        and _PLAIN_INTEGER.fullmatch(stated)
        and _PLAIN_INTEGER.fullmatch(gold.answer)
    ):
        return Decision(False, "different numbers")
    return brackets(stated, gold.answer) if is_bracket_row(gold) else None


_PLAIN_INTEGER = re.compile(r"-?[1-9]\d*|0")
"""Whole numbers in the one form in which they are equal only when their texts are."""
_PLAIN_DIGITS = re.compile(r"[+-]?\d+")


def _decide_long(stated: str, gold: str) -> Decision:
    """What can be said in linear time: the same text, two whole numbers, a set with the same members."""
    ours, theirs = ("".join(text.split()) for text in (stated, gold))
    if ours == theirs:
        return Decision(True, "same text")
    if _PLAIN_DIGITS.fullmatch(ours) and _PLAIN_DIGITS.fullmatch(theirs):
        return Decision(False, "different numbers")
    sets = [re.fullmatch(r"\\\{(.*)\\\}", text, re.DOTALL) for text in (ours, theirs)]
    if sets[0] and sets[1] and set(split_list(sets[0][1])) == set(split_list(sets[1][1])):
        return Decision(True, "same members")
    return TOO_LONG


# --- kinds ----------------------------------------------------------------------------------------

_MATRIX = re.compile(r"\\begin\s*\{[a-zA-Z]*(?:matrix|array)\*?\}")
_RELATION = re.compile(r"[<>=]|\\(?:le|ge|leq|geq|ne|neq|lt|gt|in)(?![A-Za-z])")
_INFINITE = re.compile(r"\\infty|\\cup(?![A-Za-z])")
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")


@lru_cache(maxsize=4096)
def infer_type(gold: str) -> AnswerType:
    r"""The kind of answer that `gold` looks to be.

    A bare comma list is a `set`: the golds of MATH so write all solutions, in no order. `(1,2)` is a
    `tuple` (an open interval is compared alike); `[1,2)` and unions are intervals.
    """
    if len(gold) > LONGEST:
        return "expression"
    text = respell(gold)
    bare = normalise(text)
    kinds: tuple[tuple[bool, AnswerType], ...] = (
        (bracket_sequence(gold) is not None, "brackets"),
        (BOOLEAN.fullmatch(unmarked(text)) is not None, "boolean"),
        (choice_letter(text) in set("ABCDEFGHIJ"), "choice"),
        (read_date(text) is not None, "date"),
        (read_measure(text) is not None, "number"),
        (read_time(text) is not None, "time"),
        (_MATRIX.search(text) is not None, "matrix"),
        (words_of(text) is not None, "text"),
        (_is_interval(bare), "interval"),
        (_RELATION.search(bare) is not None, "relation"),
        (bare[:1] in "([" and bracketed(bare) is not None, "tuple"),
        (bare.startswith(r"\{") or len(split_list(bare)) > 1 or r"\pm" in bare, "set"),
        (_IMAGINARY.search(bare) is not None, "complex"),
    )
    return next((kind for holds, kind in kinds if holds), "expression")


def _is_interval(bare: str) -> bool:
    if _RELATION.search(bare):
        return False
    pair = bracketed(bare)
    mixed = pair is not None and len(pair.members) == 2 and (pair.opening, pair.closing) != ("(", ")")
    return _INFINITE.search(bare) is not None or (mixed and bare[:1] in "([")


# --- members --------------------------------------------------------------------------------------


def _sequences(stated: str, gold: str) -> Decision | None:
    """For answers known to be lists or tuples: member by member, whatever brackets enclose them."""
    ours, theirs = _members(stated), _members(gold)
    if len(ours) != len(theirs):
        return Decision(False, "different lengths")
    decisions = [decide(own, right) for own, right in zip(ours, theirs, strict=True)]
    if any(decision is not None and not decision.equal for decision in decisions):
        return Decision(False, "different members, place by place")
    return Decision(True, "same members, in order") if None not in decisions else None


def _sets(stated: str, gold: str) -> Decision | None:
    """For answers known to be sets: each member has its like on the other side."""
    ours, theirs = (dict.fromkeys(_members(text)) for text in (stated, gold))
    own = [(member, right) for member in ours if member not in theirs for right in theirs]
    right = [(member, right) for right in theirs if right not in ours for member in ours]
    if len(own) + len(right) > _MOST_PAIRS:
        return None
    alike = [*_matches(own, 0).values(), *_matches(right, 1).values()]
    if False in alike:
        return Decision(False, "different members")
    return Decision(True, "same members") if None not in alike else None


_MOST_PAIRS = 1000
"""Pairs of members, one of each side, that are compared."""


def _matches(pairs: list[tuple[str, str]], side: int) -> dict[str, bool | None]:
    """Whether the member on that side of the pairs equals one of those on the other; None if undecided."""
    alike: dict[str, bool | None] = {}
    for pair in pairs:
        decision = decide(*pair)
        known = alike.setdefault(pair[side], False)
        if decision is None:
            alike[pair[side]] = known or None
        elif decision.equal:
            alike[pair[side]] = True
    return alike


def _members(text: str) -> list[str]:
    bare = normalise(text)
    inner = bracketed(bare)
    return inner.members if inner else split_list(bare)


# --- what goes to math-verify, and rules ----------------------------------------------------------


def prepared(text: str, kind: AnswerType | None) -> str:
    """`text` as it goes to math-verify: respelt, without dressing and without its unit.

    A list or tuple goes in round brackets: without any, or in braces, it would be compared as a set.
    """
    bare = without_unit(respell(unwrap(text)))
    return f"({','.join(_members(bare))})" if kind in ("list", "tuple") else bare


_RULES: tuple[Rule, ...] = (
    letters, dates, months, booleans, words, same_text, symbols, times, decimal_commas,
    numbers, bases, brackets_of_pairs, set_for_tuple,
)  # fmt: skip
_WORDY = ("text", "date", "time", "choice", "boolean", "brackets")
_OF_TYPE: dict[AnswerType | None, tuple[Rule, ...]] = {
    "text": (same_words, same_text),
    "date": (dates, months, same_text),
    "time": (clock, same_text),
    "choice": (letters, same_text),
    "boolean": (booleans, same_text),
    "brackets": (brackets,),
    "list": (same_text, _sequences),
    "tuple": (same_text, _sequences),
    "set": (same_text, _sets),
    "interval": (same_text, brackets_of_pairs, set_for_tuple),
    "expression": (same_text, numbers),
    "complex": (same_text, numbers),
}
"""Rules of a type that was given; others, and inferred ones, go through all rules."""
