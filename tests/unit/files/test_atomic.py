"""atomic: files and folders are whole or absent, whatever happens while they are made."""

from pathlib import Path

import pytest

from glow.files.atomic import atomic_folder, atomic_path


class KilledError(Exception):
    """What ends a block before its time."""


def test_a_file_is_moved_into_place_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_path(target) as partial:
        partial.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    with pytest.raises(KilledError), atomic_path(target) as partial:
        partial.write_text("half")
        raise KilledError
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]
    assert target.read_text() == "whole"


def test_a_folder_takes_the_place_of_another_only_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with atomic_folder(folder) as partial:
        (partial / "weights").write_text("old")
    with pytest.raises(KilledError), atomic_folder(folder) as partial:
        (partial / "half").write_text("new")
        raise KilledError
    assert [path.name for path in folder.iterdir()] == ["weights"]
    with atomic_folder(folder) as partial:
        (partial / "other").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["other"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
