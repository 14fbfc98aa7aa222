"""How GRPO's vLLM shares the devices with training: options of a machine, none of which changes a number.

No configuration has them: the rule `grpo` takes them from its resources (`--set-resources
grpo:vllm_enable_sleep_mode=true`, or a profile), and the command line as options. Names are TRL's.
"""

from typing import Literal

from pydantic import Field, field_validator

from glow.config.section import Section


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
