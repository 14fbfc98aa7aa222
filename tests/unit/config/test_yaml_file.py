"""yaml_file: what YAML would take for something else in silence is a mistake with its line."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from glow.config.yaml_file import read_yaml
from glow.errors import UserError


def document(folder: Path, content: str | bytes) -> Any:
    file = folder / "own.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(file)


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        document(folder, content)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) - len(str(folder)) < 250
    return said.removeprefix(f"{folder / 'own.yaml'}:")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", None),
        (b"# nothing but a remark\n", None),
        (b"\xef\xbb\xbfname: a\n", {"name": "a"}),
        (b"name: a\r\nseeds:\r\n- 0\r\n", {"name": "a", "seeds": [0]}),
        (b'{"name": "a", "on": "yes", "rate": 1.0e-3}', {"name": "a", "on": "yes", "rate": 0.001}),
        (b"a: &x {p: 1}\nb: {<<: *x, q: 2}\nc: *x\n", {"a": {"p": 1}, "b": {"p": 1, "q": 2}, "c": {"p": 1}}),
        (b"a: &x {p: 1}\nb: {<<: *x, p: 3}\n", {"a": {"p": 1}, "b": {"p": 3}}),
        (
            b"a: 0\nb: 0x10\nc: -7\nd: '010'\ne: '1:30'\nf: 0.5\n",
            {"a": 0, "b": 16, "c": -7, "d": "010", "e": "1:30", "f": 0.5},
        ),
        (b"'no': 1\n'2': x\n", {"no": 1, "2": "x"}),
        ("name: Größe 名 😀\n".encode(), {"name": "Größe 名 😀"}),
    ],
)
def test_what_says_what_it_looks_like_is_read(tmp_path: Path, content: bytes, found: Any) -> None:
    assert document(tmp_path, content) == found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "3: the key 'a' is in line 1 already; remove one of the two"),
        ("a:\n  b: 1\n  c: 2\n  'b': 3\n", "4: the key 'b' is in line 2 already; remove one of the two"),
        ("a: {b: 1, b: 2}\n", "1: the key 'b' is in line 1 already; remove one of the two"),
        ("seeds: [010]\n", "1: 010: a number that begins with 0 is octal; write it without the 0"),
        ("a: 1\ntime: 1:30\n", "2: 1:30: sixties are counted where numbers have colons; write it in quotes"),
        ("a: 1\nno: 2\n", "2: the key no is no text to YAML; write it in quotes: 'no'"),
        ("a: {2: x}\n", "1: the key 2 is no text to YAML; write it in quotes: '2'"),
        ("~: 1\n", "1: the key ~ is no text to YAML"),
        ("2026-01-01: 1\n", "1: the key 2026-01-01 is no text to YAML; write it in quotes: '2026-01-01'"),
        ("? [a, b]\n: 1\n", "1: the key a list or a mapping is no text to YAML"),
        ("a: .inf\n", "1: .inf: a finite number is wanted; change it"),
        ("a: 1\nb: [.NaN]\n", "2: .NaN: a finite number is wanted; change it"),
        ("a: -1.0e+400\n", "1: -1.0e+400: a finite number is wanted; change it"),
        ("a: 2026-13-45\n", "1: 2026-13-45: no date can be made of it; change it"),
        (f"a: {'9' * 5000}\n", f"1: {'9' * 56}...: no whole number can be made of it; change it"),
        ("a: !!int two\n", "1: two: no whole number can be made of it; change it"),
        ("a: &x [1, *x]\n", "1: a value within itself, by its anchor; remove the alias"),
        ('a: 1\nb: "\\ud800"\n', "2: half a character (a lone surrogate, \\ud800 to \\udfff); remove it"),
        ("a: 1\n\tb: 2\n", "2: not valid YAML: a tab where spaces are wanted; indent with spaces"),
        ("name: a\nseeds: [0\nsft: {}\n", "3: not valid YAML: expected ',' or ']', but got"),
        ("a: b: c\n", "1: not valid YAML: mapping values are not allowed here"),
        (
            "a: 'open\n",
            "2: not valid YAML: found unexpected end of stream (while scanning a quoted scalar that",
        ),
        ("a: *none\n", "1: not valid YAML: found undefined alias 'none'"),
        (
            "a: !!python/object/apply:os.system [true]\n",
            "1: not valid YAML: could not determine a constructor",
        ),
        ("a: 1\n---\nb: 2\n", "2: not valid YAML: but found another document"),
        (b"a: 1\nb: \x00\n", "2: not valid YAML: the character '\\x00'; remove it"),
        (b"a: 1\nb: caf\xe9\n", "2: not valid YAML: not UTF-8 text; save it as UTF-8"),
        ("name: a\n".encode("utf-16"), "1: not valid YAML: not UTF-8 text; save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00", "1: not valid YAML: not UTF-8 text; save it as UTF-8"),
        ("[" * 500 + "]" * 500, " not valid YAML: lists and mappings are nested too deeply"),
        ("a: " + "[" * 120 + "]" * 120, "1: lists and mappings are nested too deeply"),
    ],
)
def test_what_says_something_else_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    assert refusal(tmp_path, content).startswith(said)


def test_a_few_lines_that_stand_for_billions_of_values_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert refusal(tmp_path, "\n".join(lines)) == (
        "6: its aliases make millions of values of it; write out what is meant"
    )


def test_what_is_no_file_of_settings_is_refused(tmp_path: Path) -> None:
    for path, said in (
        (tmp_path / "none.yaml", "no such configuration file"),
        (tmp_path, "is a folder; name a configuration file"),
    ):
        with pytest.raises(UserError, match=said):
            read_yaml(path)
    assert "is too large for a configuration" in refusal(tmp_path, b"#" * 10_000_001)


KEY = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=8)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | KEY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=12,
)


@given(VALUE)
def test_what_pyyaml_writes_is_read_as_it_reads_it(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert document(tmp_path_factory.getbasetemp(), text) == yaml.safe_load(text)


@given(st.binary(max_size=60) | st.text("ab0:-[]{}&*!?|>'\"#%@\n\t <", max_size=40).map(str.encode))
def test_whatever_a_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    try:
        document(tmp_path_factory.getbasetemp(), content)
    except UserError as error:
        assert "own.yaml" in str(error)
