"""How certain a mean is: standard errors, t intervals, p-values corrected for their number.

What the values are is the callers' business. The design is that of an evaluation: every seed (a model of
its own) answers the same questions, so seeds and questions are crossed, and samples are nested in
questions (they are averaged first). A mean is one over seeds and questions that were both drawn at random:

    value[seed, question] = mean + seed effect + question effect + rest

An interval over seeds alone ignores that other questions would give other scores; an error over questions
alone ignores that other seeds would. `crossed` counts both. benchmarks/coverage.py measures how often its
intervals hold the true value and how often its tests err: as often as they should, unlike those two.

Sources: two-way variance as seeds' + questions' - rest's, the balanced case of Cameron, Gelbach and Miller
(2011), "Robust Inference With Multiway Clustering", and the usual random-effects ANOVA; its degrees of
freedom after Satterthwaite (1946), "An Approximate Distribution of Estimates of Variance Components";
clustering by question and paired differences in evaluations: Miller (2024), "Adding Error Bars to Evals"
(arXiv 2411.00640); corrected p-values: Holm (1979), "A Simple Sequentially Rejective Multiple Test
Procedure"; two one-sided tests: Schuirmann (1987), "A Comparison of the Two One-Sided Tests Procedure and the
Power Approach for Assessing the Equivalence of Average Bioavailability".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from glow.reporting.conventions import FEW_SEEDS, LEVEL

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean with its uncertainty, which is None where there is too little to say.

    Attributes:
        mean: the mean, in the unit of the values.
        error: its standard error.
        low, high: bounds of its 95 % t interval.
        n: how many seeds it is over.
        p: two-sided p-value of the test that the mean is zero, by the same t.
        questions: how many questions it is over; None where the values are one a seed.
        by_seed: the mean of each seed over questions; empty where the values are one a seed.
    """

    mean: float
    error: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None = None
    questions: int | None = None
    by_seed: tuple[float, ...] = ()

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Both bounds of the interval; None where there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of zero; 0 where it holds zero or is absent."""
        if self.bounds is None:
            return 0
        low, high = self.bounds
        return int(low > 0) - int(high < 0)

    @property
    def reversed(self) -> "Estimate":
        """The estimate of the negative: of a difference, that in the other direction."""
        low, high = (None, None) if self.bounds is None else (-self.bounds[1], -self.bounds[0])
        by_seed = tuple(-mean for mean in self.by_seed)
        return replace(self, mean=-self.mean, low=low, high=high, by_seed=by_seed)

    @property
    def in_percent(self) -> "Estimate":
        """Of the logarithm of a ratio: by how many percent the ratio differs from 1.

        The mean is that of the geometric mean, no bound lies below -100, and the error is to first order.
        """

        def percent(value: float) -> float:
            return 100 * float(np.expm1(value))

        error = None if self.error is None else 100 * float(np.exp(self.mean)) * self.error
        low, high = (None, None) if self.bounds is None else map(percent, self.bounds)
        by_seed = tuple(map(percent, self.by_seed))
        return replace(self, mean=percent(self.mean), error=error, low=low, high=high, by_seed=by_seed)

    @property
    def over_seeds(self) -> bool:
        """Whether the uncertainty is (also) that of drawing seeds: never with a single one."""
        return self.n > 1


def estimate(values: Sequence[float] | Floats) -> Estimate:
    """The mean of one value per seed, with the ordinary t interval from two seeds on."""
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return Estimate(float(array.mean()), None, None, None, array.size)
    mean, error = float(array.mean()), math.sqrt(array.var(ddof=1) / array.size)
    reach, p = _t(mean, error, array.size - 1)
    return Estimate(mean, error, mean - reach, mean + reach, array.size, p)


def _t(mean: float, error: float, freedom: float) -> tuple[float, float]:
    """How far the t interval reaches to either side, and the p-value that the mean is zero."""
    if error == 0:
        return 0.0, float(mean == 0)
    return float(stdtrit(freedom, 0.5 + LEVEL / 2)) * error, 2 * float(stdtr(freedom, -abs(mean) / error))


# --- seeds and questions --------------------------------------------------------------------------


@dataclass(frozen=True)
class Variance:
    """The variance of a mean in its pieces, and the t tests that they allow.

    The pieces may have leading dimensions, as those of many studies; the last is that of strata.

    Attributes:
        seeds: variance of the mean over seeds, which holds their share of the rest; 0 with a single seed.
        questions: (strata,) variance from the questions' means, which holds their share of the rest.
        rest: (strata,) variance from what neither seed nor question explains; 0 with a single seed.
        degrees: (strata,) degrees of freedom of `questions`.
        n: how many seeds.
        rounding: variance of one seed's mean from its rounding to one answer more or less.
    """

    seeds: Floats
    questions: Floats
    rest: Floats
    degrees: Floats
    n: int
    rounding: float = 0.0

    @property
    def from_seeds(self) -> Floats:
        """What seeds add to the questions' variance: the estimate of seeds' own variance, at least 0."""
        return np.maximum(0.0, self.seeds - self.rest.sum(axis=-1))

    @property
    def total(self) -> Floats:
        """The variance of the mean."""
        return np.asarray(self.questions.sum(axis=-1) + self.from_seeds)

    @property
    def freedom(self) -> Floats:
        """Satterthwaite's degrees: the squared variance over the sum of each piece's square over its own."""
        spread = (self.questions**2 / self.degrees).sum(axis=-1)
        if self.n > 1:
            by_seeds = (self.seeds**2 + (self.rest**2 / self.degrees).sum(axis=-1)) / (self.n - 1)
            spread = spread + np.where(self.from_seeds > 0, by_seeds, 0.0)
        return np.asarray(self.total**2 / spread)

    @property
    def tests(self) -> list[tuple[Floats, Floats]]:
        """(standard error, degrees of freedom) of each t test that must agree: one, or two with few seeds."""
        found = [(np.sqrt(self.total), self.freedom)]
        if 1 < self.n < FEW_SEEDS:
            of_seeds = np.sqrt(np.maximum(self.seeds, self.rounding / self.n))
            found.append((of_seeds, np.asarray(self.n - 1.0)))
        return found

    def reach(self, level: float = LEVEL) -> Floats:
        """How far the interval of a level reaches to either side of the mean."""
        reaches = [stdtrit(freedom, 0.5 + level / 2) * error for error, freedom in self.tests]
        return np.asarray(np.maximum.reduce(reaches))

    def p(self, mean: float) -> float:
        """The two-sided p-value of the test that the true mean is zero."""
        return max(_t(mean, float(error), float(freedom))[1] for error, freedom in self.tests)

    def equivalence_p(self, mean: float, margin: float) -> float:
        """The p-value of two one-sided tests (TOST) that the true mean lies beyond ± `margin`.

        It is below 5 % exactly where the 90 % interval, `reach(0.9)` to either side, lies within the margin.
        """
        beyond = abs(mean) - margin
        return max(_one_sided(beyond, float(error), float(freedom)) for error, freedom in self.tests)


def _one_sided(beyond: float, error: float, freedom: float) -> float:
    """The p-value that what is estimated as `beyond` is at least zero."""
    if error == 0:
        return float(beyond >= 0)
    return float(stdtr(freedom, beyond / error))


def crossed(strata: Sequence[Floats], weights: Sequence[float] | Floats | None = None) -> Estimate:
    """The weighted mean of strata in which every seed answers every question, with its t interval.

    The variance of the mean is that of seed means, plus that of question means, less that of the rest,
    which both hold. Where this would be less than the questions' variance alone, the seeds' own variance is
    taken as zero; with few seeds that is often a matter of luck, and Satterthwaite's degrees of freedom are
    then too many. With fewer than `FEW_SEEDS` the interval is therefore the longer of this one and the
    ordinary t interval over seed means, and the p-value the larger. Seed means are rounded to a step (one
    answer more or less), so that two may tie; their variance is taken as no less than a step's, step² / 12.

    With a single seed the variance is the questions' alone (`Estimate.over_seeds` is False): such an
    interval speaks of other questions and not of other seeds. A stratum of one question has no variance to
    estimate, and where all values are alike (no question right) theirs says nothing of others: the result
    then carries no error. Its p-value is 1 where the mean is zero, and absent elsewhere.

    Args:
        strata: arrays (seeds, questions) of values, the seeds the same in each; strata (suites) are fixed.
        weights: of the strata; equal ones that sum to 1 by default.
    """
    return crossed_with_variance(strata, weights)[0]


def crossed_with_variance(
    strata: Sequence[Floats], weights: Sequence[float] | Floats | None = None
) -> tuple[Estimate, Variance | None]:
    """As `crossed`, with the variance behind the error; None where the estimate carries no error."""
    arrays, shares = _weighted(strata, weights)
    seeds, count = len(arrays[0]), sum(array.shape[1] for array in arrays)
    by_seed = _seed_means(arrays, shares)
    mean = float(by_seed.mean())
    variance = _variance(arrays, shares, by_seed)
    if variance is None:
        return Estimate(mean, None, None, None, seeds, None, count, tuple(by_seed.tolist())), None
    if variance.total == 0:
        p = 1.0 if mean == 0 else None
        return Estimate(mean, None, None, None, seeds, p, count, tuple(by_seed.tolist())), None
    error, reach = math.sqrt(variance.total), float(variance.reach())
    bounds = (mean - reach, mean + reach)
    p = variance.p(mean)
    return Estimate(mean, error, *bounds, seeds, p, count, tuple(by_seed.tolist())), variance


def variance_of(strata: Sequence[Floats], weights: Sequence[float] | Floats | None = None) -> Variance | None:
    """The variance of the mean that `crossed` gives, in pieces; None where a stratum has one question."""
    arrays, shares = _weighted(strata, weights)
    return _variance(arrays, shares, _seed_means(arrays, shares))


def _weighted(
    strata: Sequence[Floats], weights: Sequence[float] | Floats | None
) -> tuple[list[Floats], Floats]:
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    return arrays, np.full(len(arrays), 1 / len(arrays)) if weights is None else np.asarray(weights)


def _seed_means(arrays: list[Floats], shares: Floats) -> Floats:
    means = [share * array.mean(axis=1) for share, array in zip(shares, arrays, strict=True)]
    return np.asarray(sum(means, np.zeros(len(arrays[0]))))


def _rounding_variance(arrays: list[Floats], shares: Floats) -> float:
    """Variance of a seed mean from its rounding to one answer more or less (Sheppard's, by stratum)."""
    variance = 0.0
    for array, share in zip(arrays, shares, strict=True):
        distinct = np.unique(array.round(9))
        if distinct.size > 1:
            variance += (share * np.diff(distinct).min() / array.shape[1]) ** 2 / 12
    return variance


def _variance(arrays: list[Floats], shares: Floats, by_seed: Floats) -> Variance | None:
    if any(array.shape[1] < 2 for array in arrays):
        return None
    seeds = len(by_seed)
    questions, rest = np.zeros(len(arrays)), np.zeros(len(arrays))
    for place, (array, share) in enumerate(zip(arrays, shares, strict=True)):
        seed_means, question_means = array.mean(axis=1), array.mean(axis=0)
        questions[place] = share**2 * question_means.var(ddof=1) / array.shape[1]
        if seeds > 1:
            left = array - seed_means[:, None] - question_means + array.mean()
            rest[place] = share**2 * (left**2).sum() / ((seeds - 1) * (array.shape[1] - 1)) / array.size
    between = np.asarray(by_seed.var(ddof=1) / seeds if seeds > 1 else 0.0)
    degrees = np.array([array.shape[1] - 1.0 for array in arrays])
    return Variance(between, questions, rest, degrees, seeds, _rounding_variance(arrays, shares))


def clustered(values: Floats, clusters: np.ndarray) -> Estimate:
    """The mean of values that come in clusters of any size (trajectories of a problem), n being 1.

    Its error is that of drawing clusters: the mean is a ratio of sums over clusters, linearised (Miller
    2024, section 2.2, up to the factor clusters / (clusters - 1)).
    """
    _, place = np.unique(clusters, return_inverse=True)
    totals, sizes = np.bincount(place, weights=values), np.bincount(place)
    mean = totals.sum() / sizes.sum()
    return crossed([(mean + (totals - mean * sizes) / sizes.mean())[None, :]])


# --- many comparisons -----------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down corrected p-values, in the order given.

    The smallest is multiplied by how many there are, the next by one less, and so on; none is smaller than
    one before it, nor larger than 1. Rejecting those below 5 % errs in 5 % of families, however the tests
    depend on each other.
    """
    corrected = [0.0] * len(p_values)
    floor = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = floor
    return corrected


def fixed_sequence(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values of tests in an order that was stated beforehand: none is below one before it.

    Rejecting those below 5 % tests the first at 5 % without correction, each other one only if all before it
    were rejected, and errs in 5 % of sequences (Maurer, Hothorn and Lehmacher 1995, "Multiple comparisons in
    drug clinical trials and preclinical assays: a-priori ordered hypotheses").
    """
    return [max(p_values[: place + 1]) for place in range(len(p_values))]
