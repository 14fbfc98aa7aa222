"""Gain relative to the trend of its epoch: what of a sample's progress is not its place in the order.

Losses fall within an epoch, so a sample that came late in one epoch and early in the next seems to have
gained little, and the other way round (docs/paper.md, "The GLOW weights"). Here that trend is taken out of
the losses. Frames in, frames out: nothing here reads, formats or writes.
"""

import numpy as np
import pandas as pd

RUN = ["name", "seed"]
"""The columns that tell the runs of a frame apart (`glow.reporting.dynamics.histories`)."""


KINDS = ["gain", "relative_gain"]
"""The gain as GLOW takes it, and without the trend."""


def relative_gain(history: pd.DataFrame) -> pd.DataFrame:
    """Each sample's gain in the residuals of a fit by place, e the epoch and i the sample:

        place_e(i) = optimiser step in which i came up / number of steps of the epoch
        r_e(i) = loss_e(i) - fit_e(place_e(i))
        relative_gain_e(i) = r_{e-1}(i) - r_e(i)

    fit_e is a quadratic, by least squares over the samples of the run in the epoch. With fewer than three
    steps, it is the mean of each.

    Args:
        history: of one run or several, with the columns RUN, epoch, trajectory_id, loss (nats per token) and
            step.

    Returns:
        The rows of `history` in their order, with further columns: place and place_before (of the epoch
        before), in (0, 1]; residual and relative_gain, in nats per token. What needs the epoch before is NaN
        where the sample has none.
    """
    epochs = history.groupby([*RUN, "epoch"])
    place = history["step"] / epochs["step"].transform("max")
    loss = history["loss"].to_numpy(dtype=np.float64)
    residual = np.empty_like(loss)
    for rows in epochs.indices.values():
        residual[rows] = loss[rows] - _fit(_quadratic(place.iloc[rows]), loss[rows])
    found = history.assign(place=place, residual=residual)
    key = [*RUN, "epoch", "trajectory_id"]
    before = found[[*key, "place", "residual"]].assign(epoch=found["epoch"] + 1)
    found = found.merge(before, on=key, how="left", suffixes=("", "_before"))
    found["relative_gain"] = found.pop("residual_before") - found["residual"]
    return found


def gain_shares(history: pd.DataFrame) -> pd.DataFrame:
    """What explains the gain: shares of its variance over samples (R^2 of fits by least squares), by epoch.

    Args:
        history: as for `relative_gain`, with the columns gain and verdict.

    Returns:
        A row for each run and epoch from the second (RUN and epoch are the index), with the columns samples;
        place (fit: quadratics in the places of both epochs, without products); and verdict (fit: the mean of
        each verdict). Shares are from 0 to 1, and NaN where the gain is the same for all samples.
    """
    found = relative_gain(history)
    rows = []
    for run_and_epoch, own in found[found["relative_gain"].notna()].groupby([*RUN, "epoch"]):
        gain = own["gain"].to_numpy(dtype=np.float64)
        places = np.column_stack([_quadratic(own["place"]), _quadratic(own["place_before"])])
        verdicts = pd.get_dummies(own["verdict"]).to_numpy(dtype=np.float64)
        rows.append((*run_and_epoch, len(own), _explained(places, gain), _explained(verdicts, gain)))
    columns = [*RUN, "epoch", "samples", "place", "verdict"]
    return pd.DataFrame(rows, columns=columns).set_index([*RUN, "epoch"])


def gain_summary(history: pd.DataFrame) -> pd.DataFrame:
    """Gains as they are and relative to the trend of their epochs, by run and epoch from the second.

    Args:
        history: as for `gain_shares`.

    Returns:
        The columns of `gain_shares`; gain and relative_gain (means over samples, nats per token); and those
        of each verdict, as in gain_correct; NaN for a verdict without samples.
    """
    found = relative_gain(history)
    found = found[found["relative_gain"].notna()].astype({"gain": np.float64})
    means = found.groupby([*RUN, "epoch"])[KINDS].mean()
    by_verdict = found.groupby([*RUN, "epoch", "verdict"])[KINDS].mean().unstack("verdict")
    for kind in KINDS:
        for verdict in ("correct", "wrong"):
            means[f"{kind}_{verdict}"] = by_verdict.get((kind, verdict), np.nan)
    return gain_shares(history).join(means)


def _quadratic(place: pd.Series) -> np.ndarray:
    """The terms of a quadratic, (samples, 3)."""
    return np.vander(place.to_numpy(dtype=np.float64), 3)


def _fit(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The least-squares fit of values, (samples,), by terms, (samples, any number), at these."""
    return terms @ np.linalg.lstsq(terms, values)[0]


def _explained(terms: np.ndarray, values: np.ndarray) -> float:
    """The share of the values' variance that a fit by terms, which hold a constant, explains."""
    total = np.square(values - values.mean()).sum()
    return 1 - np.square(values - _fit(terms, values)).sum() / total if total > 0 else np.nan
