"""The subcommands that take a whole experiment: they read its configuration, and find its results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from glow import config, experiment
from glow.commands.stage import imported
from glow.errors import UserError
from glow.files.frozen import study_file
from glow.files.same_run import difference, run_identity


def check(files: list[Path], overlay: list[Path] | None, **options: Any) -> None:
    """Check each file, as an experiment of its own with the same overlays; all mistakes are told.

    Raises:
        UserError: the mistakes of all files.
    """
    mistakes = []
    for file in files:
        try:
            _check([file, *(overlay or [])], **options)
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError("\n".join(mistakes))


def _check(
    files: list[Path],
    world: int | None,
    gpu: str | None,
    nodes: int | None,
    profile: Path | None,
    set_resources: list[str] | None,
) -> None:
    try:
        checked = experiment.read(*files, world=world)
    except UserError as error:
        raise UserError(f"{_overlay_hint(files)}{error}") from None
    source = " + ".join(map(str, files))
    try:
        imported("glow.data.own_data:check_first_rows")(checked)
    except UserError as error:
        raise UserError(f"{source}: trajectories: {error}") from None
    lacking = experiment.missing_packages(checked)
    state = "valid, but it cannot run here" if lacking else "ok"
    print(f"{source}: {state}: {experiment.in_words(checked)}", flush=True)
    memory = imported("glow.planning.command:check_memory")
    said, too_large = memory(checked, gpu, nodes, profile, set_resources)
    for line in said:
        print(line, flush=True)
    if lacking or too_large:
        raise UserError("\n".join([*lacking, *too_large]))


def plan(file: Path, overlay: list[Path] | None, world: int | None, **options: Any) -> None:
    """Plan a configuration, as `glow.planning.command` does."""
    imported("glow.planning.command:print_plan")(
        experiment.read(file, *(overlay or []), world=world), **options
    )


def _overlay_hint(files: list[Path]) -> str:
    """A line that says how to use an overlay, where a single file that is no experiment looks like one."""
    if len(files) > 1 or not files[0].is_file():
        return ""
    document, source = config.read_document(*files)
    if not isinstance(document, dict) or "extends" in document:
        return ""
    missing = [key for key in ("seeds", "student", "sft") if key not in document]
    if len(missing) < 3 or not document or not document.keys() <= config.Experiment.model_fields.keys():
        return ""
    return (
        f"{source}: looks like an overlay ({', '.join(missing)} are not in it): give it beside the file that "
        f"it changes: glow check CONFIG --overlay {source}\n"
    )


def on_results(function: str, command: str, of_this_study: bool = False) -> Callable[..., None]:
    """A stage that shows the results of an experiment.

    Args:
        of_this_study: refuse results that were frozen with another configuration; other stages compare
            manifests.
    """

    def run(file: Path, results: Path | None, student: str | None) -> None:
        if file.is_dir():
            raise UserError(f"{file}: is a folder: glow {command} CONFIG --results {file}")
        shown = experiment.read(file)
        root = results or Path("results") / shown.name
        if not root.is_dir():
            where = "run this where Snakemake ran, or give --results"
            raise UserError(f"{root}: no such folder in {Path.cwd()}; {where}")
        if of_this_study:
            _refuse_other_study(shown, file, root)
        name = _student(shown, student, file)
        imported(function)(shown.studies[name], root, name)

    return run


def _student(shown: config.Experiment, named: str | None, file: Path) -> str:
    """The name of the student whose results are meant; empty where there is one alone."""
    if named is None and not shown.students:
        return ""
    known = list(shown.students)
    if named is None:
        raise UserError(f"{file}: has several students; give --student, one of {', '.join(known)}")
    if not known:
        raise UserError(f"{file}: has one student, without a name; leave out --student {named}")
    if named not in known:
        raise UserError(f"--student: {config.unknown(named, known)}")
    return named


SHOWN_ALONE = {"gates", "margin", "contrasts", "reported"}
"""Settings of what is said about results, and not of the results."""


def _refuse_other_study(shown: config.Experiment, file: Path, root: Path) -> None:
    """Refuse a configuration with other settings than the study in `root` was run with."""
    frozen = study_file(root)
    ran, asked = (
        run_identity(one.model_dump(mode="json", exclude=SHOWN_ALONE))
        for one in (experiment.read(frozen), shown)
    )
    if change := difference(ran, asked):
        raise UserError(
            f"{root}: results of another configuration than {file}: {change}; give {frozen} in its place, or "
            "--results of this one"
        )


def pool(results: list[Path], output: Path, student: str | None) -> None:
    """Read the studies of several worlds as they were frozen, and pool them."""
    studies = []
    for root in results:
        found = experiment.read(study_file(root))
        studies.append((found.studies[_student(found, student, study_file(root))], root))
    imported("glow.reporting.pool:write_pool")(studies, output, student or "")


def students(file: Path, results: Path | None) -> None:
    shown = experiment.read(file)
    imported("glow.reporting.students.page:write_students")(shown, results or Path("results") / shown.name)


def unlock() -> None:
    imported("glow.files.unlock:unlock")(Path.cwd())
