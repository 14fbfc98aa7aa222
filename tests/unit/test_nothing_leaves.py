"""Nothing leaves the machine unless a stage that fetches was asked to: stages with their sockets closed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from glow.files import network

ROOT = Path(__file__).resolve().parents[2]

CLOSED = """
import os, socket
LOG = os.environ["SOCKETS_LOG"]

def refuse(what):
    with open(LOG, "a") as log:
        print(what, file=log)
    raise OSError(f"closed: {what}")

def here(host):
    return host in (None, "", "localhost") or str(host).startswith(("127.", "::1"))

def guarded(function, host_of):
    def call(*arguments, **further):
        host = host_of(*arguments)
        if not here(host):
            refuse(host)
        return function(*arguments, **further)
    return call

def peer(self, address, *_):
    return address[0] if self.family in (socket.AF_INET, socket.AF_INET6) else None

socket.getaddrinfo = guarded(socket.getaddrinfo, lambda host, *_: host)
socket.gethostbyname = guarded(socket.gethostbyname, lambda host: host)
for name in ("connect", "connect_ex"):
    setattr(socket.socket, name, guarded(getattr(socket.socket, name), peer))
"""
"""Imported by every Python that is started, as sitecustomize: other machines are refused, by any name."""

ALL_IN_ONE = """
import json, sys
from glow.cli import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    assert code == 0, (words, code)
"""


def run_closed(folder: Path, *commands: list[str]) -> str:
    """Run commands of `glow` in one process, one after another; what they asked of the network, by line."""
    (folder / "closed").mkdir()
    (folder / "closed" / "sitecustomize.py").write_text(CLOSED)
    asked = folder / "asked.txt"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment.pop("CI", None)  # TRL would not report from there
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(folder / "closed"), str(ROOT / "src")]),
        "SOCKETS_LOG": str(asked),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", ALL_IN_ONE, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return asked.read_text() if asked.exists() else ""


def test_stages_ask_nothing_of_other_machines(tiny_model: Path, tmp_path: Path) -> None:
    model, rows = str(tiny_model), str(ROOT / "examples" / "trajectories.jsonl")
    small = ["--batch-size", "4"]
    asked = run_closed(
        tmp_path,
        ["import", "--files", rows, "--output", "own.jsonl", "--grpo-output", "own_grpo.jsonl"],
        ["verify", "--input", "own.jsonl", "--output", "verdicts.jsonl"],
        ["arms", "--verdicts", "verdicts.jsonl", "--output", "arms", "--seed", "0"],
        ["sft", "--data", "arms/positive.jsonl", "--all", "arms/all.jsonl", "--model", model,
         "--output", "sft", "--seed", "0", "--epochs", "1", *small, "--precision", "fp32",
         "--checkpoints", "0"],
        ["problems", "--families", "boolean", "--train", "4", "--grpo", "2", "--output", "problems.jsonl",
         "--grpo-output", "grpo.jsonl"],
        ["generate", "--problems", "problems.jsonl", "--model", model, "--output", "sampled.jsonl",
         "--samples", "1", "--max-tokens", "4", *small],
        ["grpo", "--problems", "grpo.jsonl", "--model", model, "--output", "grpo", "--seed", "0",
         "--steps", "1", "--prompts", "2", "--generations", "2", "--max-tokens", "4", "--precision", "fp32",
         "--checkpoints", "0"],
        ["suite", "--name", "boolean", "--families", "boolean", "--problems", "4",
         "--output", "boolean.jsonl"],
        ["evaluate", "--model", "sft/model", "--suites", "boolean.jsonl", "--output", "scores", "--seed", "0",
         "--max-tokens", "4", *small],
    )  # fmt: skip
    assert asked == ""
    assert (tmp_path / "scores" / "scores.json").is_file()


def test_the_sockets_are_closed_in_that_test(tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text("import socket\nsocket.getaddrinfo('huggingface.co', 443)\n")
    (tmp_path / "sitecustomize.py").write_text(CLOSED)
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "ask.py")],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "SOCKETS_LOG": str(tmp_path / "asked.txt")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "closed: huggingface.co" in ran.stderr
    assert (tmp_path / "asked.txt").read_text() == "huggingface.co\n"


def test_the_trainer_as_a_library_reports_to_nobody(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glow import GlowConfig, GlowTrainer

    told: list[object] = []
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *a, **k: told.append((a, k)))
    rows = [{"prompt": "1 + 1 =", "completion": " 2", "trajectory_id": "a"}] * 1
    arguments = GlowConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    GlowTrainer(model=str(tiny_model), args=arguments, train_dataset=Dataset.from_list(rows))
    assert told == []


@pytest.mark.parametrize("may_ask", [False, True])
def test_reports_of_use_are_off_for_all_and_the_hub_for_those_that_do_not_fetch(
    may_ask: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {})
    network.stay_here(may_ask)
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "1"
    assert ("HF_HUB_OFFLINE" in os.environ) is not may_ask
