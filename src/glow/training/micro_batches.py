"""How an optimiser step's examples are dealt to devices, and each device's share cut to fit its memory.

A step is what the configuration says, on however many devices: no number depends on the cut beyond rounding.
"""

import os
from typing import NamedTuple

from glow.config import TrainingHardware
from glow.errors import UserError


class Cut(NamedTuple):
    """A step is `micro_batch` x `parts` examples on each device."""

    micro_batch: int
    parts: int


def cut(examples: int, hardware: TrainingHardware, what: str) -> Cut:
    """Deal a step's examples to the processes of this run, in equal parts of at most `hardware.micro_batch`.

    The parts are as few as can be: the largest divisor of a device's share that is not above the limit.

    Args:
        examples: of one optimiser step, over all devices.
        what: how the configuration gives that number, for the message.

    Raises:
        UserError: as `share_of` says.
    """
    return dealt(examples, processes(), hardware.micro_batch, what)


def dealt(examples: int, devices: int, limit: int | None, what: str) -> Cut:
    """The same for a number of devices, and at most `limit` examples at a time (None: all of a share).

    Raises:
        UserError: as `share_of` says.
    """
    share = share_of(examples, devices, what)
    largest = min(limit or share, share)
    micro_batch = next(size for size in range(largest, 0, -1) if share % size == 0)
    return Cut(micro_batch, share // micro_batch)


def share_of(examples: int, devices: int, what: str) -> int:
    """How many of a step's examples each device takes.

    Args:
        what: how the configuration gives the number of examples, for the message ("sft.batch_size").

    Raises:
        UserError: the examples cannot be dealt evenly.
    """
    share, rest = divmod(examples, devices)
    if rest or not share:
        lower = examples - rest
        near = " or ".join(str(number) for number in (lower, lower + devices) if number)
        raise UserError(
            f"{what}: {examples} examples a step cannot be dealt evenly to {devices} devices; use {near}, or "
            "another number of devices"
        )
    return share


def processes() -> int:
    """The processes of this run, one for each device (torchrun says so in the environment)."""
    return int(os.environ.get("WORLD_SIZE", "1"))
