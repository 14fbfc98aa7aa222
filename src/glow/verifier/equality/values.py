r"""Telling two expressions apart by their values: cheap, bounded, and never a proof of equality.

Most wrong answers differ from the gold in value already, and one evaluation in floating point says so in
some ten microseconds, where parsing both for math-verify takes some ten milliseconds. Only a small
grammar is read: numbers, letters, `+ - * / ^`, `\frac`, `\sqrt`, `\pi`, sine and its like, brackets, lists,
matrices. A letter stands
for a fixed positive number (`i` for the imaginary unit, `e` for e): expressions that differ at one point
are different. Whatever is outside the grammar, ambiguous or numerically delicate has no value here, and
what seems equal is left to math-verify. Nothing is executed and no number is larger than a float.
"""

import cmath
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_LONGEST = 300
_DEEPEST = 40
_LARGEST = 1e9
"""Beyond this, cancellation could make a difference that is not there: no value."""
_TOLERANCE = 1e-5
"""Relative; math-verify calls decimals equal that agree in six places."""

_TOKEN = re.compile(
    r"(?P<skip>\s+|\\(?:left|right|displaystyle|quad|qquad)(?![A-Za-z])|\\[,;:! ]|~|\{\})"
    r"|(?P<number>\d+(?:\.\d+)?|\.\d+)"
    r"|(?P<matrix>\\(?:begin|end)\s*\{[bp]?matrix\}|\\\\|&)|(?P<macro>\\[A-Za-z]+)"
    r"|(?P<word>[A-Za-z]{3,}|ln|lg|pi)|(?P<letter>[A-Za-z])|(?P<sign>\\[{}]|[-+*/^(){},=\[\]])"
)
_LETTERS = {letter: 0.31 + 0.37 * math.sqrt(k + 2) for k, letter in enumerate("abcdfghjklmnopqrstuvwxyz")} | {
    "i": 1j,
    "e": math.e,
}
_GREEK = {
    rf"\{name}": 0.41 + 0.29 * math.sqrt(k + 3)
    for k, name in enumerate(["alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "omega", "phi"])
} | {r"\pi": math.pi, r"\infty": 5e8}
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    r"\sin": cmath.sin,
    r"\cos": cmath.cos,
    r"\tan": cmath.tan,
    r"\cot": lambda angle: _quotient(cmath.cos(angle), cmath.sin(angle)),
    r"\sec": lambda angle: _quotient(1, cmath.cos(angle)),
    r"\csc": lambda angle: _quotient(1, cmath.sin(angle)),
}
"""Not `\\log`, whose base is anyone's guess."""
_OPERATORS = {r"\cdot": "*", r"\times": "*", r"\div": "/", r"\dfrac": r"\frac", r"\tfrac": r"\frac"}
_BEGIN, _END, _NEW_ROW = "begin", "end", "\\\\"
_AFTER_PRODUCT = {"+", "-", ")", "]", "}", r"\}", ",", "&", _NEW_ROW, _END}
_CLOSING = {"(": ")", "[": "]", r"\{": r"\}"}


def differ(first: str, second: str) -> bool:
    """Whether the two are certainly different; False where that is not certain."""
    ours, theirs = _read(first), _read(second)
    return ours is not None and theirs is not None and _values_differ(ours, theirs)


@dataclass(frozen=True)
class _Group:
    """Several values: ordered in brackets, or a set (braces, or none)."""

    members: tuple["_Value", ...]
    ordered: bool


@dataclass(frozen=True)
class _Union:
    """A union of intervals, of which only the ends are kept: it may be written in many ways."""

    low: complex
    high: complex


_Value = complex | _Group | _Union


def _ends(value: _Value) -> tuple[complex, complex] | None:
    """The ends of an interval or a union of some."""
    if isinstance(value, _Union):
        return value.low, value.high
    if isinstance(value, _Group) and value.ordered and len(value.members) == 2:
        low, high = value.members
        if isinstance(low, complex) and isinstance(high, complex):
            return low, high
    return None


def _values_differ(first: _Value, second: _Value) -> bool:
    if isinstance(first, _Union) or isinstance(second, _Union):
        if isinstance(first, complex) or isinstance(second, complex):
            return True
        ours, theirs = _ends(first), _ends(second)
        return ours is not None and theirs is not None and any(map(_values_differ, ours, theirs))
    if isinstance(first, _Group) and isinstance(second, _Group) and (first.ordered or second.ordered):
        if len(first.members) != len(second.members):
            return first.ordered and second.ordered
        # One of them may be a set in all but name: then only members without a partner tell.
        if first.ordered and second.ordered:
            return any(_values_differ(*pair) for pair in zip(first.members, second.members, strict=True))
    if isinstance(first, _Group) or isinstance(second, _Group):
        left = first.members if isinstance(first, _Group) else (first,)
        right = second.members if isinstance(second, _Group) else (second,)
        return _has_no_partner(left, right) or _has_no_partner(right, left)
    scale = max(1.0, abs(first), abs(second))
    return abs(first - second) > _TOLERANCE * scale


def _has_no_partner(members: tuple[_Value, ...], others: tuple[_Value, ...]) -> bool:
    """Whether one of `members` differs from all `others`."""
    return any(all(_values_differ(member, other) for other in others) for member in members)


class _NoValueError(Exception):
    """Outside the grammar, ambiguous, or not to be had in floating point."""


@lru_cache(maxsize=8192)
def _read(text: str) -> _Value | None:
    if len(text) > _LONGEST:
        return None
    try:
        return _Reader(_tokens(text)).whole()
    except (_NoValueError, ArithmeticError, ValueError):
        return None


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup == "word":  # three letters may be a function's or a unit's name
            raise _NoValueError
        position = found.end()
        if found.lastgroup == "matrix":
            tokens.append({"b": _BEGIN, "e": _END}.get(found[0][1:2], found[0]))
        elif found.lastgroup != "skip":
            tokens.append(_OPERATORS.get(found[0], found[0]))
    return tokens


class _Reader:
    """Recursive descent over the tokens; every method leaves `_at` behind what it read."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> _Value:
        """All of the tokens, after an assignment's left side: `x = 5` has the value 5."""
        if self._tokens.count("=") == 1:
            name = self._tokens[: self._tokens.index("=")]
            if len(name) != 1 or not (name[0].isalpha() or name[0] in _GREEK):
                raise _NoValueError
            self._at = 2
        if r"\cup" in self._tokens:
            return self._union()
        members = self._members()
        if self._at != len(self._tokens):
            raise _NoValueError
        return members[0] if len(members) == 1 else _Group(members, ordered=False)

    def _union(self) -> _Union:
        pieces = [_ends(self._member())]
        while self._peek() is not None:
            if self._next() != r"\cup":
                raise _NoValueError
            pieces.append(_ends(self._member()))
        ends = [end for piece in pieces if piece is not None for end in piece]
        if None in pieces or any(end.imag for end in ends):
            raise _NoValueError
        return _Union(min(ends, key=lambda end: end.real), max(ends, key=lambda end: end.real))

    def _members(self) -> tuple[_Value, ...]:
        members = [self._member()]
        while self._peek() == ",":
            # 81,256 may be a number: only a list whose commas cannot group digits is one.
            before, after = self._tokens[self._at - 1], self._tokens[self._at + 1 : self._at + 2]
            if before.isdigit() and after and after[0].isdigit() and len(after[0]) == 3:
                raise _NoValueError
            self._at += 1
            members.append(self._member())
        return tuple(members)

    def _member(self) -> _Value:
        """A group in brackets of its own, or an expression."""
        opening = self._peek()
        if opening == _BEGIN:
            return self._matrix()
        if opening in _CLOSING and (closing := self._comma_within()):
            self._enter()
            self._at += 1
            members = self._members()
            if self._next() != closing:
                raise _NoValueError
            self._depth -= 1
            return _Group(members, ordered=opening != r"\{")
        return self._sum()

    def _matrix(self) -> _Group:
        """A matrix as an ordered group of rows, each an ordered group."""
        rows: list[list[complex]] = [[]]
        while self._next() != _END:
            if self._tokens[self._at - 1] == _NEW_ROW:
                if self._peek() == _END:
                    continue
                rows.append([])
            rows[-1].append(self._sum())
        return _Group(tuple(_Group(tuple(row), ordered=True) for row in rows), ordered=True)

    def _comma_within(self) -> str | None:
        """The closing token of the brackets that open here, if they are a group's; `(` also without comma."""
        depth, comma = 0, self._tokens[self._at] == r"\{"
        for token in self._tokens[self._at :]:
            depth += token in ("(", "[", r"\{", "{")
            depth -= token in (")", "]", r"\}", "}")
            comma = comma or (token == "," and depth == 1)
            if depth == 0:
                return token if comma else None
        raise _NoValueError

    def _sum(self) -> complex:
        self._enter()
        sign = 1
        if self._peek() in ("+", "-"):
            sign = -1 if self._next() == "-" else 1
        value = sign * self._product()
        while self._peek() in ("+", "-"):
            sign = -1 if self._next() == "-" else 1
            value += sign * self._product()
        self._depth -= 1
        return _check_size(value)

    def _product(self) -> complex:
        value, divided = self._power(), False
        while (token := self._peek()) is not None and token not in _AFTER_PRODUCT:
            if token in ("*", "/"):
                self._at += 1
                factor = self._power()
                divided = divided or token == "/"
                value = _quotient(value, factor) if token == "/" else value * factor
            elif divided or token[0].isdigit() or token in ("[", r"\{"):
                raise _NoValueError  # 1/2x, x2: read in more than one way
            else:
                value *= self._power()
            value = _check_size(value)
        return value

    def _power(self) -> complex:
        if mixed := self._mixed_number():
            return mixed
        base = self._atom()
        if self._peek() == "^":
            self._at += 1
            exponent = self._argument()
            if base.imag == 0 and base.real <= 0 and exponent != int(exponent.real):
                raise _NoValueError  # a root of a negative number: real or principal?
            if abs(exponent) > 100:
                raise _NoValueError
            return _check_size(base**exponent)
        return base

    def _mixed_number(self) -> complex | None:
        r"""`2\frac{1}{2}`, a mixed number: only before a fraction of plain whole numbers."""
        part = self._tokens[self._at : self._at + 8]
        if len(part) < 8 or not part[0].isdigit() or part[1] != r"\frac":
            return None
        if (part[2], part[4], part[5], part[7]) != ("{", "}", "{", "}") or not (
            part[3].isdigit() and part[6].isdigit()
        ):
            return None
        if self._tokens[self._at + 8 : self._at + 9] not in ([], [","], [")"], ["]"]):
            raise _NoValueError
        self._at += 8
        return _check_size(complex(float(part[0]) + float(part[3]) / float(part[6])))

    def _atom(self) -> complex:
        token = self._next()
        if token[0].isdigit() or token[0] == ".":
            return _check_size(complex(float(token)))
        if token.lower() in _LETTERS or token in _GREEK:
            return complex(_GREEK.get(token) or _LETTERS[token.lower()])
        if token in ("(", "{"):
            value = self._sum()
            if self._next() != (")" if token == "(" else "}"):
                raise _NoValueError
            return value
        return self._macro(token)

    def _macro(self, token: str) -> complex:
        if token == r"\frac":
            return _quotient(self._argument(), self._argument())
        if token == r"\sqrt":
            return self._root()
        if token in _FUNCTIONS:
            return self._call(token)
        raise _NoValueError

    def _call(self, name: str) -> complex:
        r"""`\sin^2 2x`: a power, then a group or a monomial, in degrees where it says so."""
        power = 1.0
        if self._peek() == "^":
            self._at += 1
            power = self._argument().real
            if power < 1:
                raise _NoValueError  # \sin^{-1} is no reciprocal
        token = self._peek()
        if token in ("(", "{", r"\frac", r"\sqrt"):
            angle = self._atom()
        else:
            angle = 1 + 0j
            while (token := self._peek()) is not None and (
                token in _GREEK or token.lower() in _LETTERS or token[0].isdigit()
            ):
                angle = _check_size(angle * self._atom())
        angle *= self._degrees()
        following = self._peek()
        if following in ("/", "^", "(", "[") or (following or "")[:1].isalnum() or following in _GREEK:
            raise _NoValueError
        return _check_size(_FUNCTIONS[name](angle) ** power)

    def _degrees(self) -> float:
        """What an angle's number is to be multiplied by."""
        for mark in (["^", r"\circ"], ["^", "{", r"\circ", "}"]):
            if self._tokens[self._at : self._at + len(mark)] == mark:
                self._at += len(mark)
                return math.pi / 180
        return 1.0

    def _root(self) -> complex:
        degree = 2.0
        if self._peek() == "[":
            self._at += 1
            degree = float(self._next())
            if self._next() != "]":
                raise _NoValueError
        value = self._argument()
        if value.imag == 0 and value.real < 0 and degree != 2:
            raise _NoValueError
        return cmath.sqrt(value) if degree == 2 else value ** (1 / degree)

    def _argument(self) -> complex:
        r"""What a macro or `^` takes: a group, or one token, of a number its first digit (`\frac12`)."""
        token = self._peek()
        if token is not None and token.isdigit() and len(token) > 1:
            self._tokens[self._at : self._at + 1] = [token[0], token[1:]]
        elif token in ("-", "+", "("):
            raise _NoValueError
        return self._atom()

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise _NoValueError
        self._at += 1
        return token

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _NoValueError


def _quotient(above: complex, below: complex) -> complex:
    if abs(below) < 1e-4:
        raise _NoValueError
    return _check_size(above / below)


def _check_size(value: complex) -> complex:
    if not abs(value) < _LARGEST:
        raise _NoValueError
    return value
