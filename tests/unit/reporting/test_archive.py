"""questions.json, and the lines of docs/statistics.md that compute a number from questions.parquet."""

import hashlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from fabricated import World, document
from pytest import approx
from test_tables import Sampled

from glow.reporting.tables import write_tables

PAGE = Path(__file__).parents[3] / "docs/statistics.md"


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_archive_is_described(world: World) -> None:
    write_tables(world.results.experiment, world.root)
    said = json.loads((world.results.tables / "questions.json").read_text())
    frame = pd.read_parquet(world.results.tables / said["file"])
    assert said["sha256"] == sha256(world.results.questions_file)
    assert said["rows"] == len(frame) == 24 * 30
    assert list(said["columns"]) == list(frame.columns)
    assert len(said["made_from"]) == 24
    assert all(sha256(world.root / name) == found for name, found in said["made_from"].items())


def test_every_column_has_a_meaning(tmp_path: Path) -> None:
    content = document(seeds=[0], grpo=None, evaluation={"max_tokens": 64, "samples": 4})
    world = Sampled(tmp_path, content).write()
    write_tables(world.results.experiment, world.root)
    columns = json.loads((world.results.tables / "questions.json").read_text())["columns"]
    assert columns["pass@4"] == "unbiased estimate of the chance that at least one of 4 responses is right"
    assert columns["maj@2"] == "chance that the most frequent answer of 2 responses is right"
    assert all(columns.values())


def test_a_number_of_the_main_table_is_computed_as_the_page_says(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len([line for line in block.splitlines() if line]) == 5
    write_tables(world.results.experiment, world.root)
    folder = world.root / "here" / "results"
    folder.mkdir(parents=True)
    (folder / "miniature").symlink_to(world.root)
    monkeypatch.chdir(folder.parent)
    capsys.readouterr()
    exec(block, {})
    main = pd.read_csv(world.results.tables / "main.csv").set_index("arm")
    assert float(capsys.readouterr().out) == approx(main.loc["glow", "ood_mean"])
