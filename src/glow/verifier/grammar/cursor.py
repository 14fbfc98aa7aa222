"""A place in a list of tokens."""

from collections.abc import Sequence

from glow.verifier.grammar.tokens import END, NotReadError, Token


class Cursor:
    """The tokens, and at which of them reading goes on."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = list(tokens)
        self.at = 0

    def peek(self, ahead: int = 0) -> Token:
        """The next token, or one behind it; `END` where there is none."""
        place = self.at + ahead
        return self.tokens[place] if place < len(self.tokens) else END

    def next(self) -> Token:
        """The next token, which is then read."""
        token = self.peek()
        self.at += 1
        return token

    def at_sign(self, *signs: str) -> bool:
        """Whether one of the signs comes next."""
        token = self.peek()
        return token.kind == "sign" and token.text in signs

    def take(self, *signs: str) -> bool:
        """Whether one of the signs comes next, which is then read."""
        found = self.at_sign(*signs)
        self.at += found
        return found

    def expect(self, sign: str) -> None:
        """Read a sign.

        Raises:
            NotReadError: another token comes next.
        """
        if not self.take(sign):
            raise NotReadError(f"{sign!r} is missing")
