"""Rows of JSON arrays and CSV: the same as of JSON Lines, and what is refused says where."""

import csv
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.errors import UserError
from glow.files.jsonl import Record
from glow.files.user_rows import read_rows

ROWS = [{"a": 'one, "two"\nthree', "b": "é"}, {"a": "", "b": "4"}]


def read(path: Path) -> list[Record]:
    return [row.record for row in read_rows(path)]


def write_csv(path: Path, rows: list[Record], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_has_the_rows_of_its_objects_whatever_its_name(indent: int | None, tmp_path: Path) -> None:
    for name in ("rows.json", "rows.jsonl"):
        (tmp_path / name).write_text("\ufeff \n" + json.dumps(ROWS, indent=indent), encoding="utf-8")
        assert read(tmp_path / name) == ROWS
    (tmp_path / "empty.json").write_text("[ ]\n")
    assert read(tmp_path / "empty.json") == []


def test_json_lines_may_be_called_json(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert read(tmp_path / "rows.json") == ROWS


def test_a_long_array_is_read_piece_by_piece(tmp_path: Path) -> None:
    rows = [{"n": number, "text": "é" * (number * 997 % 50_000)} for number in range(150)]
    (tmp_path / "rows.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    assert (tmp_path / "rows.json").stat().st_size > 3 * 2**20
    assert read(tmp_path / "rows.json") == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, {"a": 2', "row 2 of the JSON array: not valid JSON"),
        ('[{"a": 1},', "row 2 of the JSON array: the file ends before the array does"),
        ('[{"a": 1} {"a": 2}]', "row 2 of the JSON array: expected a comma or ]"),
        ('[{"a": 1}] x', "other text follows the end of the array"),
        ('[{"a": 1}, 5]', ":2: expected a JSON object in the array, found int"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_array_of_objects_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(UserError, match=r"rows\.json") as caught:
        read(tmp_path / "rows.json")
    assert message in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_has_the_rows_by_its_first_line(delimiter: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", ROWS, delimiter)
    assert read(tmp_path / "rows.csv") == ROWS
    packed = tmp_path / "rows.CSV.gz"
    packed.write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    assert read(packed) == ROWS


def test_places_are_the_lines_where_rows_begin(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", ROWS)
    assert [row.place.rpartition(":")[2] for row in read_rows(tmp_path / "rows.csv")] == ["2", "4"]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    rows = [{"a": "x" * 300_000, "b": "1"}]
    write_csv(tmp_path / "rows.csv", rows)
    assert read(tmp_path / "rows.csv") == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a,b\n1,2\n3\n", ":3: 1 cells, but there are 2 names in the first line"),
        (b"a,b\n1,2,3\n", ":2: 3 cells, but there are 2 names"),
        (b"a,a\n1,2\n", ":1: two columns are called 'a'; rename one"),
        (b'a,b\n1,"2\n', ":2: not valid CSV"),
        (b"a,b\n1,\xe9\n", ":2: not UTF-8"),
    ],
)
def test_what_is_no_csv_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(text)
    with pytest.raises(UserError, match=r"rows\.csv") as caught:
        read(tmp_path / "rows.csv")
    assert message in str(caught.value)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30)


@given(cells=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_any_text_comes_back_from_both(
    cells: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    rows = [{"a": first, "b": second} for first, second in cells]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    write_csv(folder / "rows.csv", rows)
    assert read(folder / "rows.json") == read(folder / "rows.csv") == rows
