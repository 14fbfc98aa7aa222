"""Which tokens may be drawn: min-p, top-k and nucleus (top-p), for every decoding loop of our own.

The order is vLLM's, so that settings mean the same in both engines: those that are likely enough beside the
likeliest, the k likeliest of them, then the nucleus of what is left. (`generate` of transformers takes min-p
last, which leaves more where both are used.)
"""

import torch

_LIKELIEST = 64
"""How many tokens are put in order for the nucleus, where that is enough."""


def filtered(probabilities: torch.Tensor, top_k: int, top_p: float, min_p: float) -> torch.Tensor:
    """The probabilities with 0 for every token that may not be drawn; they no longer add up to 1.

    Args:
        probabilities: (rows, vocabulary), each row adds up to 1.
        top_k: so many of the likeliest are left, and more where the last of them are equally likely; 0: all.
        top_p: the nucleus is the smallest set of the likeliest with at least this share of what is left.
        min_p: tokens less likely than this share of the likeliest one's probability are left out; 0: none.

    Returns:
        (rows, vocabulary); the likeliest token is always left.
    """
    if min_p > 0:
        likely = min_p * probabilities.amax(-1, keepdim=True)
        probabilities = probabilities.masked_fill(probabilities < likely, 0.0)
    if 0 < top_k < probabilities.shape[-1]:
        least = probabilities.topk(top_k, -1).values[:, -1:]
        probabilities = probabilities.masked_fill(probabilities < least, 0.0)
    if top_p < 1:
        # What was left out above had mass: the nucleus is one of the rest.
        mass = top_p * probabilities.sum(-1, keepdim=True) if min_p > 0 or top_k > 0 else top_p
        probabilities = probabilities.masked_fill(_outside_nucleus(probabilities, mass), 0.0)
    return probabilities


def _outside_nucleus(probabilities: torch.Tensor, mass: torch.Tensor | float) -> torch.Tensor:
    """Which tokens are not in the nucleus of this mass, (rows, vocabulary), bool.

    A nucleus is mostly a few tokens, so the likeliest are looked at first: to sort a whole vocabulary took a
    fifth of the time of a sampled token of the miniature, on a CPU.
    """
    ordered, order = probabilities.topk(min(_LIKELIEST, probabilities.shape[-1]), -1)
    if (ordered.cumsum(-1)[:, -1:] < mass).any():
        ordered, order = probabilities.sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= mass
    return torch.ones_like(probabilities, dtype=torch.bool).scatter(-1, order, outside)
