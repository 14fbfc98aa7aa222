"""GRPO on several processes: the same prompts, loss and gradients as one process has, and the same run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from grpo_runs import resumed_from, weights, write_problems
from safetensors.torch import load_file

from glow.files.jsonl import read_jsonl

TOLERANCE = 1e-6

ZERO = pytest.mark.extra("deepspeed")


def run(
    folder: Path, model: Path, output: Path, processes: int, changes: dict[str, Any], **hardware: Any
) -> None:
    """A run on the problems of `folder`; `changes` as grpo_process.py has them."""
    script = Path(__file__).with_name("grpo_process.py")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    words = [
        str(folder / "problems.jsonl"),
        str(model),
        str(output),
        json.dumps(hardware),
        json.dumps(changes),
    ]
    ended = subprocess.run(
        [*start, str(script), *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
        check=False,
    )
    assert (ended.returncode != 0) == ("kill_at" in changes), ended.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process: `own` with our rollouts, `given` with those that come from no model."""
    made = tmp_path_factory.mktemp("one")
    write_problems(made / "problems.jsonl")
    run(made, tiny_model, made / "own", 1, {})
    run(made, tiny_model, made / "given", 1, {"given": True})
    return made


def assert_same_run(output: Path, one: Path) -> None:
    rows, expected = (list(read_jsonl(run / "log.jsonl")) for run in (output, one))
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert any(row["reward_std"] > 0 for row in expected)  # something was to be learnt
    for row, other in zip(rows, expected, strict=True):
        assert row["reward"] == other["reward"]
        assert row["completion_length"] == other["completion_length"]
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-6)
        assert row["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
    ended, single = weights(output), weights(one)
    assert max((ended[name] - single[name]).abs().max().item() for name in single) < TOLERANCE


@pytest.mark.parametrize(
    ("rollouts", "processes", "hardware"),
    [
        ("own", 2, {}),  # they are drawn by step and place
        ("own", 4, {"micro_batch": 1}),
        ("given", 2, {"sharding": "fsdp2"}),
        pytest.param("given", 2, {"sharding": "zero2", "micro_batch": 2}, marks=ZERO),
        pytest.param("given", 2, {"sharding": "zero3"}, marks=ZERO),
    ],
)
def test_processes_take_the_steps_of_one(
    tiny_model: Path, tmp_path: Path, folder: Path, rollouts: str, processes: int, hardware: dict[str, Any]
) -> None:
    run(folder, tiny_model, tmp_path / "run", processes, {"given": rollouts == "given"}, **hardware)
    assert_same_run(tmp_path / "run", folder / rollouts)


@pytest.mark.parametrize(
    ("rollouts", "sharding", "before", "after"),
    [
        ("own", "ddp", 2, 1),
        ("given", "fsdp2", 2, 4),
        pytest.param("given", "zero3", 2, 1, marks=ZERO),
    ],
)
def test_a_killed_run_goes_on_with_another_number_of_processes(
    tiny_model: Path, tmp_path: Path, folder: Path, rollouts: str, sharding: str, before: int, after: int
) -> None:
    output, changes = tmp_path / "run", {"given": rollouts == "given"}
    run(folder, tiny_model, output, before, changes | {"kill_at": 3}, sharding=sharding)
    assert not (output / "model").exists()
    run(folder, tiny_model, output, after, changes, sharding=sharding)
    assert resumed_from(output) == "checkpoint-2"
    assert_same_run(output, folder / rollouts)


@pytest.mark.parametrize("sharding", ["fsdp2", pytest.param("zero2", marks=ZERO)])
def test_adapters_that_are_trained_on_beside_their_reference_survive_a_kill(
    tiny_model: Path, tmp_path: Path, folder: Path, sharding: str
) -> None:
    changes = {"given": True, "grpo": {"lora": {"rank": 4}, "learning_rate": 1e-3}}
    run(folder, tiny_model, tmp_path / "first", 1, changes)
    adapter = tmp_path / "first/model"
    changes["grpo"] |= {"kl": 0.1}
    run(folder, adapter, tmp_path / "one", 1, changes)
    run(folder, adapter, tmp_path / "run", 2, changes | {"kill_at": 3}, sharding=sharding)
    run(folder, adapter, tmp_path / "run", 2, changes, sharding=sharding)
    assert resumed_from(tmp_path / "run") == "checkpoint-2"
    first, one, ended = (
        load_file(tmp_path / name / "model/adapter_model.safetensors") for name in ("first", "one", "run")
    )
    assert max((one[name] - first[name]).abs().max().item() for name in one) > 1e-3  # they moved
    assert max((one[name] - ended[name]).abs().max().item() for name in one) < 1e-5


@pytest.mark.parametrize("sharding", ["fsdp2", pytest.param("zero2", marks=ZERO)])
def test_rollouts_of_a_sharded_model_are_those_of_the_library(
    tiny_model: Path, tmp_path: Path, folder: Path, sharding: str
) -> None:
    """They draw from each process's random state: recorded, and not promised."""
    run(folder, tiny_model, tmp_path / "run", 2, {}, sharding=sharding)
    lengths = [row["completion_length"] for row in read_jsonl(tmp_path / "run/log.jsonl")]
    assert len(lengths) == 4
    assert all(1 <= length <= 12 for length in lengths)
