"""The configuration of an experiment as its run froze it: what all jobs of the run take their settings from.

Snakemake's main process freezes the configuration when it starts work, in R/experiment.json. Jobs that a
cluster starts later read that file, so that an edit of the original in between reaches none of them. Tables,
figures and report are made of it too.

R/layout, beside it, says how the files below R are arranged. Results in another arrangement than that of this
version of glow are refused: they would be made again beside the old ones, or be taken for what they are not.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glow.errors import UserError, abbreviated
from glow.files.atomic import atomic_path
from glow.files.jsonl import write_json
from glow.files.same_run import difference, run_identity

NAME = "experiment.json"

LAYOUT = 3
"""How files are arranged below R: another number whenever a result moves or changes its form."""

_STAGES = (
    *("models", "suites", "problems", "trajectories", "verdicts", "arms", "contamination", "sft", "grpo"),
    *("evaluation", "tables", "figures", "students"),
)


def student_prefix(student: str) -> str:
    """The beginning of the paths below R of what a student has of its own.

    Args:
        student: its name; empty for one student alone.
    """
    return f"students/{student}/" if student else ""


def frozen_file(results: Path) -> Path:
    """Where the frozen configuration of the experiment with these results is."""
    return results / NAME


def study_file(results: Path) -> Path:
    """The frozen configuration of a study that was run.

    Raises:
        UserError: there is none in `results`.
    """
    file = frozen_file(results)
    if not file.is_file():
        raise UserError(f"{results}: no study was run here ({NAME} is missing); give results/<name>")
    return file


def changes(results: Path, document: dict[str, Any]) -> str:
    """What differs in `document` from what was frozen last, in words; empty where nothing does or was."""
    file = frozen_file(results)
    if not file.is_file():
        return ""
    before = json.loads(file.read_text(encoding="utf-8"))
    return difference(run_identity(before), run_identity(document))


def freeze(results: Path, document: dict[str, Any]) -> None:
    """Freeze the configuration `document`, as it was read, and mark the layout of what comes beside it."""
    mark_layout(results)
    if not frozen_file(results).is_file() or changes(results, document):
        write_json(frozen_file(results), document)


def mark_layout(results: Path) -> None:
    """Note in R/layout how this version of glow arranges results."""
    if _layout(results) != str(LAYOUT):
        with atomic_path(results / "layout") as partial:
            partial.write_text(f"{LAYOUT}\n", encoding="utf-8")


_OF_A_STUDENT = ("sft", "pass_rates", "grpo", "evaluation", "models/base")


def refuse_other_students(results: Path, students: Sequence[str]) -> None:
    """Refuse results of one student where there are several, and the other way round: they stand elsewhere.

    Args:
        results: results/<name>, which need not be there.
        students: their names; none for one student.

    Raises:
        UserError: says which results these are, and what to do.
    """
    of_one = [stage for stage in _OF_A_STUDENT if (results / stage).exists()]
    of_several = sorted(folder.name for folder in (results / "students").glob("*"))
    choose = "choose another `name:`, or move the folder away"
    if students and of_one:
        home = results / student_prefix(students[0])
        raise UserError(
            f"{results}: has results of one student ({', '.join(of_one)}), and the configuration has "
            f"several. If they are those of {students[0]!r}, move them to {home}, with the same names "
            f"below it; else {choose}"
        )
    if not students and of_several:
        raise UserError(
            f"{results}: has results of several students ({', '.join(of_several)}), and the configuration "
            f"has one, without a name: write it below `students:`, by its name; or {choose}"
        )


def refuse_other_layout(results: Path) -> None:
    """Refuse results that are arranged as another version of glow does it.

    Raises:
        UserError: there are results below `results`, and no mark of this layout.
    """
    found = _layout(results)
    if found == str(LAYOUT) or not any((results / stage).exists() for stage in _STAGES):
        return
    layout = "without a mark of their layout" if found is None else f"in layout {abbreviated(found)}"
    raise UserError(
        f"{results}: results of another version of glow, {layout} (this version: {LAYOUT}); they stay as "
        "they are. Choose another `name:`, move the folder away, or go on with the version that made them"
    )


def _layout(results: Path) -> str | None:
    file = results / "layout"
    return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else None
