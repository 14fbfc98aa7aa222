"""records: ids from content alone, and rows that are what they are read as."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.errors import UserError
from glow.files import records
from glow.files.jsonl import write_jsonl
from glow.files.records import Asked, Judged, Problem, ScoredRow, read_records

TEXT = st.text(st.characters(), max_size=20)
"""Any Python text, lone surrogates included: JSON's `\\ud800` makes them, and users' files hold them."""


def test_an_id_is_the_hash_of_its_parts() -> None:
    expected = hashlib.sha256(b'["source", "question"]').hexdigest()[:16]
    assert records.problem_id("source", "question") == f"p-{expected}"
    expected = hashlib.sha256(b'["p-1", "teacher", 0, 3, "text"]').hexdigest()[:16]
    assert records.trajectory_id("p-1", "teacher", 0, 3, "text") == f"t-{expected}"


def test_moving_a_letter_between_parts_changes_the_id() -> None:
    assert records.content_id("p", "ab", "c") != records.content_id("p", "a", "bc")
    assert records.content_id("p", "1") != records.content_id("p", 1)


@given(TEXT, TEXT)
def test_any_text_has_an_id(source: str, question: str) -> None:
    name = records.problem_id(source, question)
    assert name == records.problem_id(source, question)
    assert len(name) == 18


# --- reading ------------------------------------------------------------------------------------

OUTCOME: dict[str, Any] = {
    "suite": "s", "problem_id": "p", "sample_index": 0, "format": "boxed", "verdict": "correct",
}  # fmt: skip


def test_rows_come_with_their_place_and_whatever_else_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "q", "answer": "1", "mine": [2]}\n\n{"question": "r", "answer": "2"}\n')
    found = list(read_records(path, Asked, ("question", "answer")))
    assert found == [
        (f"{path}:1", {"question": "q", "answer": "1", "mine": [2]}),
        (f"{path}:3", {"question": "r", "answer": "2"}),
    ]


def test_without_keys_a_row_is_what_its_kind_has(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    write_jsonl(path, [OUTCOME | {"response": "long", "entropy": None}])
    assert list(read_records(path, ScoredRow)) == [(f"{path}:1", OUTCOME | {"entropy": None})]


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        (Judged, {"trajectory_id": "t"}, "rows.jsonl:1: no key 'verdict'; give the output of `glow verify`"),
        (
            Judged,
            {"verdict": "right", "trajectory_id": "t"},
            "'verdict': input should be 'correct', 'wrong', 'unparsed', 'truncated', 'timeout' or 'error', "
            "found 'right'; give the output of `glow verify`",
        ),
        (Problem, {"problem_id": "p", "question": "q"}, "no key 'answer'; fix or remove the row"),
        (
            Problem,
            {"problem_id": "p", "question": "q", "answer": "1", "answer_type": "integer"},
            "'answer_type': input should be 'number', 'expression', ",
        ),
        (
            ScoredRow,
            OUTCOME | {"sample_index": True},
            "'sample_index': input should be a valid integer",
        ),
        (ScoredRow, OUTCOME | {"response_tokens": 1.5}, "'response_tokens': input should be a valid integer"),
    ],
)
def test_a_row_of_another_kind_is_refused_by_place(
    kind: Any, row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [row])
    keys = {"Judged": ("verdict", "trajectory_id")}.get(kind.__name__)
    with pytest.raises(UserError) as caught:
        list(read_records(path, kind, keys))
    assert message in str(caught.value)
