"""The figure of GRPO: its rollouts step by step, and new problems; style and files are those of `figures`."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glow.reporting import grpo
from glow.reporting.figure_parts import legend, panels, say_nothing_to_draw, titled
from glow.reporting.palette import arm_colours
from glow.reporting.results import Kind, Results
from glow.reporting.scopes import IN_DOMAIN

PANELS = {
    "reward": ("Reward", "share of right rollouts"),
    "unanimous_ratio": ("Unanimous prompts", "share of prompts"),
    "clipped_ratio": ("Cut off", "share of rollouts"),
    "entropy": ("Policy entropy", "nats per token"),
    "completion_length": ("Completion length", "tokens"),
}
"""Column of the log -> title and unit of its panel. The second place of the grid is that of new problems."""
NEW_PROBLEMS = "New problems"
ROWS, COLUMNS = 2, 3
BEFORE_AND_AFTER: dict[str, Kind] = {"before": "sft", "after": "grpo"}


def draw_grpo_curves(results: Results) -> Figure:
    """A panel for each quantity (and training domain), a line for each initialisation, with a band where
    there are several seeds; beside the reward, accuracy on new problems before and after."""
    domains = results.experiment.domain_names
    colours = {name: arm_colours(results.experiment)[name] for name in results.initialisations}
    figure, grid = panels(ROWS * len(domains), COLUMNS, 3.5, 2.4)
    for (first, new, *others), domain in zip(grid.reshape(len(domains), -1), domains, strict=True):
        for axes, (key, (title, unit)) in zip((first, *others), PANELS.items(), strict=True):
            for name, colour in colours.items():
                _line(axes, grpo.curve(results, domain, name, key), colour)
            axes.set_title(titled(results, title, domain))
            axes.set_xlabel("step")
            axes.set_ylabel(unit)
            axes.margins(x=0.02)
            if axes.dataLim.ymax == 0:  # no rollout was cut off: around zero, an axis would go below it
                axes.set_ylim(-0.002, 0.05)
        _new_problems(new, results, domain, colours)
    legend(figure, colours)
    return figure


def _line(axes: Axes, curve: grpo.Curve, colour: str) -> None:
    axes.plot(curve.mean.index, curve.mean, color=colour, linewidth=1.6)
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.mean.index, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)


def _new_problems(axes: Axes, results: Results, domain: str, colours: Mapping[str, str]) -> None:
    """In-domain accuracy before and after: a line for the mean of each initialisation, rings for seeds."""
    places = range(len(BEFORE_AND_AFTER))
    for name, colour in colours.items():
        found = [
            grpo.accuracy(results, kind, domain, [name], IN_DOMAIN) for kind in BEFORE_AND_AFTER.values()
        ]
        known = [own for own in found if own is not None]
        if len(known) < len(found):
            say_nothing_to_draw(axes, "no in-domain suite")
            return
        axes.plot(places, [own.mean for own in known], color=colour, linewidth=1.6, marker="o", markersize=4)
        for place, own in zip(places, known, strict=True):
            if own.n > 1:
                axes.scatter(
                    [place] * own.n, own.by_seed, s=13, facecolor="white", edgecolor=colour, zorder=3
                )
    axes.set_title(titled(results, NEW_PROBLEMS, domain))
    axes.set_ylabel("accuracy, %")
    axes.set_xticks(places, list(BEFORE_AND_AFTER))
    axes.margins(x=0.25)
