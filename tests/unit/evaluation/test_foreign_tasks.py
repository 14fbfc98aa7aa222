"""Whoever runs task files of others is told whose code that runs."""

from pathlib import Path

import pytest

from glow.evaluation.foreign_tasks import code_of_tasks

OURS = Path("/nowhere/glow/suites")


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "a.yaml").write_text("task: a\nprocess_docs: !function utils.process\n# !function old.one\n")
    (folder / "_template_yaml").write_text("process_results: !function more.judge\n")
    (folder / "plain.yaml").write_text("task: plain\n")
    return folder


@pytest.mark.parametrize("form", ["--include_path {}", "--include_path={}", "--tasks {}/a.yaml,arc"])
def test_code_of_task_files_is_named(tasks: Path, form: str) -> None:
    arguments = ["run", "--model", "glow", *form.format(tasks).split()]
    (said,) = code_of_tasks(arguments, OURS)
    assert f"runs {'' if 'a.yaml' in form else str(tasks / 'more.py') + ', '}{tasks / 'utils.py'}," in said
    assert said.endswith("which its task files name (!function): read it first")


def test_nothing_is_said_of_ours_nor_of_files_without_code(tasks: Path) -> None:
    assert code_of_tasks(["run", "--include_path", str(tasks)], tasks) == []
    assert code_of_tasks(["run", "--tasks", str(tasks / "plain.yaml"), "--limit", "5"], OURS) == []
    assert code_of_tasks(["run", "--tasks", "gsm8k"], OURS) == []
