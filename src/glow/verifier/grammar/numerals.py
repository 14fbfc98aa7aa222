r"""Numerals of a base that is named: `101_2`, `A5_{16}`, `101 (base two)`, `0x1F`."""

import re

from glow.verifier.grammar.characters import spell
from glow.verifier.grammar.tokens import Tokens
from glow.verifier.grammar.tree import Numeral

_BASES = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "twelve": 12, "sixteen": 16,
}  # fmt: skip
_LARGEST_BASE = 36
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mbox|textrm)\s*\{([^{}]*)\}")
_DIGITS = r"\(?\s*(?P<digits>-?[0-9][0-9A-Za-z]*|-?[A-F]*[0-9][0-9A-F]*)\s*\)?"
_SUBSCRIPT = re.compile(_DIGITS + r"\s*_\s*\{?\s*\(?\s*(?P<base>\d{1,2}|[a-z]{3,7})\s*\)?\s*\}?")
_IN_WORDS = re.compile(
    _DIGITS + r"\s*\(?\s*(?:in\s+)?base[\s-]*(?P<base>\d{1,2}|[a-z]{3,7})\s*\)?", re.IGNORECASE
)
_PREFIXED = re.compile(r"0(?P<mark>[xb])(?P<digits>[0-9A-Fa-f]+)")


def bare_digits(text: str) -> str:
    """What a text without a base would be as a numeral: `A5`."""
    return _bare(_TEXT.sub(r"\1", spell(text)).strip(" .()"))


def read_numeral(tokens: Tokens) -> Numeral | None:
    """The numeral that tokens are, or None."""
    text = "".join(" " * token.spaced + token.text for token in tokens).strip().rstrip(".")
    if found := _PREFIXED.fullmatch(text):
        return Numeral(_bare(found["digits"]), 16 if found["mark"] == "x" else 2)
    found = _SUBSCRIPT.fullmatch(text) or _IN_WORDS.fullmatch(text)
    if found is None:
        return None
    base = int(found["base"]) if found["base"].isdigit() else _BASES.get(found["base"].lower(), 0)
    return Numeral(_bare(found["digits"]), base) if 2 <= base <= _LARGEST_BASE else None


def _bare(digits: str) -> str:
    return digits.upper().lstrip("0") or "0"
