"""What a response states."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.verifier.answers import extract, extract_brackets
from glow.verifier.equality import decide

# --- extraction -----------------------------------------------------------------------------------


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
    assert extract(response, "strict").answer == answer
    assert extract(response, "lenient").answer == answer


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty response"),
        (" \n\t", "empty response"),
        ("It is 5.", r"no \boxed{}"),
        (r"\boxed{5", "the last box is never closed"),
        (r"\boxed{4} and \boxed{5", "the last box is never closed"),
        (r"\boxed{4} goes in \boxed{}", "the last box is empty"),
        (r"\boxed", "the last box is empty"),
        (r"\boxedin{5}", r"no \boxed{}"),
    ],
)
def test_without_a_whole_last_box_nothing_is_stated(response: str, reason: str) -> None:
    found = extract(response, "strict")
    assert (found.answer, found.reason) == (None, reason)


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
    ],
)
def test_lenient_reads_phrases(response: str, answer: str) -> None:
    assert extract(response, "lenient").answer == answer
    assert extract(response, "strict").answer is None


@pytest.mark.parametrize("response", ["The answer is", "The answer is ...", "Answer: **…**\n", "#### -\n"])
def test_a_phrase_without_an_answer_states_none(response: str) -> None:
    found = extract(response, "lenient")
    assert (found.answer, found.place) == (None, None)
    assert found.reason == "nothing after 'the answer is'"


def test_a_box_beats_a_phrase() -> None:
    assert extract(r"\boxed{5}. The answer is 6.", "lenient").answer == "5"
    assert extract(r"The answer is \boxed{5", "lenient").answer is None


@given(st.text(alphabet="abc{}\\ $.", max_size=30))
def test_what_is_boxed_comes_out_whole(content: str) -> None:
    """Any content with balanced braces survives, whatever stands before and after it."""
    depth = 0
    for part in content.replace("\\\\", "").replace("\\{", "").replace("\\}", ""):
        depth += {"{": 1, "}": -1}.get(part, 0)
        if depth < 0:
            return
    if depth or content.endswith("\\") or not content.strip() or "\\boxed" in content:
        return
    assert extract(f"First \\boxed{{0}}, then \\boxed{{{content}}} end.", "strict").answer == content.strip()


@pytest.mark.parametrize(
    "response",
    [
        "answer" + " " * 200_000,
        "the answer is x" + " " * 200_000 + "y",
        "answer to " * 30_000,
        "\\boxed{" * 30_000,
        "\\boxed{" + "{" * 100_000 + "}" * 100_000 + "}",
        "the answer is " + "$" * 200_000,
    ],
)
def test_a_hostile_response_costs_no_time(response: str) -> None:
    started = time.process_time()
    found = extract(response, "lenient")
    decide(found.answer or "", "5")
    assert time.process_time() - started < 2


@pytest.mark.parametrize("part", ["answer to ", r"\boxed{"])
def test_millions_of_beginnings_cost_neither_time_nor_memory(part: str) -> None:
    response = part * (10_000_000 // len(part))
    started = time.process_time()
    assert extract(response, "lenient").answer is None
    assert time.process_time() - started < 4
    tracemalloc.start()
    extract(response[: len(response) // 10], "lenient")
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
    assert extract_brackets(response, "strict").answer == answer


def test_a_row_of_brackets_without_a_box_is_none() -> None:
    assert extract_brackets("] ) }", "strict").answer is None
    assert extract_brackets("The answer is ] )", "lenient").answer == "] )"
