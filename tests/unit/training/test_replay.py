"""Weights of another run, from tables made by hand: what a control gives to samples, and what is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from glow.errors import UserError
from glow.training.history import write_page
from glow.training.ledger import NO_SAMPLE, Page
from glow.training.objectives import ReplayedWeights, glow_mean, glow_permuted
from glow.training.replay import Replay

CPU = torch.device("cpu")
WEIGHTS = {1: [1.0, 1.0, 1.0, 1.0], 2: [0.5, 0.25, 0.75, 1.0], 3: [0.125, 0.5, 0.0, 0.375]}
"""By epoch, of the samples a, b, c and d."""


def table(weights: dict[int, list[float]], ids: Sequence[Any] = "abcd") -> pd.DataFrame:
    """A history as the stage writes it, as far as it is read, in an order that says nothing."""
    rows = [
        {"epoch": epoch, "trajectory_id": ids[place], "verdict": "wrong", "weight": weight}
        for epoch, own in weights.items()
        for place, weight in enumerate(own)
    ]
    frame = pd.DataFrame(rows[::-1])
    return frame.astype({"epoch": "int32", "weight": "float32"})


def replay(
    folder: Path,
    frame: pd.DataFrame,
    how: ReplayedWeights = glow_mean,
    ids: Sequence[Any] = "abcd",
    seed: int = 0,
) -> Replay:
    frame.to_parquet(folder / "history.parquet")
    return Replay(folder / "history.parquet", ids, how, seed, CPU)


ROWS = torch.tensor([2, 0, 3, 1])


def test_the_mean_of_each_epoch_is_every_samples_weight(tmp_path: Path) -> None:
    found = replay(tmp_path, table(WEIGHTS))
    for epoch, mean in enumerate((1.0, 0.625, 0.25)):
        assert found.weights(epoch, ROWS).tolist() == [mean] * 4
    assert found.weights(1, torch.tensor([NO_SAMPLE, 1])).tolist() == [0.0, 0.625]


def test_a_permutation_gives_each_sample_the_weight_of_another_place(tmp_path: Path) -> None:
    """By sha256sum: for places k from 0 to 3, hashes of ["glow_permuted", 0, 2, "k"] begin with e12c, f4d8,
    8d73 and e160, so the order is 2, 0, 3, 1; those of epoch 3 with af16, 95dd, 7322 and 6656: 3, 2, 1, 0."""
    found = replay(tmp_path, table(WEIGHTS), glow_permuted)
    everyone = torch.arange(4)
    assert found.weights(0, everyone).tolist() == [1.0] * 4
    assert found.weights(1, everyone).tolist() == [0.75, 0.5, 1.0, 0.25]
    assert found.weights(2, everyone).tolist() == [0.375, 0.0, 0.5, 0.125]
    assert found.weights(1, ROWS).tolist() == found.weights(1, everyone)[ROWS].tolist()


@pytest.mark.parametrize("how", [glow_mean, glow_permuted])
def test_weights_stay_as_many_and_of_the_same_mean(how: ReplayedWeights) -> None:
    weights = np.random.default_rng(0).random(1000)
    made = how(weights, 3, 2)
    assert made.mean() == pytest.approx(weights.mean(), rel=1e-12)
    assert np.allclose(sorted(made), sorted(weights)) == (how is glow_permuted)


def test_permutations_differ_by_seed_and_epoch_and_carry_nothing_over() -> None:
    places = np.arange(2000.0)
    orders = [glow_permuted(places, seed, epoch) for seed, epoch in ((0, 2), (0, 3), (1, 2))]
    assert (glow_permuted(places, 0, 2) == orders[0]).all()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(orders[one], orders[other])[0, 1]) < 0.1
    assert all(abs(np.corrcoef(places, order)[0, 1]) < 0.1 for order in orders)


def test_the_permutation_is_over_the_samples_that_the_epoch_saw(tmp_path: Path) -> None:
    partial = table({1: [1.0] * 4, 2: [0.5, 0.25, 0.75]})  # d was not seen
    found = replay(tmp_path, partial, glow_permuted)
    seen = torch.arange(3)
    assert sorted(found.weights(1, seen).tolist()) == [0.25, 0.5, 0.75]
    assert replay(tmp_path, partial).weights(1, seen).tolist() == [0.5] * 3
    with pytest.raises(UserError, match=r"history\.parquet: no weight in epoch 2 for 'd': that run saw"):
        found.weights(1, torch.tensor([0, 3]))


def test_a_trainers_own_history_is_read_too(tmp_path: Path) -> None:
    for epoch, weights in WEIGHTS.items():
        values = torch.tensor(weights)
        write_page(tmp_path / "history", Page(epoch - 1, values, values, values, values + 1), range(4))
    found = Replay(tmp_path / "history", range(4), glow_mean, 0, CPU)
    assert found.weights(2, ROWS).tolist() == [0.25] * 4
    same = replay(tmp_path, table(WEIGHTS, range(4)), ids=range(4))
    assert found.digest == same.digest


def test_the_digest_is_that_of_the_weights_alone(tmp_path: Path) -> None:
    one = replay(tmp_path, table(WEIGHTS)).digest
    assert replay(tmp_path, table(WEIGHTS).iloc[::-1].assign(loss=2.0)).digest == one
    assert replay(tmp_path, table(WEIGHTS | {3: [0.125, 0.5, 0.0, 0.376]})).digest != one


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table(WEIGHTS, "abce"), "has no weights for 1 of 4 samples: 'd'. Replay a run of the same traject"),
        (table({1: [1.0] * 5}, "abcde"), "has weights of 1 samples that are not trained on here: 'e'. Rep"),
        (table({1: [1.0] * 4, 3: [1.0] * 4}), "not a history: that has epochs from 1 on"),
        (table({0: [1.0] * 4, 1: [1.0] * 4}), "not a history: that has epochs from 1 on"),
        (table({1: [1.0] * 4}, "abca"), "not a history: that has epochs from 1 on, a sample at most once in"),
        (table({1: [1.0, 1.0, float("nan"), 1.0]}), "not a history: "),
        (table(WEIGHTS).astype({"weight": "str"}).replace("0.5", "half"), "not a history: "),
        (
            table(WEIGHTS).drop(columns="weight"),
            "no column weight; give history.parquet as `glow sft` writes",
        ),
        (table(WEIGHTS).drop(columns=["trajectory_id", "epoch"]), "no column epoch, trajectory_id; give"),
    ],
)
def test_a_history_of_another_run_and_none_at_all_are_refused(
    tmp_path: Path, frame: pd.DataFrame, message: str
) -> None:
    with pytest.raises(UserError) as refused:
        replay(tmp_path, frame)
    assert str(refused.value).startswith(f"{tmp_path / 'history.parquet'}: {message}")


def test_a_file_that_is_no_history_is_named(tmp_path: Path) -> None:
    (tmp_path / "history.parquet").write_text("no parquet")
    for source, message in (
        (tmp_path / "none.parquet", "none.parquet: no such file; run `glow sft` on the arm whose weights"),
        (tmp_path / "history.parquet", "history.parquet: not a readable Parquet file"),
        (tmp_path, "no such file"),
    ):
        with pytest.raises(UserError, match=message):
            Replay(source, "abcd", glow_mean, 0, CPU)


def test_another_number_of_epochs_is_refused(tmp_path: Path) -> None:
    found = replay(tmp_path, table(WEIGHTS))
    found.refuse_other_length(3)
    with pytest.raises(
        UserError, match=r"history\.parquet: of a run of 3 epoch\(s\), and this one has 4: tra"
    ):
        found.refuse_other_length(4)
