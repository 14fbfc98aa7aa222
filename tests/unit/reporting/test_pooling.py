"""pooling: means over worlds, their spread and their tests, against values by hand and other formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import Pool, counts, write_pools
from pytest import approx
from scipy import integrate, stats

from glow.config import Contrast
from glow.reporting import pooling
from glow.reporting.measures import decisions
from glow.reporting.results import Results
from glow.reporting.statistics import Estimate
from glow.reporting.worlds import World, read_worlds

T2 = 4.302653
"""The t quantile of a 95 % interval with two degrees of freedom."""


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> list[Pool]:
    return write_pools(tmp_path_factory.mktemp("pools"))


@pytest.fixture(scope="module")
def worlds(pools: list[Pool]) -> list[World]:
    return read_worlds([(pool.results.experiment, pool.root) for pool in pools])


def error(place: int, arm: str, reference: str, suites: list[str]) -> float:
    """The standard error of a difference in one world, from its answers: the first so many are right."""
    seeds, questions, rest = np.zeros(2), 0.0, 0.0
    for suite in suites:
        right = [
            np.array([[k < count for k in range(10)] for count in counts(place, "sft", name, suite)])
            for name in (arm, reference)
        ]
        values = 100 * (right[0].astype(float) - right[1].astype(float)) / len(suites)
        left = values - values.mean(0) - values.mean(1)[:, None] + values.mean()
        seeds += values.mean(1)
        questions += values.mean(0).var(ddof=1) / 10
        rest += (left**2).sum() / 9 / 20
    return math.sqrt(questions + max(0.0, seeds.var(ddof=1) / 2 - rest))


# --- one quantity ---------------------------------------------------------------------------------


def test_a_mean_over_worlds_by_hand() -> None:
    """3, 5 and 10: mean 6, variance 13; errors 1, 2 and 2: within 3, so 10 between."""
    found = pooling.pooled([Estimate(m, e, None, None, 5) for m, e in ((3, 1), (5, 2), (10, 2))])
    over = found.over.difference
    assert (over.mean, over.n) == (6, 3)
    assert over.error == approx(math.sqrt(13 / 3))
    assert over.bounds == approx((6 - T2 * math.sqrt(13 / 3), 6 + T2 * math.sqrt(13 / 3)), abs=1e-5)
    assert over.p == approx(stats.ttest_1samp([3, 5, 10], 0).pvalue)
    assert (found.within, found.between) == (approx(3), approx(10))


def test_worlds_that_differ_less_than_their_errors_have_a_negative_variance_between() -> None:
    found = pooling.pooled([Estimate(m, 2.0, None, None, 5) for m in (4, 5, 6)])
    assert (found.within, found.between) == (approx(4), approx(-3))


def test_a_world_without_an_error_leaves_the_spread_unknown() -> None:
    found = pooling.pooled([Estimate(4, 2.0, None, None, 5), Estimate(6, None, None, None, 5)])
    assert (found.within, found.between) == (None, None)
    assert found.over.difference.error == approx(1)


@pytest.mark.parametrize(("mean", "p"), [(0.0, 1.0), (0.3, None)])
def test_worlds_that_are_alike_give_no_interval(mean: float, p: float | None) -> None:
    """0.3, and 0.1 + 0.2, which is 0.3 but for the last digit."""
    found = pooling.pooled([Estimate(own, 1.0, None, None, 5) for own in (mean, mean and 0.1 + 0.2, mean)])
    assert found.over.difference.bounds is None
    assert found.over.difference.p == p
    assert found.over.sources is None


@given(st.lists(st.floats(-90, 90), min_size=2, max_size=6))
def test_the_interval_is_the_t_test_over_worlds(means: list[float]) -> None:
    found = pooling.pooled([Estimate(mean, 1.0, None, None, 3) for mean in means]).over.difference
    assert found.mean == approx(np.mean(means), abs=1e-9)
    if np.std(means, ddof=1) > 1e-6:
        test = stats.ttest_1samp(means, 0)
        interval = test.confidence_interval(0.95)
        assert found.bounds == approx((interval.low, interval.high), rel=1e-6, abs=1e-6)
        assert found.p == approx(test.pvalue, rel=1e-6, abs=1e-9)


def power(difference: float, sd: float, worlds: int) -> float:
    """The chance of the two-sided t test: that of a normal mean, integrated over the spreads it may find."""
    shift, freedom = difference / (sd / math.sqrt(worlds)), worlds - 1
    critical = stats.t.ppf(0.975, freedom) / math.sqrt(freedom)

    def found(spread: float) -> float:
        beyond = stats.norm.cdf(shift - critical * spread) + stats.norm.cdf(-shift - critical * spread)
        return float(beyond * stats.chi.pdf(spread, freedom))

    return float(integrate.quad(found, 0, np.inf, limit=200)[0])


@pytest.mark.parametrize("means", [(3.0, 5.0, 10.0), (1.0, 2.0), (1.0, 2.0, 4.0, 9.0)])
def test_what_so_many_worlds_detect_is_found_four_times_in_five(means: tuple[float, ...]) -> None:
    over = pooling.pooled([Estimate(mean, 1.0, None, None, 5) for mean in means]).over
    sd = float(np.std(means, ddof=1))
    assert over.detectable is not None
    assert power(over.detectable, sd, len(means)) == approx(0.8, abs=0.01)
    needed = over.seeds_needed()
    assert needed is not None
    assert power(float(np.mean(means)), sd, needed) >= 0.79
    assert needed == 2 or power(float(np.mean(means)), sd, needed - 1) < 0.81


def test_equivalence_is_tested_over_worlds() -> None:
    over = pooling.pooled([Estimate(mean, 1.0, None, None, 5) for mean in (0.1, -0.2, 0.4)]).over
    test = stats.ttest_1samp([0.1, -0.2, 0.4], 2.0, alternative="less")
    assert over.equivalence_p(2.0) == approx(test.pvalue)


# --- fabricated worlds ----------------------------------------------------------------------------


def test_contrasts_are_each_worlds_own_and_their_mean(worlds: list[World]) -> None:
    """glow against all: 62.5 - 50 in the first world, 5 more and 5 less in the others."""
    glow, negative = pooling.contrasts(worlds)
    assert [world.mean for world in glow.worlds] == approx([12.5, 17.5, 7.5])
    assert glow.over.difference.mean == approx(12.5)
    reach = T2 * 5 / math.sqrt(3)
    assert glow.over.difference.bounds == approx((12.5 - reach, 12.5 + reach), abs=1e-4)
    p = stats.ttest_1samp([12.5, 17.5, 7.5], 0).pvalue
    assert glow.over.p_holm == glow.over.difference.p == approx(p)
    errors = [error(place, "glow", "all", ["lists", "choice"]) for place in range(3)]
    assert [world.error for world in glow.worlds] == approx(errors)
    assert glow.within == approx(np.mean(np.square(errors)))
    assert glow.between == approx(25 - np.mean(np.square(errors)))
    # negative against positive is +2.5 in each: nothing can be said of other worlds
    assert [world.mean for world in negative.worlds] == approx([2.5, 2.5, 2.5])
    assert negative.over.difference.bounds is None
    assert p < 0.05
    assert decisions([glow.over, negative.over]) == ["rejected", "not rejected"]


def test_comparisons_are_corrected_together_without_what_is_stated(worlds: list[World]) -> None:
    found = pooling.comparisons(worlds)
    names = ("base", "negative", "all", "glow", "glow_released")
    assert list(found) == [("arithmetic", name, scope) for name in names for scope in ("in_domain", "ood")]
    assert [own.mean for own in found["arithmetic", "glow", "ood"].worlds] == approx([17.5, 22.5, 12.5])
    stated = found["arithmetic", "negative", "ood"]
    assert stated.over.stated
    assert stated == pooling.contrasts(worlds)[1]
    # All but glow's OOD mean are alike in the worlds: they have no p-value, or 1 without a difference.
    tested = {key: own.over.difference.p for key, own in found.items() if not own.over.stated}
    family = [p for p in tested.values() if p is not None]
    p = stats.ttest_1samp([17.5, 22.5, 12.5], 0).pvalue
    assert sorted(family) == approx([p] + [1.0] * (len(family) - 1))
    assert found["arithmetic", "glow", "ood"].over.p_holm == approx(min(1, len(family) * p))


def test_a_stated_difference_from_the_other_side_is_turned_round(pools: list[Pool]) -> None:
    stated = [Contrast(arm="positive", over="glow", scope="ood")]
    changed = []
    for pool in pools:
        experiment = pool.results.experiment.model_copy(update={"contrasts": stated})
        changed.append(World(pool.root.name, Results(experiment, pool.root)))
    found = pooling.comparisons(changed)["arithmetic", "glow", "ood"]
    assert found.over.stated
    assert found.over.difference.mean == approx(17.5)
    assert [own.mean for own in found.worlds] == approx([17.5, 22.5, 12.5])
    assert pooling.contrasts(changed)[0].over.difference.mean == approx(-17.5)


def test_accuracies_over_worlds(worlds: list[World]) -> None:
    found = pooling.accuracies(worlds)
    glow = found["arithmetic", "glow", "ood"]
    assert [own.mean for own in glow.worlds] == approx([62.5, 67.5, 57.5])
    assert glow.over.difference.mean == approx(62.5)
    assert found["arithmetic", "base", "in_domain"].over.difference.mean == approx(10)


def test_what_grpo_changes(worlds: list[World]) -> None:
    found = pooling.grpo_changes(worlds)
    base = found["arithmetic", "base", "in_domain"]
    assert [own.mean for own in base.worlds] == approx([70, 60, 50])
    test = stats.ttest_1samp([70, 60, 50], 0)
    assert base.over.difference.p == approx(test.pvalue)
    family = [own.over.difference.p for own in found.values() if own.over.difference.p is not None]
    assert base.over.p_holm == approx(min(1, len(family) * test.pvalue))
    # base 70, positive 25, negative 10, all 10, glow 10, glow_released 10; the first falls by 10 a world
    averaged = pooling.grpo_pooled_changes(worlds)["arithmetic", "in_domain"]
    assert [own.mean for own in averaged.worlds] == approx([135 / 6, 125 / 6, 115 / 6])
