"""The names that expressions know: functions, constants, letters, and macros that are outside the grammar."""

from glow.verifier.grammar.tokens import Token

FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth arsinh arcosh artanh"
    " ln log lg exp".split()
)
INVERSES = {
    "sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot", "sinh": "arsinh", "cosh": "arcosh",
    "tanh": "artanh",
}  # fmt: skip
MULTARY = frozenset(("min", "max", "gcd", "lcm"))
"""Functions of as many arguments as they are given."""
APPLIED = frozenset(("abs", "binom", "floor", "ceil", "factorial"))
"""Functions that plain text writes by their names."""
CONSTANTS = {"pi": "pi", "infinity": "infinity", "inf": "infinity", "infty": "infinity"}
GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi"
    " psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar".split()
)
ROOTS = {"squareroot": 2, "cuberoot": 3, "fourthroot": 4, "sqrt": 2, "cbrt": 3}
"""Roots but the macro `sqrt`: these take all digits of the number behind them."""
ACCENTS = frozenset(
    "vec overline bar hat tilde dot ddot overrightarrow widehat widetilde angle triangle".split()
)
BASIS = frozenset(("hati", "hatj", "hatk"))
FACTORS = (
    GREEK
    | ACCENTS
    | BASIS
    | ROOTS.keys()
    | FUNCTIONS
    | MULTARY
    | frozenset("frac sqrt binom pi infty".split())
)
"""Macros that may stand behind a factor."""
_ALIASES = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "tg": "tan",
    "ctg": "cot",
    "binomial": "binom",
    "arctg": "arctan",
}
_IN_WORDS = FUNCTIONS | MULTARY | {"sqrt", "cbrt", "abs", "binom", "pi"}
_BEYOND = frozenset(
    "sum prod int iint oint lim limsup liminf sup inf partial nabla det deg dim ker Pr arg Re Im bmod pmod"
    " mod mathbb overset underset stackrel begin end substack bigoplus oplus otimes".split()
)
_NO_PRODUCTS = frozenset("or and is no not to the of if for by at as in on mod yes any all".split())


def name_of(token: Token) -> str:
    """The name that a word or a macro stands for."""
    name = token.text.removeprefix("\\")
    return _ALIASES.get(name, name) if token.kind == "word" else name


def is_function(token: Token) -> bool:
    """Whether a word is the name of a function or of pi."""
    return token.kind == "word" and name_of(token) in _IN_WORDS


def is_product(token: Token) -> bool:
    """Whether a word in mathematics may be a product of letters, or the name of a segment or a triangle."""
    length = 5 if token.text.isupper() else 3
    return len(token.text) <= length and token.text.lower() not in _NO_PRODUCTS


def is_beyond(token: Token) -> bool:
    """Whether a macro begins mathematics that the grammar does not have."""
    return token.kind == "macro" and name_of(token) in _BEYOND
