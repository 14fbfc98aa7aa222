"""Stage: the tables and the figure over several worlds, from the results of finished studies."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from glow.files.atomic import atomic_path
from glow.files.frozen import frozen_file
from glow.files.manifest import Manifest
from glow.reporting.cells import Table, markdown
from glow.reporting.figures import STYLE, save
from glow.reporting.forest_figure import draw_forest
from glow.reporting.pooled_tables import pooled_tables
from glow.reporting.tables import write_forms
from glow.reporting.worlds import Study, World, design, read_worlds

FIGURE = "pooled_contrasts"


def write_pool(studies: Sequence[Study], output: Path, student: str = "") -> None:
    """Write <table>.{csv,md,tex}, pooled_contrasts.{png,svg}, pooled.md with all of them, and the manifest.

    The figure is of the contrasts that the configuration states; without any there is none.

    Args:
        studies: the configuration of each world, of one student, and its results.
        output: the folder.
        student: its name, where there are several.

    Raises:
        UserError: the studies cannot be pooled (`worlds.read_worlds`).
    """
    manifest = Manifest("pool")
    worlds = read_worlds(studies, student)
    tables = pooled_tables(worlds)
    for table in tables:
        write_forms(table, output)
    has_figure = bool(worlds[0].results.experiment.contrasts)
    if has_figure:
        with mpl.rc_context(STYLE):
            figure = draw_forest(worlds)
            save(figure, output / FIGURE)
            plt.close(figure)
    with atomic_path(output / "pooled.md") as partial:
        partial.write_text(_page(worlds, tables, has_figure), encoding="utf-8")
    inputs = [file for world in worlds for file in _read(world)]
    facts = {"worlds": {world.label: str(world.results.root) for world in worlds}, "tables": len(tables)}
    manifest.write(output, design(worlds[0].results.experiment), inputs, facts)
    print(f"{len(tables)} tables over {len(worlds)} worlds, all of them in {output / 'pooled.md'}")


def _read(world: World) -> list[Path]:
    results = world.results
    return [frozen_file(results.root), results.questions_file, results.tables_file]


def _page(worlds: Sequence[World], tables: Sequence[Table], has_figure: bool) -> str:
    studies = "\n".join(f"- {world.label}: `{world.results.root}`" for world in worlds)
    parts = [f"# {len(worlds)} worlds\n\n{studies}\n"]
    if has_figure:
        parts.append(f"![Each contrast in every world, and over worlds]({FIGURE}.svg)\n")
    return "\n".join([*parts, *map(markdown, tables)])
