"""GRPO on several processes: the same prompts, rollouts and loss as one process has."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from grpo_runs import resumed_from, weights

from glow.files.jsonl import read_jsonl

TOLERANCE = 1e-6


def run(
    problems: Path,
    model: Path,
    output: Path,
    processes: int,
    *,
    kill_at: int | None = None,
    **hardware: Any,
) -> None:
    script = Path(__file__).with_name("grpo_process.py")
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    killed = [str(kill_at)] if kill_at is not None else []
    words = [str(problems), str(model), str(output), json.dumps(hardware), *killed]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*start, str(script), *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    assert (ended.returncode != 0) == bool(killed), ended.stderr[-3000:]


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
    assert len(rows) == len(expected) == 4
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


@pytest.mark.parametrize(
    ("sharding", "before", "after"),
    [
        ("ddp", 2, 1),
        ("fsdp2", 2, 4),
        pytest.param("zero3", 2, 1, marks=pytest.mark.extra("deepspeed")),
    ],
)
def test_a_killed_run_goes_on_with_another_number_of_processes(
    tiny_model: Path, tmp_path: Path, one: Path, sharding: str, before: int, after: int
) -> None:
    problems, output = one / "problems.jsonl", tmp_path / "run"
    run(problems, tiny_model, output, before, sharding=sharding, kill_at=3)
    assert not (output / "model").exists()
    run(problems, tiny_model, output, after, sharding=sharding)
    assert resumed_from(output) == "checkpoint-2"
    rows = list(read_jsonl(output / "log.jsonl"))
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    if sharding != "ddp":
        return
    ended, single = weights(output), weights(one / "run")
    assert max((ended[name] - single[name]).abs().max().item() for name in single) < TOLERANCE
