"""jsonl: files that are whole or absent, and mistakes named by line."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glow.errors import UserError
from glow.files import jsonl

TEXT = st.text(st.characters(), max_size=20)
"""Any Python text, lone surrogates included: JSON's `\\ud800` makes them, and users' files hold them."""
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.lists(TEXT)
# Through JSON once: it joins two surrogates that stand side by side.
ROWS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=4).map(
    lambda rows: json.loads(json.dumps(rows))
)


# --- writing and reading ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
@settings(max_examples=50)
@given(rows=ROWS)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"rows{suffix}"
    assert jsonl.write_jsonl(path, rows) == len(rows)
    assert list(jsonl.read_jsonl(path)) == rows


@settings(max_examples=50)
@given(rows=ROWS)
def test_files_are_valid_utf8_with_one_row_a_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    jsonl.write_jsonl(path, rows)
    lines = path.read_bytes().decode("utf-8").split("\n")
    assert len(lines) == len(rows) + 1
    assert [json.loads(line) for line in lines[:-1]] == rows


def test_readable_text_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    jsonl.write_jsonl(path, [{"answer": "½ + π"}])
    assert path.read_text(encoding="utf-8") == '{"answer": "½ + π"}\n'


def test_equal_rows_give_equal_gzip_bytes(tmp_path: Path) -> None:
    rows = [{"n": number} for number in range(100)]
    first, second = tmp_path / "first.jsonl.gz", tmp_path / "second.jsonl.gz"
    jsonl.write_jsonl(first, rows)
    jsonl.write_jsonl(second, rows)
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()).count(b"\n") == 100


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('\n{"n": 1}\n\n  \n{"n": 2}')
    assert list(jsonl.read_numbered_jsonl(path)) == [(2, {"n": 1}), (5, {"n": 2})]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    jsonl.write_jsonl(path, [{"n": 1}])

    def failing() -> Iterator[dict[str, int]]:
        yield {"n": 2}
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        jsonl.write_jsonl(path, failing())
    assert list(jsonl.read_jsonl(path)) == [{"n": 1}]
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_json_document_holds_any_text(tmp_path: Path) -> None:
    jsonl.write_json(tmp_path / "a.json", {"text": "\ud800"})
    assert json.loads((tmp_path / "a.json").read_bytes().decode("utf-8")) == {"text": "\ud800"}


def test_json_documents_keep_their_order(tmp_path: Path) -> None:
    jsonl.write_json(tmp_path / "new" / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "new" / "a.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"n": 1', "not valid JSON"),
        (b'{"n": \xff}', "not UTF-8 text (byte 0xff at 7); save it as UTF-8"),
        (b'{"n": \0}', "zero bytes: text in UTF-16, or no text; save it as UTF-8"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b"null", "expected a JSON object, found NoneType"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 0}\n\n' + line + b"\n")
    with pytest.raises(UserError) as caught:
        list(jsonl.read_jsonl(path))
    assert str(caught.value).startswith(f"{path}:3: {said}")
    assert len(str(caught.value)) < len(str(path)) + 300


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: no such file"):
        list(jsonl.read_jsonl(tmp_path / "none.jsonl"))


def test_duplicates_are_named() -> None:
    rows = [{"id": "a"}, {"id": "b"}, {"id": "a"}]
    with pytest.raises(UserError, match="records 1 and 3 share id 'a'"):
        jsonl.refuse_duplicates(rows, "id", Path("rows.jsonl"))
    jsonl.refuse_duplicates(rows[:2], "id", Path("rows.jsonl"))
