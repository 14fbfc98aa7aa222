r"""The tokens of an answer in one spelling: numbers, letters, words, macros and signs.

Which commas of `100,200` group digits cannot be seen in it: `token_lists` gives one list of tokens for each
way to read them.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from glow.verifier.grammar.characters import FONTS, closing_brace

Kind = Literal["number", "letter", "word", "macro", "sign", "end"]


class Token(NamedTuple):
    r"""A token; `spaced`: white space stands before it; `worded`: it stands in `\text{}`."""

    kind: Kind
    text: str
    spaced: bool = False
    worded: bool = False


Tokens = Sequence[Token]
END = Token("end", "")


class NotReadError(Exception):
    """The answer is outside the grammar; nothing is known of what it says."""


class BeyondError(NotReadError):
    """It is mathematics that the grammar does not have: sums, integrals, limits ..."""


# --- tables ---------------------------------------------------------------------------------------

_SIGNS = {
    "<=": "<=", "=<": "<=", r"\le": "<=", r"\leq": "<=", r"\leqslant": "<=", r"\leqq": "<=", r"\lt": "<",
    ">=": ">=", r"\ge": ">=", r"\geq": ">=", r"\geqslant": ">=", r"\geqq": ">=", r"\gt": ">", "=>": "=>",
    "!=": "!=", r"\ne": "!=", r"\neq": "!=", r"\not=": "!=", "==": "=", r"\equiv": "==", r"\approx": "~=",
    r"\approxeq": "~=", r"\doteq": "~=", r"\simeq": "~=", r"\in": "in", r"\notin": "notin", r"\colon": ":",
    r"\cdot": "*", r"\times": "*", r"\ast": "*", "**": "^", r"\div": "/", r"\pm": "+-", "+-": "+-",
    "+/-": "+-", r"\mp": "-+", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]",
    r"\lparen": "(", r"\rparen": ")", r"\langle": "<(", r"\rangle": ")>", r"\lfloor": "floor(",
    r"\rfloor": ")floor", r"\lceil": "ceil(", r"\rceil": ")ceil", r"\lvert": "|", r"\rvert": "|",
    r"\vert": "|", r"\|": "||", r"\mid": "mid", r"\cup": "cup", r"\bigcup": "cup", r"\cap": "cap",
    r"\bigcap": "cap", r"\setminus": "minus", r"\backslash": "minus", r"\lor": "or", r"\vee": "or",
    r"\land": "and", r"\wedge": "and", r"\ldots": "...", r"\dots": "...", r"\cdots": "...", r"\dotsc": "...",
    r"\%": "%", r"\&": "&&", r"\$": "$", r"\degree": "deg", r"\circ": "circ", r"\prime": "'",
    r"\newline": r"\\", r"\cr": r"\\", r"\\": r"\\", r"\{": r"\{", r"\}": r"\}",
}  # fmt: skip
_MACROS = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\nicefrac": r"\frac",
    r"\sfrac": r"\frac", r"\xfrac": r"\frac", r"\dbinom": r"\binom", r"\tbinom": r"\binom",
    r"\surd": r"\squareroot", r"\tg": r"\tan", r"\ctg": r"\cot", r"\cosec": r"\csc",
    r"\arctg": r"\arctan", r"\arcsinh": r"\arsinh", r"\varnothing": r"\emptyset", r"\vartheta": r"\theta",
    r"\varphi": r"\phi", r"\varepsilon": r"\epsilon", r"\ohm": r"\Omega", r"\infin": r"\infty",
    r"\Reals": r"\mathbb{R}", r"\R": r"\mathbb{R}",
}  # fmt: skip
_LETTERS = {r"\imath": "i", r"\jmath": "j"}
_SKIPPED = frozenset(rf"\{font}" for font in FONTS) | {r"\_", r"\#"}
_MATHEMATICAL = frozenset(("i", "e", "d", "T", "C", "A"))
r"""What is no word in `\mathrm{}`; `\mathrm{cm}` is one."""

_TEXT = re.compile(
    r"\\(?P<macro>text(?:bf|it|rm|sf|tt|normal|up|md)?|mathrm|mbox|hbox|operatorname\*?|unit|si)(?![A-Za-z])\s*\{"
)
_NUMBER_SET = re.compile(r"\\math(?:bb|bf)\s*\{?\s*([RZQNC])\s*\}?")
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([A-Za-z]+)\*?\}(?:\s*\{[lcr|@\s]*\})?")
_NEGATED = re.compile(r"\\not\s*(=|\\in(?![A-Za-z]))")
_MACRO = re.compile(r"\\(?:[A-Za-z]+|.)", re.DOTALL)
_LETTER_RUN = re.compile(r"[A-Za-z]+")
_SIGN = re.compile(r"<=|>=|!=|==|=<|=>|\+/-|\+-|\*\*|\.\.\.+|.", re.DOTALL)
_DEEPEST_TEXT = 8

_NUMBER_START = re.compile(r"\.?\d")
_PLAIN_NUMBER = re.compile(r"\d*\.\d+|\d+")
_SCIENTIFIC = re.compile(r"(\d+(?:\.\d+)?)[eE]([+-]?)(\d{1,4})(?![\dA-Za-z])")
_SPACED_NUMBER = re.compile(r"\d{1,3}(?:\s\d{3})+(?:[.,]\d+)?(?!\d)")
_MARKED_NUMBER = re.compile(r"\d*(?:(?:[.,']|\{[,.]\})\d+)*")
"""Digits with points, commas and apostrophes between them."""
_BRACED_MARK = re.compile(r"\{([,.])\}")
_BLOCKS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?")
"""Digits in blocks of three, or of two as in India."""
_EUROPEAN = re.compile(r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d+")
_SWISS = re.compile(r"\d{1,3}(?:'\d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"\d+,\d+")

# --- the ways to read commas ----------------------------------------------------------------------

Commas = Literal["group", "split", "decimal"]
_UNSPACED_COMMA = re.compile(r"\d,\d")
_BRACKET = re.compile(r"[(\[]|\\\{")


def token_lists(text: str, decimal_commas: bool) -> Iterator[list[Token]]:
    """The tokens of a spelt answer, for each way to read its commas between digits."""
    is_bracketed = text[:1] in ("(", "[", "\\") and _BRACKET.match(text) is not None
    grouped = _tokens(text, "split" if is_bracketed else "group")  # (100,200) is a pair
    yield grouped
    if not _UNSPACED_COMMA.search(text):
        return
    split = _tokens(text, "split")
    if split != grouped:
        yield split
    if decimal_commas and text.count(",") == 1 and not _BRACKET.search(text):
        decimal = _tokens(text, "decimal")
        if decimal not in (grouped, split):
            yield decimal


# --- tokens ---------------------------------------------------------------------------------------


def _tokens(text: str, commas: Commas, depth: int = 0) -> list[Token]:
    r"""All tokens of a text that stands in so many `\text{}`."""
    if depth > _DEEPEST_TEXT:
        raise NotReadError("text within text within text")
    found: list[Token] = []
    at, spaced = 0, False
    while at < len(text):
        if text[at].isspace():
            at, spaced = at + 1, True
            continue
        added, at = _next(text, at, commas, depth)
        if added and spaced:
            added[0] = added[0]._replace(spaced=True)
        found += added
        spaced = False
    return found


def _next(text: str, at: int, commas: Commas, depth: int) -> tuple[list[Token], int]:
    """The tokens that begin at `at`, and where the next ones begin."""
    if text[at] == "\\":
        return _macro(text, at, commas, depth)
    if found := _SCIENTIFIC.match(text, at):
        return _scientific(found), found.end()
    if _NUMBER_START.match(text, at):
        number, end = _number(text, at, commas)
        return [Token("number", number)], end
    if found := _LETTER_RUN.match(text, at):
        return [Token("letter" if len(found[0]) == 1 else "word", found[0])], found.end()
    found = _SIGN.match(text, at)
    assert found is not None
    sign = "..." if found[0].startswith("...") else found[0]
    return [Token("sign", _SIGNS.get(sign, sign))], found.end()


def _macro(text: str, at: int, commas: Commas, depth: int) -> tuple[list[Token], int]:
    """The tokens of the macro that begins at `at`, and where the next ones begin."""
    if found := _TEXT.match(text, at):
        end = closing_brace(text, found.end())
        if end is None:
            raise NotReadError("a brace is never closed")
        content = text[found.end() : end]
        tokens = _tokens(content, commas, depth + 1)
        is_word = found["macro"] != "mathrm" or content.strip() not in _MATHEMATICAL
        return [_worded(token) for token in tokens] if is_word else tokens, end + 1
    if found := _ENVIRONMENT.match(text, at):
        return [Token("macro", rf"\{found[1]}"), Token("word", found[2])], found.end()
    if found := _NUMBER_SET.match(text, at):
        return [Token("macro", rf"\mathbb{{{found[1]}}}")], found.end()
    if found := _NEGATED.match(text, at):
        return [Token("sign", "!=" if found[1] == "=" else "notin")], found.end()
    if found := _MACRO.match(text, at):
        return _named(found[0]), found.end()
    raise NotReadError("a backslash at the end")


def _named(macro: str) -> list[Token]:
    """The token of a macro without arguments of its own; none where it only says how it looks."""
    if macro in _SKIPPED:
        return []
    if macro in _LETTERS:
        return [Token("letter", _LETTERS[macro])]
    return [Token("sign", _SIGNS[macro]) if macro in _SIGNS else Token("macro", _MACROS.get(macro, macro))]


def _worded(token: Token) -> Token:
    return token._replace(kind="word" if token.kind == "letter" else token.kind, worded=True)


# --- numbers --------------------------------------------------------------------------------------


def _scientific(found: re.Match[str]) -> list[Token]:
    """`1.2e-3` as the product that it is short for."""
    mantissa, sign, exponent = found.groups()
    power = [Token("sign", "-")] if sign == "-" else []
    return [
        Token("number", mantissa), Token("sign", "*"), Token("number", "10"), Token("sign", "^"),
        Token("sign", "{"), *power, Token("number", exponent), Token("sign", "}"),
    ]  # fmt: skip


def _number(text: str, at: int, commas: Commas) -> tuple[str, int]:
    """A number, its digits grouped or not, and where it ends; of several that commas part, the first."""
    if found := _SPACED_NUMBER.match(text, at):
        return "".join(found[0].split()).replace(",", "."), found.end()
    found = _MARKED_NUMBER.match(text, at)
    assert found is not None
    written = _BRACED_MARK.sub(r"\1", found[0])
    braced = written != found[0]
    decimal = commas == "decimal" and text[at - 1 : at] != ","
    if number := _ungrouped(written, grouped=commas == "group" or braced, decimal=decimal or braced):
        return number, found.end()
    found = _PLAIN_NUMBER.match(text, at)
    assert found is not None
    if _NUMBER_START.match(text, found.end()):
        raise NotReadError(f"{written} is no number")
    return found[0], found.end()


def _ungrouped(written: str, *, grouped: bool, decimal: bool) -> str | None:
    """A number whose marks group its digits, or whose comma is a point; None for others."""
    if _EUROPEAN.fullmatch(written):
        return written.replace(".", "").replace(",", ".")
    if _SWISS.fullmatch(written):
        return written.replace("'", "")
    if _BLOCKS.fullmatch(written):
        return written.replace(",", "") if grouped else None
    return written.replace(",", ".") if decimal and _DECIMAL_COMMA.fullmatch(written) else None
