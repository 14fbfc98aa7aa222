"""The rooms of the package: each imports only rooms below it, at the top of its files."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "glow"

ORDER = (
    *("errors", "files", "config", "verifier", "models", "miniature", "data", "suites", "training"),
    *("evaluation", "planning", "reporting", "experiment", "commands", "cli"),
)
"""From low to high. `experiment` looks up the names of the rooms before it, so it stands above them."""

LATE = {
    "commands/stage.py": "a stage is imported when it runs: `glow --help` loads no deep-learning library",
    "__init__.py": "the trainer is imported when it is first asked for, for the same reason",
    "config/consistency.py": "the experiment, which asks it, is named in its annotations alone",
    "training/objectives.py": "the names of objectives are read where torch must not be loaded",
}
"""The files that may import a room inside a function, and why."""


class Import(NamedTuple):
    """An import of one of the package's rooms."""

    file: str
    line: int
    room: str
    at_top: bool


def imports(file: Path) -> Iterator[Import]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    name = str(file.relative_to(PACKAGE))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import"
            modules = [node.module or ""]
            if node.module == "glow":
                modules = [f"glow.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            if module.startswith("glow."):
                yield Import(name, node.lineno, module.split(".")[1], id(node) in top)


FILES = sorted(PACKAGE.rglob("*.py"))
ALL = [found for file in FILES if file != PACKAGE / "__init__.py" for found in imports(file)]


def test_there_are_twelve_rooms_and_few_files_beside_them() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert rooms | {"errors", "experiment", "cli"} == set(ORDER)
    assert len(rooms) == 12
    assert files == {"__init__.py", "cli.py", "errors.py", "experiment.py", "py.typed"}


def test_a_room_imports_only_rooms_below_it() -> None:
    assert len(ALL) > 300
    upward = [
        found
        for found in ALL
        if ORDER.index(found.room) > ORDER.index(found.file.split("/")[0].removesuffix(".py"))
    ]
    assert upward == []


def test_rooms_are_imported_at_the_top_of_a_file() -> None:
    hidden = {found.file for found in ALL if not found.at_top}
    assert hidden <= LATE.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_long_file_says_why(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if len(text.splitlines()) > 450:
        assert "Long because" in (ast.get_docstring(ast.parse(text)) or "")


@pytest.mark.parametrize("module", ["glow.config", "glow.experiment"])
def test_a_configuration_is_loaded_without_torch(module: str) -> None:
    tiny = Path(__file__).parents[1] / "workflow" / "tiny.yaml"
    code = (
        "import sys, yaml\n"
        f"from {module} import load\n"
        f"load(yaml.safe_load(open({str(tiny)!r})), 'tiny.yaml')\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pandas', 'datasets'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
