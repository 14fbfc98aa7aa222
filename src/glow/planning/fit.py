"""Whether a job fits on its hardware: what it needs of a device and of the host, and why it would not run.

What a job has is a setting: the resources of its rule by their names, and what the configuration says that
changes no number. `glow.planning.nearest` looks for another one where this does not fit.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from glow.config import (
    Decoding,
    Experiment,
    Grpo,
    GrpoEngineHardware,
    Sft,
    SftHardware,
    TrainingHardware,
    refuse_unproven,
)
from glow.config.options import section_from_resources
from glow.errors import UserError
from glow.planning.constants import Device
from glow.planning.engines import Room, engine_room, loop_need, scoring_need, vllm_room, vllm_share
from glow.planning.host import sampling_host, training_host
from glow.planning.memory import Need, Training, training_need
from glow.planning.resources import Hardware, engine_hardware, training_hardware
from glow.planning.shapes import Shape
from glow.planning.sizes import is_scored
from glow.training.micro_batches import Cut, dealt

Setting = Mapping[str, Any]
"""Resources by name; and gradient_checkpointing, batch_size, of the configuration."""


_WHOLE = Cut(1, 1)

_UNKNOWN = sys.maxsize
"""The memory of a node that has GPUs, which nobody says: mem_mb alone bounds what runs on its cores."""


@dataclass(frozen=True)
class Machine:
    """What jobs run on.

    Attributes:
        per_node: GPUs of a node, or cores where the device is a CPU.
        is_open: whether there may be more nodes, as nobody has said how many there are.
    """

    device: Device
    nodes: int
    per_node: int
    is_open: bool = False

    @property
    def text(self) -> str:
        """`4 nodes of 8 h100 (85 GB each)`."""
        nodes = f"{self.nodes} node{'s' if self.nodes > 1 else ''}"
        if self.device.is_cpu:
            return (
                f"{nodes} of {self.per_node} cores (this machine's memory: {self.device.memory / 1e9:.0f} GB)"
            )
        return f"{nodes} of {self.per_node} {self.device.name} ({self.device.memory / 1e9:.0f} GB each)"


@dataclass(frozen=True)
class Fit:
    """A job on its hardware.

    Attributes:
        gpus: on all nodes together; 0 for a job on cores.
        device, host: bytes that it needs of each device, and of the first node.
        misfits: why it would not run, a line each; none if it would.
        words: how it is spread, in short.
        room: what vLLM has room for, where it samples.
    """

    gpus: int
    nodes: int
    device: Need
    host: Need
    misfits: list[str] = field(default_factory=list)
    words: str = ""
    room: Room | None = None
    cut: Cut = _WHOLE
    hardware: TrainingHardware | None = None


@dataclass(frozen=True)
class Subject:
    """A kind of job whose memory is asked.

    Attributes:
        own: the experiment of its student.
        shape: of the model that it runs.
        text: bytes of all trajectories or responses that it handles.
        prompt: tokens of the longest prompt, where nothing bounds it.
    """

    rule: str
    own: Experiment
    shape: Shape
    text: float = 0.0
    prompt: int = 1024


def fitted(subject: Subject, setting: Setting, machine: Machine) -> Fit:
    """How a kind of job sits on a machine, by what it asks for."""
    if not machine.device.is_cpu and not setting.get("gpu"):  # on the cores of a node that has GPUs
        machine = replace(machine, device=Device("cpu", _UNKNOWN))
    try:
        fit = _RULES[subject.rule](subject, setting, machine)
    except UserError as error:
        nothing = Need({})
        return Fit(setting.get("gpu") or 0, setting.get("nodes") or 1, nothing, nothing, [str(error)])
    return _checked(fit, setting, machine)


def _checked(fit: Fit, setting: Setting, machine: Machine) -> Fit:
    """With what is against it: too few devices, too little memory of a device or of the host.

    What a job asks for (mem_mb) bounds it on a cluster; on this machine, its whole memory does.
    """
    device, misfits = machine.device, list(fit.misfits)
    if fit.nodes > machine.nodes:
        misfits.append(f"asks for {fit.nodes} nodes, and there {_are(machine.nodes)}")
    elif fit.gpus // fit.nodes > machine.per_node and not device.is_cpu:
        misfits.append(f"asks for {fit.gpus // fit.nodes} GPUs of a node, which has {machine.per_node}")
    if not device.is_cpu and fit.device.total > device.memory:
        misfits.append(
            f"{fit.device.total / 1e9:,.0f} GB on each GPU ({fit.device.text}), and the {device.name} has "
            f"{device.memory / 1e9:.0f}"
        )
    limit, needed = setting.get("mem_mb"), _on_host(fit, device)
    if device.is_cpu and device.memory != _UNKNOWN:
        limit = None
        if needed > device.memory:
            misfits.append(
                f"{needed / 1e9:,.3g} GB of memory, and this machine has {device.memory / 1e9:.3g}"
            )
    if limit and needed > limit * 1e6:
        misfits.append(f"{needed / 1e9:,.3g} GB of the host's memory, and mem_mb is {limit}")
    return replace(fit, misfits=misfits)


def _on_host(fit: Fit, device: Device) -> int:
    """Bytes of the first node's memory: on a CPU the model is in it too."""
    return fit.host.total + (fit.device.total if device.is_cpu else 0)


def _are(count: int) -> str:
    return "is one" if count == 1 else f"are {count}"


# --- training ---------------------------------------------------------------------------------------


def _sft(subject: Subject, setting: Setting, machine: Machine) -> Fit:
    sft = subject.own.sft
    hardware = _hardware(setting, SftHardware)
    refuse_unproven(sft, hardware.sharding)
    cut = dealt(sft.batch_size, hardware.processes, hardware.micro_batch, "sft.batch_size")
    length = min(sft.max_length, subject.shape.context)
    training = training_of(subject.shape, sft, setting, length, cut)
    return _trained(
        subject, training, hardware, machine, cut, training_need(training, hardware, machine.device)
    )


def _grpo(subject: Subject, setting: Setting, machine: Machine) -> Fit:
    grpo = subject.own.grpo
    assert grpo is not None
    hardware, engine = _hardware(setting, TrainingHardware), _beside(setting)
    refuse_unproven(grpo, hardware.sharding)
    rollouts = grpo.prompts * grpo.generations
    cut = dealt(rollouts, hardware.processes, hardware.micro_batch, "grpo.prompts x grpo.generations")
    longest = engine.vllm_max_model_length or subject.shape.context
    length = min(grpo.max_tokens + subject.prompt, longest, subject.shape.context)
    training = training_of(subject.shape, grpo, setting, length, cut, reference=grpo.kl > 0)
    need = training_need(training, hardware, machine.device)
    if not grpo.vllm:
        rows = rollouts // hardware.processes
        cache = loop_need(subject.shape, rows, length, machine.device).parts["cache"]
        beside = {"rollouts": max(0, cache - need.parts["activations"])}
        return _trained(subject, training, hardware, machine, cut, Need(need.parts | beside))
    spread = engine.vllm_tensor_parallel_size
    if hardware.processes % spread or subject.shape.heads % spread:
        raise UserError(
            f"vllm_tensor_parallel_size {spread} has to divide the {hardware.processes} devices and the "
            f"{subject.shape.heads} heads of the model"
        )
    share = engine.vllm_gpu_memory_utilization
    room = vllm_room(subject.shape, machine.device, share, spread, longest)
    taken = round(share * machine.device.memory)
    if engine.vllm_enable_sleep_mode:  # it gives its memory back while the others take theirs
        taken = max(0, taken - need.parts["activations"])
    fit = _trained(subject, training, hardware, machine, cut, Need(need.parts | {"vLLM": taken}))
    return replace(fit, room=room, misfits=_without_room(room, share, "vllm_max_model_length"))


def _hardware(setting: Setting, kind: type[Hardware]) -> Hardware:
    """What a training runs on; the same settings are asked for thousands of times where one is looked for."""
    keys = ("gpu", "processes", *kind.model_fields)
    found = _known_hardware(kind, tuple((key, setting[key]) for key in keys if setting.get(key) is not None))
    assert isinstance(found, kind)
    return found


@cache
def _known_hardware(kind: type[Hardware], given: tuple[tuple[str, Any], ...]) -> TrainingHardware:
    return training_hardware(dict(given), kind)


def _beside(setting: Setting) -> GrpoEngineHardware:
    """How vLLM shares the devices of GRPO."""
    keys = GrpoEngineHardware.model_fields
    return _known_beside(tuple((key, setting[key]) for key in keys if setting.get(key) is not None))


@cache
def _known_beside(given: tuple[tuple[str, Any], ...]) -> GrpoEngineHardware:
    return section_from_resources(dict(given), GrpoEngineHardware)


def training_of(
    shape: Shape, settings: Sft | Grpo, setting: Setting, length: int, cut: Cut, *, reference: bool = False
) -> Training:
    """A training by its section and its resources; `length`: of the longest sequence."""
    recomputes = setting.get("gradient_checkpointing", settings.gradient_checkpointing)
    bf16 = settings.precision == "bf16"
    return Training(
        shape, settings, bf16, recomputes, length, cut.micro_batch, cut.parts > 1, reference=reference
    )


def _trained(
    subject: Subject, training: Training, hardware: TrainingHardware, machine: Machine, cut: Cut, need: Need
) -> Fit:
    settings = training.weights
    saved = 4 if (settings.saved_dtype or ("bfloat16" if training.bf16 else "float32")) == "float32" else 2
    host = training_host(training, hardware, machine.device, subject.text, saved)
    is_cpu = machine.device.is_cpu
    words: list[str] = [hardware.sharding] if hardware.processes > 1 else []
    words += ["offload"] if hardware.offload else []
    words += [f"micro-batch {cut.micro_batch}"]
    return Fit(
        gpus=0 if is_cpu else hardware.processes,
        nodes=hardware.nodes,
        device=need,
        host=host,
        words=", ".join(words),
        cut=cut,
        hardware=hardware,
    )


# --- sampling ---------------------------------------------------------------------------------------


def _sampling(subject: Subject, setting: Setting, machine: Machine) -> Fit:
    own, rule = subject.own, subject.rule
    decoding: Decoding = own.evaluation
    if rule == "generate":
        assert own.sampling is not None
        decoding = own.sampling
    elif rule == "pass_rates":
        decoding = own.pass_rate_run(own.seeds[0]).decoding
    scores = rule == "evaluate" and _scores(own)
    return _sampled(subject, decoding, setting, machine, scores=scores)


def _scores(own: Experiment) -> bool:
    return own.evaluation.entropy_samples > 0 or any(
        is_scored(name, suite) for name, suite in own.suites.items()
    )


def _sampled(
    subject: Subject, decoding: Decoding, setting: Setting, machine: Machine, *, scores: bool
) -> Fit:
    hardware, device, shape = engine_hardware(setting), machine.device, subject.shape
    gpus = 0 if device.is_cpu else setting.get("gpu") or 0
    length = min(shape.context, subject.prompt + decoding.max_tokens)
    misfits: list[str] = []
    room, spread = None, 1
    if decoding.engine == "vllm":
        spread = hardware.tensor_parallel
        room = engine_room(shape, device, hardware, decoding.max_tokens)
        share = vllm_share(hardware)
        misfits = _without_room(room, share, "max_model_len") if not device.is_cpu else []
        if shape.heads % spread:
            misfits.append(f"tensor_parallel {spread} does not divide the {shape.heads} heads of the model")
        need = Need(room.need.parts if not device.is_cpu else {"weights": 4 * shape.parameters})
        words = f"{room.sequences} of {room.longest:,} tokens side by side" if not device.is_cpu else "vLLM"
    else:
        rows = setting.get("batch_size") or decoding.batch_size
        need, words = loop_need(shape, rows, length, device), f"batches of {rows}"
    if scores:
        scoring = scoring_need(shape, length, device)
        if scoring.total > need.total:
            need = scoring
    host = sampling_host(spread, device, subject.text)
    return Fit(gpus, 1, need, host, misfits, words, room)


def _without_room(room: Room, share: float, name: str) -> list[str]:
    if room.tokens >= room.longest:
        return []
    return [
        f"vLLM has room for {room.tokens:,} tokens beside the weights in {share:.0%} of a GPU, and {name} "
        f"makes it keep room for {room.longest:,}"
    ]


_RULES: dict[str, Callable[[Subject, Setting, Machine], Fit]] = {
    "sft": _sft,
    "grpo": _grpo,
    **dict.fromkeys(("generate", "pass_rates", "answer", "evaluate"), _sampling),
}
"""The kinds of jobs that hold a model."""
