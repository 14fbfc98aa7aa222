"""Packages that only some settings need: what is missing, and the command that installs it."""

import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from glow import cli
from glow.config.packages import PACKAGES, imported, missing
from glow.errors import UserError
from glow.experiment import load, missing_packages

ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "tests" / "workflow" / "tiny.yaml"


def absent(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def present(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in PACKAGES.values():
        for module in package.modules:
            monkeypatch.setitem(sys.modules, module, SimpleNamespace())


def test_every_extra_that_a_message_names_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {package.extra for package in PACKAGES.values()} - {None} <= project[
        "optional-dependencies"
    ].keys()


def test_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "vllm")
    wanted = (
        "sampling.engine: vLLM is not installed (no module vllm): make setup EXTRAS=vllm, or "
        "pip install -c constraints.txt -e '.[vllm]' (it wants a GPU; without one, choose engine "
        "transformers)"
    )
    assert missing("vLLM", "sampling.engine") == wanted
    with pytest.raises(UserError) as raised:
        imported("vLLM", "sampling.engine")
    assert str(raised.value) == wanted


def test_what_is_there_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "vllm", module)
    assert missing("vLLM", "x") is None
    assert imported("vLLM", "x") is module


def test_what_is_there_and_broken_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vllm.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    with pytest.raises(
        UserError, match=r"vLLM cannot be imported \(No module named 'no_such_library'\): make setup"
    ):
        imported("vLLM", "engine vllm")


ASKED = {
    "sampling": {"engine": "vllm"},
    "evaluation": {"engine": "vllm"},
    "grpo": {"vllm": True},
    "suites": {"gym": {"problems": 4}, "ifeval": {"file": "rows.jsonl"}},
}


def written(folder: Path) -> Path:
    document = yaml.safe_load(TINY.read_text())
    for section, settings in ASKED.items():
        document[section] |= settings
    (folder / "rows.jsonl").write_text("{}\n")
    document["suites"]["ifeval"]["file"] = str(folder / "rows.jsonl")
    (folder / "asks.yaml").write_text(yaml.safe_dump(document))
    return folder / "asks.yaml"


def test_a_configuration_says_all_that_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asking = load(yaml.safe_load(written(tmp_path).read_text()), "asks.yaml")
    plain = load(yaml.safe_load(TINY.read_text()), "tiny.yaml")
    absent(monkeypatch, "vllm", "reasoning_gym", "nltk")
    keys = [line.partition(":")[0] for line in missing_packages(asking)]
    assert keys == ["sampling.engine", "grpo.vllm", "evaluation.engine", "suites.gym", "suites.ifeval"]
    assert missing_packages(plain) == []
    present(monkeypatch)
    assert missing_packages(asking) == []


def test_check_refuses_what_cannot_run_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path)
    present(monkeypatch)
    assert cli.main(["check", str(file)]) == 0
    assert f"{file}: ok: tiny" in capsys.readouterr().out
    absent(monkeypatch, "vllm")
    assert cli.main(["check", str(file)]) == 2
    said = capsys.readouterr()
    assert f"{file}: valid, but it cannot run here: tiny" in said.out
    assert said.err.startswith(
        "glow check: sampling.engine: vLLM is not installed (no module vllm): make setup"
    )
    assert "\nevaluation.engine: vLLM is not installed" in said.err
