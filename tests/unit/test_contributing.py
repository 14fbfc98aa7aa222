"""CONTRIBUTING.md: its examples are applied to the real files and used, so that they stay true."""

import json
import math
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from test_rooms import ORDER

from glow.config import Experiment, Suite
from glow.errors import UserError
from glow.experiment import load
from glow.suites import tasks
from glow.suites.task_problems import task_problems
from glow.training import objectives
from glow.training.trainer_config import GlowConfig

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TINY = "tests/workflow/tiny.yaml"


def section(title: str) -> str:
    """What stands under a heading."""
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def block(title: str, kind: str, start: str) -> str:
    """The one block of a kind (yaml, diff) under a heading whose first line is `start`."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)
    (found,) = (text for text in blocks if text.startswith(start + "\n"))
    return str(found)


def changed(diff: str, path: str) -> str:
    """The file at `path` with the diff applied; each hunk must fit in exactly one place."""
    head, *hunks = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    assert head == f"--- a/{path}\n+++ b/{path}\n"
    assert hunks
    text = (ROOT / path).read_text(encoding="utf-8")
    for hunk in hunks:
        lines = hunk.splitlines(keepends=True)
        assert {line[0] for line in lines} <= set(" +-\n")
        old = "".join(line[1:] or line for line in lines if line[0] != "+")
        new = "".join(line[1:] or line for line in lines if line[0] != "-")
        assert text.count(old) == 1, f"{path} has no longer one place for:\n{hunk}"
        text = text.replace(old, new)
    return text


def changed_tiny(title: str) -> Experiment:
    """The tests' smallest experiment, changed as the diff under a heading says."""
    diff = block(title, "diff", f"--- a/{TINY}")
    return load(yaml.safe_load(changed(diff, TINY)), TINY)


def test_a_diff_that_fits_nowhere_is_noticed() -> None:
    diff = f"--- a/{TINY}\n+++ b/{TINY}\n@@\n-no such line\n+another\n"
    with pytest.raises(AssertionError, match="no longer one place"):
        changed(diff, TINY)


def test_the_rooms_are_those_of_the_package_in_their_order() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", section("Where things stand"), re.MULTILINE)) == ORDER


def test_the_commands_are_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, re.MULTILINE)
    assert {"setup", "test", "lint"} <= set(named) <= set(targets)


def test_hooks_are_programs_of_the_environment_so_that_nothing_is_downloaded() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    programs = {hook["entry"].split()[0] for hook in hooks}
    assert programs == {f".venv/bin/{name}" for name in ("mypy", "ruff", "snakefmt")}


# --- a suite --------------------------------------------------------------------------------------


@pytest.fixture
def trivia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite's task file in a folder of its own, and two rows; the path of the rows."""
    file = "src/glow/suites/trivia.yaml"
    assert not (ROOT / file).exists(), "an example must not replace a file"
    folder = tmp_path / "suites"
    folder.mkdir()
    shutil.copy(tasks.FOLDER / "_boxed_template_yaml", folder)
    (folder / "trivia.yaml").write_text(block("How to add a suite", "yaml", f"# {file}"), encoding="utf-8")
    monkeypatch.setattr(tasks, "FOLDER", folder)
    rows = tmp_path / "trivia" / "test.jsonl"
    rows.parent.mkdir()
    made: list[dict[str, Any]] = [
        {"question": "Which metal is liquid at 20 degrees?", "answer": "mercury", "topic": "chemistry"},
        {"query": "How many strings has a cello?", "answer": 4},
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return rows


def test_the_suite_is_a_valid_task(trivia: Path) -> None:
    assert tasks.task_names() == ["trivia"]
    task = tasks.read_task("trivia")
    assert (task.suite, task.format, task.needs_file) == ("trivia", "boxed", False)
    assert task.hub is not None
    assert (task.hub.dataset, task.hub.split) == ("example/trivia", "test")
    document = tasks.task_document(tasks.FOLDER / "trivia.yaml")
    assert document["task"] == "glow_trivia"
    assert document["output_type"] == "generate_until"


def test_the_suites_rows_become_problems(trivia: Path) -> None:
    problems, facts = task_problems("trivia", Suite(file=trivia))
    assert [(row["question"], row["answer"], row["family"], row["format"]) for row in problems] == [
        ("Which metal is liquid at 20 degrees?", "mercury", "chemistry", "boxed"),
        ("How many strings has a cello?", "4", None, "boxed"),
    ]
    assert facts["rows"] == 2


def test_a_configuration_may_name_the_suite(trivia: Path) -> None:
    document = yaml.safe_load((ROOT / TINY).read_text(encoding="utf-8"))
    document["domains"]["logic"]["problems"]["disjoint_from"] = ["trivia"]
    experiment = load(document | {"suites": {"trivia": {"file": str(trivia)}}}, TINY)
    assert experiment.suites["trivia"].file == trivia


def test_without_a_hub_data_set_the_suite_wants_a_file(trivia: Path) -> None:
    file = tasks.FOLDER / "trivia.yaml"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("dataset_")]
    file.write_text("\n".join(kept))
    assert tasks.read_task("trivia").needs_file
    with pytest.raises(UserError, match="give its rows with `file`"):
        tasks.located("trivia", Suite())


# --- an objective ---------------------------------------------------------------------------------


@pytest.fixture
def focal(monkeypatch: pytest.MonkeyPatch) -> str:
    """The objective of the example, registered; its name."""
    path = "src/glow/training/objectives.py"
    assert "focal" not in objectives.OBJECTIVES
    source = changed(block("How to add an objective", "diff", f"--- a/{path}"), path)
    module = ModuleType("changed_objectives")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # Dataclasses look their module up there.
    exec(compile(source, path, "exec"), module.__dict__)
    monkeypatch.setitem(objectives.OBJECTIVES, "focal", module.__dict__["OBJECTIVES"]["focal"])
    return "focal"


def test_the_objective_weighs_as_it_says(focal: str, tmp_path: Path) -> None:
    chosen = GlowConfig(str(tmp_path), objective=focal).chosen_objective
    weigh, settings = chosen.entry.sample_weights, chosen.settings
    assert weigh is not None
    assert str(chosen) == "focal SFT, gamma = 2"
    # p = 1, 1/2, 1/4 a token: (1 - p)^2; what went before does not count.
    loss, previous = torch.tensor([0.0, math.log(2), math.log(4)]), torch.tensor([1.0, 0.0, math.nan])
    assert weigh(previous, loss, settings).tolist() == pytest.approx([0.0, 0.25, 0.5625])
    assert torch.equal(weigh(previous[1:2], loss[1:2], settings), weigh(previous, loss, settings)[1:2])


def test_a_configuration_may_name_the_objective(focal: str) -> None:
    document = yaml.safe_load((ROOT / TINY).read_text(encoding="utf-8"))
    added = yaml.safe_load(block("How to add an objective", "yaml", "# an experiment with it"))
    experiment = load(document | added, TINY)
    assert experiment.objectives[experiment.arms["focal"].objective].settings == {"gamma": 1.0}


def test_the_objective_is_unknown_without_the_change(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="objective: 'focal' is unknown"):
        GlowConfig(str(tmp_path), objective="focal")


# --- a model and a domain -------------------------------------------------------------------------


def test_the_model_is_the_student() -> None:
    student = changed_tiny("How to add a model").student
    assert student.pretrain is None
    assert student.hub is not None
    assert student.hub.hub == "Qwen/Qwen2.5-7B"


def test_the_domain_is_trained_on_and_has_a_suite() -> None:
    experiment = changed_tiny("How to add a domain")
    assert experiment.domain_names == ["logic", "symbols"]
    assert {name: suite.domain for name, suite in experiment.suites.items()} == {
        "boolean": "logic",
        "brackets": "symbols",
    }
