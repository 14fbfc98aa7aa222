"""Each process sees as many GPUs as it was given, and not those of another stage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glow.errors import UserError
from glow.models import devices
from glow.models.devices import claim

CLAIM = """
import os, sys
from glow.models.devices import claim
claim(int(sys.argv[1]), "--devices")
print(os.environ.get("CUDA_VISIBLE_DEVICES", "unset"), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi tells of three GPUs, on which no stage runs yet."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(devices.tempfile, "tempdir", None)
    monkeypatch.setattr(devices, "_claimed", [])
    # What `claim` sets, the test's end takes back.
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


def start(number: int) -> subprocess.Popen[str]:
    """Another stage, which claims GPUs and holds them until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_stages_side_by_side_get_different_gpus() -> None:
    first = start(1)
    assert first.stdout is not None
    assert first.stdout.readline() == "0\n"
    claim(2, "--devices")
    assert os.environ.pop("CUDA_VISIBLE_DEVICES") == "1,2"
    late = start(1)  # all are taken: it shares one
    assert late.communicate("")[0] == "0\n"
    first.communicate("")


def test_a_gpu_is_free_again_when_its_stage_has_ended() -> None:
    start(2).communicate("")
    claim(1, "--devices")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(("given", "number"), [("5", 1), ("4,7", 2), ("", 1)])
def test_what_a_job_was_given_is_left_alone(monkeypatch: pytest.MonkeyPatch, given: str, number: int) -> None:
    """SLURM has set it to the GPUs of the job; it is empty where GPUs are hidden on purpose."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    claim(number, "--devices")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == given


def test_more_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--devices: 4 GPUs are asked for, and 3 can be seen here"):
        claim(4, "--devices")
    monkeypatch.setenv("PATH", "")  # a machine without GPUs trains on its CPUs
    claim(4, "--devices")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
