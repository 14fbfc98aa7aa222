"""The language-model head on a CPU: log-probabilities of the labels without the logits of all tokens.

Kept because TRL 1.16's own head, on a CPU, scores every position, prompt and padding included: with this one
an SFT step of the miniature takes 0.8 of the time (`benchmarks/step_time.py`), and under a vocabulary of 152k
GlowTrainer peaks at 0.20 of the released code's memory, TRL's SFTTrainer at 0.67 (`benchmarks/memory.py`).
GRPO, whose rollouts are of more unequal lengths, gains as much.
It scores labelled positions only, some at a time, and recomputes their logits in the backward pass.
"""

import functools
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from glow.models.scoring import IGNORED

CHUNK_BYTES = 2**25
"""What one chunk's logits may take. The forward pass holds two such buffers, the backward pass one."""

LOGIT_CHANGES = "final_logit_softcapping logit_scale output_multiplier lm_head_multiplier logits_scaling"
"""Settings by which some models change the logits after the projection (those that TRL's head reads)."""


def use_chunked_head(model: PreTrainedModel, temperature: float = 1.0) -> bool:
    """Let `model(..., labels=..., fused_lm_head=True)` go through the head of this file.

    Args:
        model: that of an SFTTrainer or a GRPOTrainer, which has TRL's head; under PEFT its base model.
        temperature: what logits are divided by, as in TRL's head.

    Returns:
        Whether the model now has this head. One whose head is more than a matrix keeps TRL's: with a bias,
        logits scaled or capped, a mixture of experts, a language model inside a larger one.
    """
    config, previous = model.config, model.forward
    plain = config.get_text_config() is config and not hasattr(config, "output_router_logits")
    changes = [name for name in LOGIT_CHANGES.split() if getattr(config, name, None) is not None]
    if changes or not plain or model.get_output_embeddings().bias is not None:
        return False

    # With the class's signature, against which `generate` checks what it is asked to pass on.
    @functools.wraps(type(model).forward)
    def forward(self: PreTrainedModel, *args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        return (
            _score_labels(self, temperature, *args, **kwargs) if fused_lm_head else previous(*args, **kwargs)
        )

    model.forward = types.MethodType(forward, model)
    return True


def _score_labels(
    model: PreTrainedModel,
    temperature: float,
    *args: Any,
    labels: Tensor,
    num_items_in_batch: Any = None,
    **kwargs: Any,
) -> FusedCausalLMOutput:
    """What TRL's head returns: (batch, length - 1) fields, zero where the label is ignored."""
    kwargs["use_cache"] = False
    # Backbone and head are looked up on each call: PEFT and FSDP replace them after the model was patched.
    hidden = model.base_model(*args, **kwargs).last_hidden_state[:, :-1]
    weight = model.get_output_embeddings().weight
    if isinstance(weight, DTensor):  # FSDP2 has sharded it
        weight = weight.full_tensor()
    target = labels[:, 1:]
    mask = target != IGNORED
    scored = hidden[mask] if temperature == 1 else hidden[mask] / temperature
    per_token = _ChunkedLogProbs.apply(scored, weight, target[mask])
    # masked_scatter keeps the result connected to the model also where nothing is labelled.
    log_probs, entropy, is_top1 = (x.new_zeros(mask.shape).masked_scatter(mask, x) for x in per_token)
    divisor = mask.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    loss = -log_probs.sum() / divisor
    return FusedCausalLMOutput(loss, log_probs, entropy, is_top1=is_top1, label_mask=mask)


class _ChunkedLogProbs(torch.autograd.Function):
    """Log-probability of each target under `softmax(hidden @ weight.T)`, in bounded memory.

    The projection runs in autocast's dtype where that is on, else in that of `hidden`; all else, gradients
    included, in float32 (float64 for float64).

    Args: hidden (n, h), where n may be 0; weight (v, h); target ids (n,) int64.

    Returns, all (n,): log-probability in nats; entropy of the next-token distribution in nats, without
    gradient; whether no token is likelier than the target.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        ctx.projected_in = torch.get_autocast_dtype(device) if autocast else hidden.dtype
        dtype = torch.promote_types(ctx.projected_in, torch.float32)
        log_prob, entropy, log_z = (hidden.new_empty(len(target), dtype=dtype) for _ in range(3))
        is_top1 = torch.empty_like(target, dtype=torch.bool)
        buffer = hidden.new_empty(0, dtype=dtype)
        for part, logits in _chunks(hidden, weight, ctx.projected_in, dtype):
            top = logits.amax(dim=1)
            of_target = logits.gather(1, target[part, None])[:, 0]
            exp = torch.exp(logits.sub_(top[:, None]), out=buffer.resize_(logits.shape))
            total = exp.sum(dim=1)
            # H = log sum_v e^z - sum_v p z, both with z relative to the largest logit.
            entropy[part] = total.log() - logits.mul_(exp).sum(dim=1) / total
            log_z[part] = top + total.log()
            log_prob[part] = of_target - log_z[part]
            is_top1[part] = of_target == top
        ctx.save_for_backward(hidden, weight, target, log_z)
        ctx.mark_non_differentiable(entropy, is_top1)
        return log_prob, entropy, is_top1

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_log_prob: Tensor, *_: Any) -> tuple[Tensor | None, Tensor | None, None]:
        """The gradient of log p(t) in the logits is `onehot(t) - softmax`."""
        hidden, weight, target, log_z = ctx.saved_tensors
        # None where not needed: PEFT freezes the head, and a (v, h) gradient for nothing is large.
        grad_hidden, grad_weight = (
            torch.zeros_like(x, dtype=log_z.dtype) if needed else None
            for x, needed in zip((hidden, weight), ctx.needs_input_grad[:2], strict=True)
        )
        wide_weight = weight.to(log_z.dtype)
        for part, logits in _chunks(hidden, weight, ctx.projected_in, log_z.dtype):
            share = grad_log_prob[part].to(log_z.dtype)[:, None]
            grad_logits = logits.sub_(log_z[part, None]).exp_().mul_(-share)
            grad_logits.scatter_add_(1, target[part, None], share)
            if grad_hidden is not None:
                grad_hidden[part] = grad_logits @ wide_weight
            if grad_weight is not None:
                grad_weight.addmm_(grad_logits.t(), hidden[part].to(log_z.dtype))
        return grad_hidden, grad_weight, None  # torch casts them to their tensors' dtypes


def _chunks(
    hidden: Tensor, weight: Tensor, projected_in: torch.dtype, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor]]:
    """Chunk by chunk: which tokens, and their logits, (chunk, v), which the next chunk overwrites."""
    length = min(len(hidden), max(1, CHUNK_BYTES // (len(weight) * dtype.itemsize)))
    buffer = hidden.new_empty((length, len(weight)), dtype=projected_in)
    projection = weight.to(projected_in).t()
    for start in range(0, len(hidden), max(1, length)):
        part = slice(start, min(start + length, len(hidden)))
        logits = torch.mm(hidden[part].to(projected_in), projection, out=buffer[: part.stop - start])
        yield part, logits.to(dtype)
