"""Gain relative to the epoch's trend, and what explains the gain: by hand, and by numpy's polyfit."""

import numpy as np
import pandas as pd
import pytest
from fabricated import World
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from glow.reporting import dynamics
from glow.reporting.relative_gain import gain_shares, relative_gain


def history(*epochs: dict[str, tuple[int, float]], seed: int = 0, **verdicts: str) -> pd.DataFrame:
    """A run of the arm `glow`: of each epoch, samples with the step in which they came up and their loss."""
    rows = []
    for epoch, own in enumerate(epochs, start=1):
        before = epochs[epoch - 2] if epoch > 1 else {}
        rows += [
            ("glow", seed, epoch, name, verdicts.get(name, "wrong"), step, loss,
             before[name][1] - loss if name in before else np.nan)
            for name, (step, loss) in own.items()
        ]  # fmt: skip
    columns = ["name", "seed", "epoch", "trajectory_id", "verdict", "step", "loss", "gain"]
    return pd.DataFrame(rows, columns=columns).astype({"loss": "float32", "gain": "float32"})


FIRST = {"a": (1, 5.0), "b": (1, 3.0), "c": (2, 3.0), "d": (2, 2.0), "e": (3, 2.0), "f": (3, 1.0)}
SECOND = {"a": (1, 2.0), "b": (2, 1.0), "c": (1, 1.0), "d": (3, 1.0), "e": (2, 1.0), "f": (3, 0.5)}


def test_relative_gain_by_hand() -> None:
    """Three steps: the quadratic goes through the mean of each, so a residual is what differs from that.

    Means of the first epoch 4, 2.5, 1.5, residuals +1, -1, +.5, -.5, +.5, -.5; of the second, in which a and
    c come first, then b and e, 1.5, 1, .75, and residuals +.5, 0, -.5, +.25, 0, -.25.
    """
    found = relative_gain(history(FIRST, SECOND)).set_index(["epoch", "trajectory_id"])
    assert found.loc[1, "residual"].tolist() == approx([1, -1, 0.5, -0.5, 0.5, -0.5])
    assert found.loc[2, "residual"].tolist() == approx([0.5, 0, -0.5, 0.25, 0, -0.25], abs=1e-12)
    assert found.loc[2, "relative_gain"].tolist() == approx([0.5, -1, 1, -0.75, 0.5, -0.25])
    assert found.loc[1, "relative_gain"].isna().all()
    assert found.loc[2, "place"].tolist() == approx([1 / 3, 2 / 3, 1 / 3, 1, 2 / 3, 1])
    assert found.loc[2, "place_before"].tolist() == approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1])


def test_losses_on_a_curve_have_no_relative_gain() -> None:
    """4 - 3 p + p^2 in the first epoch, 1 - p / 2 in the second; the raw gains are from 1 to 2.5."""
    first = {name: (step, 4 - 3 * step / 4 + (step / 4) ** 2) for step, name in enumerate("abcd", start=1)}
    second = {name: (step, 1 - step / 8) for step, name in enumerate("dbac", start=1)}
    found = relative_gain(history(first, second))
    assert found.loc[found["epoch"] == 2, "relative_gain"].tolist() == approx([0] * 4, abs=1e-6)
    assert found["gain"].max() - found["gain"].min() > 1


def test_runs_and_epochs_are_fitted_apart_and_rows_keep_their_order() -> None:
    one, other = history(FIRST, SECOND), history(SECOND, FIRST, seed=1)
    mixed = pd.concat([one, other]).sample(frac=1, random_state=0)
    found = relative_gain(mixed)
    assert found["trajectory_id"].tolist() == mixed["trajectory_id"].tolist()
    for seed, alone in enumerate((one, other)):
        key = ["epoch", "trajectory_id"]
        own = found[found["seed"] == seed].sort_values(key)["relative_gain"]
        assert own.tolist() == approx(relative_gain(alone)["relative_gain"].tolist(), nan_ok=True)


def test_a_sample_that_the_epoch_before_did_not_see_has_none() -> None:
    partial = {name: FIRST[name] for name in "abcde"}
    found = relative_gain(history(partial, SECOND, SECOND)).set_index(["epoch", "trajectory_id"])
    assert found["relative_gain"].isna().groupby("epoch").sum().tolist() == [5, 1, 0]
    assert found.loc[3, "relative_gain"].tolist() == approx([0] * 6, abs=1e-12)
    assert gain_shares(history(partial, SECOND))["samples"].tolist() == [5]


@pytest.mark.parametrize(("steps", "residuals"), [(1, [1.5, -0.5, -1]), (2, [1, -1, 0])])
def test_an_epoch_of_one_or_two_steps_is_fitted_by_their_means(steps: int, residuals: list[float]) -> None:
    found = relative_gain(history({"a": (1, 3.0), "b": (1, 1.0), "c": (steps, 0.5)}))
    assert found["residual"].tolist() == approx(residuals, abs=1e-12)


def test_what_place_and_verdict_explain_by_hand() -> None:
    """Two steps an epoch, two samples for each pair of places. The gain is 4 more for who came first in the
    first epoch, 2 more in the second, and 1 more or less by the verdict: squares 8 x 2^2 + 8 x 1^2 for the
    places and 8 x 1^2 for the verdict, of 48."""
    first, second, verdicts = {}, {}, {}
    for number in range(8):
        early, soon, is_correct = number & 1, number >> 1 & 1, number >> 2 & 1
        name, gain = f"t{number}", 4 * early + 2 * soon + 2 * is_correct
        first[name], second[name] = (2 - early, 10.0), (2 - soon, 10.0 - gain)
        verdicts[name] = "correct" if is_correct else "wrong"
    shares = gain_shares(history(first, second, **verdicts))
    assert shares.index.tolist() == [("glow", 0, 2)]
    assert shares.iloc[0].to_dict() == approx({"samples": 8, "place": 40 / 48, "verdict": 8 / 48})


def test_a_gain_that_is_the_same_for_all_is_not_explained() -> None:
    shares = gain_shares(history({"a": (1, 2.0), "b": (2, 1.0)}, {"a": (1, 1.5), "b": (2, 0.5)}))
    assert shares[["place", "verdict"]].isna().all(axis=None)
    assert gain_shares(history(FIRST)).empty


LOSSES = st.lists(st.floats(0, 10, width=32), min_size=12, max_size=12)
ORDERS = st.permutations(range(12))


@given(LOSSES, LOSSES, ORDERS, st.tuples(*[st.floats(-2, 2)] * 3))
def test_any_quadratic_trend_changes_no_relative_gain(
    before: list[float], after: list[float], order: list[int], trend: tuple[float, float, float]
) -> None:
    """Against polyfit in float64: four steps of three samples, and a trend added to the second epoch."""
    steps = np.arange(12) // 3 + 1
    first = {f"t{k}": (int(steps[k]), before[k]) for k in range(12)}
    second = {f"t{order[k]}": (int(steps[k]), after[k]) for k in range(12)}
    trended = {name: (step, loss + np.polyval(trend, step / 4)) for name, (step, loss) in second.items()}
    found = [relative_gain(history(first, epoch)).query("epoch == 2") for epoch in (second, trended)]
    assert found[0]["relative_gain"].tolist() == approx(found[1]["relative_gain"].tolist(), abs=1e-4)
    by_name = {}
    for epoch in (first, second):
        place, loss = np.array([(step / 4, value) for step, value in epoch.values()]).T
        residuals = loss - np.polyval(np.polyfit(place, loss, 2), place)
        by_name[id(epoch)] = dict(zip(epoch, residuals, strict=True))
    expected = [by_name[id(first)][name] - by_name[id(second)][name] for name in found[0]["trajectory_id"]]
    assert found[0]["relative_gain"].tolist() == approx(expected, abs=1e-6)


def test_the_histories_of_a_study_are_read_as_they_are(fabricated: World) -> None:
    own = dynamics.histories(fabricated.results, "arithmetic", "glow")
    # Two steps an epoch. Losses 1, 1 | 1.5, 1.5, then .8, .6 | 1.4, 1.3; residuals 0, then .1, -.1, .05, -.05
    found = relative_gain(own).query("epoch == 2 and seed == 1")
    assert found["relative_gain"].tolist() == approx([-0.1, 0.1, -0.05, 0.05], abs=1e-6)
    shares = gain_shares(own)
    assert shares.index.names == ["name", "seed", "epoch"]
    # Gains .2, .4, .1, .2 with mean .225: squares .0475, of which .3 and .15 by verdict, and by place: .0225.
    assert shares.loc[("glow", 0, 2)].to_dict() == approx(
        {"samples": 4, "place": 0.0225 / 0.0475, "verdict": 0.0225 / 0.0475}
    )
