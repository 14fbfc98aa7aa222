"""Where a training is started: here, in several processes, on several nodes; and what comes back of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from test_sft import trajectories

from glow.config import TrainingHardware
from glow.errors import UserError
from glow.training.launch import is_launched, is_worker, launch

SETTINGS = [
    *("--seed", "0", "--objective", "glow", "--epochs", "2", "--batch-size", "8", "--learning-rate", "1e-4"),
    *("--max-length", "128", "--precision", "fp32", "--no-gradient-checkpointing", "--checkpoints", "0"),
]

SRUN = """#!/bin/sh
# Two "nodes" on this machine: the same words twice, as srun would start them.
test "$1 $2" = "--nodes=2 --ntasks=2" || exit 64
while case "$1" in --*) true;; *) false;; esac; do shift; done
SLURM_NODEID=1 "$@" & other=$!
SLURM_NODEID=0 "$@"; first=$?
wait $other; second=$?
exit $(( first > second ? first : second ))
"""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of a launch, and no SLURM job."""
    for name in ("RANK", "WORLD_SIZE", "SLURM_JOB_ID", "GLOW_LAUNCHED", "GLOW_LAUNCH_AT"):
        monkeypatch.delenv(name, raising=False)


def sft(
    data: Path, model: Path, output: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    words = ["--data", str(data), "--all", str(data), "--model", str(model), "--output", str(output)]
    return subprocess.run(
        [sys.executable, "-m", "glow.cli", "sft", *words, *SETTINGS, *options],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )


def test_one_device_is_this_process(alone: None) -> None:
    assert launch(["sft"], TrainingHardware()) is None
    assert not is_launched()


def test_a_process_of_torchrun_trains(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever started it: its own torchrun may have other numbers than the options say."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert is_worker()
    assert launch(["sft"], TrainingHardware(devices=2)) is None


def test_several_nodes_want_a_slurm_job(alone: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    two = TrainingHardware(nodes=2, devices=4)
    with pytest.raises(
        UserError, match=r"--nodes 2: this is no SLURM job.*torchrun --nnodes 2 --nproc-per-node 4"
    ):
        launch(["sft"], two)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="srun: not found"):
        launch(["sft"], two)


def test_a_mistake_of_the_user_comes_back_once_and_as_such(
    alone: None, tiny_model: Path, tmp_path: Path
) -> None:
    data = trajectories(tmp_path / "data.jsonl", 10)
    failed = sft(data, tiny_model, tmp_path / "run", "--devices", "2", "--batch-size", "7")
    assert failed.returncode == 2
    assert (
        failed.stderr.count(
            "sft.batch_size: 7 examples a step cannot be dealt evenly to 2 devices; use 6 or 8"
        )
        == 1
    )
    assert "Traceback" not in failed.stderr


LINGERING = """
import os, sys, time
from pathlib import Path
from glow.training import launch

told = launch._told(Path(os.environ["GLOW_LAUNCHED"]))
if os.environ["LOCAL_RANK"] == "0":
    print("a mistake", file=sys.stderr, flush=True)
    launch.note_told()
    time.sleep(200)
while not told.exists():
    time.sleep(0.05)
sys.exit("a mistake")
"""

LAUNCHING = """
import sys
from glow.config import TrainingHardware
from glow.training import launch

launch._command = lambda: [sys.executable, sys.argv[1]]
sys.exit(launch.launch([], TrainingHardware(devices=2)))
"""


def test_a_process_that_has_told_and_is_killed_before_it_ends_is_not_repeated(
    alone: None, tmp_path: Path
) -> None:
    """Nor is the other one's exit code lost: on a loaded machine the first may take long to end."""
    (tmp_path / "worker.py").write_text(LINGERING)
    failed = subprocess.run(
        [sys.executable, "-c", LAUNCHING, str(tmp_path / "worker.py")],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (failed.returncode, failed.stderr.count("a mistake")) == (1, 1), failed.stderr[-2000:]


def test_two_nodes_train_as_one_process_does(alone: None, tiny_model: Path, tmp_path: Path) -> None:
    data = trajectories(tmp_path / "data.jsonl", 22)
    fake = tmp_path / "bin" / "srun"
    fake.parent.mkdir()
    fake.write_text(SRUN)
    fake.chmod(0o755)
    one = sft(data, tiny_model, tmp_path / "one")
    assert one.returncode == 0, one.stderr[-2000:]
    path = f"{fake.parent}:{os.environ['PATH']}"
    two = sft(data, tiny_model, tmp_path / "two", "--nodes", "2", PATH=path, SLURM_JOB_ID="7")
    assert two.returncode == 0, two.stderr[-2000:]
    weights, expected = (load_file(tmp_path / run / "model/model.safetensors") for run in ("two", "one"))
    assert weights.keys() == expected.keys()
    assert max((weights[name] - expected[name]).abs().max().item() for name in expected) < 1e-6
    history, single = (pd.read_parquet(tmp_path / run / "history.parquet") for run in ("two", "one"))
    pd.testing.assert_frame_equal(history, single, rtol=1e-4, atol=1e-6)


def test_ctrl_c_ends_all_processes_of_a_training_in_one_line(tiny_model: Path, tmp_path: Path) -> None:
    data, output = trajectories(tmp_path / "arm.jsonl", 16), tmp_path / "out"
    words = ["--data", str(data), "--all", str(data), "--model", str(tiny_model), "--output", str(output)]
    options = [*SETTINGS, "--epochs", "1000", "--devices", "2"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "glow.cli", "sft", *words, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while "SFT:" not in (tmp_path / "log").read_text():
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 130
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    assert said.count("interrupted") == 1
    assert said.endswith("glow sft: interrupted; run it again to go on\n")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # none is left
