"""Differences over worlds: each world's own, and their mean with worlds as the unit.

A study's interval speaks of other seeds and questions in the same world: the same base, teacher, problems and
trajectories. Whether another world would show the same is seen from several alone. Each gives one difference,
and their mean is tested by the ordinary t over worlds, with one degree of freedom less than there are worlds.
It is exact for any number of normal values, as each holds all that varies, within a world and between worlds:

    difference[world] = mean + what the world changes + error within the world

The variance between worlds is that of the differences less the mean of their own error variances: the method
of moments (Hedges and Olkin 1985, "Statistical Methods for Meta-Analysis", chapter 9; DerSimonian and Kacker
2007, "Random-effects model for meta-analysis of clinical trials: an update"). It may be negative. All worlds
weigh alike: they are of one design, and three variances are too rough to weight by.

Nothing here formats or writes. Accuracies are in percent, their differences in percentage points.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from glow.config import Experiment
from glow.reporting import grpo, measures
from glow.reporting.measures import Comparison
from glow.reporting.results import BASE
from glow.reporting.scopes import SCOPES
from glow.reporting.statistics import Estimate, Variance, estimate, fixed_sequence, holm
from glow.reporting.worlds import World

ALIKE = 1e-9
"""Errors in points below this are those of floating-point sums."""


@dataclass(frozen=True)
class Pooled:
    """A quantity in several worlds, and over them.

    Attributes:
        worlds: in each world, over its seeds and questions.
        over: their mean, whose n counts worlds; its p-value corrected over its family.
    """

    worlds: tuple[Estimate, ...]
    over: Comparison

    @property
    def within(self) -> float | None:
        """The mean of the worlds' own error variances; None where a world has none."""
        errors = [world.error for world in self.worlds if world.error is not None]
        return float(np.mean(np.square(errors))) if len(errors) == len(self.worlds) else None

    @property
    def between(self) -> float | None:
        """The variance between worlds, as estimated: it may be negative. None where `within` is."""
        if self.within is None:
            return None
        return float(np.var([world.mean for world in self.worlds], ddof=1)) - self.within


def pooled(worlds: Sequence[Estimate]) -> Pooled:
    """A quantity over two worlds or more; its p-value is not corrected, and `over` has none yet.

    Where all worlds are alike, their spread says nothing of others, and there is no interval. The p-value is
    then 1 where the mean is zero, and absent elsewhere, as in `statistics.crossed`.
    """
    over = estimate([world.mean for world in worlds])
    if over.error is None or over.error < ALIKE:
        over = Estimate(over.mean, None, None, None, over.n, 1.0 if over.mean == 0 else None)
        return Pooled(tuple(worlds), Comparison(over, None))
    none = np.zeros(0)
    variance = Variance(np.asarray(over.error**2), none, none, none, over.n)
    return Pooled(tuple(worlds), Comparison(over, None, variance))


Key = TypeVar("Key", bound=Hashable)


def _corrected(family: Mapping[Key, Pooled]) -> dict[Key, Pooled]:
    """The family with its p-values corrected by Holm's method."""
    tested = {key: own.over.difference.p for key, own in family.items()}
    known = {key: p for key, p in tested.items() if p is not None}
    corrected = dict(zip(known, holm(list(known.values())), strict=True))
    return {
        key: replace(own, over=replace(own.over, p_holm=corrected.get(key))) for key, own in family.items()
    }


# --- accuracy -------------------------------------------------------------------------------------

Place = tuple[str, str, str]
"""Domain, arm (or initialisation) and scope."""


def accuracies(worlds: Sequence[World]) -> dict[Place, Pooled]:
    """Mean accuracy of the base and of every arm over the suites of each scope that has any."""
    experiment = worlds[0].results.experiment
    found: dict[Place, Pooled] = {}
    for domain in experiment.domain_names:
        for arm in (BASE, *experiment.arms):
            for scope in SCOPES:
                own = [measures.mean(world.results, "sft", domain, arm, scope) for world in worlds]
                if present := [mean for mean in own if mean is not None]:
                    found[domain, arm, scope] = pooled(present)
    return found


def contrasts(worlds: Sequence[World]) -> list[Pooled]:
    """The differences that the configuration states beforehand, tested in their order."""
    by_world = [measures.contrasts(world.results) for world in worlds]
    found = [pooled([own.difference for own in contrast]) for contrast in zip(*by_world, strict=True)]
    p_values = [own.over.difference.p for own in found]
    corrected = fixed_sequence([1.0 if p is None else p for p in p_values])
    return [
        replace(own, over=replace(own.over, p_holm=p, stated=True))
        for own, p in zip(found, corrected, strict=True)
    ]


def comparisons(worlds: Sequence[World]) -> dict[Place, Pooled]:
    """Every arm (and the base) against the reference arm, in-domain and OOD.

    One family, without those that are stated beforehand: these are as in `contrasts`. Empty where there is no
    reference arm.
    """
    experiment = worlds[0].results.experiment
    stated = _stated(experiment, contrasts(worlds))
    by_world = [measures.gains(world.results) for world in worlds]
    keys = [key for key in by_world[0] if key[2] in SCOPES]
    family = _corrected(
        {key: pooled([gains[key].difference for gains in by_world]) for key in keys if key not in stated}
    )
    return {key: stated.get(key) or family[key] for key in keys}


def _stated(experiment: Experiment, found: Sequence[Pooled]) -> dict[Place, Pooled]:
    """The contrasts with the reference arm, as differences from it."""
    reference = experiment.reference_arm
    stated: dict[Place, Pooled] = {}
    for contrast, own in zip(experiment.contrasts, found, strict=True):
        domain = contrast.domain or experiment.domain_names[0]
        if contrast.over == reference:
            stated[domain, contrast.arm, contrast.scope] = own
        elif contrast.arm == reference:
            stated[domain, contrast.over, contrast.scope] = _reversed(own)
    return stated


def _reversed(own: Pooled) -> Pooled:
    over = replace(own.over, difference=own.over.difference.reversed)
    return Pooled(tuple(world.reversed for world in own.worlds), over)


# --- GRPO -----------------------------------------------------------------------------------------


def grpo_changes(worlds: Sequence[World]) -> dict[Place, Pooled]:
    """Points of accuracy that GRPO added, from each initialisation, as one family."""
    by_world = [grpo.changes(world.results) for world in worlds]
    return _corrected({key: pooled([own[key].difference for own in by_world]) for key in by_world[0]})


def grpo_pooled_changes(worlds: Sequence[World]) -> dict[tuple[str, str], Pooled]:
    """The same averaged over all initialisations, a family of its own: (domain, scope) -> over worlds."""
    by_world = [grpo.pooled_changes(world.results) for world in worlds]
    return _corrected({key: pooled([own[key].difference for own in by_world]) for key in by_world[0]})
