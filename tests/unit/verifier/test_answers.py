"""What a response states."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.config import Extraction
from glow.verifier import boxes
from glow.verifier.answers import SEARCHED, extract, extract_brackets
from glow.verifier.equality import Decision, decide

STRICT, LENIENT = Extraction(), Extraction(extraction="lenient")
LAST_NUMBER = Extraction(extraction="last_number")


def pattern(expression: str) -> Extraction:
    return Extraction(extraction="pattern", extraction_pattern=expression)


# --- boxes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"So \boxed{5}.", "5"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\text{A or \boxed{B}}}", "B"),
        (r"\boxed {7}", "7"),
        (r"\boxed 7 and more", "7"),
        (r"\boxed\pi", r"\pi"),
        (r"\fbox{9}", "9"),
        (r"\boxed{ spaced }", "spaced"),
    ],
)
def test_the_last_box_is_the_answer(response: str, answer: str) -> None:
    assert extract(response, STRICT).answer == answer
    assert extract(response, LENIENT).answer == answer


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty response"),
        (" \n\t", "empty response"),
        ("It is 5.", r"no \boxed{}"),
        (r"\boxed{5", "the last box is never closed"),
        (r"\boxed{4} and \boxed{5", "the last box is never closed"),
        (r"\boxed{} \boxed{}", "the last box is empty"),
        (r"\boxed{?}", "the last box is empty"),
        (r"\boxed{\text{your answer}}", "the last box is empty"),
        (r"\boxed{\ldots}", "the last box is empty"),
        (r"\boxed{\square}", "the last box is empty"),
        (r"It is not $\boxed{5}$.", "the last box is denied"),
        (r"\boxed", "the last box is empty"),
        (r"\boxedin{5}", r"no \boxed{}"),
    ],
)
def test_without_a_whole_last_box_nothing_is_stated(response: str, reason: str) -> None:
    found = extract(response, STRICT)
    assert (found.answer, found.reason) == (None, reason)


@pytest.mark.parametrize(
    "mention",
    [
        r"I have put it within \boxed{} as you asked.",
        r"Please put your final answer within $\boxed{\text{your answer}}$.",
        r"So \boxed{?}",
        r"So \boxed{\phantom{42}}",
        r"The format is \boxed{...}, \boxed{}.",
        r"It is not \boxed{43}.",
        r"(\boxed{43} is wrong.)",
    ],
)
def test_a_box_that_holds_no_answer_leaves_the_one_before(mention: str) -> None:
    assert extract(rf"The sum is $\boxed{{42}}$. {mention}", STRICT).answer == "42"


@pytest.mark.parametrize(
    "content",
    [
        "-",
        "answers",
        r"\square^2",
        r"\text{square}",
        "dots",
        "?!x",
        "the answer is 5",
        r"\text{your}",
        "box 3",
    ],
)
def test_what_looks_like_a_placeholder_and_is_none_counts(content: str) -> None:
    assert extract(rf"\boxed{{42}} \boxed{{{content}}}", STRICT).answer == f"42, {content}"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"Hence $a=\boxed{4}$, $b=\boxed{7}$, $c=\boxed{9}$.", "4, 7, 9"),
        (r"So $x=\boxed{\frac{1}{2}}$ or $x=\boxed{-4}$.", r"\frac{1}{2} or -4"),
        (r"either \boxed{12} or \boxed{13}, I am not sure which", "12 or 13"),
        (r"\boxed{12}, or maybe \boxed{13}", "12 or 13"),
        (r"It is \boxed{12} (or $\boxed{13}$).", "12 or 13"),
        (r"It is \boxed{12}, but it could also be \boxed{13}.", "12 or 13"),
        (r"It is \boxed{12}. Alternatively, \boxed{13}.", "12 or 13"),
        (r"Possible answers: \boxed{1}, \boxed{2}; \boxed{3}", "1, 2, 3"),
        (r"\boxed{A}, \boxed{B}, \boxed{C} or \boxed{D}", "A, B, C or D"),
        (r"\[ \boxed{3} \quad \text{or} \quad \boxed{5} \]", "3 or 5"),
        (r"\boxed{3} \lor \boxed{5}", "3 or 5"),
        (r"$\boxed{3}$ 或 $\boxed{5}$", "3 or 5"),
        (r"$\boxed3$ and $\boxed5$", "3 and 5"),
        (r"**\boxed{3}**" + "\n\n" + r"**\boxed{5}**", "3, 5"),
        (r"$x_1 = \boxed{3}$, \[x_{2}=\boxed{5}\]", "3, 5"),
        (r"$f(x) = \boxed{x}$ and $f(x) = \boxed{-x}$", "x and -x"),
        (r"x &= \boxed{3} \\ y &= \boxed{4}", "3, 4"),
        (r"$\angle A = \boxed{30^\circ}$, $\theta=\boxed{60^\circ}$", r"30^\circ, 60^\circ"),
        (r"\boxed{\boxed{3}, \boxed{5}}", "3, 5"),
        (r"\boxed{(1,2)}, \boxed{(3,4)}, and \boxed{(5,6)}", "(1,2), (3,4) and (5,6)"),
        (r"Try \boxed{7}. No: $\boxed{3}$ and $\boxed{5}$", "3 and 5"),
    ],
)
def test_boxes_with_only_a_connective_between_them_are_one_list(response: str, answer: str) -> None:
    assert extract(response, STRICT).answer == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"\boxed{5}. Wait, I misread the question; it is \boxed{4}.", "4"),
        (r"$\boxed{\frac{2}{4}} = \boxed{\frac12}$", r"\frac12"),
        (r"\boxed{13} \\ &= \boxed{12}", "12"),
        (r"\boxed{3} \cdot 4 = \boxed{12}", "12"),
        (r"\boxed{3} \cdot x = \boxed{12}", "12"),
        (r"\boxed{8} and $2+8+3+8=\boxed{21}$", "21"),
        (r"$\boxed{30}$ minutes, or $\boxed{0.5}$ hours", "0.5"),
        (r"$a=\boxed{4}$, so $b=\boxed{7}$", "7"),
        (r"\boxed{4}. \boxed{5}", "5"),
        (r"\boxed{\frac12} (\boxed{0.6})", "0.6"),
        (r"$g(3)=\boxed{4}$ ($f(2)=\boxed{5}$)", "5"),
        (r"\boxed{4}" + " " * 1000 + r"\boxed{5}", "5"),
        (r"\boxed{4} and \boxed{?} and \boxed{5}", "5"),
    ],
)
def test_with_anything_else_between_them_the_last_box_counts(response: str, answer: str) -> None:
    assert extract(response, STRICT).answer == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"The answer is \boxed{4}. Check: 2+2=4, so \boxed{4}.", "4"),
        (r"\boxed{4}, \boxed{4}", "4"),
        (r"\boxed{0.5} or \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{400\text{ cm}}, or \boxed{4\text{ m}}", r"4\text{ m}"),
        (r"\boxed{3}, \boxed{3} and \boxed{5}", "3, 3 and 5"),
    ],
)
def test_equal_boxes_are_one(response: str, answer: str) -> None:
    assert extract(response, STRICT).answer == answer


def test_boxes_that_are_equal_only_leniently_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "decide", lambda *_: Decision(True, "the same", "percent sign"))
    assert extract(r"\boxed{42} or \boxed{42\%}", STRICT).answer == r"42 or 42\%"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"It is $\boxed{17}$ (and not $\boxed{19}$, as a quick look suggests).", "17"),
        (r"\boxed{17}, not \boxed{19} or \boxed{20}", "17"),
        (r"\boxed{17} rather than \boxed{19}", "17"),
        (r"\boxed{17}; \boxed{19} is a common mistake", "17"),
        (r"\boxed{17}, although \boxed{19} is wrong.", "17"),
        (r"$x = \boxed{17} \neq \boxed{19}$", "17"),
        (r"答案是\boxed{17}，而不是\boxed{19}", "17"),
        (r"It is not \boxed{19} but \boxed{17}", "17"),
        (r"The knot: \boxed{17}", "17"),
    ],
)
def test_a_denied_box_is_no_answer(response: str, answer: str) -> None:
    assert extract(response, STRICT).answer == answer


# --- phrases --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 18.", "18"),
        ("The answer is 3.5.", "3.5"),
        ("the answer is 1. No: the answer is 2", "2"),
        ("So the final answer is: **42**", "42"),
        ("**Answer:** 7 apples\nBye.", "7 apples"),
        ("Answer: (C) ellipse.", "(C) ellipse"),
        ("The answer to the question is $x = 4$, because x is even.", "x = 4"),
        ("The answer is therefore $\\frac{1}{2}$.", r"\frac{1}{2}"),
        ("The answer is\n\\[\n5\n\\]", "5"),
        ("The answer is $18.50 per day.", "$18.50 per day"),
        ("The answer is $5$ dollars.", "5 dollars"),
        ("## Answer\n12", "12"),
        ("48/2 = 24\n#### 72", "72"),
        ("The final answer is 5. I hope it is correct.", "5"),
        ("[Final solution] Thus, she has 18 clips. #### 18", "18"),
        ("#### 72 clips, altogether", "72 clips"),
        ("<answer> 42 </answer>", "42"),
        ("Between <answer> tags: <answer>\nThe answer is $x^2$</answer>.", "x^2"),
        ("<answer>41</answer> No. <answer>42</answer>", "42"),
        ("The answer should be 7.", "7"),
        ("The answer: 7", "7"),
        ("The answer turns out to be 7.", "7"),
        ("**Final Answer**\n\n$\\dfrac{3}{4}$", r"\dfrac{3}{4}"),
        ("### Final Answer\n73", "73"),
        ("Final Answer: The final answer is $\\frac12$. I hope it is correct.", r"\frac12"),
        ("The final answer is **42** apples.", "42 apples"),
        ("The correct option is (C).", "(C)"),
        ("The answers are $3$, $5$ and $7$.", "3, 5 and 7"),
        ("The answer is $3$, the number of cats.", "3"),
        ("The answer is (E), as the others are false.", "(E)"),
        ("The answer is 12, which is option (C).", "12, which is option (C)"),
        ("The answer is A, not B.", "A"),
        ("The answer is (J) as it is true of all.", "(J)"),
        ("The answer is the same as before.", "the same as before"),
        ("The answer is 42, I think.", "42"),
        ("The answer is (F, G, I).", "(F, G, I)"),
        ("The answer is 17. The answer is not 19.", "17"),
        ("The answer is not (D) but (A).", "(A)"),
        ("The answer is (D).\nThe final answer for all questions:\nA. Open", "(D)"),
        ("The answer for part b is 5.", "5"),
        ("The answer is (A). Combining all answers, the final answer is:", "(A)"),
        ("The answer is 5. Final answer: The answer is", "5"),
        ("The answer is (D).\n总结以上答案：\nA. Translation", "(D)"),
        ("I will use \\boxed{}. The answer is 5.", "5"),
        ("The answer is unclear. 42", "unclear"),
        ("The answer is greater than 42.", "greater than 42"),
        ("经过计算，答案是12。", "12"),
        ("答案：B", "B"),
        ("答案为 $\\frac{1}{2}$。因此完成", r"\frac{1}{2}"),
        ("故选B", "B"),
        ("本题选择：（C）", "（C）"),
        ("正确选项是 D", "D"),
        ("答案是 12。不选B。", "12"),
        ("答案是 12。选项B不对", "12"),
        ("所以选 (C)。", "(C)"),
    ],
)
def test_lenient_reads_phrases(response: str, answer: str) -> None:
    assert extract(response, LENIENT).answer == answer
    assert extract(response, STRICT).answer is None


@pytest.mark.parametrize(
    "response",
    ["The answer is", "The answer is ...", "The answer is ... A, B", "Answer: **…**\n", "#### -\n"],
)
def test_a_phrase_without_an_answer_states_none(response: str) -> None:
    found = extract(response, LENIENT)
    assert (found.answer, found.place) == (None, None)
    assert found.reason == "nothing after 'the answer is'"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("Is the answer 42? I doubt it.", r"neither \boxed{} nor 'the answer is'"),
        ("A perfect answer cannot be found.", r"neither \boxed{} nor 'the answer is'"),
        ("There is no answer: 5 fails.", r"neither \boxed{} nor 'the answer is'"),
        ("The answer is not 5.", r"neither \boxed{} nor 'the answer is'"),
        ("##### 5", r"neither \boxed{} nor 'the answer is'"),
        ("So the answer is 42?", "what follows 'the answer is' is a question"),
    ],
)
def test_other_mentions_of_an_answer_state_none(response: str, reason: str) -> None:
    found = extract(response, LENIENT)
    assert (found.answer, found.place, found.reason) == (None, None, reason)


def test_a_box_beats_a_phrase() -> None:
    assert extract(r"\boxed{5}. The answer is 6.", LENIENT).answer == "5"
    assert extract(r"The answer is \boxed{5", LENIENT).answer is None


# --- patterns, numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "response", "answer"),
    [
        (r"Result: (.+)", "Result: 4\nResult: 5\nBye", "5"),
        (r"(?m)^>> (.*)$", ">> 7 km\n", "7 km"),
        (r"\[\[(\d+)\]\]", r"[[3]] \boxed{4}", "3"),
        (r"(x)|y", "x y", None),
        (r"z(.*)", "z  ", None),
        (r"Result: (.+)", "nothing", None),
    ],
)
def test_a_pattern_of_ones_own(expression: str, response: str, answer: str | None) -> None:
    found = extract(response, pattern(expression))
    assert (found.answer, found.place) == (answer, "pattern" if answer else None)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("He has 3 cats and 18 dogs.", "18"),
        ("It costs $1,234.50.", "1,234.50"),
        ("x = -5", "-5"),
        ("10-5", "5"),
        ("She owes -$7.", "-$7"),
        (r"\boxed{3} of 12", "12"),
        ("about .75 of it", ".75"),
        ("3, 5.", "5"),
        ("none", None),
    ],
)
def test_the_last_number(response: str, answer: str | None) -> None:
    found = extract(response, LAST_NUMBER)
    assert (found.answer, found.place) == (answer, "last_number" if answer else None)


@pytest.mark.parametrize("settings", [pattern(r"is (\d)"), LAST_NUMBER])
def test_only_the_end_of_a_response_is_searched(settings: Extraction) -> None:
    assert extract("is 5" + "x" * (SEARCHED - 4), settings).answer == "5"
    assert extract("is 5" + "x" * SEARCHED, settings).answer is None


# --- any text -------------------------------------------------------------------------------------


@given(st.text(alphabet="abc{}\\ $;", max_size=30))
def test_what_is_boxed_comes_out_whole(content: str) -> None:
    """Any content with balanced braces survives, whatever stands before and after it."""
    depth = 0
    for part in content.replace("\\\\", "").replace("\\{", "").replace("\\}", ""):
        depth += {"{": 1, "}": -1}.get(part, 0)
        if depth < 0:
            return
    if depth or content.endswith("\\") or not content.strip("{}\\ $") or "\\boxed" in content:
        return
    assert extract(f"First \\boxed{{0}}, then \\boxed{{{content}}} end.", STRICT).answer == content.strip()


@pytest.mark.parametrize(
    "response",
    [
        "answer" + " " * 200_000,
        "the answer is x" + " " * 200_000 + "y",
        "answer to " * 30_000,
        "\\boxed{" * 30_000,
        "\\boxed{" + "{" * 100_000 + "}" * 100_000 + "}",
        "the answer is " + "$" * 200_000,
        "the answer is. " * 30_000,
        "<answer>" * 30_000,
        "<answer>x" * 30_000 + "</answer>" * 30_000,
        "选" * 200_000,
        r"\boxed{1}, " * 30_000,
        r"\boxed{1}" + " " * 200_000 + r"\boxed{2}",
        r"\boxed{1}" + "x" * 140 + "=" + r"\boxed{2}",
    ],
)
def test_a_hostile_response_costs_no_time(response: str) -> None:
    started = time.process_time()
    found = extract(response, LENIENT)
    decide(found.answer or "", "5")
    assert time.process_time() - started < 2


@pytest.mark.parametrize("part", ["answer to ", r"\boxed{"])
def test_millions_of_beginnings_cost_neither_time_nor_memory(part: str) -> None:
    response = part * (10_000_000 // len(part))
    started = time.process_time()
    assert extract(response, LENIENT).answer is None
    assert time.process_time() - started < 4
    tracemalloc.start()
    extract(response[: len(response) // 10], LENIENT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000  # the text itself is one


# --- rows of brackets -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"\boxed{] ) }}", "] ) }"),
        (r"\boxed{} ]}.", "} ]"),
        (r"so $\boxed{\} ]}$ since {x}", r"\} ]"),
        (r"\boxed{\text{] )}} and {then}", r"\text{] )}"),
        (r"\boxed{> )}", "> )"),
        (r"\boxed{5} {}", "5"),
    ],
)
def test_a_row_of_brackets_is_read_to_its_end(response: str, answer: str) -> None:
    assert extract_brackets(response, STRICT).answer == answer


def test_a_row_of_brackets_without_a_box_is_none() -> None:
    assert extract_brackets("] ) }", STRICT).answer is None
    assert extract_brackets("The answer is ] )", LENIENT).answer == "] )"
