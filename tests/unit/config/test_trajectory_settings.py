"""Settings of own trajectories: presets, files by pattern and folder, hub data sets."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from glow.cli import _parser
from glow.config import PRESETS, Fields, ImportSettings, OwnTrajectories
from glow.config.options import flags, section_from
from glow.experiment import load

ROOT = Path(__file__).resolve().parents[3]
HUB = {"hub_dataset": "org/name", "revision": "0" * 40}


def own(**settings: Any) -> OwnTrajectories:
    return OwnTrajectories.model_validate(settings)


def imported(words: str) -> ImportSettings:
    """The settings of a command."""
    arguments = _parser().parse_args(["import", "--output", "x", *shlex.split(words)])
    return section_from(arguments, ImportSettings)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_mapping(name: str) -> None:
    preset = PRESETS[name]
    settings = ImportSettings.model_validate({"preset": name})
    assert {key: getattr(settings.fields, key) for key in preset.fields} == dict(preset.fields)
    assert preset.card.startswith("https://")
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in page
    assert f"({preset.card})" in page


def test_what_is_given_comes_before_the_preset(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    found = own(files=[tmp_path / "rows.jsonl"], preset="openr1", fields={"question": "q", "label": None})
    assert (found.fields.question, found.fields.response, found.fields.label) == ("q", "generations", None)
    assert own(**HUB, preset="numina", gold="whole").gold == "whole"
    assert own(**HUB, preset="numina").gold == "boxed"
    assert imported("--preset openr1 --question question").fields.question == "question"
    assert imported("--preset openr1").fields.question == "problem"
    assert imported("").fields == Fields()


def test_the_job_is_told_what_the_preset_says(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "config" / "own_data.yaml").read_text())
    (tmp_path / "rows.jsonl").write_text("")
    document["trajectories"] = {
        "files": [str(tmp_path / "rows.jsonl")],
        "preset": "s1k",
        "fields": {"label": None},
    }
    document["suites"] = {"gsm8k": {}}
    settings = load(document, "own.yaml").importing
    assert settings.preset is None
    assert (settings.fields.label, settings.fields.reasoning) == (None, "deepseek_thinking_trajectory")
    assert imported(flags(settings)) == settings


def test_the_preset_of_a_data_set_knows_its_configuration_and_split() -> None:
    thoughts = own(preset="openthoughts", hub_dataset="open-thoughts/OpenThoughts-114k", revision="0" * 40)
    assert (thoughts.hub_config, thoughts.hub_split, thoughts.reads_hub) == ("metadata", "train", True)
    other = own(preset="openthoughts", **HUB, hub_split="test")
    assert (other.hub_config, other.hub_split) == (None, "test")


def test_without_new_settings_nothing_is_made_again() -> None:
    """What decides the rows is what it was before there were more settings."""
    assert set(ImportSettings().decisive()) == {"fields", "limit", "grpo"}
    assert set(ImportSettings().decisive()["fields"]) == {
        "question", "answer", "response", "label", "finish_reason", "id", "generator", "answer_type",
        "choices", "stated",
    }  # fmt: skip


def test_patterns_and_folders_are_the_files_that_they_mean(tmp_path: Path) -> None:
    names = ["b.jsonl", "a.jsonl.gz", "c.csv", "sub/d.parquet", "sub/.e.jsonl", "_f.json", "g.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    def files(*places: str) -> list[str]:
        return [
            str(file.relative_to(tmp_path)) for file in own(files=[tmp_path / one for one in places]).files
        ]

    assert files("*.jsonl*") == ["a.jsonl.gz", "b.jsonl"]
    assert files("b.jsonl", "*.jsonl", "g.txt") == ["b.jsonl", "g.txt"]
    assert files("") == ["a.jsonl.gz", "b.jsonl", "c.csv", "sub/d.parquet"]
    assert files("**/*.parquet") == ["sub/d.parquet"]
    (tmp_path / "x[1].jsonl").write_text("")
    assert files("x[1].jsonl") == ["x[1].jsonl"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"files": ["none/*.jsonl"]}, "no file fits this pattern in "),
        ({"files": ["none.jsonl"]}, "no such file"),
        ({"files": ["docs"]}, "a folder without a file of rows; their names end in .jsonl, .json"),
        ({}, "give files, or a hub_dataset with its revision"),
        ({"files": ["examples/trajectories.jsonl"], **HUB}, "one of the two"),
        ({"hub_dataset": "org/name"}, "hub_dataset and revision .* go together"),
        ({"files": ["examples/trajectories.jsonl"], "hub_split": "x"}, "hub_split belongs to a hub data set"),
        ({**HUB, "preset": "openr2"}, "preset: 'openr2' is unknown; did you mean 'openr1'"),
        ({**HUB, "label_threshold": 0.5}, "label_threshold needs fields.label"),
        (
            {**HUB, "fields": {"choices": "c", "choice_columns": ["A"]}},
            "choices and choice_columns are two ways to say the same",
        ),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValidationError, match=message):
        own(**settings)
