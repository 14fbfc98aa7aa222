"""hashing: hashes that depend on content alone, and orders drawn by them."""

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from glow.files.hashing import digest, hash_path, keyed_order

NAMES = st.lists(st.text(max_size=8), unique=True, max_size=12)


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


def test_a_keyed_order_by_hand() -> None:
    # SHA-256 of ["draw", 3, "a"] begins with the digits below; the least comes first.
    hashes = {name: hashlib.sha256(f'["draw", 3, "{name}"]'.encode()).hexdigest() for name in "abcd"}
    assert keyed_order("abcd", str, "draw", 3) == sorted("abcd", key=hashes.__getitem__)


@given(names=NAMES, seed=st.integers(0, 9))
def test_an_order_depends_on_the_salt_and_each_name_alone(names: list[str], seed: int) -> None:
    order = keyed_order(names, str, seed)
    assert sorted(order) == sorted(names)
    assert keyed_order(names[::-1], str, seed) == order
    assert keyed_order(names[1:], str, seed) == [name for name in order if name in names[1:]]
