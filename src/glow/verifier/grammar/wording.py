"""Words in answers: numbers, words that lead in, that change a value, and that merely describe it."""

from collections.abc import Sequence
from fractions import Fraction

ONES = {
    word: k
    for k, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
        " sixteen seventeen eighteen nineteen".split()
    )
}
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
MULTIPLES = SCALES | {name + "s": value for name, value in SCALES.items()} | {"dozen": 12, "dozens": 12}
NUMBERS = frozenset(ONES | TENS | MULTIPLES)
_PARTS = {
    "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "eleventh": 11, "twelfth": 12, "sixteenth": 16, "twentieth": 20, "hundredth": 100, "thousandth": 1000,
    "millionth": 10**6,
}  # fmt: skip
DENOMINATORS = (
    _PARTS
    | {name + "s": value for name, value in _PARTS.items()}
    | {"half": 2, "halves": 2, "quarter": 4, "quarters": 4}
)
PERCENT = frozenset(("percent", "percentage", "pct", "percents"))
POWERS = {"squared": 2, "cubed": 3}

LEAD_INS = frozenset(
    "the a an answer answers ans sol soln final correct solution solutions result results therefore thus"
    " so hence then finally we get have obtain value values number approximately about roughly exactly"
    " approx nearly it that total of only simply just namely option choice point points both roots root"
    " probability our exact precisely option options ratio center centre".split()
)
COPULAS = frozenset(("is", "are", "equals", "equal", "was", "be", "becomes", "being"))
"""They say what `=` says."""
NO_NAMES = frozenset(
    "not no none never nor neither wrong incorrect false error if unless when half twice double third square"
    " squared cube let assume suppose denominator numerator even odd without but except possibly maybe"
    " perhaps anything impossible gold score than or non".split()
)
"""Words that no name of a value has: what they stand before may be another value, or none."""
AFTERTHOUGHTS = frozenset(
    "altogether total each respectively approximately exactly overall apiece combined left remaining".split()
)
"""They end a list and are none of its members."""
_CHANGING = frozenset(
    "not no none never nor neither wrong incorrect or and than less fewer greater least most many"
    " invalid error fails failed nope lies contradiction extraneous excluded rejected eliminated discarded"
    " omitted refuted disproved conjugate negated reversed complement quadrupled decreased increased etc ago"
    " fold false impossible ones tens gross score pair pairs lakh crore ppm basis hex hexadecimal binary"
    " octal quadrillion billionth billionths let assume gold denominator numerator even odd third"
    " maybe perhaps possibly probably alternatively rather but except without squared cubed to through"
    " between divided multiplied by minus plus mod modulo choose out over under above below percent"
    " power root factorial if when where unless half double doubled twice tripled triple halved other"
    " another bigger smaller larger up down off cannot can't isn't either any anything something unknown"
    " undefined unclear about around approximately versus vs then else too also well guess unsure sure"
    " think wait actually instead negative infinite infinity some few several base"
    "  reciprocal inverse step case remainder maximum minimum exclusive inclusive onwards"
    " upwards until till from starting ending beyond".split()
)
"""Words behind a value that may make another of it, or doubt it: with one of them it is no description."""
_MOST_WORDS = 8


def describes(words: Sequence[str]) -> bool:
    """Whether words behind a value only say what it counts."""
    bare = [word.lower() for word in words]
    return len(bare) <= _MOST_WORDS and _CHANGING.isdisjoint(bare) and NUMBERS.isdisjoint(bare)


def fraction_of(name: str) -> Fraction | None:
    """By what a word behind a number multiplies it: `thousand`, `tenths`; None for other words."""
    if name in MULTIPLES:
        return Fraction(MULTIPLES[name])
    return Fraction(1, DENOMINATORS[name]) if name in DENOMINATORS else None
