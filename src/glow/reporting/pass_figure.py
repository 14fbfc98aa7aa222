"""The figure of pass@k: what several tries are worth; style and files are those of `figures`."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from glow.evaluation.metrics import sample_counts
from glow.reporting import measures
from glow.reporting.figure_parts import legend, panels, say_nothing_to_draw, titled
from glow.reporting.palette import arm_colours
from glow.reporting.results import Results
from glow.reporting.scopes import SCOPE_TITLES, SCOPES, mean_columns_present

SPREAD, WIDEST = 0.06, 0.6
"""How far apart two arms, and all, stand at most at the same k, in doublings of k: so bars can be told."""


def draw_pass_at_k(results: Results) -> Figure:
    """A panel for each scope (and training domain), a line for each arm over k, with bars of ± one standard
    error."""
    experiment = results.experiment
    colours, domains = arm_colours(experiment), experiment.domain_names
    scopes = [scope for scope in SCOPES if scope in mean_columns_present(experiment)]
    figure, grid = panels(len(domains), len(scopes), 4.6 if len(scopes) > 1 else 6.5, 3.2)
    for row, domain in zip(grid, domains, strict=True):
        for axes, scope in zip(row, scopes, strict=True):
            _panel(axes, results, domain, scope, colours)
            axes.set_title(titled(results, SCOPE_TITLES[scope], domain))
        row[0].set_ylabel("pass@k, %")
    legend(figure, colours)
    return figure


def _panel(axes: Axes, results: Results, domain: str, scope: str, colours: dict[str, str]) -> None:
    ks = sample_counts(results.experiment.evaluation.samples)
    shifts = min(SPREAD, WIDEST / len(colours)) * (np.arange(len(colours)) - (len(colours) - 1) / 2)
    for shift, (arm, colour) in zip(shifts, colours.items(), strict=True):
        found = [
            measures.mean(results, "sft", domain, arm, scope, measures.Quantity(f"pass@{k}", among="tokens"))
            for k in ks
        ]
        known = [own for own in found if own is not None]
        if len(known) < len(ks):
            continue
        where = np.array(ks) * 2.0**shift
        axes.plot(where, [own.mean for own in known], color=colour, linewidth=1.8, marker="o", markersize=4)
        errors = [own.error or 0.0 for own in known]
        means = np.array([own.mean for own in known])
        axes.vlines(where, means - errors, means + errors, color=colour, linewidth=1.2)
    if not axes.lines:
        say_nothing_to_draw(axes, "no suite was sampled")
        return
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.set_xlabel("k")
