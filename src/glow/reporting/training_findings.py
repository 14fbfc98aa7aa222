"""The findings on what training does: the descent of losses, policy entropy, and GLOW's weights."""

from collections.abc import Iterator, Mapping

import pandas as pd

from glow.config import POSITIVES_ONLY
from glow.reporting import dynamics, losses, policy_entropy
from glow.reporting.cells import number
from glow.reporting.finding_words import (
    ONE_SEED,
    POSITIVE_ONLY,
    STANDINGS,
    Badge,
    Finding,
    Standing,
    headline,
    limits,
    listing,
)
from glow.reporting.measures import Comparison
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import IN_DOMAIN, OOD
from glow.reporting.statistics import Estimate

# --- losses ---------------------------------------------------------------------------------------

SLOPES = "slopes of negatives and positives in nats and in percent, chains of equal lengths"
BY_GROUP: dict[losses.Group, str] = {
    losses.MATCHED: "chains matched by length", "chain": "chains", "all": "all trajectories",
}  # fmt: skip
"""Groups of trajectories in words, the narrowest first."""


def loss(results: Results, domain: str) -> Iterator[Finding]:
    """The descent of chains that are matched by length decides, in nats and in percent; the level is shown
    beside it."""
    arms = dynamics.both_signs(results.experiment)
    found = {arm: losses.descents(results, domain, arm) for arm in arms}
    slopes: dict[losses.Group, dict[str, Estimate]] = {}
    relative: dict[losses.Group, dict[str, Estimate]] = {}
    levels: dict[losses.Group, dict[str, Estimate]] = {}
    for group in BY_GROUP:
        own = {arm: groups[group] for arm, groups in found.items() if group in groups}
        slopes[group] = {arm: one.slope_gap for arm, one in own.items() if one.slope_gap is not None}
        relative[group] = {arm: one.relative_gap for arm, one in own.items() if one.relative_gap is not None}
        levels[group] = {arm: one.gap for arm, one in own.items() if one.gap is not None}
    if not levels["all"]:
        return
    what = "Slope of the loss of negatives minus that of positives, in nats per token and epoch"
    more = f"{what}: {_by_group(slopes, 3) or 'none, as it takes two epochs'}. "
    if percentages := _by_group(relative, 2):
        more += f"The same in percent an epoch: {percentages}. "
    more += f"Loss of negatives minus loss of positives in the last epoch: {_by_group(levels, 3)}."
    claim = "The paper claims that negatives slow the descent of the loss."
    if not slopes[losses.MATCHED]:
        untold = "Whether the loss of negatives falls more slowly cannot be told from chains of equal lengths"
        yield Finding(untold, claim, Badge("undecided", SLOPES), more)
        return
    arm, slope = next(iter(slopes[losses.MATCHED].items()))
    percent = relative[losses.MATCHED].get(arm)
    detail = f"{what}, on chains matched by length: {listing(slopes[losses.MATCHED], 3)}."
    detail += limits(slope, "nats per epoch", 3)
    if percent is not None:
        detail += " In percent an epoch, where what starts higher has no further to fall: "
        detail += f"{listing(relative[losses.MATCHED], 2)}.{limits(percent, '% an epoch', 2)}"
    badge = Badge(_loss_standing(slope, percent), f"{SLOPES}, arm {arm}")
    said = _loss_headline(arm, slope, percent)
    if badge.standing in DIRECTIONS and (others := _unlike(slopes[losses.MATCHED], relative[losses.MATCHED])):
        said += f"; not so on both scales in {', '.join(others)}"
    yield Finding(said, f"{detail} {claim}", badge, more)


def _loss_standing(slope: Estimate, percent: Estimate | None) -> Standing:
    """A direction only where both scales find it."""
    signs = (slope.sign, 0 if percent is None else percent.sign)
    if signs[0] * signs[1] < 0:
        return "depends on the scale"
    return STANDINGS[signs[0] if signs[0] == signs[1] else 0]


DIRECTIONS = (STANDINGS[1], STANDINGS[-1])


def _unlike(slopes: Mapping[str, Estimate], relative: Mapping[str, Estimate]) -> list[str]:
    """The arms whose difference has not the sign of the first arm's on both scales."""
    (_, *others), sign = slopes, next(iter(slopes.values())).sign
    return [
        arm for arm in others if slopes[arm].sign != sign or arm not in relative or relative[arm].sign != sign
    ]


FALLS = {1: "more slowly than", -1: "faster than", 0: "neither clearly faster nor clearly more slowly than"}
"""Sign of the slope of negatives minus that of positives -> how the loss of negatives falls."""


def _loss_headline(arm: str, slope: Estimate, percent: Estimate | None) -> str:
    """How the loss of negatives falls, given their slope minus that of positives on both scales."""
    subject = f"training loss of negatives ({arm})"
    if not slope.over_seeds:
        return f"{ONE_SEED} the {subject} falls more slowly than that of positives"
    if percent is None:
        return f"The {subject} falls, in nats, {FALLS[slope.sign]} that of positives"
    if slope.sign == percent.sign:
        return f"The {subject} falls {FALLS[slope.sign]} that of positives"
    return (
        f"How fast the {subject} falls depends on the scale: in nats {FALLS[slope.sign]} that of positives, "
        f"in percent {FALLS[percent.sign]} it"
    )


def _by_group(values: Mapping[losses.Group, Mapping[str, Estimate]], digits: int) -> str:
    """What is known of each group of trajectories."""
    return "; ".join(
        f"on {said}: {listing(values[group], digits)}" for group, said in BY_GROUP.items() if values[group]
    )


# --- policy entropy -------------------------------------------------------------------------------

SCOPE_WORDS = {IN_DOMAIN: "in-domain", OOD: "out of domain"}
Compared = tuple[str, str, str]
"""Domain, arm and scope."""
Changes = dict[str, dict[str, Comparison]]
"""Scope -> arm -> change of its entropy against the reference."""


def entropy(results: Results, domain: str) -> Iterator[Finding]:
    """The entropy of chains without their ends decides, in-domain and out of domain apart; that of all tokens
    is shown beside it."""
    tested = {
        over: policy_entropy.changes(results, over)
        for over in (policy_entropy.WITH_END, policy_entropy.CHAINS)
    }
    everything, chains = (_changes(results, domain, compared) for compared in tested.values())
    if not any(everything.values()):
        return
    has_chains = any(chains.values())
    over = policy_entropy.CHAINS if has_chains else policy_entropy.WITH_END
    decisive = chains if has_chains else everything
    base = {
        scope: change for scope in decisive if (change := tested[over].get((domain, BASE, scope))) is not None
    }
    where = "policy entropy on chains" if has_chains else "policy entropy"
    of = (
        "responses with a chain, without the end of the turn"
        if has_chains
        else "all responses with their ends"
    )
    detail = f"Change in policy entropy from positive-only SFT, in percent, on {of}: {_by_scope(decisive)}."
    for scope, own in decisive.items():
        detail += limits(next(iter(own.values())), "%", what=f"rise {SCOPE_WORDS[scope]}")
    detail += _base_entropy(results, domain, over, base)
    detail += (
        " The paper claims that negatives raise the entropy; we do not know in which of its arms nor on "
    )
    detail += "which questions, so that all arms with negatives have to agree, in-domain and out of domain."
    more = ""
    if has_chains:
        more = f"On all responses with their ends: {_by_scope(everything)}."
    else:
        detail += " What part of it is due to the form of answers cannot be told here."
    names = ", ".join(dict.fromkeys(arm for own in decisive.values() for arm in own))
    scopes = " and ".join(SCOPE_WORDS[scope] for scope in decisive)
    contrast = f"{where}, {names} against {results.experiment.reference_arm}, {scopes}"
    badge = Badge(_entropy_standing(decisive) if has_chains else "undecided", contrast)
    yield Finding(_entropy_headline(where, decisive, base), detail, badge, more)


def _changes(results: Results, domain: str, compared: Mapping[Compared, Comparison]) -> Changes:
    """The changes of the arms with negatives; scopes without any are left out."""
    found = {
        scope: {
            name: compared[domain, name, scope]
            for name, arm in results.experiment.arms.items()
            if arm.trajectories not in POSITIVES_ONLY and (domain, name, scope) in compared
        }
        for scope in SCOPE_WORDS
    }
    return {scope: own for scope, own in found.items() if own}


def _by_scope(changes: Changes) -> str:
    return "; ".join(f"{SCOPE_WORDS[scope]}: {listing(own)}" for scope, own in changes.items())


def _base_entropy(
    results: Results, domain: str, over: policy_entropy.Tokens, base: Mapping[str, Comparison]
) -> str:
    """Where the base stands: against the reference by the same test, and beside the means of trained arms.

    Args:
        base: scope -> the base's change.
    """
    parts = []
    for scope, change in base.items():
        levels = {
            arm: found.mean
            for arm in (BASE, *results.experiment.arms)
            if (found := policy_entropy.level(results, domain, arm, over, scope)) is not None
        }
        if BASE not in levels:
            continue
        trained = [mean for arm, mean in levels.items() if arm != BASE]
        below = sum(mean < levels[BASE] for mean in trained)
        parts.append(
            f"{SCOPE_WORDS[scope]}, {listing({BASE: change})}, and the means of {below} of {len(trained)} "
            "trained arms lie below the base's"
        )
    return f" Where the base stands by the same comparison: {'; '.join(parts)}." if parts else ""


def _entropy_standing(changes: Changes) -> Standing:
    """A direction only where all arms have it in every scope. It depends on the suites where all arms have
    one in some scope and not in another, and no arm's intervals of the two overlap."""
    signs = [{change.sign for change in own.values()} for own in changes.values()]
    common = {min(own) if len(own) == 1 else 0 for own in signs}
    if len(common) == 1:
        return STANDINGS[min(common)]
    inside, outside = changes[IN_DOMAIN], changes[OOD]
    if all(_lie_apart(inside[arm].difference, outside[arm].difference) for arm in inside if arm in outside):
        return "depends on the suites"
    return "undecided"


def _lie_apart(one: Estimate, other: Estimate) -> bool:
    """Whether two intervals do not overlap."""
    (low, high), (other_low, other_high) = (own.bounds or (own.mean, own.mean) for own in (one, other))
    return high < other_low or other_high < low


def _entropy_headline(where: str, changes: Changes, base: Mapping[str, Comparison]) -> str:
    """In which scope the entropy of which arms differs; `base` has the base's change by scope."""
    first = next(iter(changes.values()))
    name, change = next(iter(first.items()))
    if not change.difference.over_seeds:
        return headline(f"{where} of arm {name}", change, POSITIVE_ONLY)
    parts = [
        f"{SCOPE_WORDS[scope]}, {_entropy_directions(own, base[scope].sign if scope in base else 0)}"
        for scope, own in changes.items()
    ]
    return f"The {where}, against {POSITIVE_ONLY}: {'; '.join(parts)}"


def _entropy_directions(changes: Mapping[str, Comparison], base: int) -> str:
    """`higher for 1 of 4 arms with negatives (negative) and for the base`."""
    parts = []
    for sign, word in ((1, "higher"), (-1, "lower")):
        names = [name for name, change in changes.items() if change.sign == sign]
        for_whom = (
            [f"{len(names)} of {len(changes)} arms with negatives ({', '.join(names)})"] if names else []
        )
        if for_whom or base == sign:
            parts.append(
                f"{word} for {' and for '.join([*for_whom, *(['the base'] if base == sign else [])])}"
            )
    if not any(change.sign for change in changes.values()):
        parts.insert(0, f"not to be told apart for any of {len(changes)} arms with negatives")
    return ", and ".join(parts)


# --- weights --------------------------------------------------------------------------------------

HARDLY = 95.0
"""From this effective share of samples on, in percent, weights are said to hardly differ."""


def weights(results: Results, domain: str) -> Iterator[Finding]:
    """How far the weights of samples differ, epoch by epoch: by Kish's effective share of samples."""
    for arm, objective in dynamics.weighted_arms(results.experiment, domain).items():
        summary = dynamics.weight_summary(dynamics.histories(results, domain, arm), objective.bounds)
        if summary.empty:
            continue
        means = summary.groupby(level="epoch", sort=False).mean()
        whole, by_epoch = means.loc["all"].to_dict(), means.drop(index="all")
        detail = f"Effective share of samples, 100 % where all weights are equal: {_effective(by_epoch)}. "
        detail += (
            f"Over all these epochs, the mean weight is {number(whole['mean'], 3)} (s.d. over samples "
            f"{number(whole['sd'], 3)}); {number(whole['correct'], 3)} for correct, "
            f"{number(whole['wrong'], 3)} for wrong trajectories"
        )
        if objective.bounds is not None:
            low, high = objective.bounds
            detail += (
                f"; {number(whole['low'], 1)} % of samples at the lower bound {low:g} and "
                f"{number(whole['high'], 1)} % at the upper bound {high:g}"
            )
        # What weights were in a run is seen and not inferred; but it is of that run.
        in_one = "In the one run, " if len(results.experiment.seeds) == 1 else ""
        said = f"{in_one}{objective.label}'s weights ({arm}) {_differ(by_epoch)}"
        yield Finding(said, detail + ".", more=f"By epoch: {_epochs_of_weights(by_epoch)}.")


def _differ(by_epoch: pd.DataFrame) -> str:
    """How far weights differ, given their means over seeds by epoch."""
    if (by_epoch["sd"] == 0).all():
        return "are the same for all samples"
    uneven = by_epoch.index[by_epoch["effective"] < HARDLY]
    if not len(uneven):
        return "hardly differ between samples"
    if len(uneven) == len(by_epoch):
        return "differ between samples"
    epochs = f"epoch{'s' if len(uneven) > 1 else ''} {', '.join(map(str, uneven))}"
    return f"differ between samples in {epochs}, and hardly in the others"


def _effective(by_epoch: pd.DataFrame) -> str:
    """The first epoch with weights, and the range of those after it."""
    shown = [number(share, 1) for share in by_epoch["effective"]]
    first = f"{shown[0]} % in epoch {by_epoch.index[0]}"
    if len(shown) == 1:
        return first
    later = by_epoch["effective"].iloc[1:]
    return f"{first}, {number(later.min(), 1)} to {number(later.max(), 1)} % in later ones"


def _epochs_of_weights(by_epoch: pd.DataFrame) -> str:
    """Effective share, mean and s.d. of each epoch."""
    return "; ".join(
        f"{epoch}: {number(row['effective'], 1)} % (mean weight {number(row['mean'], 3)}, "
        f"s.d. {number(row['sd'], 3)})"
        for epoch, row in by_epoch.iterrows()
    )
