"""Choice letters in any dress, alone or before their text, and choices stated by their text."""

import re
from collections.abc import Sequence

from glow.verifier.equality.gold import Decision, Gold
from glow.verifier.equality.numbers import numbers
from glow.verifier.equality.typography import normalise, respell, unmarked

_PREFIX = r"(?:(?i:the\s+)?(?i:correct\s+|best\s+|final\s+)?(?i:option|choice|answer)(?:\s+is)?\s*[:=]?\s*)?"
_LETTER = re.compile(_PREFIX + r"[(\[<]?\s*([A-Za-z])\s*[)\]>]?[.:]?")
_OPTION = re.compile(
    _PREFIX + r"(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Za-z])\s*(?:[.):]|-(?=\s)))[\s\\:~]*\S.*", re.DOTALL
)
_BRACKETED_LETTER = re.compile(r"[(\[]\s*([A-Z])\s*[)\]]")
_BETWEEN_LETTERS = re.compile(r"[\s,;/&+()\[\]]+")


def choice_letter(text: str) -> str | None:
    r"""The letter that `text` is, once dressing is off: `\textbf{(C)}`, `(C)`, `C.`, `Option C`."""
    found = _LETTER.fullmatch(unmarked(text))
    return found[1] if found else None


def letters(stated: str, gold: str) -> Decision | None:
    """A choice letter, alone or before its text: `(C) ellipse` states C, `(B) and (C)` states none."""
    right = choice_letter(gold)
    if right is None and (option := _OPTION.fullmatch(unmarked(gold))) and option[1]:
        right = option[1].upper()
    if right is None:
        return None
    bare = unmarked(stated)
    own = choice_letter(stated)
    if own is None and right.isupper():
        if _are_letters(bare) or len(set(_BRACKETED_LETTER.findall(stated))) > 1:
            return Decision(False, "several choice letters")
        if option := _OPTION.fullmatch(bare):
            own = option[1] or option[2]
    if own is None:
        return None
    # A gold letter in upper case is a choice, which may be stated in lower case; x and X may differ.
    return Decision(own == right or own.upper() == right, "choice letters")


def _are_letters(bare: str) -> bool:
    """Several choice letters and nothing else: `A, B`, `(A) or (B)`."""
    parts = [part for part in _BETWEEN_LETTERS.split(bare) if part and part not in ("and", "or")]
    return len(parts) > 1 and all(len(part) == 1 and part.isupper() for part in parts)


def by_choices(stated: str, gold: Gold) -> Decision | None:
    """Where the choices are known: a choice stated by its text is the choice of its letter."""
    right = _right(gold)
    if right is None:
        return None
    decision = letters(respell(stated), right)
    if decision is None and (own := _choice_of(stated, gold.choices)) is not None:
        decision = Decision(own == right, "the choice's text")
    return decision


def names_none(gold: Gold) -> bool:
    """Whether the gold answer is neither a letter nor the text of one of its choices: no answer is right."""
    return _right(gold) is None


def _right(gold: Gold) -> str | None:
    """The letter of the right choice: the gold answer's own, in upper case, or that of its text."""
    own = choice_letter(gold.answer)
    if own is not None and ord(own.upper()) - ord("A") < len(gold.choices):
        return own.upper()
    return _choice_of(gold.answer, gold.choices)


def _choice_of(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the only choice that reads as `text`."""
    own = normalise(respell(text)).casefold()
    same = [k for k, choice in enumerate(choices) if normalise(respell(choice)).casefold() == own]
    if not same:
        decisions = [numbers(respell(text), respell(choice)) for choice in choices]
        same = [k for k, decision in enumerate(decisions) if decision is not None and decision.equal]
    return chr(ord("A") + same[0]) if len(same) == 1 else None
