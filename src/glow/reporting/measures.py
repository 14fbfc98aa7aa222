"""The study's quantities, computed once: what tables print, figures draw and the report says.

From the frames of `results` to estimates: in-domain and out-of-domain accuracy, gains over
positive-only training, pass@k, maj@k and lengths; `policy_entropy` has entropy, `dynamics` and `grpo` have
those of training. What was measured on questions is estimated over seeds and questions
(`statistics.crossed`). Nothing here formats or writes. Accuracies and other shares are in percent, their
differences in percentage points.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

from glow.config import Experiment
from glow.reporting.conventions import ERROR_RATE
from glow.reporting.power import Sources
from glow.reporting.results import BASE, Kind, Results
from glow.reporting.scopes import mean_columns
from glow.reporting.statistics import (
    Estimate,
    Floats,
    Variance,
    crossed,
    crossed_with_variance,
    fixed_sequence,
    holm,
)

# --- answers of one model -------------------------------------------------------------------------

Strata = dict[str, pd.DataFrame]
"""Suite -> values of one quantity, (seeds, questions)."""


def answers(results: Results, kind: Kind, domain: str, name: str, key: str = "correct") -> Strata:
    """What every seed of a model scored on every question, by suite; suites without `key` are left out.

    `key` is one of `results.QUESTION_COLUMNS`, or pass@k or maj@k.
    """
    place = (kind, domain, name, key)
    if place not in results.measured:
        seeds = results.seeds(kind)
        frames = {seed: results.questions(results.run(kind, domain, name, seed)) for seed in seeds}
        table = pd.DataFrame(
            {seed: frame.get(key, np.nan) for seed, frame in frames.items()}, frames[seeds[0]].index
        )
        results.measured[place] = {
            suite: own.T
            for suite in results.experiment.suites
            if not (own := table.loc[suite]).isna().to_numpy().any()
        }
    return results.measured[place]


def smallest_suite(results: Results) -> int:
    """How many questions the smallest suite has."""
    questions = results.questions(results.runs("base")[0])
    return int(questions.groupby(level="suite").size().min())


def questions_of(results: Results, domain: str, column: str) -> int:
    """How many questions the suites of a column have together."""
    sizes = results.questions(results.runs("base")[0]).groupby(level="suite").size()
    return int(sum(sizes[suite] for suite in column_suites(results.experiment, domain, column)))


def column_suites(experiment: Experiment, domain: str, column: str) -> list[str]:
    """The suites that a column is over: those of a mean, or the one of `suite:<name>`."""
    if column.startswith("suite:"):
        return [column.removeprefix("suite:")]
    return mean_columns(experiment, domain).get(column, [])


def columns_present(experiment: Experiment, domain: str) -> list[str]:
    """The means over suites that there are for this domain, then every suite as `suite:<name>`."""
    return [*mean_columns(experiment, domain), *(f"suite:{name}" for name in experiment.suites)]


@dataclass(frozen=True)
class Quantity:
    """What of the answers is averaged; by default accuracy in percent.

    Attributes:
        key: as for `answers`.
        scale: what it is multiplied by, to turn shares into percent.
        among: the key that a suite must have to count; None for `key` itself.
    """

    key: str = "correct"
    scale: float = 100
    among: str | None = None


ACCURACY = Quantity()


def mean(
    results: Results, kind: Kind, domain: str, name: str, column: str, quantity: Quantity = ACCURACY
) -> Estimate | None:
    """The mean of a quantity over a column's suites (equal weights), over seeds and questions.

    None where no suite counts, or one of those that do lacks the quantity itself, so that means over the
    same suites stand side by side.
    """
    measured = answers(results, kind, domain, name, quantity.key)
    counted = answers(results, kind, domain, name, quantity.among or quantity.key)
    suites = [suite for suite in column_suites(results.experiment, domain, column) if suite in counted]
    if not suites or not all(suite in measured for suite in suites):
        return None
    return crossed([quantity.scale * measured[suite].to_numpy() for suite in suites])


# --- differences between models -------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """A difference from a reference, with its p-value after correction for many comparisons.

    Attributes:
        difference: paired by question and seed.
        p_holm: its p-value after Holm's correction over its family (`stated`: in the stated order); None
            without one.
        variance: the pieces of its variance; None where it has no error.
        stated: whether its test is one of those that the configuration states beforehand (`contrasts`).
        relative: whether the difference is in percent, of which `variance` has the logarithm.
    """

    difference: Estimate
    p_holm: float | None
    variance: Variance | None = None
    stated: bool = False
    relative: bool = False

    @property
    def sign(self) -> int:
        """1 or -1 where a difference remains after correction; 0 elsewhere, and with a single seed."""
        if self.p_holm is None or not self.difference.over_seeds or self.p_holm >= ERROR_RATE:
            return 0
        return int(np.sign(self.difference.mean))

    @cached_property
    def sources(self) -> Sources | None:
        """Where its variance comes from; not known with a single seed."""
        return None if self.variance is None or self.variance.n < 2 else Sources.of(self.variance)

    @cached_property
    def detectable(self) -> float | None:
        """The smallest true difference (`relative`: rise) that would be found with the chance `POWER`."""
        if self.sources is None:
            return None
        found = self.sources.detectable(self.difference.n)
        return 100 * float(np.expm1(found)) if self.relative else found

    def seeds_needed(self, difference: float | None = None) -> int | None:
        """How many seeds would find a true difference (default: this one) with the chance `POWER`.

        None where more than `MOST_SEEDS` would be needed. There must be `sources`.
        """
        assert self.sources is not None, "a single seed says nothing of others"
        size = self.difference.mean if difference is None else difference
        return self.sources.seeds_needed(abs(float(np.log1p(size / 100)) if self.relative else size))

    def equivalence_p(self, margin: float) -> float | None:
        """The p-value of two one-sided tests that it is ± `margin` points or more; None with one seed."""
        assert not self.relative, "a margin is in points"
        if self.variance is None or not self.difference.over_seeds:
            return None
        return self.variance.equivalence_p(self.difference.mean, margin)


Key = TypeVar("Key", bound=Hashable)


def compare(differences: Mapping[Key, tuple[list[Floats], list[float] | None]]) -> dict[Key, Comparison]:
    """One family of comparisons: key -> (strata of paired differences, weights of the strata)."""
    found = {key: crossed_with_variance(strata, weights) for key, (strata, weights) in differences.items()}
    tested = {key: estimate.p for key, (estimate, _) in found.items() if estimate.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {key: Comparison(estimate, corrected.get(key), parts) for key, (estimate, parts) in found.items()}


def paired_differences(
    results: Results, domain: str, column: str, before: tuple[Kind, str], after: tuple[Kind, str]
) -> list[Floats]:
    """Percent right after minus before, each a (kind, name), by suite of a column: (seeds, questions).

    The seeds are those of `after`, all of which `before` must have.
    """
    less, more = (answers(results, kind, domain, name) for kind, name in (before, after))
    suites = column_suites(results.experiment, domain, column)
    return [100 * (more[suite] - less[suite].loc[more[suite].index]).to_numpy() for suite in suites]


def gain(results: Results, domain: str, name: str, column: str, over: str | None = None) -> Estimate | None:
    """Points of accuracy over an arm (the reference arm by default), paired by question and seed.

    Not corrected for other comparisons: see `gains`. None where there is no reference arm or no suite of
    such a column.
    """
    reference = over or results.experiment.reference_arm
    if reference is None or not column_suites(results.experiment, domain, column):
        return None
    return crossed(paired_differences(results, domain, column, ("sft", reference), ("sft", name)))


def gain_in_percent(results: Results, domain: str, name: str, column: str) -> Estimate | None:
    """The gain over the reference arm in percent of its accuracy, instead of in points.

    It is the ratio of the two accuracies, each a mean over suites, seeds and questions, less 1: so 44 against
    40 % are 10 %. The interval is that of the logarithm of the ratio, with each answer's part in it to first
    order, paired by question and seed. None too where either is never right.
    """
    reference, suites = results.experiment.reference_arm, column_suites(results.experiment, domain, column)
    if reference is None or not suites:
        return None
    pair = [answers(results, "sft", domain, arm) for arm in (name, reference)]
    own, other = ([model[suite].to_numpy() for suite in suites] for model in pair)
    own_mean, other_mean = (float(np.mean([suite.mean() for suite in model])) for model in (own, other))
    if own_mean == 0 or other_mean == 0:
        return None
    ratio = np.log(own_mean / other_mean)
    parts = [more / own_mean - less / other_mean for more, less in zip(own, other, strict=True)]
    return crossed([ratio + part for part in parts]).in_percent


def gains(results: Results, suites: bool = False) -> dict[tuple[str, str, str], Comparison]:
    """Every arm (and the base) against the reference arm: (domain, arm, column) -> comparison.

    One family: all arms, training domains and means over suites (`suites`: single suites in their place),
    without those that are stated beforehand (`contrasts`). Empty where there is no reference arm.
    """
    experiment, reference = results.experiment, results.experiment.reference_arm
    if reference is None:
        return {}
    keys = [
        (domain, arm, column)
        for domain in experiment.domain_names
        for arm in (BASE, *experiment.arms)
        for column in columns_present(experiment, domain)
        if arm != reference and column.startswith("suite:") == suites
    ]
    stated = {key: found for key in keys if (found := stated_comparison(results, *key, reference))}
    family = compare(
        {
            (domain, arm, column): (
                paired_differences(results, domain, column, ("sft", reference), ("sft", arm)),
                None,
            )
            for domain, arm, column in keys
            if (domain, arm, column) not in stated
        }
    )
    return {key: stated.get(key) or family[key] for key in keys}


# --- stated beforehand ----------------------------------------------------------------------------


def contrasts(results: Results) -> list[Comparison]:
    """The differences that the configuration states beforehand, tested in their order."""
    place = "contrasts"
    if place not in results.measured:
        found = []
        for contrast in results.experiment.contrasts:
            domain = contrast.domain or results.experiment.domain_names[0]
            strata = paired_differences(
                results, domain, contrast.scope, ("sft", contrast.over), ("sft", contrast.arm)
            )
            found.append(crossed_with_variance(strata))
        corrected = fixed_sequence([1.0 if own.p is None else own.p for own, _ in found])
        results.measured[place] = [
            Comparison(own, p, parts, stated=True) for (own, parts), p in zip(found, corrected, strict=True)
        ]
    listed: list[Comparison] = results.measured[place]
    return listed


Decision = Literal["rejected", "not rejected", "not tested"]
"""What a test in a stated order says of the hypothesis that there is no difference."""


def decisions(tested: Iterable[Comparison]) -> list[Decision]:
    """The decisions on comparisons in their stated order; nothing is tested after one that is not rejected,
    nor with a single seed."""
    found: list[Decision] = []
    for comparison in tested:
        if (found and found[-1] != "rejected") or not comparison.difference.over_seeds:
            found.append("not tested")
        else:
            found.append("rejected" if comparison.sign else "not rejected")
    return found


def stated_comparison(results: Results, domain: str, arm: str, column: str, over: str) -> Comparison | None:
    """The comparison of two arms, if it is stated beforehand, in whichever direction."""
    experiment = results.experiment
    for contrast, found in zip(experiment.contrasts, contrasts(results), strict=True):
        if (contrast.domain or experiment.domain_names[0], contrast.scope) != (domain, column):
            continue
        if (contrast.arm, contrast.over) == (arm, over):
            return found
        if (contrast.arm, contrast.over) == (over, arm):
            return replace(found, difference=found.difference.reversed)
    return None


# --- ratios of sums -------------------------------------------------------------------------------


def linear_parts(nats: pd.DataFrame, tokens: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Token-weighted mean by seed, and each question's part in its error (their mean is zero).

    The mean is a ratio of sums; its error is to first order that of the mean of these parts.
    """
    by_seed = nats.sum(axis="columns") / tokens.sum(axis="columns")
    parts = nats - tokens.mul(by_seed, axis="index")
    return by_seed, parts.div(tokens.mean(axis="columns"), axis="index")


def suite_strata(table: pd.DataFrame) -> tuple[list[Floats], list[float]]:
    """The strata of a table (seeds x (suite, question)), weighted by their numbers of questions."""
    strata = [own.T.to_numpy() for _, own in table.T.groupby(level=0, sort=False)]
    return strata, [stratum.shape[1] / table.shape[1] for stratum in strata]
