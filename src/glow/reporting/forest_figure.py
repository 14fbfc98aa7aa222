"""The figure of contrasts over several worlds: each world's difference above their mean, a panel each."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glow.reporting import pooling
from glow.reporting.cells import interval
from glow.reporting.figures import INK, MUTED
from glow.reporting.scopes import mean_heading
from glow.reporting.statistics import Estimate
from glow.reporting.worlds import World

POOLED = "Over worlds"


def draw_forest(worlds: Sequence[World]) -> Figure:
    """A panel for each contrast that the configuration states: squares for worlds, a diamond for their mean,
    and bars for 95 % intervals, in numbers at the right."""
    experiment = worlds[0].results.experiment
    count, several = len(experiment.contrasts), len(experiment.domain_names) > 1
    height = 0.9 + 0.32 * (len(worlds) + 1)
    figure, grid = plt.subplots(count, 1, figsize=(7.5, height * count), squeeze=False, sharex=True)
    for axes, contrast, own in zip(grid[:, 0], experiment.contrasts, pooling.contrasts(worlds), strict=True):
        rows = {world.label: mean for world, mean in zip(worlds, own.worlds, strict=True)}
        _panel(axes, rows, own.over.difference)
        where = mean_heading(contrast.scope) + (f" · {contrast.domain}" if several else "")
        axes.set_title(f"{contrast.arm} against {contrast.over}, {where}")
    grid[-1, 0].set_xlabel("points of accuracy, with 95 % intervals")
    return figure


def _panel(axes: Axes, worlds: dict[str, Estimate], over: Estimate) -> None:
    for place, mean in enumerate(worlds.values()):
        _mark(axes, place, mean, marker="s", size=5.0, colour=MUTED)
    _mark(axes, len(worlds), over, marker="D", size=7.5, colour=INK)
    axes.axvline(0, color=MUTED, linestyle="--", linewidth=1, zorder=1)
    axes.axhline(len(worlds) - 0.5, color=MUTED, linewidth=0.8)
    axes.set_yticks(range(len(worlds) + 1), [*worlds, POOLED])
    axes.set_ylim(len(worlds) + 0.6, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _mark(axes: Axes, place: int, mean: Estimate, marker: str, size: float, colour: str) -> None:
    axes.plot([mean.mean], [place], marker=marker, markersize=size, color=colour, linestyle="none", zorder=3)
    if mean.bounds is not None:
        axes.hlines(place, *mean.bounds, color=colour, linewidth=1.6, zorder=2)
    text, right = interval(mean, 1), axes.get_yaxis_transform()
    axes.text(1.02, place, text, transform=right, va="center", ha="left", color=INK)
