"""What the modules of figures share: panels, their titles, legends, and panels with nothing to draw."""

from collections.abc import Mapping
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from glow.reporting.palette import MUTED, Dash
from glow.reporting.results import Results


def panels(
    rows: int, columns: int, width: float, height: float, sharey: Literal["none", "row"] = "none"
) -> tuple[Figure, np.ndarray]:
    """A grid of axes, always two-dimensional; width and height are of one panel, in inches."""
    size = (width * columns, height * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=sharey)


def titled(results: Results, title: str, domain: str) -> str:
    """A panel's title, with the training domain where there are several."""
    return title if len(results.experiment.domain_names) == 1 else f"{title} · {domain}"


def say_nothing_to_draw(axes: Axes, reason: str) -> None:
    """Leave a panel empty, but for the reason."""
    axes.text(0.5, 0.5, reason, ha="center", va="center", color=MUTED, transform=axes.transAxes)
    axes.set_axis_off()


def legend(
    figure: Figure,
    colours: Mapping[str, str],
    patches: bool = False,
    dashes: Mapping[str, Dash] | None = None,
) -> None:
    """A legend of colours below the panels: of lines (in the styles `dashes`), or of areas (`patches`)."""
    styles = dashes or {}
    marks = [
        Patch(color=colour, label=name)
        if patches
        else Line2D([], [], color=colour, linestyle=styles.get(name, "-"), linewidth=2.2, label=name)
        for name, colour in colours.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(len(marks), 7), columnspacing=1.4)
