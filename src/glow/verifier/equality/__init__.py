r"""Equality of two answers, by kinds.

Choices, dates, words and rows of brackets are compared as text, each in the module of its kind. All else is
read by a grammar (`glow.verifier.grammar`) and compared by what it says (`same`) and its values (`values`).
What the grammar does not have goes to math-verify, in a worker process (`glow.verifier.compare`). Safe in any
process: no text is executed, and every computation is bounded.
"""

import re
from functools import partial

from glow.files.records import AnswerType
from glow.verifier.equality import choices
from glow.verifier.equality.brackets import bracket_sequence, brackets, is_bracket_row
from glow.verifier.equality.choices import letters
from glow.verifier.equality.dates import clock, dates, months, times
from glow.verifier.equality.gold import LONGEST, TOO_LONG, Decision, Gold, Rule
from glow.verifier.equality.kinds import infer_type, rational
from glow.verifier.equality.same import same
from glow.verifier.equality.words import booleans, same_text, same_words, symbols, words, words_of
from glow.verifier.grammar import Readings, bare_digits, read
from glow.verifier.grammar.characters import spell
from glow.verifier.grammar.tree import Numeral

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
    stated, answer = _without_denial(spell(stated)), spell(gold.answer)
    for rule in _OF_TYPE.get(gold.type, _RULES):
        if (decision := rule(stated, answer)) is not None:
            return decision
    return Decision(False, f"not the same {gold.type}") if gold.type in _WORDY else None


def _decide_at_once(stated: str, gold: Gold) -> Decision | None:
    """Most of real traffic, and what must be seen before anything is respelt."""
    if gold.choices and (decision := choices.by_choices(stated, gold, _equal_by_grammar)) is not None:
        return decision
    if stated == gold.answer:
        return Decision(True, "same text")
    if gold.type in (None, "number", "expression"):
        own, right = rational(stated), rational(gold.answer)
        if own is not None and right is not None:
            return Decision(own == right, "same number" if own == right else "different numbers")
    return brackets(stated, gold.answer) if is_bracket_row(gold) else None


_PLAIN_DIGITS = re.compile(r"[+-]?\d+")


def _decide_long(stated: str, gold: str) -> Decision:
    """What can be said in linear time: the same text, two whole numbers, a set with the same members."""
    ours, theirs = ("".join(text.split()) for text in (stated, gold))
    if ours == theirs:
        return Decision(True, "same text")
    if _PLAIN_DIGITS.fullmatch(ours) and _PLAIN_DIGITS.fullmatch(theirs):
        return Decision(False, "different numbers")
    sets = [re.fullmatch(r"\\\{(.*)\\\}", text, re.DOTALL) for text in (ours, theirs)]
    if sets[0] and sets[1] and set(_members(sets[0][1])) == set(_members(sets[1][1])):
        return Decision(True, "same members")
    return TOO_LONG


def _members(inside: str) -> list[str]:
    """The parts between the commas that no bracket encloses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(inside):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(inside[start:position])
            start = position + 1
    return [*parts, inside[start:]]


_DENIAL = re.compile(
    r"(?<=\S)\s?[,(]?\s?(?:\\text\s?\{\s?)?\(?\b(?:and|but)?\s?\bnot[ }]+"
    r"(?:\\?\(?[A-J]\b|[-$\\]?\d|\\(?:frac|sqrt|pi)\b)[^,;]*$"
)


def _without_denial(spelt: str) -> str:
    """An answer without what is denied behind it: `42, not 43`, `C (and not D)`."""
    return _DENIAL.sub(lambda denied: "}" * max(0, denied[0].count("}") - denied[0].count("{")), spelt)


# --- by the grammar -------------------------------------------------------------------------------


def _by_grammar(stated: str, gold: str, order: bool | None = None) -> Decision | None:
    """What the readings of two answers say; None where math-verify is to be asked.

    Args:
        order: whether the order of members counts, where the type of the gold says so.
    """
    ours, theirs = read(stated, decimal_commas=True), read(gold)
    if _GROUPED.fullmatch(gold):  # a number, and no list
        theirs = theirs._replace(statements=theirs.statements[:1])
    undecided, reason = False, "different answers"
    for own in ours.statements:
        for right in theirs.statements:
            found = same(own, right, order)
            if found.equal:
                return Decision(True, found.reason, found.leniency)
            undecided = undecided or found.equal is None
            reason = found.reason
    if _is_numeral(ours, gold) or _is_numeral(theirs, stated):
        return Decision(True, "same digits, base left out", "base left out")
    if _DECIMAL_COMMA.fullmatch(gold):
        decision = _by_grammar(stated, gold.replace(",", "."), order)
        return decision._replace(leniency="decimal comma") if decision and decision.equal else decision
    if not ours.statements and not ours.beyond:
        return Decision(False, "it cannot be read whole")
    if undecided or ours.beyond or theirs.beyond:
        return None
    return Decision(False, reason) if theirs.statements or words_of(gold) else None


def _is_numeral(readings: Readings, digits: str) -> bool:
    """Whether an answer is a numeral of a base with the digits that the other one has without it: `A5`."""
    found = readings.statements[:1]
    return bool(found) and isinstance(found[0], Numeral) and found[0].digits == bare_digits(digits)


_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+,\d{2}|\d+,\d{4,}|0,\d{3})")
"""A gold that is a list, or a decimal number as it is written in many countries."""


def _equal_by_grammar(stated: str, gold: str) -> bool:
    decision = _by_grammar(spell(stated), spell(gold))
    return decision is not None and decision.equal


def names_none(gold: Gold) -> bool:
    """Whether the gold answer is neither a letter nor one of its choices: no answer is right."""
    return choices.names_none(gold, _equal_by_grammar)


def prepared(text: str, kind: AnswerType | None) -> str:
    """`text` as it goes to math-verify, for which a list in order stands in round brackets."""
    spelt = spell(text)
    return f"({spelt})" if kind in ("list", "tuple") and spelt[:1] not in "([" else spelt


_RULES: tuple[Rule, ...] = (
    letters, dates, months, booleans, words, same_text, symbols, times, _by_grammar
)  # fmt: skip
_WORDY = ("text", "date", "time", "choice", "boolean", "brackets")
_IN_ORDER: tuple[Rule, ...] = (same_text, partial(_by_grammar, order=True))
_OF_TYPE: dict[AnswerType | None, tuple[Rule, ...]] = {
    "text": (same_words, same_text),
    "date": (dates, months, same_text),
    "time": (clock, same_text),
    "choice": (letters, same_text),
    "boolean": (booleans, same_text),
    "brackets": (brackets,),
    "list": _IN_ORDER,
    "tuple": _IN_ORDER,
    "set": (same_text, partial(_by_grammar, order=False)),
    "interval": (same_text, _by_grammar),
    "expression": (same_text, _by_grammar),
    "complex": (same_text, _by_grammar),
}
"""Rules of a type that was given; others, and inferred ones, go through all rules."""
