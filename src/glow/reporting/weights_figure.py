"""The figure of weights, and of the gains that they are made of; style and files are those of `figures`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glow.reporting import dynamics
from glow.reporting.figure_parts import legend, panels, say_nothing_to_draw, titled
from glow.reporting.palette import MUTED, VERDICT_COLOURS
from glow.reporting.relative_gain import relative_gain
from glow.reporting.results import Results

ROWS = {"weight": "weight", "gain": "gain, nats per token", "relative_gain": "relative gain"}
"""Column of the history -> what the axis says."""


def draw_weights(results: Results) -> Figure:
    """Quantiles by epoch and verdict of the weights of each arm that has them, and below of gains as they are
    and relative to the trend of losses within their epochs."""
    experiment = results.experiment
    arms = {domain: dynamics.arms_with_weights(experiment, domain) for domain in experiment.domain_names}
    figure, grid = panels(len(ROWS) * len(arms), len(arms[experiment.domain_names[0]]), 4.2, 2.3)
    for place, (domain, own_arms) in enumerate(arms.items()):
        own = grid[place * len(ROWS) : (place + 1) * len(ROWS)]
        for column, (arm, objective) in zip(own.T, own_arms.items(), strict=True):
            history = relative_gain(dynamics.histories(results, domain, arm))
            weights, raw, relative = column
            weights.set_title(titled(results, arm, domain))
            if history["epoch"].max() < 2:
                for axes in column:
                    say_nothing_to_draw(axes, "one epoch: no weights yet")
                continue
            for axes, key in zip(column, ROWS, strict=True):
                _bars(axes, history[history["epoch"] >= 2], key)
                axes.xaxis.get_major_locator().set_params(integer=True)
            _bounds(weights, objective.bounds)
            _share_y(raw, relative)
            relative.set_xlabel("epoch")
        for row, unit in zip(own, ROWS.values(), strict=True):
            row[0].set_ylabel(unit)
    legend(figure, VERDICT_COLOURS)
    return figure


def _bars(axes: Axes, history: pd.DataFrame, key: str) -> None:
    """Per epoch, side by side for each verdict: 10-90 % thin, 25-75 % thick, the median a white dot."""
    for (verdict, colour), shift in zip(VERDICT_COLOURS.items(), (-0.12, 0.12), strict=True):
        own = history[history["verdict"] == verdict].groupby("epoch")[key]
        quantiles = own.quantile(np.array([0.1, 0.25, 0.5, 0.75, 0.9])).unstack()
        where = quantiles.index + shift
        axes.vlines(where, quantiles[0.1], quantiles[0.9], color=colour, linewidth=1.5)
        axes.vlines(where, quantiles[0.25], quantiles[0.75], color=colour, linewidth=6)
        axes.scatter(where, quantiles[0.5], s=17, facecolor="white", edgecolor=colour, zorder=3)


def _bounds(axes: Axes, clamp: tuple[float, float] | None) -> None:
    """Mark the clamp's bounds, but do not stretch the axis to one that no weight comes near."""
    bottom, top = axes.get_ylim()
    room = 0.5 * max(top - bottom, 0.02)
    for bound in clamp or ():
        if bottom - room <= bound <= top + room:
            axes.axhline(bound, color=MUTED, linestyle=":", linewidth=1.2)
    bottom, top = axes.get_ylim()
    if top - bottom < 0.05:
        middle = (bottom + top) / 2
        axes.set_ylim(middle - 0.025, middle + 0.025)


def _share_y(one: Axes, other: Axes) -> None:
    """Give two panels of one unit the same scale, and mark zero."""
    limits = np.array([one.get_ylim(), other.get_ylim()])
    for axes in (one, other):
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())
        axes.axhline(0, color=MUTED, linestyle="--", linewidth=1, zorder=1)
