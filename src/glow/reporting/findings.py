"""The findings of an experiment in plain sentences, and whether they agree with what the paper claims.

Every sentence is made from estimates of `measures`. It states a difference only where one remains after
correction for the number of comparisons, and never with a single seed. The claims are those of the paper's
abstract (docs/paper.md); none is assumed to hold here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from glow.reporting import dynamics, grpo, measures
from glow.reporting.cells import MARK, interval, number
from glow.reporting.measures import Comparison
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import IN_DOMAIN, OOD, scope_suites
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


# --- findings -------------------------------------------------------------------------------------


def _glow_ood(results: Results, domain: str) -> Iterator[Finding]:
    arms, plain_arms = (dynamics.arms_of(results.experiment, name) for name in ("glow", "plain"))
    compared = measures.gains(results)
    gains = {arm: compared[domain, arm, OOD] for arm in arms if (domain, arm, OOD) in compared}
    if not gains:
        return
    first, gain = next(iter(gains.items()))
    detail = f"Difference from positive-only SFT in OOD accuracy, in points: {_listing(gains)}."
    plain = [arm for arm in dynamics.both_signs(results.experiment) if arm in plain_arms]
    if plain and (same := measures.gain(results, domain, first, OOD, over=plain[0])) is not None:
        detail += f" Difference from plain SFT on the same data ({plain[0]}): {_listing({first: same})}."
    detail += " The paper claims that GLOW is more accurate than positive-only SFT."
    headline = _headline(
        f"The OOD accuracy of {arms[first].label} ({first})", gain, "that of positive-only SFT"
    )
    yield Finding(headline, detail, STANDINGS[gain.sign])


def _negatives_ood(results: Results, domain: str) -> Iterator[Finding]:
    experiment = results.experiment
    compared = measures.gains(results)
    gains = {
        name: compared[domain, name, OOD]
        for name, arm in experiment.arms.items()
        if arm.trajectories != "positive"
        and name in dynamics.arms_of(experiment, "plain")
        and (domain, name, OOD) in compared
    }
    if not gains:
        return
    name, gain = next(iter(gains.items()))
    detail = f"Difference from positive-only SFT in OOD accuracy, in points: {_listing(gains)}."
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
    gaps = {
        arm: gap
        for arm in dynamics.both_signs(results.experiment)
        if (gap := dynamics.loss_gap(results, domain, arm)) is not None
    }
    if not gaps:
        return
    arm, gap = next(iter(gaps.items()))
    detail = "Loss of negatives minus loss of positives in the last epoch, in nats per token: "
    detail += f"{_listing(gaps, 3)}. The paper claims that negatives slow the descent of the loss."
    headline = _headline(f"The final training loss of negatives ({arm})", gap, "that of positives")
    yield Finding(headline, detail, STANDINGS[gap.sign])


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
    detail = f"Change in policy entropy from positive-only SFT, in percent: {_listing(changes)}."
    detail += " The paper claims that negatives raise the entropy; we do not know in which of its arms."
    headline = _headline(f"The policy entropy of arm {name}", change, "that of positive-only SFT")
    yield Finding(headline, detail, STANDINGS[change.sign])


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
    if len(results.seeds("grpo")) == 1 < len(results.experiment.seeds):
        detail += " GRPO ran with one seed: these intervals are over questions only, and decide nothing."
    silent = [name for name in effects if grpo.lacks_signal(results, domain, name)]
    if silent:
        detail += f" From {', '.join(silent)}, GRPO had nothing to learn from in most steps of a run."
    yield Finding(headline, detail)
