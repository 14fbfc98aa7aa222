"""The value of an expression: exactly where it is rational, else to sixty digits.

Expressions with variables are compared at fixed points. What differs at one of them is different; what agrees
at all is the same function, but for a coincidence in the fiftieth digit. Every operation is bounded in size,
so that no text of a model takes long here; what is too large has no value.
"""

import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from math import ceil, comb, factorial, floor, gcd, isqrt, lcm, log2
from typing import Any

import mpmath

from glow.verifier.grammar.tree import Expression, Number, Operation, Symbol, parts, symbols

Value = Any
"""A Fraction, or a real or complex number of mpmath."""

DIGITS = 60
_TOLERANCE = Fraction(1, 10**45)
_LARGEST_BITS = 2_000_000
"""Of a whole number that is computed exactly; of a denominator, a tenth of it."""
_MOST_BITS = 5_000_000
"""Of all numbers that are computed on the way to a value."""
_LARGEST_POWER = 10**7
"""Of the binary exponent of any other."""
_FACTORIALS = 20_000
"""Up to which factorials are computed exactly."""


class NoValueError(Exception):
    """It has none, or none that is cheap to find."""


class _Precise(threading.local):
    """mpmath changes its precision while it computes: each thread has its own."""

    def __init__(self) -> None:
        self.mp = mpmath.MPContext()
        self.mp.dps = DIGITS


_LOCAL = _Precise()


def value(
    expression: Expression, point: Mapping[str, Fraction], logarithm: int = 0, *, only_real: bool = False
) -> Value:
    """The value at a point.

    Args:
        logarithm: the base of a `log` that names none; 0 means e.
        only_real: what is not real on the way to the value has none.

    Raises:
        NoValueError: there is none.
    """
    try:
        return _Evaluator(point, logarithm, only_real).of(expression)
    except (
        ZeroDivisionError,
        ValueError,
        OverflowError,
        TypeError,
        MemoryError,
        mpmath.libmp.ComplexResult,
    ) as error:
        raise NoValueError(str(error)) from error


def number(found: Value) -> Value:
    """A Fraction as a number of mpmath; others as they are."""
    if isinstance(found, Fraction):
        return _rounded(found.numerator) / _rounded(found.denominator)
    return found


def _rounded(whole: int) -> Value:
    """A whole number as one of mpmath, which takes seconds to strip the zeros of 2^1000000 by itself."""
    zeros = max(0, (whole & -whole).bit_length() - 1)
    return _LOCAL.mp.mpf((whole >> zeros, zeros))


def is_real(found: Value) -> bool:
    return isinstance(found, Fraction) or not getattr(found, "imag", 0)


def close(first: Value, second: Value) -> bool:
    """Whether two values are the same to as many digits as are computed."""
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return first == second
    one, other = number(first), number(second)
    if _LOCAL.mp.isinf(one) or _LOCAL.mp.isinf(other):
        return bool(one == other)
    largest = max(abs(one), abs(other))
    return bool(abs(one - other) <= number(_TOLERANCE) * largest) or bool(largest < _ZERO)


_ZERO = 1e-52
"""Below this, the difference of two equal numbers may be left."""
_LARGEST_TERM = 10**12
"""How much larger than their sum terms may be."""


class _Evaluator:
    def __init__(self, point: Mapping[str, Fraction], logarithm: int, only_real: bool) -> None:
        self._point = point
        self._logarithm = logarithm
        self._only_real = only_real
        self._mp = _LOCAL.mp
        self._bits = 0

    def of(self, expression: Expression) -> Value:
        if isinstance(expression, Number):
            return expression.value
        if isinstance(expression, Symbol):
            return self._symbol(expression.name)
        arguments = [self.of(argument) for argument in expression.arguments]
        found = self._checked(self._apply(expression.name, arguments))
        if self._only_real and not is_real(found) and all(map(is_real, arguments)):
            raise NoValueError("not real")
        if expression.name == "add":
            self._refuse_cancelled(found, arguments)
        return found

    def _refuse_cancelled(self, found: Value, terms: list[Value]) -> None:
        r"""Large terms that cancel leave their rounding errors: `\cosh^2 x - \sinh^2 x` for a large x."""
        if isinstance(found, Fraction) or self._mp.isinf(found):
            return
        if max(abs(number(term)) for term in terms) > _LARGEST_TERM * (1 + abs(found)):
            raise NoValueError("its terms cancel")

    def _symbol(self, name: str) -> Value:
        match name:
            case "pi":
                return +self._mp.pi
            case "e":
                return +self._mp.e
            case "i":
                return self._mp.mpc(0, 1)
            case "infinity":
                return self._mp.inf
        return self._point[name]

    def _checked(self, found: Value) -> Value:
        if isinstance(found, int):
            found = Fraction(found)
        if isinstance(found, Fraction):
            above, below = found.numerator.bit_length(), found.denominator.bit_length()
            self._bits += above + 10 * below
            if above > _LARGEST_BITS or below > _LARGEST_BITS // 10 or self._bits > _MOST_BITS:
                raise NoValueError("too large")
            return found
        if self._mp.isnan(found):
            raise NoValueError("undefined")
        if not self._mp.isinf(found) and found != 0 and abs(self._mp.mag(found)) > _LARGEST_POWER:
            raise NoValueError("too large")
        if isinstance(found, mpmath.ctx_mp_python._mpc) and found.imag == 0:
            return found.real
        return found

    def _apply(self, name: str, given: list[Value]) -> Value:
        if name in _EXACT and all(isinstance(one, Fraction) for one in given):
            return _EXACT[name](*given)
        if name in _BOUNDED:
            return getattr(self, f"_{name}")(*given)
        first, *rest = map(number, given)
        if name in _ARITHMETIC:
            return _ARITHMETIC[name](first, *rest)
        if name not in _FUNCTIONS or rest:
            raise NoValueError(f"{name} of {len(given)} arguments")
        if abs(first) > _LARGEST_ARGUMENT and name != "arctan":
            raise NoValueError("too large an argument")
        return getattr(self._mp, _FUNCTIONS[name])(first)

    def _degree(self, angle: Value) -> Value:
        return number(angle) * self._mp.pi / 180

    def _pow(self, base: Value, exponent: Value) -> Value:
        if isinstance(exponent, Fraction) and exponent.denominator == 1 and isinstance(base, Fraction):
            power = int(exponent)
            bits = log2(max(abs(base.numerator), base.denominator, 1))
            limit = _LARGEST_BITS if base.denominator == 1 and power >= 0 else _LARGEST_BITS // 10
            if abs(power) * bits <= limit:
                return base**power
        if (
            isinstance(base, Fraction)
            and isinstance(exponent, Fraction)
            and base < 0
            and exponent.denominator % 2
        ):
            # A real root of a negative number, as schools write it: (-8)^{1/3}.
            sign = -1 if exponent.numerator % 2 else 1
            return sign * self._pow(-base, exponent)
        one, other = number(base), number(exponent)
        if one == 0:
            return self._mp.mpf(0) if other.real > 0 else 1 / one
        size = abs(other) * (abs(self._mp.log(one)) + 1)
        if size > _LARGEST_POWER:
            raise NoValueError("too large a power")
        return one**other

    def _root(self, inside: Value, index: Value) -> Value:
        if not isinstance(index, Fraction) or index == 0:
            return self._pow(inside, 1 / index)
        if is_real(inside) and inside < 0 and index.denominator == 1 and index.numerator % 2:
            return -self._root(-inside, index)
        if isinstance(inside, Fraction) and index == 2 and inside >= 0:
            roots = [_integer_root(part) for part in (inside.numerator, inside.denominator)]
            if None not in roots:
                return Fraction(*roots)  # type: ignore[arg-type]
        return self._mp.sqrt(number(inside)) if index == 2 else self._pow(inside, 1 / index)

    def _log(self, argument: Value, base: Value | None = None) -> Value:
        base = self._logarithm or None if base is None else base
        return self._ln(argument) if base is None else self._ln(argument) / self._ln(base)

    def _ln(self, argument: Value) -> Value:
        return self._mp.log(number(argument))

    def _factorial(self, argument: Value) -> Value:
        if isinstance(argument, Fraction) and argument.denominator == 1 and 0 <= argument <= _FACTORIALS:
            return Fraction(factorial(int(argument)))
        if abs(number(argument)) > 10**6:
            raise NoValueError("too large a factorial")
        return self._mp.factorial(number(argument))

    def _binom(self, n: Value, k: Value) -> Value:
        if (
            all(isinstance(one, Fraction) and one.denominator == 1 for one in (n, k))
            and 0 <= k <= n <= _FACTORIALS
        ):
            return Fraction(comb(int(n), int(k)))
        if max(abs(number(n)), abs(number(k))) > 10**5:
            raise NoValueError("too large a binomial")
        if isinstance(k, Fraction) and k.denominator == 1 and 0 <= k <= 50:
            found: Value = Fraction(1)
            for j in range(int(k)):
                found = found * (n - j) / (j + 1)
            return found
        return self._mp.binomial(number(n), number(k))


_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc", "exp": "exp",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "coth": "coth",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec",
    "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh", "floor": "floor", "ceil": "ceil",
}  # fmt: skip
"""Our names of functions of one argument, and mpmath's."""
_LARGEST_ARGUMENT = 10**9
_ARITHMETIC: dict[str, Callable[..., Value]] = {
    "add": lambda *terms: sum(terms[1:], terms[0]),
    "mul": lambda one, other: one * other,
    "div": lambda one, other: one / other,
    "neg": lambda one: -one,
    "percent": lambda one: one / 100,
    "abs": abs,
    "min": lambda *given: min(given),
    "max": lambda *given: max(given),
}
_BOUNDED = frozenset(("pow", "root", "log", "ln", "degree", "factorial", "binom"))
"""What has a method of its own, which sees to it that the result is not too large."""


def _whole(function: Callable[..., int]) -> Callable[..., Fraction]:
    def applied(*given: Fraction) -> Fraction:
        if any(one.denominator != 1 for one in given):
            raise NoValueError("of whole numbers only")
        return Fraction(function(*map(int, given)))

    return applied


_EXACT: dict[str, Callable[..., Fraction]] = _ARITHMETIC | {
    "floor": lambda one: Fraction(floor(one)),
    "ceil": lambda one: Fraction(ceil(one)),
    "gcd": _whole(gcd),
    "lcm": _whole(lcm),
}


def _integer_root(whole: int) -> int | None:
    root = isqrt(whole)
    return root if root * root == whole else None


# --- functions of variables -----------------------------------------------------------------------

_SIZES = (1, 9, 61, 1009, 1, 13)
POINTS = len(_SIZES)
_POSITIVE = 4
"""Points with positive coordinates only, which come first."""


def coordinate(name: str, point: int) -> Fraction:
    """The value of a variable at a point: fixed by its name."""
    drawn = zlib.crc32(f"{point} {name}".encode())
    size = Fraction(300 + drawn % 1709, 977) * _SIZES[point]
    # Negative at one of the last two points and positive at the other.
    return -size if point >= _POSITIVE and (zlib.crc32(name.encode()) + point) % 2 else size


def coordinates(names: Iterable[str], point: int) -> dict[str, Fraction]:
    """The values of variables at a point."""
    return {name: coordinate(name, point) for name in names}


@lru_cache(maxsize=16384)
def sampled(expression: Expression, logarithm: int = 0) -> tuple[Value | None, ...]:
    """The values at all points, or the one value of a constant; None where there is none.

    With negative coordinates, roots and logarithms take branches that nobody means: what is not real on the
    way has no value there.
    """
    names = symbols(expression)
    found: list[Value | None] = []
    for point in range(POINTS if names else 1):
        try:
            found.append(
                value(expression, coordinates(names, point), logarithm, only_real=point >= _POSITIVE)
            )
        except NoValueError:
            found.append(None)
    return tuple(found)


def same_values(first: Expression, second: Expression) -> bool | None:
    """Whether two expressions have the same values; None where they have none to compare."""
    found = _same_values(first, second, 0)
    if not found and any(
        isinstance(one, Operation) and one.name == "log" for one in parts(first) + parts(second)
    ):
        found = _same_values(first, second, 10) or found
    return found


def _same_values(first: Expression, second: Expression, logarithm: int) -> bool | None:
    ours, theirs = sampled(first, logarithm), sampled(second, logarithm)
    points = max(len(ours), len(theirs))
    ours, theirs = (found * points if len(found) == 1 else found for found in (ours, theirs))
    compared = [k for k in range(points) if ours[k] is not None and theirs[k] is not None]
    if not all(close(ours[k], theirs[k]) for k in compared):
        return rounded(first, second, ours[0], theirs[0]) if points == 1 else False
    if len(compared) < min(points, 2):
        return None
    exact = all(isinstance(found[k], Fraction) for found in (ours, theirs) for k in compared)
    return True if exact else _confirmed(first, second, compared[0], logarithm)


# --- when all digits agree ------------------------------------------------------------------------

_MORE_DIGITS = 500


def _confirmed(first: Expression, second: Expression, point: int, logarithm: int) -> bool | None:
    """Whether two values that agree in sixty digits agree in five hundred; None where that is not enough.

    Where both vanish, only rounding errors are left, which shrink as the digits grow.
    """
    at = coordinates(symbols(first) | symbols(second), point)
    few = [number(value(one, at, logarithm)) for one in (first, second)]
    if max(map(abs, few)) > _LARGEST_CONFIRMED and not any(map(_LOCAL.mp.isinf, few)):
        return None  # whole numbers may differ in digits that are not computed
    _LOCAL.mp.dps = _MORE_DIGITS
    try:
        many = [number(value(one, at, logarithm)) for one in (first, second)]
        if any(map(_LOCAL.mp.isinf, many)):
            return True
        gap, largest = abs(many[0] - many[1]), max(map(abs, many))
        vanish = largest < max(map(abs, few)) * _LOCAL.mp.mpf(10) ** (DIGITS - _MORE_DIGITS // 2)
        return bool(vanish) or bool(gap <= largest * _LOCAL.mp.mpf(10) ** (DIGITS - _MORE_DIGITS))
    except NoValueError:
        return None
    finally:
        _LOCAL.mp.dps = DIGITS


_LARGEST_CONFIRMED = 1e300

# --- decimals -------------------------------------------------------------------------------------

_FEWEST_PLACES = 6


def rounded(first: Expression, second: Expression, one: Value, other: Value) -> bool:
    """Whether one is a decimal number to which the other was rounded: 0.333333 is 1/3, and 0.333 is not.

    Six places at least, three of them significant; what has finitely many places must be exact.
    """
    return _rounds(first, one, other) or _rounds(second, other, one)


def _rounds(written: Expression, decimal: Value, exact: Value) -> bool:
    bare = written.arguments[0] if isinstance(written, Operation) and written.name == "neg" else written
    if not isinstance(bare, Number) or bare.places < _FEWEST_PLACES or not is_real(exact):
        return False
    unit = Fraction(1, 10**bare.places)
    if isinstance(exact, Fraction) and _terminates(exact.denominator):
        return False
    gap = abs(number(decimal) - number(exact))
    return bool(gap < number(unit)) and bool(gap <= abs(number(exact)) / 1000)


def _terminates(denominator: int) -> bool:
    """Whether a fraction with this denominator can be written as a decimal number."""
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1
