r"""Expressions: numbers, letters, operators and functions, by recursive descent over all of the tokens.

A product without a sign binds like one with it: `1/2x` is x/2, as TeX prints nothing else. A function without
brackets takes the product behind it, up to the next function: `\sin 2x \cos x`.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce

from glow.verifier.grammar import names
from glow.verifier.grammar.cursor import Cursor
from glow.verifier.grammar.names import is_beyond, is_function, is_product
from glow.verifier.grammar.numbers import number, read_number
from glow.verifier.grammar.segments import first_closing, is_sign, split
from glow.verifier.grammar.tokens import END, BeyondError, NotReadError, Token
from glow.verifier.grammar.tree import Expression, Number, Operation, Symbol, depth

_CLOSING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", "floor(": ")floor", "ceil(": ")ceil", "|": "|"}
_BEGIN_FACTOR = frozenset(("(", "[", "{", "floor(", "ceil("))
_END_FACTOR = frozenset((")", "}", "]", "!"))
_PLUS_MINUS = {"+-": "pm", "-+": "mp"}
_DEEPEST = 50
"""Brackets or macros within one another; for each, Python's stack holds up to ten frames."""
_DEEPEST_TREE = 200
_MOST_FACTORS = 100
_MOST_PLUS_MINUS = 4
"""Signs that stand for two values each."""
_ZERO, _ONE = Number(Fraction(0)), Number(Fraction(1))


def read_expression(tokens: Sequence[Token]) -> Expression:
    """The expression that all of the tokens are.

    Raises:
        NotReadError: they are none.
    """
    reader = _Reader(tokens)
    found = reader.whole()
    if is_beyond(reader.peek()):
        raise BeyondError(reader.peek().text)
    if reader.peek() is not END:
        raise NotReadError(f"{reader.peek().text!r} behind an expression")
    if depth(found) > _DEEPEST_TREE:
        raise BeyondError("operations within operations without end")
    return found


class _Reader(Cursor):
    """Reads expressions; every method leaves `at` behind what it read."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        super().__init__(tokens)
        self._depth = 0
        self._in_bars = False
        if sum(is_sign(token, *_PLUS_MINUS) for token in tokens) > _MOST_PLUS_MINUS:
            raise BeyondError("too many plus-or-minus signs")

    def whole(self) -> Expression:
        r"""A sum, or two with `\over` or `\choose` between them."""
        above = self._sum()
        if self.peek().text in (r"\choose", r"\over"):
            name = "binom" if self.next().text == r"\choose" else "div"
            return Operation(name, (above, self._sum()))
        return above

    # --- sums and products ------------------------------------------------------------------------

    def _sum(self) -> Expression:
        terms = [self._term()]
        while self.at_sign("+", "-", *_PLUS_MINUS):
            sign = self.next().text
            term = self._term()
            if sign in _PLUS_MINUS:
                terms = [Operation(_PLUS_MINUS[sign], (_add(terms), term))]
            else:
                terms.append(term if sign == "+" else Operation("neg", (term,)))
        return _add(terms)

    def _term(self) -> Expression:
        """A product, with signs before it or not."""
        if self._take_minus():
            return Operation("neg", (self._term(),))
        if self.at_sign(*_PLUS_MINUS):
            return Operation(_PLUS_MINUS[self.next().text], (_ZERO, self._term()))
        return self._product()

    def _take_minus(self) -> bool:
        """Whether the plus and minus signs that come next make a minus; they are then read."""
        minus = False
        while self.at_sign("+", "-"):
            minus ^= self.next().text == "-"
        return minus

    def _product(self) -> Expression:
        value = self._power()
        for _ in range(_MOST_FACTORS):
            if self.take("*"):
                value = Operation("mul", (value, self._signed_factor()))
            elif self.take("/"):
                value = Operation("div", (value, self._signed_factor()))
            elif self._factor_follows():
                value = Operation("mul", (value, self._power()))
            else:
                return value
        raise BeyondError("a product without end")

    def _signed_factor(self) -> Expression:
        return Operation("neg", (self._power(),)) if self.take("-") else self._power()

    def _factor_follows(self) -> bool:
        """Whether what comes next is multiplied though no sign says so; two numbers side by side are not."""
        token = self.peek()
        match token.kind:
            case "letter":
                return True
            case "number":
                before = self.tokens[self.at - 1]
                closed = before.kind == "sign" and before.text in _END_FACTOR
                return not token.worded and (closed or (before.text == "i" and not token.spaced))
            case "word":
                return not token.worded and (is_function(token) or is_product(token))
            case "macro":
                return names.name_of(token) in names.FACTORS
            case "sign" if token.text == "|":
                return not self._in_bars
        return token.kind == "sign" and not token.worded and token.text in _BEGIN_FACTOR

    # --- powers -----------------------------------------------------------------------------------

    def _power(self) -> Expression:
        base = self._postfix(self._atom())
        if self._take_degrees():
            return Operation("degree", (self._with_minutes(base),))
        if self.take("^"):
            return self._postfix(Operation("pow", (base, self._exponent())))
        return base

    def _take_degrees(self) -> bool:
        r"""Whether degrees come next, which are then read: `\degree`, `^\circ`, `^{\circ}`, `^\text{o}`."""
        if self.take("deg", "circ"):
            return True
        braced = self.peek(1).text == "{"
        sign = self.peek(2 if braced else 1)
        is_degree = sign.text in ("circ", "deg") or (sign.text in ("o", "O") and sign.worded)
        if not self.at_sign("^") or not is_degree or (braced and self.peek(3).text != "}"):
            return False
        self.at += 4 if braced else 2
        return True

    def _with_minutes(self, degrees: Expression) -> Expression:
        r"""Degrees with the minutes behind them: `22^\circ 30'`."""
        if self.peek().kind == "number" and self.peek(1).text == "'":
            minutes = Operation("div", (number(self.next().text), Number(Fraction(60))))
            self.expect("'")
            return Operation("add", (degrees, minutes))
        return degrees

    def _exponent(self) -> Expression:
        if self._take_minus():
            return Operation("neg", (self._exponent(),))
        return number(self.next().text) if self.peek().kind == "number" else self._argument()

    def _postfix(self, value: Expression) -> Expression:
        """A value with the factorials, per cent signs and primes behind it."""
        while True:
            if self.take("!"):
                if self.at_sign("!"):
                    raise BeyondError("double factorial")
                value = Operation("factorial", (value,))
            elif self.take("%"):
                if self.peek().kind in ("number", "letter", "word") or self.at_sign("%", "(", "{"):
                    raise NotReadError("a remainder, or two signs")
                value = Operation("percent", (value,))
            elif self.take("'"):
                if not isinstance(value, Symbol):
                    raise NotReadError("a prime behind an expression")
                value = Symbol(value.name + "'")
            else:
                return value

    # --- atoms ------------------------------------------------------------------------------------

    def _atom(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BeyondError("brackets within brackets without end")
        found = self._atom_at_depth()
        self._depth -= 1
        return found

    def _atom_at_depth(self) -> Expression:
        token = self.peek()
        if token.kind == "number":
            return self._number()
        self.at += 1
        match token.kind:
            case "letter":
                return self._symbol(token.text)
            case "word":
                return self._word(token)
            case "macro":
                return self._macro(token)
            case "sign" if token.text in _CLOSING:
                return self._bracketed(token.text)
            case "sign" if token.text in ("^", "_"):
                return self._ways_of_raised()
        raise NotReadError(f"{token.text!r} begins no expression")

    def _number(self) -> Expression:
        """A number, or `7C3`."""
        found = read_number(self, self._argument)
        letter, below = self.peek(), self.peek(1)
        if found.places or letter.text not in ("C", "P") or letter.spaced or below.kind != "number":
            return found
        self.at += 2
        return _ways(found, letter.text, number(below.text))

    def _bracketed(self, opening: str) -> Expression:
        """What stands in brackets that were just opened."""
        if opening == r"\{":
            raise NotReadError("a set in an expression")
        outside, self._in_bars = self._in_bars, opening == "|"
        inner = self.whole()
        self.expect(_CLOSING[opening])
        self._in_bars = outside
        if opening == "|":
            return Operation("abs", (inner,))
        if opening in ("floor(", "ceil("):
            return Operation(opening[:-1], (inner,))
        if opening == "{" and isinstance(inner, Symbol) and self.at_sign("_"):
            return self._symbol(inner.name)
        return inner

    def _argument(self) -> Expression:
        r"""What a macro takes: a group in braces, or one token; of digits or letters, the first."""
        token = self.peek()
        digits = token.kind == "number" and token.text.isdigit()
        letters = token.kind == "word" and not token.worded and not is_function(token)
        if (digits or letters) and len(token.text) > 1:
            self.tokens[self.at : self.at + 1] = _split(token)
        return number(self.next().text) if token.kind == "number" else self._atom()

    # --- letters ----------------------------------------------------------------------------------

    def _symbol(self, name: str) -> Expression:
        """A letter with what stands below it; `C_5^2` and `C(5,2)` are binomials."""
        if name == "C" and self._pair_follows():
            return self._chosen()
        if name in ("f", "g", "h") and self.at_sign("(") and not self.peek().spaced:
            start = self.at
            self._atom()
            return Symbol(name + "".join(token.text for token in self.tokens[start : self.at]))
        if self.take("_"):
            below = self._text()
            if name in ("C", "A") and below.isdigit() and self.take("^"):  # A_5^2 counts arrangements
                return _ways(number(below), "P" if name == "A" else "C", self._exponent())
            name += "_" + below
        elif name == "C" and self.at_sign("^") and self._is_binomial():
            self.expect("^")
            below_right = self._exponent()
            self.expect("_")
            return Operation("binom", (self._argument(), below_right))
        return Symbol(name)

    def _is_binomial(self) -> bool:
        """Whether `^2_5` comes next."""
        return self.peek(1).kind == "number" and self.peek(2).text == "_" and self.peek(3).kind == "number"

    def _pair_follows(self) -> bool:
        """Whether brackets with a comma come next, as in `C(5,2)`."""
        ahead = self.tokens[self.at :]
        end = first_closing(ahead) if self.at_sign("(") else None
        return end is not None and len(split(ahead[1:end], ",")) > 1

    def _chosen(self) -> Expression:
        """The `(5,2)` of `C(5,2)`."""
        self.expect("(")
        above = self._sum()
        self.expect(",")
        below = self._sum()
        self.expect(")")
        return Operation("binom", (above, below))

    def _ways_of_raised(self) -> Expression:
        """`^7C_3`, `_7C_3` and `^7P_3`, behind their first sign."""
        above = self._exponent()
        letter = self.next().text
        if letter not in ("C", "P") or not self.take("_"):
            raise NotReadError("an exponent of nothing")
        return _ways(above, letter, self._argument())

    def _text(self) -> str:
        """What stands in braces, or the next token, as text."""
        if not self.at_sign("{"):
            return self.next().text
        depth, text = 0, ""
        while True:
            token = self.next()
            if token is END:
                raise NotReadError("braces are never closed")
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if depth == 0:
                return text
            text += token.text.strip("{}")

    # --- names ------------------------------------------------------------------------------------

    def _word(self, token: Token) -> Expression:
        name = names.name_of(token)
        if token.worded and len(token.text) == 1 and self.at > 1:
            return self._symbol(token.text)  # x^2 + \text{C}
        if token.worded and not is_function(token):
            raise NotReadError(f"the word {token.text!r}")
        if name.lower() in names.CONSTANTS:
            return Symbol(names.CONSTANTS[name.lower()])
        if is_function(token):
            return self._named(name)
        if self.at_sign("_"):
            return self._symbol(name)
        if not is_product(token):
            raise NotReadError(f"the word {token.text!r}")
        return Symbol(name) if name.isupper() else self._letters(name)

    def _letters(self, name: str) -> Expression:
        """A product of letters; in `ab^2`, the power is that of the last one."""
        factors: list[Expression] = [Symbol(letter) for letter in name]
        if self.take("^"):
            factors[-1] = Operation("pow", (factors[-1], self._exponent()))
        return reduce(lambda product, factor: Operation("mul", (product, factor)), factors)

    def _macro(self, token: Token) -> Expression:
        name = names.name_of(token)
        if is_beyond(token):
            raise BeyondError(token.text)
        if name in names.CONSTANTS:
            return Symbol(names.CONSTANTS[name])
        if name in names.GREEK:
            return self._symbol(name)
        if name in names.BASIS:
            return Symbol(token.text)
        if name in names.ACCENTS:
            return Symbol(f"{token.text} {self._text()}")
        return self._typeset(name)

    def _typeset(self, name: str) -> Expression:
        """Macros that place their arguments: fractions, binomials and roots; and others by their names."""
        match name:
            case "frac":
                return Operation("div", (self._argument(), self._argument()))
            case "binom":
                return Operation("binom", (self._argument(), self._argument()))
            case "sqrt":
                index: Expression = Number(Fraction(2))
                if self.take("["):
                    index = self._sum()
                    self.expect("]")
                return Operation("root", (self._argument(), index))
        return self._named(name)

    def _named(self, name: str) -> Expression:
        """A function by its name, with what it is applied to."""
        if name in names.FUNCTIONS:
            return self._function(name)
        if name in names.MULTARY or name == "binom":
            return self._multary(name)
        if name in names.ROOTS:
            inside = number(self.next().text) if self.peek().kind == "number" else self._argument()
            return Operation("root", (inside, Number(Fraction(names.ROOTS[name]))))
        if name in names.APPLIED:
            return Operation(name, (self._argument(),))
        raise NotReadError(f"the name {name}")

    def _multary(self, name: str) -> Expression:
        """A function of arguments in brackets."""
        if not self.at_sign("{", "(", r"\{", "["):
            raise NotReadError(f"{name} of nothing")
        closing = _CLOSING[self.next().text]
        arguments = [self._sum()]
        while self.take(","):
            arguments.append(self._sum())
        self.expect(closing)
        return Operation(name, tuple(arguments))

    def _function(self, name: str) -> Expression:
        r"""A function of one argument: `\sin^2 x`, `\tan^{-1}(x)`, `\log_2 8`."""
        base: Expression | None = None
        power: Expression | None = None
        for _ in range(2):  # in either order
            if self.take("_"):
                base = self._argument()
            elif power is None and self.take("^"):
                power = self._exponent()
        if power == Operation("neg", (_ONE,)) and name in names.INVERSES:
            name, power = names.INVERSES[name], None
        if name == "lg":
            name, base = "log", base or Number(Fraction(10))
        argument = self._function_argument()
        value = Operation(name, (argument,) if base is None else (argument, base))
        return value if power is None else Operation("pow", (value, power))

    def _function_argument(self) -> Expression:
        """What stands in brackets, or a product without them."""
        if self.at_sign("(", "[", "{"):
            bracketed = self._atom()
            return self._rest_of_argument(bracketed) if self.at_sign("!") else bracketed
        if self._take_minus():
            return Operation("neg", (self._function_argument(),))
        return self._rest_of_argument(self._power())

    def _rest_of_argument(self, value: Expression) -> Expression:
        r"""The product behind, up to a function or a bracket; in `\sin x/2`, the 2 belongs to it."""
        while True:
            token = self.peek()
            begins_function = is_function(token) or names.name_of(token) in names.FUNCTIONS
            if token.kind != "sign" and self._factor_follows() and not begins_function:
                value = Operation("mul", (value, self._power()))
            elif self._divisor_follows() and isinstance(value, Number | Symbol):
                self.expect("/")
                value = Operation("div", (value, self._power()))
            elif self.at_sign("!"):
                value = self._postfix(value)
            else:
                return value

    def _divisor_follows(self) -> bool:
        return self.at_sign("/") and self.peek(1).kind in ("number", "letter")


def _split(token: Token) -> list[Token]:
    """The first digit or letter of a number or a word, and the rest."""
    first, rest = token.text[0], token.text[1:]
    if token.kind == "number":
        return [Token("number", first), Token("number", rest)]
    return [Token("letter", first), Token("letter" if len(rest) == 1 else "word", rest)]


def _add(terms: list[Expression]) -> Expression:
    return terms[0] if len(terms) == 1 else Operation("add", tuple(terms))


def _ways(above: Expression, letter: str, below: Expression) -> Expression:
    """Combinations (C) or permutations (P)."""
    value = Operation("binom", (above, below))
    return Operation("mul", (value, Operation("factorial", (below,)))) if letter == "P" else value
