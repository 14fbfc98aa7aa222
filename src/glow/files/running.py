"""Who still makes results in a folder: Snakemake, stages that outlived it, and jobs of SLURM's queue."""

from pathlib import Path

import psutil

from glow.errors import UserError
from glow.files.lock import live_locks
from glow.files.squeue import Job, jobs_of

_READERS = {"check", "timings", "unlock"}
"""Subcommands of `glow` that write no result: they may run beside anything."""

KEPT = "what they finish is kept"


def refuse_beside_others(results: Path, frozen: Path) -> None:
    """Refuse to start a run while jobs of an earlier one make results of the same experiment.

    Args:
        results: results/<name>.
        frozen: the frozen configuration, by which SLURM's jobs are known.

    Raises:
        UserError: names them, and says what to do.
    """
    if jobs := jobs_of(Path.cwd(), named=str(frozen.absolute())):
        raise UserError(still_queued(jobs))
    if locks := live_locks(results):
        raise UserError(
            f"stages of an earlier run are still making results: {'; '.join(map(str, locks))}\n"
            f"Start again when they have ended: {KEPT}."
        )


def still_queued(jobs: list[Job]) -> str:
    """What to do about jobs of SLURM that outlived their run, in words."""
    return (
        f"SLURM still has jobs of an earlier run: {'; '.join(map(str, jobs))}\n"
        f"Wait for them to end ({KEPT}), or end them first (training goes on from its last checkpoint): "
        f"scancel {' '.join(job.id for job in jobs)}"
    )


def live_processes(directory: Path) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Snakemake's processes that work in `directory`, and those of its jobs, which write there."""
    me = psutil.Process()
    mine = {me.pid, *(parent.pid for parent in me.parents())}
    workflows, jobs = [], []
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        program, arguments = _program(process, directory)
        is_of_a_job = "--target-jobs" in arguments  # a Snakemake that another one started
        if program == "snakemake" and not is_of_a_job:
            workflows.append(process)
        elif is_of_a_job or (program == "glow" and arguments and arguments[0] not in _READERS):
            jobs.append(process)
    return workflows, jobs


def _program(process: psutil.Process, directory: Path) -> tuple[str | None, list[str]]:
    """Which of our programs a process of `directory` runs, with its arguments; None for any other."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE or Path(process.cwd()) != directory.resolve():
            return None, []
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        # It ended meanwhile, or is another user's: then it cannot be our run.
        return None, []
    return _called(words)


def _called(words: list[str]) -> tuple[str | None, list[str]]:
    """The program of a command line: `snakemake ...`, `python snakemake ...`, `python -m snakemake ...`."""
    if words and Path(words[0]).name.startswith("python"):
        words = words[2:] if words[1:2] == ["-m"] else words[1:]
    if words and Path(words[0]).name in ("snakemake", "glow"):
        return Path(words[0]).name, words[1:]
    return None, []
