"""Plain words, yes and no, and texts that are the same but for their typography."""

import re

from glow.verifier.equality.gold import Decision
from glow.verifier.equality.typography import TEXT_MACRO, normalise, unmarked
from glow.verifier.grammar.wording import NUMBERS

_BOOLEANS = {"yes": True, "true": True, "no": False, "false": False}
_STATEMENT = r"(?:the (?:statement|claim|answer) is |it is |that is )?"
BOOLEAN = re.compile(rf"(?i){_STATEMENT}(yes|no|true|false)(?:\s*[.,;:!(].*|\s+-\s.*)?", re.DOTALL)
_YES_OR_NO = re.compile(r"(?i)\b(?:not (?:true|false)|(yes|no|true|false))\b")

_LEAD_IN = re.compile(
    r"(?i)^(?:(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is|\s*:)?\s+|it\s+is\s+)?(?:(?:an?|the)\s+)?(?=\S\S)"
)
_SPACED_COMMA = re.compile(r"\d,\s+\d{3}(?!\d)")
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
    ours, theirs = _plain(stated), _plain(gold)
    if not (_WORDS.fullmatch(ours) and _WORDS.fullmatch(theirs)):
        return None
    if _phrase(ours) == _phrase(theirs):
        return Decision(True, "same words")
    are_words = words_of(stated) is not None or words_of(gold) is not None
    if not are_words or _have_numbers(ours) or _have_numbers(theirs):
        return None
    items, others = (sorted(_ITEM.split(words.casefold())) for words in (ours, theirs))
    if len(items) > 1 and items == others:
        return Decision(True, "same words, as an unordered list")
    # The golds of BBH's word sorting have blanks where others put commas.
    if ours.replace(",", "").casefold() == theirs.replace(",", "").casefold():
        return Decision(True, "same words, with commas or blanks between them")
    return Decision(False, "different words")


def _plain(text: str) -> str:
    """Words without their dressing, a lead-in and an article; `&` is "and"."""
    bare = " ".join(unmarked(text).replace(r"\&", " and ").replace("&", " and ").split())
    return _LEAD_IN.sub("", bare.strip("'()[] "))


_SAME_PHRASES = {
    "dne": "does not exist", "no solutions": "no solution", "no real solution": "no solution",
    "no real solutions": "no solution", "empty set": "no solution", "there is no solution": "no solution",
    "there are no solutions": "no solution", "there are no real solutions": "no solution",
}  # fmt: skip


def _phrase(words: str) -> str:
    """Words in one case and without hyphens, and one phrase for some that mean the same."""
    folded = words.casefold().replace("non-", "non").replace("-", " ")
    return _SAME_PHRASES.get(folded, folded)


def _have_numbers(words: str) -> bool:
    return not NUMBERS.isdisjoint(re.split(r"[\s-]+", words.casefold()))


def same_words(stated: str, gold: str) -> Decision | None:
    """For answers that are known to be text."""
    ours, theirs = (" ".join(unmarked(text).split()).casefold() for text in (stated, gold))
    return Decision(True, "same words") if ours == theirs else None


def booleans(stated: str, gold: str) -> Decision | None:
    """yes is true and no is false, each alone or before a comma or stop: `Yes, it does`."""
    right, own = BOOLEAN.fullmatch(unmarked(gold)), BOOLEAN.fullmatch(unmarked(stated))
    if right is None or own is None:
        return None
    said = {_BOOLEANS[word.lower()] for word in _YES_OR_NO.findall(unmarked(stated)) if word}
    if len(said) > 1:
        return Decision(False, "both yes and no")
    return Decision(_BOOLEANS[own[1].lower()] == _BOOLEANS[right[1].lower()], "yes or no")


def same_text(stated: str, gold: str) -> Decision | None:
    """Whether two answers differ in spacing and typography only; `1, 234` is a list and `1,234` a number."""
    if bool(_SPACED_COMMA.search(stated)) != bool(_SPACED_COMMA.search(gold)):
        return None
    return Decision(True, "same text") if normalise(stated) == normalise(gold) else None


def symbols(stated: str, gold: str) -> Decision | None:
    """Without any letter or digit only the same text is equal."""
    if any(character.isalnum() for character in stated + gold):
        return None
    return Decision(False, "different symbols")
