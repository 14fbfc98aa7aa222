"""The study's tables together: built once, written for people and programs, and read again by the report.

What each table holds is in `gates_table`, `accuracy_tables`, `inference_tables`, `entropy_tables`,
`grpo_table`, `steps_table`, `training_tables`, `epochs_table`, `suites_table`, `published_tables` and
`contamination_table`; the numbers come from `gates`, `measures`, `components`, `chance`, `losses`, `epochs`,
`grpo`, `steps`, `trajectories`, `counterparts` and `dynamics`, the captions from `captions`, the forms from
`cells`.
"""

from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from glow.config import Experiment
from glow.errors import UserError
from glow.files.atomic import atomic_path
from glow.files.jsonl import present_file, write_json
from glow.files.manifest import Manifest
from glow.reporting import archive, examples
from glow.reporting.accuracy_tables import chance_table, main_table, samples_table
from glow.reporting.agreement import refuse_other_settings
from glow.reporting.captions import table_names
from glow.reporting.cells import Table, csv, latex, markdown
from glow.reporting.contamination_table import contamination_table
from glow.reporting.entropy_tables import entropy_positions_table, entropy_table
from glow.reporting.epochs_table import epochs_table
from glow.reporting.gates_table import gate_lines, gates_table
from glow.reporting.grpo_table import grpo_table
from glow.reporting.inference_tables import comparisons_table, contrasts_table, variance_table
from glow.reporting.published_tables import published_cells_table, published_table
from glow.reporting.results import Results
from glow.reporting.steps import collect_chains
from glow.reporting.steps_table import steps_table
from glow.reporting.students.network import record_network
from glow.reporting.suites_table import suites_table
from glow.reporting.training_tables import data_table, gains_table, losses_table, weights_table

BUILDERS: dict[str, Callable[[Results], Table]] = {
    "gates": gates_table, "main": main_table, "contrasts": contrasts_table,
    "comparisons": comparisons_table, "chance": chance_table, "variance": variance_table,
    "published": published_table, "published_cells": published_cells_table, "grpo": grpo_table,
    "samples": samples_table, "steps": steps_table,
    "entropy": entropy_table, "entropy_positions": entropy_positions_table, "losses": losses_table,
    "epochs": epochs_table, "weights": weights_table, "gains": gains_table, "suites": suites_table,
    "data": data_table, "contamination": contamination_table,
}  # fmt: skip
TRACED = ("main", "grpo")
STORED = TypeAdapter(list[Table])
"""The form of R/tables/tables.json."""


def build_tables(results: Results) -> list[Table]:
    """Every table of the experiment, in the order of the report."""
    return [BUILDERS[name](results) for name in table_names(results.experiment)]


def write_tables(experiment: Experiment, root: Path, student: str = "") -> None:
    """Write R/tables: <table>.{csv,md,tex}, tables.json, examples.json, questions.{parquet,json},
    trajectories.parquet, chains.parquet where there is a table of steps, sources.json, network.json where
    there are several students, and the manifest; print the gates.

    Args:
        experiment: the configuration, of one student.
        root: its results, R.
        student: its name, where there are several: the tables then go below R/students/<student>.

    Raises:
        UserError: a result that a cell needs is missing, or was made with other settings than those of the
            configuration; the message names the file.
    """
    manifest = Manifest("tables")
    results = Results(experiment, root, student)
    refuse_other_settings(results)
    frames = {
        results.questions_file: results.collect(),
        results.trajectories_file: results.collect_trajectories(),
    }
    if "steps" in table_names(experiment):
        frames[results.chains_file] = collect_chains(results)
    tables = build_tables(results)
    for table in tables:
        write_forms(table, results.tables)
    for file, frame in frames.items():
        with atomic_path(file) as partial:
            frame.to_parquet(partial, index=False)
    write_json(results.archive_file, archive.description(results, frames[results.questions_file]))
    write_json(results.tables_file, STORED.dump_python(tables, mode="json"))
    shown = examples.collect_examples(results)
    write_json(results.examples_file, examples.STORED.dump_python(shown, mode="json"))
    if student:
        record_network(results)
    sources = {table.name: table.sources for table in tables if table.name in TRACED}
    write_json(results.tables / "sources.json", sources)
    manifest.write(results.tables, results.settings, results.inputs("tables"), {"tables": len(tables)})
    names = ",".join(table.name for table in tables)
    print(f"{len(tables)} tables: {results.tables}/{{{names}}}.{{csv,md,tex}}")
    print("\n".join(gate_lines(_gates(results, tables))))


def print_failed_gates(experiment: Experiment, root: Path, student: str = "") -> None:
    """Print the gates that failed, or that all were passed, as the tables have them.

    Args:
        experiment: the configuration, of one student.
        root: its results, R, with R/tables.
        student: its name, where there are several: the tables are then below R/students/<student>.

    Raises:
        UserError: R/tables/tables.json is missing, or is not what this version of glow writes.
    """
    results = Results(experiment, root, student)
    print("\n".join(gate_lines(_gates(results, read_tables(results)), failed_alone=True)))


def read_tables(results: Results) -> list[Table]:
    """The tables as `write_tables` left them, without the sources of their cells.

    Raises:
        UserError: R/tables/tables.json is missing, or is not what this version of glow writes.
    """
    path = present_file(results.tables_file, "`glow tables`")
    try:
        return STORED.validate_json(path.read_bytes())
    except ValidationError:
        raise _other_version(path) from None


def _gates(results: Results, tables: list[Table]) -> Table:
    for table in tables:
        if table.name == "gates":
            return table
    raise _other_version(results.tables_file)


def _other_version(path: Path) -> UserError:
    return UserError(f"{path}: not the tables of this version of glow; run `glow tables` again")


def write_forms(table: Table, folder: Path) -> None:
    """Write a table as <table>.csv, .md and .tex in a folder."""
    stem = folder / table.name
    _write_text(stem.with_suffix(".csv"), csv(table))
    _write_text(stem.with_suffix(".md"), markdown(table))
    _write_text(stem.with_suffix(".tex"), latex(table))


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
