"""What a stage runs on: it changes no number beyond rounding, so no configuration has it.

A rule makes these options from its resources (`Study.training_hardware`), which profiles and
`--set-resources` set; by hand they are given as options.
"""

from typing import Literal

from pydantic import Field

from glow.config.section import Neutral, Section

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
