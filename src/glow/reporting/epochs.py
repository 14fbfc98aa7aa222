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
        best: at that epoch.
        last: after each seed's last epoch.
        change: last minus best, paired by seed: above zero for a loss, and below for an accuracy, where
            training went on past its best; None where the best is the last of all seeds.
        trained_on: of a loss, the mean over the arm's own trajectories of the same verdict during its last
            epoch; None where it has none, and for an accuracy.
    """

    before: float
    best_epoch: int
    best: Estimate
    last: Estimate
    change: Estimate | None
    trained_on: Estimate | None


def course(results: Results, domain: str, arm: str, measure: Measure) -> Course | None:
    """How a quantity went on; None where nothing of the kind is held out."""
    by_seed = curve(results, domain, arm, measure)
    if by_seed.empty:
        return None
    means = by_seed.dropna().mean(axis="columns")
    place = int(means.argmax() if measure == "accuracy" else means.argmin())
    best_epoch = int(means.index[place])
    best, last = by_seed.loc[best_epoch].to_numpy(), by_seed.ffill().iloc[-1].to_numpy()
    own = None if measure == "accuracy" else _trained_on(results, domain, arm, measure)
    return Course(
        float(by_seed.iloc[0].mean()),
        best_epoch,
        estimate(best),
        estimate(last),
        estimate(last - best) if best_epoch < by_seed.index[-1] else None,
        None if own is None else estimate(own),
    )


def _trained_on(results: Results, domain: str, arm: str, measure: Measure) -> Floats | None:
    """The training loss in the last epoch, by seed, of the verdict that a loss is of; None without such."""
    history = histories(results, domain, arm)
    own = history[history["verdict"] == measure.removeprefix("loss_")].astype({"loss": np.float64})
    if own["seed"].nunique() < len(results.experiment.seeds):
        return None
    by_epoch = own.groupby(["seed", "epoch"])["loss"].mean()
    return by_epoch.groupby(level="seed").last().loc[results.experiment.seeds].to_numpy()
