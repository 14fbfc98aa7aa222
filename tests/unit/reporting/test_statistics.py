import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx
from scipy import stats

from glow.reporting import statistics
from glow.reporting.statistics import (
    Estimate,
    Variance,
    clustered,
    crossed,
    crossed_with_variance,
    estimate,
    fixed_sequence,
    holm,
    variance_of,
)

numbers = st.floats(-1e3, 1e3, allow_nan=False)
TABLE = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]])
"""Two seeds, three questions. Seed means 2 and 5, question means 2, 3 and 5.5, mean 3.5; the rest is
(0.5, 0.5, -1) and its negative. Variances of the mean: seeds 4.5 / 2 = 2.25, questions 3.25 / 3 = 1.08333,
rest 3 / (1 * 2) / 6 = 0.25; together 2.25 + 1.08333 - 0.25 = 3.08333."""


# --- one value a seed -----------------------------------------------------------------------------


def test_two_values_by_hand() -> None:
    # sd = sqrt(2), error = 1; t with one degree of freedom reaches 12.7062 at 97.5 %
    found = estimate([1.0, 3.0])
    assert (found.mean, found.error, found.n) == (2.0, approx(1.0), 2)
    assert found.low == approx(2 - 12.7062, abs=1e-4)
    assert found.high == approx(2 + 12.7062, abs=1e-4)
    # P(|t| > 2) with one degree of freedom: 1 - 2 / pi * atan(2)
    assert found.p == approx(1 - 2 / math.pi * math.atan(2))


def test_one_value_has_no_error() -> None:
    assert estimate([4.0]) == Estimate(4.0, None, None, None, 1)
    assert not estimate([4.0]).over_seeds


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert estimate([10.0, 10.0]) == Estimate(10.0, 0.0, 10.0, 10.0, 2, 0.0)
    assert estimate([0.0, 0.0]).p == 1


@given(st.lists(numbers, min_size=2, max_size=30))
def test_interval_is_students(values: list[float]) -> None:
    found = estimate(values)
    if found.error is None or found.error < 1e-6:
        return
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == (approx(low, abs=1e-6), approx(high, abs=1e-6))
    assert found.p == approx(stats.ttest_1samp(values, 0).pvalue, abs=1e-9)


@pytest.mark.parametrize(
    ("low", "high", "sign"), [(0.1, 2, 1), (-2, -0.1, -1), (-1, 1, 0), (0.0, 1.0, 0), (None, None, 0)]
)
def test_sign_is_the_side_of_zero(low: float | None, high: float | None, sign: int) -> None:
    assert Estimate(1.0, 1.0, low, high, 2).sign == sign


# --- seeds and questions --------------------------------------------------------------------------


def test_crossed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "FEW_SEEDS", 2)
    found = crossed([TABLE])
    assert (found.mean, found.n, found.questions) == (3.5, 2, 3)
    assert found.error == approx(math.sqrt(37 / 12))
    # degrees of freedom: 3.08333^2 / (2.25^2 / 1 + 0.25^2 / 2 + 1.08333^2 / 2) = 1.673594
    reach = stats.t.ppf(0.975, 1.673594) * math.sqrt(37 / 12)
    assert (found.low, found.high) == (approx(3.5 - reach, rel=1e-5), approx(3.5 + reach, rel=1e-5))
    assert found.p == approx(2 * stats.t.sf(3.5 / math.sqrt(37 / 12), 1.673594), rel=1e-5)


def test_with_few_seeds_it_is_not_shorter_than_t_over_seeds() -> None:
    found, seeds = crossed([TABLE]), estimate([2.0, 5.0])
    assert (found.low, found.high, found.p) == (approx(seeds.low), approx(seeds.high), approx(seeds.p))
    assert found.error == approx(math.sqrt(37 / 12))


def test_seeds_that_differ_by_less_than_the_rest_add_nothing() -> None:
    # Seed means are equal, so that questions alone are left: means 2, 2 and 5, variance 3 / 3 = 1.
    found = crossed([np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 4.0]])])
    assert (found.mean, found.error) == (3.0, approx(1.0))
    assert found.high == approx(3 + stats.t.ppf(0.975, 2))


def test_one_seed_is_questions_alone() -> None:
    found = crossed([TABLE[:1]])
    assert (found.mean, found.error, found.n, found.questions) == (2.0, approx(math.sqrt(1 / 3)), 1, 3)
    assert found.low == approx(2 - stats.t.ppf(0.975, 2) * math.sqrt(1 / 3))
    assert not found.over_seeds


def test_two_strata_of_one_seed_are_welchs() -> None:
    first, second = [1.0, 2.0, 4.0, 7.0], [0.5, 0.25, 0.0]
    found = crossed([np.array([first]), np.array([second])])
    # Welch's interval of a difference, for first minus the negated second, is twice that of their mean.
    welch = stats.ttest_ind(first, [-value for value in second], equal_var=False)
    bounds = welch.confidence_interval(0.95)
    assert found.mean == approx((3.5 + 0.25) / 2)
    assert (2 * found.low, 2 * found.high) == (approx(bounds.low), approx(bounds.high))
    assert found.p == approx(welch.pvalue)
    assert found.questions == 7


def test_means_of_the_seeds() -> None:
    # Seed means 2 and 5 of the table and 1 of the other stratum, weighted alike
    assert crossed([TABLE, np.ones((2, 4))]).by_seed == (1.5, 3.0)


def test_weights_of_strata() -> None:
    # 0.25 of variance 1.08333 - 0.25 + 2.25 with one stratum of weight 1/2 and one that is constant.
    found = crossed([TABLE, np.zeros((2, 5))], [0.5, 0.5])
    assert (found.mean, found.error) == (approx(1.75), approx(math.sqrt(37 / 12) / 2))
    assert crossed([TABLE, np.zeros((2, 5))], [1.0, 0.0]).error == approx(math.sqrt(37 / 12))


def test_a_stratum_of_one_question_leaves_no_error() -> None:
    found = crossed([np.array([[1.0, 3.0]]), np.array([[5.0]])])
    assert found == Estimate(3.5, None, None, None, 1, questions=3, by_seed=(3.5,))


def test_order_does_not_matter() -> None:
    random = np.random.default_rng(3)
    values = random.random((4, 20))
    other = values[random.permutation(4)][:, random.permutation(20)]
    one, two = crossed([values]), crossed([other])
    assert (one.low, one.high, one.p) == (approx(two.low), approx(two.high), approx(two.p))


def test_clusters_by_hand() -> None:
    # Clusters (1, 0) and (1): mean 2/3; parts (1 - 4/3) / 1.5 = -2/9 and 2/9; error sqrt(8/81 / 2) = 2/9
    found = clustered(np.array([1.0, 1.0, 0.0]), np.array(["a", "b", "a"]))
    assert (found.mean, found.error, found.questions) == (approx(2 / 3), approx(2 / 9), 2)


# --- equivalence ----------------------------------------------------------------------------------


def variance(*strata: np.ndarray) -> Variance:
    """Of the mean of strata that have one."""
    found = variance_of(strata)
    assert found is not None
    return found


def test_equivalence_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "FEW_SEEDS", 2)
    # Mean 3.5, variance 37 / 12 and 1.673594 degrees of freedom, as above.
    found, error = variance(TABLE), math.sqrt(37 / 12)
    assert found.equivalence_p(3.5, 10.0) == approx(stats.t.sf(6.5 / error, 1.673594), rel=1e-5)
    assert found.equivalence_p(-3.5, 10.0) == approx(stats.t.sf(6.5 / error, 1.673594), rel=1e-5)
    assert found.equivalence_p(3.5, 3.5) == approx(0.5)
    assert found.equivalence_p(3.5, 1.0) == approx(stats.t.cdf(2.5 / error, 1.673594), rel=1e-5)
    assert float(found.reach(0.9)) == approx(stats.t.ppf(0.95, 1.673594) * error, rel=1e-5)


def test_with_few_seeds_equivalence_wants_both_t_tests() -> None:
    # t over the seeds, 2 and 5: error 1.5, one degree of freedom: P(T > 6.5 / 1.5)
    assert variance(TABLE).equivalence_p(3.5, 10.0) == approx(stats.t.sf(6.5 / 1.5, 1))
    seeds = Variance(np.array(4.0), np.array([1.0]), np.array([0.5]), np.array([299.0]), 5)
    freedom = (1 + 3.5) ** 2 / (1 / 299 + (16 + 0.25 / 299) / 4)
    both = [stats.t.sf(3 / math.sqrt(4.5), freedom), stats.t.sf(3 / 2, 4)]
    assert seeds.equivalence_p(1.0, 4.0) == approx(max(both))


@given(
    st.integers(2, 12),
    st.lists(st.integers(0, 3), min_size=60, max_size=60),
    st.floats(0.01, 3, allow_nan=False),
)
def test_equivalent_is_where_the_90_percent_interval_lies_within_the_margin(
    seeds: int, answers: list[int], margin: float
) -> None:
    values = np.resize(np.array(answers, dtype=float), (seeds, 5)) - 1
    found, parts = crossed_with_variance([values])
    if parts is None:
        return
    low, high = (found.mean + side * float(parts.reach(0.9)) for side in (-1, 1))
    is_within = -margin < low and high < margin
    p = parts.equivalence_p(found.mean, margin)
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == is_within


def test_the_estimate_in_the_other_direction() -> None:
    found, other = crossed([TABLE]).reversed, crossed([-TABLE])
    assert (found.mean, found.by_seed, found.p) == (other.mean, other.by_seed, approx(other.p))
    assert (found.low, found.high, found.error) == (approx(other.low), approx(other.high), other.error)
    assert estimate([1.0]).reversed == Estimate(-1.0, None, None, None, 1)


def test_the_logarithm_of_a_ratio_in_percent() -> None:
    log = Estimate(math.log(1.5), 0.2, math.log(0.75), math.log(3), 2, 0.1, 8, (math.log(1.2), math.log(2)))
    found = log.in_percent
    assert (found.mean, found.low, found.high) == (approx(50), approx(-25), approx(200))
    assert found.error == approx(30)  # 0.2 of 1.5
    assert found.by_seed == (approx(20), approx(100))
    assert (found.n, found.p, found.questions) == (2, 0.1, 8)
    assert estimate([0.0]).in_percent == Estimate(0.0, None, None, None, 1)


# --- many comparisons -----------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 raised to the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == [approx(0.03), approx(0.06), approx(0.06), approx(0.02)]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_value_and_bonferronis(values: list[float]) -> None:
    for value, corrected in zip(values, holm(values), strict=True):
        assert value <= corrected <= min(1.0, len(values) * value) or corrected == max(holm(values))
    assert sorted(holm(values)) == [holm(values)[place] for place in np.argsort(values, kind="stable")]


def test_a_fixed_sequence_by_hand() -> None:
    assert fixed_sequence([0.01, 0.04, 0.001, 0.2, 0.003]) == [0.01, 0.04, 0.04, 0.2, 0.2]
    assert fixed_sequence([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_a_fixed_sequence_rejects_until_the_first_that_it_does_not(values: list[float]) -> None:
    first = next((place for place, p in enumerate(values) if p >= 0.05), len(values))
    assert [p < 0.05 for p in fixed_sequence(values)] == [place < first for place in range(len(values))]


# --- simulation -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    """benchmarks/coverage.py, of which this is a small part."""
    path = Path(__file__).parents[3] / "benchmarks/coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)
        spec.loader.exec_module(module)
    return module


def test_coverage_is_nominal_at_eight_seeds(simulated: ModuleType) -> None:
    held = simulated.coverage(8, 2.0, 1, simulations=500)
    assert 93 <= held["mean"]["crossed"] <= 97
    assert 93 <= held["difference"]["crossed"] <= 97
    # What the two common shortcuts would give on the same data: too short for what they leave out.
    assert held["mean"]["seeds"] < 90
    assert held["difference"]["questions"] < 90


def test_few_seeds_cover_no_less(simulated: ModuleType) -> None:
    held = simulated.coverage(3, 2.0, 1, simulations=300)
    assert min(held["mean"]["crossed"], held["difference"]["crossed"]) >= 93


def test_corrected_tests_err_in_few_families(simulated: ModuleType) -> None:
    for seeds in (2, 8):
        assert simulated.false_stars(seeds, 2.0, 1, simulations=250) <= 8


def test_what_is_detectable_is_detected_in_four_of_five(simulated: ModuleType) -> None:
    for seeds, points, samples in ((3, 2.0, 1), (8, 2.0, 1)):
        found = simulated.detection(seeds, points, samples, simulations=300)
        assert 72 <= found["detected"] <= 88
        assert found["low"] < 1 < found["high"]


def test_arms_that_differ_by_the_margin_are_seldom_called_equivalent(simulated: ModuleType) -> None:
    found = simulated.equivalence(8, 0.0, 1, simulations=300)
    assert found["at the margin"] <= 9
    assert found["alike"] > 90
    assert simulated.equivalence(3, 2.0, 1, simulations=200)["at the margin"] <= 9


def test_a_stated_order_seldom_rejects_what_is_true(simulated: ModuleType) -> None:
    found = simulated.false_in_order(8, 2.0, 1, simulations=300)
    assert found["none differs"] <= 9
    assert found["the first differs"] <= 9


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_values_that_are_all_alike_have_no_error(seeds: int) -> None:
    """No question right says little of how many of others would be."""
    none = crossed([np.zeros((seeds, 30))])
    assert (none.mean, none.error, none.low, none.p) == (0, None, None, 1)
    every = crossed([np.full((seeds, 30), 100.0)])
    assert (every.mean, every.error, every.high, every.p) == (100, None, None, None)


def test_seed_means_that_tie_are_no_proof_that_seeds_do_not_differ() -> None:
    # Paired differences of 0 or 1 on 20 questions: each seed gains on ten, the second on two others.
    tied = np.zeros((2, 20))
    tied[0, :10] = tied[1, 2:12] = 1
    found = crossed([tied])
    # The step of a seed mean is 1/20; the mean of two has the variance of a step / 12 / 2. One degree of
    # freedom: p = 1 - 2 / pi * atan(t)
    t = 0.5 / math.sqrt((1 / 20) ** 2 / 12 / 2)
    assert found.p == approx(1 - 2 / math.pi * math.atan(t))
    assert found.p > 0.01 > crossed([np.repeat(tied, 4, axis=0)]).p  # eight seeds need no such help
    near = tied.copy()
    near[1, 12] = 1  # one answer more in one seed: hardly less sure
    assert crossed([near]).p == approx(found.p, abs=0.03)
