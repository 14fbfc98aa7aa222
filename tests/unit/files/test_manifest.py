"""manifest: a manifest beside every output, which says where a number comes from."""

import json
from pathlib import Path

import pytest

from glow.files.hashing import digest, hash_path
from glow.files.manifest import Manifest, described, manifest_path


def test_where_manifests_stand(tmp_path: Path) -> None:
    assert manifest_path(tmp_path) == tmp_path / "manifest.json"
    assert manifest_path(tmp_path / "rows.jsonl.gz") == tmp_path / "rows.jsonl.gz.manifest.json"


def test_what_a_manifest_describes_is_found_back(tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "rows.jsonl.gz"):
        assert described(manifest_path(output)) == output


def test_a_manifest_says_where_a_number_comes_from(tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("abc")
    output.write_text("made")
    Manifest("stage").write(output, {"seed": 3}, [source], {"rows": 7}, device="cuda")
    written = json.loads((tmp_path / "out.txt.manifest.json").read_text())
    assert written["stage"] == "stage"
    assert written["settings"] == {"seed": 3}
    assert written["settings_sha256"] == digest({"seed": 3})
    assert written["inputs"] == {str(source): hash_path(source)}
    assert written["facts"] == {"rows": 7}
    assert written["device"] == "cuda"
    assert written["packages"]["torch"]
    assert written["wall_s"] >= 0
    assert written["started"] <= written["finished"]


def test_a_missing_input_is_no_manifest(tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    output.write_text("made")
    with pytest.raises(FileNotFoundError):
        Manifest("stage").write(output, {}, [tmp_path / "none"])
    assert not manifest_path(output).exists()
