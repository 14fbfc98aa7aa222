"""The formula against values worked out by hand and against its limits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glow.training.weighting import glow_weights, loss_gain, sample_sums


def test_weights_by_hand() -> None:
    previous = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    current = torch.tensor([0.9, 1.0, 1.1], dtype=torch.float64)
    # gain = 0.1, 0, -0.1; beta * gain = 1, 0, -1; 1 - sigmoid(1) = 1 / (1 + e) = 0.2689414213699951
    weights = glow_weights(previous, current, alpha=2.0, beta=10.0)
    assert weights.tolist() == pytest.approx([2 * 0.2689414213699951, 1.0, 2 * 0.7310585786300049], rel=1e-12)


def test_released_clamp_holds_every_improved_sample_at_its_lower_bound() -> None:
    previous = torch.tensor([1.0, 1.0, 1.0])
    current = torch.tensor([0.2, 1.0, 9.0])
    # alpha = 1: weights lie in (0, 1), so the bounds (0.5, 5) can only raise.
    weights = glow_weights(previous, current, alpha=1.0, beta=10.0, clamp=(0.5, 5.0))
    assert weights.tolist() == pytest.approx([0.5, 0.5, 1.0])


def test_one_is_added_before_the_bounds_and_not_where_there_is_no_previous_loss() -> None:
    previous = torch.tensor([1.0, 1.0, math.nan], dtype=torch.float64)
    current = torch.tensor([0.9, 1.1, 1.0], dtype=torch.float64)
    # beta * gain = 1, -1: 1 + 2 * 0.2689414213699951, and 1 + 2 * 0.7310585786300049 = 2.46 above the bound.
    weights = glow_weights(previous, current, alpha=2.0, beta=10.0, clamp=(0.5, 2.4), added=1.0)
    assert weights.tolist() == pytest.approx([1.5378828427399902, 2.4, 1.0], rel=1e-12)


def test_no_previous_loss_means_weight_one_also_outside_the_clamp() -> None:
    weights = glow_weights(torch.tensor([math.nan]), torch.tensor([3.0]), 1.0, 10.0, clamp=(2.0, 3.0))
    assert weights.tolist() == [1.0]


def test_precision_is_kept_at_large_gains() -> None:
    # 1 - sigmoid(50) rounds to 0 in float32 when computed as written; the weight is e^-50.
    weight = glow_weights(torch.tensor([5.0]), torch.tensor([0.0]), alpha=1.0, beta=10.0)
    assert weight.item() == pytest.approx(math.exp(-50.0), rel=1e-5)


def test_low_precision_losses_are_subtracted_in_float32_and_detached() -> None:
    current = torch.tensor([1.0], dtype=torch.bfloat16, requires_grad=True)
    gain = loss_gain(torch.tensor([1.001], dtype=torch.float32), current)
    assert gain.dtype == torch.float32
    assert not gain.requires_grad
    assert gain.item() == pytest.approx(0.001, rel=1e-3)


@given(
    previous=st.floats(0, 20),
    current=st.floats(0, 20),
    alpha=st.floats(0.1, 4),
    beta=st.floats(0, 30),
)
def test_weight_is_the_formula_within_its_range(
    previous: float, current: float, alpha: float, beta: float
) -> None:
    as_tensors = (torch.tensor([value], dtype=torch.float64) for value in (previous, current))
    weight = glow_weights(*as_tensors, alpha=alpha, beta=beta).item()
    exponent = beta * (previous - current)
    expected = alpha / (1 + math.exp(exponent)) if exponent < 700 else 0.0
    assert weight == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert 0 <= weight <= alpha


def test_sums_are_of_rows_or_of_the_documents_of_a_row() -> None:
    rows = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 5.0]])
    assert sample_sums(rows).tolist() == [3.0, 5.0]
    packed = torch.tensor([[0.0, 1.0, 2.0, 0.0, 0.0, 5.0, 9.0]])
    document = torch.tensor([[1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0]], dtype=torch.bool)
    assert sample_sums(packed, document).tolist() == [3.0, 5.0]  # the last token is nobody's
    assert sample_sums(rows.bfloat16()).dtype == torch.float32
    assert sample_sums(rows.double()).dtype == torch.float64
