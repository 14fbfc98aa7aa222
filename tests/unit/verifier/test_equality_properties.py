"""What holds for all answers, on drawn ones; the references are Python's fractions and sympy."""

import re
from collections.abc import Callable
from fractions import Fraction

import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glow.verifier.equality import decide, infer_type, names_none, prepared
from glow.verifier.equality.gold import Gold
from glow.verifier.equality.values import number, value
from glow.verifier.grammar import read
from glow.verifier.grammar.tree import Quantity


def equal(stated: str, gold: str) -> bool:
    """The verdict of a pair that must be decided without math-verify."""
    decision = decide(stated, gold)
    assert decision is not None, (stated, gold)
    return decision.equal


# --- wild text ------------------------------------------------------------------------------------

PIECES = (
    r"\frac", r"\sqrt", r"\sqrt[3]", r"\left(", r"\right)", r"\left\{", r"\right.", r"\text{", r"\mathrm{",
    "}", "{", "(", ")", "[", "]", r"\{", r"\}", "|", r"\|", "$", "$$", r"\$", "%", r"\%", "^", "_", "^{",
    "_{", "!", "!!", "'", ",", ";", ":", ".", "...", r"\ldots", "+", "-", "*", "/", "=", "<", ">", r"\le",
    r"\ne", r"\approx", r"\pm", r"\mp", r"\in", r"\cup", r"\cap", r"\setminus", r"\mid", r"\to",
    r"\Rightarrow", r"\circ", r"^\circ", r"\infty", r"\pi", r"\mathbb{R}", r"\begin{pmatrix}",
    r"\end{pmatrix}", r"\begin{cases}", r"\end{cases}", "&", r"\\", r"\binom", r"\choose", r"\over", r"\sum_",
    r"\int", r"\lim", r"\log_", r"\sin", r"\hat{i}", r"\vec", r"\bar", r"\overline", r"\lfloor", r"\rfloor",
    r"\emptyset", r"\quad", r"\,", r"\!", r"\boxed{", r"\color{red}", r"\textcolor{red}{", "#", "@", "~", "`",
    "0", "1", "2", "3", "10", "100", "1,000", "2,3", "0.5", ".5", "1e5", "x", "y", "n", "k", "a", "i", "e",
    "C", "ab", "cm", "kg", "m/s", "min", "hours", "percent", "dollars", "apples", "and", "or", "not", "is",
    "the", "squared", "half", "dozen", "thirty", "Yes", "No", "A.", "B)", "101_2", "x_1", "x=", "(1,2)",
    "[0,1)", r"k\in\mathbb{Z}", "3:4", "8:34", "p.m.", "May", "米", "√", "²", "½", "−", "π", "∈", "٥",
)  # fmt: skip
WILD = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(("", " "))), max_size=14).map(
    lambda drawn: "".join(piece + blank for piece, blank in drawn)
)


LONG = st.builds(
    lambda piece, times, core, closing: piece * times + core + closing * times,
    st.sampled_from((*PIECES, "!%", "C(", "f(", "2^{", "- +", "(2", r"\sin-", "x^-")),
    st.integers(20, 400),
    st.sampled_from(("", "5", "x")),
    st.sampled_from(("", ")", "}", "]", r"\}", ")ab")),
)
"""One piece again and again: brackets within one another, where what follows closes them."""


@settings(max_examples=400)
@given(WILD | LONG, WILD)
def test_no_text_makes_the_grammar_or_a_comparison_fail(stated: str, gold: str) -> None:
    decision = decide(stated, gold)
    assert decision is None or isinstance(decision.equal, bool)
    read(stated, decimal_commas=True)
    infer_type(gold)
    prepared(stated, None)
    names_none(Gold(gold, choices=(stated, "2")))


@settings(max_examples=200)
@given(
    WILD,
    st.sampled_from(
        ("number", "expression", "set", "list", "interval", "tuple", "matrix", "relation", "time", "choice")
    ),
)
def test_every_text_equals_itself_whatever_its_type(text: str, kind: str) -> None:
    decision = decide(text, Gold(text, kind))  # type: ignore[arg-type]
    assert decision is not None
    assert decision.equal


# --- numbers --------------------------------------------------------------------------------------

RATIONALS = st.builds(
    Fraction, st.integers(-5000, 5000), st.sampled_from((1, 1, 2, 3, 4, 6, 7, 8, 25, 40, 99, 125))
)


def as_fraction(number: Fraction) -> str:
    return rf"\frac{{{number.numerator}}}{{{number.denominator}}}"


def as_mixed(number: Fraction) -> str:
    whole, rest = divmod(abs(number), 1)
    sign = "-" if number < 0 else ""
    return (
        rf"{sign}{whole}\frac{{{rest.numerator}}}{{{rest.denominator}}}"
        if whole and rest
        else as_fraction(number)
    )


def as_decimal(number: Fraction) -> str:
    """With a period in brackets where it does not end."""
    whole, rest = divmod(abs(number), 1)
    digits, seen, remainders = "", {}, rest  # long division
    while remainders and remainders not in seen:
        seen[remainders] = len(digits)
        digit, remainders = divmod(remainders * 10, 1)
        digits += str(digit)
    if remainders:
        start = seen[remainders]
        digits = rf"{digits[:start]}\overline{{{digits[start:]}}}"
    return ("-" if number < 0 else "") + str(whole) + ("." + digits if digits else "")


WRITTEN: tuple[Callable[[Fraction], str], ...] = (
    as_fraction,
    as_mixed,
    as_decimal,
    lambda number: f"{number.numerator}/{number.denominator}",
    lambda number: rf"-\dfrac{{{-number.numerator}}}{{{number.denominator}}}",
    lambda number: rf"${as_decimal(number * 1000)} \times 10^{{-3}}$",
    lambda number: rf"{as_decimal(number * 100)}\%",
    lambda number: rf"\frac{{{number.numerator * 6}}}{{{number.denominator * 6}}}",
    lambda number: f"x = {as_fraction(number)}",
)


@given(RATIONALS, st.sampled_from(WRITTEN), st.sampled_from(WRITTEN))
def test_a_rational_number_is_itself_however_it_is_written(
    number: Fraction, one: Callable[[Fraction], str], other: Callable[[Fraction], str]
) -> None:
    assert equal(one(number), other(number))


@given(RATIONALS, st.sampled_from(WRITTEN), st.sampled_from(WRITTEN))
def test_and_is_not_its_neighbour(
    number: Fraction, one: Callable[[Fraction], str], other: Callable[[Fraction], str]
) -> None:
    neighbour = number + Fraction(1, number.denominator)
    # A percentage is also accepted for its number without the sign, and is told apart as a leniency.
    assume(number != 100 * neighbour and neighbour != 100 * number)
    assert not equal(one(number), other(neighbour))
    assert not equal(one(neighbour), other(number))


@given(RATIONALS, RATIONALS)
def test_two_numbers_are_equal_just_when_their_fractions_are(one: Fraction, other: Fraction) -> None:
    assert equal(as_decimal(one), as_fraction(other)) == (one == other)


# --- collections ----------------------------------------------------------------------------------

FEW = st.sampled_from([Fraction(k, 6) for k in range(-4, 5)])
BRACKETS = st.sampled_from([("", ""), ("(", ")"), (r"\{", r"\}"), ("[", "]"), (r"\left(", r"\right)")])


def _collected(
    members: list[Fraction], ways: list[Callable[[Fraction], str]], brackets: tuple[str, str]
) -> str:
    inside = ", ".join(way(member) for member, way in zip(members, ways, strict=False))
    return brackets[0] + inside + brackets[1]


COLLECTIONS = st.builds(
    _collected,
    st.lists(FEW, min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(WRITTEN[:4]), min_size=3, max_size=3),
    BRACKETS,
)


@settings(max_examples=300)
@given(COLLECTIONS, COLLECTIONS)
def test_the_verdict_is_the_same_from_both_sides(one: str, other: str) -> None:
    first, second = decide(one, other), decide(other, one)
    assert (first and first.equal) == (second and second.equal)


@given(
    st.lists(FEW, min_size=2, max_size=4), st.lists(FEW, min_size=2, max_size=4), st.sampled_from(WRITTEN[:4])
)
def test_lists_have_no_order_and_tuples_do(
    ours: list[Fraction], theirs: list[Fraction], written: Callable[[Fraction], str]
) -> None:
    stated, gold = ", ".join(map(written, ours)), ", ".join(map(as_fraction, theirs))
    assert equal(rf"\{{{stated}\}}", rf"\{{{gold}\}}") == (set(ours) == set(theirs))
    if len(theirs) > 2:
        assert equal(f"({stated})", f"({gold})") == (ours == theirs)
    if len(set(ours)) == len(ours) and len(set(theirs)) == len(theirs):
        assert equal(stated, gold) == (sorted(ours) == sorted(theirs))


# --- dressing -------------------------------------------------------------------------------------

ANSWERS = (
    "5", "-7", r"\frac{1}{2}", "0.25", "x+1", r"2\sqrt{3}", "(1, 2)", "[1, 2)", "1, 2, 3", r"\{1, 2\}",
    "x = 5", r"x \le 3", r"\frac{\pi}{4}", r"5\text{ cm}", r"25\%", r"30^\circ", "3:4",
    r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "3+4i", r"(-\infty, 1] \cup (2, 3)", "y = 2x+1",
    r"k\pi, k \in \mathbb{Z}", "101_2", r"\text{even}", "C", "yes", "October 30", r"\pm 2", r"\log_2 8",
    r"\binom{5}{2}",
)  # fmt: skip
INSIDE: tuple[Callable[[str], str], ...] = (
    lambda text: text + r"\text{}",
    lambda text: rf"\,{text}\!",
    lambda text: rf"\displaystyle {text}",
    lambda text: rf"\color{{blue}}{text}",
    lambda text: rf"\textcolor{{blue}}{{{text}}}",
    lambda text: rf"\mathbf{{{text}}}",
    lambda text: f"{{{text}}}",
    lambda text: re.sub(r"(?<!\\left)\(", r"\\left(", re.sub(r"(?<!\\right)\)", r"\\right)", text)),
    lambda text: text.replace(r"\frac", r"\dfrac"),
    lambda text: text.replace(", ", r",\; "),
)
AROUND: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: f"${text}$",
    lambda text: f"$${text}$$",
    lambda text: rf"\({text}\)",
    lambda text: f"**{text}**",
    lambda text: f"  {text}\n",
    lambda text: f"{text}.",
)


@settings(max_examples=500)
@given(
    st.sampled_from(ANSWERS),
    st.lists(st.sampled_from(INSIDE), max_size=2, unique=True),
    st.sampled_from(AROUND),
)
def test_dressing_changes_nothing(
    answer: str, inside: list[Callable[[str], str]], around: Callable[[str], str]
) -> None:
    dressed = answer
    for dress in (*inside, around):
        dressed = dress(dressed)
    for stated, gold in ((dressed, answer), (answer, dressed)):
        decision = decide(stated, gold)
        assert decision is not None
        assert decision.equal
        assert decision.leniency is None


# --- polynomials ----------------------------------------------------------------------------------

ROOTS = st.lists(st.integers(-6, 6), min_size=1, max_size=3)


@settings(max_examples=60)
@given(ROOTS, st.integers(1, 9), st.booleans())
def test_a_polynomial_is_its_factors(roots: list[int], leading: int, two_letters: bool) -> None:
    x, y = sympy.symbols("x y")
    other = y if two_letters else sympy.Integer(1)
    factored = leading * sympy.prod(x - root * other for root in roots)
    expanded = sympy.expand(factored)
    assert equal(sympy.latex(expanded), sympy.latex(factored))
    assert equal(sympy.latex(factored), sympy.latex(expanded))
    for term in expanded.as_ordered_terms():
        changed = sympy.expand(expanded + term.as_independent(x, y)[1])
        assert not equal(sympy.latex(changed), sympy.latex(factored))


# --- expressions ----------------------------------------------------------------------------------

X, Y = sympy.symbols("x y", positive=True)
FUNCTIONS = (sympy.sqrt, sympy.sin, sympy.tan, sympy.exp, sympy.log, sympy.Abs, sympy.floor, sympy.sinh)
LEAVES = st.sampled_from((X, Y, sympy.pi, sympy.E, *map(sympy.Integer, (1, 2, 3, 12)), sympy.Rational(2, 7)))
PRINTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda one, other: one + other, inner, inner),
        st.builds(lambda one, other: one - other, inner, inner),
        st.builds(lambda one, other: one * other, inner, inner),
        st.builds(lambda one, other: one / other, inner, inner),
        st.builds(lambda one, power: one**power, inner, st.sampled_from((2, -1, sympy.Rational(2, 3), X))),
        st.builds(lambda function, one: function(one), st.sampled_from(FUNCTIONS), inner),
    ),
    max_leaves=6,
)
STYLES = (
    {},
    {"mul_symbol": "dot"},
    {"mul_symbol": "times"},
    {"fold_frac_powers": True},
    {"ln_notation": True},
)


@settings(max_examples=300)
@given(PRINTED, st.sampled_from(STYLES))
def test_what_sympy_prints_is_read_with_its_value(
    expression: sympy.Expr, style: dict[str, str | bool]
) -> None:
    at = {X: sympy.Rational(13, 10), Y: sympy.Rational(7, 10)}
    values = [complex(part.subs(at).evalf(30)) for part in sympy.preorder_traversal(expression)]
    exact = values[0]
    # The cube root of -8 is -2 here and complex there.
    assume(all(abs(one) < 1e9 and one.imag == 0 for one in values) and abs(exact) > 1e-9)
    [statement] = read(sympy.latex(expression, **style)).statements
    assert isinstance(statement, Quantity)
    found = number(value(statement.value, {"x": Fraction(13, 10), "y": Fraction(7, 10)}))
    assert abs(complex(found) - exact) < 1e-9 * abs(exact)
