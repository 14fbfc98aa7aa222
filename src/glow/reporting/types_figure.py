"""The figure of what responses consist of: those of the teacher, and those of each model in evaluation.

Style and files are those of `figures`; the types are those of `glow.verifier.response_types`.
"""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glow.files.records import ResponseType
from glow.reporting import measures
from glow.reporting.figure_parts import legend, panels, say_nothing_to_draw, titled
from glow.reporting.palette import TYPE_COLOURS, ink_on
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import SCOPE_TITLES, SCOPES, mean_columns_present

LABELLED = 7.0
"""A part of a bar that has so many percent has its number in it."""
TRAJECTORIES = {"all trajectories": None, "positives": "correct", "negatives": "wrong"}
"""Name of a bar -> the verdict of its trajectories; None for any."""

Shares = Mapping[ResponseType, float]
"""Percent of responses by type; together 100."""


def draw_response_types(results: Results) -> Figure:
    """Bars of shares by type: trajectories, then the base and every arm by scope (a row for each domain)."""
    experiment = results.experiment
    domains, scopes = experiment.domain_names, mean_columns_present(experiment)
    shown = [scope for scope in SCOPES if scope in scopes]
    arms = (BASE, *experiment.arms)
    height = 1.0 + 0.3 * max(len(arms), len(TRAJECTORIES))
    figure, grid = panels(len(domains), 1 + len(shown), 9.2 / (1 + len(shown)) + 0.6, height)
    for (first, *others), domain in zip(grid, domains, strict=True):
        _bars(first, {name: trajectory_types(results, domain, name) for name in TRAJECTORIES})
        first.set_title(titled(results, "Trajectories", domain))
        for axes, scope in zip(others, shown, strict=True):
            _bars(axes, {arm: answer_types(results, domain, arm, scope) for arm in arms})
            axes.set_title(titled(results, f"Answers, {SCOPE_TITLES[scope].lower()}", domain))
    legend(figure, {str(name): colour for name, colour in TYPE_COLOURS.items()}, patches=True)
    return figure


def trajectory_types(results: Results, domain: str, name: str) -> Shares | None:
    """The shares among the trajectories of one of `TRAJECTORIES`; None where there are none."""
    own, verdict = results.trajectories(domain), TRAJECTORIES[name]
    types = own["type"] if verdict is None else own.loc[own["verdict"] == verdict, "type"]
    return {kind: 100 * float((types == kind).mean()) for kind in TYPE_COLOURS} if len(types) else None


def answer_types(results: Results, domain: str, arm: str, scope: str) -> Shares | None:
    """The shares among a model's answers, averaged over the sampled suites of a scope and over seeds; None
    where no suite is sampled."""
    found = {
        kind: measures.mean(results, "sft", domain, arm, scope, measures.Quantity(kind, among="tokens"))
        for kind in TYPE_COLOURS
    }
    shares = {kind: value.mean for kind, value in found.items() if value is not None}
    return shares if len(shares) == len(found) else None


def _bars(axes: Axes, bars: Mapping[str, Shares | None]) -> None:
    known = {name: shares for name, shares in bars.items() if shares is not None}
    if not known:
        say_nothing_to_draw(axes, "no response was sampled")
        return
    for row, shares in enumerate(known.values()):
        left = 0.0
        for kind, share in shares.items():
            colour = TYPE_COLOURS[kind]
            axes.barh(row, share, left=left, height=0.68, color=colour, edgecolor="white", linewidth=0.8)
            if share >= LABELLED:
                middle = left + share / 2
                axes.text(
                    middle, row, f"{share:.0f}", ha="center", va="center", fontsize=7.5, color=ink_on(colour)
                )
            left += share
    axes.set_yticks(range(len(known)), list(known))
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("percent of responses")
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
