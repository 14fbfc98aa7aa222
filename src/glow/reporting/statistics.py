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
Procedure".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
class _Parts:
    """The pieces of a mean's variance; arrays are over strata.

    Attributes:
        seeds: variance of the mean over seeds; 0 with a single seed.
        questions: (strata,) variance from the questions' means, which holds their share of the rest.
        rest: (strata,) variance from what neither seed nor question explains; 0 with a single seed.
        degrees: (strata,) degrees of freedom of `questions`.
    """

    seeds: float
    questions: Floats
    rest: Floats
    degrees: Floats

    @property
    def from_seeds(self) -> float:
        """What seeds add to the questions' variance: the estimate of seeds' own variance, at least 0."""
        return max(0.0, self.seeds - float(self.rest.sum()))


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
    arrays = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    shares = np.full(len(arrays), 1 / len(arrays)) if weights is None else np.asarray(weights)
    seeds, count = len(arrays[0]), sum(array.shape[1] for array in arrays)
    seed_means = sum(
        (s * array.mean(axis=1) for s, array in zip(shares, arrays, strict=True)), np.zeros(seeds)
    )
    mean, by_seed = float(seed_means.mean()), tuple(seed_means.tolist())
    if any(array.shape[1] < 2 for array in arrays):
        return Estimate(mean, None, None, None, seeds, None, count, by_seed)
    parts = _parts(arrays, shares, seed_means)
    variance = float(parts.questions.sum()) + parts.from_seeds
    if variance == 0:
        return Estimate(mean, None, None, None, seeds, 1.0 if mean == 0 else None, count, by_seed)
    # Satterthwaite: the squared variance over the sum of each piece's square over its degrees of freedom.
    spread = float((parts.questions**2 / parts.degrees).sum())
    if parts.from_seeds > 0:
        rest = float((parts.rest**2 / parts.degrees).sum())
        spread += (parts.seeds**2 + rest) / (seeds - 1)
    error = math.sqrt(variance)
    reach, p = _t(mean, error, variance**2 / spread)
    if 1 < seeds < FEW_SEEDS:
        seeds_error = math.sqrt(max(parts.seeds, _rounding_variance(arrays, shares) / seeds))
        reach, p = map(max, (reach, p), _t(mean, seeds_error, seeds - 1))
    return Estimate(mean, error, mean - reach, mean + reach, seeds, p, count, by_seed)


def _rounding_variance(arrays: list[Floats], shares: Floats) -> float:
    """Variance of a seed mean from its rounding to one answer more or less (Sheppard's, by stratum)."""
    variance = 0.0
    for array, share in zip(arrays, shares, strict=True):
        distinct = np.unique(array.round(9))
        if distinct.size > 1:
            variance += (share * np.diff(distinct).min() / array.shape[1]) ** 2 / 12
    return variance


def _parts(arrays: list[Floats], shares: Floats, by_seed: Floats) -> _Parts:
    seeds = len(by_seed)
    questions, rest = np.zeros(len(arrays)), np.zeros(len(arrays))
    for place, (array, share) in enumerate(zip(arrays, shares, strict=True)):
        seed_means, question_means = array.mean(axis=1), array.mean(axis=0)
        questions[place] = share**2 * question_means.var(ddof=1) / array.shape[1]
        if seeds > 1:
            left = array - seed_means[:, None] - question_means + array.mean()
            rest[place] = share**2 * (left**2).sum() / ((seeds - 1) * (array.shape[1] - 1)) / array.size
    degrees = np.array([array.shape[1] - 1 for array in arrays])
    return _Parts(by_seed.var(ddof=1) / seeds if seeds > 1 else 0.0, questions, rest, degrees)


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
