"""Packed files are known by their content; damaged, endless and foreign ones are refused in a line."""

import gzip
import io
import json
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from glow.errors import UserError
from glow.files import parquet_rows, unpacked
from glow.files.jsonl import read_jsonl
from glow.files.user_rows import read_rows

ROWS = [{"n": number, "text": f"{number * 7919 % 1009} é"} for number in range(3000)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def zstd(content: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


PACK = {"gzip": gzip.compress, "zstd": zstd}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        for _ in read_rows(path):
            pass
    return str(refused.value)


# --- known by content -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.zst", "rows"])
@pytest.mark.parametrize("how", ["plain", *PACK])
def test_the_name_of_a_packed_file_does_not_matter(tmp_path: Path, name: str, how: str) -> None:
    path = tmp_path / name
    path.write_bytes(LINES if how == "plain" else PACK[how](LINES))
    assert list(read_jsonl(path)) == ROWS


def test_parquet_under_any_name_is_parquet(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.jsonl")
    assert [row.record for row in read_rows(tmp_path / "rows.jsonl")] == ROWS


@pytest.mark.parametrize("how", PACK)
def test_parts_packed_one_by_one_are_one_file(tmp_path: Path, how: str) -> None:
    path = tmp_path / "rows"
    path.write_bytes(PACK[how](LINES[:500]) + PACK[how](LINES[500:]))
    assert list(read_jsonl(path)) == ROWS


def test_a_byte_order_mark_is_no_part_of_a_row(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"\xef\xbb\xbf" + LINES)
    assert list(read_jsonl(tmp_path / "rows")) == ROWS


# --- damaged ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", PACK)
def test_a_packed_file_that_was_cut_off_or_has_more_than_its_data_says_so(tmp_path: Path, how: str) -> None:
    path, whole = tmp_path / "rows.jsonl", PACK[how](LINES)
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path) == f"{path}: the packed file ends early; fetch or write it again"
    path.write_bytes(whole + b"and something else that is no row")
    assert "rows.jsonl: other bytes follow the end of the packed data; cut them off" in refusal(path)


@settings(max_examples=60)
@given(how=st.sampled_from(sorted(PACK)), place=st.integers(4, 4000), with_=st.binary(min_size=1, max_size=9))
def test_damage_anywhere_is_one_line_or_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, how: str, place: int, with_: bytes
) -> None:
    path, whole = tmp_path_factory.mktemp("damaged") / "rows", PACK[how](LINES)
    path.write_bytes(whole[:place] + with_ + whole[place + len(with_) :])
    try:
        read = list(read_jsonl(path))
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
    else:
        # The header's time, say, which nobody reads. Arrow writes zstd without the checksum that would tell.
        assert read == ROWS or how == "zstd"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("é".encode("utf-16") * 9, "text in UTF-16, which is not read here; save it as UTF-8"),
        (b"PK\x03\x04" + bytes(60), "a zip archive"),
        (b"\xfd7zXZ\x00" + bytes(9), "packed with xz"),
        (b"BZh91AY&SY", "packed with bzip2"),
        (b"\x80\x04\x95" + bytes(9), "a pickle, which is not read here; give JSON Lines"),
        (
            json.dumps({"a": "é"}, ensure_ascii=False).encode("latin-1"),
            "rows:1: not UTF-8 text (byte 0xe9 at 8)",
        ),
        (b'{"a": "x"}'.decode().encode("utf-16-le"), "rows:1: zero bytes: text in UTF-16, or no text"),
        (bytes(range(256)) * 9, "rows:1: zero bytes: text in UTF-16, or no text"),
    ],
)
def test_what_is_no_text_is_called_by_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "rows").write_bytes(content)
    assert said in refusal(tmp_path / "rows")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: not a file"
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'}: no such file"


# --- endless ----------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits, made small: what is beyond them is then cheap to make."""
    for module in (unpacked, parquet_rows):
        monkeypatch.setattr(module, "LONGEST_LINE", 5000)
        monkeypatch.setattr(module, "ROW_COSTS", 1000)
    monkeypatch.setattr(unpacked, "MOST_BLANK", 50)
    monkeypatch.setattr(unpacked, "ALWAYS_FITS", 200_000)


class Endless(io.RawIOBase):
    """A stream of one character without end, which counts what is taken of it."""

    def __init__(self, character: bytes) -> None:
        self.character, self.taken = character, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        buffer[:] = self.character * len(buffer)
        self.taken += len(buffer)
        return len(buffer)


@pytest.mark.parametrize(
    ("character", "said"),
    [(b"x", "x:1: a line of more than 67,108,864 bytes"), (b"\n", "1,000,000 blank lines")],
)
def test_a_line_without_end_and_blank_lines_without_end_are_given_up(character: bytes, said: str) -> None:
    endless = Endless(character)
    with pytest.raises(UserError, match=said):
        list(unpacked.lines_of(io.BufferedReader(endless), Path("x")))
    assert endless.taken < unpacked.LONGEST_LINE + 2**20


def test_the_longest_line_is_still_a_row(tmp_path: Path, small: None) -> None:
    fits = b'{"a": "' + b"x" * (5000 - 10) + b'"}\n'
    assert len(fits) == 5000
    (tmp_path / "rows").write_bytes(fits)
    assert len(list(read_rows(tmp_path / "rows"))) == 1
    (tmp_path / "rows").write_bytes(LINES[:0] + b'{"a": 1}\n' + fits.replace(b"xx", b"xxx", 1))
    assert f"{tmp_path / 'rows'}:2: a line of more than 5,000 bytes" in refusal(tmp_path / "rows")


@pytest.mark.parametrize("how", PACK)
def test_what_unpacks_to_many_times_its_size_is_refused(tmp_path: Path, small: None, how: str) -> None:
    bomb = PACK[how](b'{"a": "' + b"x" * 4000 + b'"}\n')
    path = tmp_path / "rows"
    path.write_bytes(PACK[how]((b'{"a": "' + b"x" * 4000 + b'"}\n') * 5000))
    assert len(bomb) < path.stat().st_size < 200_000
    assert "times as much (a decompression bomb?); unpack it yourself" in refusal(path)
    path.write_bytes(PACK[how](LINES))
    assert len(list(read_jsonl(path))) == 3000  # In proportion: thousands of rows of some bytes each.


def test_a_small_parquet_file_of_very_many_rows_is_refused_before_they_are_read(tmp_path: Path) -> None:
    column = pyarrow.array(["the same"]).take(pyarrow.array([0] * 1_000_000))
    parquet.write_table(pyarrow.table({"question": column, "response": column}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    assert "a decompression bomb?" in refusal(tmp_path / "a.parquet")


def test_a_row_of_parquet_has_a_longest_size_too(tmp_path: Path, small: None) -> None:
    rows = [{"a": "x"}] * 20 + [{"a": "x" * 6000}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert f"{tmp_path / 'a.parquet'}:21: a row of more than 5,000 bytes; split it" == refusal(
        tmp_path / "a.parquet"
    )
