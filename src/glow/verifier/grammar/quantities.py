"""A value with what belongs to it: a currency, a unit, a per cent sign, words that only describe it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice

from glow.verifier.grammar import names, wording
from glow.verifier.grammar.expressions import read_expression
from glow.verifier.grammar.names import is_function
from glow.verifier.grammar.segments import enclosed, is_sign, last_opening, trimmed
from glow.verifier.grammar.tokens import END, BeyondError, NotReadError, Token, Tokens
from glow.verifier.grammar.tree import Expression, Number, Operation, Quantity, Unit
from glow.verifier.grammar.units import DEGREE, read_unit

_CURRENCIES = {
    "$": "$", "€": "€", "£": "£", "¥": "¥", "₹": "₹", r"\pounds": "£", r"\euro": "€", r"\EUR": "€",
    r"\yen": "¥",
}  # fmt: skip
_CURRENCY_WORDS = frozenset(("Rs", "USD", "EUR", "GBP", "INR", "US"))
_LETTERS_OF_UNITS = {r"\Omega": "ohm", r"\mu": "u"}
_LETTER_UNITS = frozenset("mghLJNWVAKCF")
"""Letters behind a blank that may be units though nothing marks them as words."""
_LONGEST_FACTORS = 3
"""Letters of a word that may be a unit or a product of letters."""
_END_VALUE = frozenset((")", "}", "]", "!", "%", "|", "deg", "circ", ")floor", ")ceil"))
_MOST_CUTS = 12
"""Places at which a unit is looked for: each costs reading what stands before it."""
_SHORT_WORDS = frozenset(("of", "in", "a", "the", "sq", "cu", "an", "on"))
"""Words in a description that are no product of letters."""


def may_name_units(tokens: Tokens) -> bool:
    """Whether some letters may be a unit or factors, so that there are two ways to read the tokens."""
    return any(
        token.text in _LETTERS_OF_UNITS
        or (token.kind == "letter" and token.text in _LETTER_UNITS)
        or (token.kind == "word" and len(token.text) <= _LONGEST_FACTORS)
        for token in tokens
    )


def read_quantity(tokens: Tokens, units: bool) -> Quantity:
    """The quantity that all of the tokens are; `units`: letters behind a blank may name one.

    Raises:
        NotReadError: they are none.
    """
    has_sign = is_sign(tokens[0], "-", "+") and len(tokens) > 1
    currency, amount = _without_currency(tokens[1:] if has_sign else tokens)
    if currency is None:
        return _amount(tokens, units)
    found = _amount(amount, units)
    if found.unit not in (None, currency):
        raise NotReadError("two units")
    value = Operation("neg", (found.value,)) if tokens[0].text == "-" else found.value
    return Quantity(value, currency, found.percent)


def _without_currency(tokens: Tokens) -> tuple[Unit | None, Tokens]:
    """The currency that stands before an amount, and the amount."""
    name = tokens[0].text
    if name in _CURRENCIES:
        return read_unit(_CURRENCIES[name]), tokens[1:]
    if name in _CURRENCY_WORDS and len(tokens) > 1:
        start = 2 if is_sign(tokens[1], ".", "$") else 1  # Rs. 5, US$5
        return read_unit("$" if name == "US" else name), tokens[start:]
    return None, tokens


# --- where the value ends -------------------------------------------------------------------------


def _amount(tokens: Tokens, units: bool) -> Quantity:
    """The first way to part a value from what stands behind it in which both can be read."""
    failures = []
    for cut in (*islice(_cuts(tokens, units), _MOST_CUTS), len(tokens)):
        try:
            return _measured(read_expression(tokens[:cut]), list(tokens[cut:]))
        except NotReadError as failure:
            failures.append(failure)
    raise next((failure for failure in failures if isinstance(failure, BeyondError)), failures[0])


def _cuts(tokens: Tokens, units: bool) -> Iterator[int]:
    """Where a unit or a description may begin, from the left."""
    opening = last_opening(tokens)
    for k in range(1, len(tokens)):
        before = tokens[k - 1]
        behind = tokens[k + 1] if k + 1 < len(tokens) else END
        if before.kind == "sign" and before.text not in _END_VALUE:
            continue
        is_name = before.kind == "macro" and before.text not in (r"\pi", r"\infty")  # \triangle ABC
        in_brackets = k == opening and is_sign(tokens[k], "(") and behind.kind == "word"
        per = is_sign(tokens[k], "/") and behind.kind == "word" and (behind.worded or len(behind.text) > 2)
        if not is_name and (per or in_brackets or _may_begin_unit(tokens[k], behind, units)):
            yield k


def _may_begin_unit(token: Token, behind: Token, units: bool) -> bool:
    if token.worded or token.text in _CURRENCIES:
        return True
    is_applied = is_function(token) and not (
        token.text in ("min", "sec") and behind.kind not in ("sign", "letter")
    )
    if token.kind == "word" and not is_applied:  # `5 apples` and `5cm`, but `3ab`
        return (units or len(token.text) > _LONGEST_FACTORS) and (
            token.spaced or read_unit(token.text) is not None
        )
    is_letter = token.kind == "letter" and token.spaced and token.text in _LETTER_UNITS
    return units and (token.text in _LETTERS_OF_UNITS or is_letter)


# --- what stands behind a value -------------------------------------------------------------------


def _measured(value: Expression, behind: list[Token]) -> Quantity:
    """A value with what stands behind it."""
    match value:
        case Operation("percent", (part,)):
            return _described(Quantity(part, percent=True), behind)
        case Operation("degree", (angle,)):
            return _in_degrees(angle, behind)
        case Operation("neg", (Operation("percent" | "degree") as inner,)):
            found = _measured(inner, behind)
            return replace(found, value=Operation("neg", (found.value,)))
    value, behind = _with_words(value, behind)
    words = [token.text.lower() for token in behind[:2]]
    if words == ["per", "mille"]:
        return _described(Quantity(Operation("div", (value, Number(Fraction(1000))))), behind[2:])
    if words == ["per", "cent"] or not wording.PERCENT.isdisjoint(words[:1]):
        return _described(Quantity(value, percent=True), behind[2 if words[0] == "per" else 1 :])
    return _in_units(value, _without_rounding(trimmed(behind)))


def _with_words(value: Expression, behind: list[Token]) -> tuple[Expression, list[Token]]:
    """A value with the words that change it (`thousand`, `squared`), and what stands behind these."""
    for k, token in enumerate(behind):
        name = token.text.lower() if token.kind == "word" else ""
        if (factor := wording.fraction_of(name)) is not None:
            value = Operation("mul", (value, Number(factor)))
        elif name in wording.POWERS:
            value = Operation("pow", (value, Number(Fraction(wording.POWERS[name]))))
        elif name == "factorial":
            value = Operation("factorial", (value,))
        else:
            return value, behind[k:]
    return value, []


def _without_rounding(behind: list[Token]) -> list[Token]:
    """Without `rounded to the nearest tenth`, which says nothing of the value."""
    for k, token in enumerate(behind):
        following = [one.text for one in behind[k : k + 3]]
        if token.text == "rounded" or following == ["to", "the", "nearest"]:
            return behind[:k]
    return behind


def _in_degrees(value: Expression, behind: list[Token]) -> Quantity:
    texts = [token.text for token in behind]
    if texts in (["C"], ["F"], ["Celsius"], ["Fahrenheit"]):
        return Quantity(value, read_unit("deg" + texts[0][0]))
    return Quantity(value, DEGREE) if texts == ["degrees"] else _described(Quantity(value, DEGREE), behind)


def _in_units(value: Expression, behind: list[Token]) -> Quantity:
    """A value with its unit, or with words that only say what it counts."""
    if enclosed(behind):
        behind = behind[1:-1]
    if not behind:
        return Quantity(value)
    if len(behind) == 1 and behind[0].text in _CURRENCIES:
        return Quantity(value, read_unit(_CURRENCIES[behind[0].text]))
    named = [token for token in behind if token.text not in ("of", "a", "an")]
    if not named:
        raise NotReadError("a factor, or words without a noun")
    if unit := read_unit(_phrase(named)):
        return Quantity(value, unit)
    if named[0].text == "/" or _is_multiplicity(behind):
        return Quantity(value)  # 18 / day, 3 (double root)
    return _in_two_units(value, behind) or _described(Quantity(value, words=_phrase(behind)), behind)


def _is_multiplicity(tokens: Tokens) -> bool:
    texts = [token.text.lower() for token in tokens]
    return "multiplicity" in texts or texts in (["double", "root"], ["repeated", "root"], ["triple", "root"])


def _phrase(tokens: Tokens) -> str:
    """Tokens as the text of a unit: `m s^-1`, `um`."""
    phrase = ""
    for k, token in enumerate(tokens):
        text = _LETTERS_OF_UNITS.get(token.text, token.text)
        two_names = phrase[-1:].isalpha() and text[0].isalpha()
        spaced = token.spaced and token.kind != "sign" and not phrase.endswith(("^", "{", "-", "/"))
        is_prefixed = k > 0 and (
            tokens[k - 1].text == r"\mu" or (token.text == r"\Omega" and not token.spaced)
        )
        phrase += " " + text if (two_names or spaced) and not is_prefixed else text
    return phrase.strip()


def _is_noun(token: Token, behind_another: bool) -> bool:
    """Whether a word may say what is counted: `men`, but neither `sin` nor `mgh`, nor a letter."""
    if token.text.lower() in names.FUNCTIONS:
        return False
    is_word = token.worded or behind_another
    return len(token.text) > (1 if is_word else 3) or _SHORT_NOUN.fullmatch(token.text) is not None


_OF_THE_CLOCK = frozenset(("o'clock", "am", "pm", "a.m", "p.m", "a.m.", "p.m."))
_SHORT_NOUN = re.compile(r"(?i)[^aeiouy][aeiouy][^aeiouy]|pie|tie|day")


def _described(quantity: Quantity, behind: Tokens) -> Quantity:
    """The quantity, if the words behind it only describe it.

    Raises:
        NotReadError: they may be factors, or may change the value.
    """
    words = [token for token in behind if token.kind in ("word", "letter")]
    others = [token for token in behind if token.kind not in ("word", "letter")]
    is_description = (
        all(_is_noun(token, k > 0) or token.text.lower() in _SHORT_WORDS for k, token in enumerate(words))
        and all(token.kind == "word" or token.text == "a" for token in words)
        and all(is_sign(token, *"-'().,/^{}") or token.text in ("2", "3") for token in others)
        and wording.describes([token.text for token in words])
        and not (len(words) == 1 and words[0].text.lower().endswith("ed"))  # 42 rejected
        and any(len(token.text) > 2 for token in words)
    )
    is_clock = "".join(token.text for token in behind).lower() in _OF_THE_CLOCK
    if behind and not is_clock and not (words and is_description):
        raise NotReadError(f"{_phrase(behind)!r} behind a value")
    return quantity


# --- two units ------------------------------------------------------------------------------------


def _in_two_units(value: Expression, behind: list[Token]) -> Quantity | None:
    """`1 h 15 min`: a number in the middle of the units."""
    for k, token in enumerate(behind[1:], 1):
        if token.kind == "number" and not is_sign(behind[k - 1], "^", "{", "-", "/"):
            larger = read_unit(_phrase(behind[:k]))
            smaller = _measured(read_expression([token]), behind[k + 1 :])
            return None if larger is None else sum_of_units(Quantity(value, larger), smaller)
    return None


def sum_of_units(larger: Quantity, smaller: Quantity) -> Quantity | None:
    """`5 feet` and `3 inches` as one quantity; None where the second unit is no part of the first."""
    whole, part = larger.unit, smaller.unit
    if whole is None or part is None or whole.dimension != part.dimension:
        return None
    if whole.factor <= part.factor or whole.offset or part.offset:
        return None
    ratio = part.factor / whole.factor
    if isinstance(larger.value, Number) and isinstance(smaller.value, Number):
        return Quantity(Number(larger.value.value + smaller.value.value * ratio), whole)
    return Quantity(Operation("add", (larger.value, Operation("mul", (smaller.value, Number(ratio))))), whole)
