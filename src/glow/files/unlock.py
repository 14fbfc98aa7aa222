"""Clear the lock that a killed run left behind, but never the lock of a run that is still active.

Snakemake locks a working directory with files in `.snakemake/locks` and removes them when it ends,
unless it is killed. Its own `--unlock` does not check whether the run that holds them is still alive;
this does. Only those files are removed.
"""

import platform
import re
import shutil
from pathlib import Path

import psutil

from glow.errors import UserError

_READERS = {"check", "timings", "unlock"}
"""Subcommands of `glow` that write no result: they may run beside anything."""


def unlock(directory: Path) -> None:
    """Clear the Snakemake lock of `directory` if the run that left it is dead.

    Raises:
        UserError: Snakemake still runs there, or left jobs behind that still write results, or the
            lock comes from another machine (on a shared file system), whose processes cannot be seen.
    """
    locks = directory / ".snakemake" / "locks"
    locked = locks.is_dir() and any(locks.iterdir())
    workflows, jobs = _live_processes(directory)
    if workflows and (locked or jobs):
        raise UserError(
            f"Snakemake is running in {directory} (pid {_pids(workflows)}); wait for it to end, "
            f"or stop it: kill -INT {workflows[0].pid}"
        )
    if jobs:
        raise UserError(
            f"jobs of a killed run are still writing results in {directory} (pid {_pids(jobs)}); "
            f"wait for them to end, or stop them: kill {' '.join(str(job.pid) for job in jobs)}"
        )
    if not locked:
        return
    host = _last_host(directory)
    if host not in (None, platform.node()):
        raise UserError(
            f"the last run in {directory} was on host {host}; if it has ended there, "
            "clear its lock with: snakemake --unlock --cores 1"
        )
    shutil.rmtree(locks)
    print(f"cleared the lock that a killed run left in {directory}")


def _pids(processes: list[psutil.Process]) -> str:
    return ", ".join(str(process.pid) for process in processes)


def _live_processes(directory: Path) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Snakemake's processes that work in `directory`, and `glow` stages that write there."""
    me = psutil.Process()
    mine = {me.pid, *(parent.pid for parent in me.parents())}
    workflows, jobs = [], []
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        program, arguments = _program(process, directory)
        if program == "snakemake":
            workflows.append(process)
        elif program == "glow" and arguments and arguments[0] not in _READERS:
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


def _last_host(directory: Path) -> str | None:
    """The machine of the last run in `directory`, from Snakemake's logs; None when they do not say."""
    for log in sorted((directory / ".snakemake" / "log").glob("*.snakemake.log"), reverse=True):
        if found := re.search(
            r"^\s*host: (\S+)", log.read_text(encoding="utf-8", errors="replace"), re.M | re.I
        ):
            return found[1]
    return None
