"""What the cost model counts with and does not work out: `constants.yaml`, read.

Every number there says where it is from, measured, stated or assumed. Formulas stand in the modules that use
them.
"""

import math
import os
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml

from glow.config import unknown
from glow.errors import UserError

FILE = Path(__file__).with_name("constants.yaml")

Source = Literal["measured", "stated", "assumed"]


@dataclass(frozen=True)
class Number:
    """A constant, or an assumption, which may be a range.

    Attributes:
        source: who says so.
        why: the benchmark, the document or the reason.
    """

    low: float
    high: float
    unit: str
    source: Source
    why: str

    @property
    def text(self) -> str:
        """`0.6`, `8,000 to 12,000`."""
        ends = [f"{end:,.10g}" for end in dict.fromkeys((self.low, self.high))]
        return " to ".join(ends)


@dataclass(frozen=True)
class Device:
    """What a job computes on.

    Attributes:
        memory: bytes.
        operations: dense bf16 operations a second; 0 of a CPU, whose speed depends on the size of a model.
        bandwidth: bytes of memory a second; 0 of a CPU.
        per_node: how many a node has, unless that is said.
    """

    name: str
    memory: int
    operations: float = 0.0
    bandwidth: float = 0.0
    per_node: int = 8

    @property
    def is_cpu(self) -> bool:
        """Whether jobs compute on the cores of a machine."""
        return self.operations == 0


@cache
def _document() -> dict[str, dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, dict[str, Any]] = yaml.load(FILE.read_text(encoding="utf-8"), loader)
    return found


def _number(entry: dict[str, Any]) -> Number:
    source: Source = next(kind for kind in ("measured", "stated", "assumed") if kind in entry)
    low, high = (float(entry[end if end in entry else "value"]) for end in ("low", "high"))
    return Number(low, high, entry["unit"], source, " ".join(str(entry[source]).split()))


def constant(name: str) -> float:
    """A constant by its name."""
    return _number(_document()["constants"][name]).low


def gpu_use(parameters: int) -> float:
    """Share of a GPU's dense bf16 operations that training reaches: between the sizes that were looked at.

    Straight in the logarithm of the size; beyond the smallest and the largest as there.
    """
    points = [
        (math.log(entry["parameters"]), float(entry["value"]))
        for entry in _document()["constants"]["gpu_use"]
    ]
    size = math.log(parameters)
    for (left, below), (right, above) in pairwise(points):
        if size < right:
            share = max(0.0, (size - left) / (right - left))
            return below + share * (above - below)
    return points[-1][1]


def assumptions() -> dict[str, Number]:
    """What is assumed of a study's data, by name."""
    return {name: _number(entry) for name, entry in _document()["assumptions"].items()}


def questions(task: str) -> int | None:
    """How many questions a built-in task has; None where that depends on a file."""
    found: int | None = _document()["questions"].get(task)
    return found


def device_names() -> list[str]:
    """The devices that are known, `cpu` the last."""
    return [*_document()["devices"], "cpu"]


def device(name: str) -> Device:
    """A device by its name, in whichever case; of `cpu` the memory is this machine's.

    Raises:
        UserError: no device has that name.
    """
    wanted, name = name, name.lower()
    if name == "cpu":
        return Device("cpu", psutil.virtual_memory().total, per_node=len(os.sched_getaffinity(0)))
    known = _document()["devices"]
    if name not in known:
        raise UserError(f"--gpu: {unknown(wanted, device_names())}")
    found = known[name]
    memory = int(found["memory_gib"] * 2**30)
    speed = float(found["operations"]), float(found["bandwidth"])
    return Device(name, memory, *speed, found.get("per_node", Device.per_node))


def assumed(given: list[str]) -> dict[str, Number]:
    """The assumptions, with what was given on the command line in their place.

    Args:
        given: KEY=VALUE or KEY=LOW..HIGH.

    Raises:
        UserError: no such key, or a value that is no number or range of numbers, or none of that key.
    """
    found = assumptions()
    for word in given:
        key, equals, value = word.partition("=")
        if key not in found:
            raise UserError(f"--assume {word}: {unknown(key, list(found))}; write KEY=VALUE or KEY=LOW..HIGH")
        if not equals or not value:
            raise UserError(f"--assume {word}: has no value; write {key}=VALUE or {key}=LOW..HIGH")
        low, high = _range(value, f"--assume {word}")
        bounds = f"{key} is {found[key].unit}"
        if high > 1 and found[key].unit.startswith("share"):
            raise UserError(f"--assume {word}: above 1; {bounds}")
        if low == 0 and key.split(".")[0] in _OF_LENGTH:
            raise UserError(f"--assume {word}: give more than 0; {bounds}")
        found[key] = Number(low, high, found[key].unit, "stated", "on the command line")
    return found


_OF_LENGTH = ("tokens", "prompt", "answers", "rollouts", "choices")
"""How the names of assumptions begin that are lengths: what is there has one."""


def _range(value: str, option: str) -> tuple[float, float]:
    """The two ends of `9000` or of `8000..12000`."""
    low, dots, high = value.partition("..")
    try:
        ends = float(low), float(high if dots else low)
    except ValueError:
        ends = math.nan, math.nan
    if not all(map(math.isfinite, ends)):
        raise UserError(f"{option}: {value!r} is no number, and no range LOW..HIGH")
    if min(ends) < 0:
        raise UserError(f"{option}: {value} is below 0")
    if ends[0] > ends[1]:
        raise UserError(f"{option}: the range is reversed: write {high}..{low}")
    return ends
