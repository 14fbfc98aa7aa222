"""The gates as a table, and as lines for a terminal."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from glow.reporting.captions import caption
from glow.reporting.cells import Cell, Table, change_cell, number, text_cell
from glow.reporting.gates import Gate, gates
from glow.reporting.results import Results

COLUMNS = {
    "domain": "Domain", "gate": "Gate", "asked": "What is measured", "threshold": "Threshold",
    "measured": "Measured", "passed": "Passed",
}  # fmt: skip
DIGITS = {"%": 1, "points": 1, "kinds": 0, "": 3}
PASSED, FAILED = "passed", "FAILED"
RED, PLAIN = "\x1b[31m", "\x1b[0m"


def gates_table(results: Results) -> Table:
    """One row a gate that can be measured; a failed one is marked as failed in all its cells."""
    rows = [_row(gate) for gate in gates(results)]
    words = frozenset(COLUMNS)
    return Table("gates", caption("tables", "gates", results.experiment), COLUMNS, rows, words)


def _row(gate: Gate) -> dict[str, Cell]:
    row = {
        "domain": text_cell(gate.domain), "gate": text_cell(gate.name), "asked": text_cell(gate.asked),
        "threshold": _threshold(gate), "measured": _measured(gate),
        "passed": text_cell(PASSED if gate.passed else FAILED),
    }  # fmt: skip
    return {key: replace(cell, failed=not gate.passed) for key, cell in row.items()}


def _threshold(gate: Gate) -> Cell:
    size = " ".join(filter(None, (f"{gate.threshold:g}", gate.unit)))
    whole = "interval " if gate.whole_interval else ""
    values: dict[str, float | int | str | None] = {
        "": gate.threshold,
        "_bound": gate.bound,
        "_unit": gate.unit,
    }
    return Cell(f"{whole}{gate.bound} {size}", values)


def _measured(gate: Gate) -> Cell:
    """The mean with its unit, 95 % interval and note; or its words (CSV: _mean, _se, _low, _high)."""
    digits, value = DIGITS[gate.unit], gate.measured
    if gate.said:
        return Cell(gate.said, change_cell(value, digits).values)
    signed = gate.unit in ("points", "")
    unit = "kind" if gate.unit == "kinds" and value.mean == 1 else gate.unit
    parts = [number(value.mean, digits, signed), unit]
    if value.bounds is not None:
        low, high = (number(bound, digits, signed) for bound in value.bounds)
        parts.append(f"[{low}, {high}]")
    if gate.note:
        parts.append(f"({gate.note})")
    return Cell(" ".join(filter(None, parts)), change_cell(value, digits).values)


# --- for a terminal -------------------------------------------------------------------------------


def gate_lines(table: Table, failed_alone: bool = False) -> list[str]:
    """One line a gate of the table, and one that counts; failed ones are red on a terminal without NO_COLOR.

    Args:
        failed_alone: leave out those that were passed.
    """
    rows = [row for row in table.rows if row["passed"].failed or not failed_alone]
    return [*(_line(row, "domain" in table.shown) for row in rows), _summary(table.rows)]


def _line(row: dict[str, Cell], names_domain: bool) -> str:
    domain = f"{row['domain'].text}: " if names_domain else ""
    line = (
        f"gate {row['passed'].text}: {domain}{row['gate'].text}: {row['measured'].text}; "
        f"asked: {row['threshold'].text}"
    )
    return f"{RED}{line}{PLAIN}" if row["passed"].failed and _has_colour() else line


def _summary(rows: Sequence[dict[str, Cell]]) -> str:
    failed = sum(row["passed"].failed for row in rows)
    if not rows:
        return "no acceptance gate applies to this experiment"
    return f"{failed} of {len(rows)} gates FAILED" if failed else f"all {len(rows)} gates were passed"


def _has_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
