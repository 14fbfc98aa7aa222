r"""What an answer says of a letter that is every integer: `k \in \mathbb{Z}`, `where n is an integer`."""

from glow.verifier.grammar.segments import is_sign, last_opening, trimmed
from glow.verifier.grammar.tokens import Token, Tokens

_INTEGERS = frozenset((r"\mathbb{Z}", "Z", "integer", "integers"))
_QUALIFYING = frozenset(
    "where for any all every each some is an a integer integers with in and being ( ) { }".split()
)


def without_qualifier(tokens: list[Token]) -> tuple[list[Token], str | None]:
    r"""An answer without `(k \in \mathbb{Z})` or `where k is an integer` at its end, and the letter."""
    opening = last_opening(tokens)
    for k in range(len(tokens) - 1, 0, -1):
        in_brackets = k == opening and is_sign(tokens[k], "(")
        if in_brackets or tokens[k].text in ("where", "for", "with"):
            letter = integer_letter(tokens[k:])
            if letter is not None:
                return trimmed(tokens[:k]), letter
    return tokens, None


def without_qualifying(segments: list[list[Token]]) -> tuple[list[list[Token]], str | None]:
    """A list without those of its segments that only say what a letter stands for, and the letter."""
    kept: list[list[Token]] = []
    letter = None
    for segment in segments:
        integer = integer_letter(segment) if kept else None
        if integer is None:
            kept.append(segment)
        letter = integer or letter
    kept, counted = _without_count(kept)
    return kept, letter or counted


def integer_letter(tokens: Tokens) -> str | None:
    """The letter of which the tokens say that it is an integer, and no more."""
    texts = [token.text for token in tokens]
    letters = [text for text in texts if len(text) == 1 and text.isalpha() and text not in ("Z", "a")]
    rest = [text for text in texts if text not in letters]
    known = all(text in _INTEGERS or text.lower() in _QUALIFYING for text in rest)
    return letters[0] if len(letters) == 1 and known and not _INTEGERS.isdisjoint(rest) else None


def _without_count(segments: list[list[Token]]) -> tuple[list[list[Token]], str | None]:
    r"""A list without `k = 0, \pm 1, \pm 2, \ldots` at its end, and the letter."""
    for k, segment in enumerate(segments[1:], 1):
        letter, *rest = (token.text for token in segment)
        counts = rest == ["=", "0"] and len(letter) == 1 and segments[-1][-1].text == "..."
        if counts and any(token.text == "+-" for token in segments[-2]):
            return segments[:k], letter
    return segments, None
