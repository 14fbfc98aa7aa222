"""An objective from outside the package, named in a configuration, from its file to its rows of tables."""

import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from flow import ROOT, planned, snakemake

pytestmark = pytest.mark.slow

ROWS = [
    {"question": f"What is {n} + 1?", "answer": str(n + 1), "response": f"\\boxed{{{n + 1 + n % 2}}}"}
    for n in range(12)
]

STUDY = """
name: own
seeds: [0]
trajectories: {files: [rows.jsonl]}
student: scratch
objectives:
  plain: {objective: plain}
  hard: {objective: "my_objectives.py:hard", threshold: 3.0}
arms:
  positive: {trajectories: positive, objective: plain}
  hard: {trajectories: all, objective: hard}
sft: {epochs: 2, batch_size: 4, precision: fp32, gradient_checkpointing: false, max_length: 64}
suites: {boolean: {families: [boolean], problems: 8}}
evaluation: {max_tokens: 8}
"""


def example() -> str:
    """The file that config/README.md shows."""
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```python\n(# my_objectives.py\n.*?)```", text, re.DOTALL)
    return str(found)


def test_an_objective_of_ones_own_gets_its_rows_and_is_trained_again_when_it_changes(tmp_path: Path) -> None:
    own, file = tmp_path / "my_objectives.py", tmp_path / "own.yaml"
    own.write_text(example())
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    file.write_text(STUDY)
    ended = snakemake(tmp_path, file, "--cores", "2")
    assert ended.returncode == 0, ended.stdout[-5000:]

    results = tmp_path / "results" / "own"
    assert pd.read_csv(results / "tables" / "main.csv")["arm"].tolist() == [
        "chance level", "base", "positive", "hard",
    ]  # fmt: skip
    assert "hard samples only, threshold = 3" in (results / "report.html").read_text()
    run = results / "sft" / "own" / "hard" / "seed-0"
    history = pd.read_parquet(run / "history.parquet")
    assert ((history["loss"] > 3.0) == (history["weight"] == 1.0)).all()
    settings = json.loads((run / "manifest.json").read_text())["settings"]["objective"]
    assert (settings["objective"], settings["threshold"]) == ("my_objectives.py:hard", 3.0)

    assert planned(tmp_path, file) == []
    own.write_text(example().replace("loss >", "loss >="))
    again = Counter(job.rule for job in planned(tmp_path, file))
    assert again == {"sft": 1, "evaluate": 1, "tables": 1, "figures": 1, "report": 1}

    file.write_text(STUDY.replace("threshold", "treshold"))
    ended = snakemake(tmp_path, file, "--cores", "1")
    assert ended.returncode == 2
    assert "objectives.hard.treshold: 'treshold' is unknown; did you mean 'threshold'?" in ended.stdout
    assert "Traceback" not in ended.stdout
