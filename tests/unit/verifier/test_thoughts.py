"""What a model thinks is not its answer: open and closed thoughts, other marks, hostile ones."""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glow.config import Verification
from glow.verifier.answers import UNFINISHED
from glow.verifier.equality import Gold
from glow.verifier.thoughts import answer_part, is_open
from glow.verifier.verify import Item, Verifier

THINK = ("<think>", "</think>")
BEGIN_OF_THOUGHT = ("<|begin_of_thought|>", "<|end_of_thought|>")
CHANNELS = ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>")


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(Verification()) as shared:
        yield shared


# --- where a thought ends -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "was_open", "answer"),
    [
        ("a", False, "a"),  # No marks at all: an ordinary answer, as it stands.
        (" a\n", False, " a\n"),
        ("", False, ""),
        ("<think>a", False, None),
        ("<think>a</think>\n\nb", False, "b"),
        ("<think></think>b", False, "b"),
        ("<think>a</think>", False, ""),
        ("a</think>b", False, "b"),  # The prompt opened it, though nobody said so.
        ("a", True, None),
        ("a</think>b", True, "b"),
        ("<think>a</think>b", True, "b"),  # The model repeats the mark of its prompt, and closes it once.
        ("a</think>b<think>c", False, None),
        ("<think>a</think>b<think>c</think>d", False, "d"),
        ("<think>a<think>b</think>c", False, "c"),
        ("<think>a</think>b</think>c", False, "c"),
        ("<THINK>a</THINK>b", False, "<THINK>a</THINK>b"),
        ("a <think", False, "a <think"),
    ],
)
def test_the_answer_follows_the_last_thought(response: str, was_open: bool, answer: str | None) -> None:
    assert answer_part(response, THINK, was_open) == answer
    assert is_open(response, THINK, was_open) is (answer is None)


@pytest.mark.parametrize(
    ("thought", "response", "answer"),
    [
        (BEGIN_OF_THOUGHT, "<|begin_of_thought|>a<|end_of_thought|>\n\nb", "b"),
        (BEGIN_OF_THOUGHT, "<|begin_of_thought|>a</think>b", None),
        (BEGIN_OF_THOUGHT, "<think>a", "<think>a"),
        (
            CHANNELS,
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
            "b",
        ),
        (CHANNELS, "<|channel|>analysis<|message|>a<|end|><|start|>assistant", None),
        (CHANNELS, "<|channel|>final<|message|>b", "b"),
    ],
)
def test_other_marks(thought: tuple[str, str], response: str, answer: str | None) -> None:
    assert answer_part(response, thought) == answer


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "verdict", "extracted", "reason"),
    [
        (Item(r"<think> Try \boxed{7}. Hmm, wait", "7"), "unparsed", None, UNFINISHED),
        (Item(r"Try \boxed{7}. Hmm, wait", "7", "stop", True), "unparsed", None, UNFINISHED),
        (Item(r"Try \boxed{7}. Hmm, wait", "7", "stop"), "correct", "7", "same text"),
        (
            Item(r"<think> Try \boxed{7}. Hmm", "7", "length"),
            "truncated",
            None,
            "cut off at the token limit",
        ),
        (Item(r"Now \boxed{7}", "7", "length", True), "truncated", None, "cut off at the token limit"),
        (Item(r"\boxed{7} and", "7", "interrupted"), "truncated", "7", "interrupted before its end"),
        (Item(r"<think>\boxed{7}</think> ", "7"), "unparsed", None, "nothing follows the thought"),
        (Item(r"<think>\boxed{7}</think> It is 7.", "7"), "unparsed", None, r"no \boxed{}"),
        (Item("  ", "7"), "unparsed", None, "empty response"),
        (Item(r"no, \boxed{8}</think> \boxed{7}", "7", None, True), "correct", "7", "same text"),
        (Item(r"<think>\boxed{7}</think>\boxed{8}", "7"), "wrong", "8", "different numbers"),
    ],
)
def test_a_thought_is_no_answer(
    verifier: Verifier, item: Item, verdict: str, extracted: str | None, reason: str
) -> None:
    found = next(verifier.judge([item]))
    assert (found.verdict, found.extracted, found.reason) == (verdict, extracted, reason)
    assert next(verifier.judge([tuple(item)])) == found


def test_phrases_are_read_behind_the_thought_alone() -> None:
    with Verifier(Verification(extraction="lenient")) as lenient:
        found = lenient.judge_one(r"<think>So \boxed{5}. The answer is 4.</think> The answer is 6.", "6")
        assert (found.verdict, found.extracted) == ("correct", "6")
        assert lenient.judge_one("<think>The answer is 6.</think> It is.", "6").verdict == "unparsed"


def test_a_row_of_brackets_is_read_behind_the_thought(verifier: Verifier) -> None:
    gold = Gold("] ) }", "brackets")
    assert verifier.judge_one(r"<think>\boxed{> >}</think>\boxed{] ) }}", gold).verdict == "correct"
    assert verifier.judge_one(r"<think>\boxed{] ) }}", gold).verdict == "unparsed"


def test_a_verifier_has_marks_of_its_own() -> None:
    response = r"<|begin_of_thought|>\boxed{1}<|end_of_thought|><think>\boxed{2}"
    with Verifier(Verification(), thought=BEGIN_OF_THOUGHT) as other:
        assert other.judge_one(response, "2").verdict == "correct"
        assert other.judge_one(r"<|begin_of_thought|>\boxed{2}", "2").verdict == "unparsed"


@pytest.mark.parametrize(
    "part", ["<think>", "</think>", "<think></think>", "</think><think>", "<", "</think"]
)
def test_a_million_marks_take_no_time(verifier: Verifier, part: str) -> None:
    response = part * 1_000_000 + r"\boxed{7}"
    started = time.monotonic()
    found = verifier.judge_one(response, "7")
    assert time.monotonic() - started < 5
    assert found.verdict == ("unparsed" if part.endswith("<think>") else "correct")


# --- real cases -----------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_cases_with_thoughts(shared_data: Path) -> None:
    cases = [
        case
        for case in rows_of(shared_data / "verifier_cases" / "dev.jsonl.gz")
        if case["kind"] == "think_blocks"
    ]
    assert cases
    for case in cases:
        with Verifier(Verification(extraction=case["extraction"])) as verifier:
            assert verifier.judge_one(case["response"], case["answer"]).verdict == case["expected"], case[
                "id"
            ]
