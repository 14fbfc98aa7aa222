"""The study's quantities, computed once: what tables print, figures draw and the report says.

From the frames of `results` to estimates: in-domain and out-of-domain accuracy, gains over
positive-only training, pass@k, maj@k and lengths, policy entropy; `dynamics` and `grpo` have those of
training. What was measured on questions is estimated over seeds and questions (`statistics.crossed`). Nothing
here formats or writes. Accuracies and other shares are in percent, their differences in percentage points.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd

from glow.config import Experiment
from glow.reporting.conventions import ERROR_RATE
from glow.reporting.results import BASE, Kind, Results
from glow.reporting.scopes import mean_columns
from glow.reporting.statistics import Estimate, Floats, crossed, holm

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
    """A difference from the reference, with its p-value after correction for many comparisons.

    Attributes:
        difference: paired by question and seed.
        p_holm: its p-value after Holm's correction over its family; None without one.
    """

    difference: Estimate
    p_holm: float | None

    @property
    def sign(self) -> int:
        """1 or -1 where a difference remains after correction; 0 elsewhere, and with a single seed."""
        if self.p_holm is None or not self.difference.over_seeds or self.p_holm >= ERROR_RATE:
            return 0
        return int(np.sign(self.difference.mean))


Key = TypeVar("Key", bound=Hashable)


def compare(differences: Mapping[Key, tuple[list[Floats], list[float] | None]]) -> dict[Key, Comparison]:
    """One family of comparisons: key -> (strata of paired differences, weights of the strata)."""
    estimates = {key: crossed(strata, weights) for key, (strata, weights) in differences.items()}
    tested = {key: found.p for key, found in estimates.items() if found.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {key: Comparison(found, corrected.get(key)) for key, found in estimates.items()}


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


def gains(results: Results, suites: bool = False) -> dict[tuple[str, str, str], Comparison]:
    """Every arm (and the base) against the reference arm: (domain, arm, column) -> comparison.

    One family: all arms, training domains and means over suites (`suites`: single suites in their place).
    Empty where there is no reference arm.
    """
    experiment, reference = results.experiment, results.experiment.reference_arm
    if reference is None:
        return {}
    family = {
        (domain, arm, column): (
            paired_differences(results, domain, column, ("sft", reference), ("sft", arm)),
            None,
        )
        for domain in experiment.domain_names
        for arm in (BASE, *experiment.arms)
        for column in columns_present(experiment, domain)
        if arm != reference and column.startswith("suite:") == suites
    }
    return compare(family)


# --- policy entropy -------------------------------------------------------------------------------


def entropy(results: Results, domain: str, name: str) -> Estimate | None:
    """Policy entropy in nats per token, over seeds and questions; None where none was scored."""
    scored = _nats_and_tokens(results, domain, name)
    if scored is None:
        return None
    by_seed, departures = _linear_parts(*scored)
    return crossed(*_suite_strata(departures.mul(by_seed, axis="index").add(by_seed, axis="index")))


def entropy_changes(results: Results) -> dict[tuple[str, str], Comparison]:
    """Change of policy entropy against the reference arm, in percent of it: (domain, arm) -> comparison.

    Taken on the logarithm of the ratio, paired by question and seed, and turned into percent: the mean is
    that of the geometric mean over seeds, and no bound lies below -100 %. All arms and domains are one
    family. Empty where there is no reference arm or no entropy was scored.
    """
    experiment, reference = results.experiment, results.experiment.reference_arm
    if reference is None:
        return {}
    family = {
        (domain, arm): _suite_strata(ratio)
        for domain in experiment.domain_names
        for arm in (BASE, *experiment.arms)
        if arm != reference and (ratio := _log_ratio(results, domain, arm, reference)) is not None
    }
    return {key: _in_percent(found) for key, found in compare(family).items()}


def _nats_and_tokens(results: Results, domain: str, name: str) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Nats and tokens by seed and question, of the questions that were scored for every seed."""
    nats, tokens = (
        pd.concat(answers(results, "sft", domain, name, key), axis="columns")
        for key in ("entropy", "entropy_tokens")
    )
    scored = (tokens > 0).all(axis="index")
    return (nats.loc[:, scored], tokens.loc[:, scored]) if scored.any() else None


def _linear_parts(nats: pd.DataFrame, tokens: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Token-weighted mean by seed, and each question's part in its relative error (their mean is zero).

    The mean is a ratio of sums; its relative error is to first order that of the mean of these parts.
    """
    by_seed = nats.sum(axis="columns") / tokens.sum(axis="columns")
    parts = nats.div(by_seed, axis="index") - tokens
    return by_seed, parts.div(tokens.mean(axis="columns"), axis="index")


def _log_ratio(results: Results, domain: str, name: str, reference: str) -> pd.DataFrame | None:
    """Logarithm of the ratio of entropies by seed, with each question's part in its error."""
    own, other = _nats_and_tokens(results, domain, name), _nats_and_tokens(results, domain, reference)
    if own is None or other is None:
        return None
    shared = own[0].columns.intersection(other[0].columns)
    if shared.empty:
        return None
    (level, parts), (base, base_parts) = (
        _linear_parts(*(table[shared] for table in scored)) for scored in (own, other)
    )
    if (level <= 0).any() or (base <= 0).any():
        return None
    return (parts - base_parts).add(np.log(level / base), axis="index")


def _suite_strata(table: pd.DataFrame) -> tuple[list[Floats], list[float]]:
    """The strata of a table (seeds x (suite, question)), weighted by their numbers of questions."""
    strata = [own.T.to_numpy() for _, own in table.T.groupby(level=0, sort=False)]
    return strata, [stratum.shape[1] / table.shape[1] for stratum in strata]


def _in_percent(found: Comparison) -> Comparison:
    """A comparison of logarithms as change in percent; the error is that of the ratio to first order."""

    def percent(value: float) -> float:
        return 100 * float(np.expm1(value))

    log = found.difference
    error = None if log.error is None else 100 * float(np.exp(log.mean)) * log.error
    low, high = (None, None) if log.bounds is None else map(percent, log.bounds)
    by_seed = tuple(map(percent, log.by_seed))
    change = replace(log, mean=percent(log.mean), error=error, low=low, high=high, by_seed=by_seed)
    return replace(found, difference=change)
