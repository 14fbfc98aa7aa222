"""The study's tables together: built in the order of the report, written with the sources of their cells.

What each table holds is in `accuracy_tables`, `training_tables`, `published` and `contamination_table`; the
numbers come from `measures` and `dynamics`, the captions from `captions`, the forms from `cells`.
"""

from collections.abc import Callable
from pathlib import Path

from glow.config import Experiment
from glow.files.atomic import atomic_path
from glow.files.jsonl import write_json
from glow.files.manifest import Manifest
from glow.reporting.accuracy_tables import comparisons_table, grpo_table, main_table, samples_table
from glow.reporting.captions import table_names
from glow.reporting.cells import Table, latex, markdown
from glow.reporting.contamination_table import contamination_table
from glow.reporting.published import published_table
from glow.reporting.results import Results
from glow.reporting.training_tables import data_table, entropy_table, weights_table

BUILDERS: dict[str, Callable[[Results], Table]] = {
    "main": main_table, "comparisons": comparisons_table, "published": published_table, "grpo": grpo_table,
    "samples": samples_table, "entropy": entropy_table, "weights": weights_table, "data": data_table,
    "contamination": contamination_table,
}  # fmt: skip
TRACED = ("main", "grpo")


def build_tables(results: Results) -> list[Table]:
    """Every table of the experiment, in the order of the report."""
    return [BUILDERS[name](results) for name in table_names(results.experiment)]


def write_tables(experiment: Experiment, root: Path) -> None:
    """Write R/tables/<table>.{csv,md,tex}, sources.json and the manifest.

    Args:
        experiment: the configuration.
        root: its results, R.

    Raises:
        UserError: a result that a cell needs is missing; the message names the file.
    """
    manifest = Manifest("tables")
    results = Results(experiment, root)
    tables = build_tables(results)
    for table in tables:
        _write_text(
            results.tables / f"{table.name}.csv", table.frame.to_csv(index=False, lineterminator="\n")
        )
        _write_text(results.tables / f"{table.name}.md", markdown(table))
        _write_text(results.tables / f"{table.name}.tex", latex(table))
    sources = {table.name: table.sources for table in tables if table.name in TRACED}
    write_json(results.tables / "sources.json", sources)
    manifest.write(results.tables, {"name": experiment.name}, results.files_read(), {"tables": len(tables)})
    names = ",".join(table.name for table in tables)
    print(f"{len(tables)} tables: {results.tables}/{{{names}}}.{{csv,md,tex}}")


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
