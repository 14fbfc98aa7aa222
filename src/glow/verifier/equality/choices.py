"""Choice letters in any dress, alone or before their text, and choices stated by their text or value."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from glow.verifier.equality.gold import Decision, Gold
from glow.verifier.equality.typography import normalise, unmarked
from glow.verifier.grammar.characters import spell

_PREFIX = (
    r"(?:(?i:the\s+)?(?i:correct\s+|best\s+|final\s+)?(?i:option|choice|answer|letter)(?:\s+is)?\s*[:=]?\s*)?"
)
_LETTER = re.compile(
    _PREFIX + r"[(\[<]?\s*([A-Za-z])\s*[)\]>]?[.:]?(?:\s+is\s+(?:correct|right|the\s+(?:correct\s+)?answer))?"
)
_OPTION = re.compile(
    _PREFIX + r"(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Za-z])\s*(?:[.):]|-(?=\s)))[\s\\:~]*(\S.*)", re.DOTALL
)
_LETTER_AND_VALUE = re.compile(r"([A-J])(?:\s*=\s*|\s+)(?=\(?[-\d$\\])(\S.*)", re.DOTALL)
_LETTER_AND_REASON = re.compile(r"([A-J])\s*,\s*(?:which\s+is|because|since|as)\b\s*(\S.*)", re.DOTALL)
_SEVERAL_NAMED = re.compile(
    r"(?i)^(?:the\s+)?(?:correct\s+)?(?:options|choices|answers|statements|both)(?:\s+are)?\s*:?\s+"
)
_MARK = re.compile(r"(?<![A-Za-z\\])(?:[(\[]\s*([A-J])\s*[)\]]|([A-J])\s*[.):](?![A-Za-z.])|([A-J])\s+-\s)")
_BETWEEN_LETTERS = re.compile(r"[\s,;/&+()\[\]\\]+")
_RUN_OF_LETTERS = re.compile(r"[A-J]{2,}")
_ARTICLE = re.compile(r"(?i)(?:the|an?)\s+")

Equal = Callable[[str, str], bool]
"""Whether two answers are equal by value."""


def choice_letter(text: str) -> str | None:
    r"""The letter that `text` is, once dressing is off: `\textbf{(C)}`, `(C)`, `C.`, `Option C`."""
    found = _LETTER.fullmatch(unmarked(text))
    return found[1] if found else None


class Option(NamedTuple):
    """A choice letter with what stands behind it: `(C) ellipse`."""

    letter: str
    text: str


def _option(text: str) -> Option | None:
    bare = unmarked(text)
    if found := _OPTION.fullmatch(bare):
        return Option(found[1] or found[2], found[3])
    found = _LETTER_AND_VALUE.fullmatch(bare) or _LETTER_AND_REASON.fullmatch(bare)
    return Option(found[1], found[2].strip("()")) if found else None


def letters(stated: str, gold: str) -> Decision | None:
    """A choice letter, alone or before its text: `(C) ellipse` states C, `(B) and (C)` states none."""
    if (several := _several(stated, gold)) is not None:
        return several
    right = choice_letter(gold)
    if right is None and (option := _OPTION.fullmatch(unmarked(gold))) and option[1] and option[1].isupper():
        right = option[1]
    own = _stated_letter(stated) if right is not None and right.isupper() else choice_letter(stated)
    if own is None or right is None:
        return None
    if own == _SEVERAL:
        return Decision(False, "several choice letters")
    # A choice may be stated in lower case; x and X may differ.
    return Decision(own == right or (own.upper() == right and right in _CHOICES), "choice letters")


_CHOICES, _SEVERAL = "ABCDEFGHIJ", "several"


def _stated_letter(stated: str) -> str | None:
    """The choice letter that an answer states; `_SEVERAL` where it states more than one."""
    if (own := choice_letter(stated)) is not None:
        return own
    if _letters_of(unmarked(stated)) or len(_marks(stated)) > 1:
        return _SEVERAL
    option = _option(stated)
    if option is None:
        return None
    return _SEVERAL if _marks(option.text) - {option.letter.upper()} else option.letter


def _marks(text: str) -> set[str]:
    """The letters that stand in a text as choices do: `A.`, `(B)`."""
    return {found[1] or found[2] or found[3] for found in _MARK.finditer(text)}


def _letters_of(bare: str) -> tuple[str, ...]:
    """The choice letters of which a text is made, with nothing else: `A, B`, `(A) or (B)`; else none."""
    parts = [
        part
        for part in _BETWEEN_LETTERS.split(_SEVERAL_NAMED.sub("", bare))
        if part and part not in ("and", "or")
    ]
    return tuple(parts) if len(parts) > 1 and all(len(part) == 1 and part.isupper() for part in parts) else ()


def _several(stated: str, gold: str) -> Decision | None:
    """Where several choices are right: all of them and no other, in any order, `AC` or `A and C`."""
    written = unmarked(gold).strip("{}\\ ")
    right = _letters_of(written)
    if not right and _RUN_OF_LETTERS.fullmatch(written) and _letters_of(unmarked(stated)):
        right = tuple(written)
    if not right or not all(letter in _CHOICES for letter in right) or _OR.search(gold):
        return None
    bare = unmarked(stated).strip("{}\\ ")
    own = tuple(bare) if _RUN_OF_LETTERS.fullmatch(bare) else _letters_of(bare)
    if not own and (single := choice_letter(stated)):
        own = (single,)
    if not own:
        return None
    same = sorted(own) == sorted(right) and not _OR.search(stated)
    return Decision(same, "the same choices" if same else "other choices")


_OR = re.compile(r"\bor\b|/")


def by_choices(stated: str, gold: Gold, equal: Equal) -> Decision | None:
    """Where the choices are known: a choice stated by its text or value is the choice of its letter."""
    right = _right(gold, equal)
    if right is None:
        return None
    if choice_letter(stated) is None and (own := _by_text(stated, gold.choices)) is not None:
        return Decision(own == right, "the choice's text")
    spelt = spell(stated)
    decision = letters(spelt, right)
    if decision is not None and decision.equal and (option := _option(spelt)):
        named = _by_text(option.text, gold.choices) or _by_value(option.text, gold.choices, equal)
        if named is not None and named != right:
            return Decision(False, "a letter with the text of another choice")
    if decision is None and (own := _by_value(stated, gold.choices, equal)) is not None:
        decision = Decision(own == right, "the choice's value")
    return decision


def names_none(gold: Gold, equal: Equal) -> bool:
    """Whether the gold answer is neither a letter nor the text of one of its choices: no answer is right."""
    return _right(gold, equal) is None


def _right(gold: Gold, equal: Equal) -> str | None:
    """The letter of the right choice: the gold answer's own, in upper case, or that of its text."""
    own = choice_letter(gold.answer)
    if own is not None and ord(own.upper()) - ord("A") < len(gold.choices):
        return own.upper()
    return _by_text(gold.answer, gold.choices) or _by_value(gold.answer, gold.choices, equal)


def _by_text(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the only choice that reads as `text`, with or without its article."""
    own = _bare(text)
    return _letter_of_only([k for k, choice in enumerate(choices) if _bare(choice) == own])


def _by_value(text: str, choices: Sequence[str], equal: Equal) -> str | None:
    return _letter_of_only([k for k, choice in enumerate(choices) if equal(text, choice)])


def _bare(text: str) -> str:
    return normalise(spell(_ARTICLE.sub("", unmarked(text), count=1))).casefold()


def _letter_of_only(places: list[int]) -> str | None:
    return chr(ord("A") + places[0]) if len(places) == 1 else None
