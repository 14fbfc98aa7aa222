"""The parts of an answer: what brackets enclose, what separators part, and what only leads in or ends."""

from collections.abc import Callable
from itertools import accumulate
from typing import Literal

from glow.verifier.grammar import wording
from glow.verifier.grammar.tokens import NotReadError, Token, Tokens

Between = Literal[",", "and", "or"]

_OPENING = frozenset(("(", "[", "{", r"\{", "<(", "floor(", "ceil("))
_CLOSING = frozenset((")", "]", "}", r"\}", ")>", ")floor", ")ceil"))
_NESTING = _OPENING | _CLOSING | {r"\begin", r"\end"}
_SEPARATORS: dict[str, Between] = {",": ",", ";": ",", r"\\": ",", "and": "and", "or": "or"}
_PUNCTUATION = (",", ";", ":", r"\\")


def is_sign(token: Token, *signs: str) -> bool:
    """Whether a token is one of the signs."""
    return token.kind == "sign" and token.text in signs


# --- brackets -------------------------------------------------------------------------------------


def outside(tokens: Tokens) -> list[bool]:
    """Whether each token stands outside all brackets; brackets themselves do.

    Raises:
        NotReadError: brackets do not match.
    """
    depth, found = 0, []
    for token in tokens:
        if token.text not in _NESTING:
            found.append(depth == 0)
            continue
        depth -= _closes(token) or token.text == r"\end"
        found.append(depth == 0)
        if depth < 0:
            raise NotReadError("a bracket is never opened")
        depth += _opens(token) or token.text == r"\begin"
    if depth:
        raise NotReadError("a bracket is never closed")
    return found


def last_opening(tokens: Tokens) -> int | None:
    """Where the bracket stands that the last token closes; None where it closes none."""
    if not tokens or not _closes(tokens[-1]):
        return None
    depths = accumulate(_closes(token) - _opens(token) for token in reversed(tokens))
    return next((len(tokens) - k for k, depth in enumerate(depths, 1) if depth == 0), None)


def first_closing(tokens: Tokens) -> int | None:
    """Where the bracket stands that closes the first token; None where none does."""
    if not tokens or not _opens(tokens[0]):
        return None
    depths = accumulate(_opens(token) - _closes(token) for token in tokens)
    return next((k for k, depth in enumerate(depths) if depth == 0), None)


def enclosed(tokens: Tokens) -> bool:
    """Whether the first token is a bracket that the last one closes."""
    return last_opening(tokens) == 0


def _opens(token: Token) -> bool:
    return token.text in _OPENING and token.kind == "sign"


def _closes(token: Token) -> bool:
    return token.text in _CLOSING and token.kind == "sign"


def split_where(tokens: Tokens, is_separator: Callable[[Token], bool]) -> list[list[Token]]:
    """The parts between separators outside all brackets."""
    if not any(map(is_separator, tokens)):
        return [list(tokens)]
    parts: list[list[Token]] = [[]]
    for token, is_outside in zip(tokens, outside(tokens), strict=True):
        if is_outside and is_separator(token):
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def split(tokens: Tokens, *signs: str) -> list[list[Token]]:
    """The parts between signs outside all brackets."""
    return split_where(tokens, lambda token: is_sign(token, *signs))


# --- lists and their ends -------------------------------------------------------------------------


def segments(tokens: Tokens) -> tuple[list[list[Token]], Between]:
    """The members of a list without brackets, and what stands between them: a word, if there is one."""
    members: list[list[Token]] = [[]]
    between: Between = ","
    for token, is_outside in zip(tokens, outside(tokens), strict=True):
        separator = _separator(token) if is_outside else None
        if separator is None:
            members[-1].append(token)
            continue
        members.append([])
        if "," not in (separator, between) and separator != between:
            raise NotReadError("and, as well as or")
        between = between if separator == "," else separator
    members = [member for member in members if member]
    if len(members) > 1 and all(token.text.lower() in wording.AFTERTHOUGHTS for token in members[-1]):
        members.pop()
    if len(members) > 1 and members[0][0].text.lower() in ("either", "both"):
        members[0] = members[0][1:]
    return members, between


def _separator(token: Token) -> Between | None:
    return _SEPARATORS.get(token.text.lower()) if token.kind in ("sign", "word") else None


def trimmed(tokens: Tokens) -> list[Token]:
    """The tokens without punctuation at the ends, and without braces around all of them."""
    found = list(tokens)
    while found and is_sign(found[-1], ".", *_PUNCTUATION):
        found.pop()
    while found and is_sign(found[0], *_PUNCTUATION):
        found.pop(0)
    return trimmed(found[1:-1]) if found and found[0].text == "{" and enclosed(found) else found


def without_lead_in(tokens: list[Token]) -> list[Token]:
    """The tokens without the words that lead in: `Answer:`, `Therefore,`, `The value is`."""
    for k, token in enumerate(tokens):
        is_word = token.kind == "word" and (len(token.text) > 1 or (token.worded and token.text == "a"))
        leads_in = is_word and token.text.lower() in wording.LEAD_INS
        if not leads_in and not (k and is_sign(token, ":", ",", ".")):
            return tokens[k:]
    return tokens
