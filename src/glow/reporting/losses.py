"""How the loss of right and wrong trajectories descends, apart from what the form of answers does to it.

A bare answer and a chain differ in their loss whatever is right about them, and so do short and long
responses: most of a long one follows from what stands before it. Wrong trajectories have other shares of
both. So the loss of each verdict is also given on chains alone, and on chains that are matched by length. A
level that stays higher is no slower descent either: descent is the slope of a least-squares line through
the epochs' mean losses. In nats, what starts higher has further to fall; in percent, it has not. So descent
is also given as the slope of the logarithms, and only what holds on both scales is no matter of the scale.

Matching is by strata. Lengths that both verdicts have are cut into bins, at the quantiles of the rarer
verdict, and each bin counts as often as the verdict that is rarer in it, for both. That is what pairs of a
right and a wrong trajectory of the same bin would give, without a draw. Ten bins remove nearly all of a
difference in means that comes with length: five already remove some 90 % (Cochran 1968, "The Effectiveness
of Adjustment by Subclassification in Removing Bias in Observational Studies").
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glow.errors import UserError
from glow.reporting.dynamics import histories
from glow.reporting.results import Results
from glow.reporting.statistics import Estimate, Floats, estimate

Group = Literal["all", "chain", "bare", "chain, matched"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""Which trajectories: of any type, of one, or those with a chain, matched by length."""
MATCHED: Group = "chain, matched"
BINS = 10
"""Bins of like length at most."""
LEAST = 10
"""Trajectories of the rarer verdict that a bin needs on average; with fewer, there are fewer bins."""
OUTSIDE = -1
DECIDED = ("correct", "wrong")
"""The verdicts of trajectories that are trained on: positives and negatives."""


@dataclass(frozen=True)
class Descent:
    """The loss of an arm's trajectories in one group, in nats per token; a pair is (right, wrong).

    Attributes:
        counts: how many trajectories there are, in the first seed's arm; of matched ones, how many pairs.
        last: mean loss in the last epoch, over seeds; None without such trajectories.
        slopes: change of the mean loss in an epoch, by least squares; None too where there is one epoch.
        relative: change of the mean loss in percent an epoch, by least squares on its logarithm; None too
            where some mean is 0.
        gap, slope_gap, relative_gap: wrong minus right, paired by seed; None where either is.
    """

    counts: tuple[int, int]
    last: tuple[Estimate | None, Estimate | None]
    slopes: tuple[Estimate | None, Estimate | None]
    relative: tuple[Estimate | None, Estimate | None]
    gap: Estimate | None
    slope_gap: Estimate | None
    relative_gap: Estimate | None


def descents(results: Results, domain: str, arm: str) -> dict[Group, Descent]:
    """How the loss of an arm's trajectories descends, by group; a group without any is left out.

    Raises:
        UserError: a trajectory that was trained on is not among those that were judged.
    """
    place = ("descents", domain, arm)
    if place not in results.measured:
        history = with_types(results, domain, histories(results, domain, arm))
        curves = {group: curve(history, group) for group in GROUPS}
        results.measured[place] = {
            group: _descent(found, _counts(history, group))
            for group, found in curves.items()
            if not found.empty
        }
    return results.measured[place]


def mixes_types(history: pd.DataFrame) -> bool:
    """Whether a history from `with_types` has chains and other responses beside them."""
    return {"chain"} < set(history["type"])


def with_types(results: Results, domain: str, history: pd.DataFrame) -> pd.DataFrame:
    """The history with each trajectory's type and length: in tokens, or in characters where any has no count.

    Raises:
        UserError: a trajectory is not among those that were judged.
    """
    known = results.trajectories(domain).set_index("trajectory_id")
    tokens = known["response_tokens"]
    known = known.assign(length=known["characters"] if tokens.isna().any() else tokens)
    lost = ~history["trajectory_id"].isin(known.index)
    if lost.any():
        first = history[lost].iloc[0]
        raise UserError(
            f"{results.verdicts_file(domain)}: no trajectory {first['trajectory_id']!r}, on which arm "
            f"{first['name']!r} was trained; train it again"
        )
    return history.join(known[["type", "length"]], on="trajectory_id")


def curve(history: pd.DataFrame, group: Group) -> pd.DataFrame:
    """Mean loss by seed and epoch in columns correct and wrong, of which one may be missing.

    Args:
        history: as from `with_types`.
    """
    chosen, weight = _weighted(history, group)
    keys = [chosen[key] for key in ("seed", "epoch", "verdict")]
    sums = (weight * chosen["loss"]).groupby(keys).sum()
    return (sums / weight.groupby(keys).sum()).dropna().unstack("verdict")


def matching_weights(history: pd.DataFrame) -> pd.Series:
    """The weight of each row, so that both verdicts have the same lengths; 0 where a length has but one.

    Args:
        history: rows with seed, epoch, verdict and length; each seed is matched by its first epoch.
    """
    weights = pd.Series(0.0, history.index)
    for _, own in history.groupby("seed"):
        first = own[own["epoch"] == own["epoch"].min()]
        right, wrong = (first.loc[first["verdict"] == verdict, "length"].to_numpy() for verdict in DECIDED)
        if not right.size or not wrong.size:
            continue
        place = pd.Series(_bins(right, wrong, own["length"].to_numpy()), own.index)
        sizes = pd.crosstab(place[first.index], first["verdict"])
        shares = sizes.rdiv(sizes.min(axis="columns"), axis="index").stack()
        found = shares.reindex(pd.MultiIndex.from_arrays([place, own["verdict"]])).fillna(0.0)
        weights[own.index] = np.where(place == OUTSIDE, 0.0, found)
    return weights


def _bins(right: Floats, wrong: Floats, lengths: Floats) -> NDArray[np.int64]:
    """The bin of each of some lengths, or `OUTSIDE` of those that both verdicts have."""
    low, high = max(right.min(), wrong.min()), min(right.max(), wrong.max())
    rarer = min((own[(low <= own) & (own <= high)] for own in (right, wrong)), key=len)
    count = int(np.clip(rarer.size // LEAST, 1, BINS))
    cuts = np.quantile(rarer, np.arange(1, count) / count) if rarer.size else np.array([])
    return np.where((low <= lengths) & (lengths <= high), np.searchsorted(cuts, lengths), OUTSIDE)


def _weighted(history: pd.DataFrame, group: Group) -> tuple[pd.DataFrame, pd.Series]:
    """The rows of a group, and their weights."""
    chosen = history if group == "all" else history[history["type"] == group.split(",")[0]]
    return chosen, matching_weights(chosen) if group == MATCHED else pd.Series(1.0, chosen.index)


def _counts(history: pd.DataFrame, group: Group) -> tuple[int, int]:
    first = history[
        (history["seed"] == history["seed"].iloc[0]) & (history["epoch"] == history["epoch"].min())
    ]
    chosen, weight = _weighted(first, group)
    right, wrong = (round(weight[chosen["verdict"] == verdict].sum()) for verdict in DECIDED)
    return right, wrong


def _descent(losses: pd.DataFrame, counts: tuple[int, int]) -> Descent:
    last: dict[str, Floats] = {}
    slopes: dict[str, Floats] = {}
    relative: dict[str, Floats] = {}
    for verdict in [verdict for verdict in DECIDED if verdict in losses]:
        by_epoch = losses[verdict].unstack("seed")
        if by_epoch.isna().any(axis=None):  # some seed's arm has none
            continue
        last[verdict] = by_epoch.iloc[-1].to_numpy()
        if len(by_epoch) > 1:
            slopes[verdict] = _slopes(by_epoch)
            if (by_epoch > 0).all(axis=None):
                relative[verdict] = 100 * np.expm1(_slopes(by_epoch.apply(np.log)))
    return Descent(
        counts, _pair(last), _pair(slopes), _pair(relative), _gap(last), _gap(slopes), _gap(relative)
    )


def _slopes(by_epoch: pd.DataFrame) -> Floats:
    """The slope over epochs (rows) of each seed (columns)."""
    return np.polyfit(by_epoch.index.to_numpy(float), by_epoch.to_numpy(), 1)[0]


def _pair(values: dict[str, Floats]) -> tuple[Estimate | None, Estimate | None]:
    right, wrong = (estimate(values[verdict]) if verdict in values else None for verdict in DECIDED)
    return right, wrong


def _gap(values: dict[str, Floats]) -> Estimate | None:
    right, wrong = (values.get(verdict) for verdict in DECIDED)
    return None if right is None or wrong is None else estimate(wrong - right)
