"""The colours of arms, verdicts and types of responses: the same in every figure and in the report.

Figures have a white ground, also on a dark page. Lines and marks stand out from it by 3:1 at least and text
by 4.5:1 (WCAG 2.2, success criteria 1.4.11 and 1.4.3); a test computes it.
"""

import math
from typing import Literal

from glow.config import Experiment
from glow.files.records import ResponseType
from glow.reporting.results import BASE

INK, MUTED, GRID = "#1f2328", "#6a737d", "#e4e7eb"
"""Text; secondary text and lines; what only guides the eye."""
WHITE, BLACK = "#ffffff", "#000000"
VERDICT_COLOURS = {"correct": "#0072B2", "wrong": "#D55E00"}
TYPE_COLOURS: dict[ResponseType, str] = {
    "chain": "#3E6C8F", "bare": "#C06A14", "unparsed": "#9457A8", "truncated": "#545b63",
}  # fmt: skip
ARM_COLOURS = {
    BASE: "#7a7a7a", "positive": "#0072B2", "negative": "#D55E00", "mixed": "#CC79A7",
    "all": "#009E73", "glow": "#6B4700", "glow_released": "#332288",
}  # fmt: skip
"""Okabe and Ito's palette, which the common forms of colour blindness tell apart; its two colours that are
too pale for white paper are replaced by dark ones."""
OTHER_COLOURS = ("#882255", "#117733", "#7D7D1F", "#661100", "#2B8577", "#AA4499", "#000000", "#3B78A8")


Dash = Literal["-", "--"]
"""A style of line, as matplotlib calls it."""


def arm_colours(experiment: Experiment) -> dict[str, str]:
    """The colour of the base and of every arm, in table order: one in all studies of several students."""
    names = (BASE, *experiment.arms_of_all)
    others = iter(OTHER_COLOURS * math.ceil(len(names) / len(OTHER_COLOURS)))
    by_name = {name: ARM_COLOURS.get(name) or next(others) for name in names}
    return {name: by_name[name] for name in (BASE, *experiment.arms)}


def arm_dashes(experiment: Experiment) -> dict[str, Dash]:
    """The style of line of the base and of every arm: every second one is dashed, so that both of two lines
    that lie on each other can be seen."""
    names = (BASE, *experiment.arms_of_all)
    return {name: "--" if names.index(name) % 2 else "-" for name in (BASE, *experiment.arms)}


def luminance(colour: str) -> float:
    """The relative luminance of a colour `#rrggbb`, from 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours `#rrggbb`, from 1 to 21, as WCAG 2.2 defines it."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(ground: str) -> str:
    """The better colour of text on a ground, white or black: at least 4.5:1 on any."""
    return max((WHITE, BLACK), key=lambda ink: contrast(ink, ground))
