"""The figure of GRPO's rollouts, step by step; style and files are those of `figures`."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from glow.reporting import grpo
from glow.reporting.palette import arm_colours
from glow.reporting.results import Results

PANELS = {
    "reward": ("Reward", "share of right rollouts"),
    "unanimous_ratio": ("Unanimous prompts", "share of prompts"),
    "clipped_ratio": ("Cut off", "share of rollouts"),
    "entropy": ("Policy entropy", "nats per token"),
    "completion_length": ("Completion length", "tokens"),
}
"""Column of the log -> title and unit of its panel. The sixth place of the grid is the legend's."""
ROWS, COLUMNS = 2, 3
LONGEST_LEGEND = 9
"""Names in one column of the legend."""


def draw_grpo_curves(results: Results) -> Figure:
    """A panel for each quantity (and training domain), a line for each initialisation, with a band of ± one
    standard error where there are several seeds."""
    domains = results.experiment.domain_names
    colours = {name: arm_colours(results.experiment)[name] for name in results.initialisations}
    figure = Figure(figsize=(3.5 * COLUMNS, 2.4 * ROWS * len(domains)))
    grid = figure.subplots(ROWS * len(domains), COLUMNS, squeeze=False).reshape(len(domains), -1)
    lines = [Line2D([], [], color=colour, linewidth=2.2, label=name) for name, colour in colours.items()]
    for panels, domain in zip(grid, domains, strict=True):
        *measured, last = panels
        for axes, (key, (title, unit)) in zip(measured, PANELS.items(), strict=True):
            for name, colour in colours.items():
                _line(axes, grpo.curve(results, domain, name, key), colour)
            axes.set_title(title if len(domains) == 1 else f"{title} · {domain}")
            axes.set_xlabel("step")
            axes.set_ylabel(unit)
            axes.margins(x=0.02)
        last.set_axis_off()
        last.legend(handles=lines, loc="center", ncols=-(-len(lines) // LONGEST_LEGEND))
    return figure


def _line(axes: Axes, curve: grpo.Curve, colour: str) -> None:
    axes.plot(curve.mean.index, curve.mean, color=colour, linewidth=1.6)
    if curve.error is not None:
        low, high = curve.mean - curve.error, curve.mean + curve.error
        axes.fill_between(curve.mean.index, low, high, color=colour, alpha=0.15, linewidth=0)
