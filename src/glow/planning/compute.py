"""How long a model computes: operations of training, and seconds of training, decoding and scoring.

A weight that a token is multiplied by is one multiplication and one addition: 2 operations. Training is one
forward pass and two of its size backward, so 6 for each weight and token. Attention adds, for each layer, two
products of a token with what stands before it (scores, and the mixture of values): 4 d operations a pair
forward, 12 d with the backward passes; of a sequence of s tokens there are s squared / 2 pairs under the
causal mask, so 6 L d s for each token. Recomputing activations is one more forward pass. Adapters save the
gradients of the weights below them, a third. Optimiser and norms are left out: they are below one in a
hundred.

On a GPU seconds are operations by what a GPU reaches of its peak (`gpu_use`), decoding is bound by memory. On
a CPU a step of a small model costs something besides its tokens. All constants are in `constants.yaml`.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean

from glow.config import Weights
from glow.config.models import EngineName
from glow.planning.constants import Device, constant, gpu_use
from glow.planning.lengths import Lengths, largest
from glow.planning.shapes import Shape

_SMALL, _LARGE = 423_936, 100_000_000
"""Parameters of the model that CPU constants were measured with, and from which on a CPU is at its best."""

_WEIGHTS, _PAIRS = 844_800, 46_080
"""Operations of a token in a forward pass of that model: by its weights, and by attention at 80 tokens."""


@dataclass(frozen=True)
class Work:
    """Operations of a forward pass over some tokens, and how many steps they are taken in."""

    operations: float
    steps: float


def forward_operations(shape: Shape, tokens: float, square: float) -> float:
    """Operations of a forward pass over sequences.

    Args:
        tokens: of all sequences together.
        square: the sum over sequences of their squared lengths.
    """
    return 2 * shape.multiplied * tokens + 2 * shape.layers * shape.attention_width * square


def sequences(prompt: float, lengths: Lengths) -> tuple[float, float]:
    """Mean tokens, and mean squared tokens, of a prompt and its response."""
    mean = prompt + lengths.mean
    square = prompt**2 + 2 * prompt * lengths.mean + lengths.mean_square
    return mean, square


def training_passes(weights: Weights, recomputes: bool) -> float:
    """Forward passes that a training step is worth."""
    backward = 1.0 if weights.lora is not None else 2.0
    return 1.0 + backward + (1.0 if recomputes else 0.0)


def waiting(shape: Shape, prompt: float, lengths: Lengths, rows: float, processes: int) -> float:
    """How many times as long a step takes as its mean work does, as all wait for the process with the most.

    Args:
        rows: sequences that a process computes between two waits.
        processes: that wait for each other, and have their sequences dealt by chance.
    """
    if processes == 1:
        return 1.0
    drawn = [(share, prompt + length) for share, length in lengths.draws()]
    work = sorted((forward_operations(shape, tokens, tokens**2), share) for share, tokens in drawn)
    mean = sum(share * one for one, share in work)
    if rows > 1:  # the sum of some is taken as gamma distributed, as they are
        spread = sum(share * (one - mean) ** 2 for one, share in work) ** 0.5 / mean
        return fmean(largest(spread / rows**0.5, processes))
    below = accumulate((share for _, share in work), initial=0.0)
    chances = ((upper**processes - lower**processes) for lower, upper in pairwise(below))
    return sum(one * chance for (one, _), chance in zip(work, chances, strict=True)) / mean


def training_seconds(shape: Shape, work: Work, passes: float, device: Device, weights: Weights) -> float:
    """Seconds of training on one device.

    Args:
        work: of a forward pass over everything, and the micro-batches.
        passes: `training_passes`.
    """
    operations = work.operations * passes
    slower = constant("four_bit_slowdown") if weights.quantization is not None else 1.0
    if device.is_cpu:
        rate = _cpu_operations(shape, 3 * (_WEIGHTS + _PAIRS) / constant("cpu_train_token_s"))
        return slower * operations / rate + work.steps * constant("cpu_train_step_s")
    return slower * operations / (device.operations * gpu_use(shape.parameters))


def scoring_seconds(shape: Shape, work: Work, device: Device) -> float:
    """Seconds of forward passes alone."""
    if device.is_cpu:
        rate = _cpu_operations(shape, (_WEIGHTS + _PAIRS) / constant("cpu_score_token_s"))
        return work.operations / rate + work.steps * constant("cpu_score_step_s")
    return work.operations / (device.operations * gpu_use(shape.parameters)) + work.steps * (
        shape.layers * constant("loop_layer_s")
    )


def _cpu_operations(shape: Shape, small: float) -> float:
    """Operations a second of one thread: `small` of the measured model, more of large ones."""
    if shape.parameters <= _SMALL:
        return small
    large = max(small, constant("cpu_large_operations"))
    share = min(1.0, (shape.parameters - _SMALL) / (_LARGE - _SMALL))
    return small + share * (large - small)


# --- decoding ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decoder:
    """What decodes: engine, device, and how many rows side by side.

    Attributes:
        devices: that hold one copy of the model.
        rows: sequences side by side at most.
        cache_room: bytes for keys and values on all of `devices`; 0 for no bound.
        own_loop: without vLLM, whether the loop is ours, or transformers' `generate`.
        together: engines that go on when the last of them is done.
    """

    engine: EngineName
    device: Device
    devices: int = 1
    rows: float = 256.0
    cache_room: float = 0.0
    own_loop: bool = True
    together: float = 1.0


def decoding_seconds(
    shape: Shape, decoder: Decoder, responses: float, prompt: float, lengths: Lengths
) -> float:
    """Seconds in which one engine writes `responses` responses."""
    context = prompt + lengths.mean_place
    rows = min(decoder.rows, responses)
    if decoder.cache_room:
        rows = min(rows, max(1.0, decoder.cache_room / (context * shape.cache_bytes)))
    steps = _steps(decoder, responses, rows, lengths)
    if decoder.device.is_cpu:
        rate = _cpu_operations(shape, _WEIGHTS / constant("cpu_decode_token_s"))
        tokens_s = responses * lengths.mean * 2 * shape.multiplied / rate
        return tokens_s + steps * constant("cpu_decode_step_s")
    layer_s = constant("loop_layer_s" if decoder.own_loop else "generate_layer_s")
    if decoder.engine == "vllm":
        layer_s = constant("vllm_layer_s")
    # `generate` computes rows that have ended until the last of their batch has.
    kept = decoder.engine == "transformers" and not decoder.own_loop
    tokens = steps * rows if kept else responses * lengths.mean
    read = steps * 2 * shape.parameters + tokens * context * shape.cache_bytes
    memory_s = read / (decoder.devices * decoder.device.bandwidth * constant("bandwidth_use"))
    rate = decoder.devices * decoder.device.operations * gpu_use(shape.parameters)
    compute_s = tokens * 2 * shape.multiplied / rate
    prefill = responses * forward_operations(shape, prompt, prompt**2) / rate
    exchanged = constant("exchange_s") * 2 * shape.layers if decoder.devices > 1 else 0.0
    return prefill + steps * (shape.layers * layer_s + exchanged) + max(memory_s, compute_s)


def _steps(decoder: Decoder, responses: float, rows: float, lengths: Lengths) -> float:
    """Steps of decoding, each a token for every row that has not ended.

    vLLM fills a row that has ended while there is something to fill it with, and then waits for the longest
    that is left; a loop without it goes on to the longest of each batch.
    """
    batches = max(1.0, responses / rows)
    longest = lengths.longest(rows * decoder.together)
    if decoder.engine == "vllm":
        return (batches - 1) * lengths.mean + longest
    return batches * longest
