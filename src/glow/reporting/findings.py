"""What the numbers of an experiment say, in plain words, and how that stands to the paper's claims.

Every sentence is made from estimates of `measures`. A difference from positive-only SFT counts as one
where it holds after correction for the number of comparisons, and never with a single seed. The paper's
claims are those of its abstract (PAPER.md); none is assumed to hold here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from glow.reporting import dynamics, measures
from glow.reporting.cells import MARK, interval, number
from glow.reporting.measures import Comparison
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import IN_DOMAIN, OOD, scope_suites
from glow.reporting.statistics import Estimate

Standing = Literal["as published", "against the published", "undecided"]
CONSTANT_SHARE = 95.0
"""Percent of samples at one bound from which a weighting is called a constant in effect."""

OVER_POSITIVES = ("better than positives only", "worse than positives only")


@dataclass(frozen=True)
class Finding:
    """One finding: a headline, the sentences behind it, and how its direction stands to the published one.

    `standing` is None where no direction is known to be published.
    """

    headline: str
    detail: str
    standing: Standing | None = None


def find(results: Results) -> list[Finding]:
    """The findings of an experiment, domain by domain."""
    finders = (_glow_ood, _negatives_ood, _in_domain, _loss, _entropy, _weights, _grpo)
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


def _standing(value: Decided) -> Standing:
    """How a difference stands to a published positive one."""
    published: dict[int, Standing] = {1: "as published", -1: "against the published", 0: "undecided"}
    return published[value.sign]


def _direction(value: Decided, more: str, less: str) -> str:
    """A headline's verb phrase: certain where the test says so, and guarded where not."""
    mean = (value.difference if isinstance(value, Comparison) else value).mean
    if value.sign:
        return more if value.sign > 0 else less
    if mean == 0:
        return "no difference"
    return f"no clear difference (the mean leans {'up' if mean > 0 else 'down'})"


def _listing(values: Mapping[str, Decided], digits: int = 1) -> str:
    """`glow +1.2 [−3.4, +5.8]; glow_released +0.3 [−1.0, +1.6]*`, a star where it holds after correction."""
    shown = []
    for name, value in values.items():
        if isinstance(value, Comparison):
            star = MARK if value.sign else ""
            shown.append(f"{name} {interval(value.difference, digits)}{star}")
        else:
            shown.append(f"{name} {interval(value, digits)}")
    return "; ".join(shown)


# --- findings -------------------------------------------------------------------------------------


def _glow_ood(results: Results, domain: str) -> Iterator[Finding]:
    arms = dynamics.glow_arms(results.experiment)
    compared = measures.gains(results)
    gains = {arm: compared[domain, arm, OOD] for arm in arms if (domain, arm, OOD) in compared}
    if not gains:
        return
    first, gain = next(iter(gains.items()))
    detail = f"OOD accuracy against positive-only SFT, in points: {_listing(gains)}."
    plain = [arm for arm in dynamics.both_signs(results.experiment) if arm not in arms]
    if plain and (same := measures.gain(results, domain, first, OOD, over=plain[0])) is not None:
        detail += f" Against plain training on the same data ({plain[0]}): {_listing({first: same})}."
    detail += " The paper reports a gain over positive-only SFT."
    yield Finding(
        f"GLOW ({first}), out of domain: {_direction(gain, *OVER_POSITIVES)}", detail, _standing(gain)
    )


def _negatives_ood(results: Results, domain: str) -> Iterator[Finding]:
    experiment = results.experiment
    compared = measures.gains(results)
    gains = {
        name: compared[domain, name, OOD]
        for name, arm in experiment.arms.items()
        if arm.trajectories != "positive"
        and name not in dynamics.glow_arms(experiment)
        and (domain, name, OOD) in compared
    }
    if not gains:
        return
    name, gain = next(iter(gains.items()))
    detail = f"OOD accuracy of plain SFT against positive-only SFT, in points: {_listing(gains)}."
    detail += " The paper reports gains from negatives."
    yield Finding(
        f"Training on wrong answers ({name}), out of domain: {_direction(gain, *OVER_POSITIVES)}",
        detail,
        _standing(gain),
    )


def _in_domain(results: Results, domain: str) -> Iterator[Finding]:
    arms = [BASE, *results.experiment.arms]
    if not scope_suites(results.experiment, domain)[IN_DOMAIN]:
        return
    means = {arm: measures.accuracy(results, "sft", domain, arm)[IN_DOMAIN].mean() for arm in arms}
    best = max(means, key=lambda arm: means[arm])
    listed = "; ".join(f"{arm} {number(mean, 1)}" for arm, mean in means.items())
    detail = f"In-domain accuracy, in percent: {listed}."
    gain = measures.gains(results).get((domain, best, IN_DOMAIN))
    if gain is not None:
        detail += f" Against positive-only SFT, in points: {_listing({best: gain})}."
    yield Finding(f"In domain, the highest mean is that of {best}", detail)


def _loss(results: Results, domain: str) -> Iterator[Finding]:
    gaps = {
        arm: gap
        for arm in dynamics.both_signs(results.experiment)
        if (gap := dynamics.loss_gap(results, domain, arm)) is not None
    }
    if not gaps:
        return
    arm, gap = next(iter(gaps.items()))
    how = _direction(gap, "negatives end higher than positives", "negatives end lower than positives")
    detail = "Loss of negatives minus loss of positives in the last epoch, in nats per token: "
    detail += f"{_listing(gaps, 3)}. The paper reports that negatives slow the descent of the loss."
    yield Finding(f"Training loss ({arm}): {how}", detail, _standing(gap))


def _entropy(results: Results, domain: str) -> Iterator[Finding]:
    experiment = results.experiment
    compared = measures.entropy_changes(results)
    changes = {
        name: compared[domain, name]
        for name, arm in experiment.arms.items()
        if arm.trajectories != "positive" and (domain, name) in compared
    }
    if not changes:
        return
    name, change = next(iter(changes.items()))
    detail = f"Change of policy entropy against positive-only SFT, in percent: {_listing(changes)}."
    detail += " The paper reports a higher entropy; for which arm is not known here."
    yield Finding(
        f"Policy entropy ({name}): {_direction(change, 'higher', 'lower')}", detail, _standing(change)
    )


def _weights(results: Results, domain: str) -> Iterator[Finding]:
    for arm, objective in dynamics.glow_arms(results.experiment).items():
        summary = dynamics.weight_summary(dynamics.histories(results, domain, arm), objective.clamp)
        if summary.empty:
            continue
        whole = summary[summary.index.get_level_values("epoch") == "all"].mean()
        detail = (
            f"Mean weight {number(whole['mean'], 3)} (s.d. over samples {number(whole['sd'], 3)}); "
            f"{number(whole['correct'], 3)} for correct, {number(whole['wrong'], 3)} for wrong trajectories"
        )
        headline = f"GLOW's weights ({arm}) differ between samples"
        if objective.clamp is not None:
            low, high = objective.clamp
            detail += (
                f"; {number(whole['low'], 1)} % of samples at the lower bound {low:g} and "
                f"{number(whole['high'], 1)} % at the upper bound {high:g}"
            )
            if max(whole["low"], whole["high"]) >= CONSTANT_SHARE:
                headline = f"GLOW's weights ({arm}) are a constant in effect"
        yield Finding(headline, detail + ".")


def _grpo(results: Results, domain: str) -> Iterator[Finding]:
    compared = measures.grpo_effects(results)
    effects = {
        name: compared[domain, name, IN_DOMAIN].change
        for name in results.initialisations
        if (domain, name, IN_DOMAIN) in compared
    }
    if not effects:
        return
    rose = [name for name, change in effects.items() if change.sign > 0]
    headline = f"GRPO raised in-domain accuracy from {len(rose)} of {len(effects)} initialisations"
    yield Finding(headline, f"Change in-domain, in points: {_listing(effects)}.")
