"""Rows that outlive a kill: what is gone on after, and what is dropped."""

import gzip
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from glow.files.kept_rows import KeptRows, read_kept, write_kept

RUN = {"seed": 1, "prompt.system": "£\u2028"}


def row(number: int, said: str = "£\u2028\ud800") -> dict[str, Any]:
    return {"problem_id": f"p-{number}", "sample_index": number % 2, "text": said}


@contextmanager
def opened(path: Path, identity: dict[str, Any] | None = None) -> Iterator[KeptRows]:
    with closing(KeptRows(path, identity or RUN)) as kept:
        yield kept


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three rows that a run left."""
    with opened(tmp_path / "new" / "kept.jsonl") as kept:
        for number in range(3):
            kept.append(row(number))
    return tmp_path / "new" / "kept.jsonl"


def test_rows_are_there_again_by_problem_and_sample(file: Path) -> None:
    with opened(file) as kept:
        assert kept.rows == {("p-0", 0): row(0), ("p-1", 1): row(1), ("p-2", 0): row(2)}
        assert kept.differs == ""
        kept.append(row(3))
        assert read_kept(file, RUN) == (kept.rows, "")  # on disk, before the file is closed
    assert len(kept.rows) == 4


def test_a_row_that_is_there_twice_counts_as_it_was_kept_last(file: Path) -> None:
    with opened(file) as kept:
        kept.append(row(1, "other"))
    assert read_kept(file, RUN)[0]["p-1", 1]["text"] == "other"


@pytest.mark.parametrize("torn", ["no end", "half a row", "zeros"])
def test_what_a_kill_or_a_crash_tore_is_dropped(file: Path, torn: str) -> None:
    whole = file.read_bytes()
    last = json.dumps(row(3)).encode()
    file.write_bytes(
        whole + {"no end": last, "half a row": last[:9] + b"\n", "zeros": b"\0" * 9 + b"\n"}[torn]
    )
    assert len(read_kept(file, RUN)[0]) == 3
    with opened(file) as kept:
        assert len(kept.rows) == 3
        kept.append(row(3))
    assert file.read_bytes() == whole + last + b"\n"


def test_a_file_without_a_whole_header_is_empty(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:20])
    with opened(file) as kept:
        assert (kept.rows, kept.differs) == ({}, "")
        kept.append(row(7))
    assert list(read_kept(file, RUN)[0]) == [("p-7", 1)]


def test_rows_of_another_run_are_dropped_only_when_one_adds_its_own(file: Path) -> None:
    other = RUN | {"seed": 2}
    assert read_kept(file, other) == ({}, "seed was 1, is 2")
    assert len(read_kept(file, RUN)[0]) == 3
    with opened(file, other) as kept:
        assert (kept.rows, kept.differs) == ({}, "seed was 1, is 2")
    assert read_kept(file, RUN) == ({}, "seed was 2, is 1")


def test_a_finished_run_is_one_file_of_the_same_form(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl.gz"
    write_kept(file, RUN, [row(1), row(0)])
    assert list(read_kept(file, RUN)[0].items()) == [(("p-1", 1), row(1)), (("p-0", 0), row(0))]
    assert len(gzip.decompress(file.read_bytes()).splitlines()) == 3
