r"""Kinds of faults of which public bug reports on graders tell, each with right and with wrong answers.

Rows are (stated, gold, equal), as the texts of two answers.
"""

import pytest

from glow.verifier.equality import Gold, decide

KINDS = {
    "lists with commas": [
        ("100, 200, 300", "100,200,300", True), ("300, 100, 200", "100, 200, 300", True),
        ("100200300", "100, 200, 300", False), ("100,200", "100200", True), ("100, 200", "100200", False),
        ("1,000, 2,000", "2000, 1000", True), ("3,5", "3, 5", True), ("5,3", "3,5", True),
        ("3.5", "3, 5", False), ("3.5", "3,5", False), ("35", "3,5", False), ("1,2,3", "123", False),
        ("1,1,2", "1,2,2", False), ("5; 7", "5, 7", True),
        ("10, 0", "10,000", False), ("1, 24", "1,024", False), ("1.5", "1,500", False),
        ("0.125", "0,125", True),
    ],
    "truncated equalities": [
        ("5 = 6", "6", False), ("5 = 6", "5", False), ("2+3 = 5", "5", True), ("2+3 = 6", "6", False),
        (r"\frac{1}{4} = 0.25", "0.25", True), (r"0.5 = 50\%", "0.5", True),
        (r"\frac{2}{3} \approx 0.67", r"\frac{2}{3}", True),
        (r"\frac{2}{3} \approx 0.9", r"\frac{2}{3}", False), ("x = 2+3 = 5", "5", True),
        ("1/2006!", "1/2004!", False), ("1-2^{-99}", "1-2^{-100}", False), ("3:5:4", "3:4:5", False),
        ("6:8:10", "3:4:5", True), (r"1, 2, \ldots, n", r"1, 3, \ldots, 2n-1", False),
    ],
    "assignments": [
        ("(3,5)", "x=5, y=3", False), ("(5,3)", "x=5, y=3", True), ("y=3, x=5", "x=5, y=3", True),
        ("y=3, x=5", "(5,3)", True), ("x=3, y=5", "x=5, y=3", False), ("(x,y)=(5,3)", "x=5, y=3", True),
        ("x = 5", "y = 5", False), (r"x=1 \text{ or } x=2", "1, 2", True), ("-x = 5", "5", False),
        ("2x = 10", "10", False), ("AB + CD = 5", "5", True), ("f(x) = 5", "5", True),
        ("y = x", "x = y", True), (r"\{(1, 2)\}", "(1, 2)", True),
    ],
    "words that change a value": [
        (r"5\text{ squared}", "25", True), (r"5\text{ squared}", "5", False),
        (r"7\text{ tenths}", "0.7", True), (r"7\text{ tenths}", "7", False), ("42 million", "42000000", True),
        ("42 million", "42", False), ("four dozen", "48", True), ("42 thousand", "42", False),
        ("half of 42", "42", False), ("42 plus 1", "42", False), ("more than 42", "42", False),
        ("at least 42", "42", False), (r"42\text{ is wrong}", "42", False), ("minus 5", "-5", True),
        ("minus 5", "5", False), ("42 clips, altogether", "42", True), ("42 clips", "42", True),
        ("42 apples and 3 pears", "42", False), ("three quarters", r"\frac{3}{4}", True),
        ("not 42", "42", False),
    ],
    "units": [
        ("5 kJ", "5 J", False), ("5 kJ", "5000 J", True), (r"50\text{ kJ}", r"50000\text{ J}", True),
        ("5 mV", "5 V", False), ("300 K", r"300^\circ\text{C}", False),
        ("300 K", r"26.85^\circ\text{C}", True), ("90 minutes", "1.5 hours", True),
        ("90 minutes", "1.6 hours", False), (r"2\pi\text{ cm}", r"2\pi\text{ m}", False),
        (r"200\pi\text{ cm}", r"2\pi\text{ m}", True), ("1 day", "24 hours", True),
        ("1 day", "1 hour", False), ("5 Hours", "5 minutes", False), (r"5\text{ m}^2", r"5\text{ m}", False),
        ("5 m", "5", True), ("5", "5 m", True), ("36 km/h", "10 m/s", True), ("50 cents", r"\$0.50", True),
        ("50 cents", r"\$50", False), ("5 euros", "5 dollars", False), ("1 L", r"1000\text{ cm}^3", True),
        ("1 h 30 min", r"90\text{ min}", True), (r"32^\circ\text{F}", r"0^\circ\text{C}", True),
        (r"\frac{\pi}{4}", r"45^\circ", True), ("45", r"\frac{\pi}{4}", False), ("3ab", "3", False),
    ],
    "hedges": [
        ("42 or 43", "42", False), ("42, 43", "42", False), ("42 and 43", "42", False),
        ("probably 42", "42", False), ("42?", "42", False), (r"42 \to 43", "43", False),
        (r"42 \to 43", "42", False), (r"\neq 42", "42", False), ("> 42", "42", False),
        (r"\text{Step 1. Step 2. Step 3}", "3", False), ("42, not 43", "42", True),
        ("42, not 43", "43", False), ("5 or 5.0", "5", True), (r"\approx 42", "42", True),
        ("42, or maybe 43", "42", False), (r"\pm 3", "3", False), ("3", r"\pm 3", False),
        ("3", "3, -3", False),
    ],
    "choices": [
        ("A. 10 B. 12 C. 14 D. 16", "A", False), ("A or B", "A", False), ("(A) and (C)", "A", False),
        ("A, not B", "A", True), ("AC", "A, C", True), ("C, A", "A, C", True), ("A", "A, C", False),
        ("A, B, C", "A, C", False), ("AB", "AC", False), ("A or C", "A and C", False), ("(A) 10", "A", True),
        ("Yes. No.", "yes", False), ("yes or no", "yes", False), ("Yes, it does", "yes", True),
    ],
    "several forms of one answer": [
        (r"\pm 3", "3, -3", True), (r"1 \pm \sqrt{2}", r"1+\sqrt2, 1-\sqrt2", True),
        (r"1 \pm \sqrt{2}", r"1+\sqrt2, 1+\sqrt3", False),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)", True),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "(2,1)", False), (r"\hat{i}+2\hat{j}", "(1,2)", True),
        (r"2\mathbf{i}+\mathbf{j}", "(1,2)", False), (r"\{x : x > 2\}", r"(2,\infty)", True),
        (r"\{x : x \ge 2\}", r"(2,\infty)", False),
        (r"k\pi, k \in \mathbb{Z}", r"n\pi, n \in \mathbb{Z}", True),
        (r"2k\pi, k \in \mathbb{Z}", r"n\pi, n \in \mathbb{Z}", False),
        (r"{5 \choose 2}", r"\binom{5}{2}", True), (r"{5 \choose 3}", r"\binom{5}{1}", False),
        ("y=2x+1", "2x-y+1=0", True), ("y=2x+1", "2x+y+1=0", False), ("2x+4y=6", "x+2y=3", True),
        ("2x+4y=6", "x+2y=4", False), ("x^2+c", "x^2+C", True), ("x^2", "x^2+C", False),
    ],
    "spellings": [
        (r"0.\overline{3}", r"\frac{1}{3}", True), ("0.(3)", r"\frac{1}{3}", True),
        ("0.3", r"\frac{1}{3}", False), ("1.234.567", "1234567", True), ("12,34,567", "1234567", True),
        ("twelve", "12", True), ("twelve", "13", False), ("５", "5", True), ("x²", "x^2", True),
        ("x³", "x^2", False), ("½", "0.5", True), ("答案是42", "42", True),
        (r"\textcolor{red}{5}", "5", True), (r"\textcolor{red}{\frac{1}{2}}", "0.5", True),
        ("A5_{16}", r"A5_{\text{sixteen}}", True), ("A5_{16}", "A5_{15}", False),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str) -> None:
    apart = []
    for stated, gold, equal in KINDS[kind]:
        decision = decide(stated, gold)
        if decision is None or decision.equal is not equal:
            apart.append((stated, gold, decision))
    assert apart == []
    assert {row[2] for row in KINDS[kind]} == {True, False}


CHOICES = (r"\sqrt{2}", "2", "an ellipse", r"\frac{1}{2}")


@pytest.mark.parametrize(
    ("stated", "equal"),
    [
        ("A", True), ("2^{1/2}", True), (r"(A)\ \sqrt{2}", True), (r"\sqrt{2}", True), ("2", False),
        ("1.41", False), ("D", False), ("ellipse", False), ("A, B", False), ("A. 1 B. 2", False),
    ],
)  # fmt: skip
def test_a_choice_by_its_value(stated: str, equal: bool) -> None:
    decision = decide(stated, Gold("A", choices=CHOICES))
    assert decision is None or decision.equal is equal
    assert not equal or decision is not None
