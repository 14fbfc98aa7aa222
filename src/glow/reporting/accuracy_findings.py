"""The findings on accuracy: what was stated beforehand, out of domain, in-domain, and after GRPO."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from glow.config import NEGATIVES_ONLY, POSITIVES_ONLY, SelectionName
from glow.reporting import dynamics, grpo, measures
from glow.reporting.cells import interval, number
from glow.reporting.conventions import POWER
from glow.reporting.finding_words import (
    ONE_SEED,
    POSITIVE_ONLY,
    STANDINGS,
    Badge,
    Decided,
    Finding,
    equivalent,
    headline,
    is_equivalent,
    limits,
    listing,
)
from glow.reporting.measures import Comparison, Decision
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import IN_DOMAIN, OOD, mean_heading, scope_suites

# --- stated beforehand ----------------------------------------------------------------------------

DECISIONS: dict[Decision, str] = {
    "rejected": "significant",
    "not rejected": "not significant",
    "not tested": "not tested, as one before it was not significant",
}


def stated(results: Results, domain: str) -> Iterator[Finding]:
    """The differences that the configuration states beforehand, in plain words."""
    tested = measures.contrasts(results)
    own = [
        (contrast, comparison, decision)
        for contrast, comparison, decision in zip(
            results.experiment.contrasts, tested, measures.decisions(tested), strict=True
        )
        if (contrast.domain or domain) == domain
    ]
    if not own:
        return
    over_seeds = own[0][1].difference.over_seeds
    parts = [
        f"{contrast.arm} against {contrast.over}, {mean_heading(contrast.scope)}: "
        f"{interval(comparison.difference, 1)} ({DECISIONS[decision] if over_seeds else 'not tested'})"
        for contrast, comparison, decision in own
    ]
    said = _stated_headline([decision for _, _, decision in own])
    if not over_seeds:
        said = f"{ONE_SEED} any of the differences stated beforehand is there"
    yield Finding(said, f"In points, in the stated order: {'; '.join(parts)}.")


def _stated_headline(decided: Sequence[Decision]) -> str:
    """How many of the differences were shown."""
    shown, count = sum(decision == "rejected" for decision in decided), len(decided)
    if count == 1:
        return f"The difference stated beforehand was {'' if shown else 'not '}shown"
    if not shown:
        none = "Neither difference" if count == 2 else f"None of {count} differences"
        return f"{none} stated beforehand was shown"
    if shown == count:
        return f"{'Both' if count == 2 else f'All {count}'} differences stated beforehand were shown"
    return f"Of {count} differences stated beforehand, {shown} {'was' if shown == 1 else 'were'} shown"


# --- out of domain --------------------------------------------------------------------------------


def glow_ood(results: Results, domain: str) -> Iterator[Finding]:
    experiment = results.experiment
    arms, plain_arms = (dynamics.arms_of(experiment, name) for name in ("glow", "plain"))
    compared = measures.gains(results)
    gains = {arm: compared[domain, arm, OOD] for arm in arms if (domain, arm, OOD) in compared}
    if not gains:
        return
    first, gain = next(iter(gains.items()))
    detail = f"Difference from positive-only SFT in OOD accuracy, in points: {listing(gains)}."
    same_data = experiment.arms[first].trajectories
    plain = [
        arm
        for arm in dynamics.both_signs(experiment)
        if arm in plain_arms and experiment.arms[arm].trajectories == same_data
    ]
    if plain and (same := _over(results, domain, first, plain[0])) is not None:
        detail += f" Difference from plain SFT on the same data ({plain[0]}): {listing({first: same})}."
    detail += limits(gain) + equivalent(gain, experiment.margin)
    detail += " The paper's abstract claims that GLOW is more accurate out of domain than positive-only SFT."
    subject = f"OOD accuracy of GLOW ({first})"
    yield Finding(headline(subject, gain, POSITIVE_ONLY), detail, _badge(results, first, gain))


def _badge(results: Results, arm: str, gain: Comparison) -> Badge:
    """How the OOD gain of an arm over the reference compares with a published gain.

    The sizes are not compared: of the published gains it is not known whether they are points.
    """
    contrast = f"{arm} against {results.experiment.reference_arm}, OOD mean"
    margin = results.experiment.margin
    if gain.sign == 0 and is_equivalent(gain, margin):
        return Badge("shown to be small", f"{contrast}: within ±{margin:g} points, and no direction")
    return Badge(STANDINGS[gain.sign], contrast)


def _over(results: Results, domain: str, arm: str, other: str) -> Decided | None:
    """OOD difference from another arm than the reference: decided only if it is stated beforehand."""
    beforehand = measures.stated_comparison(results, domain, arm, OOD, other)
    return beforehand or measures.gain(results, domain, arm, OOD, over=other)


def negatives_ood(results: Results, domain: str) -> Iterator[Finding]:
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
    detail = f"Difference from positive-only SFT in OOD accuracy, in points: {listing(gains)}."
    detail += f"{limits(gain)}{equivalent(gain, results.experiment.margin)} {claim}"
    said = headline(f"OOD accuracy of {what} ({name})", gain, POSITIVE_ONLY)
    yield Finding(said, detail, _badge(results, name, gain))


def base_ood(results: Results, domain: str) -> Iterator[Finding]:
    """The base against positive-only SFT; other arms are not tested against it: their means are counted."""
    gain = measures.gains(results).get((domain, BASE, OOD))
    means = {
        arm: value.mean
        for arm in (BASE, *results.experiment.arms)
        if (value := measures.mean(results, "sft", domain, arm, OOD)) is not None
    }
    if gain is None:
        return
    trained = [mean for arm, mean in means.items() if arm != BASE]
    above = sum(mean > means[BASE] for mean in trained)
    listed = "; ".join(f"{arm} {number(mean, 1)}" for arm, mean in means.items())
    detail = f"Difference from positive-only SFT in OOD accuracy, in points: {listing({BASE: gain})}."
    detail += (
        f"{limits(gain)}{equivalent(gain, results.experiment.margin)} OOD accuracy, in percent: {listed}. "
    )
    detail += f"The means of {above} of {len(trained)} trained arms lie above the base's. Only "
    detail += (
        f"{results.experiment.reference_arm} is tested against it, so that nothing is claimed of the others."
    )
    yield Finding(headline("OOD accuracy of the base, before any SFT,", gain, POSITIVE_ONLY), detail)


# --- in-domain ------------------------------------------------------------------------------------


def in_domain(results: Results, domain: str) -> Iterator[Finding]:
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
    detail += f" Difference from positive-only SFT, in points: {listing(gains)}."
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


# --- GRPO -----------------------------------------------------------------------------------------


def after_grpo(results: Results, domain: str) -> Iterator[Finding]:
    compared = grpo.changes(results)
    effects = {
        name: compared[domain, name, IN_DOMAIN]
        for name in results.initialisations
        if (domain, name, IN_DOMAIN) in compared
    }
    if not effects:
        return
    pooled = grpo.pooled_changes(results)[domain, IN_DOMAIN]
    detail = f"Change in in-domain accuracy, in points: {listing(effects)}."
    if len(effects) > 1:
        detail += f" {listing({'Averaged over them': pooled})}."
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
