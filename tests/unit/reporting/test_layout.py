"""How tables stand on the page: no column is lost, no panel is too wide."""

from dataclasses import replace

from fabricated import World, document
from hypothesis import given
from hypothesis import strategies as st
from pytest import fixture
from test_inference_tables import STATED

from glow.reporting.captions import Caption
from glow.reporting.cells import Table, text_cell
from glow.reporting.layout import GAP, WIDEST, is_long, is_prose, is_short, is_stacked, is_wrapped, panels
from glow.reporting.tables import read_tables, write_tables


def table(widths: list[int], rows: int = 2, name: str = "made", names: int = 1) -> Table:
    """A table whose columns are so wide; the first ones name the rows."""
    keys = {f"c{place}": "x" * width for place, width in enumerate(widths)}
    made = [{key: text_cell("y" * (len(heading) // 2)) for key, heading in keys.items()} for _ in range(rows)]
    caption = Caption("Title", "Shows.", "unit.", "n.", "Read.")
    return Table(name, caption, keys, made, frozenset(list(keys)[:names]))


def test_a_narrow_table_is_one_panel() -> None:
    assert panels(table([10, 20, 30])) == [["c0", "c1", "c2"]]


def test_a_wide_table_is_broken_evenly_and_names_its_rows_again() -> None:
    # 20 for the name leaves 98, and four columns take 40 + 3 each: two by two
    assert panels(table([17, 40, 40, 40, 40])) == [["c0", "c1", "c2"], ["c0", "c3", "c4"]]


def test_a_column_that_is_wider_than_the_page_has_a_panel_of_its_own() -> None:
    assert panels(table([10, 200, 10])) == [["c0", "c1"], ["c0", "c2"]]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=25), st.integers(1, 3))
def test_no_column_is_lost_or_shown_twice_and_no_panel_is_too_wide(widths: list[int], names: int) -> None:
    made = table([width % 12 for width in widths[:names]] + widths[names:], names=names)
    naming, keys = min(names, len(widths)), list(made.columns)
    found = panels(made)
    assert all(panel[:naming] == keys[:naming] for panel in found)
    assert [key for panel in found for key in panel[naming:]] == keys[naming:]
    for panel in found:
        assert sum(len(made.columns[key]) + GAP for key in panel) <= WIDEST


@fixture(scope="module")
def tables(tmp_path_factory: object) -> dict[str, Table]:
    evaluation = {"max_tokens": 64, "samples": 1}
    content = document(
        seeds=list(range(8)), margin=5.0, contrasts=STATED, evaluation=evaluation,
        reported="config/reported.yaml",
    )  # fmt: skip
    results = World(tmp_path_factory.mktemp("layout"), content).write().results
    write_tables(results.experiment, results.root)
    return {table.name: table for table in read_tables(results)}


def test_no_table_of_a_study_is_too_wide(tables: dict[str, Table]) -> None:
    for own in tables.values():
        for panel in panels(own):
            cells = {key: [row[key] for row in own.rows] for key in panel}
            widths = [
                max(
                    *map(len, own.shown[key].split()),
                    *(12 if is_wrapped(own, key, cell) else len(cell.text) for cell in cells[key]),
                )
                for key in panel
            ]
            assert sum(widths) + GAP * len(panel) <= WIDEST, own.name


def test_what_is_published_of_an_arm_is_broken_into_lines_and_not_into_panels(
    tables: dict[str, Table],
) -> None:
    own = tables["published_cells"]
    signs = [row["gain_ood"] for row in own.rows if "15.81 (other model, " in row["gain_ood"].text]
    assert signs
    assert all(is_wrapped(own, "gain_ood", cell) for cell in signs)
    assert len(panels(own)) == 1


def test_only_long_texts_get_a_wide_column() -> None:
    own = table([10, 20])
    prose, words = (text_cell(length * "y") for length in (121, 120))
    assert (is_prose(own, "c0", prose), is_prose(own, "c0", words)) == (True, False)
    assert not is_prose(own, "c1", prose)  # a column of numbers is not broken into lines


def test_the_main_table_is_broken_between_means_and_suites(tables: dict[str, Table]) -> None:
    main = tables["main"]
    wide = replace(
        main, columns={**main.columns, **{f"suite_{place}": "a name of a suite" for place in "ab"}}
    )
    rows = [row | {f"suite_{place}": text_cell("100.0 ± 100.0") for place in "ab"} for row in wide.rows]
    first, second = panels(replace(wide, rows=rows))
    assert not any(key.startswith("suite_") for key in first)
    assert second[0] == "arm"
    assert all(key.startswith("suite_") for key in second[1:])


def test_published_figures_stand_in_one_panel_beside_ours(tables: dict[str, Table]) -> None:
    assert panels(tables["published"]) == [list(tables["published"].shown)]


def test_contrasts_are_named_in_every_panel(tables: dict[str, Table]) -> None:
    for panel in panels(tables["contrasts"]):
        assert panel[:4] == ["place", "arm", "against", "over"]


def test_short_tables_are_stacked_on_a_narrow_screen_and_long_ones_folded() -> None:
    assert [is_stacked(table([5], rows)) for rows in (14, 15)] == [True, False]
    assert [is_short(table([5], rows)) for rows in (14, 15)] == [True, False]
    for name in ("comparisons", "published"):  # their differences are cut off otherwise
        wide = replace(table([5], 24), name=name)
        assert (is_stacked(wide), is_short(wide)) == (True, False)
    assert [is_long(table([5], rows)) for rows in (24, 25)] == [False, True]
