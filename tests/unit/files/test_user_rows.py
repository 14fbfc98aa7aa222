"""Rows that users bring: every mistake is named with its place and how to fix it."""

import math
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from glow.data.disjoint import SuiteQuestions, folded
from glow.errors import UserError
from glow.files.jsonl import write_jsonl
from glow.files.user_rows import (
    Row,
    answer_type,
    empty_files,
    finish_reason,
    label,
    read_rows,
    text,
    thought_open,
)

HERE = "rows.jsonl:7"


def row(**record: object) -> Row:
    return Row(HERE, record)


def test_json_lines_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    records = [{"question": "a", "choices": ["x", "y"]}, {"question": "b", "choices": []}]
    write_jsonl(tmp_path / "a.jsonl.gz", records)
    parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "a.parquet")
    for name in ("a.jsonl.gz", "a.parquet"):
        path = tmp_path / name
        assert list(read_rows(path)) == [Row(f"{path}:1", records[0]), Row(f"{path}:2", records[1])]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"not parquet", "a.parquet: not a readable Parquet file"),
        ("a.parquet", None, "a.parquet: no such file"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", None, "a.jsonl: no such file"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_rows(tmp_path / name))


def test_numbers_are_text_too() -> None:
    assert text(row(answer=5), "answer", "") == "5"
    assert text(row(answer="5"), "answer", "") == "5"
    assert text(row(response=""), "response", "", may_be_empty=True) == ""


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "rows.jsonl:7: no key 'answer'; there are no keys; map it"),
        ({"answer": None}, "rows.jsonl:7: 'answer' must be text, found null; fix it, or map it"),
        ({"answer": True}, "must be text, found bool"),
        ({"answer": ["5"]}, "must be text, found list"),
        ({"answer": " "}, "rows.jsonl:7: 'answer' is empty"),
        ({"answer": "\ud83d"}, "surrogate"),
    ],
)
def test_what_is_no_text(record: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        text(Row(HERE, record), "answer", "map it")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (True, True), (False, False), (1, True), (0, False), (None, None), (1.0, True), (0.0, False),
        ("True", True), ("false", False), ("Yes", True), (" no ", False), ("1", True), ("0.0", False),
        ("correct", True), ("INCORRECT", False), ("wrong", False), ("pass", True), ("", None),
        ("N/A", None), (float("nan"), None),
    ],
)  # fmt: skip
def test_labels(value: object, read: bool | None) -> None:
    assert label(row(ok=value), "ok", "") is read


@pytest.mark.parametrize(
    ("value", "read"),
    [(0.5, True), (0.49, False), (-1, False), ("7", True), (True, True), ("no", False), (10**400, True)],
)
def test_rewards_are_labels_from_a_threshold_on(value: object, read: bool) -> None:
    assert label(row(ok=value), "ok", "", 0.5) is read


@pytest.mark.parametrize("value", ["maybe", 2, 0.5, [], "2", {}, 10**400])
def test_what_is_no_label(value: object) -> None:
    with pytest.raises(UserError, match=r"rows.jsonl:7: label 'ok' is .*; it must be true or false"):
        label(row(ok=value), "ok", "")
    with pytest.raises(UserError, match=r"no key 'good'; .*; map it"):
        label(row(ok=value), "good", "map it")


@pytest.mark.parametrize(("value", "read"), [("list", "list"), ("choice", "choice"), (None, None)])
def test_answer_types(value: str | None, read: str | None) -> None:
    assert answer_type(row(kind=value), "kind") == read
    assert answer_type(row(), "kind") is None


@pytest.mark.parametrize("value", ["integer", "", 3, ["list"]])
def test_what_is_no_answer_type(value: object) -> None:
    with pytest.raises(UserError, match=r"rows.jsonl:7: 'kind' is .*; it must be one of number, expression"):
        answer_type(row(kind=value), "kind")


# --- why a response ended -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("interrupted", "interrupted"),
        (None, None),
        ("", None),
        ("null", None),
        ("FINISH_REASON_UNSPECIFIED", None),
        # OpenAI, Azure's libraries and DeepSeek
        ("content_filter", "interrupted"),
        ("ContentFiltered", "interrupted"),
        ("TokenLimitReached", "length"),
        ("tool_calls", "interrupted"),
        ("max_output_tokens", "length"),
        ("insufficient_system_resource", "interrupted"),
        # Anthropic and Bedrock
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "interrupted"),
        ("guardrail_intervened", "interrupted"),
        # Google
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("FinishReason.MAX_TOKENS", "length"),
        ("SAFETY", "interrupted"),
        ("RECITATION", "interrupted"),
        # Cohere, Mistral, IBM
        ("COMPLETE", "stop"),
        ("model_length", "length"),
        ("TIME_LIMIT", "interrupted"),
        # TGI, vLLM, SGLang, llama.cpp
        ("eos_token", "stop"),
        ("abort", "interrupted"),
        ({"type": "length", "length": 64}, "length"),
        ({"type": "stop", "matched": 7}, "stop"),
        ("limit", "length"),
        (" Max-Tokens ", "length"),
    ],
)
def test_finish_reasons(value: object, read: str | None) -> None:
    assert finish_reason(row(finish_reason=value), None, "") == read
    assert finish_reason(row(why=value), "why", "") == read


@pytest.mark.parametrize(
    ("record", "read"),
    [
        ({}, None),
        ({"truncated": True}, "length"),
        ({"truncated": False}, "stop"),
        ({"truncated": None}, None),
        ({"truncated": 1}, "length"),
        ({"finish_reason": None, "truncated": True}, "length"),
        ({"finish_reason": "stop", "truncated": True}, "length"),
        ({"finish_reason": "abort", "truncated": False}, "interrupted"),
        ({"finish_reason": "abort", "truncated": True}, "interrupted"),
        ({"finish_reason": "length", "truncated": False}, "length"),
        ({"finish_reason": "stop", "truncated": None}, "stop"),
        ({"truncated": 1.0}, "length"),
        ({"truncated": 0.0}, "stop"),
        ({"truncated": math.nan}, None),
        ({"finish_reason": math.nan, "truncated": 0.0}, "stop"),
    ],
)
def test_without_a_mapped_key_two_names_are_known(record: dict[str, object], read: str | None) -> None:
    assert finish_reason(Row(HERE, record), None, "") == read


def test_a_mapped_key_counts_alone() -> None:
    both = row(finish_reason="length", was_truncated=False)
    assert finish_reason(both, "was_truncated", "") == "stop"
    assert finish_reason(row(finish_reason="length"), "why", "") is None


@pytest.mark.parametrize("value", [["length"], "cot", 2, True, 1.5, {"type": None}, {}])
def test_what_is_no_finish_reason(value: object) -> None:
    with pytest.raises(
        UserError, match=r"rows.jsonl:7: 'why' is .*; write stop, length or null, or map another key"
    ):
        finish_reason(row(why=value), "why", "map another key")


def test_a_boolean_says_no_more_than_its_name() -> None:
    with pytest.raises(UserError, match="'is_finished' is True, which does not say"):
        finish_reason(row(is_finished=True), "is_finished", "")


def test_whether_the_prompt_opened_a_thought() -> None:
    assert thought_open(row(thought_open=True)) is True
    for record in ({}, {"thought_open": False}, {"thought_open": None}):
        assert thought_open(Row(HERE, record)) is False
    with pytest.raises(UserError, match=r"rows.jsonl:7: 'thought_open' is 'yes'; it must be true or false"):
        thought_open(row(thought_open="yes"))


def test_empty_files(tmp_path: Path) -> None:
    full, blank, parquet_file = (tmp_path / name for name in ("a.jsonl", "b.jsonl.gz", "c.parquet"))
    write_jsonl(full, [{"a": 1}])
    write_jsonl(blank, [])
    parquet.write_table(pyarrow.Table.from_pylist([{"a": 1}]).slice(0, 0), parquet_file)
    assert empty_files([full]) == []
    assert empty_files([blank, full, parquet_file]) == [blank, parquet_file]
    with pytest.raises(UserError, match=r"b.jsonl.gz, .*c.parquet: no rows; give a file that has some"):
        empty_files([blank, parquet_file])


# --- questions of suites --------------------------------------------------------------------------


def test_folding() -> None:
    assert folded("  What is\n 2 + 2? ") == folded("what IS 2 + 2?")
    assert folded("a b") != folded("ab")


def test_overlap_is_counted_and_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "math.jsonl", [{"question": "What is 2?"}])
    write_jsonl(tmp_path / "quiz.jsonl", [{"question": "Which?\nA. x\nB. y", "stem": "Which?"}])
    questions = SuiteQuestions([tmp_path / "math.jsonl", tmp_path / "quiz.jsonl"])
    questions.refuse([("f:1", "What is 3?"), ("f:2", "Which? A. x B. y")])
    with pytest.raises(
        UserError, match=r"f:2: this question is in suite 'math' too.* 3 rows share 2 questions with "
    ):
        questions.refuse([("f:1", "new"), ("f:2", "what  is 2?"), ("f:3", "What is 2?"), ("f:4", "which?")])
