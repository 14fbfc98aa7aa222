"""What is decided of two answers, kind by kind; examples are our own."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.files.records import ANSWER_TYPES, Leniency
from glow.verifier.equality import TOO_LONG, Decision, Gold, decide, infer_type, prepared
from glow.verifier.equality.gold import LONGEST

# --- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        ("1,234.5", "number"), (r"30^\circ", "number"), (r"\$3.50", "number"), (r"5\text{ cm}", "number"),
        (r"\frac{x}{2}", "expression"), (r"2\sqrt{3}", "expression"), ("y = 2x + 1", "relation"),
        (r"x \le 3", "relation"), ("[1,2)", "interval"), (r"(-\infty,1]\cup[3,4]", "interval"),
        (r"\{1,2\}", "set"), ("1, -2", "set"), (r"3 \pm \sqrt{2}", "set"), ("(1,2,3)", "tuple"),
        ("(1,2)", "tuple"), (r"\begin{pmatrix}1\\2\end{pmatrix}", "matrix"), ("3+4i", "complex"),
        (r"\text{even}", "text"), ("October 30", "date"), ("03/04/2021", "date"), ("8:34 p.m.", "time"),
        ("(C)", "choice"), (r"\textbf{(J)}", "choice"), ("yes", "boolean"), ("False", "boolean"),
        ("} ]", "brackets"),
    ],
)  # fmt: skip
def test_a_type_is_inferred_from_the_gold(gold: str, kind: str) -> None:
    assert infer_type(gold) == kind
    assert kind in ANSWER_TYPES


@pytest.mark.parametrize(
    ("kind", "stated", "gold", "equal"),
    [
        ("set", "(2,1)", "(1,2)", True),
        ("set", "1,2,2", r"\{1,2\}", True),
        ("set", "1,2", r"\{1,2,3\}", False),
        ("list", "2,1", "1,2", False),
        ("list", "[1, 0.5]", r"1, \frac12", True),
        ("tuple", "1,2", "(1,2)", True),
        ("tuple", "(1,2)", "(1,2,3)", False),
        ("text", "act", "cat", False),
        ("text", "Act", r"\text{act}", True),
        ("time", "4:17", "8:34", False),
        ("time", "08:34", "8:34", True),
        ("date", "3 May 2020", "05/03/2020", True),
        ("choice", "no idea", "C", False),
        ("boolean", "perhaps", "yes", False),
        ("interval", "[0,1)", "[0,1]", False),
        ("brackets", "{ }", "{}", True),
    ],
)
def test_a_type_that_is_given_is_believed(kind: str, stated: str, gold: str, equal: bool) -> None:
    decision = decide(stated, Gold(gold, kind))
    assert decision is not None
    assert decision.equal is equal


CHOICES = ("a circle", r"\frac{1}{2}", "12 cm", "an ellipse")


@pytest.mark.parametrize(
    ("stated", "gold", "equal"),
    [
        ("An ellipse", "D", True),
        (r"\text{a circle}", "D", False),
        ("0.5", "(B)", True),
        (r"\dfrac12", "B", True),
        ("12", "C", True),
        (r"12\text{ cm}", "C", True),
        ("(D) an ellipse", "D", True),
        ("(D) a circle", "D", False),
        ("D", "an ellipse", True),
        ("A", "an ellipse", False),
    ],
)
def test_a_choice_may_be_stated_by_its_text(stated: str, gold: str, equal: bool) -> None:
    decision = decide(stated, Gold(gold, choices=CHOICES))
    assert decision is not None
    assert decision.equal is equal


# --- equality -------------------------------------------------------------------------------------

EQUAL = [
    ("a + b", "a+b"),
    ("1,000", "1000"),
    ("0.50", r"\frac{1}{2}"),
    ("20", r"20\%"),
    ("0.2", r"20\%"),
    ("20 percent", r"20\%"),
    ("1,22", "1.22"),
    ("True", "true"),
    ("Yes, it does", "yes"),
    ("Yes", "true"),
    (r"\text{October 30}", "October 30"),
    ("(C) ellipse", r"\text{(C)}"),
    (r"\text{(B) } 03/04/2021", "(B)"),
    ("b", "(B)"),
    (r"\textbf{(e) } \{-1,1\}", "E"),
    ("C: ellipse", "C"),
    ("12 miles per hour", "12"),
    (r"7\text{ hours}.", "7"),
    (r"1.85\ \text{USD}", "1.85"),
    ("5 dollars", r"\$5"),
    ("50 cents", r"\$0.50"),
    (r"500\text{ cm}", r"5\text{ m}"),
    ("12 million", "12,000,000"),
    ("four", "4"),
    ("5 apples", "5 fruits"),
    (r"\text{(E)}", r"\text{(E)},"),
    (r"7\text{ cm}^2", "7"),
    ("] }", "]}"),
    ("3^{\\circ}", "3°"),
    ("March 4th, 2021", "4 March 2021"),
    ("2021-03-04", "03/04/2021"),
    ("October 30, 2020", "October 30"),
    ("Oct", "October"),
    (r"8:34\text{ AM}", "8:34 a.m."),
    ("15:00", "3 p.m."),
    ("noon", "12:00 p.m."),
    (r"4\!:\!05 \text{ p.m.}", "16:05"),
    ("8:34", "8:34 p.m."),
    (r"\text{pear, plum}", r"\text{plum, pear}"),
    ("Été", "été"),
    ("1011", "1011_2"),
    ("011_2", "11_2"),
    ("00_2", "0_2"),
    (r"\{\}", r"\varnothing"),
    (r"1.39 \times 10^{-10} \text{ cm}", "1.39e-10"),
    ("1.39e-10 m", r"\( 1.39e-10 \)"),
    (r"5\text{ million}", r"5 \times 10^6"),
    ("18 km/h", r"5\text{ m/s}"),
    ("5 m/s", "5"),
    (r"9.4\text{ eV}", "9.4"),
    (r"9.4 \mathrm{~J}", "9.4"),
    (r"60^\circ \text{C}", "60"),
    (r"0.\overline{36}", r"\frac{4}{11}"),
    ("pear, plum, fig", "pear plum fig"),
    (r"4{:}30 \text{ p.m.}", "4:30 p.m."),
]
DIFFERENT = [
    ("A", "B"),
    ("5", "6"),
    ("listen", "silent"),
    ("apple banana", "banana apple"),
    ("]", "] }"),
    ("12_8", "12_9"),
    ("(B) and (C)", "(C)"),
    ("A, B", "A"),
    (r"\text{(A)}\ x \text{ and } \text{(E)}\ y", "A"),
    (r"8:34\text{ p.m.}", "8:34 a.m."),
    ("20:34", "8:34 a.m."),
    ("0.51", "0.5"),
    ("1", "100"),
    ("X", "x"),
    ("No, it does not", "yes"),
    ("invalid", "valid"),
    ("April", "August"),
    ("May 3", "May 4"),
    ("October 30", "October 30, 2020"),
    ("5 cm", r"5\text{ m}"),
    ("5 cm", r"5\text{ cm}^2"),
    ("€5", r"\$5"),
    ("(1,2]", "[1,2)"),
    (r"\{1,2\}", "(1,2)"),
    ("5 km/h", r"5\text{ m/s}"),
    ("5 mph", r"5\text{ km/h}"),
    ("2.18e-19", "2.88e-19"),
    (r"1.39 \times 10^{-11}", "1.39e-10"),
    ("0.00000001", "0.00000002"),
    ("plum pear fig", "pear plum fig"),
]
BY_VALUE = [
    (r"\sqrt{x^2}", "|x|", True),
    ("x + 1", "1 + x", True),
    ("0.333333", r"\frac{1}{3}", True),
    ("0.333", r"\frac{1}{3}", False),
    ("0.000333", r"\frac{1}{3000}", True),
    ("xy", "yx", True),
    ("6xyz", "6abc", False),
    ("1,2", "2,1", True),
    ("x = 5", "5", True),
    ("5:00", "17:00", False),
    (r"\frac{i}{2}", r"\frac12 i", True),
    (r"3\mathrm{i}", "3i+0", True),
    ("1/2x", "x/2", True),
    ("1/2x", "1/(2x)", False),
    ("4x*sqrt(5)", r"4x\sqrt{5}", True),
    (r"(-8)^{1/3}", "-2", True),
    ("2^{100}", "2^{100}+1", False),
    ("3x/y", "3y^{-1}x", True),
    (r"x\text{}", "x+0", True),
]
TO_MATH_VERIFY = [
    (r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}"),
    ("10", r"\sum_{k=1}^{4} k"),
    (r"\int_0^1 x\,dx", "0.5"),
    (r"\lim_{x \to 0} \frac{\sin x}{x}", "1"),
    ("9^{9^{9}}", "5"),
]


@pytest.mark.parametrize(("stated", "gold"), EQUAL)
def test_equal(stated: str, gold: str) -> None:
    decision = decide(stated, gold)
    assert decision is not None
    assert decision.equal


@pytest.mark.parametrize(("stated", "gold"), DIFFERENT)
def test_different(stated: str, gold: str) -> None:
    decision = decide(stated, gold)
    assert decision is not None
    assert not decision.equal


@pytest.mark.parametrize(("stated", "gold", "equal"), BY_VALUE)
def test_decided_by_value(stated: str, gold: str, equal: bool) -> None:
    decision = decide(stated, gold)
    assert decision is not None
    assert decision.equal is equal


@pytest.mark.parametrize(("stated", "gold"), TO_MATH_VERIFY)
def test_what_the_grammar_does_not_have_goes_to_math_verify(stated: str, gold: str) -> None:
    assert decide(stated, gold) is None


# --- leniencies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "gold", "leniency"),
    [
        (r"42\%", "42", "percent sign"),
        ("42", r"42\%", "percent sign"),
        ("42 per cent", "42", "percent sign"),
        ("0.42", r"42\%", None),
        (r"42\%", "0.42", None),
        ("8:34", "8:34 p.m.", "half of the day"),
        ("20:34", "8:34 p.m.", None),
        ("8:34 PM", "8:34 p.m.", None),
        ("101", "101_2", "base left out"),
        ("101_2", "101", "base left out"),
        (r"101_{\text{two}}", "101_2", None),
        ("1.25", "1,25", "decimal comma"),
        ("1,25", "1,25", None),
        ("1,25", "1.25", None),
        ("2+3", "5", "not worked out"),
        (r"\binom{5}{2}", "10", "not worked out"),
        ("5!", "120", "not worked out"),
        ("2+3", "2+3", None),
        ("5", "2+3", None),
        (r"\frac{10}{2}", "5", None),
        (r"3 \times 10^2", "300", None),
        (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}", None),
        ("1, 2+3", "1, 5", "not worked out"),
        (r"\pm 3", "3, -3", None),
        ("1 h 30 min", "1.5 h", None),
        (r"\frac{\pi}{4}", r"45^\circ", None),
    ],
)
def test_what_was_overlooked_is_told(stated: str, gold: str, leniency: Leniency | None) -> None:
    decision = decide(stated, gold)
    assert decision is not None
    assert decision.equal
    assert decision.leniency == leniency


@pytest.mark.parametrize(
    ("stated", "gold"),
    [
        (r"42\%", "43"), (r"4.2\%", "0.42"), ("8:34 a.m.", "8:34 p.m."), ("8:35", "8:34 p.m."),
        ("5", "101_2"), ("101_3", "101_2"), ("1.25", "1,26"), ("3.5", "3,5"), ("3.5", "3, 5"), ("2+3", "6"),
    ],
)  # fmt: skip
def test_no_leniency_makes_another_answer_right(stated: str, gold: str) -> None:
    decision = decide(stated, gold)
    assert decision is not None
    assert not decision.equal


def test_beyond_the_longest_only_text_and_members_are_compared() -> None:
    digits, members = "7" * 100_000, [str(k) for k in range(5000)]
    assert decide(digits, digits + " ") == Decision(True, "same text")
    assert decide(digits, digits[:-1] + "8") == Decision(False, "different numbers")
    backwards = r"\{" + ", ".join(reversed(members)) + r"\}"
    assert decide(backwards, r"\{" + ",".join(members) + r"\}") == Decision(True, "same members")
    assert decide("1 + " * LONGEST + "1", "5") is TOO_LONG


@given(st.text(max_size=50))
def test_every_text_equals_itself(text: str) -> None:
    decision = decide(text, text)
    assert decision is not None
    assert decision.equal


@given(st.integers(), st.integers())
def test_integers_are_equal_just_when_they_are(one: int, other: int) -> None:
    decision = decide(f"{one:,}", str(other))
    assert decision is not None
    assert decision.equal == (one == other)


ALPHABET = "0123456789xiabC(){}[]\\,;:.$%^_ +-*/=<>&'\"~frtecmpnsqd\u22121\ud800\x00"


@given(st.text(alphabet=ALPHABET, max_size=40), st.text(alphabet=ALPHABET, max_size=40))
def test_no_text_makes_a_rule_fail(stated: str, gold: str) -> None:
    decide(stated, gold)
    infer_type(gold)
    prepared(stated, None)


HOSTILE = [
    "(" * 1000,
    "[" * 900 + "1,2" + "]" * 900,
    r"\frac{" * 300 + "1" + "}{1}" * 300,
    r"\{" * 600,
    "1," * 990,
    " " * 1999 + "x",
    r"\text{" * 300 + "x" + "}" * 300,
    "a " * 999,
    "1 " * 999,
    "9" * 1999,
    "9^{" * 600 + "9" + "}" * 600,
    "$" * 1999,
    "Option " * 280,
    "(A) and " * 240,
    "A, " * 660,
    "x-" * 990,
    "1:" * 990,
    "1" + "\\ " * 990,
    "x" + "ab " * 660 + "!",
    "x" + "$ " * 990 + "!",
    "0" * 1000 + "(1," * 300,
    r"\text {" * 280,
    ",".join(f"x_{k % 9}" for k in range(400)),
    *(
        piece * (2000 // len(piece))
        for piece in ("-", "(", "!", "^", r"\pm", ",", "{", "|", "'", "%", "_", "=", "<", ".")
    ),
    *(
        piece * (2000 // len(piece))
        for piece in ("x^", "5!", "1+", "1/", r"\pm1", "x=", "1<", "1,", "2^", "-(", r"\sqrt")
    ),
    "x" + "!" * 1999,
    "5" + "^9" * 999,
    "+".join(["9^{99999}"] * 200),
    "+".join(f"{k}^{{{10**5 + k}}}" for k in range(2, 150)),
    "+".join(f"({k}!)^{{30}}" for k in range(1900, 2000)),
    "+".join(["19999!"] * 300),
    "(" * 40 + "9" + ")!" * 40,
    "+".join(f"1/{'9' * 90}{k}" for k in range(20)),
    "+".join(rf"\frac{{1}}{{{k}^{{99}}}}" for k in range(2, 150)),
    "x^{" + "9" * 1900 + "}",
    "0." + "9" * 1900,
    r"\pm1" + r"\pm2" * 10,
    "42 " + "apples " * 280,
    "42 " + "a b " * 490,
    "42 " + r"\text{ m}" * 220,
    r"\text{" + "no way " * 280 + "}",
    "+".join(rf"\sin({k}x)" for k in range(200)),
    ",".join(rf"\sqrt{{{k}}}" for k in range(200)),
    r"\{" + ",".join(f"{k}^{{999}}" for k in range(200)) + r"\}",
    "x<" + "<".join(str(k) for k in range(500)),
    r"\cup".join(f"({k},{k + 1})" for k in range(180)),
    r"\binom{9999}{4999}" + r"\binom{9999}{4999}" * 90,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_cost_no_time(text: str) -> None:
    started = time.process_time()
    for gold in ("5", "(1,2)", "C", r"\text{even}", "8:34 p.m.", "} ]", text):
        decide(text, gold)
        decide(gold, text)
        infer_type(text)
        prepared(text, None)
    assert time.process_time() - started < 1


def test_sets_of_a_thousand_members_cost_no_time() -> None:
    started = time.process_time()
    stated, gold = (",".join(f"{name}_{k}" for k in range(350)) for name in "xy")
    decide(stated, Gold(gold, "set"))
    assert time.process_time() - started < 1
