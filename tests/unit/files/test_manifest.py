"""manifest: a manifest beside every output, which says where a number comes from."""

import json
import subprocess
import sys
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


def test_a_manifest_counts_what_the_process_and_its_children_used(tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    output.write_text("made")
    child = "import time; kept = b'x' * 2**28\nwhile time.process_time() < 0.5: pass"
    parent = (
        "import subprocess, sys; from pathlib import Path; from glow.files.manifest import Manifest\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)\n"
        f"Manifest('stage').write(Path({str(output)!r}), {{}}, [])"
    )
    # From a shell: a process starts out with the peak memory of the one that it was forked from.
    subprocess.run(["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, parent], check=True)
    written = json.loads((tmp_path / "out.txt.manifest.json").read_text())
    assert 0.5 < written["cpu_s"] < 30
    assert 256 < written["max_rss_mb"] < 512


def test_a_missing_input_is_no_manifest(tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    output.write_text("made")
    with pytest.raises(FileNotFoundError):
        Manifest("stage").write(output, {}, [tmp_path / "none"])
    assert not manifest_path(output).exists()
