"""The figure of held-out loss and accuracy, epoch by epoch; style and files are those of `figures`."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glow.reporting import epochs
from glow.reporting.cells import number
from glow.reporting.figure_parts import legend, panels, titled
from glow.reporting.palette import arm_colours
from glow.reporting.results import Results

PANELS: dict[epochs.Measure, tuple[str, str]] = {
    "loss_correct": ("Held-out right trajectories", "loss, nats per token"),
    "loss_wrong": ("Held-out wrong trajectories", "loss, nats per token"),
    "accuracy": ("Held-out questions", "accuracy, %"),
}
"""Quantity -> title and unit of its panel."""


def draw_epochs(results: Results) -> Figure:
    """A panel for each quantity (and training domain), a line for each arm, with a band of ± one standard
    error where there are several seeds.

    All arms start from the same model. Its loss is said and not drawn: no change could be seen beside it.
    """
    experiment = results.experiment
    domains, measures = experiment.domain_names, epochs.measures_of(experiment)
    colours = {arm: arm_colours(experiment)[arm] for arm in experiment.arms}
    figure, grid = panels(len(domains), len(measures), 3.5, 3.0)
    for row, domain in zip(grid, domains, strict=True):
        for axes, measure in zip(row, measures, strict=True):
            said = ""
            for arm, colour in colours.items():
                by_seed = epochs.curve(results, domain, arm, measure)
                if measure in epochs.LOSSES and not by_seed.empty:
                    said = f" (before training: {number(float(by_seed.iloc[0].mean()), 3)})"
                    by_seed = by_seed.drop(index=0)
                _line(axes, by_seed, colour)
            title, unit = PANELS[measure]
            axes.set_title(titled(results, title, domain))
            axes.set_xlabel(f"epoch{said}")
            axes.set_ylabel(unit)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.margins(x=0.02)
    legend(figure, colours)
    return figure


def _line(axes: Axes, by_seed: pd.DataFrame, colour: str) -> None:
    mean = by_seed.mean(axis="columns")
    axes.plot(mean.index, mean, color=colour, linewidth=1.6, marker="o", markersize=3)
    if by_seed.shape[1] > 1:
        error = by_seed.sem(axis="columns")
        axes.fill_between(mean.index, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
