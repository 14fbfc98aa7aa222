from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from glow.errors import UserError
from glow.reporting.cells import MINUS
from glow.reporting.published import Published, read_published

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "config/reported.yaml"
ENTRY = {"what": "x", "value": 1.0, "unit": "points", "source": "z"}
PAIR = [{**ENTRY, "name": "old", "value": 72.82}, {**ENTRY, "name": "new", "what": "y", "value": 76.47}]
OURS = {"measure": "gain_ood", "arm": "glow"}
OF_SUITE = {"measure": "grpo_accuracy", "arm": "glow"}
DERIVED = {"what": "z", "difference_of": ["new", "old"], "unit": "points", "source": "z"}


def write(path: Path, *entries: dict) -> Path:
    path.write_text(yaml.safe_dump({"published": list(entries)}), encoding="utf-8")
    return path


# --- the shipped file -----------------------------------------------------------------------------


def test_shipped_figures_are_those_that_are_public() -> None:
    """docs/paper.md has no others; 3.65 is 76.47 less 72.82."""
    figures = read_published(SHIPPED)
    assert [figure.value for figure in figures] == [5.51, 15.81, 11.97, 4.11, 35.67, 72.82, 76.47, 3.65, 22]
    assert all("2601.04992" in figure.entry.source for figure in figures)
    by_version = {figure.value: figure.entry.version for figure in figures}
    assert {value for value, version in by_version.items() if version == "first version"} == {
        15.81,
        11.97,
        4.11,
    }
    assert set(by_version.values()) == {"first version", "ACL 2026"}
    (derived,) = (figure for figure in figures if figure.derivation)
    assert (derived.value, derived.derivation, derived.entry.value) == (3.65, f"76.47 {MINUS} 72.82", None)


def test_what_is_not_known_of_shipped_figures_is_left_out() -> None:
    entries = {figure.value: figure.entry for figure in read_published(SHIPPED)}
    on_qwen = {value for value, entry in entries.items() if entry.students}
    assert on_qwen == {5.51, 15.81}
    assert {tuple(entries[value].students) for value in on_qwen} == {("Qwen2.5-7B",)}
    assert {value for value, entry in entries.items() if entry.domain} == {15.81, 11.97, 4.11}
    assert {value for value, entry in entries.items() if entry.arm is None} == {15.81, 35.67, 72.82, 22}
    either = {value for value, entry in entries.items() if entry.unit == "points or relative %"}
    assert either == {5.51, 15.81, 11.97, 4.11}


def test_shipped_figures_of_glow_stand_beside_every_released_alpha_and_clamp_as_a_reading() -> None:
    """Which alpha and clamp they are of is not known; arms are those of config/paper.yaml and its overlay."""
    arms = ["glow", "glow_alpha2", "glow_released", "glow_released_alpha2"]
    for figure in read_published(SHIPPED):
        if figure.value in (5.51, 15.81, 76.47):
            assert [own.arm for own in figure.entry.ours] == arms
            assert len({own.reading for own in figure.entry.ours} - {None}) == len(arms)


def test_the_page_of_the_paper_lists_every_figure_and_the_readme_none() -> None:
    page, readme = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/paper.md", "README.md"))
    for figure in read_published(SHIPPED):
        assert f"| {figure.value:g} " in page
        assert figure.value == 22 or f"{figure.value:g}" not in readme


# --- the form of the file -------------------------------------------------------------------------


def test_a_difference_is_worked_out_in_decimals(tmp_path: Path) -> None:
    figures = read_published(write(tmp_path / "reported.yaml", DERIVED, *PAIR))
    assert figures[0].value == 3.65  # and not 3.6500000000000057
    assert figures[0].derivation == f"76.47 {MINUS} 72.82"
    assert [figure.derivation for figure in figures[1:]] == [None, None]


@given(st.decimals(-999, 999, places=2), st.decimals(-999, 999, places=2))
def test_a_difference_has_no_more_digits_than_what_it_is_of(
    tmp_path_factory: pytest.TempPathFactory, first: float, second: float
) -> None:
    pair = [
        {**ENTRY, "name": name, "what": name, "value": float(value)}
        for name, value in (("first", first), ("second", second))
    ]
    derived = {**DERIVED, "difference_of": ["first", "second"]}
    path = tmp_path_factory.mktemp("derived") / "reported.yaml"
    assert read_published(write(path, *pair, derived))[2].value == round(float(first) - float(second), 2)


def test_what_is_known_of_a_setting_and_what_is_not() -> None:
    known = {"students": ["a", "b"], "domain": "math", "over": "positives"}
    assert Published(**ENTRY, **known).setting == {
        "student": "a, b", "domain": "trained on math", "arm": None, "reference": "over positives",
        "questions": None,
    }  # fmt: skip
    # an accuracy is over nothing, and a count is of no training
    assert "reference" not in Published(**{**ENTRY, "unit": "%"}).setting
    assert Published(**{**ENTRY, "unit": "count"}).setting == {}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{**ENTRY, "sorce": "z"}], r"published\.0\.sorce: "),
        ([{**ENTRY, "value": "many"}], r"published\.0\.value: "),
        ([{**ENTRY, "unit": "per cent"}], r"published\.0\.unit: .*'relative %'"),
        ([{**ENTRY, "value": None}], r"published\.0: give either value or difference_of"),
        ([{**ENTRY, "ours": [{**OURS, "measure": "luck"}]}], r"published\.0\.ours\.0\.measure: "),
        (
            [{**ENTRY, "unit": "%", "ours": [OURS]}],
            r"published\.0: ours\.0\.measure: gain_ood is in points and relative %, and the figure in %; cho",
        ),
        (
            [{**ENTRY, "unit": "count", "otherwise": [OURS]}],
            r"published\.0: otherwise\.0\.measure: gain_ood is in .* and the figure in count; choose",
        ),
        (
            [{**ENTRY, "unit": "%", "ours": [OF_SUITE]}],
            r"published\.0\.ours\.0: suite: add the suite that it is of \(measure grpo_accuracy\)",
        ),
        (
            [{**ENTRY, "ours": [{**OURS, "suite": "mmlu"}]}],
            r"published\.0\.ours\.0: suite: remove it; the measure says it \(measure gain_ood\)",
        ),
        (
            [ENTRY, {**ENTRY, "value": 2.0, "source": "other"}],
            r"published\.1: the same figure and setting as published\.0; remove one of them, or say in what",
        ),
        ([PAIR[0], {**PAIR[1], "name": "old"}], r"published\.1: the same name as published\.0; "),
        (
            [*PAIR, {**DERIVED, "difference_of": ["new", "odl"]}],
            r"published\.2\.difference_of: 'odl' is unknown; did you mean 'old'\?",
        ),
        (
            [PAIR[0], {**PAIR[1], "unit": "%"}, DERIVED],
            r"published\.2\.difference_of: the two have different units",
        ),
        ([], "published: "),
    ],
)
def test_mistakes_name_the_key(tmp_path: Path, entries: list[dict], message: str) -> None:
    path = write(tmp_path / "reported.yaml", *entries)
    with pytest.raises(UserError, match=f"{path}: {message}"):
        read_published(path)


@pytest.mark.parametrize(
    "change",
    [{"what": "w"}, {"version": "2"}, {"students": ["a"]}, {"domain": "math"}, {"arm": "a"}, {"scope": "b"}],
)
def test_figures_of_two_settings_are_no_duplicates(tmp_path: Path, change: dict) -> None:
    assert len(read_published(write(tmp_path / "reported.yaml", ENTRY, {**ENTRY, **change}))) == 2


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: no such configuration file"):
        read_published(tmp_path / "none.yaml")
    no_mapping = tmp_path / "list.yaml"
    no_mapping.write_text("[]")
    with pytest.raises(UserError, match=r"list\.yaml: file: "):
        read_published(no_mapping)
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(UserError, match="not valid YAML"):
        read_published(broken)
