r"""What the grammar reads in an answer, and what it refuses: `42 \to 43` is neither 42 nor 43."""

from fractions import Fraction

import pytest

from glow.verifier.grammar import Readings, read
from glow.verifier.grammar.characters import spell
from glow.verifier.grammar.tree import (
    Expression,
    Family,
    Group,
    Matrix,
    NamedSet,
    Number,
    Numeral,
    Operation,
    Quantity,
    Ratio,
    Relation,
    Several,
    Statement,
    Symbol,
    parts,
    symbols,
)

NOT_READ, BEYOND = Readings((), beyond=False), Readings((), beyond=True)
X, Y = Symbol("x"), Symbol("y")


def whole(value: int | Fraction) -> Quantity:
    return Quantity(Number(Fraction(value)))


def several(*values: int, between: str = ",") -> Several:
    return Several(tuple(map(whole, values)), between)  # type: ignore[arg-type]


def only(text: str) -> Statement:
    """The one reading of a text that has no other."""
    [statement] = read(text).statements
    return statement


def value_of(text: str) -> Expression:
    statement = only(text)
    assert isinstance(statement, Quantity)
    return statement.value


# --- characters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("−5", "-5"), ("5 ÷ 2", "5/2"), ("½", r"\frac{1}{2}"), ("x²y⁻¹", "x^{2}y^{-1}"), ("a₁₂", "a_{12}"),
        ("４２", "42"), ("٤٢", "42"), ("𝟒𝟐", "42"), ("√3", r"\squareroot3"), ("30°", r"30^{\circ}"),
        ("≤", r"\le"), ("π", r"\pi"), ("5\u202f000", "5000"), ("\u200b5\ufeff", "5"),
        ("$5$", "5"), (r"\(5\)", "5"), ("$x$ and $y$", "xandy"), (r"\$5", r"\$5"), ("$5", "$5"),
        ("**4**", "4"), ("`4`", "4"), (r"\left(1,\,2\right)", "(1,2)"), (r"\textcolor{red}{5}", "5"),
        (r"\color{red}5", "5"), (r"\mathbf{\boldsymbol{5}}", "5"), (r"\displaystyle\frac12", r"\frac12"),
        (r"x\text{}", "x"), (r"\\frac{1}{2}", r"\frac{1}{2}"), ("5}", "5"), (r"\{5\}", r"\{5\}"),
        (r"\hat{\imath}", r"\hati"), ("5米", "5meters"), ("3或4", "3or4"),
    ],
)  # fmt: skip
def test_one_spelling_for_what_has_many(text: str, spelt: str) -> None:
    assert "".join(spell(text).split()) == spelt


# --- numbers and their commas ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-7", Fraction(-7)), (".5", Fraction(1, 2)), ("2.50", Fraction(5, 2)),
        ("12 345 678", Fraction(12345678)), (r"12{,}345", Fraction(12345)), ("1.234.567", Fraction(1234567)),
        ("1.234,5", Fraction(12345, 10)), ("1'234", Fraction(1234)), (r"2\frac{1}{2}", Fraction(5, 2)),
        ("2 1/2", Fraction(5, 2)), (r"0.1\overline{6}", Fraction(1, 6)), ("0.(36)", Fraction(4, 11)),
        ("0.333...", Fraction(1, 3)), (r"0.\dot{1}4\dot{2}", Fraction(142, 999)),
        ("twenty-one", Fraction(21)), ("two hundred and five", Fraction(205)),
        ("three million", Fraction(3 * 10**6)), (r"3{,}5", Fraction(7, 2)),
    ],
)  # fmt: skip
def test_numbers_are_read_exactly(text: str, value: Fraction) -> None:
    expression = value_of(text)
    sign = 1
    if isinstance(expression, Operation) and expression.name == "neg":
        sign, expression = -1, expression.arguments[0]
    assert isinstance(expression, Number)
    assert sign * expression.value == value


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("100,200", [whole(100200), several(100, 200)]),
        ("100, 200", [several(100, 200)]),
        ("100,200,300", [whole(100200300), several(100, 200, 300)]),
        ("12,34", [several(12, 34)]),
        ("1,2,3", [several(1, 2, 3)]),
        ("12,34,567", [whole(1234567), several(12, 34, 567)]),
    ],
)
def test_all_readings_of_a_comma(text: str, readings: list[Statement]) -> None:
    assert list(read(text).statements) == readings


def test_a_comma_is_a_decimal_point_only_where_one_may_be() -> None:
    half = Quantity(Number(Fraction(7, 2), 1))
    assert half in read("3,5", decimal_commas=True).statements
    for text in ("3,5", "3, 5", "(3,5)", "3,5,7"):
        assert half not in read(text).statements
    for text in ("3, 5", "(3,5)", "3,5,7"):
        assert half not in read(text, decimal_commas=True).statements


# --- expressions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2x", r"2\cdot x"), ("2x", "2*x"), ("1/2x", "(1/2)*x"), ("x^2y", "(x^2)*y"), ("xy^2", "x*(y^2)"),
        ("-x^2", "-(x^2)"), (r"\frac12", r"\frac{1}{2}"), (r"\frac1{23}", r"\dfrac{1}{23}"),
        ("x^10", "x^{10}"), (r"\sqrt2x", r"\sqrt{2}*x"), (r"\sin 2x", r"\sin(2x)"),
        (r"\sin^2 x", r"(\sin x)^2"), (r"\sin^{-1} x", r"\arcsin x"), (r"\sinh^{-1} x", r"\arsinh x"),
        (r"\operatorname{atan}{\left(x \right)}", r"\arctan x"), (r"\sin x\cos x", r"(\sin x)*(\cos x)"),
        ("sqrt(5)", r"\sqrt{5}"), (r"{5 \choose 2}", r"\binom{5}{2}"), ("C_5^2", r"\binom{5}{2}"),
        ("C(5,2)", r"\binom{5}{2}"), (r"{1 \over 2}", r"\frac{1}{2}"), ("3+-2", r"3 \pm 2"),
        ("1.5e3", r"1.5 \times 10^{3}"), ("2|x|", r"2*|x|"), (r"\sqrt[3]{x}", r"∛{x}"),
        ("5 choose 2", r"\binom{5}{2}"), ("5 out of 7", "5/7"), ("minus 3", "-3"),
        ("3 x 10^4", r"3 \times 10^4"),
    ],
)  # fmt: skip
def test_what_is_read_alike(one: str, other: str) -> None:
    assert only(one) == only(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x^{10}", "x^10y"), ("a^{b^c}", "(a^b)^c"), ("1/(2x)", "1/2x"), ("-2^2", "(-2)^2"),
        (r"\sin 2x", r"2\sin x"), (r"x_1", "x_2"), ("ab", "a_b"), ("x'", "x"), (r"\pi r", "pr"), ("3!", "3"),
        ("5%", "5"),
    ],
)  # fmt: skip
def test_what_is_read_apart(one: str, other: str) -> None:
    assert only(one) != only(other)


def test_the_letters_of_an_expression() -> None:
    assert symbols(value_of(r"3ab^2 + x_1\pi + e^{i\theta}")) == {"a", "b", "x_1", "theta"}
    assert len(parts(value_of("x + y"))) == 3


# --- statements -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("1, 2", several(1, 2)),
        ("1; 2", several(1, 2)),
        ("1 and 2", several(1, 2, between="and")),
        (r"1\text{, }2\text{ or }3", several(1, 2, 3, between="or")),
        (r"1 \lor 2", several(1, 2, between="or")),
        ("(1, 2)", Group("(", (whole(1), whole(2)), ")")),
        ("[1, 2)", Group("[", (whole(1), whole(2)), ")")),
        ("]1, 2]", Group("(", (whole(1), whole(2)), "]")),
        (r"\{1\}", Group("{", (whole(1),), "}")),
        (r"\{\}", NamedSet("empty")),
        (r"\mathbb{R}", NamedSet("R")),
        ("all real numbers", NamedSet("R")),
        ("3:4", Ratio((Number(Fraction(3)), Number(Fraction(4))))),
        ("x = 5", Relation((Quantity(X), whole(5)), ("=",))),
        ("The value of x is 5", Relation((Quantity(X), whole(5)), ("=",))),
        (r"1 < x \le 2", Relation((whole(1), Quantity(X), whole(2)), ("<", "<="))),
        (r"x \neq 5", Relation((Quantity(X), whole(5)), ("!=",))),
        ("101_2", Numeral("101", 2)),
        (r"101_{\text{two}}", Numeral("101", 2)),
        ("0x1F", Numeral("1F", 16)),
        (r"k, k \in \mathbb{Z}", Family(Quantity(Symbol("k")), "k")),
        ("k where k is an integer", Family(Quantity(Symbol("k")), "k")),
        (
            r"\begin{pmatrix} 1 & x \\ y & 2 \end{pmatrix}",
            Matrix(((Number(Fraction(1)), X), (Y, Number(Fraction(2))))),
        ),
        (r"\begin{cases} 1 \\ 2 \end{cases}", several(1, 2)),
        ("The answer is 5", whole(5)),
        ("Therefore, 5.", whole(5)),
        ("5 apples", Quantity(Number(Fraction(5)), words="apples")),
        ("5%", Quantity(Number(Fraction(5)), percent=True)),
        ("5 percent", Quantity(Number(Fraction(5)), percent=True)),
    ],
)
def test_statements(text: str, statement: Statement) -> None:
    assert only(text) == statement


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ".", r"\\", r"42 \to 43", r"42 \Rightarrow 43", "42 is wrong", "42?", "not 42",
        r"\text{Step 1. Step 2. Step 3}", "1 2", "1.2.3", "(", "(1", "1)", "(1,2", "{1", "1 + ", "* 2",
        "2 ** ", "^2", "x^", r"\frac{1}", r"\frac", r"\sqrt", r"\sqrt{", r"\unknown{2}", r"5\text{ or not}",
        "5 maybe", "more than 5", "5 less", r"5\text{ to }6\text{ to }", "42 and not 43", "5 # 6", "5 @",
        "print(5)", "1 = ",
    ],
)  # fmt: skip
def test_what_is_not_consumed_whole_is_not_read(text: str) -> None:
    assert read(text) == NOT_READ


@pytest.mark.parametrize(
    "text",
    [
        r"\sum_{k=1}^{n} k",
        r"\int_0^1 x\,dx",
        r"\lim_{x \to 0} x",
        r"\prod_{k=1}^n k",
        r"3 \bmod 2",
        "5!!",
        r"\mathbb{R}^2",
    ],
)
def test_mathematics_that_the_grammar_does_not_have(text: str) -> None:
    assert read(text) == BEYOND
