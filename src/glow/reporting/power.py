"""What a study can detect: the smallest difference that its tests would find, and the seeds that one needs.

A test that finds nothing says little unless one knows what it would have found. Both answers are for the
test of `statistics.crossed`, two-sided at 5 % and without correction for many comparisons, and for a chance
to detect (power) of `POWER`. They start from the variance of the difference at hand, divided into its
sources: seeds, questions, and the rest. These are estimates, and rough ones with few seeds.

With many seeds the power would be that of a noncentral t. With few, two t tests on the same answers must
agree, and there is no such formula. So the pieces that the tests are made of are drawn as the balanced
random-effects model has them (independent multiples of chi-squared; Searle, Casella and McCulloch 1992,
"Variance Components"), and `Variance.reach` decides on each draw: it is the same code that
decides in the tables. The mean is independent of the pieces, so the chance that it lies beyond their reach is
a normal one, and is averaged over the draws. The draws are a fixed Latin hypercube: equal numbers in, equal
numbers out. benchmarks/coverage.py compares what is promised here with how often `crossed` rejects.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from scipy.special import gammaincinv, ndtr

from glow.reporting.conventions import ERROR_RATE, MOST_SEEDS, POWER
from glow.reporting.statistics import Floats, Variance

DRAWS = 1024
"""Draws of the pieces; the error that their number leaves in a power is below half a percent."""


@dataclass(frozen=True)
class Sources:
    """Where the variance of a mean comes from, freed from each other and from the number of seeds.

    Attributes:
        seeds: variance between seeds, of the mean that one seed would have over all questions there could be.
        questions: (strata,) variance from the draw of questions, with all seeds there could be.
        rest: (strata,) variance of one seed's mean from what neither explains.
        degrees: (strata,) number of questions, less one.
        rounding: as in `Variance`.
    """

    seeds: float
    questions: Floats
    rest: Floats
    degrees: Floats
    rounding: float = 0.0

    @classmethod
    def of(cls, variance: Variance) -> Self:
        """The sources of a variance from two seeds or more; estimates below zero are taken as zero."""
        return cls(
            float(variance.from_seeds) * variance.n,
            np.maximum(0.0, variance.questions - variance.rest),
            variance.rest * variance.n,
            variance.degrees,
            variance.rounding,
        )

    @classmethod
    def of_seeds(cls, variance: float) -> Self:
        """The source of a mean of one value a seed, from their variance: there are no questions."""
        none = np.zeros(0)
        return cls(variance, none, none, none)

    def variance(self, seeds: int) -> float:
        """The true variance of the mean over so many seeds, on as many questions."""
        return self.seeds / seeds + float(self.questions.sum() + self.rest.sum() / seeds)

    def drawn(self, seeds: int) -> Variance:
        """What `crossed` would find in the pieces, in `DRAWS` studies of so many seeds."""
        uniform, strata = _uniform(1 + 2 * self.degrees.size), self.degrees.size
        rest = self.rest / seeds
        return Variance(
            (self.seeds / seeds + rest.sum()) * _chi_squared(uniform[:, 0], seeds - 1.0),
            (self.questions + rest) * _chi_squared(uniform[:, 1 : 1 + strata], self.degrees),
            rest * _chi_squared(uniform[:, 1 + strata :], (seeds - 1) * self.degrees),
            self.degrees,
            seeds,
            self.rounding,
        )

    def power(self, difference: float, seeds: int) -> float:
        """The chance that a true difference is found with so many seeds."""
        return _power(difference, self.drawn(seeds).reach(1 - ERROR_RATE), math.sqrt(self.variance(seeds)))

    def detectable(self, seeds: int) -> float:
        """The smallest true difference that is found with the chance `POWER`."""
        reach, error = self.drawn(seeds).reach(1 - ERROR_RATE), math.sqrt(self.variance(seeds))
        low, high = 0.0, error
        while _power(high, reach, error) < POWER:
            low, high = high, 2 * high
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if _power(middle, reach, error) < POWER else (low, middle)
        return high

    def seeds_needed(self, difference: float) -> int | None:
        """With how many seeds a true difference is found with the chance `POWER`; None above `MOST_SEEDS`.

        The questions stay as they are: where they alone leave too much uncertain, no number is enough.
        """
        if self.power(difference, MOST_SEEDS) < POWER:
            return None
        low, high = 1, MOST_SEEDS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.power(difference, middle) < POWER else (low, middle)
        return high


def _power(difference: float, reach: Floats, error: float) -> float:
    beyond = ndtr((difference - reach) / error) + ndtr((-difference - reach) / error)
    return float(beyond.mean())


@cache
def _uniform(dimensions: int) -> Floats:
    """A Latin hypercube (DRAWS, dimensions): in each dimension the middles of DRAWS equal parts, shuffled."""
    random = np.random.default_rng(0)
    middles = (np.arange(DRAWS) + 0.5) / DRAWS
    return np.stack([random.permutation(middles) for _ in range(dimensions)], axis=1)


def _chi_squared(uniform: Floats, degrees: Floats | float) -> Floats:
    """Quantiles of chi-squared over its degrees of freedom, which has the mean 1."""
    half = np.asarray(degrees) / 2
    return np.asarray(gammaincinv(half, uniform) / half)
