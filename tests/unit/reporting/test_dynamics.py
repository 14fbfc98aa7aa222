"""GLOW's weights, against hand-worked values of the fabricated world."""

from pathlib import Path

import numpy as np
from fabricated import World, document
from pytest import approx

from glow.reporting import dynamics
from glow.reporting.captions import figure_names, table_names
from glow.reporting.findings import find
from glow.reporting.report import _arms
from glow.reporting.training_tables import weights_table
from glow.reporting.weights_figure import draw_weights


def test_weights_by_epoch(fabricated: World) -> None:
    history = dynamics.histories(fabricated.results, "arithmetic", "glow")
    summary = dynamics.weight_summary(history, None)
    first = summary.loc[(0, 2)]  # weights 0.2, 0.1, 0.3, 0.2; gains 0.2, 0.4, 0.1, 0.2
    assert (first["mean"], first["sd"]) == (approx(0.2), approx(0.005**0.5))
    assert (first["correct"], first["wrong"], first["gain"]) == (approx(0.15), approx(0.25), approx(0.225))
    assert first["low"] != first["low"]  # without a clamp there are no bounds
    assert summary.loc[(1, "all"), "mean"] == approx((0.3 + 0.35) / 2)
    assert summary.loc[(0, "all"), "samples"] == 8


def test_the_effective_share_is_kishs(fabricated: World) -> None:
    # weights 0.2, 0.1, 0.3, 0.2: 0.8² / (4 * 0.18)
    history = dynamics.histories(fabricated.results, "arithmetic", "glow")
    summary = dynamics.weight_summary(history, None)
    assert summary.loc[(0, 2), "effective"] == approx(100 * 0.64 / 0.72, rel=1e-6)
    # one weight of three is not 0: it is worth one sample
    assert dynamics.effective_share(np.array([0.0, 0.0, 7.0])) == approx(1 / 3)
    assert dynamics.effective_share(np.full(5, 0.5)) == 1
    assert np.isnan(dynamics.effective_share(np.zeros(2)))


def test_share_at_the_bounds(fabricated: World) -> None:
    history = dynamics.histories(fabricated.results, "arithmetic", "glow_released")
    summary = dynamics.weight_summary(history, (0.5, 5.0))
    assert summary.loc[(0, 2), "low"] == approx(75)
    assert summary.loc[(0, 3), "low"] == approx(100)
    assert summary.loc[(0, "all"), "high"] == 0


def test_one_epoch_has_no_weights(fabricated: World) -> None:
    history = dynamics.histories(fabricated.results, "arithmetic", "glow")
    assert dynamics.weight_summary(history[history["epoch"] == 1], None).empty


OWN = """from glow.config import Section
from glow.training.objectives import Objective

class Settings(Section):
    clamp: tuple[float, float] = (0.2, 0.9)

slow = Objective("slow GLOW", Settings, uses_history=True)
"""


def test_an_objective_of_somebody_elses_is_shown_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    objectives = {
        "plain": {"objective": "plain"},
        "dft": {"objective": "dft"},
        "slow": {"objective": f"{tmp_path}/own.py:slow"},
    }
    arms = {
        "positive": {"trajectories": "positive", "objective": "plain"},
        "all": {"trajectories": "all", "objective": "dft"},
        "glow": {"trajectories": "all", "objective": "slow"},
    }
    results = World(tmp_path / "world", document(objectives=objectives, arms=arms)).write().results
    assert {row["name"]: row["objective"] for row in _arms(results.experiment)} == {
        "base": "the student before fine-tuning",
        "positive": "plain SFT",
        "all": "DFT",
        "glow": "slow GLOW, clamped to [0.2, 0.9]",
    }
    assert "weights" in table_names(results.experiment)
    assert "weights" in figure_names(results.experiment)
    rows = weights_table(results).frame.set_index(["arm", "epoch"])
    # Weights 0.2, 0.1, 0.3, 0.2 in seed 0, and 0.1 more in seed 1: three of four and one of four at 0.2.
    assert rows.loc[("glow", "2"), "low_mean"] == approx(50)
    assert set(rows.index.get_level_values("arm")) == {"glow"}
    assert len(draw_weights(results).axes) == 3  # weights, gains, relative gains
    told = {finding.headline: finding.detail for finding in find(results)}
    assert "slow GLOW's weights (glow) differ between samples" in told
    # The paper claims something of GLOW and of plain SFT on negatives, not of these.
    assert [headline for headline in told if "OOD" in headline] == [
        "The OOD accuracy of the base, before any SFT, cannot be told from that of positive-only SFT: the "
        "means are equal"
    ]
