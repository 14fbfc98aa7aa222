"""What right and wrong trajectories have in common: questions that have both, types and lengths of
responses.

From the frames of `results.trajectories` to estimates over problems, in percent. The losses of trajectories
are in `losses`, their steps in `steps`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from glow.files.records import ResponseType
from glow.reporting.dynamics import both_signs, histories
from glow.reporting.losses import DECIDED, mixes_types, with_types
from glow.reporting.results import Results
from glow.reporting.statistics import Estimate, Floats, clustered, crossed

LengthUnit = Literal["tokens", "characters"]
TYPES: tuple[ResponseType, ...] = get_args(ResponseType)


def with_both_verdicts(verdicts: pd.DataFrame) -> pd.Series:
    """Whether each problem (the index) has right and wrong trajectories."""
    found = verdicts["verdict"].groupby(verdicts["problem_id"]).agg(set)
    return found.map(set(DECIDED).issubset).astype(bool)


def share_with_both(verdicts: pd.DataFrame) -> Estimate | None:
    """The share of problems that have right and wrong trajectories; None without problems."""
    both = with_both_verdicts(verdicts)
    return clustered((100 * both).to_numpy(float), both.index.to_numpy()) if len(both) else None


@dataclass(frozen=True)
class TypeGap:
    """A type of response, and how far its shares among right and among wrong trajectories lie apart.

    Attributes:
        difference: in points; the larger share less the smaller one.
    """

    type: ResponseType
    difference: Estimate


def largest_type_gap(verdicts: pd.DataFrame) -> TypeGap | None:
    """The type whose shares differ most; None where no trajectory is right, or none is wrong."""
    right, wrong = (verdicts[verdicts["verdict"] == verdict] for verdict in DECIDED)
    if right.empty or wrong.empty:
        return None
    gaps = [TypeGap(kind, _difference(wrong, right, kind)) for kind in TYPES]
    largest = max(gaps, key=lambda gap: abs(gap.difference.mean))
    difference = largest.difference
    return TypeGap(largest.type, difference if difference.mean >= 0 else difference.reversed)


def has_lines_of_chains(results: Results) -> bool:
    """Whether the figure of losses has lines of chains alone: where an arm has others beside them."""
    return any(
        mixes_types(with_types(results, domain, histories(results, domain, arm)))
        for domain in results.experiment.domain_names
        for arm in both_signs(results.experiment)
    )


def lengths(verdicts: pd.DataFrame) -> tuple[pd.Series, LengthUnit]:
    """The length of each response, in tokens, or in characters where those of any are not known."""
    if verdicts["response_tokens"].isna().any():
        return verdicts["characters"].astype(float), "characters"
    return verdicts["response_tokens"], "tokens"


@dataclass(frozen=True)
class LengthGap:
    """How far the mean lengths of right and of wrong trajectories lie apart.

    Attributes:
        difference: in percent of the mean of the right ones, whichever are longer; linearised, its error from
            the draw of problems.
        right, wrong: the mean lengths, in the unit.
    """

    difference: Estimate
    right: float
    wrong: float
    unit: LengthUnit


def length_gap(verdicts: pd.DataFrame) -> LengthGap | None:
    """None where no trajectory is right, none is wrong, or the right ones are empty."""
    length, unit = lengths(verdicts)
    right, wrong = (length[verdicts["verdict"] == verdict] for verdict in DECIDED)
    if right.empty or wrong.empty or not right.mean():
        return None
    ratio = wrong.mean() / right.mean()
    sides = ((1, wrong / right.mean()), (-1, ratio * right / right.mean()))
    parts = _parts([(sign, 100 * own) for sign, own in sides], verdicts["problem_id"])
    difference = crossed([(100 * (ratio - 1) + parts)[None, :]])
    return LengthGap(
        difference if difference.mean >= 0 else difference.reversed, right.mean(), wrong.mean(), unit
    )


def _difference(more: pd.DataFrame, less: pd.DataFrame, kind: ResponseType) -> Estimate:
    """Difference of two shares, which have problems in common: linearised, its error from their draw."""
    is_kind = [(sign, 100.0 * (own["type"] == kind)) for sign, own in ((1, more), (-1, less))]
    mean = sum(sign * own.mean() for sign, own in is_kind)
    parts = _parts(is_kind, pd.concat([more["problem_id"], less["problem_id"]]))
    return crossed([(mean + parts)[None, :]])


def _parts(sides: Sequence[tuple[int, pd.Series]], problem_of: pd.Series) -> Floats:
    """What each problem adds to a difference of two means, around 0 and times the number of problems.

    Args:
        sides: the sign and the values, by trajectory, of each mean.
        problem_of: the problem of each trajectory.
    """
    problems = pd.Index(problem_of[pd.concat([own for _, own in sides]).index].unique())
    parts: Floats = np.zeros(len(problems))
    for sign, own in sides:
        off = (own - own.mean()).groupby(problem_of[own.index]).sum().reindex(problems, fill_value=0.0)
        parts += sign * off.to_numpy() * len(problems) / len(own)
    return parts
