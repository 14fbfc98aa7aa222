"""Held-out loss and accuracy by epoch in the report, against hand-worked values of the fabricated world."""

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fabricated import EPOCHS, World, document
from matplotlib.colors import same_color
from pytest import approx

from glow.errors import UserError
from glow.files.jsonl import write_jsonl
from glow.reporting import epochs
from glow.reporting.cells import MINUS
from glow.reporting.epochs_figure import draw_epochs
from glow.reporting.epochs_table import epochs_table
from glow.reporting.figures import STYLE
from glow.reporting.palette import arm_colours
from glow.reporting.results import Run

T1 = 12.706204736432095
"""The 97.5 % quantile of t with one degree of freedom."""


def rows(world: World) -> pd.DataFrame:
    return epochs_table(world.results).frame.set_index(["arm", "measure"])


def test_the_loss_of_right_ones_rises_after_its_best(fabricated: World) -> None:
    """1.0, 0.7, 0.6, and then 0.65 and 0.75 by seed: 0.05 and 0.15 above the best, so 0.1 ± t * 0.05."""
    row = rows(fabricated).loc[("all", "loss of right ones")]
    assert (row["n"], row["before"], row["best_epoch"]) == (2, 1.0, 2)
    assert (row["best_mean"], row["best_se"]) == (approx(0.6), 0)
    assert (row["last_mean"], row["last_se"]) == (approx(0.7), approx(0.05))
    assert (row["change_mean"], row["change_low"], row["change_high"]) == (
        approx(0.1), approx(0.1 - 0.05 * T1), approx(0.1 + 0.05 * T1),
    )  # fmt: skip
    assert row["trained_on_mean"] == approx(0.5)  # of 0.6 and 0.4


def test_the_loss_of_wrong_ones_is_best_early(fabricated: World) -> None:
    row = rows(fabricated).loc[("positive", "loss of wrong ones")]
    assert (row["before"], row["best_epoch"]) == (1.6, 1)
    assert (row["best_mean"], row["last_mean"], row["change_mean"]) == (approx(1.4), approx(1.7), approx(0.3))
    assert row["trained_on_mean"] == approx(1.25)


def test_the_best_accuracy_is_the_highest(fabricated: World) -> None:
    row = rows(fabricated).loc[("glow", "accuracy")]
    assert (row["before"], row["best_epoch"], row["best_mean"]) == (0, 2, 100)
    assert (row["last_mean"], row["change_mean"]) == (50, -50)
    assert pd.isna(row["trained_on_mean"])
    never = rows(fabricated).loc[("negative", "accuracy")]
    assert (never["best_epoch"], never["best_mean"], never["change_mean"]) == (0, 0, 0)


def test_an_arm_that_is_best_at_its_end_has_no_change(tmp_path: Path) -> None:
    class Better(World):
        def epochs(self, run: Run) -> list[dict]:
            return [row | {"accuracy": row["epoch"] / 4} for row in super().epochs(run)]

    row = rows(Better(tmp_path).write()).loc[("all", "accuracy")]
    assert (row["best_epoch"], row["best_mean"], row["last_mean"]) == (3, 75, 75)
    assert pd.isna(row["change_mean"])


def test_cells_as_people_read_them(fabricated: World) -> None:
    table = epochs_table(fabricated.results)
    headings, first, *_ = [[cell.replace(MINUS, "-") for cell in line] for line in table.lines]
    assert dict(zip(headings, first, strict=True)) == {
        "Arm": "positive",
        "Held out": "loss of right ones",
        "n": "2",
        "Before training": "1.000",
        "Best epoch": "2",
        "At the best": "0.600 ± 0.000",
        "At the end": "0.700 ± 0.635",
        "End minus best": "+0.100 [-0.535, +0.735]",
        "Trained on, last epoch": "0.500 ± 0.000",
        "End minus trained on": "+0.200 [-0.435, +0.835]",
    }
    assert len(table.rows) == 5 * 3


def test_without_answers_or_trajectories_of_a_kind_there_are_no_rows(tmp_path: Path) -> None:
    class RightOnly(World):
        def epochs(self, run: Run) -> list[dict]:
            return [row | {"loss_wrong": None, "accuracy": None} for row in super().epochs(run)]

    world = RightOnly(tmp_path, document(sft={"epochs": 3})).write()
    assert epochs.measures_of(world.results.experiment) == ("loss_correct", "loss_wrong")
    assert set(rows(world).index.get_level_values("measure")) == {"loss of right ones"}
    assert len(draw_epochs(world.results).axes) == 2


def test_an_arm_without_the_verdict_was_not_trained_on_it(tmp_path: Path) -> None:
    class Apart(World):
        def history(self, run: Run) -> pd.DataFrame:
            own = super().history(run)
            return own[own["verdict"] == "correct"] if run.name == "positive" else own

    row = rows(Apart(tmp_path).write()).loc[("positive", "loss of wrong ones")]
    assert pd.isna(row["trained_on_mean"])
    assert row["last_mean"] == approx(1.7)


def test_the_best_epoch_of_a_seed_is_that_of_the_others(tmp_path: Path) -> None:
    """By seed 0.2, 0.6, 0.5, then 0.6, 0.2, 0.5 and 0.45, 0.45, 0.5 after epochs 1 to 3.

    On their own numbers epoch 1 would be best, at 0.4167, and the end 0.3, -0.1 and 0.05 worse. The others
    choose 2, 1 and 1, that is 0.6, 0.6 and 0.45: the end is -0.1, -0.1 and 0.05 worse.
    """

    class Noise(World):
        def epochs(self, run: Run) -> list[dict]:
            own = [[1.0, 0.2, 0.6, 0.5], [1.0, 0.6, 0.2, 0.5], [1.0, 0.45, 0.45, 0.5]][run.seed]
            return [row | {"loss_correct": own[row["epoch"]]} for row in super().epochs(run)]

    world = Noise(tmp_path, document(seeds=[0, 1, 2])).write()
    found = epochs.course(world.results, "arithmetic", "all", "loss_correct")
    assert (found.best_epoch, found.best.mean) == (1, approx(1.65 / 3))
    assert found.change.mean == approx(-0.05)
    # the standard deviation of -0.1, -0.1 and 0.05 is sqrt(0.0075)
    assert found.change.error == approx((0.0075 / 3) ** 0.5)
    assert found.gap.mean == approx(0, abs=1e-6)  # trained on 0.6 and 0.4


def test_one_seed_has_no_others_to_choose_its_best_epoch(tmp_path: Path) -> None:
    found = epochs.course(
        World(tmp_path, document(seeds=[0])).write().results, "arithmetic", "all", "loss_correct"
    )
    assert (found.best_epoch, found.best, found.change) == (2, None, None)
    assert found.gap.mean == approx(0.65 - 0.5)


def test_seeds_that_end_earlier_count_with_their_own_last_epoch(tmp_path: Path) -> None:
    """Seed 1 has no epoch 3, where seed 0 is at its best; the best is chosen where both are."""

    class Shorter(World):
        def epochs(self, run: Run) -> list[dict]:
            right = [1.0, 0.5, 0.6, 0.4]
            own = [row | {"loss_correct": right[row["epoch"]]} for row in super().epochs(run)]
            return own[: 4 - run.seed]

    found = epochs.course(Shorter(tmp_path).write().results, "arithmetic", "all", "loss_correct")
    assert found is not None
    assert (found.best_epoch, found.best.mean) == (1, approx(0.5))
    assert (found.last.mean, found.change.mean) == (approx(0.5), approx(0))  # 0.4 and 0.6


def test_nothing_is_measured_where_nothing_is_held_out(tmp_path: Path) -> None:
    world = World(tmp_path, document(selection=None, sft={"epochs": 3})).write()
    assert epochs.measures_of(world.results.experiment) == ()
    files = [path.name for path in world.results.inputs("tables")]
    assert not {"epochs.jsonl", "held_out.jsonl"} & set(files)


def test_files_of_what_is_held_out_are_inputs(fabricated: World) -> None:
    files = [path.name for path in fabricated.results.inputs("tables")]
    assert files.count("epochs.jsonl") == 5 * 2
    assert files.count("held_out.jsonl") == 1
    figures = [path.name for path in fabricated.results.inputs("figures")]
    assert figures.count("epochs.jsonl") == 5 * 2


def test_a_line_without_a_quantity_is_refused(world: World) -> None:
    run = world.results.runs("sft")[0]
    path = world.results.training(run) / "epochs.jsonl"
    write_jsonl(path, [{"epoch": 0, "loss_correct": 1.0}])
    with pytest.raises(UserError, match=r"epochs\.jsonl: not loss and accuracy by epoch; train"):
        world.results.epochs(run)
    path.unlink()
    with pytest.raises(UserError, match=r"epochs\.jsonl: no such file"):
        world.results.epochs(run)


# --- the figure -----------------------------------------------------------------------------------


def test_a_panel_for_each_quantity_with_a_line_and_a_band_for_each_arm(fabricated: World) -> None:
    with mpl.rc_context(STYLE):
        figure = draw_epochs(fabricated.results)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "Held-out right trajectories", "Held-out wrong trajectories", "Held-out questions",
    ]  # fmt: skip
    right, wrong, accuracy = figure.axes
    arms = list(fabricated.results.experiment.arms)
    assert len(right.lines) == len(right.collections) == len(arms)
    glow = arms.index("glow")
    assert list(right.lines[glow].get_xdata()) == [1, 2, 3]
    assert list(accuracy.lines[glow].get_xdata()) == list(EPOCHS)
    assert np.allclose(right.lines[glow].get_ydata(), [0.7, 0.6, 0.7])
    assert np.allclose(wrong.lines[glow].get_ydata(), [1.4, 1.5, 1.7])
    assert (right.get_xlabel(), accuracy.get_xlabel()) == ("epoch (before training: 1.000)", "epoch")
    assert np.allclose(accuracy.lines[glow].get_ydata(), [0, 50, 100, 50])
    assert same_color(right.lines[glow].get_color(), arm_colours(fabricated.results.experiment)["glow"])
    # 0.65 and 0.75: a standard error of 0.05 to either side.
    edge = right.collections[glow].get_paths()[0].vertices
    at_end = edge[edge[:, 0] == 3][:, 1]
    assert (min(at_end), max(at_end)) == (approx(0.65), approx(0.75))


def test_one_seed_has_no_band(tmp_path: Path) -> None:
    with mpl.rc_context(STYLE):
        figure = draw_epochs(World(tmp_path, document(seeds=[0])).write().results)
    assert not any(axes.collections for axes in figure.axes)
    assert all(math.isfinite(value) for axes in figure.axes for value in axes.lines[0].get_ydata())
