"""Every response has exactly one type, and only what it says decides which."""

import time
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glow.config import Extraction
from glow.files.records import VERDICTS, ResponseType, Verdict
from glow.verifier.answers import stated
from glow.verifier.boxes import without_boxes
from glow.verifier.response_types import response_type

THINK = ("<think>", "</think>")

BARE = [
    # response, extracted
    (r"\boxed{4}", "4"),
    (r"  $$\boxed{\frac{1}{2}}$$. ", r"\frac{1}{2}"),
    (r"\boxed 7", "7"),
    (r"\boxed{\boxed{4}}", "4"),
    (r"Thus we get \boxed{10}", "10"),
    (r"So the answer is \boxed{10}.", "10"),
    (r"x = \boxed{3}$ or $x=\boxed{5}", "3 or 5"),
    (r"\theta = \boxed{4}", "4"),
    (r"\[\text{The final answer is } \boxed{9}\]", "9"),
    ("<think>\n\n</think>\n\n\\boxed{4}", "4"),
    (r"**Answer: 4** \boxed{4}", "4"),  # the answer once more
    ("The answer is 42.", "42"),
    ("The answer is $x=5$ and $y=3$.", "x=5 and y=3"),  # as lenient extraction reads it
    ("The final answer is: or", "or"),
    ("所以答案是5。", "5"),
    ("#### 42", "42"),
    ("42", "42"),
    ("", "42"),  # of rows that state their answer in a field
    ("...", None),
]
CHAINS = [
    (r"2 + 2 = \boxed{4}", "4"),
    (r"2x = \boxed{4}", "4"),
    (r"2\pi = \boxed{6.28}", "6.28"),
    (r"Step by step: 3 - 1 = 2. Hence \boxed{2}", "2"),
    (r"<think>hm</think>\boxed{4}", "4"),
    (r"<think>4</think>\boxed{5}", "5"),
    (r"\boxed{5} km", "5"),
    (r"\boxed{4}, I checked", "4"),
    ("4 and 4: the answer is 4", "4"),
    ("我们知道答案是5", "5"),
    ("There are no commas here", None),  # whole responses are judged (IFEval)
]


@pytest.mark.parametrize(("response", "extracted"), BARE)
def test_an_answer_and_nothing_else_is_bare(response: str, extracted: str | None) -> None:
    assert response_type(response, "wrong", extracted, THINK) == "bare"


@pytest.mark.parametrize(("response", "extracted"), CHAINS)
def test_whatever_says_more_is_a_chain(response: str, extracted: str | None) -> None:
    assert response_type(response, "correct", extracted, THINK) == "chain"


def test_verdicts_of_unfinished_and_silent_responses_are_types() -> None:
    assert response_type(r"\boxed{4} or so, but", "truncated", "4", THINK) == "truncated"
    assert response_type("Five.", "unparsed", None, THINK) == "unparsed"


def test_the_marks_of_a_thought_are_given() -> None:
    said = r"[think]  [/think] \boxed{4}"
    assert response_type(said, "wrong", "4", ("[think]", "[/think]")) == "bare"
    assert response_type(said, "wrong", "4", THINK) == "chain"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (r"a \boxed{1 + \frac{2}{3}} b", "a   b"),
        (r"\fbox{1}\boxed{2}", "  "),
        (r"\boxed{1 \boxed{2}", " {1  "),  # the first is never closed
        (r"a \boxed{b", "a  {b"),
        (r"\boxedness", r"\boxedness"),
        ("", ""),
    ],
)
def test_text_without_its_boxes(text: str, left: str) -> None:
    assert without_boxes(text) == left


PARTS = st.sampled_from(
    [
        *(response for response, _ in (*BARE, *CHAINS)),
        r"\boxed{",
        "}",
        r"\boxed",
        "<think>",
        "</think>",
        "x=",
        "7",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=30), st.lists(st.one_of(PARTS, st.text(max_size=5)), max_size=6).map("".join)
)
SPACE = st.text(" \t\n", max_size=5)


@given(TEXTS, st.sampled_from(VERDICTS), st.one_of(st.none(), TEXTS), SPACE, SPACE)
@example("\\", "wrong", "boxed", "", "\n")
def test_every_response_has_one_type_whatever_spaces_surround_it(
    response: str, verdict: Verdict, extracted: str | None, before: str, after: str
) -> None:
    found = response_type(response, verdict, extracted, THINK)
    assert found in get_args(ResponseType)
    assert response_type(before + response + after, verdict, extracted, THINK) == found
    assert (found in ("truncated", "unparsed")) == (found == verdict)


@given(TEXTS, SPACE, SPACE)
def test_nor_do_they_change_what_is_extracted_and_so_the_type(response: str, before: str, after: str) -> None:
    found = []
    for said in (response, before + response + after):
        answer = stated(said, Extraction(extraction="lenient"), THINK).answer
        found.append(response_type(said, "unparsed" if answer is None else "wrong", answer, THINK))
    assert found[0] == found[1]


@given(st.text("abc123", min_size=1), st.sampled_from(["", "The answer is ", "So, ", "x = "]))
def test_a_box_is_bare_whatever_is_in_it(answer: str, announced: str) -> None:
    assert response_type(f"{announced}\\boxed{{{answer}}}", "wrong", answer, THINK) == "bare"


@pytest.mark.parametrize(
    "part", [r"\boxed{", r"\boxed{}", "the ", "x=", "x =   ", "{", "是", "<think>", "\\a"]
)
def test_hostile_texts_take_no_long_time(part: str) -> None:
    """Linear: a megabyte takes well under a second, where a quadratic way would take hours."""
    started = time.monotonic()
    response_type(part * (1_000_000 // len(part)) + "~", "wrong", "~", THINK)
    assert time.monotonic() - started < 20
