"""Memory of a training on each device: its state by sharding, activations, buffers, and vLLM beside it.

docs/cluster.md has the bytes of a parameter, "Several devices"; tests/invariant/test_shares.py measures them.
"""

from dataclasses import dataclass
from typing import NamedTuple

from glow.config import Sharding, TrainingHardware, Weights
from glow.planning.activations import Batch, Format, peak
from glow.planning.constants import Device, constant
from glow.planning.shapes import Shape


class State(NamedTuple):
    """Bytes of a parameter on each device."""

    weights: float
    gradients: float
    optimiser: float


@dataclass(frozen=True)
class Need:
    """Bytes where most are needed, by what they are for."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    @property
    def text(self) -> str:
        """`weights 15 GB, activations 20 GB`: what takes a gigabyte or a tenth of it all."""
        least = min(1e9, self.total / 10)
        shown = [f"{name} {size / 1e9:,.3g}" for name, size in self.parts.items() if size >= least]
        return f"{', '.join(shown)} GB"


_OPTIMISERS = {"adamw_8bit": 2.0, "paged_adamw_8bit": 2.0, "adafactor": 0.02}
"""Bytes of an optimiser's state a parameter; AdamW has 8."""

_FOUR_BITS = 0.53
"""Bytes of a weight in nf4, its scales included (arXiv 2305.14314: 0.127 bits of these)."""


def state(sharding: Sharding, devices: int, weights: Weights) -> State:
    """Bytes of a trained parameter on each of `devices` devices; weights, gradients and Adam are float32."""
    optimiser = _OPTIMISERS.get(weights.optimizer, 8.0)
    if sharding == "ddp" or (devices == 1 and sharding == "fsdp2"):
        return State(4, 4, optimiser)
    if sharding == "fsdp2":
        return State(4 / devices, 4 / devices, optimiser / devices)
    # DeepSpeed's optimiser keeps weights of its own.
    own = (4 + optimiser) / devices
    return State(4 if sharding == "zero2" else 4 / devices, 4 / devices, own)


@dataclass(frozen=True)
class Training:
    """A training, as far as memory goes.

    Attributes:
        length: of the longest sequence, tokens.
        rows: of a micro-batch; `accumulates`: whether a step has several.
        reference: whether a second model is there, for a penalty of its divergence.
    """

    shape: Shape
    weights: Weights
    bf16: bool
    recomputes: bool
    length: int
    rows: int
    accumulates: bool
    reference: bool = False

    @property
    def trained(self) -> int:
        """Parameters that train."""
        lora = self.weights.lora
        return (
            self.shape.parameters
            if lora is None
            else self.shape.adapter_parameters(lora.rank, lora.target_modules)
        )

    @property
    def frozen_bytes(self) -> float:
        """Of the weights below adapters, on one device that has them whole."""
        if self.weights.lora is None:
            return 0.0
        if self.weights.quantization is not None:
            inside = self.shape.layers * self.shape.layer_matrices
            return _FOUR_BITS * inside + 2 * (self.shape.parameters - inside)
        return (2 if self.bf16 else 4) * self.shape.parameters

    def numbers(self, hardware: TrainingHardware) -> Format:
        """The format of activations."""
        if not self.bf16:
            return "32"
        in_16_bits = hardware.sharding == "fsdp2" or self.weights.lora is not None
        return "16" if in_16_bits else "autocast"

    def batch(self, hardware: TrainingHardware) -> Batch:
        """A micro-batch of the longest sequences."""
        return Batch(
            rows=self.rows,
            length=self.length,
            numbers=self.numbers(hardware),
            recomputes=self.recomputes,
            accumulates=self.accumulates,
            eager=hardware.attention == "eager",
            rank=self.weights.lora.rank if self.weights.lora is not None else 0,
        )


def training_need(training: Training, hardware: TrainingHardware, device: Device) -> Need:
    """Bytes on each device of a training; on a CPU, of each process."""
    kind, devices = hardware.sharding, hardware.processes
    own = state(kind, devices, training.weights)
    trained, parameters = training.trained, training.shape.parameters
    on_host = hardware.offload
    held = {"weights": own.weights, "gradients": own.gradients, "optimiser": own.optimiser}
    if on_host:
        held["optimiser"] = 0.0
        if kind in ("fsdp2", "zero3"):
            held["weights"] = 0.0
        if kind == "fsdp2":
            held["gradients"] = 0.0
    share = devices if kind in ("fsdp2", "zero3") else 1
    frozen = 0.0 if on_host and share > 1 else training.frozen_bytes / share
    reference = 4 * parameters / share if training.reference and training.weights.lora is None else 0
    gradients = round(held["gradients"] * trained)
    activations = peak(training.shape, training.batch(hardware), gradients, on_cpu=device.is_cpu) - gradients
    loose = constant("cpu_allocator") if device.is_cpu else 1 + constant("fragmentation")
    return Need(
        {
            "weights": round(held["weights"] * trained + frozen + reference),
            "gradients": gradients,
            "optimiser": round(held["optimiser"] * trained),
            "buffers": round(_buffers(training, kind, devices)),
            "activations": round(max(0, activations) * loose),
            "libraries": round(0 if device.is_cpu else constant("gpu_context_bytes")),
        }
    )


def _buffers(training: Training, kind: Sharding, devices: int) -> float:
    """Bytes in which a sharding gathers weights and sums gradients."""
    shape, trained = training.shape, training.trained
    if kind == "ddp":  # DDP's buckets are as large as all gradients
        return 4 * trained if devices > 1 else 0
    bucket = 4 * min(trained, constant("zero_bucket_numbers"))
    if kind == "zero2":
        return bucket
    if kind == "zero3":  # two buckets, one of which is on its way
        return 2 * bucket + 4 * min(shape.parameters, constant("zero3_live_numbers"))
    # FSDP2: the embedding and the output layer whole, and two layers, in 16 bits (one at work, one coming);
    # and gradients of what is largest, in 16 bits and then in float32, until their sum is dealt out.
    number = 2 if training.bf16 else 4
    ends = shape.embedding * (1 if shape.tied else 2)
    whole = number * (ends + 2 * shape.layer_parameters)
    largest = shape.layer_parameters if training.weights.lora is None else 0
    return whole + (number + 4) * max(largest, 0 if training.weights.lora else ends)
