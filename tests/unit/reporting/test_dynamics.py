"""Losses by verdict and GLOW's weights, against hand-worked values of the fabricated world."""

from fabricated import World
from pytest import approx

from glow.reporting import dynamics


def test_loss_by_verdict(fabricated: World) -> None:
    loss = dynamics.loss_by_verdict(dynamics.histories(fabricated.results, "arithmetic", "all"))
    assert loss.loc[(0, 2), "correct"] == approx(0.7)
    assert loss.loc[(1, 3), "wrong"] == approx(1.25)
    gap = dynamics.loss_gap(fabricated.results, "arithmetic", "all")
    assert (gap.mean, gap.n) == (approx(0.75), 2)


def test_weights_by_epoch(fabricated: World) -> None:
    history = dynamics.histories(fabricated.results, "arithmetic", "glow")
    summary = dynamics.weight_summary(history, None)
    first = summary.loc[(0, 2)]  # weights 0.2, 0.1, 0.3, 0.2; gains 0.2, 0.4, 0.1, 0.2
    assert (first["mean"], first["sd"]) == (approx(0.2), approx(0.005**0.5))
    assert (first["correct"], first["wrong"], first["gain"]) == (approx(0.15), approx(0.25), approx(0.225))
    assert first["low"] != first["low"]  # without a clamp there are no bounds
    assert summary.loc[(1, "all"), "mean"] == approx((0.3 + 0.35) / 2)
    assert summary.loc[(0, "all"), "samples"] == 8


def test_share_at_the_bounds(fabricated: World) -> None:
    history = dynamics.histories(fabricated.results, "arithmetic", "glow_released")
    summary = dynamics.weight_summary(history, (0.5, 5.0))
    assert summary.loc[(0, 2), "low"] == approx(75)
    assert summary.loc[(0, 3), "low"] == approx(100)
    assert summary.loc[(0, "all"), "high"] == 0


def test_one_epoch_has_no_weights(fabricated: World) -> None:
    history = dynamics.histories(fabricated.results, "arithmetic", "glow")
    assert dynamics.weight_summary(history[history["epoch"] == 1], None).empty
