"""Stage: what can be said over the students of a finished study, and a page that leads to their reports."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from glow.config import Experiment
from glow.files.atomic import atomic_path
from glow.files.frozen import student_prefix
from glow.files.manifest import Manifest
from glow.reporting import layout
from glow.reporting.captions import student_text
from glow.reporting.figures import STYLE, save
from glow.reporting.report import FigurePart, template
from glow.reporting.students.figure import draw_students
from glow.reporting.students.growth import Student, read_students
from glow.reporting.students.table import size, students_caption, students_table
from glow.reporting.tables import write_forms

NAME = "students"


def write_students(experiment: Experiment, root: Path) -> None:
    """Write R/tables/students.{csv,md,tex}, R/figures/students.{png,svg}, R/report.html and its manifest.

    Args:
        experiment: the configuration of the whole study.
        root: its results, R, with tables and report of every student.

    Raises:
        UserError: as `growth.read_students`.
    """
    manifest = Manifest(NAME)
    students = read_students(experiment, root)
    table = students_table(students)
    write_forms(table, root / "tables")
    with mpl.rc_context(STYLE):
        figure = draw_students(students)
        save(figure, root / "figures" / NAME)
        plt.close(figure)
    drawn = base64.b64encode((root / "figures" / f"{NAME}.svg").read_bytes()).decode("ascii")
    part = FigurePart(NAME, students_caption("figures", students), f"data:image/svg+xml;base64,{drawn}")
    page = template("students/page.html.j2").render(
        experiment=experiment,
        students=[_row(student, experiment.students[student.name].differing) for student in students],
        section={"id": NAME, "title": "Over students", "settings": "", "parts": [table, part]},
        layout=layout,
    )
    with atomic_path(root / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    inputs = [student.results.questions_file for student in students]
    facts = {"parameters": {student.name: student.parameters for student in students}}
    manifest.write(root / "report.html", experiment.model_dump(mode="json"), inputs, facts)
    print(f"{len(students)} students: {root / 'report.html'}")


def _row(student: Student, differing: Sequence[str]) -> dict[str, Any]:
    """What the page says of a student."""
    experiment = student.results.experiment
    return {
        "name": student.name,
        "model": student_text(experiment),
        "architecture": student.architecture,
        "size": size(student.parameters),
        "differs": ", ".join(differing) or "nothing",
        "arms": ", ".join(experiment.arms),
        "seeds": ", ".join(map(str, experiment.seeds)),
        "grpo": ", ".join(experiment.initialisations) or "none",
        "report": f"{student_prefix(student.name)}report.html",
    }
