"""What findings are made of: headlines that claim no more than a test, listed numbers, and tags."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from glow.reporting.cells import MARK, interval, number, p_cell
from glow.reporting.conventions import ERROR_RATE, POWER
from glow.reporting.measures import Comparison
from glow.reporting.power import Sources
from glow.reporting.statistics import Estimate

Standing = Literal[
    "as published",
    "not as published",
    "shown to be small",
    "depends on the suites",
    "depends on the scale",
    "undecided",
]
"""How what was tested compares with what was published: neither significant nor equivalent is undecided."""
STANDINGS: dict[int, Standing] = {1: "as published", -1: "not as published", 0: "undecided"}
"""Sign of a difference -> how it compares with a published one that is positive."""
ONE_SEED = "One seed: not decided whether"
"""What a headline says in place of a difference where there is a single seed."""
POSITIVE_ONLY = "that of positive-only SFT"


@dataclass(frozen=True)
class Badge:
    """How one contrast compares with what was published.

    Attributes:
        contrast: what was tested, and nothing else is said to be as published: `glow − positive, OOD mean`.
    """

    standing: Standing
    contrast: str


@dataclass(frozen=True)
class Finding:
    """One finding: a headline, the numbers behind it, and how what was tested compares with the paper.

    `badge` is None where nothing that we know of was published; `more` has numbers that decide nothing.
    """

    headline: str
    detail: str
    badge: Badge | None = None
    more: str = ""


Decided = Estimate | Comparison
"""What has a sign: a mean by its interval, a comparison by its corrected p-value."""


def headline(subject: str, difference: Decided, other: str) -> str:
    """`The subject is higher than other` where the test finds a difference; elsewhere without a direction."""
    found = difference.difference if isinstance(difference, Comparison) else difference
    if not found.over_seeds:
        return f"{ONE_SEED} the {subject} differs from {other}"
    if difference.sign:
        return f"The {subject} is {'higher' if difference.sign > 0 else 'lower'} than {other}"
    if found.mean == 0:
        return f"The {subject} cannot be told from {other}: the means are equal"
    return f"The {subject} cannot be told from {other}"


def listing(values: Mapping[str, Decided], digits: int = 1) -> str:
    """`glow +1.2 [−3.4, +5.8]; glow_released +0.3 [−1.0, +1.6]*`, with a star where the test finds it."""
    shown = []
    for name, value in values.items():
        if isinstance(value, Comparison):
            star = MARK if value.sign else ""
            shown.append(f"{name} {interval(value.difference, digits)}{star}")
        else:
            shown.append(f"{name} {interval(value, digits)}")
    return "; ".join(shown)


def limits(found: Decided, unit: str = "points", digits: int = 1, what: str = "difference") -> str:
    """What the test of an undecided difference would have found, as a sentence after others.

    Empty where it is decided, or where that is not known. Nothing is said of a difference as large as the
    one that was seen: the chance to find that is but its p-value in other words (Hoenig and Heisey 2001, "The
    Abuse of Power").
    """
    if found.sign:
        return ""
    if isinstance(found, Comparison):
        detectable, over = found.detectable, "seeds and questions"
    elif found.error and found.over_seeds:
        detectable, over = Sources.of_seeds(found.error**2 * found.n).detectable(found.n), "seeds"
    else:
        return ""
    if detectable is None:
        return ""
    least = f"a true {what} of {number(detectable, digits)} {unit}"
    return f" With these {over}, {least} would be found with a chance of {100 * POWER:g} %."


def is_equivalent(found: Comparison, margin: float | None) -> bool:
    """Whether a difference is shown to lie within ± the margin; never without one."""
    p = None if margin is None else found.equivalence_p(margin)
    return p is not None and p < ERROR_RATE


def equivalent(found: Comparison, margin: float | None) -> str:
    """That a difference is shown to be small, as a sentence after others; empty where it is not."""
    if margin is None or not is_equivalent(found, margin):
        return ""
    shown = p_cell(found.equivalence_p(margin)).text
    return f" It is shown to lie within ±{margin:g} points (p {'' if '<' in shown else '= '}{shown})."
