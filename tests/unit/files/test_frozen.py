"""What a run freezes, and what is said when the configuration has changed since."""

import json
import os
from pathlib import Path

import pytest

from glow.errors import UserError
from glow.files.frozen import LAYOUT, changes, freeze, frozen_file, refuse_other_layout

DOCUMENT = {"name": "x", "seeds": [0], "sft": {"epochs": 2, "batch_size": 4}}


def test_what_is_frozen_is_the_document_as_it_was_read(tmp_path: Path) -> None:
    assert changes(tmp_path, DOCUMENT) == ""
    freeze(tmp_path, DOCUMENT)
    assert json.loads(frozen_file(tmp_path).read_text()) == DOCUMENT
    assert changes(tmp_path, DOCUMENT) == ""


def test_a_change_is_named_and_then_frozen(tmp_path: Path) -> None:
    freeze(tmp_path, DOCUMENT)
    changed = DOCUMENT | {"sft": {"epochs": 3, "batch_size": 4}}
    assert changes(tmp_path, changed) == "sft.epochs was 2, is 3"
    freeze(tmp_path, changed)
    assert changes(tmp_path, changed) == ""
    assert changes(tmp_path, DOCUMENT) == "sft.epochs was 3, is 2"


def test_freezing_the_same_again_leaves_the_file_as_old_as_it_was(tmp_path: Path) -> None:
    freeze(tmp_path, DOCUMENT)
    os.utime(frozen_file(tmp_path), (1, 1))
    freeze(tmp_path, dict(reversed(DOCUMENT.items())))
    assert frozen_file(tmp_path).stat().st_mtime == 1


# --- the layout of results ------------------------------------------------------------------------


def test_results_of_this_version_are_known_by_the_mark_beside_what_is_frozen(tmp_path: Path) -> None:
    refuse_other_layout(tmp_path / "none yet")
    (tmp_path / "logs").mkdir()
    refuse_other_layout(tmp_path)
    freeze(tmp_path, DOCUMENT)
    (tmp_path / "sft").mkdir()
    refuse_other_layout(tmp_path)
    assert (tmp_path / "layout").read_text() == f"{LAYOUT}\n"


@pytest.mark.parametrize("stage", ["models", "trajectories", "sft", "tables"])
def test_results_without_a_mark_are_of_an_older_version(tmp_path: Path, stage: str) -> None:
    (tmp_path / stage).mkdir()
    with pytest.raises(UserError, match=r"without a mark of their layout .*; they stay as they are\. Choose"):
        refuse_other_layout(tmp_path)


def test_results_with_another_mark_are_refused_and_an_empty_folder_takes_this_one(tmp_path: Path) -> None:
    (tmp_path / "layout").write_text("1\n")
    (tmp_path / "sft").mkdir()
    with pytest.raises(UserError, match=f"in layout '1' .this version: {LAYOUT}."):
        refuse_other_layout(tmp_path)
    (tmp_path / "sft").rmdir()
    freeze(tmp_path, DOCUMENT)
    (tmp_path / "sft").mkdir()
    refuse_other_layout(tmp_path)
