"""One teacher-forced pass: how likely given responses are, and how uncertain the model was at each token.

Multiple choice asks for the likelihood, policy entropy for the uncertainty. Nothing is sampled here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from glow.models.load import without_router_logits

IGNORED = -100
"""The label of a position that is not scored, in training as well (transformers' convention)."""

_BATCH_TOKENS = 2**14
"""Tokens, padding included, that go through the model side by side."""

_LOGITS = {"cpu": 2**25, "cuda": 2**28}
"""Logits that are held at a time (128 MB, 1 GB in float32): more positions are taken in turn."""

_POSITIONS = 16
"""Positions of each row whose logits are held at a time, at least: with a large vocabulary fewer rows go side
by side, of less different lengths."""


@dataclass(frozen=True)
class Score:
    """What the model makes of one response after its prompt.

    Attributes:
        log_likelihood: sum of log p(token | what precedes it) over the response's tokens, in nats.
        entropy: sum of the entropies of p(. | what precedes it) over the same positions, in nats.
        greedy: whether every token was the most probable one.
        tokens: how many tokens the response has.
        entropies: (tokens,) float32, the entropies one by one.
    """

    log_likelihood: float
    entropy: float
    greedy: bool
    tokens: int
    entropies: NDArray[np.float32] = field(compare=False, repr=False)


def score_responses(
    model: Any,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    on_done: Callable[[int], object] = lambda count: None,
) -> list[Score]:
    """Score each response after its prompt, at temperature 1.

    Args:
        model: a causal language model of transformers.
        prompts: token ids, at least one each.
        responses: token ids to be scored, with the end of sequence where it should count.
        on_done: called with the number of responses that have just been scored.

    Returns:
        One score a response, in their order. Log-probabilities are taken in float32 and summed in float64.
    """
    scores: dict[int, Score] = {}
    most = _LOGITS[model.device.type] // (_POSITIONS * _vocabulary(model))
    for batch in _batches(prompts, responses, most):
        scored = _score_batch(
            model, [prompts[index] for index in batch], [responses[index] for index in batch]
        )
        scores.update(zip(batch, scored, strict=True))
        on_done(len(batch))
    return [scores[index] for index in range(len(prompts))]


def _batches(
    prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], most: int
) -> Iterator[list[int]]:
    """Places of the responses in batches of like length, of at most so many rows, longest first."""
    lengths = [len(prompt) + len(response) for prompt, response in zip(prompts, responses, strict=True)]
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    while order:
        rows = max(1, min(_BATCH_TOKENS // max(1, lengths[order[0]]), most))
        yield order[:rows]
        order = order[rows:]


@torch.inference_mode()
def _score_batch(model: Any, prompts: list[Sequence[int]], responses: list[Sequence[int]]) -> list[Score]:
    """Score the rows of one batch, right padded: a causal model does not look at what comes after."""
    rows = [[*prompt, *response] for prompt, response in zip(prompts, responses, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=model.device)
    # Position j predicts token j + 1: a response's tokens are predicted from its prompt's last position on.
    first = torch.tensor([len(prompt) - 1 for prompt in prompts], device=model.device)[:, None]
    count = torch.tensor([len(response) for response in responses], device=model.device)[:, None]
    entropies = torch.zeros(len(rows), longest, dtype=torch.float32, device=model.device)
    totals = torch.zeros(3, len(rows), dtype=torch.float64, device=model.device)
    for start, logits in _logits(model, ids, int(first.min())):
        positions = torch.arange(start, start + logits.shape[1], device=model.device)[None]
        scored = (first <= positions) & (positions < first + count)
        targets = ids[:, start + 1 : start + 1 + logits.shape[1]]
        log_probabilities = logits.float().log_softmax(-1)
        chosen = log_probabilities.gather(-1, targets[..., None])[..., 0]
        entropy = torch.special.entr(log_probabilities.exp()).sum(-1)
        entropies[:, start : start + logits.shape[1]] = entropy
        other = log_probabilities.argmax(-1) != targets
        totals += torch.stack([chosen, entropy, other]).double().masked_fill(~scored, 0).sum(-1)
    by_token = [
        row[len(prompt) - 1 :][: len(response)]
        for row, prompt, response in zip(entropies.cpu().numpy(), prompts, responses, strict=True)
    ]
    return [
        Score(log_likelihood, entropy, misses == 0, len(own), own.copy())
        for (log_likelihood, entropy, misses), own in zip(totals.T.tolist(), by_token, strict=True)
    ]


def _logits(model: Any, ids: torch.Tensor, first: int) -> Iterator[tuple[int, torch.Tensor]]:
    """The logits at positions `first` to the last but one, as (start, (rows, some positions, vocabulary)).

    They come in parts, so that the logits of a long response with a large vocabulary need not all be in
    memory at once; the key-value cache carries over the earlier positions.
    """
    rows, length = ids.shape
    cache, further = DynamicCache(config=model.config), without_router_logits(model.config)
    if first > 0:
        model(input_ids=ids[:, :first], past_key_values=cache, use_cache=True, logits_to_keep=1, **further)
    step = max(1, _LOGITS[model.device.type] // (rows * _vocabulary(model)))
    for start in range(first, length - 1, step):
        inputs = ids[:, start : min(start + step, length - 1)]
        yield start, model(input_ids=inputs, past_key_values=cache, use_cache=True, **further).logits


def _vocabulary(model: Any) -> int:
    words: int = model.config.get_text_config().vocab_size
    return words
