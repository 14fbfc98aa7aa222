"""What each job takes: seconds, devices and disk, from its settings, its sizes and how it sits on its
hardware.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from glow.config import Decoding, Experiment, Grpo, GrpoEngineHardware, Sft
from glow.config.options import section_from_resources
from glow.planning import disk
from glow.planning.compute import (
    Decoder,
    Work,
    decoding_seconds,
    forward_operations,
    scoring_seconds,
    sequences,
    training_passes,
    training_seconds,
    waiting,
)
from glow.planning.constants import Device, constant
from glow.planning.engines import SCORED_TOKENS
from glow.planning.fit import Fit, Setting, training_of
from glow.planning.jobs import Job
from glow.planning.lengths import Lengths
from glow.planning.memory import Training
from glow.planning.shapes import Shape
from glow.planning.sizes import Sizes

_CHOICES = 4
"""Choices of a question that is scored, about."""
_LONGEST = 2**14
"""Tokens side by side where questions are answered by epoch."""


@dataclass(frozen=True)
class Cost:
    """Of one job.

    Attributes:
        seconds: from start to end.
        kept: bytes that stay on the disk.
        live: bytes that are there while it runs.
        threads: cores, of a job without GPUs.
    """

    seconds: float
    kept: int = 0
    live: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Setup:
    """What the cost of a job depends on.

    Attributes:
        own: the experiment of its student.
        shape: of the model that it runs; None where it runs none.
        device: what it computes on.
        setting, fit: its resources, and how it sits on them.
    """

    own: Experiment
    sizes: Sizes
    shape: Shape | None
    device: Device
    setting: Setting
    fit: Fit | None


def cost_of(job: Job, setup: Setup) -> Cost:
    """What a job takes."""
    return _RULES[job.rule](job, setup)


# --- training ---------------------------------------------------------------------------------------


def _on_devices(seconds: float, setup: Setup, prompt: float, lengths: Lengths) -> float:
    """Seconds of work on one device, divided among all: with what they wait for each other, and what is lost
    between nodes and to the host."""
    assert setup.shape is not None and setup.fit is not None and setup.fit.hardware is not None
    hardware, cut = setup.fit.hardware, setup.fit.cut
    # Where weights are in shares all devices pass each layer together; else they meet at the end of a step.
    in_step = hardware.sharding in ("fsdp2", "zero3")
    rows = cut.micro_batch * (1 if in_step else cut.parts)
    seconds *= waiting(setup.shape, prompt, lengths, rows, hardware.processes)
    seconds /= hardware.processes * (constant("across_nodes") if hardware.nodes > 1 else 1.0)
    return seconds * (constant("offload_slowdown") if hardware.offload else 1.0)


def _around_training(setup: Setup, training: Training, settings: Sft | Grpo) -> tuple[float, int, int]:
    """Seconds of start, checkpoints and saving; bytes of the model, and of a live job's checkpoints."""
    assert setup.fit is not None and setup.fit.hardware is not None
    size = disk.checkpoint(training, setup.fit.hardware.sharding)
    saved = disk.saved_model(settings, training)
    start = constant("cpu_start_train_s" if setup.device.is_cpu else "gpu_start_train_s")
    loading = disk.fetched_model(training.shape) / constant("read_bytes_per_s")
    written = (settings.checkpoints * size + saved) / constant("write_bytes_per_s")
    return start + loading + written, saved, disk.checkpoints(settings.checkpoints, size)


def _sft(job: Job, setup: Setup) -> Cost:
    own, sft, shape, fit = setup.own, setup.own.sft, setup.shape, setup.fit
    assert shape is not None and fit is not None and fit.hardware is not None
    domain = setup.sizes.domains[job.named["domain"]]
    number = domain.selections[own.arms[job.named["arm"]].trajectories]
    of_budget = domain.selections["all"] if sft.budget == "steps" else number
    steps = sft.epochs * ceil(of_budget / sft.batch_size)
    seen = steps * sft.batch_size if sft.budget == "steps" else sft.epochs * number
    mean, square = sequences(domain.prompt, domain.lengths)
    training = training_of(shape, sft, setup.setting, sft.max_length, fit.cut)
    parts = steps * fit.cut.parts * fit.hardware.processes
    work = Work(forward_operations(shape, seen * mean, seen * square), parts)
    passes = training_passes(sft, training.recomputes)
    computing = _on_devices(
        training_seconds(shape, work, passes, setup.device, sft), setup, domain.prompt, domain.lengths
    )
    around, saved, kept_points = _around_training(setup, training, sft)
    seconds = (
        computing + around + (sft.epochs + 1) * _by_epoch(setup, domain.prompt, domain.held_out, mean, square)
    )
    live = kept_points + disk.tokenised(number * mean)
    return Cost(seconds, saved, live, fit.hardware.devices)


def _by_epoch(setup: Setup, prompt: float, held_out: int, mean: float, square: float) -> float:
    """Seconds of losses and answers on what is held out, after one epoch; on every device alike."""
    if not held_out or setup.shape is None:
        return 0.0
    sft = setup.own.sft
    work = Work(forward_operations(setup.shape, held_out * mean, held_out * square), held_out * mean / 2**12)
    seconds = scoring_seconds(setup.shape, work, setup.device)
    if not sft.epoch_questions:
        return seconds
    rows = max(1, _LONGEST // sft.epoch_max_tokens)
    lengths = Lengths(((1.0, min(mean - prompt, sft.epoch_max_tokens)),), 0.6)
    decoder = Decoder("transformers", setup.device, rows=rows)
    return seconds + decoding_seconds(setup.shape, decoder, sft.epoch_questions, prompt, lengths)


def _grpo(job: Job, setup: Setup) -> Cost:
    grpo, shape, fit = setup.own.grpo, setup.shape, setup.fit
    assert grpo is not None and shape is not None and fit is not None and fit.hardware is not None
    name = job.named["domain"]
    prompt, lengths = setup.sizes.domains[name].prompt, setup.sizes.rollouts[name]
    rollouts, devices = grpo.prompts * grpo.generations, fit.hardware.processes
    mean, square = sequences(prompt, lengths)
    training = training_of(shape, grpo, setup.setting, grpo.max_tokens, fit.cut)
    # vLLM's probabilities are corrected by those of the weights that train, and a penalty asks a reference.
    passes = training_passes(grpo, training.recomputes) + (1 if grpo.vllm else 0) + (1 if grpo.kl > 0 else 0)
    work = Work(forward_operations(shape, rollouts * mean, rollouts * square), fit.cut.parts * devices)
    step = _on_devices(training_seconds(shape, work, passes, setup.device, grpo), setup, prompt, lengths)
    writing = _rollout_seconds(setup, grpo, rollouts, prompt, lengths) / grpo.num_iterations
    evaluations = 1 + grpo.steps // grpo.eval_steps if grpo.eval_steps else 0
    asked = (
        evaluations * _rollout_seconds(setup, grpo, grpo.eval_problems, prompt, lengths)
        if evaluations
        else 0.0
    )
    around, saved, kept_points = _around_training(setup, training, grpo)
    return Cost(grpo.steps * (step + writing) + asked + around, saved, kept_points, fit.hardware.devices)


def _rollout_seconds(setup: Setup, grpo: Grpo, rollouts: int, prompt: float, lengths: Lengths) -> float:
    """Seconds in which all devices write so many rollouts."""
    fit, shape = setup.fit, setup.shape
    assert fit is not None and fit.hardware is not None and shape is not None
    devices = fit.hardware.processes
    if not grpo.vllm or setup.device.is_cpu:
        own_loop = fit.hardware.sharding == "ddp"
        decoder = Decoder(
            "transformers", setup.device, rows=rollouts / devices, own_loop=own_loop, together=devices
        )
        return decoding_seconds(shape, decoder, rollouts / devices, prompt, lengths)
    spread = section_from_resources(setup.setting, GrpoEngineHardware).vllm_tensor_parallel_size
    room = fit.room.cache if fit.room is not None else 0.0
    decoder = Decoder(
        "vllm", setup.device, spread, constant("vllm_sequences"), room, together=devices / spread
    )
    return decoding_seconds(shape, decoder, rollouts * spread / devices, prompt, lengths)


# --- sampling ---------------------------------------------------------------------------------------


def _decoder(setup: Setup, decoding: Decoding) -> Decoder:
    fit = setup.fit
    assert fit is not None
    if decoding.engine == "vllm" and not setup.device.is_cpu:
        room = fit.room.cache if fit.room is not None else 0.0
        return Decoder("vllm", setup.device, max(1, fit.gpus), constant("vllm_sequences"), room)
    return Decoder("transformers", setup.device, rows=setup.setting.get("batch_size") or decoding.batch_size)


def _start(setup: Setup, decoding: Decoding) -> float:
    """Seconds before the first token."""
    shape = setup.shape
    assert shape is not None
    name = "gpu_start_vllm_s" if decoding.engine == "vllm" else "gpu_start_sample_s"
    start = constant("cpu_start_sample_s" if setup.device.is_cpu else name)
    return start + disk.fetched_model(shape) / constant("read_bytes_per_s")


def _generate(job: Job, setup: Setup) -> Cost:
    own, shape = setup.own, setup.shape
    assert own.sampling is not None and shape is not None
    domain = setup.sizes.domains[job.named["domain"]]
    responses = domain.trajectories / own.shards
    decoder = _decoder(setup, own.sampling)
    seconds = decoding_seconds(shape, decoder, responses, domain.prompt, domain.lengths)
    live = disk.packed(disk.text_of(responses, domain.lengths.mean))
    return Cost(_start(setup, own.sampling) + seconds, live=live)


def _pass_rates(job: Job, setup: Setup) -> Cost:
    grpo, shape, name = setup.own.grpo, setup.shape, job.named["domain"]
    assert grpo is not None and shape is not None
    decoding = setup.own.pass_rate_run(int(job.named["seed"])).decoding
    responses = setup.own.grpo_problems(name) * grpo.pass_rate_rollouts
    lengths, prompt = setup.sizes.rollouts[name], setup.sizes.domains[name].prompt
    seconds = decoding_seconds(shape, _decoder(setup, decoding), responses, prompt, lengths)
    return Cost(_start(setup, decoding) + seconds)


def _answer(job: Job, setup: Setup) -> Cost:
    return Cost(_start(setup, setup.own.evaluation) + _answering(setup) / setup.own.evaluation.shards)


def _answering(setup: Setup) -> float:
    """Seconds in which a model answers the questions of all suites by sampling."""
    shape, evaluation = setup.shape, setup.own.evaluation
    assert shape is not None
    decoder, total = _decoder(setup, evaluation), 0.0
    by_lengths: dict[tuple[Any, float], int] = {}
    for suite in setup.sizes.suites.values():
        if not suite.scored:
            key = (suite.lengths, suite.prompt)
            by_lengths[key] = by_lengths.get(key, 0) + suite.questions
    for (lengths, prompt), questions in by_lengths.items():
        total += decoding_seconds(shape, decoder, questions * evaluation.samples, prompt, lengths)
    return total


def _evaluate(job: Job, setup: Setup) -> Cost:
    own, shape = setup.own, setup.shape
    assert shape is not None
    alone = own.evaluation.shards == 1
    seconds = _start(setup, own.evaluation) + (_answering(setup) if alone else 0.0)
    seconds += scoring_seconds(shape, _scored(setup, shape), setup.device)
    answers = setup.sizes.answers * own.evaluation.samples
    seconds += answers * constant("verdict_s")
    kept = disk.evaluation(own, setup.sizes)
    return Cost(seconds + kept / constant("text_bytes_per_s"), kept)


def _scored(setup: Setup, shape: Shape) -> Work:
    """Choices whose likelihood is computed, and answers whose entropy is."""
    operations = tokens = 0.0
    sampled = [suite for suite in setup.sizes.suites.values() if not suite.scored]
    for suite in setup.sizes.suites.values():
        if suite.scored:
            rows = suite.questions * _CHOICES
            operations += forward_operations(shape, rows * suite.prompt, rows * suite.prompt**2)
            tokens += rows * suite.prompt
    wanted = min(setup.own.evaluation.entropy_samples, setup.sizes.answers)
    for suite in sampled:
        share = wanted * suite.questions / max(1, setup.sizes.answers)
        mean, square = sequences(suite.prompt, suite.lengths)
        operations += forward_operations(shape, share * mean, share * square)
        tokens += share * mean
    return Work(operations, ceil(tokens / SCORED_TOKENS))


# --- on cores -----------------------------------------------------------------------------------------


def _fetch(job: Job, setup: Setup) -> Cost:
    assert setup.shape is not None
    size = disk.fetched_model(setup.shape)
    return Cost(_light() + size / constant("download_bytes_per_s"), size)


def _pretrain(job: Job, setup: Setup) -> Cost:
    own, shape = setup.own, setup.shape
    settings = (own.teacher if job.key == "teacher" else own.base).pretrain  # type: ignore[union-attr]
    assert settings is not None and shape is not None
    rows = settings.batch_size / 4
    size = shape.parameters / 423_936
    seconds = sum(
        phase.steps
        * rows
        * size
        * constant("cpu_pretrain_muon_step_s" if phase.optimizer == "muon" else "cpu_pretrain_step_s")
        for phase in settings.phases.values()
    )
    return Cost(constant("cpu_start_sample_s") + seconds, 4 * shape.parameters)


def _scratch(job: Job, setup: Setup) -> Cost:
    assert setup.shape is not None
    return Cost(constant("cpu_start_sample_s"), 4 * setup.shape.parameters)


def _light() -> float:
    return constant("cpu_start_light_s")


def _small(job: Job, setup: Setup) -> Cost:
    return Cost(_light())


def _domain_text(job: Job, setup: Setup) -> float:
    domain = setup.sizes.domains[job.named["domain"]]
    return disk.text_of(domain.trajectories, domain.lengths.mean)


def _reads(job: Job, setup: Setup) -> Cost:
    """Reads all trajectories of a domain, and keeps nothing."""
    return Cost(_light() + _domain_text(job, setup) / constant("text_bytes_per_s"))


def _merge(job: Job, setup: Setup) -> Cost:
    text = _domain_text(job, setup)
    return Cost(_light() + text / constant("text_bytes_per_s"), disk.packed(text))


def _verify(job: Job, setup: Setup) -> Cost:
    text, rows = _domain_text(job, setup), setup.sizes.domains[job.named["domain"]].trajectories
    workers = 8 if not setup.device.is_cpu else 1
    seconds = rows * constant("verdict_s") / workers + text / constant("text_bytes_per_s")
    return Cost(_light() + seconds, disk.packed(text))


def _arms(job: Job, setup: Setup) -> Cost:
    written = disk.arms_of_a_seed(setup.own, setup.sizes.domains[job.named["domain"]])
    return Cost(_light() + _domain_text(job, setup) / constant("text_bytes_per_s"), written)


def _select(job: Job, setup: Setup) -> Cost:
    domain = setup.sizes.domains[job.named["domain"]]
    rows = domain.selections[job.named["selection"]]
    written = round(disk.text_of(rows, domain.prompt + domain.lengths.mean))
    return Cost(_light() + _domain_text(job, setup) / constant("text_bytes_per_s"), written)


def _tables(job: Job, setup: Setup) -> Cost:
    own = setup.own
    models = len(own.seeds) * (1 + len(own.domain_names) * len(own.arms))
    models += len(own.grpo_seeds) * len(own.domain_names) * len(own.initialisations)
    read = models * disk.evaluation(own, setup.sizes) * constant("compression") / 2
    return Cost(constant("tables_s") + read / constant("text_bytes_per_s"))


def _figures(job: Job, setup: Setup) -> Cost:
    return Cost(constant("tables_s"))


def _page(job: Job, setup: Setup) -> Cost:
    return Cost(constant("tables_s") / 4)


_RULES: dict[str, Callable[[Job, Setup], Cost]] = {
    "fetch": _fetch,
    "pretrain": _pretrain,
    "scratch": _scratch,
    "suite": _small,
    "problems": _small,
    "import_trajectories": _merge,
    "generate": _generate,
    "merge": _merge,
    "contamination": _reads,
    "verify": _verify,
    "arms": _arms,
    "select": _select,
    "sft": _sft,
    "pass_rates": _pass_rates,
    "grpo": _grpo,
    "answer": _answer,
    "evaluate": _evaluate,
    "tables": _tables,
    "figures": _figures,
    "report": _page,
    "students": _page,
}
"""What each rule of the workflow takes."""
