"""The language-model head on a CPU: log-probabilities of the labels without the logits of all tokens.

TRL's fused head has a Triton kernel for GPUs, and there it stays. Its fallback for other devices scores
every position, prompt and padding included, in tiles with several float32 temporaries each. The one here
scores only labelled positions, some tokens at a time and in place, and recomputes their logits in the
backward pass; `use_chunked_head` puts it into a model.

Not for a GPU, for models that scale or cap their logits, for mixtures of experts, or for DeepSpeed
ZeRO-3, which only runs on GPUs. Entropy is measured, never a loss term: it has no gradient here.
"""

import functools
import types
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor
from transformers import PretrainedConfig, PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from glow.models.scoring import IGNORED

CHUNK_BYTES = 2**25
"""What one chunk's logits may take. The forward pass holds two such buffers, the backward pass one."""

LOGIT_CHANGES = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
)
"""Settings by which some models change the logits after the projection (those that TRL's head reads)."""


def chunked_log_probs(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability of each target under `softmax(hidden @ weight.T + bias)`, in bounded memory.

    The projection runs in autocast's dtype where that is on, as in TRL's head, else in that of `hidden`;
    all else, gradients included, in float32 (float64 for float64). Kept for the backward pass are the
    arguments and one number a token.

    Args:
        hidden: last hidden states, (n, h); n may be 0.
        weight: of the head, (v, h).
        bias: of the head, (v,), or None.
        target: token ids, (n,) int64, each in [0, v).

    Returns:
        log_prob: (n,) nats, differentiable in hidden, weight and bias.
        entropy: of the next-token distribution, (n,) nats, without gradient.
        is_top1: whether the target is the likeliest token, the first of equals, (n,) bool.
    """
    return _ChunkedLogProbs.apply(hidden, weight, bias, target)


def use_chunked_head(model: PreTrainedModel) -> bool:
    """Let `model(..., fused_lm_head=True)` go through `chunked_log_probs`.

    Args:
        model: a causal language model that has been through TRL's `add_fused_lm_head`, as every
            SFTTrainer's has; under PEFT its base model (`get_base_model()`). Calls without
            `fused_lm_head=True` go on to the forward that it had.

    Returns:
        Whether the model now has our head. False where its head is not plain (logits scaled or capped, a
        mixture of experts, a language model inside a larger one); the model is then left as it was.
    """
    if not _has_plain_head(model.config):
        return False
    previous = model.forward

    # With the class's signature, against which `generate` checks what it is asked to pass on.
    @functools.wraps(type(model).forward)
    def forward(self: PreTrainedModel, *args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        if fused_lm_head:
            return _score_labels(self, *args, **kwargs)
        return previous(*args, **kwargs)

    model.forward = types.MethodType(forward, model)
    return True


def _has_plain_head(config: PretrainedConfig) -> bool:
    changes = [name for name in LOGIT_CHANGES if getattr(config, name, None) is not None]
    return not changes and config.get_text_config() is config and not hasattr(config, "output_router_logits")


def _score_labels(
    model: PreTrainedModel,
    *args: Any,
    labels: Tensor | None = None,
    shift_labels: Tensor | None = None,
    num_items_in_batch: Tensor | int | None = None,
    **kwargs: Any,
) -> FusedCausalLMOutput:
    """What TRL's head returns: (batch, length - 1) fields, zero where the label is ignored.

    `shift_labels`, (batch, length), already stand where they are predicted; the fields then have length.
    """
    # Looked up on each call: PEFT and FSDP replace backbone and head after the model was patched.
    kwargs["use_cache"] = False
    hidden = model.base_model(*args, **kwargs).last_hidden_state
    if shift_labels is None:
        assert labels is not None  # one of the two is always given
        shift_labels = labels[:, 1:]
    mask = shift_labels != IGNORED
    row, column = mask.nonzero(as_tuple=True)
    scored = hidden.flatten(0, 1).index_select(0, row * hidden.shape[1] + column)
    head = model.get_output_embeddings()
    bias = None if head.bias is None else _gather_shards(head.bias)
    per_token = chunked_log_probs(scored, _gather_shards(head.weight), bias, shift_labels[mask])
    # masked_scatter keeps the result connected to the model also where nothing is labelled.
    log_probs, entropy, is_top1 = (x.new_zeros(mask.shape).masked_scatter(mask, x) for x in per_token)
    divisor = mask.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    return FusedCausalLMOutput(
        loss=-log_probs.sum() / divisor,
        log_probs=log_probs,
        entropy=entropy,
        is_top1=is_top1,
        label_mask=mask,
    )


def _gather_shards(parameter: Tensor) -> Tensor:
    """The parameter itself, gathered from all processes where FSDP2 has sharded it."""
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter


class _Context(Protocol):
    """What is used of the object that torch hands to both passes: its FunctionCtx declares less of it."""

    projected_in: torch.dtype
    saved_tensors: tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]
    needs_input_grad: tuple[bool, bool, bool, bool]

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...

    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...


class _ChunkedLogProbs(torch.autograd.Function):
    """`chunked_log_probs`; the gradient of log p(t) in the logits is `onehot(t) - softmax`."""

    @staticmethod
    def forward(
        ctx: _Context, hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        ctx.projected_in = torch.get_autocast_dtype(device) if autocast else hidden.dtype
        dtype = torch.promote_types(ctx.projected_in, torch.float32)
        log_prob, entropy, log_z = (hidden.new_empty(len(target), dtype=dtype) for _ in range(3))
        is_top1 = torch.empty_like(target, dtype=torch.bool)
        exponentials = hidden.new_empty((_chunk_length(weight, dtype, len(target)), len(weight)), dtype=dtype)
        for part, logits in _logits(hidden, weight, bias, ctx.projected_in, dtype):
            of_target, top, is_top1[part] = _compare(logits, target[part])
            exp = torch.exp(logits.sub_(top[:, None]), out=exponentials[: len(logits)])
            total = exp.sum(dim=1)
            log_total = total.log()
            # H = log sum_v e^z - sum_v p z, both with z relative to the largest logit.
            entropy[part] = log_total - logits.mul_(exp).sum(dim=1) / total
            log_z[part] = top + log_total
            log_prob[part] = of_target - log_z[part]
        ctx.save_for_backward(hidden, weight, bias, target, log_z)
        ctx.mark_non_differentiable(entropy, is_top1)
        return log_prob, entropy, is_top1

    @staticmethod
    @once_differentiable
    def backward(
        ctx: _Context, grad_log_prob: Tensor, *_: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        hidden, weight, bias, target, log_z = ctx.saved_tensors
        dtype = log_z.dtype
        # None where not needed: PEFT freezes the head, and a (v, h) gradient for nothing is large.
        grad_hidden, grad_weight, grad_bias = (
            torch.zeros_like(x, dtype=dtype) if x is not None and needed else None
            for x, needed in zip((hidden, weight, bias), ctx.needs_input_grad[:3], strict=True)
        )
        wide_weight = weight if grad_hidden is None else weight.to(dtype)
        for part, logits in _logits(hidden, weight, bias, ctx.projected_in, dtype):
            share = grad_log_prob[part].to(dtype)[:, None]
            grad_logits = logits.sub_(log_z[part, None]).exp_().mul_(-share)
            grad_logits.scatter_add_(1, target[part, None], share)
            if grad_hidden is not None:
                torch.mm(grad_logits, wide_weight, out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight.addmm_(grad_logits.t(), hidden[part].to(dtype))
            if grad_bias is not None:
                grad_bias.add_(grad_logits.sum(dim=0))
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None or bias is None else grad_bias.to(bias.dtype),
            None,
        )


def _chunk_length(weight: Tensor, dtype: torch.dtype, tokens: int) -> int:
    """How many of `tokens` tokens a chunk takes."""
    return min(tokens, max(1, CHUNK_BYTES // (len(weight) * dtype.itemsize)))


def _logits(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, projected_in: torch.dtype, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor]]:
    """Chunk by chunk: which tokens, and their logits, (chunk, v) in `dtype`, projected in `projected_in`.

    The logits lie in a buffer that the next chunk overwrites; what is done to them in place is free.
    """
    length = _chunk_length(weight, dtype, len(hidden))
    buffer = hidden.new_empty((length, len(weight)), dtype=dtype)
    narrow = buffer if projected_in == dtype else torch.empty_like(buffer, dtype=projected_in)
    projection = weight.to(projected_in).t()
    for start in range(0, len(hidden), max(1, length)):
        part = slice(start, min(start + length, len(hidden)))
        tokens = part.stop - start
        projected = torch.mm(hidden[part].to(projected_in), projection, out=narrow[:tokens])
        if bias is not None:
            projected.add_(bias.to(projected_in))
        yield part, (projected if narrow is buffer else buffer[:tokens].copy_(projected))


def _compare(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The target's logit, the largest logit, and whether the target is the first to have it; each (n,).

    `argmax` over every row costs as much as the exponentials; the largest of the *other* logits settles
    all rows but ties.
    """
    place = target[:, None]
    of_target = logits.gather(1, place)
    largest_other = logits.scatter_(1, place, -torch.inf).amax(dim=1)
    logits.scatter_(1, place, of_target)
    of_target = of_target[:, 0]
    is_top1 = of_target > largest_other
    tied = (of_target == largest_other).nonzero()[:, 0]
    is_top1[tied] = logits[tied].argmax(dim=1) == target[tied]
    return of_target, torch.maximum(of_target, largest_other), is_top1
