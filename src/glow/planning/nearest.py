"""The nearest setting under which a job fits.

Settings are changed in an order, and a later one only where nothing before it, alone or together, is enough:
for training sharding, number of GPUs (and nodes), vLLM's part (GRPO), micro_batch, offload,
gradient_checkpointing, attention; for sampling number of GPUs, vLLM's share of a GPU, its longest sequence,
batch_size. Among settings that change the same things, the one with the fewest GPUs is nearest, and with
offload the one with the most. The host's memory (mem_mb) is raised as needed. Where nobody has said how many
nodes there are, more of them come before offload.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from glow.planning.engines import vllm_share
from glow.planning.fit import Fit, Machine, Setting, Subject, fitted
from glow.planning.resources import engine_hardware

_MOST_NODES = 16
_ROUNDED_MB = 8000


@dataclass(frozen=True)
class Change:
    """Another setting, and how a job fits under it.

    Attributes:
        changed: what differs, by name.
    """

    changed: dict[str, Any]
    fit: Fit


def nearest(subject: Subject, setting: Setting, machine: Machine) -> Change | None:
    """The nearest setting that fits on the machine, or on more such nodes; None where there is none."""
    limit = setting.get("mem_mb")
    more = replace(machine, nodes=max(_MOST_NODES, machine.nodes))
    # Months on the host's memory are no answer where nobody has said that there are no more nodes.
    tried = [(machine, False), (more, False)] if machine.is_open else []
    for larger, offloads in (*tried, (machine, True), (more, True)):
        for changed in _candidates(subject, setting, larger):
            if changed.get("offload") and not offloads:
                continue
            fit = fitted(subject, {**setting, **changed, "mem_mb": None}, larger)
            if fit.misfits:
                continue
            needed = fit.host.total + (fit.device.total if larger.device.is_cpu else 0)
            if limit and needed > limit * 1e6:
                changed["mem_mb"] = -(-needed // (_ROUNDED_MB * 10**6)) * _ROUNDED_MB
            return Change(changed, fit)
    return None


def _doubled(first: int) -> list[int]:
    numbers = [first]
    while numbers[-1] * 2 <= _MOST_NODES:
        numbers.append(numbers[-1] * 2)
    return numbers


def _candidates(subject: Subject, setting: Setting, machine: Machine) -> Iterator[dict[str, Any]]:
    """Changes of a setting, the nearest first; the first changes nothing."""
    steps = _training_steps if subject.rule in ("sft", "grpo") else _sampling_steps
    found: list[tuple[int, int, int, dict[str, Any]]] = []
    for chosen in product(*steps(subject, setting, machine)):
        changed: dict[str, Any] = {}
        for part in chosen:
            changed |= {name: value for name, value in part.items() if setting.get(name) != value}
        distance = sum(2**place for place, part in enumerate(chosen) if part)
        having = {**setting, **changed}
        gpus = having.get("gpu") or 0
        # What runs on the host's memory is slow enough, and takes all the GPUs that there are.
        found.append((distance, -gpus if having.get("offload") else gpus, len(found), changed))
    yield from (changed for *_, changed in sorted(found, key=lambda one: one[:3]))


Choices = list[dict[str, Any]]
"""Values of what is changed together; the empty one leaves it."""


def _training_steps(subject: Subject, setting: Setting, machine: Machine) -> list[Choices]:
    sharding = [{"sharding": kind} for kind in ("fsdp2", "zero2", "zero3") if kind != setting.get("sharding")]
    offload = [] if setting.get("offload") else [{"offload": True}]
    recompute = [] if setting.get("gradient_checkpointing", True) else [{"gradient_checkpointing": True}]
    attention = [{"attention": "sdpa"}] if setting.get("attention") == "eager" else []
    steps = [sharding, _gpus(setting, machine)]
    if subject.rule == "grpo" and subject.own.grpo is not None and subject.own.grpo.vllm:
        steps.append(_beside_training(subject, setting))
    steps += [_smaller("micro_batch", setting), offload, recompute, attention]
    return [[{}, *choices] for choices in steps]


def _gpus(setting: Setting, machine: Machine) -> Choices:
    if machine.device.is_cpu:
        return []
    within = [{"gpu": number, "nodes": 1} for number in (1, 2, 4, 8, 16) if number <= machine.per_node]
    beyond = [
        {"gpu": machine.per_node * nodes, "nodes": nodes}
        for nodes in _doubled(1)
        if 1 < nodes <= machine.nodes
    ]
    now = (setting.get("gpu"), setting.get("nodes") or 1)
    return [one for one in (*within, *beyond) if (one["gpu"], one["nodes"]) != now]


def _beside_training(subject: Subject, setting: Setting) -> Choices:
    """How vLLM may share the devices: shorter sequences, over several, another part, or by turns."""
    grpo, heads = subject.own.grpo, subject.shape.heads
    assert grpo is not None
    lengths: Choices = [{}, {"vllm_max_model_length": grpo.max_tokens + _room_for_prompts(subject)}]
    spreads: Choices = [{}, *({"vllm_tensor_parallel_size": size} for size in (2, 4, 8) if heads % size == 0)]
    parts: Choices = [{}, *({"vllm_gpu_memory_utilization": part} for part in (20, 30, 40, 50))]
    sleeps: Choices = [{}, {"vllm_enable_sleep_mode": "true"}]
    if setting.get("vllm_max_model_length") is not None:
        lengths = [{}]
    found = [
        length | spread | part | sleep
        for sleep, part, spread, length in product(sleeps, parts, spreads, lengths)
    ]
    return sorted(filter(None, found), key=len)


def _room_for_prompts(subject: Subject) -> int:
    """Tokens: twice the longest prompt, which is assumed; longer ones are refused when the job runs."""
    return 2 * subject.prompt


def _smaller(name: str, setting: Setting) -> Choices:
    now = setting.get(name) or 2**20
    return [{name: size} for size in (128, 64, 32, 16, 8, 4, 2, 1) if size < now]


def _sampling_steps(subject: Subject, setting: Setting, machine: Machine) -> list[Choices]:
    number = () if machine.device.is_cpu else (1, 2, 4, 8)
    gpus = [{"gpu": one} for one in number if one <= machine.per_node and one != setting.get("gpu")]
    share = [{"gpu_memory_percent": 95}] if vllm_share(engine_hardware(setting)) < 0.95 else []
    limit = {
        "generate": subject.own.sampling.max_tokens if subject.own.sampling else 0,
        "pass_rates": subject.own.grpo.max_tokens if subject.own.grpo else 0,
    }.get(subject.rule, subject.own.evaluation.max_tokens)
    shorter = [{"max_model_len": limit + _room_for_prompts(subject)}]
    batches = _smaller("batch_size", {"batch_size": setting.get("batch_size") or 256})
    return [[{}, *choices] for choices in (gpus, share, shorter, batches)]
