"""The study's quantities of training: histories, and GLOW's weights epoch by epoch; `losses` has the losses.

From the histories of `results`, which have every sample, to frames by seed and estimates over seeds. Nothing
here formats or writes.
"""

import numpy as np
import pandas as pd

from glow.config import BOTH_SIGNS, Experiment
from glow.reporting.results import Results, Run
from glow.reporting.statistics import Floats
from glow.training.objectives import ChosenObjective, arm_objectives

AT_BOUND = 1e-6
"""A weight this near to a bound counts as at it (weights are float32)."""
WEIGHT_COLUMNS = ("samples", "mean", "sd", "effective", "correct", "wrong", "low", "high", "gain")


def weighted_arms(experiment: Experiment, domain: str) -> dict[str, ChosenObjective]:
    """The arms whose weights follow from the epoch before, as GLOW's do, each with its objective."""
    arms = arm_objectives(experiment, domain)
    return {name: chosen for name, chosen in arms.items() if chosen.entry.uses_history}


def arms_with_weights(experiment: Experiment, domain: str) -> dict[str, ChosenObjective]:
    """These arms, and the controls that replay their weights, each with its objective."""
    return {
        name: chosen
        for name, chosen in arm_objectives(experiment, domain).items()
        if chosen.entry.uses_history or chosen.replayed_arm is not None
    }


def arms_of(experiment: Experiment, objective: str) -> list[str]:
    """The arms trained with one objective of ours ("glow", "plain"), of which the paper has claims."""
    objectives = experiment.objectives
    return [name for name, arm in experiment.arms.items() if objectives[arm.objective].objective == objective]


def both_signs(experiment: Experiment) -> list[str]:
    """The arms trained on all trajectories, or all pairs: positives and negatives can be compared there."""
    return [name for name, arm in experiment.arms.items() if arm.trajectories in BOTH_SIGNS]


def histories(results: Results, domain: str, arm: str) -> pd.DataFrame:
    """The per-sample histories of one arm, seeds one after the other."""
    return pd.concat(
        [results.history(Run("sft", domain, arm, seed)) for seed in results.experiment.seeds],
        ignore_index=True,
    )


def weight_summary(history: pd.DataFrame, clamp: tuple[float, float] | None) -> pd.DataFrame:
    """Weights of an arm by seed and epoch (from 2, where weights begin; "all": every epoch from 2).

    Columns: samples, mean, sd (over samples), effective (`effective_share` in percent), correct and wrong
    (mean weight by verdict), low and high (percent of samples at each bound of the clamp; NaN without one),
    gain (mean, nats per token).
    """
    weighted = history[history["epoch"] >= 2]
    low, high = clamp or (np.nan, np.nan)
    rows = [
        {"seed": seed, "epoch": epoch, **_weight_row(group, low, high)}
        for seed, own in weighted.groupby("seed")
        for epoch, group in [*own.groupby("epoch"), ("all", own)]
    ]
    return pd.DataFrame(rows, columns=["seed", "epoch", *WEIGHT_COLUMNS]).set_index(["seed", "epoch"])


def effective_share(weight: Floats) -> float:
    """Kish's effective number of samples as a share of their number, (sum w)² / (n sum w²).

    It is 1 where all weights are equal, and NaN where all are 0 (Kish 1965, "Survey Sampling").
    """
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / (len(weight) * squares) if squares else float("nan")


def _weight_row(group: pd.DataFrame, low: float, high: float) -> dict[str, float]:
    weight = group["weight"].astype("float64")
    return {
        "samples": len(group),
        "mean": weight.mean(),
        "sd": weight.std(ddof=0),
        "effective": 100 * effective_share(np.asarray(weight, np.float64)),
        "correct": weight[group["verdict"] == "correct"].mean(),
        "wrong": weight[group["verdict"] == "wrong"].mean(),
        "low": np.nan if np.isnan(low) else 100 * (weight <= low + AT_BOUND).mean(),
        "high": np.nan if np.isnan(high) else 100 * (weight >= high - AT_BOUND).mean(),
        "gain": group["gain"].astype("float64").mean(),
    }
