"""What of ours stands beside a published figure (`glow.reporting.published`), and why there may be nothing.

From the counterparts that the file names to estimates, in the units that the figure may be meant in. Nothing
here formats or writes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from glow.config import Experiment
from glow.reporting import measures, policy_entropy
from glow.reporting.published import (
    OF_SUITES,
    PERCENT,
    POINTS,
    READINGS,
    RELATIVE,
    Counterpart,
    Figure,
    Measure,
    Published,
)
from glow.reporting.results import BASE, Kind, Results
from glow.reporting.scopes import IN_DOMAIN, OOD
from glow.reporting.statistics import Estimate, crossed

WORDS: dict[Measure, str] = {
    "gain_in_domain": "in-domain gain of {arm}",
    "gain_ood": "OOD gain of {arm}",
    "gain_ood_general": "gain of {arm} on the OOD group general",
    "gain_ood_other": "gain of {arm} on the OOD group other",
    "entropy_change": "entropy change of {arm}",
    "accuracy": "{suite} of {arm}",
    "grpo_accuracy": "{suite} after GRPO from {arm}",
    "grpo_change": "{suite}, change by GRPO from {arm}",
    "grpo_gain": "{suite} after GRPO from {arm}, less that from positive-only SFT",
}
"""What each measure of ours is, in words; gains and changes of entropy are over positive-only SFT."""
UNITS = {PERCENT: "in %", POINTS: "in points", RELATIVE: "relative, in %"}
"""What it is in, in words."""
ENTROPY_OVER = {
    "on chains without their ends": policy_entropy.CHAINS,
    "on all responses with their ends": policy_entropy.WITH_END,
}
"""What the published entropy is over is not known: ours is shown over both, and over all suites."""


@dataclass(frozen=True)
class Ours:
    """A quantity of ours beside a published figure.

    Attributes:
        what: in words.
        unit: of `value`: one of those that the figure may be meant in.
        value: over seeds and questions.
        nearest: whether it is another quantity (`otherwise`), which cannot be compared.
    """

    what: str
    unit: str
    value: Estimate
    nearest: bool = False


def beside(results: Results, figure: Figure) -> tuple[list[Ours], list[str]]:
    """What of ours stands beside a figure; and, where nothing of `ours` is measured here, why not.

    A figure of a domain that we have too stands beside ours of that domain alone, and any other beside all.
    """
    entry = figure.entry
    found, missing = _all(results, entry, entry.ours)
    if found or not entry.ours:
        return found, []
    return _all(results, entry, entry.otherwise, nearest=True)[0], missing


def domains(experiment: Experiment, entry: Published) -> list[str]:
    """Our training domains beside which a figure stands."""
    names = experiment.domain_names
    return [entry.domain] if entry.domain in names else names


def absence(results: Results, domain: str, counterpart: Counterpart) -> str | None:
    """Why this experiment does not measure it: what there is not; None where it does."""
    return _absent_model(results, counterpart) or _absent_questions(results.experiment, domain, counterpart)


def _absent_model(results: Results, counterpart: Counterpart) -> str | None:
    measure, arm, reference = counterpart.measure, counterpart.arm, results.experiment.reference_arm
    if measure.startswith("grpo_"):
        if results.experiment.grpo is None:
            return "GRPO"
        needed = [arm, reference] if measure == "grpo_gain" else [arm]
        absent = [name for name in needed if name not in results.initialisations]
        return f"GRPO from {absent[0] or 'positive-only SFT'}" if absent else None
    if arm not in (BASE, *results.experiment.arms):
        return f"arm {arm}"
    return "arm to compare it with" if measure != "accuracy" and reference in (None, arm) else None


def _absent_questions(experiment: Experiment, domain: str, counterpart: Counterpart) -> str | None:
    if counterpart.measure in OF_SUITES:
        return None if counterpart.suite in experiment.suites else f"suite {counterpart.suite}"
    if counterpart.measure == "entropy_change":
        return None if experiment.evaluation.entropy_samples else "entropy"
    column = counterpart.measure.removeprefix("gain_")
    if measures.column_suites(experiment, domain, column):
        return None
    scopes = {IN_DOMAIN: "in-domain suite", OOD: "OOD suite"}
    return scopes.get(column) or f"OOD group {column.removeprefix(f'{OOD}_')}"


def estimates(
    results: Results, domain: str, counterpart: Counterpart, unit: str
) -> dict[str, Estimate | None]:
    """Our quantity in a unit, by what it is over: one, or several over different sorts of tokens.

    None where it has no value there. There must be no `absence` of it.
    """
    measure, arm, column = counterpart.measure, counterpart.arm, f"suite:{counterpart.suite}"
    if measure == "entropy_change":
        return {
            f", {said}": policy_entropy.overall_change(results, domain, arm, over)
            for said, over in ENTROPY_OVER.items()
        }
    if measure == "accuracy":
        return {"": measures.mean(results, "sft", domain, arm, column)}
    if measure == "grpo_accuracy":
        return {"": measures.mean(results, "grpo", domain, arm, column)}
    if measure in ("grpo_change", "grpo_gain"):
        reference = results.experiment.reference_arm or ""  # without one, `grpo_gain` is absent
        start: tuple[Kind, str] = ("sft", arm) if measure == "grpo_change" else ("grpo", reference)
        return {"": crossed(measures.paired_differences(results, domain, column, start, ("grpo", arm)))}
    gain = measures.gain if unit == POINTS else measures.gain_in_percent
    return {"": gain(results, domain, arm, measure.removeprefix("gain_"))}


def _all(
    results: Results, entry: Published, counterparts: list[Counterpart], nearest: bool = False
) -> tuple[list[Ours], list[str]]:
    """What is measured of some counterparts; and what there is not of those that are not."""
    found, missing = [], []
    for domain in domains(results.experiment, entry):
        for counterpart in counterparts:
            lacking = absence(results, domain, counterpart)
            if lacking is not None:
                missing.append(lacking)
                continue
            for what, unit, value in _readings(results, domain, counterpart, entry, nearest):
                if value is None:
                    missing.append(f"value of {what}")
                else:
                    found.append(Ours(what, unit, value, nearest))
    return found, list(dict.fromkeys(missing))


def _readings(
    results: Results, domain: str, counterpart: Counterpart, entry: Published, nearest: bool
) -> Iterator[tuple[str, str, Estimate | None]]:
    """(what, unit, value) in each unit that the figure may be meant in; of what is not compared, in one."""
    what = WORDS[counterpart.measure].format(arm=counterpart.arm, suite=counterpart.suite)
    trained = f", trained on {domain}" if len(results.experiment.domain_names) > 1 else ""
    reading = f" ({counterpart.reading})" if counterpart.reading else ""
    for unit in READINGS[entry.unit][: 1 if nearest else None]:
        for over, value in estimates(results, domain, counterpart, unit).items():
            yield f"{what}{over}{trained}, {UNITS[unit]}{reading}", unit, value
