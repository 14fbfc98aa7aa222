"""What right and wrong trajectories have in common: questions that have both, and types of response.

From the frames of `results.trajectories` to estimates over problems, in percent. The losses of trajectories
are in `losses`, their steps in `steps`.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from glow.files.records import ResponseType
from glow.reporting.losses import DECIDED
from glow.reporting.statistics import Estimate, clustered, crossed

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


def _difference(more: pd.DataFrame, less: pd.DataFrame, kind: ResponseType) -> Estimate:
    """Difference of two shares, which have problems in common: linearised, its error from their draw."""
    problems = pd.Index(pd.concat([more["problem_id"], less["problem_id"]]).unique())
    parts, mean = np.zeros(len(problems)), 0.0
    for sign, own in ((1, more), (-1, less)):
        is_kind = 100.0 * (own["type"] == kind)
        share = is_kind.mean()
        off = (is_kind - share).groupby(own["problem_id"]).sum().reindex(problems, fill_value=0.0)
        parts += sign * off.to_numpy() * len(problems) / len(own)
        mean += sign * share
    return crossed([(mean + parts)[None, :]])
