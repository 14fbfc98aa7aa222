"""Plain words, yes and no, and texts that are the same but for their typography."""

import re

from glow.verifier.equality.gold import Decision
from glow.verifier.equality.typography import TEXT_MACRO, normalise, unmarked

_BOOLEANS = {"yes": True, "true": True, "no": False, "false": False}
BOOLEAN = re.compile(r"(?i)(yes|no|true|false)(?:\s*[.,;:!].*)?", re.DOTALL)

_WORD = r"[^\W\d_]+"
_WORDS = re.compile(rf"{_WORD}(?:[\s,'-]+{_WORD})*")
_LONG_WORD = re.compile(r"[^\W\d_]{4}")
_IN_TEXT = re.compile(TEXT_MACRO)
_ITEM = re.compile(r"\s*(?:,|;|,?\s\band\b)\s*")


def words_of(text: str) -> str | None:
    """The words that `text` is, or None where it may be a product of letters."""
    words = " ".join(unmarked(text).split())
    if not _WORDS.fullmatch(words):
        return None
    return words if _LONG_WORD.search(words) or _IN_TEXT.search(text) else None


def words(stated: str, gold: str) -> Decision | None:
    """Plain words, in any case. Without this, math-verify reads `listen` and `silent` as one product."""
    ours, theirs = (" ".join(unmarked(text).split()) for text in (stated, gold))
    if not (_WORDS.fullmatch(ours) and _WORDS.fullmatch(theirs)):
        return None
    if ours.casefold() == theirs.casefold():
        return Decision(True, "same words")
    if words_of(stated) is None and words_of(gold) is None:
        return None
    items, others = (sorted(_ITEM.split(words.casefold())) for words in (ours, theirs))
    if len(items) > 1 and items == others:
        return Decision(True, "same words, as an unordered list")
    # The golds of BBH's word sorting have blanks where others put commas.
    if ours.replace(",", "").casefold() == theirs.replace(",", "").casefold():
        return Decision(True, "same words, with commas or blanks between them")
    return Decision(False, "different words")


def same_words(stated: str, gold: str) -> Decision | None:
    """For answers that are known to be text."""
    ours, theirs = (" ".join(unmarked(text).split()).casefold() for text in (stated, gold))
    return Decision(True, "same words") if ours == theirs else None


def booleans(stated: str, gold: str) -> Decision | None:
    """yes is true and no is false, each alone or before a comma or stop: `Yes, it does`."""
    right, own = BOOLEAN.fullmatch(unmarked(gold)), BOOLEAN.fullmatch(unmarked(stated))
    if right is None or own is None:
        return None
    return Decision(_BOOLEANS[own[1].lower()] == _BOOLEANS[right[1].lower()], "yes or no")


def same_text(stated: str, gold: str) -> Decision | None:
    return Decision(True, "same text") if normalise(stated) == normalise(gold) else None


def symbols(stated: str, gold: str) -> Decision | None:
    """Without any letter or digit only the same text is equal."""
    if any(character.isalnum() for character in stated + gold):
        return None
    return Decision(False, "different symbols")
