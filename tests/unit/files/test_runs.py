"""When runs began."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from glow.errors import UserError
from glow.files.runs import NAME, note_run, runs_started


def test_each_start_is_noted_below_those_before(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert runs_started(tmp_path) == []
    note_run(tmp_path)
    note_run(tmp_path)
    first, second = runs_started(tmp_path)
    assert before <= first <= second <= datetime.now(UTC)
    assert (first.microsecond, second.microsecond) == (0, 0)


def test_starts_are_sorted_and_in_utc(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(
        '{"started": "2026-01-02T05:00:00+02:00"}\n{"started": "2026-01-02T02:00:00+00:00"}\n'
    )
    assert [start.hour for start in runs_started(tmp_path)] == [2, 3]
    assert all(start.tzinfo is UTC for start in runs_started(tmp_path))


@pytest.mark.parametrize("line", ['{"begun": 1}', '{"started": 5}', '{"started": "yesterday"}'])
def test_damage_is_named_and_no_run_goes_on_from_it(tmp_path: Path, line: str) -> None:
    (tmp_path / NAME).write_text(line + "\n")
    for read in (runs_started, note_run):
        with pytest.raises(UserError, match=r"runs\.jsonl: not the starts of runs.*delete the file"):
            read(tmp_path)
    assert (tmp_path / NAME).read_text() == line + "\n"
