import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx
from scipy import stats

from glow.reporting.conventions import MOST_SEEDS
from glow.reporting.power import Sources
from glow.reporting.statistics import crossed, crossed_with_variance, estimate

TABLE = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]])
"""Variances of the mean as worked out in test_statistics: seeds 2.25, questions 1.08333, rest 0.25."""

variances = st.floats(0.01, 100)


def sources(seeds: float, questions: float, rest: float, size: int = 300) -> Sources:
    """Of one suite."""
    return Sources(seeds, np.array([questions]), np.array([rest]), np.array([size - 1.0]))


def test_sources_by_hand() -> None:
    _, variance = crossed_with_variance([TABLE])
    assert variance is not None
    found = Sources.of(variance)
    # Seeds (2.25 - 0.25) * 2, questions 1.08333 - 0.25, rest 0.25 * 2; with two seeds together as before.
    assert (found.seeds, found.questions.tolist(), found.rest.tolist()) == (
        approx(4),
        [approx(5 / 6)],
        [approx(0.5)],
    )
    assert found.variance(2) == approx(37 / 12)
    assert found.variance(8) == approx(4 / 8 + 5 / 6 + 0.5 / 8)


@pytest.mark.parametrize("seeds", [3, 5, 8, 30])
def test_without_questions_it_is_the_power_of_a_noncentral_t(seeds: int) -> None:
    alone, critical = Sources.of_seeds(4.0), stats.t.ppf(0.975, seeds - 1)
    for difference in (1.0, 3.0):
        noncentral = stats.nct(seeds - 1, difference / math.sqrt(4 / seeds))
        expected = noncentral.sf(critical) + noncentral.cdf(-critical)
        assert alone.power(difference, seeds) == approx(expected, abs=0.002)
    least = stats.nct(seeds - 1, alone.detectable(seeds) / math.sqrt(4 / seeds))
    assert least.sf(critical) == approx(0.8, abs=0.002)


def test_with_much_of_everything_it_is_normal() -> None:
    # 500 seeds, 10,000 questions: the variance is 1 / 500 + 0.04 + 1 / 500 = 0.044
    found = sources(1.0, 0.04, 1.0, size=10_000).detectable(500)
    assert found == approx((1.959964 + 0.841621) * math.sqrt(0.044), rel=0.005)


def test_a_test_of_no_difference_rejects_as_often_as_it_may() -> None:
    assert Sources.of_seeds(1.0).power(0.0, 4) == approx(0.05, abs=0.001)
    # Where two tests must agree, less often.
    assert sources(0.0, 0.1, 1.0).power(0.0, 3) < 0.03


@pytest.mark.parametrize(("seeds", "own"), [(2, 2.0), (3, 2.0), (3, 0.0), (5, 1.0), (8, 1.0), (8, 0.0)])
def test_crossed_detects_what_is_promised(seeds: int, own: float) -> None:
    """Answers drawn from the model, judged by `crossed` itself: 1,000 studies of 60 questions."""
    random, size = np.random.default_rng(seeds), 60
    least = sources(own, 9 / size, 16 / size, size).detectable(seeds)
    found = 0
    for _ in range(1000):
        values = (
            least
            + math.sqrt(own) * random.standard_normal((seeds, 1))
            + 3 * random.standard_normal(size)
            + 4 * random.standard_normal((seeds, size))
        )
        found += crossed([values]).p < 0.05
    assert found / 1000 == approx(0.8, abs=0.04)


@settings(max_examples=20, deadline=None)
@given(variances, variances, variances, st.floats(0.5, 20))
def test_one_seed_fewer_is_too_few(seeds: float, questions: float, rest: float, difference: float) -> None:
    found = sources(seeds, questions, rest)
    needed = found.seeds_needed(difference)
    if needed is None:
        assert found.power(difference, MOST_SEEDS) < 0.8
        return
    assert found.power(difference, needed) >= 0.8
    assert needed == 2 or found.power(difference, needed - 1) < 0.8


@settings(max_examples=20, deadline=None)
@given(variances, variances, variances)
def test_more_seeds_detect_less(seeds: float, questions: float, rest: float) -> None:
    found = sources(seeds, questions, rest)
    least = [found.detectable(number) for number in (2, 3, 5, 7, 8, 12, 50)]
    assert least == sorted(least, reverse=True)
    assert found.power(least[2], 5) == approx(0.8, abs=1e-6)


def test_where_questions_alone_leave_too_much_no_number_of_seeds_is_enough() -> None:
    # With endless seeds the error is 1, and 2.8 is detected with a chance of 80 %.
    found = sources(0.5, 1.0, 0.5)
    assert found.seeds_needed(2.7) is None
    assert found.seeds_needed(0.0) is None
    assert found.seeds_needed(3.5) is not None


def test_a_mean_over_seeds_alone_has_the_sources_of_its_values() -> None:
    values = [1.0, 2.0, 6.0, 3.0]
    found = estimate(values)
    assert found.error is not None
    assert Sources.of_seeds(found.error**2 * found.n).variance(4) == approx(np.var(values, ddof=1) / 4)
