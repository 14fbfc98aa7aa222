"""What a training step holds besides its state: activations, and the buffers of the output layer.

Numbers of bytes a token and layer are what autograd keeps, counted by a test that asks it on a small network;
what a layer's backward pass needs on top was read off the peaks that benchmarks/memory.py has on an H200.

In shares (FSDP2), and below adapters, all of it is in 16 bits. Otherwise bf16 is autocast over float32
weights: what flows between layers stays in float32, and the matrices are copied into 16 bits where they are
used.
"""

from dataclasses import dataclass
from typing import Literal

from glow.planning.shapes import Shape

Format = Literal["16", "autocast", "32"]
"""The numbers that flow: 16 bits throughout, autocast over float32, or float32 throughout."""

_STREAM = {"16": 2, "autocast": 4, "32": 4}
"""Bytes of a number between two layers."""

_KEPT = {"16": (16, 4, 4, 8), "autocast": (26, 4, 4, 8), "32": (24, 8, 8, 16)}
"""Bytes that a layer keeps of a token: for each number of its width, queries, keys and inner layer."""

_BACKWARD = {"16": (5, 4), "autocast": (10, 4), "32": (10, 8)}
"""Bytes on top while its backward pass runs: for each number of its width, and of the inner layer."""

_ADAPTER_WIDTH, _ADAPTER_RANK = 4, 25
"""Further bytes that adapters keep: for each number of the width, and for each of their rank."""

_EAGER = 10
"""Bytes of each pair of tokens and head, where attention is computed as it is written (eager)."""

_CPU_CHUNKS = 2 * 2**25
"""Bytes of logits at a time on a CPU (`glow.training.head`)."""

_TILE = (4096, 32768)
"""Tokens and words of the tiles in which TRL 1.16 computes logits on a GPU, in 16 bits."""


@dataclass(frozen=True)
class Batch:
    """A micro-batch on one device.

    Attributes:
        rows, length: of the longest that there may be, in tokens.
        numbers: the format of what flows.
        recomputes: whether layers keep their input alone.
        accumulates: whether a step has several, so that gradients are there from the start.
        eager: whether attention keeps all pairs of tokens.
        rank: of adapters; 0 for none.
    """

    rows: int
    length: int
    numbers: Format
    recomputes: bool
    accumulates: bool
    eager: bool = False
    rank: int = 0

    @property
    def tokens(self) -> int:
        """Of all rows, padding included."""
        return self.rows * self.length


def kept_in_layer(shape: Shape, batch: Batch) -> int:
    """Bytes that one layer keeps of a micro-batch for its backward pass."""
    width, queries, keys, inner = _KEPT[batch.numbers]
    own = width * shape.width + queries * shape.attention_width + keys * shape.kv_width + inner * shape.inner
    if batch.rank:
        own += _ADAPTER_WIDTH * shape.width + _ADAPTER_RANK * batch.rank
    pairs = _EAGER * shape.heads * batch.rows * batch.length**2 if batch.eager else 0
    return own * batch.tokens + pairs


def stream(shape: Shape, batch: Batch) -> int:
    """Bytes of what flows between two layers."""
    return _STREAM[batch.numbers] * shape.width * batch.tokens


def layer_at_work(shape: Shape, batch: Batch) -> int:
    """Bytes of a layer in its backward pass: what it keeps, its gradients, and matrices in 16 bits."""
    width, inner = _BACKWARD[batch.numbers]
    matrices = 2 * shape.layer_matrices if batch.numbers == "autocast" else 0
    return kept_in_layer(shape, batch) + (width * shape.width + inner * shape.inner) * batch.tokens + matrices


def between_layers(shape: Shape, batch: Batch) -> int:
    """Bytes that all layers keep from the forward pass to their backward passes."""
    return shape.layers * (stream(shape, batch) if batch.recomputes else kept_in_layer(shape, batch))


def at_the_head(shape: Shape, batch: Batch, *, on_cpu: bool) -> int:
    """Bytes of the output layer: hidden states, gradients of them and of it in float32, logits in tiles."""
    states = (_STREAM[batch.numbers] + 4) * shape.width * batch.tokens
    trains = 0 if batch.rank else 4 * shape.embedding
    copied = 2 * shape.embedding if batch.numbers == "autocast" else 0
    tokens, words = _TILE
    chunk = (
        min(_CPU_CHUNKS, 8 * batch.tokens * shape.words) if on_cpu else 2 * min(batch.tokens, tokens) * words
    )
    return states + trains + copied + chunk


def peak(shape: Shape, batch: Batch, gradients: int, *, on_cpu: bool = False) -> int:
    """Bytes of activations and gradients at the peak: at the head, in the last layer, or in the first.

    Args:
        gradients: bytes of all gradients, as a device holds them.
    """
    kept, alone = between_layers(shape, batch), layer_at_work(shape, batch)
    # Where nothing is computed again, what the layer at work keeps is among what all of them keep.
    at_work = alone if batch.recomputes else alone - kept_in_layer(shape, batch)
    before = gradients if batch.accumulates else 0
    head_share = shape.embedding / shape.parameters
    copies = 2 * shape.multiplied if batch.numbers == "autocast" and not batch.rank else 0
    return max(
        before + kept + copies + at_the_head(shape, batch, on_cpu=on_cpu),
        max(before, round(gradients * head_share)) + kept + at_work,
        gradients + alone + stream(shape, batch),
    )
