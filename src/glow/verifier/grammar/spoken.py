"""Digits and signs for what an answer says in words: `two thirds`, `5 out of 7`, `minus 3`, `twenty-one`."""

from glow.verifier.grammar.tokens import Token
from glow.verifier.grammar.wording import DENOMINATORS, MULTIPLES, ONES, SCALES, TENS

_OPERATORS = {
    ("times",): "*", ("multiplied", "by"): "*", ("divided", "by"): "/", ("over",): "/", ("out", "of"): "/",
    ("plus",): "+", ("minus",): "-", ("to", "the", "power", "of"): "^", ("to", "the", "power"): "^",
    ("is", "at", "least"): ">=", ("is", "at", "most"): "<=", ("is", "greater", "than"): ">",
    ("is", "more", "than"): ">", ("is", "less", "than"): "<",
}  # fmt: skip
_BELOW_HUNDRED = ONES.keys() | TENS.keys()


def in_symbols(tokens: list[Token]) -> list[Token]:
    """The tokens of an answer with digits and signs for words."""
    if not any(token.kind == "word" or token.text in ("x", "X") for token in tokens):
        return tokens
    tokens = _with_digits(tokens)
    found: list[Token] = []
    at = 0
    while at < len(tokens):
        symbol, length = _symbol(tokens, at)
        found.append(symbol)
        at += length
    return found


# --- operators ------------------------------------------------------------------------------------


def _symbol(tokens: list[Token], at: int) -> tuple[Token, int]:
    """The token at a place, or the sign that words there stand for, and how many tokens that takes."""
    token = tokens[at]
    word = token.text.lower()
    if at > 0 and word == "x" and _between_numbers(tokens, at):
        return _sign("*"), 1
    if token.kind != "word":
        return token, 1
    if at == 0:
        is_minus = word in ("minus", "negative") and len(tokens) > 1
        return _sign("-") if is_minus else token, 1
    for words, sign in _OPERATORS.items():
        behind = at + len(words)
        if behind < len(tokens) and words == tuple(one.text.lower() for one in tokens[at:behind]):
            return _sign(sign), len(words)
    return Token("macro", r"\choose") if word == "choose" else token, 1


def _between_numbers(tokens: list[Token], at: int) -> bool:
    """Whether an x is a multiplication sign: `3 x 10^4`."""
    if not 0 < at < len(tokens) - 1:
        return False
    before, token, after = tokens[at - 1 : at + 2]
    return before.kind == after.kind == "number" and (token.worded or token.spaced or after.text == "10")


def _sign(text: str, spaced: bool = False) -> Token:
    return Token("sign", text, spaced)


# --- numbers --------------------------------------------------------------------------------------


def _with_digits(tokens: list[Token]) -> list[Token]:
    """The tokens with digits for numbers: `two hundred and five`, `three quarters`, `two and a half`."""
    found: list[Token] = []
    at = 0
    while at < len(tokens):
        end, value = _whole_number(tokens, at)
        if end == at:
            found.append(tokens[at])
            at += 1
            continue
        spaced, worded = tokens[at].spaced, tokens[at].worded
        digits = [Token("number", str(value), spaced, worded)]
        below, at = _denominator(tokens, end)
        if below:
            divisor = Token("number", str(below), worded=worded)
            digits = [_sign("{", spaced), *digits, _sign("/"), divisor, _sign("}")]
        if half := _and_a_half(tokens, at):
            digits = [_sign("{", spaced), *digits, _sign("+"), *half, _sign("}")]
            at += 3
        found += digits
    return found


def _denominator(tokens: list[Token], at: int) -> tuple[int | None, int]:
    """What the word at a place, or behind a hyphen there, divides by, and where what follows begins."""
    named = at + 1 if at < len(tokens) and tokens[at].text == "-" else at
    below = DENOMINATORS.get(tokens[named].text.lower()) if named < len(tokens) else None
    return below, named + 1 if below else at


def _and_a_half(tokens: list[Token], at: int) -> list[Token]:
    """The fraction of `and a half`, if that comes next."""
    words = [token.text.lower() for token in tokens[at : at + 3]]
    if len(words) < 3 or words[0] != "and" or words[1] not in ("a", "one") or words[2] not in DENOMINATORS:
        return []
    return [Token("number", "1"), _sign("/"), Token("number", str(DENOMINATORS[words[2]]))]


def _whole_number(tokens: list[Token], start: int) -> tuple[int, int]:
    """Where the number that begins at `start` ends, and its value; `start` itself where none begins."""
    words = [token.text.lower() for token in tokens[:2]]
    if start == 0 and words[0] == "a" and words[-1] in DENOMINATORS | MULTIPLES:
        return 1, 1  # a half, a dozen
    total, group, at, last = 0, 0, start, ""
    while at < len(tokens):
        token = tokens[at]
        word = token.text.lower() if token.kind == "word" else ""
        if word in ONES and last in ("", "tens" if ONES[word] < 10 else "", "scale", "hundred"):
            group, last = group + ONES[word], "ones"
        elif word in TENS and last in ("", "scale", "hundred"):
            group, last = group + TENS[word], "tens"
        elif word == "hundred" and last == "ones":
            group, last = group * 100, "hundred"
        elif word in SCALES and word != "hundred" and last in ("ones", "tens", "hundred"):
            total, group, last = total + group * SCALES[word], 0, "scale"
        elif not (_joins(word or token.text, last) and _is_small(tokens, at + 1)):
            break
        at += 1
    return at, total + group


def _joins(text: str, last: str) -> bool:
    """Whether `and` or a hyphen may stand behind the part of a number that was last."""
    return (text == "and" and last in ("hundred", "scale")) or (text == "-" and last == "tens")


def _is_small(tokens: list[Token], at: int) -> bool:
    return at < len(tokens) and tokens[at].text.lower() in _BELOW_HUNDRED
