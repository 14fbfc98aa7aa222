"""planning.memory, host: bytes of a training by sharding, by hand and against docs/cluster.md."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glow.config import Lora, Sft, TrainingHardware
from glow.planning.constants import Device, device
from glow.planning.host import training_host
from glow.planning.memory import Training, state, training_need
from glow.planning.shapes import Shape, of_hub

H100 = device("h100")
CPU = Device("cpu", 2**35)
PAGE = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text()


def model(size: str) -> Shape:
    found = of_hub(f"Qwen/Qwen2.5-{size}")
    assert found is not None
    return found


def training(size: str = "7B", length: int = 32000, rows: int = 1, **changes: Any) -> Training:
    settings = Sft.model_validate(changes)
    bf16 = settings.precision == "bf16"
    return Training(model(size), settings, bf16, settings.gradient_checkpointing, length, rows, True)


def hardware(sharding: str, devices: int = 8, nodes: int = 1, **more: Any) -> TrainingHardware:
    return TrainingHardware(devices=devices, nodes=nodes, sharding=sharding, **more)  # type: ignore[arg-type]


def test_the_state_of_the_7b_under_zero2_on_eight_by_hand() -> None:
    """7.616 billion parameters. Each device has the weights whole, 4 bytes each: 30.46 GB. Of gradients it
    has an eighth, 4/8: 3.81 GB. DeepSpeed's optimiser has an eighth of weights of its own (4) and of Adam's
    two means (8): 12/8: 11.42 GB. Together 45.7 GB, which docs/cluster.md rounds to 46."""
    need = training_need(training(), hardware("zero2"), H100).parts
    assert need["weights"] == 30_462_466_048
    assert need["gradients"] == 3_807_808_256
    assert need["optimiser"] == 11_423_424_768
    assert round((30_462_466_048 + 3_807_808_256 + 11_423_424_768) / 1e9) == 46


@pytest.mark.parametrize("sharding", ["ddp", "zero2", "zero3", "fsdp2"])
def test_the_bytes_of_a_parameter_are_those_of_the_page(sharding: str) -> None:
    (row,) = re.findall(rf"^\| `{sharding}` \| (\S+) \| (\S+) \| (\S+) \| (\d+) \|$", PAGE, re.M)
    own = state(sharding, 8, Sft())  # type: ignore[arg-type]
    assert list(own) == [eval(part) for part in row[:3]]
    need = training_need(training(), hardware(sharding), H100).parts
    total = sum(need[part] for part in ("weights", "gradients", "optimiser"))
    assert round(total / 1e9) == int(row[3])


def test_optimisers_that_keep_less() -> None:
    assert state("ddp", 1, Sft(optimizer="adamw_8bit")).optimiser == 2
    assert state("ddp", 4, Sft(optimizer="adafactor")).optimiser < 0.1
    assert state("fsdp2", 1, Sft()) == (4, 4, 8)


def test_adapters_train_alone_over_weights_in_16_or_4_bits() -> None:
    """Rank 16 on all linear layers of the 7B: 40.37 million parameters (test_shapes.py), 16 bytes each: 0.65
    GB; weights below in 16 bits, 2 x 7.616 = 15.23 GB. In nf4, 28 x 233.0 million of them take 0.53 bytes
    (3.46 GB) and the embedding, the output layer, norms and biases 2 (2.18 GB)."""
    need = training_need(training(lora={}), hardware("ddp", 1), H100).parts
    adapters = 40_370_176
    assert need["weights"] == 2 * 7_615_616_512 + 4 * adapters
    assert (need["gradients"], need["optimiser"]) == (4 * adapters, 8 * adapters)
    four = training_need(training(lora={}, quantization="nf4"), hardware("ddp", 1), H100).parts
    inside = 28 * 233_046_016
    assert four["weights"] == round(0.53 * inside + 2 * (7_615_616_512 - inside)) + 4 * adapters
    assert four["weights"] / 1e9 == pytest.approx(5.8, abs=0.05)
    assert training(lora=Lora()).trained == adapters


def test_activations_of_a_sample_of_32_000_tokens_by_hand() -> None:
    """The 7B under fsdp2, recomputed: between layers 28 x 32,000 x 3,584 x 2 bytes = 6.42 GB. The layer at
    work keeps, of a token, 16 x 3,584 + 4 x 3,584 + 4 x 512 + 8 x 18,944 bytes, and its backward pass takes 5
    x 3,584 and 4 x 18,944 more: 318,976, in all 10.21 GB. The head takes less. And a twentieth lies unused in
    between."""
    need = training_need(training(), hardware("fsdp2"), H100).parts
    layer = (16 + 4 + 5) * 3584 + 4 * 512 + 12 * 18944
    assert layer == 318_976
    assert need["activations"] == pytest.approx(1.05 * (28 * 32000 * 3584 * 2 + layer * 32000), rel=1e-6)
    assert need["activations"] / 1e9 == pytest.approx(17.46, abs=0.01)


def test_buffers_by_sharding() -> None:
    parts = {
        sharding: training_need(training(), hardware(sharding), H100).parts["buffers"]
        for sharding in ("ddp", "zero2", "zero3", "fsdp2")
    }
    assert parts["ddp"] == 4 * 7_615_616_512  # DDP's buckets
    assert parts["zero2"] == 4 * 500_000_000
    assert parts["zero3"] == 2 * 4 * 500_000_000 + 4 * 1_000_000_000
    # In 16 bits both ends and two layers; gradients of both ends in 16 bits and in float32.
    ends = 2 * 544_997_376
    assert parts["fsdp2"] == 2 * (ends + 2 * 233_057_792) + 6 * ends
    assert training_need(training(), hardware("ddp", 1), H100).parts["buffers"] == 0


def test_what_is_offloaded_is_on_the_host() -> None:
    on_device = training_need(training(), hardware("fsdp2", offload=True), H100).parts
    assert [on_device[part] for part in ("weights", "gradients", "optimiser")] == [0, 0, 0]
    zero = training_need(training(), hardware("zero2", offload=True), H100).parts
    assert (zero["weights"], zero["optimiser"]) == (30_462_466_048, 0)
    host = training_host(training(), hardware("fsdp2", offload=True), H100, 0.0, 2).parts
    assert host["offloaded"] == 16 * 7_615_616_512
    assert training_host(training(), hardware("fsdp2"), H100, 0.0, 2).parts["offloaded"] == 0


def test_the_host_by_hand() -> None:
    """fsdp2: the first process gathers 4 bytes a weight, and casts them to 2 more: 45.7 GB. Under zero2 each
    of eight processes reads all, 4 bytes each: 243.7 GB."""
    assert training_host(training(), hardware("fsdp2"), H100, 0.0, 2).parts["weights"] == 6 * 7_615_616_512
    assert (
        training_host(training(), hardware("zero2"), H100, 0.0, 2).parts["weights"] == 8 * 4 * 7_615_616_512
    )
    assert training_host(training(), hardware("ddp", 1), H100, 0.0, 2).parts["weights"] == 4 * 7_615_616_512
    rows = training_host(training(), hardware("fsdp2"), H100, 1e9, 2).parts["rows"]
    assert rows == 8 * 3 * 1e9


SHARDINGS = st.sampled_from(["ddp", "fsdp2", "zero2", "zero3"])


@given(SHARDINGS, st.integers(2, 64), st.sampled_from(["0.5B", "7B", "32B"]), st.booleans())
@settings(max_examples=200)
def test_more_devices_never_take_more_of_each(sharding: str, devices: int, size: str, bf16: bool) -> None:
    precision = "bf16" if bf16 else "fp32"
    one = training(size, length=4096, precision=precision)
    need, more = (training_need(one, hardware(sharding, number), H100) for number in (devices, devices + 1))
    assert more.total <= need.total
    for part, taken in need.parts.items():
        assert more.parts[part] <= taken


@given(SHARDINGS, st.integers(1, 8), st.integers(64, 32000), st.integers(1, 8))
@settings(max_examples=200)
def test_longer_and_wider_batches_never_take_less(
    sharding: str, devices: int, length: int, rows: int
) -> None:
    need = training_need(training("3B", length, rows), hardware(sharding, devices), H100).total
    assert training_need(training("3B", length + 1, rows), hardware(sharding, devices), H100).total >= need
    assert training_need(training("3B", length, rows + 1), hardware(sharding, devices), H100).total >= need
    kept = training("3B", length, rows, gradient_checkpointing=False)
    assert training_need(kept, hardware(sharding, devices), H100).total >= need


def test_the_text_names_what_is_large() -> None:
    need = training_need(training(), hardware("ddp", 1), H100)
    assert need.text.startswith("weights 30.5, gradients 30.5, optimiser 60.9, activations ")
    assert "buffers" not in need.text
