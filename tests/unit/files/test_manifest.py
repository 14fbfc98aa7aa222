"""manifest: hashes that depend on content alone, and a manifest beside every output."""

import hashlib
import json
from pathlib import Path

import pytest

from glow.files.hashing import digest, hash_path
from glow.files.manifest import Manifest, manifest_path


def test_equal_settings_have_equal_digests() -> None:
    assert digest({"a": 1, "b": [2.0, None]}) == digest({"b": [2.0, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({}) == hashlib.sha256(b"{}").hexdigest()


def test_a_files_hash_is_its_sha256(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert hash_path(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_directorys_hash_is_of_names_and_contents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.txt").write_text("a")
        (tmp_path / name / "b.txt").write_text("b")
    one, two = tmp_path / "one", tmp_path / "two"
    assert hash_path(one) == hash_path(two)
    (two / "manifest.json").write_text("says when")
    (two / ".snakemake_timestamp").write_text("")
    assert hash_path(one) == hash_path(two)
    (two / "b.txt").rename(two / "c.txt")
    assert hash_path(one) != hash_path(two)


def test_where_manifests_stand(tmp_path: Path) -> None:
    assert manifest_path(tmp_path) == tmp_path / "manifest.json"
    assert manifest_path(tmp_path / "rows.jsonl.gz") == tmp_path / "rows.jsonl.gz.manifest.json"


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
