"""Training on several devices, through the rule: the model of one device, whatever each of them holds.

CPUs stand for devices here, and gloo for NCCL; FSDP2 and ZeRO are the real ones.
"""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from flow import TINY, snakemake
from safetensors.torch import load_file

RUN = "results/tiny/sft/logic/glow/seed-0"
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny study up to one run of GLOW, on one device, which is kept in `one`."""
    folder = tmp_path_factory.mktemp("devices")
    run = snakemake(folder, TINY, "--cores", "2", f"{RUN}/manifest.json")
    assert run.returncode == 0, run.stdout[-3000:]
    shutil.copytree(folder / RUN, folder / "one")
    return folder


def train_again(study: Path, resources: str) -> Path:
    """Make the run again with other resources; nothing but these makes it necessary."""
    shutil.rmtree(study / RUN)
    options = ["--set-resources", *(f"sft:{resource}" for resource in resources.split())]
    run = snakemake(study, TINY, "--cores", "2", f"{RUN}/manifest.json", *options)
    assert run.returncode == 0, run.stdout[-3000:]
    return study / RUN


@pytest.mark.slow
@pytest.mark.parametrize(
    "resources",
    [
        "processes=2",
        "processes=4 micro_batch=2",
        "processes=2 sharding=fsdp2 micro_batch=4",
        pytest.param("processes=2 sharding=zero2", marks=pytest.mark.extra("deepspeed")),
        pytest.param("processes=2 sharding=zero3 micro_batch=4", marks=pytest.mark.extra("deepspeed")),
    ],
)
def test_the_model_is_that_of_one_device(study: Path, resources: str) -> None:
    run, one = train_again(study, resources), study / "one"
    weights, expected = (load_file(folder / "model/model.safetensors") for folder in (run, one))
    assert weights.keys() == expected.keys()
    difference = max((weights[name] - expected[name]).abs().max().item() for name in expected)
    print(f"{resources}: parameters differ by {difference:.1e}")
    assert difference < TOLERANCE
    history, single = (pd.read_parquet(folder / "history.parquet") for folder in (run, one))
    pd.testing.assert_frame_equal(history, single, rtol=1e-4, atol=1e-5)
    asked = dict(resource.split("=") for resource in resources.split())
    hardware = json.loads((run / "manifest.json").read_text())["settings"]["hardware"]
    assert hardware["devices"] == int(asked["processes"])
    assert hardware["sharding"] == asked.get("sharding", "ddp")
