"""Clear the lock that a killed run left behind, but never the lock of a run that is still active.

Snakemake locks a working directory with files in `.snakemake/locks` and removes them when it ends,
unless it is killed. Its own `--unlock` does not check whether the run that holds them, or a job of it, is
still alive; this does. It also keeps the results that such jobs finished after the run was killed, which
Snakemake takes for incomplete and would make again.
"""

import platform
import re
import shutil
from pathlib import Path

import psutil

from glow.errors import UserError
from glow.files.bookkeeping import incomplete, record
from glow.files.lock import live_locks
from glow.files.manifest import described, manifest_path
from glow.files.resume_points import delete_resume_points
from glow.files.running import KEPT, live_processes, still_queued
from glow.files.squeue import jobs_of


def unlock(directory: Path) -> None:
    """Clear the Snakemake lock of `directory` if the run that left it, and all of its jobs, are dead.

    Raises:
        UserError: Snakemake still runs there, or left jobs behind that still write results, here or in
            SLURM; or the lock comes from another machine (on a shared file system), whose processes cannot
            be seen.
    """
    locks = directory / ".snakemake" / "locks"
    locked = locks.is_dir() and any(locks.iterdir())
    workflows, stages = live_processes(directory)
    if workflows and (locked or stages):
        raise UserError(
            f"Snakemake is running in {directory} (pid {_pids(workflows)}); wait for it to end, or have it "
            f"start no further job and end with those that run: kill -TERM {workflows[0].pid}"
        )
    host = _last_host(directory)
    if locked and host not in (None, platform.node()):
        raise UserError(
            f"the last run in {directory} was on host {host}; if it has ended there, "
            "clear its lock with: snakemake --unlock --cores 1"
        )
    if jobs := jobs_of(directory):
        raise UserError(still_queued(jobs))
    if stages:
        raise UserError(
            f"jobs of a killed run are still writing results in {directory} (pid {_pids(stages)}); wait for "
            f"them to end ({KEPT}), or stop them (training goes on from its last checkpoint): "
            f"kill {' '.join(str(stage.pid) for stage in stages)}"
        )
    # Of each folder there: it may be a link.
    if others := [lock for results in directory.glob("results/*") for lock in live_locks(results)]:
        raise UserError(
            f"jobs of a killed run are still writing results: {'; '.join(map(str, others))}; "
            f"wait for them to end ({KEPT})"
        )
    if kept := _keep_finished(directory):
        print(f"kept what jobs finished after their run was killed: {', '.join(map(str, kept))}")
    if locked:
        shutil.rmtree(locks)
        print(f"cleared the lock that a killed run left in {directory}")


def _pids(processes: list[psutil.Process]) -> str:
    return ", ".join(str(process.pid) for process in processes)


def _keep_finished(directory: Path) -> list[Path]:
    """Let Snakemake take for complete what is: the manifest, which a stage writes last, is there.

    Snakemake's record of such a result (which settings made it) is of an earlier one, and goes: the next run
    compares its manifest (`glow.reporting.agreement`). Nothing is kept in a folder that holds another output
    of which this is not known: it may be of the same job. What a stage deletes last, after its manifest, is
    deleted here where the kill came before.

    Returns:
        The manifests of what was kept.
    """
    marks = {mark: directory / name for mark, name in incomplete(directory) if (directory / name).exists()}
    manifests = {mark: _manifest_since(mark, output) for mark, output in marks.items()}
    unknown = {marks[mark].parent for mark, manifest in manifests.items() if manifest is None}
    kept = set()
    for mark, manifest in manifests.items():
        if manifest is not None and marks[mark].parent not in unknown:
            mark.unlink()
            record(directory, str(marks[mark].relative_to(directory))).unlink(missing_ok=True)
            kept.add(manifest.relative_to(directory))
    for manifest in kept:
        delete_resume_points(described(directory / manifest))
    return sorted(kept)


def _manifest_since(mark: Path, output: Path) -> Path | None:
    """The manifest of an output that was marked as incomplete, if it is younger than the mark."""
    manifest = _manifest_of(output)
    is_younger = manifest is not None and manifest.stat().st_mtime > mark.stat().st_mtime
    return manifest if is_younger else None


def _manifest_of(output: Path) -> Path | None:
    """The manifest of a stage's output, or of the folder that it is in; None where there is none."""
    places = [output] if output.name.endswith("manifest.json") else []
    places += [manifest_path(output), output.parent / "manifest.json"]
    return next((place for place in places if place.is_file()), None)


def _last_host(directory: Path) -> str | None:
    """The machine of the last run in `directory`, from Snakemake's logs; None when they do not say."""
    for log in sorted((directory / ".snakemake" / "log").glob("*.snakemake.log"), reverse=True):
        if found := re.search(
            r"^\s*host: (\S+)", log.read_text(encoding="utf-8", errors="replace"), re.M | re.I
        ):
            return found[1]
    return None
