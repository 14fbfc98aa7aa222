"""The acceptance gates: what must hold before the results of a study are worth reading.

Whether the models can do what they are trained on, whether training moves anything, and whether right and
wrong trajectories differ in what is right about them rather than in their form. Thresholds are those of the
configuration (`glow.config.Gates`). A gate that cannot be measured in an experiment is left out: one that is
about steps, where these are not known; one about GRPO, without it. A failed gate is no error.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from glow.reporting import chance, grpo, measures, steps, trajectories
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import IN_DOMAIN, OOD, scope_suites
from glow.reporting.statistics import Estimate

Bound = Literal["at least", "at most", "under", "above"]
_HOLDS: dict[Bound, Callable[[float, float], bool]] = {
    "at least": operator.ge, "at most": operator.le, "under": operator.lt, "above": operator.gt,
}  # fmt: skip
ROUNDED = 9
"""Decimals to which a measure and its threshold are compared, so that 0.1 + 0.2 is at most 0.3."""


@dataclass(frozen=True)
class Gate:
    """One gate of a training domain.

    Attributes:
        name: in a few words.
        asked: what has to hold, without the threshold.
        bound, threshold: what is asked of the measure, in its unit.
        unit: `%`, `points`, `kinds`, or "" for a reward.
        measured: the measure, with its interval where it has one.
        whole_interval: whether the whole 95 % interval must lie above the threshold, and not the mean alone.
        note: what stands beside the measure.
        said: the measure in words, where a number says less.
    """

    domain: str
    name: str
    asked: str
    bound: Bound
    threshold: float
    unit: Literal["%", "points", "kinds", ""]
    measured: Estimate
    whole_interval: bool = False
    note: str = ""
    said: str = ""

    @property
    def passed(self) -> bool:
        """Whether it holds; where an interval is asked for and there is none, it is not shown to."""
        value = self.measured.low if self.whole_interval else self.measured.mean
        if value is None:
            return False
        return _HOLDS[self.bound](round(value, ROUNDED), round(self.threshold, ROUNDED))


def gates(results: Results) -> list[Gate]:
    """Every gate that can be measured, by training domain."""
    return [
        gate
        for domain in results.experiment.domain_names
        for measured in (_of_base, _of_trajectories, _of_training, _of_grpo)
        for gate in measured(results, domain)
    ]


def _of_base(results: Results, domain: str) -> Iterator[Gate]:
    asked = results.experiment.gates
    found = steps.of_answers(results, "sft", domain, BASE, IN_DOMAIN)
    if found is not None and found.valid is not None:
        yield Gate(
            domain, "base: steps", "steps of the base's in-domain chains that are valid",
            "at least", 100 * asked.base_steps, "%", found.valid,
        )  # fmt: skip
    above = chance.above_chance(results, domain, BASE, OOD)
    if above is not None and chance.mean_chance(results, domain, OOD) is not None:
        yield Gate(
            domain, "base: OOD", "accuracy of the base above chance, out of domain",
            "above", asked.base_ood, "points", above, whole_interval=True,
        )  # fmt: skip
    yield from _by_suite(results, domain)


def _by_suite(results: Results, domain: str) -> Iterator[Gate]:
    """One easy suite can carry a mean, so each OOD suite whose chance is known counts by itself."""
    over = {
        suite: points
        for suite in scope_suites(results.experiment, domain)[OOD]
        if (points := chance.over_chance(results, domain, BASE, suite)) is not None
    }
    if not over:
        return
    not_above = [suite for suite, points in over.items() if points <= 0]
    count = len(over) - len(not_above)
    yield Gate(
        domain, "base: each suite", "OOD suites in which the base is above chance",
        "at least", 100 * results.experiment.gates.base_suites, "%",
        Estimate(100 * count / len(over), None, None, None, 1),
        said=f"{count} of {len(over)}" + (f" (not {', '.join(not_above)})" if not_above else ""),
    )  # fmt: skip


def _of_trajectories(results: Results, domain: str) -> Iterator[Gate]:
    asked, verdicts = results.experiment.gates, results.trajectories(domain)
    share = trajectories.share_with_both(verdicts)
    if share is not None and verdicts["problem_id"].duplicated().any():
        yield Gate(
            domain, "both verdicts", "questions with right and with wrong trajectories",
            "at least", 100 * asked.both_verdicts, "%", share,
        )  # fmt: skip
    gap = trajectories.largest_type_gap(verdicts)
    if gap is not None:
        yield Gate(
            domain, "response types", "largest difference between right and wrong trajectories in the share "
            "of chains, bare, truncated or unparsed responses",
            "at most", asked.type_gap, "points", gap.difference, note=gap.type,
        )  # fmt: skip
    lengths = trajectories.length_gap(verdicts)
    if lengths is not None:
        yield Gate(
            domain, "lengths", "difference between the mean lengths of right and of wrong trajectories, in "
            "percent of the right ones'", "at most", asked.length_gap, "%", lengths.difference,
            note=f"wrong {lengths.wrong:.1f}, right {lengths.right:.1f} {lengths.unit}",
        )  # fmt: skip
    wrong = steps.of_trajectories(results, domain, "wrong")
    if wrong is not None:
        frequent = sum(count >= asked.slip_chains for count in wrong.slips.values())
        yield Gate(
            domain, "kinds of error", f"kinds of first error with {asked.slip_chains} negatives or more",
            "at least", asked.slip_kinds, "kinds", Estimate(frequent, None, None, None, 1),
            note=", ".join(f"{kind} {count:,}" for kind, count in wrong.slips.items()),
        )  # fmt: skip


def _of_training(results: Results, domain: str) -> Iterator[Gate]:
    reference = results.experiment.reference_arm
    if reference is None:
        return
    gain = measures.gain(results, domain, reference, IN_DOMAIN, over=BASE)
    if gain is not None:
        yield Gate(
            domain, "SFT on positives", f"in-domain accuracy that {reference} adds to the base",
            "above", results.experiment.gates.positive_gain, "points", gain, whole_interval=True,
        )  # fmt: skip


def _of_grpo(results: Results, domain: str) -> Iterator[Gate]:
    asked, names = results.experiment.gates, results.initialisations
    if not names:
        return
    _, unanimous = grpo.unanimous(results, domain, names)
    yield Gate(
        domain, "GRPO: unanimous", "prompts whose rollouts in GRPO all got the same reward",
        "under", 100 * asked.unanimous, "%", unanimous, note=_by_start(results, domain, names),
    )  # fmt: skip
    rise = grpo.reward(results, domain, names).rise
    if rise.over_seeds:
        yield Gate(
            domain, "GRPO: reward", "rise of the reward from the first to the last tenth of the steps",
            "above", asked.reward_rise, "", rise, whole_interval=True,
        )  # fmt: skip
    change = grpo.pooled_changes(results).get((domain, IN_DOMAIN))
    if change is not None:
        yield Gate(
            domain, "GRPO: accuracy", "in-domain accuracy that GRPO adds, all its starts together",
            "above", asked.grpo_gain, "points", change.difference, whole_interval=True,
        )  # fmt: skip


def _by_start(results: Results, domain: str, names: Sequence[str]) -> str:
    """The share of unanimous prompts of each start, which their mean hides; nothing for one alone."""
    if len(names) == 1:
        return ""
    return ", ".join(f"{name} {grpo.unanimous(results, domain, [name])[1].mean:.1f}" for name in names)
