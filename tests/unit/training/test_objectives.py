"""What is minimised: each objective's function by hand, and what the named ones are made of."""

import math
from types import SimpleNamespace

import pytest
import torch

from glow.training.objectives import OBJECTIVES, dft, glow


def test_plain_counts_everything_alike() -> None:
    plain = OBJECTIVES["plain"]
    assert plain.sample_weights is None
    assert plain.token_weights is None
    assert not plain.uses_history


@pytest.mark.parametrize(
    ("clamp", "expected"),
    [
        # gains 0, 0.5, -0.5 at alpha 2, beta 10: 2 / (1 + e^(10 gain)); no history counts 1
        (None, [1.0, 2 / (1 + math.exp(5)), 2 / (1 + math.exp(-5)), 1.0]),
        ([0.5, 1.5], [1.0, 0.5, 1.5, 1.0]),
    ],
)
def test_glow_reads_its_settings(clamp: list[float] | None, expected: list[float]) -> None:
    settings = SimpleNamespace(alpha=2.0, beta=10.0, clamp=clamp)
    previous, loss = torch.tensor([1.0, 1.5, 0.5, math.nan]), torch.ones(4)
    assert glow(previous, loss, settings).tolist() == pytest.approx(expected, rel=1e-6)
    assert OBJECTIVES["glow"].uses_history


def test_dft_weighs_a_token_by_its_probability() -> None:
    log_prob = torch.tensor([0.25, 0.5]).log().requires_grad_()
    (dft(log_prob.detach()) * -log_prob).sum().backward()
    # d/d(log p) of -stop_gradient(p) log p is -p: rare tokens pull less than in plain SFT (-1).
    assert log_prob.grad.tolist() == pytest.approx([-0.25, -0.5])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_depend_on_the_sample_alone(name: str) -> None:
    """Else they would depend on how a step is cut into micro-batches."""
    settings = SimpleNamespace(alpha=2.0, beta=10.0, clamp=[0.2, 1.8])
    previous, loss = torch.tensor([1.0, 1.5, 0.5, math.nan]), torch.tensor([0.9, 1.6, 0.4, 2.0])
    weigh, weigh_tokens = OBJECTIVES[name].sample_weights, OBJECTIVES[name].token_weights
    for k in range(4):
        if weigh:
            whole = weigh(previous, loss, settings)
            assert torch.equal(whole[k : k + 1], weigh(previous[k : k + 1], loss[k : k + 1], settings))
        if weigh_tokens:
            assert torch.equal(weigh_tokens(-loss)[k], weigh_tokens(-loss[k]))
