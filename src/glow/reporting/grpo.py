"""What GRPO did: accuracy before and after it, and its rollouts step by step.

Like `measures`, from the frames of `results` to estimates, over the seeds of GRPO: what is said of the models
before it is over the same seeds. Where a function takes the names of several initialisations, its values are
averaged over them first. They are fixed and weigh alike, so seeds and questions are what an estimate is over.
Nothing here formats or writes. Accuracies and other shares are in percent; a reward is a share from 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glow.reporting.conventions import few
from glow.reporting.measures import Comparison, answers, column_suites, compare, paired_differences
from glow.reporting.results import Kind, Results, Run
from glow.reporting.scopes import scope_suites
from glow.reporting.statistics import Estimate, Floats, crossed, estimate
from glow.training.grpo_signal import no_signal

# --- accuracy -------------------------------------------------------------------------------------


def accuracy(results: Results, kind: Kind, domain: str, names: Sequence[str], column: str) -> Estimate | None:
    """Mean accuracy before (kind sft) or after (grpo) GRPO from `names`; None where there is no suite."""
    suites, seeds = column_suites(results.experiment, domain, column), results.seeds("grpo")
    if not suites:
        return None
    models = [answers(results, kind, domain, name) for name in names]
    return crossed(
        [100 * _averaged([own[suite].loc[seeds].to_numpy() for own in models]) for suite in suites]
    )


def changes(results: Results) -> dict[tuple[str, str, str], Comparison]:
    """Points of accuracy that GRPO added, as one family: (domain, initialisation, scope) -> comparison."""
    family = {
        (domain, name, scope): (_differences(results, domain, [name], scope), None)
        for domain, scope in _scopes(results)
        for name in results.initialisations
    }
    return compare(family)


def pooled_changes(results: Results) -> dict[tuple[str, str], Comparison]:
    """The same averaged over all initialisations, a family of its own: (domain, scope) -> comparison."""
    names = results.initialisations
    return compare(
        {
            (domain, scope): (_differences(results, domain, names, scope), None)
            for domain, scope in _scopes(results)
        }
    )


def _scopes(results: Results) -> list[tuple[str, str]]:
    """(domain, scope) of all scopes that hold a suite."""
    return [
        (domain, scope)
        for domain in results.experiment.domain_names
        for scope, suites in scope_suites(results.experiment, domain).items()
        if suites
    ]


def _differences(results: Results, domain: str, names: Sequence[str], scope: str) -> list[Floats]:
    """Points that GRPO added, averaged over initialisations, by suite: (seeds, questions)."""
    by_name = [paired_differences(results, domain, scope, ("sft", name), ("grpo", name)) for name in names]
    return [_averaged(suite) for suite in zip(*by_name, strict=True)]


def _averaged(values: Sequence[Floats]) -> Floats:
    mean: Floats = np.mean(values, axis=0)
    return mean


# --- rollouts -------------------------------------------------------------------------------------


def by_step(results: Results, domain: str, name: str, key: str) -> pd.DataFrame:
    """One value of the log (`glow.training.grpo.LOG_KEYS`) from one initialisation: (steps, seeds)."""
    logs = {seed: results.log(Run("grpo", domain, name, seed)) for seed in results.seeds("grpo")}
    return pd.DataFrame({seed: log.set_index("step")[key] for seed, log in logs.items()})


@dataclass(frozen=True)
class Reward:
    """The mean reward of rollouts over the first and the last tenth of the steps, and by how much it rose."""

    first: Estimate
    last: Estimate
    rise: Estimate


def reward(results: Results, domain: str, names: Sequence[str]) -> Reward:
    """The reward from `names`, over seeds; its rise is paired by seed."""
    first, last, _ = _spans(results, domain, names, "reward")
    return Reward(estimate(first), estimate(last), estimate(last - first))


def unanimous(results: Results, domain: str, names: Sequence[str]) -> tuple[Estimate, Estimate]:
    """Percent of prompts whose rollouts all got the same reward, which teaches nothing, over seeds: in the
    first tenth of the steps, and in all."""
    first, _, whole = _spans(results, domain, names, "unanimous_ratio")
    return estimate(100 * first), estimate(100 * whole)


def _spans(results: Results, domain: str, names: Sequence[str], key: str) -> tuple[Floats, Floats, Floats]:
    """Means over the first tenth of the steps, the last tenth and all of them, each by seed."""
    spans = []
    for name in names:
        frame = by_step(results, domain, name, key)
        tenth = max(1, round(len(frame) / 10))
        spans.append([part.mean().to_numpy() for part in (frame.head(tenth), frame.tail(tenth), frame)])
    first, last, whole = np.mean(spans, axis=0)
    return first, last, whole


def steps_with_signal(results: Results, domain: str, names: Sequence[str]) -> Estimate:
    """Percent of the steps in which some prompt's rollouts differed in reward, over seeds."""
    shares = [(by_step(results, domain, name, "unanimous_ratio") != 1).mean().to_numpy() for name in names]
    return estimate(100 * _averaged(shares))


def lacks_signal(results: Results, domain: str, name: str) -> bool:
    """Whether most steps of a run had nothing to learn from."""
    logs = [results.log(Run("grpo", domain, name, seed)) for seed in results.seeds("grpo")]
    return any(no_signal(log.to_dict("records")) for log in logs)


@dataclass(frozen=True)
class Curve:
    """A value by step, smoothed by a centred moving average over a tenth of the steps.

    Attributes:
        mean: over seeds.
        low, high: with few seeds (`conventions.few`), the lowest and the highest of them at each step; with
            more, ± one standard error over seeds; None with a single one.
    """

    mean: pd.Series
    low: pd.Series | None
    high: pd.Series | None


def curve(results: Results, domain: str, name: str, key: str) -> Curve:
    """How one value of the log went on from one initialisation (`by_step`)."""
    frame = by_step(results, domain, name, key)
    window = max(1, round(len(frame) / 10))
    smooth = frame.rolling(window, center=True, min_periods=1).mean()
    mean, seeds = smooth.mean(axis="columns"), frame.shape[1]
    if seeds == 1:
        return Curve(mean, None, None)
    if few(seeds):
        return Curve(mean, smooth.min(axis="columns"), smooth.max(axis="columns"))
    error = smooth.sem(axis="columns")
    return Curve(mean, mean - error, mean + error)
