"""A training state in shares: what each process holds, and runs that go on with another number of processes.

That a run in shares is the run of one process, test_exactness.py and tests/workflow/test_devices.py show.
"""

import json
from pathlib import Path

import pytest
from glow_runs import RecordingTrainer, relative_difference, run_processes
from safetensors.torch import load_file
from test_exactness import TOLERANCE, assert_same_run
from transformers import AutoModelForCausalLM

from glow.training.history import read_history

ZERO = pytest.mark.extra("deepspeed")


@pytest.mark.parametrize(
    ("shard", "processes", "weights", "gradients", "optimiser"),
    [
        ("ddp", 2, 4, 4, 8),
        ("fsdp2", 2, 4 / 2, 4 / 2, 8 / 2),
        ("fsdp2", 4, 4 / 4, 4 / 4, 8 / 4),
        # The optimiser's own weights besides. Gradients are DeepSpeed's business.
        pytest.param("zero2", 2, 4, 0, 12 / 2, marks=ZERO),
        pytest.param("zero3", 2, 4 / 2, 0, 12 / 2, marks=ZERO),
        pytest.param("zero3", 4, 4 / 4, 0, 12 / 4, marks=ZERO),
    ],
)
def test_what_a_process_holds_falls_with_the_processes(
    tiny_model: Path,
    tmp_path: Path,
    shard: str,
    processes: int,
    weights: float,
    gradients: float,
    optimiser: float,
) -> None:
    """Bytes of a parameter, in float32 with Adam, as docs/cluster.md has them."""
    settings = {"optim": "adamw_torch", "per_device_train_batch_size": 8 // processes, "max_steps": 3}
    run_processes(tiny_model, tmp_path, {**settings, "shard": shard, "weigh": True}, processes)
    parameters = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(tiny_model).parameters())
    for rank in range(processes):
        held = json.loads((tmp_path / f"bytes-{rank}.json").read_text())
        found = [held[part] / parameters for part in ("weights", "gradients", "optimiser")]
        assert found == pytest.approx([weights, gradients, optimiser], rel=0.02)  # shares are padded


@pytest.mark.parametrize(
    ("shard", "before", "after"),
    [
        ("ddp", 2, 4),
        ("fsdp2", 2, 4),
        ("fsdp2", 4, 1),
        pytest.param("zero2", 2, 4, marks=ZERO),
        pytest.param("zero3", 2, 4, marks=ZERO),
        pytest.param("zero3", 4, 1, marks=ZERO),
    ],
)
def test_a_killed_run_goes_on_with_another_number_of_processes(
    tiny_model: Path,
    tmp_path: Path,
    whole_batches: RecordingTrainer,
    shard: str,
    before: int,
    after: int,
) -> None:
    """Killed in the second epoch, past a checkpoint: it ends as the run of one process without a kill."""
    settings = {"shard": shard, "save_strategy": "steps", "save_steps": 7}
    run_processes(
        tiny_model,
        tmp_path,
        {**settings, "per_device_train_batch_size": 8 // before, "kill_at": 9},
        before,
        dies=True,
    )
    run_processes(
        tiny_model,
        tmp_path,
        {**settings, "per_device_train_batch_size": 8 // after, "resume": True},
        after,
    )
    parameters = load_file(tmp_path / "parameters.safetensors")
    expected = {name: whole_batches.model.state_dict()[name] for name in parameters}
    assert relative_difference(parameters, expected) < TOLERANCE
    assert_same_run(read_history(tmp_path / "history"), whole_batches.history())
