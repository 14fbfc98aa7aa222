"""What SLURM says of its jobs. Where there is no SLURM, there are none."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from glow.errors import UserError

ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
}  # fmt: skip
"""States in which no process of a job is left."""

NODE_FAIL = "NODE_FAIL"
"""SLURM lost the node, which may still work."""

ABSENT = "ABSENT"
"""The state of a job that SLURM does not know, or no longer."""

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Job:
    """A job of this user that is in the queue or runs, as Snakemake's SLURM plugin submitted it."""

    id: str
    state: str
    what: str

    def __str__(self) -> str:
        return f"{self.id} ({self.what}, {self.state})"


def is_here() -> bool:
    """Whether this machine has SLURM's programs."""
    return shutil.which("squeue") is not None


def job_state(job: str) -> str | None:
    """The state of a job (RUNNING, ...), `ABSENT`, or None where SLURM cannot be asked."""
    answer = _ask("--states=all", "--format=%T", "--jobs", job)
    if answer is None:
        return None
    if answer.returncode == 0:
        return answer.stdout.strip() or ABSENT
    return ABSENT if "Invalid job id" in answer.stderr else None


def job_restarts(job: str) -> int:
    """How often a job was queued again; 0 where SLURM cannot be asked."""
    answer = _ask("--states=all", "--Format=RestartCnt", "--jobs", job)
    restarts = answer.stdout.strip() if answer is not None and answer.returncode == 0 else ""
    return int(restarts) if restarts.isdigit() else 0


def jobs_of(directory: Path, named: str = "") -> list[Job]:
    """The jobs that a run of Snakemake in `directory` has in the queue, this one left out.

    Args:
        named: only those whose script has this text.

    Raises:
        UserError: there is a SLURM, which does not answer.
    """
    if not is_here():
        return []
    answer = _ask("--me", "--format=%i|%T|%Z|%k")
    if answer is None or answer.returncode != 0:
        why = "no answer" if answer is None else answer.stderr.strip()
        raise UserError(f"squeue says nothing of the jobs that may still work here ({why}); try again later")
    found = []
    for line in answer.stdout.splitlines():
        job, state, folder, comment = line.split("|", 3)
        is_ours = comment.startswith("rule_") and Path(folder).resolve() == directory.resolve()
        if not is_ours or job == os.environ.get("SLURM_JOB_ID"):
            continue
        if not named or named in _script(job, otherwise=named):
            what = comment.removeprefix("rule_").replace("_wildcards_", " ")
            found.append(Job(job, state, what))
    return found


def _script(job: str, otherwise: str) -> str:
    """The script of a job; `otherwise` where SLURM does not show it."""
    shown = _run("scontrol", "write", "batch_script", job, "-")
    return shown.stdout if shown is not None and shown.returncode == 0 else otherwise


def _ask(*options: str) -> subprocess.CompletedProcess[str] | None:
    return _run("squeue", "--noheader", *options)


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    """What a program of SLURM's answers; None where there is none, or its controller does not answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
