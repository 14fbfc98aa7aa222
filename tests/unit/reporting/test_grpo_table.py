"""The table and the figure of GRPO."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from fabricated import World, document
from matplotlib.colors import same_color
from pytest import approx
from test_grpo_measures import Silent, of_some

from glow.reporting.captions import caption
from glow.reporting.cells import MINUS, Table, latex, markdown
from glow.reporting.figures import STYLE
from glow.reporting.grpo_figure import NEW_PROBLEMS, PANELS, draw_grpo_curves
from glow.reporting.grpo_table import POOLED, grpo_table
from glow.reporting.palette import arm_colours


def frame(table: Table) -> pd.DataFrame:
    return table.frame.set_index("initialisation")


def shown(table: Table) -> dict[str, dict[str, str]]:
    """Initialisation -> heading -> text, with plain minus signs."""
    headings, *rows = [[cell.replace(MINUS, "-") for cell in line] for line in table.lines]
    return {row[0]: dict(zip(headings, row, strict=True)) for row in rows}


def test_grpo_that_rose(many: World) -> None:
    rows = shown(grpo_table(many.results))
    assert rows["base"]["ID change"] == "+70.0 [+35.4, +104.6]*"
    assert rows["base"]["Rose"] == "yes"


def test_grpo(fabricated: World) -> None:
    rows = shown(grpo_table(fabricated.results))
    # one of ten right, by every seed: sqrt(0.1 * 0.9 / 9) = 10 %; eight of ten: sqrt(0.8 * 0.2 / 9) = 13.3 %
    assert rows["base"]["ID before"] == "10.0 ± 25.9"
    assert rows["base"]["ID after"] == "80.0 ± 30.2"
    assert rows["base"]["ID change"] == "+70.0 [+35.4, +104.6]"
    assert rows["base"]["Rose"] == "not shown"  # two seeds that tie
    assert rows["positive"]["ID change"] == "+25.0 [-38.5, +88.5]"
    assert rows["positive"]["Rose"] == "not shown"
    assert frame(grpo_table(fabricated.results)).loc["base", "reward_first_mean"] == approx(0.0725)
    # 0.0725 -> 0.3425, with 0.18 and 0.36 by seed
    assert rows["base"]["Reward rise"] == "+0.270 [-0.874, +1.414]"
    assert rows["base"]["Unanimous %, first tenth"] == "46.5 ± 63.5"
    assert rows["base"]["Unanimous %, all steps"] == "55.5 ± 63.5"
    assert rows["base"]["OOD problems"] == "20"
    assert "Steps with signal, %" not in rows["base"]
    assert "signal" not in markdown(grpo_table(fabricated.results))


def test_grpo_without_signal_is_marked(tmp_path: Path) -> None:
    table = grpo_table(Silent(tmp_path).write().results)
    signal = {name: row["Steps with signal, %"] for name, row in shown(table).items()}
    # Of 20 steps, 20 and 2: 100 % and 10 %, which differ by 90.
    assert signal == {
        "base": "100.0 ± 0.0", "positive": "100.0 ± 0.0", "negative": "100.0 ± 0.0",
        "all": "55.0 ± 571.8†", "glow": "60.0 ± 0.0", "glow_released": "100.0 ± 0.0",
        # by seed (4 x 100 + 100 + 60) / 6 and (4 x 100 + 10 + 60) / 6
        POOLED: "85.8 ± 95.3",
    }  # fmt: skip
    assert frame(table).loc["all", "signal_mean"] == approx(55)
    assert "† marks a start from which, in most steps of a run, GRPO had nothing to learn" in markdown(table)
    assert r"571.8$\dagger$" in latex(table)
    assert latex(table).isascii()
    own = [f"grpo/arithmetic/all/seed-{seed}/manifest.json" for seed in (0, 1)]
    assert table.sources["arithmetic/all"]["signal_mean"] == own


def test_the_last_row_averages_all_initialisations(fabricated: World, many: World) -> None:
    table = grpo_table(fabricated.results)
    assert [row["initialisation"].text for row in table.rows] == [*fabricated.results.initialisations, POOLED]
    pooled = frame(table).loc[POOLED]
    # right before: 1 + 6 + 5 + 6 + 7 + 6 and 1 + 8 + 5 + 8 + 9 + 8 of 60; 14 and 13 more after
    assert pooled["in_domain_before_mean"] == approx(100 * (31 + 39) / 2 / 60)
    assert pooled["in_domain_after_mean"] == approx(100 * (45 + 52) / 2 / 60)
    assert pooled["in_domain_change_mean"] == approx(100 * 13.5 / 60)
    assert (pooled["n"], pooled["in_domain_problems"], pooled["reward_rise_mean"]) == (2, 10, approx(0.27))
    assert f"Row {POOLED} averages them, each with the same weight" in table.caption.read
    rows = shown(grpo_table(many.results))
    assert (rows["positive"]["Rose"], rows[POOLED]["Rose"]) == ("not shown", "yes")
    assert rows[POOLED]["ID change"].endswith("]*")
    # four of five manifests of an evaluation before, and none twice: the base has no domain
    sources = table.sources[f"arithmetic/{POOLED}"]
    assert len(set(sources["in_domain_before_mean"])) == len(sources["in_domain_before_mean"]) == 12


def test_one_initialisation_has_no_average(tmp_path: Path) -> None:
    table = grpo_table(World(tmp_path, of_some(initialisations=["glow"], seeds=[0, 2])).write().results)
    assert list(frame(table).index) == ["glow"]
    assert frame(table).loc["glow", "n"] == 2
    assert POOLED not in table.caption.read
    assert "2 seeds (0, 2)" in table.caption.n
    before = table.sources["arithmetic/glow"]["in_domain_before_mean"]
    assert before == [f"evaluation/sft/arithmetic/glow/seed-{seed}/manifest.json" for seed in (0, 2)]


def test_domains_are_averaged_apart(tmp_path: Path) -> None:
    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    domains = {"arithmetic": problems, "other": problems}
    rows = grpo_table(World(tmp_path, document(domains=domains, seeds=[0])).write().results).rows
    assert [row["domain"].text for row in rows if row["initialisation"].text == POOLED] == list(domains)
    (other,) = (row for row in rows[7:] if row["initialisation"].text == POOLED)
    assert other["rose"].text == "—"  # no suite is in-domain for it


# --- the figure -----------------------------------------------------------------------------------


def test_the_figure_has_a_panel_a_quantity_and_a_band_where_there_are_seeds(fabricated: World) -> None:
    with mpl.rc_context(STYLE):
        figure = draw_grpo_curves(fabricated.results)
    reward, new, *others = figure.axes
    titles = [title for title, _ in PANELS.values()]
    assert [axes.get_title("left") for axes in figure.axes] == [titles[0], NEW_PROBLEMS, *titles[1:]]
    colours = arm_colours(fabricated.results.experiment)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(colours)
    for axes in (reward, *others):
        assert all(map(same_color, (line.get_color() for line in axes.lines), colours.values()))
        assert len(axes.collections) == len(colours)
    unanimous = others[0]
    # mean over seeds at step 1: (0.06 + 0.07) / 2; the band reaches to both
    assert reward.lines[0].get_ydata()[0] == approx(0.065)
    edges = reward.collections[0].get_paths()[0].vertices
    assert {round(float(y), 6) for x, y in edges if x == 1} == {0.06, 0.07}
    assert unanimous.lines[0].get_ydata()[0] == approx(0.46)
    # positive is right on 6 and 8 of ten problems, and after GRPO on 9 and 10
    assert list(new.lines[1].get_ydata()) == [approx(70), approx(95)]
    rings = [points.get_offsets().data.tolist() for points in new.collections]
    assert rings[2:4] == [[[0, 60], [0, 80]], [[1, 90], [1, 100]]]


@pytest.mark.parametrize("initialisations", [["glow", "base"], ["base", "glow"]])
def test_one_seed_of_some_models_is_a_line_without_a_band(tmp_path: Path, initialisations: list[str]) -> None:
    world = World(tmp_path, of_some(seeds=[1], initialisations=initialisations)).write()
    figure = draw_grpo_curves(world.results)
    for axes in figure.axes:
        assert len(axes.lines) == 2
        assert not axes.collections
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["base", "glow"]


def test_without_an_in_domain_suite_there_are_no_new_problems(tmp_path: Path) -> None:
    content = of_some() | {"suites": {"lists": {"families": ["sorting"]}}}
    new = draw_grpo_curves(World(tmp_path, content).write().results).axes[1]
    assert [text.get_text() for text in new.texts] == ["no in-domain suite"]


def test_captions_have_the_seeds_of_grpo(tmp_path: Path) -> None:
    experiment = World(tmp_path, of_some(seeds=[1])).results.experiment
    figure, table, main = (
        caption(kind, name, experiment)
        for kind, name in (("figures", "grpo_curves"), ("tables", "grpo"), ("tables", "main"))
    )
    assert figure.n == "1 seed (1) per line."
    assert "Lines are of one seed." in figure.shows
    assert "there is one seed" in table.read
    assert "3 seeds (0, 1, 2)" in main.n
    published = caption("tables", "published", experiment)
    assert published.n == "3 seeds (0, 1, 2) for ours."
    assert "Ours are over 3 seeds (0, 1, 2) (1 seed (1) for those after GRPO)." in published.read
    same = World(tmp_path, of_some(seeds=[2, 1, 0])).results.experiment
    assert "after GRPO" not in caption("tables", "published", same).read
    drawn = caption("figures", "grpo_curves", same)
    assert "bands reach from the lowest to the highest seed" in drawn.shows
