"""The colours of arms, verdicts and marks: the same in every figure and in the report."""

import math

from glow.config import Experiment
from glow.reporting.results import BASE

MUTED = "#6e7781"
"""What only marks or explains: reference lines, notes."""
VERDICT_COLOURS = {"correct": "#0072B2", "wrong": "#D55E00"}
_ARM_COLOURS = {
    BASE: "#7a7a7a", "positive": "#0072B2", "negative": "#D55E00", "mixed": "#CC79A7",
    "all": "#009E73", "glow": "#E69F00", "glow_released": "#56B4E9",
}  # fmt: skip
"""Okabe and Ito's palette, which the common forms of colour blindness tell apart."""
_OTHER_COLOURS = ("#332288", "#882255", "#117733", "#999933", "#661100", "#44AA99", "#AA4499", "#000000")


def arm_colours(experiment: Experiment) -> dict[str, str]:
    """The colour of the base and of every arm, in table order; other names draw on a second palette."""
    others = iter(_OTHER_COLOURS * math.ceil(len(experiment.arms) / len(_OTHER_COLOURS)))
    return {name: _ARM_COLOURS.get(name) or next(others) for name in (BASE, *experiment.arms)}
