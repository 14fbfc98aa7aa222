"""The figure over students: gains over parameters, a panel for each training domain and scope."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from glow.reporting.figure_parts import legend, panels, say_nothing_to_draw
from glow.reporting.palette import MUTED, arm_colours
from glow.reporting.results import BASE
from glow.reporting.scopes import SCOPE_TITLES, SCOPES, mean_columns
from glow.reporting.students.growth import Student, arms_of_several, gain
from glow.reporting.students.table import size

APART = 0.012
"""How far the arms of a student stand from each other, as a share of the axis."""


def draw_students(students: Sequence[Student]) -> Figure:
    """In-domain and OOD gains of each arm over the parameters of the students."""
    experiment = students[0].results.experiment
    domains, arms = experiment.domain_names, [arm for arm in arms_of_several(students) if arm != BASE]
    every = {name: colour for own in students for name, colour in arm_colours(own.results.experiment).items()}
    by_arm = {arm: every[arm] for arm in arms}
    figure, grid = panels(len(domains), len(SCOPES), 4.2, 3.0, sharey="row")
    for row, domain in zip(grid, domains, strict=True):
        for axes, scope in zip(row, SCOPES, strict=True):
            axes.set_title(SCOPE_TITLES[scope] + (f" · {domain}" if len(domains) > 1 else ""))
            if scope not in mean_columns(experiment, domain) or not arms:
                say_nothing_to_draw(axes, "no suite" if arms else "no arm that two students have")
                continue
            _draw(axes, students, domain, scope, by_arm)
        row[0].set_ylabel("points over positives")
    for axes in grid[-1]:
        axes.set_xlabel("parameters")
    if by_arm:
        legend(figure, by_arm)
    return figure


def _draw(axes: Axes, students: Sequence[Student], domain: str, scope: str, by_arm: dict[str, str]) -> None:
    axes.axhline(0, color=MUTED, linestyle="--", linewidth=1, zorder=1)
    sizes = np.array([student.parameters for student in students], dtype=float)
    spread = max(np.log(sizes.max() / sizes.min()), 0.1)
    for place, (arm, colour) in enumerate(by_arm.items()):
        shift = np.exp((place - (len(by_arm) - 1) / 2) * APART * spread)
        by_kind: dict[str, list[tuple[float, float]]] = {}
        for student in students:
            if (found := gain(student, domain, arm, scope)) is None:
                continue
            x = student.parameters * shift
            by_kind.setdefault(student.architecture, []).append((x, found.mean))
            axes.plot([x], [found.mean], marker="o", markersize=4.5, color=colour, zorder=3)
            if found.bounds is not None:
                axes.vlines(x, *found.bounds, color=colour, linewidth=1.4, zorder=2)
        for line in by_kind.values():
            axes.plot(*zip(*line, strict=True), color=colour, linewidth=1.0, alpha=0.7, zorder=2)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [size(int(own)) for own in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12)
