"""What stages run on: settings that change no number beyond rounding, and so stand in no configuration.

The rules take them from their resources (`--set-resources`, or a profile), the command line as options. None
that a resource gives is a fraction: Snakemake rounds those, without a word; shares are per cent there.
"""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from glow.config.section import Neutral, Section
from glow.config.weights import Weights
from glow.errors import UserError

Sharding = Literal["ddp", "fsdp2", "zero2", "zero3"]
"""What of a model's training state each device holds: all of it, or its share."""


class TrainingHardware(Section):
    """On what a training runs, and how its steps are cut for that."""

    devices: Neutral[int] = Field(1, description="devices on each node, with one process each", gt=0)
    nodes: Neutral[int] = Field(1, description="nodes of a SLURM job", gt=0)
    sharding: Neutral[Sharding] = Field(
        "ddp",
        description="what each device holds: ddp: weights, gradients and optimiser whole; fsdp2, zero3: a "
        "share of each; zero2: the weights whole, and a share of gradients and optimiser (zero2 and zero3 "
        "are DeepSpeed's)",
    )
    offload: Neutral[bool] = Field(
        False, description="keep the shares of weights and optimiser in the host's memory"
    )
    micro_batch: Neutral[int | None] = Field(
        None,
        description="at most so many samples, or rollouts, on a device at a time (default: all of its share "
        "of a step)",
        gt=0,
    )
    attention: Neutral[Literal["sdpa", "flash_attention_2", "flex_attention", "eager"] | None] = Field(
        None, description="implementation of attention (default: transformers' choice)"
    )

    @property
    def processes(self) -> int:
        """The processes that train together, on all nodes."""
        return self.devices * self.nodes

    @field_validator("offload")
    @classmethod
    def _of_shares(cls, offload: bool, others: ValidationInfo) -> bool:
        if offload and others.data.get("sharding") == "ddp":
            raise ValueError("with sharding ddp there are no shares to offload; use fsdp2, zero2 or zero3")
        return offload


def refuse_unproven(weights: Weights, sharding: Sharding) -> None:
    """Refuse what is another computation in shares than on one device, or was never shown to be the same.

    DeepSpeed hands an optimiser flat shares: Adafactor finds no matrices there, 8-bit states other blocks.

    Raises:
        UserError: names the setting of `weights`, and the shardings that go with it.
    """
    is_adamw = weights.optimizer in ("adamw_torch", "adamw_torch_fused")
    if sharding != "ddp" and not is_adamw:
        raise UserError(
            f"sharding {sharding} with optimizer {weights.optimizer}: its states in shares are not those of "
            "one device; use sharding ddp, or optimizer adamw_torch_fused"
        )
    if sharding != "ddp" and weights.quantization is not None:
        raise UserError(
            f"sharding {sharding} with quantization {weights.quantization}: weights of 4 bits are not cut "
            "into shares here; use sharding ddp, or no quantization"
        )


class SftHardware(TrainingHardware):
    """On what SFT runs, and how its steps are cut for that."""

    padding_free: Neutral[bool] = Field(
        False,
        description="put the samples that a device takes at a time into one row, without padding: for "
        "flash_attention_2 and flex_attention",
    )


class EngineHardware(Section):
    """What vLLM runs on; the transformers engine takes one device, and leaves the rest unused."""

    tensor_parallel: int = Field(1, description="GPUs that one copy of the model is spread over (vLLM)", gt=0)
    gpu_memory_percent: int | None = Field(
        None,
        description="how much of a GPU's memory vLLM takes for weights and cache (default: vLLM's own, 92)",
        gt=0,
        le=100,
    )
    max_model_len: int | None = Field(
        None,
        description="longest prompt and response together, in tokens, that vLLM keeps memory for; a prompt "
        "that needs more is refused (default: 8192 for the prompt, and the longest response)",
        gt=0,
    )
    enforce_eager: bool = Field(False, description="vLLM without CUDA graphs: less memory, and slower")


class GrpoEngineHardware(Section):
    """Where vLLM runs in GRPO, where the configuration has `grpo.vllm`; else of no effect."""

    vllm_mode: Literal["colocate"] = Field(
        "colocate", description="colocate: in the training processes, on their devices (server: not yet)"
    )
    vllm_gpu_memory_utilization: float = Field(
        0.3, description="share of a device's memory that vLLM takes", gt=0, lt=1
    )
    vllm_enable_sleep_mode: bool = Field(
        False, description="give vLLM's memory back during updates, which takes time at every step"
    )
    vllm_max_model_length: int | None = Field(
        None,
        description="longest prompt and rollout together, in tokens, that vLLM keeps memory for (default: "
        "the model's context)",
        gt=0,
    )
    vllm_tensor_parallel_size: int = Field(
        1, description="devices that hold one copy of vLLM's model; a divisor of the processes", gt=0
    )

    @field_validator("vllm_mode", mode="before")
    @classmethod
    def _colocated(cls, mode: object) -> object:
        if mode == "server":
            raise ValueError(
                "server is not supported: weights reach a vLLM server through NCCL alone, and that was never "
                "tried here; use colocate"
            )
        return mode
