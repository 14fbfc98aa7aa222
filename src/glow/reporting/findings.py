"""The findings of an experiment in plain sentences, and whether they agree with what was published.

Every sentence is made from estimates of `measures` and `losses`. A headline states a difference only where
one remains after correction for the number of comparisons: never from a tie, and never with a single seed.
The claims are those of the paper's abstract and first version (docs/paper.md); none is assumed to hold here.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from glow.config import NEGATIVES_ONLY, POSITIVES_ONLY, SelectionName
from glow.reporting import dynamics, grpo, losses, measures
from glow.reporting.cells import MARK, interval, number, p_cell
from glow.reporting.conventions import ERROR_RATE, MOST_SEEDS, POWER
from glow.reporting.measures import Comparison
from glow.reporting.power import Sources
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import IN_DOMAIN, OOD, mean_heading, scope_suites
from glow.reporting.statistics import Estimate

Standing = Literal["as published", "not as published", "undecided"]
STANDINGS: dict[int, Standing] = {1: "as published", -1: "not as published", 0: "undecided"}
"""Sign of a difference -> how it compares with a published one that is positive."""
ONE_SEED = "One seed: not decided whether"
"""What a headline says in place of a difference where there is a single seed."""
CONSTANT_SHARE = 95.0
"""From this percentage of samples at one bound on, the weights are called nearly constant."""


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


def find(results: Results) -> list[Finding]:
    """The findings of an experiment, domain by domain."""
    finders = (_stated, _glow_ood, _negatives_ood, _in_domain, _loss, _entropy, _weights, _grpo)
    several = len(results.experiment.domain_names) > 1
    return [
        replace(found, headline=f"{domain}: {found.headline}") if several else found
        for domain in results.experiment.domain_names
        for finder in finders
        for found in finder(results, domain)
    ]


# --- words ----------------------------------------------------------------------------------------


Decided = Estimate | Comparison
"""What has a sign: a mean by its interval, a comparison by its corrected p-value."""


def _estimate(found: Decided) -> Estimate:
    return found.difference if isinstance(found, Comparison) else found


def _headline(subject: str, difference: Decided, other: str) -> str:
    """`The subject is higher than other` where the test finds a difference; elsewhere without a direction."""
    found = _estimate(difference)
    if not found.over_seeds:
        return f"{ONE_SEED} the {subject} differs from {other}"
    if difference.sign:
        return f"The {subject} is {'higher' if difference.sign > 0 else 'lower'} than {other}"
    if found.mean == 0:
        return f"The {subject} cannot be told from {other}: the means are equal"
    return f"The {subject} cannot be told from {other}"


def _listing(values: Mapping[str, Decided], digits: int = 1) -> str:
    """`glow +1.2 [−3.4, +5.8]; glow_released +0.3 [−1.0, +1.6]*`, with a star where the test finds it."""
    shown = []
    for name, value in values.items():
        if isinstance(value, Comparison):
            star = MARK if value.sign else ""
            shown.append(f"{name} {interval(value.difference, digits)}{star}")
        else:
            shown.append(f"{name} {interval(value, digits)}")
    return "; ".join(shown)


def _limits(found: Decided, unit: str = "points", digits: int = 1, what: str = "difference") -> str:
    """What the test of an undecided difference would have found, as a sentence after others.

    Empty where it is decided, or where that is not known.
    """
    if found.sign:
        return ""
    if isinstance(found, Comparison):
        mean, detectable, over = found.difference.mean, found.detectable, "seeds and questions"
        needed = found.seeds_needed() if found.sources is not None else None
    elif found.error and found.over_seeds:
        sources, over = Sources.of_seeds(found.error**2 * found.n), "seeds"
        mean, detectable = found.mean, sources.detectable(found.n)
        needed = sources.seeds_needed(abs(found.mean))
    else:
        return ""
    if detectable is None:
        return ""
    least = f"a true {what} of {number(detectable, digits)} {unit}"
    said = f" With these {over}, {least} would be found with a chance of {100 * POWER:g} %"
    if mean == 0:
        return f"{said}."
    seeds = f"more than {MOST_SEEDS:,}" if needed is None else f"{needed}"
    return f"{said}; for one as large as the one seen, {seeds} seeds would be needed."


def _equivalent(found: Comparison, margin: float | None) -> str:
    """That a difference is shown to be small, as a sentence after others; empty where it is not."""
    p = None if margin is None else found.equivalence_p(margin)
    if p is None or p >= ERROR_RATE:
        return ""
    shown = p_cell(p).text
    return f" It is shown to lie within ±{margin:g} points (p {'' if '<' in shown else '= '}{shown})."


# --- findings -------------------------------------------------------------------------------------


def _stated(results: Results, domain: str) -> Iterator[Finding]:
    tested = measures.contrasts(results)
    decided = measures.decisions(tested)
    own = [
        (contrast, comparison, decision)
        for contrast, comparison, decision in zip(results.experiment.contrasts, tested, decided, strict=True)
        if (contrast.domain or domain) == domain
    ]
    if not own:
        return
    rejected = sum(decision == "rejected" for _, _, decision in own)
    parts = [
        f"{contrast.arm} against {contrast.over}, {mean_heading(contrast.scope)}: "
        f"{interval(comparison.difference, 1)} (no difference: {decision})"
        for contrast, comparison, decision in own
    ]
    detail = f"In points, in the stated order: {'; '.join(parts)}."
    headline = f"Of the differences stated beforehand, {rejected} of {len(own)} can be told from none"
    if not own[0][1].difference.over_seeds:
        headline = f"{ONE_SEED} any of the differences stated beforehand can be told from none"
    yield Finding(headline, detail)


def _glow_ood(results: Results, domain: str) -> Iterator[Finding]:
    experiment = results.experiment
    arms, plain_arms = (dynamics.arms_of(experiment, name) for name in ("glow", "plain"))
    compared = measures.gains(results)
    gains = {arm: compared[domain, arm, OOD] for arm in arms if (domain, arm, OOD) in compared}
    if not gains:
        return
    first, gain = next(iter(gains.items()))
    detail = f"Difference from positive-only SFT in OOD accuracy, in points: {_listing(gains)}."
    same_data = experiment.arms[first].trajectories
    plain = [
        arm
        for arm in dynamics.both_signs(experiment)
        if arm in plain_arms and experiment.arms[arm].trajectories == same_data
    ]
    if plain and (same := _over(results, domain, first, plain[0])) is not None:
        detail += f" Difference from plain SFT on the same data ({plain[0]}): {_listing({first: same})}."
    detail += _limits(gain) + _equivalent(gain, experiment.margin)
    detail += " The paper's abstract claims that GLOW is more accurate out of domain than positive-only SFT."
    subject = f"OOD accuracy of {arms[first].label} ({first})"
    yield Finding(_headline(subject, gain, POSITIVE_ONLY), detail, _badge(results, first, gain))


POSITIVE_ONLY = "that of positive-only SFT"


def _badge(results: Results, arm: str, gain: Comparison) -> Badge:
    """How the OOD gain of an arm over the reference compares with a published gain."""
    return Badge(STANDINGS[gain.sign], f"{arm} against {results.experiment.reference_arm}, OOD mean")


def _over(results: Results, domain: str, arm: str, other: str) -> Decided | None:
    """OOD difference from another arm than the reference: decided only if it is stated beforehand."""
    stated = measures.stated_comparison(results, domain, arm, OOD, other)
    return stated or measures.gain(results, domain, arm, OOD, over=other)


def _negatives_ood(results: Results, domain: str) -> Iterator[Finding]:
    """Negatives alone and negatives beside positives are two claims, each tested on arms of its own."""
    selections = {arm.trajectories for arm in results.experiment.arms.values()}
    both = selections.difference(POSITIVES_ONLY, NEGATIVES_ONLY)
    yield from _plain_ood(
        results,
        domain,
        NEGATIVES_ONLY,
        "SFT on wrong answers alone",
        "Summaries of the paper's first version claim that negatives alone are more accurate out of domain "
        "than positives alone.",
    )
    yield from _plain_ood(
        results,
        domain,
        both,
        "SFT on right and wrong answers",
        "The paper's abstract claims that keeping wrong answers beside right ones is more accurate out of "
        "domain.",
    )


def _plain_ood(
    results: Results, domain: str, selections: Collection[SelectionName], what: str, claim: str
) -> Iterator[Finding]:
    """What plain training on any of some selections does out of domain; the first arm is tested."""
    compared, plain = measures.gains(results), dynamics.arms_of(results.experiment, "plain")
    gains = {
        name: compared[domain, name, OOD]
        for name, arm in results.experiment.arms.items()
        if arm.trajectories in selections and name in plain and (domain, name, OOD) in compared
    }
    if not gains:
        return
    name, gain = next(iter(gains.items()))
    detail = f"Difference from positive-only SFT in OOD accuracy, in points: {_listing(gains)}."
    detail += f"{_limits(gain)}{_equivalent(gain, results.experiment.margin)} {claim}"
    headline = _headline(f"OOD accuracy of {what} ({name})", gain, POSITIVE_ONLY)
    yield Finding(headline, detail, _badge(results, name, gain))


def _in_domain(results: Results, domain: str) -> Iterator[Finding]:
    """Which arms differ from positive-only SFT: which mean is the highest says nothing by itself."""
    arms = [BASE, *results.experiment.arms]
    if not scope_suites(results.experiment, domain)[IN_DOMAIN]:
        return
    found = {arm: measures.mean(results, "sft", domain, arm, IN_DOMAIN) for arm in arms}
    means = {arm: value.mean for arm, value in found.items() if value is not None}
    listed = "; ".join(f"{arm} {number(mean, 1)}" for arm, mean in means.items())
    detail = f"In-domain accuracy, in percent: {listed}."
    compared = measures.gains(results)
    gains = {arm: compared[domain, arm, IN_DOMAIN] for arm in arms if (domain, arm, IN_DOMAIN) in compared}
    if not gains:
        yield Finding("In-domain, there is no plain training on positives alone to compare with", detail)
        return
    detail += f" Difference from positive-only SFT, in points: {_listing(gains)}."
    yield Finding(_in_domain_headline(gains), detail)


def _in_domain_headline(gains: Mapping[str, Comparison]) -> str:
    if not next(iter(gains.values())).difference.over_seeds:
        return f"{ONE_SEED} any in-domain accuracy differs from {POSITIVE_ONLY}"
    parts = []
    for sign, word in ((1, "higher"), (-1, "lower")):
        if names := [arm for arm, gain in gains.items() if gain.sign == sign]:
            parts.append(f"{word} for {', '.join(names)}")
    if not parts:
        return f"In-domain, no accuracy can be told from {POSITIVE_ONLY}"
    return f"In-domain, the accuracy is {' and '.join(parts)} than after positive-only SFT"


def _loss(results: Results, domain: str) -> Iterator[Finding]:
    """The descent of chains that are matched by length decides; the level is shown beside it."""
    arms = dynamics.both_signs(results.experiment)
    found = {arm: losses.descents(results, domain, arm) for arm in arms}
    slopes, levels = {}, {}
    for group in ("all", "chain", losses.MATCHED):
        own = {arm: groups[group] for arm, groups in found.items() if group in groups}
        slopes[group] = {arm: one.slope_gap for arm, one in own.items() if one.slope_gap is not None}
        levels[group] = {arm: one.gap for arm, one in own.items() if one.gap is not None}
    if not levels["all"]:
        return
    what = "Slope of the loss of negatives minus that of positives, in nats per token and epoch"
    more = f"{what}: {_by_group(slopes) or 'none, as it takes two epochs'}. Loss of negatives minus loss of "
    more += f"positives in the last epoch: {_by_group(levels)}."
    claim = "The paper claims that negatives slow the descent of the loss."
    if not slopes[losses.MATCHED]:
        headline = (
            "Whether the loss of negatives falls more slowly cannot be told from chains of equal lengths"
        )
        yield Finding(headline, claim, Badge("undecided", SLOPES), more)
        return
    arm, slope = next(iter(slopes[losses.MATCHED].items()))
    detail = f"{what}, on chains matched by length: {_listing(slopes[losses.MATCHED], 3)}."
    detail += f"{_limits(slope, 'nats per epoch', 3)} {claim}"
    badge = Badge(STANDINGS[slope.sign], f"{SLOPES}, arm {arm}")
    yield Finding(_loss_headline(arm, slope), detail, badge, more)


SLOPES = "slopes of negatives and positives, chains of equal lengths"


def _loss_headline(arm: str, slope: Estimate) -> str:
    """How the loss of negatives falls, given their slope minus that of positives."""
    loss = f"training loss of negatives ({arm})"
    if not slope.over_seeds:
        return f"{ONE_SEED} the {loss} falls more slowly than that of positives"
    if slope.sign:
        how = "more slowly" if slope.sign > 0 else "faster"
        return f"The {loss} falls {how} than that of positives"
    return f"The {loss} falls neither clearly faster nor clearly more slowly than that of positives"


def _by_group(values: Mapping[losses.Group, Mapping[str, Estimate]]) -> str:
    """What is known of each group of trajectories, the narrowest first."""
    words: dict[losses.Group, str] = {
        losses.MATCHED: "chains matched by length", "chain": "chains", "all": "all trajectories",
    }  # fmt: skip
    return "; ".join(
        f"on {said}: {_listing(values[group], 3)}" for group, said in words.items() if values[group]
    )


def _entropy(results: Results, domain: str) -> Iterator[Finding]:
    """The entropy of chains without their ends decides; that of all tokens is shown beside it."""
    chains, everything = (
        _entropy_changes(results, domain, over) for over in (measures.CHAINS, measures.WITH_END)
    )
    if not everything:
        return
    decisive = chains or everything
    change = next(iter(decisive.values()))
    detail = "Change in policy entropy from positive-only SFT, in percent, "
    if chains:
        detail += f"on responses with a chain and without the end of the turn: {_listing(chains)}; "
    detail += f"on all responses with their ends: {_listing(everything)}.{_limits(change, '%', what='rise')}"
    detail += (
        " The paper claims that negatives raise the entropy; we do not know in which of its arms, so that "
    )
    detail += "all arms with negatives have to agree."
    if not chains:
        detail += " What part of it is due to the form of answers cannot be told here."
    where = "policy entropy on chains" if chains else "policy entropy"
    signs = {found.sign for found in decisive.values()} if chains else {0}
    standing = STANDINGS[signs.pop() if len(signs) == 1 else 0]
    badge = Badge(standing, f"{where}, {', '.join(decisive)} against {results.experiment.reference_arm}")
    yield Finding(_entropy_headline(where, decisive), detail, badge)


def _entropy_headline(where: str, changes: Mapping[str, Comparison]) -> str:
    if len(changes) == 1 or not next(iter(changes.values())).difference.over_seeds:
        name, change = next(iter(changes.items()))
        return _headline(f"{where} of arm {name}", change, POSITIVE_ONLY)
    parts = []
    for sign, word in ((1, "higher"), (-1, "lower")):
        if names := [name for name, change in changes.items() if change.sign == sign]:
            parts.append(
                f"{word} for {len(names)} of {len(changes)} arms with negatives ({', '.join(names)})"
            )
    if not parts:
        return f"The {where} of no arm with negatives can be told from {POSITIVE_ONLY}"
    return f"The {where} is {' and '.join(parts)} than after positive-only SFT"


def _entropy_changes(results: Results, domain: str, over: measures.Tokens) -> dict[str, Comparison]:
    """The changes of the arms with negatives."""
    compared = measures.entropy_changes(results, over)
    return {
        name: compared[domain, name]
        for name, arm in results.experiment.arms.items()
        if arm.trajectories not in POSITIVES_ONLY and (domain, name) in compared
    }


def _weights(results: Results, domain: str) -> Iterator[Finding]:
    for arm, objective in dynamics.weighted_arms(results.experiment).items():
        summary = dynamics.weight_summary(dynamics.histories(results, domain, arm), objective.bounds)
        if summary.empty:
            continue
        whole = summary[summary.index.get_level_values("epoch") == "all"].mean()
        detail = (
            f"Mean weight {number(whole['mean'], 3)} (s.d. over samples {number(whole['sd'], 3)}); "
            f"{number(whole['correct'], 3)} for correct, {number(whole['wrong'], 3)} for wrong trajectories"
        )
        differ = "differ between samples" if whole["sd"] > 0 else "are the same for all samples"
        if objective.bounds is not None:
            low, high = objective.bounds
            detail += (
                f"; {number(whole['low'], 1)} % of samples at the lower bound {low:g} and "
                f"{number(whole['high'], 1)} % at the upper bound {high:g}"
            )
            if whole["sd"] > 0 and max(whole["low"], whole["high"]) >= CONSTANT_SHARE:
                differ = "are the same for nearly all samples"
        # What weights were in a run is seen and not inferred; but it is of that run.
        in_one = "In the one run, " if len(results.experiment.seeds) == 1 else ""
        yield Finding(f"{in_one}{objective.label}'s weights ({arm}) {differ}", detail + ".")


def _grpo(results: Results, domain: str) -> Iterator[Finding]:
    compared = grpo.changes(results)
    effects = {
        name: compared[domain, name, IN_DOMAIN]
        for name in results.initialisations
        if (domain, name, IN_DOMAIN) in compared
    }
    if not effects:
        return
    pooled = grpo.pooled_changes(results)[domain, IN_DOMAIN]
    detail = f"Change in in-domain accuracy, in points: {_listing(effects)}."
    if len(effects) > 1:
        detail += f" {_listing({'Averaged over them': pooled})}."
    if not any(change.sign > 0 for change in effects.values()):
        least = {name: found for name, change in effects.items() if (found := change.detectable) is not None}
        if least:
            low, high = (number(bound, 1) for bound in (min(least.values()), max(least.values())))
            detail += f" The tests would find true changes of {low} to {high} points with a chance of "
            detail += f"{100 * POWER:g} %."
    if len(results.seeds("grpo")) == 1 < len(results.experiment.seeds):
        detail += " GRPO ran with one seed: these intervals are over questions only, and decide nothing."
    silent = [name for name in effects if grpo.lacks_signal(results, domain, name)]
    if silent:
        detail += f" From {', '.join(silent)}, GRPO had nothing to learn from in most steps of a run."
    yield Finding(_grpo_headline(effects, pooled), detail)


def _grpo_headline(effects: Mapping[str, Comparison], pooled: Comparison) -> str:
    if not pooled.difference.over_seeds:
        return f"{ONE_SEED} GRPO raises in-domain accuracy"
    parts = []
    for sign, word in ((1, "raised"), (-1, "lowered")):
        if names := [name for name, change in effects.items() if change.sign == sign]:
            which = f"{len(names)} of {len(effects)} starting models ({', '.join(names)})"
            parts.append(f"{word} in-domain accuracy from {which}")
    if parts:
        return f"GRPO measurably {', and '.join(parts)}"
    if pooled.sign:
        word = "raised" if pooled.sign > 0 else "lowered"
        return f"GRPO measurably {word} in-domain accuracy on average over {len(effects)} starting models"
    return f"GRPO did not measurably change in-domain accuracy from any of {len(effects)} starting models"
