"""pool: the tables and the figure over worlds as files, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fabricated import document
from pools import STATED, Pool, write_pools
from pytest import approx

from glow import cli
from glow.reporting.captions import Caption
from glow.reporting.cells import MINUS, Table, text_cell
from glow.reporting.figures import STYLE
from glow.reporting.forest_figure import draw_forest
from glow.reporting.pooled_tables import comparisons_table, grpo_table, pooled_tables
from glow.reporting.results import Results
from glow.reporting.tables import STORED, read_tables
from glow.reporting.worlds import read_worlds


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> list[Pool]:
    """Three finished worlds; tests must not change them."""
    return write_pools(tmp_path_factory.mktemp("pools"))


def studies(pools: list[Pool]) -> list[tuple]:
    return [(pool.results.experiment, pool.root) for pool in pools]


def copied(own: Pool, folder: Path) -> Results:
    """The results of a world in a folder where a test may change them."""
    shutil.copytree(own.root, root := folder / own.root.name)
    return Results(own.results.experiment, root)


def pool(output: Path, *roots: Path) -> int:
    return cli.main(["pool", *map(str, roots), "--output", str(output)])


def shown(table: Table) -> list[dict[str, str]]:
    headings, *rows = [[cell.replace(MINUS, "-") for cell in line] for line in table.lines]
    return [dict(zip(headings, row, strict=True)) for row in rows]


# --- files ----------------------------------------------------------------------------------------


def test_the_command_writes_every_table_in_three_forms_the_figure_and_a_page(
    pools: list[Pool], tmp_path: Path
) -> None:
    output = tmp_path / "pooled"
    assert pool(output, *(own.root for own in pools)) == 0
    names = [table.name for table in pooled_tables(read_worlds(studies(pools)))]
    assert names[:4] == ["pooled_contrasts", "pooled_accuracy", "pooled_comparisons", "pooled_grpo"]
    files = {f"{name}.{suffix}" for name in names for suffix in ("csv", "md", "tex")}
    files |= {"pooled_contrasts.svg", "pooled_contrasts.png", "pooled.md", "manifest.json"}
    assert {file.name for file in output.iterdir()} == files
    first = {file.name: file.read_bytes() for file in output.iterdir() if file.name != "manifest.json"}
    assert pool(output, *(own.root for own in pools)) == 0
    assert first == {name: (output / name).read_bytes() for name in first}
    glow = pd.read_csv(output / "pooled_contrasts.csv").iloc[0]
    assert (glow["world_1_mean"], glow["world_2_mean"], glow["world_3_mean"]) == approx((12.5, 17.5, 7.5))
    assert (glow["n"], glow["difference_mean"], glow["difference_se"]) == approx((3, 12.5, 5 / 3**0.5))
    page = (output / "pooled.md").read_text()
    assert [place for name in names if (place := page.find((output / f"{name}.md").read_text())) < 0] == []
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["facts"]["worlds"] == {f"World {n}": str(own.root) for n, own in enumerate(pools, 1)}
    assert str(pools[2].results.questions_file) in manifest["inputs"]
    assert manifest["settings"]["sft.epochs"] == 3


def test_cells_for_people(pools: list[Pool]) -> None:
    contrasts, accuracy, comparisons, grpo, *_ = pooled_tables(read_worlds(studies(pools)))
    glow, negative = shown(contrasts)
    assert (glow["Arm"], glow["Against"], glow["Over"]) == ("glow", "all", "OOD mean")
    # t with two degrees of freedom, 4.3027 * 5 / sqrt(3) = 12.42
    assert (glow["n"], glow["Difference"], glow["95 % t interval"]) == ("3", "+12.50*", "[+0.08, +24.92]")
    assert (glow["p"], glow["No difference"], glow["Worlds needed"]) == ("0.049", "rejected", "—")
    assert glow["World 2"].startswith("+17.5 [")
    assert (negative["Difference"], negative["No difference"]) == ("+2.50", "not rejected")
    assert {negative[key] for key in ("95 % t interval", "p", "Detectable", "Worlds needed")} == {"—"}
    levels = {(row["Arm"], row["Over"]): row for row in shown(accuracy)}
    assert levels["glow", "OOD mean"]["Over worlds"] == "62.5 [50.1, 74.9]"
    rows = {(row["Arm"], row["Over"]): row for row in shown(comparisons)}
    assert rows["negative", "OOD mean"]["p, Holm"].endswith("‡")
    assert rows["glow", "OOD mean"]["Difference"] == "+17.50"
    starts = {(row["Initialisation"], row["Over"]): row for row in shown(grpo)}
    assert starts["base", "ID mean"]["Difference"] == "+60.00*"
    assert starts["all initialisations", "ID mean"]["n"] == "3"


def test_captions_say_what_was_drawn_and_what_n_is(pools: list[Pool]) -> None:
    for table in pooled_tables(read_worlds(studies(pools)))[:4]:
        text = f"{table.caption.short} {table.caption.read}"
        assert "{" not in text and "  " not in text
        assert "3 worlds (World 1, World 2, World 3), in column n; 2 seeds in each." in text
        drawn = "the base model, the teacher, the problems, the trajectories and the questions of the suites"
        assert f"for which {drawn} were drawn anew" in text
    assert "with 2 degree(s) of freedom" in table.caption.read
    assert "over seeds and questions" in table.caption.read
    assert "positive, in several worlds" in comparisons_table(read_worlds(studies(pools))).caption.title


def test_without_contrasts_or_grpo_their_tables_are_left_out(tmp_path: Path) -> None:
    """A single seed, and a margin: what is within a world is over questions alone."""
    pools = write_pools(tmp_path, (4, 9), contrasts=[], grpo=None, seeds=[0], margin=5.0)
    tables = pooled_tables(read_worlds(studies(pools)))
    assert [table.name for table in tables][:2] == ["pooled_accuracy", "pooled_comparisons"]
    assert not {table.name for table in tables} & {"pooled_contrasts", "pooled_grpo"}
    row = next(row for row in shown(tables[1]) if row["Arm"] == "glow" and row["Over"] == "OOD mean")
    # 15 and 20 points: 17.5 ± 12.7062 * 2.5
    assert row["95 % t interval"] == "[-14.27, +49.27]"
    assert row["Equivalent within ±5 (p)"].startswith("no (")
    assert "Worlds needed for 5 points" in row
    read = tables[1].caption.read
    assert "over questions alone (one seed)" in read
    assert "‡" not in read
    assert "within ±5 points" in read
    assert pool(tmp_path / "pooled", *(own.root for own in pools)) == 0
    assert not list((tmp_path / "pooled").glob("*.svg"))


def test_one_initialisation_has_no_average(tmp_path: Path) -> None:
    grpo = document()["grpo"] | {"initialisations": ["base"], "seeds": [1]}
    pools = write_pools(tmp_path, (1, 2), grpo=grpo)
    table = grpo_table(read_worlds(studies(pools)))
    assert [row["Initialisation"] for row in shown(table)] == ["base", "base"]
    assert "1 seed in each" in table.caption.n
    assert "over questions alone (one seed)" in table.caption.read


def test_gates_of_all_worlds_stand_beside_each_other(pools: list[Pool], tmp_path: Path) -> None:
    columns, found = {"gate": "Gate", "passed": "Passed"}, []
    for one, passed in zip(pools, ("yes", "no"), strict=False):
        own = copied(one, tmp_path)
        rows = [{"gate": text_cell(gate), "passed": text_cell(passed)} for gate in ("steps", "teacher")]
        caption = Caption("Gates", "Shows.", "Read.", "none.", "none.")
        gates = Table("gates", caption, columns, rows, frozenset(columns))
        tables = [*(table for table in read_tables(own) if table.name != "gates"), gates]
        own.tables_file.write_text(json.dumps(STORED.dump_python(tables, mode="json")))
        found.append((own.experiment, own.root))
    *_, table = pooled_tables(read_worlds(found))
    assert (table.name, table.caption.title) == ("pooled_gates", "Gates, in several worlds")
    assert [list(row.values()) for row in shown(table)] == [
        ["World 1", "steps", "yes"],
        ["World 2", "steps", "no"],
        ["World 1", "teacher", "yes"],
        ["World 2", "teacher", "no"],
    ]


def test_the_figure_has_a_panel_for_each_contrast(pools: list[Pool]) -> None:
    with mpl.rc_context(STYLE):
        figure = draw_forest(read_worlds(studies(pools)))
    upper, lower = figure.axes
    assert upper.get_title("left") == "glow against all, OOD mean"
    assert lower.get_title("left") == "negative against positive, OOD mean"
    rows = [label.get_text() for label in upper.get_yticklabels()]
    assert rows == ["World 1", "World 2", "World 3", "Over worlds"]
    points = [
        float(np.asarray(line.get_xdata())[0]) for line in upper.lines if line.get_marker() in ("s", "D")
    ]
    assert points == approx([12.5, 17.5, 7.5, 12.5])
    bars = [float(x) for bar in upper.collections for x in bar.get_segments()[0][:, 0]]
    assert bars[-2:] == approx([0.079, 24.921], abs=1e-3)
    assert [text.get_text() for text in lower.texts][-1] == "+2.5"  # no interval, no bar
    assert len(lower.collections) == 3
    plt.close(figure)


# --- refusals -------------------------------------------------------------------------------------

Said = Callable[[], str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return lambda: capsys.readouterr().err


def test_one_world_is_no_several(pools: list[Pool], tmp_path: Path, said: Said) -> None:
    assert pool(tmp_path / "out", pools[0].root) == 2
    assert "give the results of two worlds or more" in said()


def test_the_same_world_twice_is_refused(pools: list[Pool], tmp_path: Path, said: Said) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(pools[0].root, copy)
    for other in (copy, pools[0].root):
        assert pool(tmp_path / "out", pools[0].root, pools[1].root, other) == 2
        assert f"{other}: the same world as {pools[0].root}; give studies of different worlds" in said()
    assert not (tmp_path / "out").exists()


def test_a_world_that_shares_its_base_is_refused(tmp_path: Path, said: Said) -> None:
    """Every seed is another by hand, but that of the student and of one suite."""
    content = document()
    for part in (content["teacher"]["pretrain"], content["domains"]["arithmetic"]["problems"]):
        part["seed"] = 5
    content["sampling"]["seed"] = content["suites"]["lists"]["seed"] = content["suites"]["choice"]["seed"] = 5
    one = Pool(tmp_path / "one", document()).write()
    other = Pool(tmp_path / "other", content).write()
    assert pool(tmp_path / "out", one.root, other.root) == 2
    expected = (
        f"{other.root}: not drawn anew whole: student.pretrain.seed and 1 more seed(s) as in {one.root}"
    )
    assert expected in said()


def test_another_design_is_refused_with_what_differs(pools: list[Pool], tmp_path: Path, said: Said) -> None:
    grouped = document()["suites"] | {"lists": {"families": ["sorting"], "group": "a"}}
    changes = [
        ("evaluation", {"max_tokens": 64, "temperature": 1.0}, "evaluation.temperature was 0.6, is 1.0"),
        ("contrasts", STATED[:1], "contrasts was"),
        ("grpo", {"steps": 20, "max_tokens": 64, "initialisations": ["base"]}, "grpo.initialisations was"),
        ("suites", grouped, "suites.lists.group was None, is 'a'"),
    ]
    for place, (key, value, difference) in enumerate(changes):
        content = document(**{"contrasts": STATED, "world": 7, key: value})
        other = Pool(tmp_path / str(place), content)
        other.write()
        assert pool(tmp_path / "out", pools[0].root, other.root) == 2
        error = said()
        assert f"{other.root}: another design than that of {pools[0].root}: " in error
        assert difference in error


def test_what_changes_no_number_and_the_seeds_of_training_may_differ(
    pools: list[Pool], tmp_path: Path
) -> None:
    sft = document()["sft"] | {"checkpoints": 9}
    (other,) = write_pools(tmp_path, (8,), seeds=[4, 5, 6], shards=3, sft=sft, name="elsewhere")
    worlds = read_worlds(studies([pools[0], other]))
    assert [world.label for world in worlds] == ["World 1", "World 8"]
    assert "2 to 3 seeds in each" in comparisons_table(worlds).caption.n


def test_worlds_without_numbers_go_by_their_folders(pools: list[Pool], tmp_path: Path) -> None:
    own = Pool(tmp_path / "by-hand", document(contrasts=STATED)).write()
    cli.main(["tables", str(own.root / "experiment.json"), "--results", str(own.root)])
    worlds = read_worlds(studies([pools[0], own]))
    assert [world.label for world in worlds] == ["world-1", "by-hand"]


def test_an_unfinished_study_is_refused(pools: list[Pool], tmp_path: Path, said: Said) -> None:
    untabled = Pool(tmp_path / "untabled", document(contrasts=STATED, world=5)).write()
    assert pool(tmp_path / "out", pools[0].root, untabled.root) == 2
    assert f"{untabled.results.tables / 'manifest.json'}: no such file; run `glow tables`" in said()
    assert pool(tmp_path / "out", pools[0].root, tmp_path / "nothing") == 2
    assert f"{tmp_path / 'nothing'}: no study was run here (experiment.json is missing)" in said()


def test_a_study_that_changed_since_its_tables_is_refused(
    pools: list[Pool], tmp_path: Path, said: Said
) -> None:
    other = copied(pools[1], tmp_path)
    scores = other.evaluation(other.runs("base")[0]) / "scores.json"
    scores.write_text(scores.read_text() + " ")
    assert pool(tmp_path / "out", pools[0].root, other.root) == 2
    assert f"made before {scores} changed" in said()
