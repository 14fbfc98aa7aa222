"""GRPO on several processes: the same prompts, rollouts and loss as one process has."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from grpo_runs import weights

from glow.files.jsonl import read_jsonl

TOLERANCE = 1e-6


def run(problems: Path, model: Path, output: Path, processes: int, **hardware: Any) -> None:
    script = Path(__file__).with_name("grpo_process.py")
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    words = [str(problems), str(model), str(output), json.dumps(hardware)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*start, str(script), *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.fixture(scope="module")
def one(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from grpo_runs import write_problems

    folder = tmp_path_factory.mktemp("one")
    run(write_problems(folder / "problems.jsonl"), tiny_model, folder / "run", 1)
    return folder


@pytest.mark.parametrize(
    ("processes", "hardware"),
    [
        (2, {}),
        (4, {"micro_batch": 1}),
        pytest.param(2, {"sharding": "zero2"}, marks=pytest.mark.extra("deepspeed")),
    ],
    ids=["2", "4 with micro-batches", "2, ZeRO-2"],
)
def test_processes_take_the_steps_of_one(
    tiny_model: Path, tmp_path: Path, one: Path, processes: int, hardware: dict[str, Any]
) -> None:
    """Our rollouts draw by step and place: they are the same. ZeRO's are TRL's, and are recorded only."""
    run(one / "problems.jsonl", tiny_model, tmp_path / "run", processes, **hardware)
    rows, expected = (list(read_jsonl(folder / "run/log.jsonl")) for folder in (tmp_path, one))
    assert len(rows) == len(expected) == 3
    assert any(row["reward_std"] > 0 for row in expected)  # something was to be learnt
    if hardware.get("sharding"):
        return
    for row, other in zip(rows, expected, strict=True):
        assert row["reward"] == other["reward"]
        assert row["completion_length"] == other["completion_length"]
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-6)
        assert row["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
    ended, single = weights(tmp_path / "run"), weights(one / "run")
    assert max((ended[name] - single[name]).abs().max().item() for name in single) < TOLERANCE
