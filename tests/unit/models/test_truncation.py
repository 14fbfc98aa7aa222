"""Which tokens may be drawn: min-p, top-k and nucleus, by hand and as transformers' processors have them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from glow.models import truncation
from glow.models.sampling import choose_tokens
from glow.models.truncation import filtered


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 1}, {1}),
        ({"top_k": 2}, {1, 2, 3}),  # 2 and 3 are equally likely
        ({"top_k": 9}, {0, 1, 2, 3}),
        ({"top_p": 0.4}, {1}),
        ({"min_p": 0.3}, {1, 2, 3}),  # .3 x .5 = .15
        ({"min_p": 0.5}, {1}),
        ({"min_p": 1.0}, {1}),
        # Of what top_k leaves (.5 .2 .2, in all .9) the nucleus of .5 is .45: the first token alone.
        ({"top_k": 3, "top_p": 0.5}, {1}),
        ({"top_p": 0.55}, {1, 2}),  # more than .5 of all, but of .9 it is .495
        ({"top_k": 3, "top_p": 0.55}, {1}),
    ],
)
def test_what_is_left_by_hand(options: dict[str, float], left: set[int]) -> None:
    probabilities = torch.tensor([[0.1, 0.5, 0.2, 0.2]], dtype=torch.float64)
    settings = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, **options}
    found = filtered(probabilities, **settings)  # type: ignore[arg-type]
    kept = set(found[0].nonzero()[:, 0].tolist())
    if options.get("top_p") == 0.55 and "top_k" not in options:
        assert kept in ({1, 2}, {1, 3})  # either of two that are equally likely
    else:
        assert kept == left
    assert torch.equal(found[0, list(kept)], probabilities[0, list(kept)])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    top_k=st.sampled_from([0, 1, 3, 50, 500]),
    top_p=st.sampled_from([0.1, 0.5, 0.9, 0.99, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.2, 0.9]),
)
def test_the_set_is_that_of_transformers_processors_in_vllms_order(
    seed: int, top_k: int, top_p: float, min_p: float
) -> None:
    """On logits of which no two are equal."""
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(4, 200, generator=draw, dtype=torch.float64)
    expected = logits
    ids = torch.zeros(4, 1, dtype=torch.long)
    if min_p:
        expected = MinPLogitsWarper(min_p)(ids, expected)
    if top_k:
        expected = TopKLogitsWarper(top_k)(ids, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(ids, expected)
    found = filtered(logits.softmax(-1), top_k, top_p, min_p)
    assert torch.equal(found > 0, expected > -torch.inf)


@pytest.mark.parametrize("sharpness", [0.0, 0.03, 4.0])
@pytest.mark.parametrize("top_p", [0.3, 0.95, 0.99])
def test_the_nucleus_of_a_large_vocabulary_is_that_of_a_whole_sort(sharpness: float, top_p: float) -> None:
    """Of 656 tokens: almost all in it, more than are looked at first, or a few; never two equally likely."""
    draw = torch.Generator().manual_seed(0)
    logits = sharpness * torch.randn(8, 656, generator=draw) + 1e-4 * torch.randperm(656, generator=draw)
    probabilities = torch.softmax(logits.double(), -1)
    ordered, order = probabilities.sort(-1, descending=True)
    outside = torch.zeros_like(probabilities, dtype=torch.bool)
    outside.scatter_(-1, order, ordered.cumsum(-1) - ordered >= top_p)
    found = truncation._outside_nucleus(probabilities, top_p)
    assert torch.equal(found, outside)
    assert 0 < outside.sum() < outside.numel()


def test_a_token_is_drawn_from_what_is_left() -> None:
    """Masses .1 .5 .2 .2 by logarithm; of the two likeliest kinds the last third of the CDF is token 3."""
    logits = torch.tensor([0.1, 0.5, 0.2, 0.2], dtype=torch.float64).log()[None]
    last = torch.tensor([0.9999], dtype=torch.float64)
    first = torch.tensor([0.0001], dtype=torch.float64)
    assert choose_tokens(logits, 1.0, 1.0, first).item() == 0
    assert choose_tokens(logits, 1.0, 1.0, first, top_k=3).item() == 1
    assert choose_tokens(logits, 1.0, 1.0, last, top_k=1).item() == 1
    assert choose_tokens(logits, 1.0, 1.0, last, min_p=0.3).item() == 3
