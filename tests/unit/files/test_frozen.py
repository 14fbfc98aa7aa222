"""What a run freezes, and what is said when the configuration has changed since."""

import json
import os
from pathlib import Path

from glow.files.frozen import changes, freeze, frozen_file

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
