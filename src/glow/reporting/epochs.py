"""Loss and accuracy on what no arm trains on, by epoch: an arm that is past its best overfits.

From the rows of `results` to frames by epoch and seed, and estimates over seeds. Nothing here formats or
writes. Losses are in nats per token, accuracies in percent.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from glow.config import Experiment
from glow.reporting.dynamics import histories
from glow.reporting.results import Results, Run
from glow.reporting.statistics import Estimate, Floats, estimate

Measure = Literal["loss_correct", "loss_wrong", "accuracy"]
"""A column of epochs.jsonl (`glow.training.epochs`)."""
LOSSES: tuple[Measure, ...] = ("loss_correct", "loss_wrong")


def measures_of(experiment: Experiment) -> tuple[Measure, ...]:
    """What an experiment measures by epoch: nothing where no question is held out."""
    if not experiment.selection.held_out:
        return ()
    return (*LOSSES, "accuracy") if experiment.sft.epoch_questions else LOSSES


def curve(results: Results, domain: str, arm: str, measure: Measure) -> pd.DataFrame:
    """One quantity by epoch (from 0, before training) and seed; empty where nothing of the kind is held out.

    Seeds may end at different epochs, where too long trajectories were left out: NaN from then on.
    """
    runs = [Run("sft", domain, arm, seed) for seed in results.experiment.seeds]
    frames = {run.seed: results.epochs(run).set_index("epoch")[measure] for run in runs}
    frame = pd.DataFrame(frames).sort_index().dropna(how="all")
    return 100 * frame if measure == "accuracy" else frame


@dataclass(frozen=True)
class Course:
    """How a quantity went on from before training to its end.

    Attributes:
        before: the mean over seeds, which all start from the same model.
        best_epoch: where the mean over seeds is best, among the epochs that all seeds have.
        best: each seed at the epoch that is best for the mean of the others. An epoch that was chosen on the
            same numbers would be good by luck too, and what is after it would look worse. None with one seed.
        last: after each seed's last epoch.
        change: last minus best, paired by seed: above zero for a loss, and below for an accuracy, where
            training went on past its best; None too where that is every seed's last epoch.
        trained_on: of a loss, the mean over the arm's own trajectories of the same verdict during its last
            epoch; None where it has none, and for an accuracy.
        gap: last minus trained_on, paired by seed; None where that is.
    """

    before: float
    best_epoch: int
    best: Estimate | None
    last: Estimate
    change: Estimate | None
    trained_on: Estimate | None
    gap: Estimate | None


def course(results: Results, domain: str, arm: str, measure: Measure) -> Course | None:
    """How a quantity went on; None where nothing of the kind is held out."""
    by_seed = curve(results, domain, arm, measure)
    if by_seed.empty:
        return None
    shared, last = by_seed.dropna(), by_seed.ffill().iloc[-1].to_numpy()
    own = None if measure == "accuracy" else _trained_on(results, domain, arm, measure)
    best = change = None
    if shared.shape[1] > 1:
        seeds = results.experiment.seeds
        chosen = {seed: _best_epoch(shared.drop(columns=seed), measure) for seed in seeds}
        at_best = np.array([shared[seed].loc[epoch] for seed, epoch in chosen.items()])
        best = estimate(at_best)
        if any(epoch != by_seed[seed].last_valid_index() for seed, epoch in chosen.items()):
            change = estimate(last - at_best)
    return Course(
        float(by_seed.iloc[0].mean()),
        _best_epoch(shared, measure),
        best,
        estimate(last),
        change,
        None if own is None else estimate(own),
        None if own is None else estimate(last - own),
    )


def _best_epoch(by_seed: pd.DataFrame, measure: Measure) -> int:
    """Where the mean over some seeds is best; the first of several."""
    means = by_seed.mean(axis="columns")
    return int(means.index[int(means.argmax() if measure == "accuracy" else means.argmin())])


def _trained_on(results: Results, domain: str, arm: str, measure: Measure) -> Floats | None:
    """The training loss in the last epoch, by seed, of the verdict that a loss is of; None without such."""
    history = histories(results, domain, arm)
    own = history[history["verdict"] == measure.removeprefix("loss_")].astype({"loss": np.float64})
    if own["seed"].nunique() < len(results.experiment.seeds):
        return None
    by_epoch = own.groupby(["seed", "epoch"])["loss"].mean()
    return by_epoch.groupby(level="seed").last().loc[results.experiment.seeds].to_numpy()
