"""Training states in shares on one GPU, in bf16, through the command: `pytest -m gpu` where there is one.

One device holds the only share: what is shown is that the paths run on CUDA and NCCL, and end where plain
training ends. Several devices are proven on CPUs (tests/workflow/test_devices.py).
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch
from glow_runs import relative_difference
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from glow.files.jsonl import write_jsonl

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SETTINGS = [
    *("--seed", "0", "--objective", "glow", "--epochs", "3", "--batch-size", "8", "--learning-rate", "1e-3"),
    *("--max-length", "128", "--precision", "bf16", "--checkpoints", "2", "--saved-dtype", "float32"),
]

SHARE_OF_THE_WAY = 0.1
"""bf16 has 8 bits, and Adam takes steps of one size however small a gradient: how far a run may end from
another, relative to how far it went."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    rows = (
        {
            "trajectory_id": f"t-{n}",
            "question": f"{n} plus 1 ?",
            "response": f"\\boxed{{{n + 1 + n % 2}}}",
            "verdict": "wrong" if n % 2 else "correct",
        }
        for n in range(38)
    )
    write_jsonl(path, rows)
    return path


def sft(data: Path, model: Path, output: Path, *options: str) -> Path:
    words = ["--data", str(data), "--all", str(data), "--model", str(model), "--output", str(output)]
    command = [sys.executable, "-m", "glow.cli", "sft", *words, *SETTINGS, *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return output


@pytest.fixture(scope="module")
def plain(data: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sft(data, tiny_model, tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize(
    "options",
    [
        ["--sharding", "fsdp2"],
        ["--sharding", "fsdp2", "--offload", "--micro-batch", "4"],
        ["--sharding", "zero2"],
        ["--sharding", "zero3"],
        ["--sharding", "zero3", "--offload", "--micro-batch", "4"],
    ],
    ids=" ".join,
)
def test_shares_on_a_gpu_end_where_plain_training_ends(
    data: Path, tiny_model: Path, tmp_path: Path, plain: Path, options: list[str]
) -> None:
    if "zero" in options[1] and find_spec("deepspeed") is None:
        pytest.skip("the extra `deepspeed` is not installed")
    run = sft(data, tiny_model, tmp_path / "run", *options)
    ended, expected = (load_file(folder / "model/model.safetensors") for folder in (run, plain))
    start = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).state_dict()
    start = {name: start[name] for name in expected}
    way = relative_difference(ended, expected) / relative_difference(start, expected)
    print(f"{' '.join(options)}: ends {way:.3f} of the way from plain training")
    assert way < SHARE_OF_THE_WAY
    history, other = (pd.read_parquet(folder / "history.parquet") for folder in (run, plain))
    pd.testing.assert_frame_equal(history, other, rtol=0.1, atol=0.02)
