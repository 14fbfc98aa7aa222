"""records: ids from content alone."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from glow.files import records

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
