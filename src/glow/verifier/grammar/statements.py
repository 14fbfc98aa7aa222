r"""Whole answers: values with units, lists, tuples, sets, relations, families, all of them to the last token.

An answer that is not consumed whole is not read: `42 \to 43` is neither 42 nor 43. Where a text can be read
in more than one way (`100,200`, `5 m`), all readings are given.
"""

import re
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from glow.verifier.grammar.characters import spell
from glow.verifier.grammar.expressions import read_expression
from glow.verifier.grammar.families import integer_letter, without_qualifier, without_qualifying
from glow.verifier.grammar.numbers import number
from glow.verifier.grammar.numerals import read_numeral
from glow.verifier.grammar.quantities import may_name_units, read_quantity, sum_of_units
from glow.verifier.grammar.segments import (
    enclosed,
    is_sign,
    last_opening,
    outside,
    segments,
    split,
    split_where,
    trimmed,
    without_lead_in,
)
from glow.verifier.grammar.spoken import in_symbols
from glow.verifier.grammar.tokens import BeyondError, NotReadError, Token, Tokens, token_lists
from glow.verifier.grammar.tree import (
    Dots,
    Family,
    Group,
    Matrix,
    NamedSet,
    Quantity,
    Ratio,
    Relation,
    SetAlgebra,
    SetBuilder,
    Several,
    Statement,
    Symbol,
)
from glow.verifier.grammar.wording import COPULAS, NO_NAMES

_REALS, _EMPTY = NamedSet("R"), NamedSet("empty")
_NAMED: dict[str, Statement] = {
    **{rf"\mathbb{{{letter}}}": NamedSet(letter) for letter in "RZNQC"},
    **dict.fromkeys(("all real numbers", "all reals", "real numbers", "the real numbers"), _REALS),
    **dict.fromkeys(("all real x", "reals", "all real values"), _REALS),
    **dict.fromkeys((r"\emptyset", r"\{ \}", "empty set", "the empty set"), _EMPTY),
    **dict.fromkeys(("no solution", "no solutions", "no real solution", "no real solutions"), _EMPTY),
    "...": Dots(),
}
"""Statements that are known by their tokens with blanks between them."""
_SET_ALGEBRA = {"cup": "union", "cap": "intersection", "minus": "difference"}
_RELATIONS = frozenset(("=", "<", ">", "<=", ">=", "!=", "~=", "in", "notin"))
_BRACKETS = {r"\{": "{", r"\}": "}", "<(": "(", ")>": ")"}
_TRANSPOSED = (["^", "T"], ["^", r"\top"], ["^", "{", "T", "}"], ["^", "{", r"\top", "}"])
_LAYOUTS = frozenset(("cases", "aligned", "align", "gathered", "array", "split"))
_MATRICES = frozenset(("matrix", "array", "smallmatrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix"))
_MODULUS = frozenset(("mod", r"\mod", r"\bmod"))
_IN_LABELS = frozenset("' ( ) [ ] _ { } - ^ : , | || /".split())
_PLAIN_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DEEPEST = 12


class Readings(NamedTuple):
    """What an answer may say; none where it is not read. `beyond`: it is mathematics outside the grammar."""

    statements: tuple[Statement, ...]
    beyond: bool = False


@lru_cache(maxsize=8192)
def read(text: str, decimal_commas: bool = False) -> Readings:
    """All that `text`, an answer of bounded length, may say; with `decimal_commas`, `3,5` may be 3.5."""
    if _PLAIN_NUMBER.fullmatch(text):
        return Readings((Quantity(number(text)),))
    found: list[Statement] = []
    beyond = False
    try:
        for tokens in map(in_symbols, token_lists(spell(text), decimal_commas)):
            for units in (True, False) if may_name_units(tokens) else (True,):
                try:
                    found.append(_Reader(units).statement(tokens))
                except (BeyondError, RecursionError):
                    beyond = True
                except NotReadError:
                    continue
    except NotReadError:  # not even tokens
        return Readings(())
    return Readings(tuple(dict.fromkeys(found)), beyond and not found)


class _Reader:
    """Reads statements; `units`: letters behind a blank may name a unit and not a factor."""

    def __init__(self, units: bool) -> None:
        self._units = units
        self._depth = 0

    def statement(self, tokens: Tokens) -> Statement:
        """The statement that all of the tokens are.

        Raises:
            NotReadError: they are none.
        """
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BeyondError("lists within lists without end")
        found = self._statement(without_lead_in(trimmed(tokens)))
        self._depth -= 1
        return found

    def _statement(self, tokens: list[Token]) -> Statement:
        tokens, qualified = without_qualifier(tokens)
        if interval := self._french_interval(tokens):
            return interval
        parts, between = segments(tokens)
        parts, letter = without_qualifying(parts)
        letter = letter or qualified
        members = [self._item(part) for part in parts]
        if not members:
            raise NotReadError("there is nothing")
        body = members[0] if len(members) == 1 else Several(tuple(members), between)
        match members:
            case [Quantity() as whole, Quantity() as part] if between != "or":
                body = sum_of_units(whole, part) or body  # 1 hour and 15 minutes
        return body if letter is None else Family(body, letter)

    def _french_interval(self, tokens: list[Token]) -> Statement | None:
        """`]1,2[`, `]1,2]` and `[1,2[`."""
        if len(tokens) < 5 or not is_sign(tokens[0], "]", "[") or not is_sign(tokens[-1], "]", "["):
            return None
        opening, closing = tokens[0].text, tokens[-1].text
        if (opening, closing) == ("[", "]"):
            return None
        ends = split(tokens[1:-1], ",", ";")
        if len(ends) != 2:
            return None
        members = tuple(self.statement(end) for end in ends)
        return Group("(" if opening == "]" else "[", members, ")" if closing == "[" else "]")

    # --- relations --------------------------------------------------------------------------------

    def _item(self, tokens: Tokens) -> Statement:
        """A member of a list, or what is no list: a relation, or one of its sides alone."""
        tokens = _without_modulus(without_lead_in(trimmed(tokens)))
        if not tokens:
            raise NotReadError("there is nothing")
        if remark := _remark(tokens):
            value, again = (self._side(part) for part in remark[::2])
            return value if again == value else Relation((value, again), (remark[1],))
        if at := _end_of_label(tokens):
            label = Symbol(" ".join(token.text.lower() for token in tokens[:at]))
            return Relation((Quantity(label), self._side(tokens[at + 1 :])), ("=",))
        relations = [
            token
            for token, is_outside in zip(tokens, outside(tokens), strict=True)
            if is_outside and _is_relation(token)
        ]
        if not relations:
            return self._side(tokens)
        sides = split_where(tokens, _is_relation)
        if not sides[0] and relations[0].text in ("=", "~=") and sides[1]:
            return self._item(tokens[1:])
        if relations[0].kind == "word" and all(map(_names, sides[0])):
            return self._item(tokens[len(sides[0]) + 1 :])  # the area is 5
        return self._relation(sides, ["=" if token.kind == "word" else token.text for token in relations])

    def _relation(self, sides: list[list[Token]], signs: list[str]) -> Statement:
        if len(sides) > 2 and set(signs) == {"="} and all(_is_letter(side) for side in sides[:-1]):
            value = self._side(sides[-1])  # x = y = 4
            equal = (Relation((Quantity(Symbol(side[0].text)), value), ("=",)) for side in sides[:-1])
            return Several(tuple(equal), ",")
        read_sides = (self._label(sides[0]), *(self._side(side) for side in sides[1:]))
        if signs == ["in"] and isinstance(last := read_sides[-1], Group) and last.opening == "{":
            return Relation(read_sides, ("=",))  # the values that x may have
        return Relation(read_sides, tuple(signs))

    def _label(self, tokens: Tokens) -> Statement:
        """The first side of a relation: an expression, or words that name what is meant."""
        named = [k for k, token in enumerate(tokens, 1) if token.worded and len(token.text) > 1]
        if named and len(tokens) - named[-1] in (1, 2) and all(map(_names, tokens[: named[-1]])):
            tokens = tokens[named[-1] :]  # the area A
        if len(tokens) == 1 and len(tokens[0].text) == 1 and tokens[0].kind == "word":
            return Quantity(Symbol(tokens[0].text))  # \text{x = 5}
        try:
            return self._side(tokens)
        except NotReadError:
            if not _is_label(tokens):
                raise
            return Quantity(Symbol(" ".join(token.text for token in tokens)))

    def _side(self, tokens: Tokens) -> Statement:
        tokens = trimmed(tokens)
        if not tokens:
            raise NotReadError("a side of a relation is empty")
        if numeral := read_numeral(tokens):
            return numeral
        for sign, name in _SET_ALGEBRA.items():
            parts = split(tokens, sign)
            if len(parts) > 1:
                return _joined(SetAlgebra(name, tuple(self._side(part) for part in parts)))
        for reader in (self._named, self._matrix, self._group, self._ratio):
            if (found := reader(tokens)) is not None:
                return found
        return read_quantity(tokens, self._units)

    def _ratio(self, tokens: Tokens) -> Statement | None:
        terms = split_where(tokens, lambda token: is_sign(token, ":") or token.text == "to")
        if len(terms) < 2 or not all(terms):
            return None
        try:
            return Ratio(tuple(read_expression(trimmed(term)) for term in terms))
        except NotReadError:
            return None  # 4.5 miles to the nearest tenth

    # --- sets and groups --------------------------------------------------------------------------

    def _named(self, tokens: Tokens) -> Statement | None:
        """A set by its name, without some of its members or not."""
        phrase = " ".join(token.text for token in tokens)
        if named := _NAMED.get(phrase) or _NAMED.get(phrase.lower()):
            return named
        if tokens[0].kind == "macro" and tokens[0].text in _NAMED:
            if tokens[1].text != "-" or len(tokens) < 3 or tokens[2].text != r"\{":
                raise BeyondError("a power of a set")
            return SetAlgebra("difference", (_NAMED[tokens[0].text], self._side(tokens[2:])))
        return self._reals_except(tokens)

    def _reals_except(self, tokens: Tokens) -> Statement | None:
        """`all real numbers except 0`."""
        texts = [token.text for token in tokens]
        at = next((k for k, text in enumerate(texts) if text in ("except", "excluding")), None)
        if at is None or _NAMED.get(" ".join(texts[:at]).lower()) != _REALS:
            return None
        without = [token for token in tokens[at + 1 :] if token.text != "for"]
        return SetAlgebra("difference", (_REALS, Group("{", (self.statement(without),), "}")))

    def _group(self, tokens: Tokens) -> Statement | None:
        """A point, an interval, a vector or a set; or what stands in brackets that only hold it together."""
        if _is_named_point(tokens):
            tokens = tokens[1:]
        if column := self._transposed(tokens):
            return column
        if not enclosed(tokens) or is_sign(tokens[0], "floor(", "ceil("):
            return None
        opening, *inside, closing = tokens
        if opening.text == r"\{" and (builder := self._set_builder(inside)):
            return builder
        parts = split(inside, ",", ";")
        first, last = (_BRACKETS.get(bracket.text, bracket.text) for bracket in (opening, closing))
        if len(parts) > 1 or opening.text in _BRACKETS:
            return Group(first, tuple(self.statement(part) for part in parts), last)
        return None if first + last == "[)" else self.statement(inside)

    def _transposed(self, tokens: Tokens) -> Statement | None:
        """`(1,2)^T`, a column."""
        texts = [token.text for token in tokens]
        mark = next((mark for mark in _TRANSPOSED if texts[-len(mark) :] == mark), None)
        inner = tokens[: -len(mark)] if mark else []
        group = (self._matrix(inner) or self._group(inner)) if inner else None
        if isinstance(group, Matrix):
            return Matrix(tuple(zip(*group.rows, strict=True)), group.opening)
        if not isinstance(group, Group) or not all(isinstance(one, Quantity) for one in group.members):
            return None
        return Matrix(tuple((one.value,) for one in group.members if isinstance(one, Quantity)))

    def _set_builder(self, inside: Tokens) -> Statement | None:
        parts = split(inside, "mid", "|", ":")
        if len(parts) != 2:
            return None
        element, letter = self.statement(parts[0]), integer_letter(parts[1])
        return Family(element, letter) if letter else SetBuilder(element, self.statement(parts[1]))

    # --- environments -----------------------------------------------------------------------------

    def _matrix(self, tokens: Tokens) -> Statement | None:
        """An environment of rows, in brackets of its own or not; `[[1,2],[3,4]]` is a group."""
        in_brackets = enclosed(tokens) and tokens[0].text in ("(", "[")
        inner = tokens[1:-1] if in_brackets else tokens
        if len(inner) < 4 or inner[0].text != r"\begin" or inner[-2].text != r"\end":
            return None
        name = inner[1].text
        rows = [split(row, "&") for row in split(inner[2:-2], r"\\") if row]
        if name in _LAYOUTS and not in_brackets:
            return self._system(rows, name)
        if len({len(row) for row in rows}) != 1:
            raise NotReadError("rows of different lengths")
        if name not in _MATRICES:
            raise BeyondError(name)
        return self._rows(rows, "|" if name == "vmatrix" else "(")

    def _rows(self, rows: list[list[list[Token]]], opening: str) -> Statement:
        return Matrix(tuple(tuple(read_expression(trimmed(cell)) for cell in row) for row in rows), opening)

    def _system(self, rows: list[list[list[Token]]], name: str) -> Statement:
        """Rows of which each is a member of a list."""
        if (
            name == "array"
            and rows
            and all(len(row) == len(rows[0]) > 1 for row in rows)
            and not _has_relation(rows)
        ):
            return self._rows(rows, "(")
        conditions = [token for row in rows if len(row) > 1 for token in row[-1][1:]]
        has_conditions = any(token.kind == "word" or _is_relation(token) for token in conditions)
        if has_conditions and not any(is_sign(token, "=") for row in rows for token in row[0]):
            raise BeyondError("a function by cases")
        members = [[Token("sign", ","), *chain(*row)] for row in rows]
        return self._statement([*chain(*members)][1:])


def _joined(algebra: SetAlgebra) -> Statement:
    r"""`\{3\} \cup \{5\}` as one set."""
    groups = [one for one in algebra.members if isinstance(one, Group) and one.opening == "{"]
    if algebra.name != "union" or len(groups) < len(algebra.members):
        return algebra
    return Group("{", tuple(member for group in groups for member in group.members), "}")


def _has_relation(rows: list[list[list[Token]]]) -> bool:
    return any(_is_relation(token) for row in rows for cell in row for token in cell)


def _without_modulus(tokens: list[Token]) -> list[Token]:
    r"""Without `\pmod{7}` or `(mod 7)` at the end; a congruence is then an equality."""
    opening = last_opening(tokens)
    for k in range(len(tokens) - 1, 0, -1):
        in_brackets = k == opening and is_sign(tokens[k], "(") and tokens[k + 1].text in _MODULUS
        if tokens[k].text == r"\pmod" or in_brackets:
            return [token._replace(text="=") if is_sign(token, "==") else token for token in tokens[:k]]
    return tokens


def _end_of_label(tokens: list[Token]) -> int | None:
    """Where the colon behind a label stands, as in `Total cost: $18`; None where nothing is labelled."""
    at = next((k for k, token in enumerate(tokens) if is_sign(token, ":")), 0)
    are_words = all(_names(token) and (token.worded or len(token.text) > 3) for token in tokens[:at])
    return at if 0 < at < len(tokens) - 1 and are_words else None


_REMARKS = {"or": "=", "approximately": "~=", "approx": "~=", "about": "~=", "~=": "~=", "=": "="}


def _remark(tokens: list[Token]) -> tuple[list[Token], str, list[Token]] | None:
    r"""A value that is stated again in brackets: `\frac{3}{4} (or 0.75)`, `12 (twelve)`."""
    start = last_opening(tokens)
    if not start or not is_sign(tokens[start], "(") or start == len(tokens) - 2:
        return None
    first, *rest = tokens[start + 1 : -1]
    if first.text.lower() in _REMARKS and rest:
        return tokens[:start], _REMARKS[first.text.lower()], rest
    is_number = not rest and first.kind == "number" and first.worded
    return (tokens[:start], "=", [first]) if is_number else None


def _is_relation(token: Token) -> bool:
    return is_sign(token, *_RELATIONS) or (token.kind == "word" and token.text.lower() in COPULAS)


def _is_letter(tokens: Tokens) -> bool:
    return len(tokens) == 1 and tokens[0].kind == "letter"


def _names(token: Token) -> bool:
    """Whether a token is a word of a name: `Total cost`, but not `half of`."""
    return token.kind == "word" and len(token.text) > 1 and token.text.lower() not in NO_NAMES


def _is_label(tokens: Tokens) -> bool:
    r"""Whether tokens that are no expression name a value: `P(X = 3)`, `\|v\|`, `Total cost`."""
    bare = [token for token, is_outside in zip(tokens, outside(tokens), strict=True) if is_outside]
    return bool(bare) and all(
        _names(token)
        if token.kind == "word"
        else token.kind in ("letter", "macro") or token.text in _IN_LABELS
        for token in bare
    )


def _is_named_point(tokens: Tokens) -> bool:
    """Whether it is `P(1,2)`; `C(5,2)` is a binomial."""
    name, group = tokens[0], tokens[1:]
    is_name = name.kind == "letter" and name.text.isupper() and name.text != "C"
    return is_name and enclosed(group) and group[0].text == "(" and len(split(group[1:-1], ",")) > 1
