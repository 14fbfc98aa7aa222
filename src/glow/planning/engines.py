"""Memory of what samples and scores: vLLM's weights and cache, our loop's batches, teacher-forced passes."""

from dataclasses import dataclass

from glow.config import EngineHardware
from glow.planning.constants import Device, constant
from glow.planning.memory import Need
from glow.planning.shapes import Shape

PROMPT_ROOM = 8192
"""Tokens that vLLM's context keeps for a prompt (`glow.models.vllm_engine`)."""

SCORED_TOKENS = 2**14
"""Tokens whose keys and values are there side by side where responses are scored (`glow.models.scoring`)."""
_SCORED_AT_ONCE = 2**12
"""Tokens that go through a layer at a time there: prompts, then some positions of all rows."""
_SCORED_LOGITS = {True: 2**25, False: 2**28}
"""Logits that are held at a time, on a CPU and on a GPU (as above): in 16 bits, and thrice in float32."""


@dataclass(frozen=True)
class Room:
    """What vLLM has room for.

    Attributes:
        longest: tokens of the longest sequence that it keeps memory for.
        tokens: whose keys and values fit beside the weights; below `longest` it does not start.
        cache: bytes for them on all GPUs.
        need: bytes of each GPU with one such sequence.
    """

    longest: int
    tokens: int
    cache: float
    need: Need

    @property
    def sequences(self) -> int:
        """How many of the longest fit side by side."""
        return self.tokens // self.longest


def vllm_room(shape: Shape, device: Device, share: float, spread: int, longest: int) -> Room:
    """What vLLM has room for on `spread` GPUs, of each of which it takes a share.

    Weights are in 16 bits and divided evenly; so are keys and values, but no head of them.
    """
    weights = 2 * shape.parameters / spread
    reserve = constant("vllm_reserve_bytes")
    each = shape.cache_bytes / min(spread, shape.kv_heads)
    left = share * device.memory - weights - reserve
    need = {"weights": round(weights), "cache of one sequence": round(longest * each), "vLLM": round(reserve)}
    return Room(longest, max(0, int(left / each)), max(0.0, left * spread), Need(need))


def engine_room(shape: Shape, device: Device, hardware: EngineHardware, max_tokens: int) -> Room:
    """The same for the rules that sample, as `glow.models.vllm_engine` starts it."""
    context = min(shape.context, PROMPT_ROOM + max_tokens)
    longest = min(context, hardware.max_model_len or context)
    return vllm_room(shape, device, vllm_share(hardware), hardware.tensor_parallel, longest)


def vllm_share(hardware: EngineHardware) -> float:
    """The share of a GPU's memory that vLLM takes where it has it to itself."""
    percent = hardware.gpu_memory_percent
    return percent / 100 if percent else constant("vllm_share")


def loop_need(shape: Shape, rows: int, length: int, device: Device) -> Need:
    """Bytes of our loop: weights, and keys and values of all rows; float32 on a CPU, else 16 bits."""
    wide = 2 if device.is_cpu else 1
    logits = rows * shape.words * 4 * 3
    return Need(
        {
            "weights": 2 * wide * shape.parameters,
            "cache": round(1.5 * wide * shape.cache_bytes * rows * min(length, shape.context)),
            "logits": logits,
            "libraries": round(0 if device.is_cpu else constant("gpu_context_bytes")),
        }
    )


def scoring_need(shape: Shape, longest: int, device: Device) -> Need:
    """Bytes of teacher-forced passes over responses, on one device."""
    wide = 2 if device.is_cpu else 1
    tokens = max(SCORED_TOKENS, min(longest, shape.context))
    at_work = 2 * wide * (4 * shape.width + 3 * shape.inner) * _SCORED_AT_ONCE
    logits = min(_SCORED_LOGITS[device.is_cpu], SCORED_TOKENS * shape.words)
    return Need(
        {
            "weights, whole, to score responses": 2 * wide * shape.parameters,
            "cache": wide * shape.cache_bytes * tokens,
            "a layer": at_work,
            "logits": 14 * logits,
            "libraries": round(0 if device.is_cpu else constant("gpu_context_bytes")),
        }
    )
