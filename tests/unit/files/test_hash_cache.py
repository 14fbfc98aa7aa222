"""hash_cache: a large file is read once, however often it is hashed; again when it may have changed."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from glow.files import hash_cache
from glow.files.hash_cache import LARGE, file_hash
from glow.files.hashing import hash_path

CONTENT = b"x" * LARGE
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MINUTE_NS = 60 * 10**9


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept hashes, on a clock that is a minute ahead: all files were left alone for long."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    now = hash_cache.time.time_ns
    monkeypatch.setattr(hash_cache.time, "time_ns", lambda: now() + MINUTE_NS)
    return tmp_path / "cache" / "glow" / "hashes"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed."""
    files: list[Path] = []
    hashed: Callable[[Path], str] = hash_cache._hash

    def noted(file: Path) -> str:
        files.append(file)
        return hashed(file)

    monkeypatch.setattr(hash_cache, "_hash", noted)
    return files


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "model" / "model.safetensors"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    return file


def test_a_large_file_is_read_once(cache: Path, large: Path, read: list[Path]) -> None:
    assert [file_hash(large) for _ in range(3)] == [SHA256] * 3
    assert read == [large]
    assert len(list(cache.iterdir())) == 1


def test_it_is_the_same_file_by_another_name(cache: Path, large: Path, read: list[Path]) -> None:
    link = large.parent.parent / "link"
    link.symlink_to(large.parent)
    assert hash_path(large.parent) == hash_path(link)
    assert len(read) == 1


def test_small_files_are_always_read(cache: Path, tmp_path: Path, read: list[Path]) -> None:
    small = tmp_path / "small"
    small.write_bytes(CONTENT[1:])
    assert file_hash(small) == file_hash(small) == hashlib.sha256(CONTENT[1:]).hexdigest()
    assert read == [small, small]
    assert not cache.exists()


def test_a_file_of_another_size_or_time_is_read_again(cache: Path, large: Path, read: list[Path]) -> None:
    file_hash(large)
    large.write_bytes(CONTENT + b"y")
    assert file_hash(large) == hashlib.sha256(CONTENT + b"y").hexdigest()
    os.utime(large, ns=(1, 1))
    file_hash(large)
    assert len(read) == 3


def test_new_content_of_the_same_size_and_time_is_found(cache: Path, large: Path, read: list[Path]) -> None:
    file_hash(large)
    before = large.stat()
    large.write_bytes(b"y" * LARGE)
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))  # but not the time of its entry
    assert file_hash(large) == hashlib.sha256(b"y" * LARGE).hexdigest()


def test_a_file_put_in_its_place_is_read(cache: Path, large: Path, read: list[Path]) -> None:
    file_hash(large)
    other = large.with_name("other")
    shutil.copy2(large, other)
    other.replace(large)
    file_hash(large)
    assert len(read) == 2


def test_a_file_changed_a_moment_ago_is_not_kept(
    cache: Path, large: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = max(large.stat().st_mtime_ns, large.stat().st_ctime_ns)
    for seconds, reads in ((1.999, 1), (1.999, 2), (2, 3), (2, 3)):
        monkeypatch.setattr(hash_cache.time, "time_ns", lambda at=seconds: changed + int(at * 10**9))
        assert file_hash(large) == SHA256
        assert len(read) == reads


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    cache: Path, large: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = hash_cache._hash

    def written_meanwhile(file: Path) -> str:
        found = hashed(file)
        os.utime(file, ns=(5, 5))
        return found

    monkeypatch.setattr(hash_cache, "_hash", written_meanwhile)
    file_hash(large)
    assert not cache.exists()


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"\xff", b"[]", b'{"sha256": "0"}', None], ids=str
)  # None: another hash than that of any file
def test_a_damaged_entry_is_made_again(
    cache: Path, large: Path, read: list[Path], damaged: bytes | None
) -> None:
    file_hash(large)
    (entry,) = cache.iterdir()
    kept = json.loads(entry.read_bytes())
    entry.write_bytes(json.dumps(kept | {"sha256": "short"}).encode() if damaged is None else damaged)
    assert [file_hash(large), file_hash(large)] == [SHA256, SHA256]
    assert len(read) == 2


def test_where_nothing_can_be_kept_files_are_read(
    tmp_path: Path, large: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = hash_cache.time.time_ns
    monkeypatch.setattr(hash_cache.time, "time_ns", lambda: now() + MINUTE_NS)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made in it
    assert [file_hash(large), file_hash(large)] == [SHA256, SHA256]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", no_home)
    assert [file_hash(large), file_hash(large)] == [SHA256, SHA256]
    assert len(read) == 4


def no_home(path: Path) -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_without_a_named_cache_folder_it_is_below_the_home(
    tmp_path: Path, large: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/paths/are/ignored")
    file_hash(large)
    assert len(list((tmp_path / "home" / ".cache" / "glow" / "hashes").iterdir())) == 1
