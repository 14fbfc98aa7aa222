import math
from pathlib import Path

import numpy as np
import pytest
from fabricated import World, document
from pytest import approx
from scipy import stats
from test_tables import Sampled, frame, shown

from glow.reporting import measures
from glow.reporting.cells import latex
from glow.reporting.inference_tables import comparisons_table, contrasts_table, variance_table
from glow.reporting.results import Run
from glow.reporting.scopes import OOD
from glow.reporting.tables import write_tables

STATED = [
    {"arm": "glow", "over": "all", "scope": "ood"},
    {"arm": "positive", "over": "base", "scope": "in_domain"},
    {"arm": "negative", "over": "positive", "scope": "ood"},
    {"arm": "glow_released", "over": "positive", "scope": "ood"},
]


@pytest.fixture(scope="module")
def stated(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Eight seeds, four contrasts, a margin."""
    content = document(seeds=list(range(8)), margin=5.0, contrasts=STATED, grpo=None)
    return World(tmp_path_factory.mktemp("stated"), content).write()


# --- comparisons ----------------------------------------------------------------------------------


def test_comparisons_say_what_they_would_detect(fabricated: World, many: World) -> None:
    few, eight = (
        frame(comparisons_table(world.results), "arm", "over").loc[("negative", "OOD mean")]
        for world in (fabricated, many)
    )
    # Against positive, negative gains question 4 of lists in even seeds; in odd ones it loses question 5 and
    # gains question 6 of choice.
    lists, choice = np.zeros((8, 10)), np.zeros((8, 10))
    lists[::2, 3], lists[1::2, 4], choice[1::2, 5] = 100, -100, 100
    rest, questions = 0.0, 0.0
    for values in (lists, choice):
        left = values - values.mean(0) - values.mean(1)[:, None] + values.mean()
        rest += (left**2).sum() / 7 / 9 / 10 / 4  # of the mean of one seed over two suites
        questions += values.mean(0).var(ddof=1) / 10 / 4
    seeds = ((lists.mean(1) + choice.mean(1)) / 2).var(ddof=1)
    error = math.sqrt(max(0, seeds - rest) / 8 + questions)
    # Between a normal one and a t with the nine degrees of one suite.
    t9 = stats.t.ppf(0.975, 9) + stats.t.ppf(0.8, 9)
    assert (1.959964 + 0.841621) * error < eight["detectable"] < 1.1 * t9 * error
    assert few["detectable"] > 3 * eight["detectable"]
    assert eight["seeds_needed"] == ">1,000"
    assert "with a chance of 80 %" in comparisons_table(many.results).caption.read


def test_a_difference_that_is_found_needs_no_seeds(many: World) -> None:
    rows = shown_by_two(comparisons_table(many.results))
    assert rows["base", "ID mean"]["Difference"] == "-60.00*"
    assert rows["base", "ID mean"]["Seeds needed"] == "—"
    assert rows["base", "ID mean"]["Detectable"] != "—"
    assert "Equivalent" not in "".join(rows["base", "ID mean"])


def shown_by_two(table: object) -> dict[tuple[str, str], dict[str, str]]:
    """First two cells of a row -> heading -> text."""
    headings, *rows = [[cell.replace("\N{MINUS SIGN}", "-") for cell in line] for line in table.lines]
    return {(row[0], row[1]): dict(zip(headings, row, strict=True)) for row in rows}


def test_one_seed_detects_nothing_that_is_known(tmp_path: Path) -> None:
    table = comparisons_table(World(tmp_path, document(seeds=[0], margin=50.0)).write().results)
    glow = shown_by_two(table)["glow", "OOD mean"]
    assert glow["Difference"] == "+15.00"
    assert {glow["Detectable"], glow["Seeds needed"], glow["Equivalent within ±50 (p)"]} == {"—"}
    assert "One seed decides nothing" in table.caption.read
    # p-values over questions alone would look like those of a test: the CSV has them
    assert (glow["p"], glow["p, Holm"]) == ("—", "—")
    row = frame(table, "arm", "over").loc[("glow", "OOD mean")]
    assert 0 < row["p"] <= row["p_holm"] <= 1
    assert "With one seed nothing is tested" in table.caption.read


def test_equivalence(stated: World) -> None:
    table = comparisons_table(stated.results)
    rows = frame(table, "arm", "over")
    # negative, OOD: error 4.2 and +2.5 points; the margin of 5 is not shown
    negative = rows.loc[("negative", "OOD mean")]
    found = measures.gains(stated.results)["arithmetic", "negative", OOD]
    variance = found.variance
    assert variance is not None
    freedom, error = float(variance.freedom), found.difference.error
    assert negative["equivalent"] == "no"
    assert negative["equivalent_p"] == approx(stats.t.sf((5 - 2.5) / error, freedom))
    assert negative["equivalent_high"] == approx(2.5 + stats.t.ppf(0.95, freedom) * error)
    assert negative["equivalent_low"] == approx(2.5 - stats.t.ppf(0.95, freedom) * error)
    assert shown_by_two(table)["negative", "OOD mean"]["Equivalent within ±5 (p)"].startswith("no (0.")
    assert "lies within ±5 points" in table.caption.read


def test_what_lies_within_the_margin_is_equivalent(tmp_path: Path) -> None:
    class Alike(World):
        """negative differs from positive on one of 200 questions a suite, another one for each seed."""

        def correct(self, run: Run, suite: str) -> list[bool]:
            right = [place < 100 for place in range(200)]
            if run.name == "negative":
                right[100 + run.seed] = True
            return right

    content = document(seeds=list(range(8)), margin=2.0, grpo=None)
    rows = shown_by_two(comparisons_table(Alike(tmp_path, content).write().results))
    assert rows["negative", "OOD mean"]["Equivalent within ±2 (p)"] == "yes (<0.001)"
    assert rows["all", "OOD mean"]["Equivalent within ±2 (p)"] == "—"  # all answers alike: no error


# --- contrasts ------------------------------------------------------------------------------------


def test_contrasts_are_tested_in_their_order(stated: World) -> None:
    table = contrasts_table(stated.results)
    assert [row["decision"].text for row in table.rows] == [
        "rejected", "rejected", "not rejected", "not tested",
    ]  # fmt: skip
    rows = frame(table, "place")
    assert rows["difference_mean"].tolist() == [approx(12.5), approx(60), approx(2.5), approx(7.5)]
    assert rows["p"].tolist()[0] == approx(measures.contrasts(stated.results)[0].difference.p)
    assert rows["against"].tolist() == ["all", "base", "positive", "positive"]
    assert [row["difference"].marked for row in table.rows] == [True, True, False, False]
    assert latex(table).isascii()


def test_stated_differences_are_left_out_of_holms_family(stated: World, many: World) -> None:
    found, plain = measures.gains(stated.results), measures.gains(many.results)
    assert list(found) == list(plain)
    key = ("arithmetic", "negative", OOD)
    listed = measures.contrasts(stated.results)
    # The third of the list: the largest p-value up to it, which is its own.
    assert found[key].p_holm == listed[2].difference.p == plain[key].difference.p
    base = ("arithmetic", "base", "in_domain")
    assert found[base].stated
    assert found[base].difference.mean == approx(-60)  # stated in the other direction
    assert (found[base].sign, listed[1].sign) == (-1, 1)
    family = {name: comparison for name, comparison in found.items() if not comparison.stated}
    assert len(family) == 10 - 3
    least = min(family.values(), key=lambda comparison: comparison.difference.p)
    assert least.p_holm == approx(min(1, 7 * least.difference.p))
    rows = shown_by_two(comparisons_table(stated.results))
    assert rows["base", "ID mean"]["p, Holm"].endswith("‡")
    assert not rows["glow", "OOD mean"]["p, Holm"].endswith("‡")


def test_with_one_seed_nothing_is_tested(tmp_path: Path) -> None:
    results = World(tmp_path, document(seeds=[0], contrasts=STATED, grpo=None)).write().results
    assert {row["decision"].text for row in contrasts_table(results).rows} == {"not tested"}


def test_what_has_no_variance_is_not_rejected(tmp_path: Path) -> None:
    alike = [{"arm": "all", "over": "glow_released", "scope": "in_domain"}, STATED[0]]
    content = document(seeds=list(range(8)), contrasts=alike, grpo=None)
    table = contrasts_table(World(tmp_path, content).write().results)
    assert [row["decision"].text for row in table.rows] == ["not rejected", "not tested"]


def test_without_contrasts_there_is_no_such_table(world: World) -> None:
    assert measures.contrasts(world.results) == []
    write_tables(world.results.experiment, world.root)
    assert not (world.results.tables / "contrasts.csv").exists()


# --- variance -------------------------------------------------------------------------------------


def test_variance(fabricated: World) -> None:
    table = variance_table(fabricated.results)
    rows = frame(table, "over", "of")
    assert list(rows.index) == [
        (over, of) for over in ("ID mean", "OOD mean") for of in ("accuracy", "gain")
    ]  # fmt: skip
    gain = rows.loc[("OOD mean", "gain")]
    assert (gain["arms"], gain["n"], gain["questions"]) == (4, 2, 20)
    assert gain["from_seeds_variance"] < 0
    assert (gain["from_seeds_sd"], gain["from_seeds_share"]) == (0, 0)
    assert gain["from_questions_sd"] == approx(gain["from_questions_variance"] ** 0.5)
    total = gain["from_questions_variance"] + gain["from_rest_variance"]
    assert gain["from_questions_share"] == approx(100 * gain["from_questions_variance"] / total)
    texts = [row["from_seeds"].text for row in table.rows if row["of"].text == "gain"]
    assert texts == ["0.00 (0 %)", "0.00† (0 %)"]
    assert "Decoding" not in table.columns.values()
    assert "draw of answers (decoding) is part of the rest" in table.caption.read
    assert "The base model, the teacher and its trajectories are the same for all seeds" in table.caption.read


def test_several_samples_have_a_column_of_decoding(tmp_path: Path) -> None:
    world = Sampled(tmp_path, document(grpo=None, evaluation={"max_tokens": 64, "samples": 4})).write()
    table = variance_table(world.results)
    row = shown(table)["ID mean"]
    assert "Decoding" in row
    assert "several responses per question tell" in table.caption.read
    assert frame(table, "over", "of").loc[("ID mean", "gain"), "icc"] != approx(1)
