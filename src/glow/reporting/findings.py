"""The findings of an experiment in plain sentences, and whether they agree with what the paper claims.

Every sentence is made from estimates of `measures` and `losses`. It states a difference only where one
remains after correction for the number of comparisons, and never with a single seed. The claims are those
of the paper's abstract (docs/paper.md); none is assumed to hold here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from glow.config import POSITIVES_ONLY
from glow.reporting import dynamics, grpo, losses, measures
from glow.reporting.cells import MARK, interval, number, p_cell
from glow.reporting.conventions import ERROR_RATE, MOST_SEEDS, POWER
from glow.reporting.measures import Comparison
from glow.reporting.power import Sources
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import IN_DOMAIN, OOD, mean_heading, scope_suites
from glow.reporting.statistics import Estimate

Standing = Literal["as claimed", "opposite of the claim", "undecided"]
STANDINGS: dict[int, Standing] = {1: "as claimed", -1: "opposite of the claim", 0: "undecided"}
"""Sign of a difference -> how it compares with a claim that there is a positive one."""
CONSTANT_SHARE = 95.0
"""From this percentage of samples at one bound on, the weights are called nearly constant."""


@dataclass(frozen=True)
class Finding:
    """One finding: a headline, the numbers behind it, and how it compares with the paper's claim.

    `standing` is None where the paper claims nothing that we know of.
    """

    headline: str
    detail: str
    standing: Standing | None = None


def find(results: Results) -> list[Finding]:
    """The findings of an experiment, domain by domain."""
    finders = (_stated, _glow_ood, _negatives_ood, _in_domain, _loss, _entropy, _weights, _grpo)
    several = len(results.experiment.domain_names) > 1
    return [
        Finding(f"{domain}: {found.headline}" if several else found.headline, found.detail, found.standing)
        for domain in results.experiment.domain_names
        for finder in finders
        for found in finder(results, domain)
    ]


# --- words ----------------------------------------------------------------------------------------


Decided = Estimate | Comparison
"""What has a sign: a mean by its interval, a comparison by its corrected p-value."""


def _headline(subject: str, difference: Decided, other: str) -> str:
    """`subject is higher than other`: certain where the test finds a difference, and guarded elsewhere."""
    mean = (difference.difference if isinstance(difference, Comparison) else difference).mean
    if mean == 0:
        return f"{subject} is equal to {other}"
    direction = "higher" if mean > 0 else "lower"
    if difference.sign:
        return f"{subject} is {direction} than {other}"
    return f"{subject} is not clearly different from {other} (on average it is {direction})"


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
    yield Finding(
        f"Of the differences stated beforehand, {rejected} of {len(own)} can be told from none", detail
    )


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
    detail += _limits(gain) + _equivalent(gain, results.experiment.margin)
    detail += " The paper claims that GLOW is more accurate than positive-only SFT."
    headline = _headline(
        f"The OOD accuracy of {arms[first].label} ({first})", gain, "that of positive-only SFT"
    )
    yield Finding(headline, detail, STANDINGS[gain.sign])


def _over(results: Results, domain: str, arm: str, other: str) -> Decided | None:
    """OOD difference from another arm than the reference: decided only if it is stated beforehand."""
    stated = measures.stated_comparison(results, domain, arm, OOD, other)
    return stated or measures.gain(results, domain, arm, OOD, over=other)


def _negatives_ood(results: Results, domain: str) -> Iterator[Finding]:
    experiment = results.experiment
    compared = measures.gains(results)
    gains = {
        name: compared[domain, name, OOD]
        for name, arm in experiment.arms.items()
        if arm.trajectories not in POSITIVES_ONLY
        and name in dynamics.arms_of(experiment, "plain")
        and (domain, name, OOD) in compared
    }
    if not gains:
        return
    name, gain = next(iter(gains.items()))
    detail = f"Difference from positive-only SFT in OOD accuracy, in points: {_listing(gains)}."
    detail += _limits(gain) + _equivalent(gain, results.experiment.margin)
    detail += " The paper claims that training on wrong answers raises OOD accuracy."
    subject = f"The OOD accuracy of plain SFT with wrong answers ({name})"
    yield Finding(_headline(subject, gain, "that of positive-only SFT"), detail, STANDINGS[gain.sign])


def _in_domain(results: Results, domain: str) -> Iterator[Finding]:
    arms = [BASE, *results.experiment.arms]
    if not scope_suites(results.experiment, domain)[IN_DOMAIN]:
        return
    found = {arm: measures.mean(results, "sft", domain, arm, IN_DOMAIN) for arm in arms}
    means = {arm: value.mean for arm, value in found.items() if value is not None}
    best = max(means, key=lambda arm: means[arm])
    listed = "; ".join(f"{arm} {number(mean, 1)}" for arm, mean in means.items())
    detail = f"In-domain accuracy, in percent: {listed}."
    gain = measures.gains(results).get((domain, best, IN_DOMAIN))
    if gain is not None:
        detail += f" Difference from positive-only SFT, in points: {_listing({best: gain})}."
    yield Finding(f"In-domain, the mean accuracy is highest for {best}", detail)


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
    detail = "Slope of the loss of negatives minus that of positives, in nats per token and epoch: "
    detail += _by_group(slopes) or "none, as it takes two epochs"
    detail += f". Loss of negatives minus loss of positives in the last epoch: {_by_group(levels)}."
    if not slopes[losses.MATCHED]:
        detail += " The paper claims that negatives slow the descent of the loss."
        headline = (
            "Whether the loss of negatives falls more slowly cannot be told from chains of equal lengths"
        )
        yield Finding(headline, detail, "undecided")
        return
    arm, slope = next(iter(slopes[losses.MATCHED].items()))
    detail += _limits(slope, "nats per epoch", 3)
    detail += " The paper claims that negatives slow the descent of the loss."
    yield Finding(f"The training loss of negatives ({arm}) {_falls(slope)}", detail, STANDINGS[slope.sign])


def _falls(slope: Estimate) -> str:
    """How the loss of negatives falls, given their slope minus that of positives."""
    if slope.mean == 0:
        return "falls as fast as that of positives"
    how = "more slowly" if slope.mean > 0 else "faster"
    if slope.sign:
        return f"falls {how} than that of positives"
    return f"falls neither clearly faster nor clearly more slowly than that of positives (on average {how})"


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
    name, change = next(iter((chains or everything).items()))
    detail = "Change in policy entropy from positive-only SFT, in percent, "
    if chains:
        detail += f"on responses with a chain and without the end of the turn: {_listing(chains)}; "
    detail += f"on all responses with their ends: {_listing(everything)}.{_limits(change, '%', what='rise')}"
    detail += " The paper claims that negatives raise the entropy; we do not know in which of its arms."
    if not chains:
        detail += " What part of it is due to the form of answers cannot be told here."
    subject = f"The policy entropy of arm {name}{', on chains,' if chains else ''}"
    headline = _headline(subject, change, "that of positive-only SFT")
    yield Finding(headline, detail, STANDINGS[change.sign if chains else 0])


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
        headline = f"{objective.label}'s weights ({arm}) differ between samples"
        if objective.bounds is not None:
            low, high = objective.bounds
            detail += (
                f"; {number(whole['low'], 1)} % of samples at the lower bound {low:g} and "
                f"{number(whole['high'], 1)} % at the upper bound {high:g}"
            )
            if max(whole["low"], whole["high"]) >= CONSTANT_SHARE:
                headline = f"{objective.label}'s weights ({arm}) are the same for nearly all samples"
        yield Finding(headline, detail + ".")


def _grpo(results: Results, domain: str) -> Iterator[Finding]:
    compared = grpo.changes(results)
    effects = {
        name: compared[domain, name, IN_DOMAIN]
        for name in results.initialisations
        if (domain, name, IN_DOMAIN) in compared
    }
    if not effects:
        return
    rose = [name for name, change in effects.items() if change.sign > 0]
    headline = f"GRPO did not measurably raise in-domain accuracy from any of {len(effects)} starting models"
    if rose:
        which = f"{len(rose)} of {len(effects)} starting models ({', '.join(rose)})"
        headline = f"GRPO measurably raised in-domain accuracy from {which}"
    detail = f"Change in in-domain accuracy, in points: {_listing(effects)}."
    if len(effects) > 1:
        pooled = grpo.pooled_changes(results)[domain, IN_DOMAIN]
        detail += f" {_listing({'Averaged over them': pooled})}."
    if not rose:
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
    yield Finding(headline, detail)
