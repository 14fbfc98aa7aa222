"""The table over students: what each arm gains in each of them, and how that grows with size."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from glow.reporting.captions import Caption
from glow.reporting.cells import MARK, NONE, Cell, Table, change_cell, interval, text_cell
from glow.reporting.scopes import mean_columns, mean_heading
from glow.reporting.students.growth import Student, arms_of_several, gain, slopes

GAIN_DIGITS, SLOPE_DIGITS = 1, 2


def students_table(students: Sequence[Student]) -> Table:
    """One row per (domain, arm, mean over suites): each student's gain, and by architecture its slope."""
    growing = slopes(students)
    kinds = list(dict.fromkeys(kind for *_, kind in growing))
    columns = {"domain": "Domain", "arm": "Arm", "over": "Over"}
    columns |= {
        f"gain_{student.name}": f"{student.name} ({size(student.parameters)})" for student in students
    }
    columns |= {f"slope_{kind}": f"Per doubling, {kind}" for kind in kinds}
    rows, experiment = [], students[0].results.experiment
    for domain in experiment.domain_names:
        for arm in arms_of_several(students):
            for column in mean_columns(experiment, domain):
                row = {"domain": text_cell(domain), "arm": text_cell(arm)}
                row["over"] = text_cell(mean_heading(column))
                for student in students:
                    found = gain(student, domain, arm, column)
                    row[f"gain_{student.name}"] = change_cell(found, GAIN_DIGITS)
                for kind in kinds:
                    row[f"slope_{kind}"] = _slope_cell(growing.get((domain, arm, column, kind)))
                rows.append(row)
    words = frozenset({"domain", "arm", "over"})
    return Table("students", students_caption("tables", students), columns, rows, words)


def _slope_cell(slope: Any) -> Cell:
    if slope is None:
        return Cell(NONE, dict.fromkeys(("_mean", "_se", "_low", "_high", "_p_holm")))
    found = slope.difference
    star = slope.sign != 0
    cell = change_cell(found, SLOPE_DIGITS)
    return Cell(
        interval(found, SLOPE_DIGITS) + MARK * star, cell.values | {"_p_holm": slope.p_holm}, marked=star
    )


def size(parameters: int) -> str:
    """A number of parameters as people say it: 7.6 B, 494 M, 31 k."""
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if parameters >= 0.9995 * scale:
            return f"{parameters / scale:.3g} {unit}"
    return str(parameters)


def students_caption(kind: Literal["tables", "figures"], students: Sequence[Student]) -> Caption:
    """The caption of the table or of the figure."""
    seeds = [len(student.results.experiment.seeds) for student in students]
    facts = {
        "reference": str(students[0].results.experiment.reference_arm),
        "students": str(len(students)),
        "seeds": f"{min(seeds)}" if len(set(seeds)) == 1 else f"{min(seeds)} to {max(seeds)}",
    }
    texts = _captions()[kind].items()
    return Caption(**{part: " ".join(text.format(**facts).split()) for part, text in texts})


@cache
def _captions() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load(
        Path(__file__).with_name("captions.yaml").read_text(encoding="utf-8")
    )
    return found
