"""Rows of brackets, as the answers of BBH's dyck_languages are."""

import re

from glow.verifier.equality.gold import Decision, Gold
from glow.verifier.equality.typography import TEXT_MACRO, normalise

_BRACKET_SPELLINGS = (
    (re.compile(r"\\(?:left|right|big|Big)(?![A-Za-z])"), ""),
    (re.compile(r"\\(?:rangle|gt)(?![A-Za-z])"), ">"),
    (re.compile(r"\\(?:langle|lt)(?![A-Za-z])"), "<"),
    (re.compile(r"\\[rl]brace(?![A-Za-z])"), lambda found: "}" if "rb" in found[0] else "{"),
    (re.compile(r"\\[rl]brack(?![A-Za-z])"), lambda found: "]" if "rb" in found[0] else "["),
    (re.compile(r"\\([{}])"), r"\1"),
    (re.compile(r"\\[,;:! ]|[\s$`'\"~]"), ""),
)
_BRACKET_MACRO = re.compile(TEXT_MACRO + r"\s*\{(.*)\}", re.DOTALL)
_DIGIT = re.compile(r"\d")
_BRACKET_ROW = re.compile(r"[()\[\]{}<>]+")


def bracket_sequence(text: str) -> str | None:
    r"""The row of brackets that `text` is, once spaces, `\text{}`, `\}` and `\rangle` are resolved."""
    if _DIGIT.search(text):  # as in most answers
        return None
    while inner := _BRACKET_MACRO.fullmatch(text.strip()):
        text = inner[1]
    for pattern, replacement in _BRACKET_SPELLINGS:
        text = pattern.sub(replacement, text)
    return text if _BRACKET_ROW.fullmatch(text) else None


def is_bracket_row(gold: Gold) -> bool:
    r"""Whether the gold is a row of brackets; `\{\}` is the empty set unless its type says otherwise."""
    if gold.type is not None:
        return gold.type == "brackets"
    return bracket_sequence(gold.answer) is not None and normalise(gold.answer) not in (r"\{\}", "{}")


def brackets(stated: str, gold: str) -> Decision:
    """Rows of brackets, in order; spaces between them mean nothing."""
    same = bracket_sequence(stated) == bracket_sequence(gold)
    return Decision(same, "same brackets" if same else "different brackets")
