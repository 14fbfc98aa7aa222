"""What a finished study was planned to cost beside what it took, stage by stage: for the report, and as CSV.

Of studies on CPUs alone: manifests do not say which GPU a job ran on. The plan is that of `glow plan`: once
from what is assumed before a run, and once with what the run found out of its own data, so that what the cost
model gets wrong stands apart from what nobody knew before.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from glow.errors import UserError
from glow.planning.constants import device
from glow.planning.fit import Machine
from glow.planning.kinds import question_of
from glow.planning.plan import Plan, Row, estimated
from glow.planning.printing import write_csv
from glow.reporting.results import Results, read_manifests
from glow.reporting.timings import duration, student_timings

_SUMMED = (
    "jobs",
    "planned_low_s",
    "planned_high_s",
    "planned_with_its_data_low_s",
    "planned_with_its_data_high_s",
    "measured_s",
    "measured_cpu_s",
)
"""The columns that have a sum over all stages."""

COLUMNS = ("stage", *_SUMMED, "planned_memory_mb", "measured_memory_mb")
"""Seconds are summed over jobs, memory is the largest job's; what is not known is left out. With its own data
there is a range too, where these do not say all that was assumed."""

HEADINGS = (
    "stage",
    "jobs",
    "planned before",
    "planned with its own data",
    "measured",
    "memory planned, MB",
    "memory measured, MB",
)

_FOLDERS = {"import_trajectories": "import"}
"""Rules whose benchmark files stand in a folder of another name."""


@dataclass(frozen=True)
class Comparison:
    """A plan beside what was measured.

    Attributes:
        rows: with the keys `COLUMNS`, the last one for all stages.
        note: why there are none, in words; else empty.
    """

    rows: list[dict[str, Any]]
    note: str = ""

    @property
    def shown(self) -> list[list[str]]:
        """The rows as people read them."""
        return [_shown(row) for row in self.rows]


def compared(results: Results) -> Comparison:
    """The plan of a study of one student beside what its jobs took."""
    devices = set(read_manifests(results.root)["device"].dropna()) - {"cpu", "none"}
    if devices:
        return Comparison([], "Jobs ran on GPUs, and nothing says which: `glow plan` compares none of them.")
    machine = Machine(cpu := device("cpu"), 1, cpu.per_node)
    try:
        before = estimated(question_of(results.experiment, machine))
        after = estimated(question_of(results.experiment, machine, results.root, results.student))
    except UserError as error:
        return Comparison([], f"It cannot be planned: {error}")
    return Comparison(_rows(before, after, student_timings(results.root, results.student)))


def _rows(before: Plan, after: Plan, measured: pd.DataFrame) -> list[dict[str, Any]]:
    took = measured.set_index("stage")
    rows = [
        _row(
            row,
            later,
            took.loc[folder] if (folder := _FOLDERS.get(row.rule, row.rule)) in took.index else None,
        )
        for row, later in zip(before.rows, after.rows, strict=True)
    ]
    sums = {key: round(sum(row[key] for row in rows if key in row), 1) for key in _SUMMED}
    return [*rows, {"stage": "all stages", **sums}]


def _row(row: Row, later: Row, took: Any) -> dict[str, Any]:
    planned: dict[str, Any] = {
        "stage": row.rule,
        "jobs": row.jobs,
        "planned_low_s": round(row.work.low, 1),
        "planned_high_s": round(row.work.high, 1),
        "planned_with_its_data_low_s": round(later.work.low, 1),
        "planned_with_its_data_high_s": round(later.work.high, 1),
    }
    if row.fit is not None:
        planned["planned_memory_mb"] = round((row.fit.device.total + row.fit.host.total) / 1e6)
    if took is None:
        return planned
    found = {
        "measured_s": took["wall_s"],
        "measured_cpu_s": took["cpu_s"],
        "measured_memory_mb": took["max_rss_mb"],
    }
    return planned | {key: round(float(value), 1) for key, value in found.items() if not math.isnan(value)}


def _shown(row: dict[str, Any]) -> list[str]:
    return [
        row["stage"],
        f"{row['jobs']:,}",
        _span(row, "planned"),
        _span(row, "planned_with_its_data"),
        _seconds(row.get("measured_s")),
        *(f"{row[key]:,.0f}" if key in row else "—" for key in ("planned_memory_mb", "measured_memory_mb")),
    ]


def _span(row: dict[str, Any], name: str) -> str:
    """From the low end to the high one, or one number where both read alike."""
    ends = dict.fromkeys(_seconds(row[f"{name}_{end}_s"]) for end in ("low", "high"))
    return " to ".join(ends)


def _seconds(value: float | None) -> str:
    return "—" if value is None else duration(value)


def write_comparison(comparison: Comparison, file: Path) -> None:
    """Write the rows as CSV."""
    write_csv(file, comparison.rows, COLUMNS)
