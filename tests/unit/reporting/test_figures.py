from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from fabricated import World, document
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from glow import cli
from glow.experiment import load
from glow.reporting.figures import (
    DPI,
    DRAWERS,
    STYLE,
    draw_entropy,
    draw_entropy_positions,
    draw_loss_dynamics,
    draw_main,
    draw_sft_curves,
    draw_suites,
    write_figures,
)
from glow.reporting.findings import find
from glow.reporting.palette import arm_colours
from glow.reporting.results import Results, Run
from glow.reporting.tables import write_tables
from glow.reporting.training_tables import gains_table, weights_table
from glow.reporting.weights_figure import draw_weights


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with mpl.rc_context(STYLE):
        yield
    plt.close("all")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_files_are_the_same_twice(world: World) -> None:
    experiment = world.results.experiment
    folder = world.results.figures
    write_tables(experiment, world.root)
    write_figures(experiment, world.root)
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    names = set(DRAWERS) - {"pass_at_k"}  # one sample a question
    assert set(first) == {f"{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    write_figures(experiment, world.root)
    assert first == {name: (folder / name).read_bytes() for name in first}
    assert all(content.startswith(b"\x89PNG") for name, content in first.items() if name.endswith("png"))
    assert plt.imread(folder / "main.png").shape[1] == round(2 * 4.6 * DPI)
    drawn = first["suites.svg"].decode()
    assert "<dc:date>" not in drawn
    assert 'href="http' not in drawn


def test_main_shows_means_and_seeds(fabricated: World) -> None:
    figure = draw_main(fabricated.results)
    left, right = figure.axes
    assert (left.get_title("left"), right.get_title("left")) == ("In-domain", "Out of domain")
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "base", "positive", "negative", "all", "glow", "glow_released",
    ]  # fmt: skip
    # OOD means by hand: base 45; positive 40, 50; negative 45, 50; all 45, 55; glow 55, 70; released 50, 55
    assert [text.get_text() for text in right.texts] == ["45.0", "45.0", "47.5", "50.0", "62.5", "52.5"]
    dots = np.concatenate(
        [points.get_offsets().data for points in right.collections if len(points.get_offsets())]
    )
    assert {40.0, 50.0, 55.0, 70.0} <= {round(float(x), 6) for x, _ in dots}


def test_main_marks_chance_where_it_is_near_and_says_it(fabricated: World) -> None:
    left, right = draw_main(fabricated.results).axes
    assert right.get_xlabel() == "accuracy, % (chance: 45.0)"
    assert left.get_xlabel() == "accuracy, % (chance: 0.0)"  # the base has 10
    dotted = [
        [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] for axes in (left, right)
    ]
    assert dotted == [[0], [pytest.approx(45)]]


def test_a_chance_far_from_all_marks_does_not_stretch_the_axis(tmp_path: Path) -> None:
    class Able(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            return [place < 85 + run.seed for place in range(100)]

    left, _ = draw_main(Able(tmp_path).write().results).axes
    assert left.get_xlabel() == "accuracy, % (chance: 0.0)"
    assert not [line for line in left.lines if line.get_linestyle() == ":"]
    assert left.get_xlim()[0] > 50


def test_without_an_in_domain_suite_there_is_one_panel(tmp_path: Path) -> None:
    suites = {"lists": {"families": ["sorting"]}}
    figure = draw_main(World(tmp_path, document(suites=suites)).write().results)
    assert [axes.get_title("left") for axes in figure.axes] == ["Out of domain"]


def bars(figure: Figure) -> list[LineCollection]:
    return [
        bar
        for axes in figure.axes
        for bar in axes.collections
        if isinstance(bar, LineCollection) and bar.get_zorder() == 2
    ]


def test_bars_are_solid_over_seeds_and_dotted_over_questions_alone(tmp_path: Path, fabricated: World) -> None:
    both = bars(draw_main(fabricated.results))
    assert len(both) == 12
    assert all(bar.get_linestyle()[0][1] is None for bar in both)
    alone = bars(draw_main(World(tmp_path, document(seeds=[0])).write().results))
    assert alone
    assert all(bar.get_linestyle()[0][1] is not None for bar in alone)


def test_suites_put_the_in_domain_one_first(fabricated: World) -> None:
    axes = draw_suites(fabricated.results).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["arithmetic", "lists", "choice"]
    # base, then positive 70, 40, 50
    assert [text.get_text() for text in axes.texts[:6]] == ["10.0", "40.0", "50.0", "70.0", "40.0", "50.0"]


def test_loss_lines(fabricated: World) -> None:
    figure = draw_loss_dynamics(fabricated.results)
    assert [axes.get_title("left") for axes in figure.axes] == ["all", "glow", "glow_released"]
    thick = [line.get_ydata() for line in figure.axes[0].lines if line.get_linewidth() > 2]
    assert np.allclose(thick, [[1.0, 0.7, 0.5], [1.5, 1.35, 1.25]])


def test_weights_mark_the_bound_that_is_near(fabricated: World) -> None:
    free, clamped, *gains = draw_weights(fabricated.results).axes
    assert not free.lines
    assert [line.get_ydata()[0] for line in clamped.lines] == [0.5]
    assert [line.get_ydata()[0] for axes in gains for line in axes.lines] == [0] * 4


def medians(axes: Axes) -> list[list[float]]:
    """Of right and of wrong trajectories, by epoch."""
    drawn = [points for points in axes.collections if isinstance(points, PathCollection)]
    return [points.get_offsets().data[:, 1].tolist() for points in drawn]


def test_gains_stand_below_weights_as_they_are_and_relative_to_the_trend(fabricated: World) -> None:
    """Two steps of two samples an epoch: the trend is each step's mean, so verdicts have the same."""
    weights, raw, relative = draw_weights(fabricated.results).axes[::2]
    assert np.allclose(medians(weights), [[0.2, 0.25], [0.3, 0.35]])
    assert np.allclose(medians(raw), [[0.3, 0.2], [0.15, 0.1]])
    assert np.allclose(medians(relative), [[0, 0], [0, 0]])
    assert raw.get_ylim() == relative.get_ylim()
    assert (raw.get_ylabel(), relative.get_ylabel()) == ("gain, nats per token", "relative gain")


def test_weights_of_a_single_epoch_are_none(fabricated: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Results.history
    monkeypatch.setattr(Results, "history", lambda *asked: whole(*asked).query("epoch == 1"))
    shown = draw_weights(fabricated.results).axes
    assert [axes.get_title("left") for axes in shown[:2]] == ["glow", "glow_released"]
    assert {text.get_text() for axes in shown for text in axes.texts} == {"one epoch: no weights yet"}


def test_controls_that_replay_weights_have_panels_of_their_own(tmp_path: Path) -> None:
    objectives = {"plain": {"objective": "plain"}, "glow": {"objective": "glow"},
                  "permuted": {"objective": "glow_permuted"}, "mean": {"objective": "glow_mean"}}  # fmt: skip
    trained = {"positive": "plain", "glow": "glow", "all": "permuted", "glow_released": "mean"}
    arms = {name: {"trajectories": "all", "objective": objective} for name, objective in trained.items()}
    results = World(tmp_path, document(objectives=objectives, arms=arms, grpo=None)).write().results
    titles = [axes.get_title("left") for axes in draw_weights(results).axes[:3]]
    assert titles == ["glow", "all", "glow_released"]
    for table in (weights_table(results), gains_table(results)):
        assert list(dict.fromkeys(row["arm"].text for row in table.rows)) == titles
    # What is said of weights is of those that follow from gains.
    said = [finding.headline for finding in find(results) if "weights" in finding.headline]
    assert said == ["GLOW's weights (glow) differ between samples"]


def test_entropy_change(fabricated: World) -> None:
    # 0.3 / 0.2 and 0.5 / 0.4: the geometric mean of 1.5 and 1.25 is 1.3693
    assert "+36.9" in texts(draw_entropy(fabricated.results))


def test_entropy_is_shown_by_scope_with_ends_and_of_chains(fabricated: World) -> None:
    titles = [axes.get_title("left") for axes in draw_entropy(fabricated.results).axes]
    assert titles[::2] == [
        "In-domain: all responses, ends included", "Out of domain: all responses, ends included",
        "In-domain: chains, without ends", "Out of domain: chains, without ends",
    ]  # fmt: skip


def test_entropy_by_position_has_a_line_for_every_arm(tmp_path: Path) -> None:
    class Rising(World):
        def parts(self, run: Run, question: int) -> dict:
            return {"entropy_tenths": [0.3 * tenth for tenth in range(10)], "entropy_end": 9.0}

    (axes,) = draw_entropy_positions(Rising(tmp_path).write().results).axes
    assert len(axes.lines) == 6
    assert np.allclose(axes.lines[2].get_ydata(), [0.1 * tenth for tenth in range(10)])
    assert list(axes.lines[2].get_xdata()) == list(range(1, 11))


def test_losses_of_chains_are_dashed_where_not_all_are_chains(tmp_path: Path, fabricated: World) -> None:
    class Bare(World):
        def trajectories(self, domain: str) -> list[dict]:
            bare = {"response": r"\boxed{1}", "extracted": "1"}
            return [
                row | (bare if row["trajectory_id"] == "t-2" else {}) for row in super().trajectories(domain)
            ]

    dashed = [line.get_ydata() for line in draw_loss_dynamics(Bare(tmp_path).write().results).axes[0].lines
              if line.get_linestyle() == "--"]  # fmt: skip
    assert np.allclose(dashed, [[1.0, 0.7, 0.5], [1.5, 1.3, 1.1]])  # right, and t-3 alone
    assert not any(
        line.get_linestyle() == "--" for line in draw_loss_dynamics(fabricated.results).axes[0].lines
    )


def test_entropy_that_was_not_scored_is_said(tmp_path: Path) -> None:
    class Silent(World):
        def entropy(self, run: object) -> None:
            return None

    results = Silent(tmp_path).write().results
    assert {"no policy entropy was scored", "no entropy of chains was archived"} <= set(
        texts(draw_entropy(results))
    )
    assert texts(draw_entropy_positions(results)) == ["no entropy of chains was archived"]


def test_two_domains_are_two_rows(tmp_path: Path) -> None:
    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    content = document(domains={"arithmetic": problems, "other": problems}, seeds=[0])
    results = World(tmp_path, content).write().results
    for name, panels in {
        "response_types": 6,
        "main": 4,
        "loss_dynamics": 6,
        "epochs": 6,
        "weights": 12,
        "grpo_curves": 12,
        "sft_curves": 2,
    }.items():
        assert len(DRAWERS[name](results).axes) == panels, name
    assert "no in-domain suite" in texts(draw_main(results))  # of the domain "other"


def test_colours_are_stable_and_distinct() -> None:
    arms = {name: {"trajectories": "all", "objective": "plain"} for name in ("glow", "mine", "yours")}
    colours = arm_colours(load(document(arms=arms), "test"))
    assert list(colours) == ["base", "glow", "mine", "yours"]
    assert colours["glow"] == "#6B4700"
    assert len(set(colours.values())) == 4


def test_figures_without_tables_or_of_other_results_end_in_exit_code_2(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["figures", str(world.root / "experiment.json"), "--results", str(world.root)]
    assert cli.main(command) == 2
    missing = world.results.tables / "manifest.json"
    assert f"{missing}: no such file; run `glow tables`, or the whole experiment" in capsys.readouterr().err
    write_tables(world.results.experiment, world.root)
    changed = world.root / "evaluation/sft/arithmetic/glow/seed-0/scores.json"
    changed.write_text(changed.read_text() + " ")
    assert cli.main(command) == 2
    said = f"{world.results.tables}: made before {changed} changed; run `glow tables` on these results again"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("draw", "first"), [(draw_sft_curves, 1), (draw_entropy_positions, 0)])
def test_every_second_arm_is_dashed_in_figures_of_lines(fabricated: World, draw, first: int) -> None:
    figure = draw(fabricated.results)
    colours = list(arm_colours(fabricated.results.experiment).values())
    expected = {colour: "--" if place % 2 else "-" for place, colour in enumerate(colours)}
    strong = [line for line in figure.axes[0].lines if line.get_linewidth() > 1]
    assert {line.get_color(): line.get_linestyle() for line in strong} == {
        colour: expected[colour] for colour in colours[first:]
    }
    handles = figure.legends[0].get_lines()
    assert [line.get_linestyle() for line in handles] == [expected[colour] for colour in colours[first:]]
