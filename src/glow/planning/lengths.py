"""How long responses are: their mean, their squares, and the longest of some, for which others wait.

Lengths of a group are taken as gamma distributed, the usual shape of what is positive and has a long tail.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
from scipy.special import gammaincinv

_PLACES = (np.arange(128) + 0.5) / 128
"""Shares of a distribution that stand for it, each for one in 128."""


def largest(spread: float, number: float) -> np.ndarray:
    """The largest of `number` draws, in means: equally likely values of it; of one draw, the draws themselves.

    Args:
        spread: standard deviation of a draw, in means.
    """
    if spread == 0:
        return np.ones_like(_PLACES)
    shape = 1 / spread**2
    return gammaincinv(shape, _PLACES ** (1 / max(1.0, number))) / shape


@dataclass(frozen=True)
class Lengths:
    """How long responses are: groups with a share and a mean, in tokens.

    Attributes:
        spread: standard deviation within the first group, in means; others have one length.
        most: tokens that none passes, where something ends or drops what is longer.
    """

    groups: tuple[tuple[float, float], ...]
    spread: float
    most: float = inf

    @property
    def mean(self) -> float:
        """Tokens of a response."""
        return sum(share * length for share, length in self.groups)

    @property
    def mean_square(self) -> float:
        """Of the tokens of a response."""
        (share, length), *others = self.groups
        widened = share * length**2 * (1 + self.spread**2)
        return widened + sum(share * length**2 for share, length in others)

    @property
    def mean_place(self) -> float:
        """The mean place of a token in its response: how much stands before it."""
        return self.mean_square / (2 * self.mean)

    def longest(self, number: float) -> float:
        """Tokens of the longest of `number` responses, on average over such draws."""
        (share, length), *others = self.groups
        found = np.minimum(self.most, length * largest(self.spread, share * number))
        expected = float(found.mean())
        for part, fixed in sorted(others, key=lambda group: group[1]):
            there = 1 - (1 - part) ** max(1.0, number)
            expected = there * max(fixed, expected) + (1 - there) * expected
        return expected

    def draws(self) -> tuple[np.ndarray, np.ndarray]:
        """Lengths that stand for all, and the share of each."""
        (share, length), *others = self.groups
        first = np.minimum(self.most, length * largest(self.spread, 1))
        shares = np.full_like(first, share / first.size)
        return (
            np.concatenate([first, [fixed for _, fixed in others]]),
            np.concatenate([shares, [part for part, _ in others]]),
        )
