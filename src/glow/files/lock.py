"""One process at a time makes an output: on one machine or several, under SLURM or not.

The lock of `R/sft/.../seed-0` is the file `.seed-0.lock` beside it, created exclusively, which network file
systems keep too. It names its holder, and the holder touches it every 30 seconds. A holder is dead

- if it was on this machine and its process is gone;
- if it was an earlier attempt of the very SLURM job that asks (a requeued job keeps its id), or of another
  that has ended, says squeue;
- else, when it has not touched its lock for five minutes, and squeue, where there is one, does not know its
  job.

A process that finds a live holder refuses before it has touched anything. (Snakemake deletes a job's outputs
before its stage can refuse. So a run does not start beside live holders: `glow.files.running`.) One that lost
its lock, because its machine stood still for longer, ends: within seconds, and before it puts anything in
place.
"""

import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from glow.errors import UserError
from glow.files.squeue import ABSENT, ENDED, NODE_FAIL, is_here, job_restarts, job_state

BEAT_S = 30.0
"""How often a holder touches its lock."""
STALE_S = 300.0
"""After how long without a touch a holder counts as dead, where nothing else is known of it."""
_POLL_S = 5.0

_held: dict[Path, "Holder"] = {}
"""The locks of this process."""


@dataclass(frozen=True)
class Holder:
    """Who makes an output.

    Attributes:
        machine: host, boot and process namespace: where all three are the same, process ids are.
        started: when its process started, by the machine: process ids are used again.
        slurm_job: id of its SLURM job, "" outside one; `restarts`: how often that was requeued.
        token: tells two holders of one process apart.
    """

    host: str
    machine: str
    pid: int
    started: float
    slurm_job: str
    restarts: int
    command: str
    token: str

    @classmethod
    def here(cls, command: str) -> "Holder":
        """This process, which runs `command`."""
        process = psutil.Process()
        slurm_job = os.environ.get("SLURM_JOB_ID", "")
        return cls(
            host=platform.node(),
            machine=_machine(),
            pid=process.pid,
            started=_start(process),
            slurm_job=slurm_job,
            # Not SLURM_RESTART_COUNT: Snakemake's plugin removes SLURM's variables.
            restarts=job_restarts(slurm_job) if slurm_job else 0,
            command=command,
            token=uuid.uuid4().hex,
        )

    def __str__(self) -> str:
        job = f", SLURM job {self.slurm_job}" if self.slurm_job else ""
        return f"{self.command}, pid {self.pid} on {self.host}{job}"


def _machine() -> str:
    marks = [platform.node()]
    if Path("/proc/sys/kernel/random/boot_id").is_file():
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        marks.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(marks)


@dataclass(frozen=True)
class Lock:
    """A lock that is there: the output, its file, and its holder (None: not yet written, or damaged)."""

    file: Path
    holder: Holder | None

    def __str__(self) -> str:
        output = self.file.with_name(self.file.name[1:].removesuffix(".lock"))
        return f"{output} ({self.holder or 'by an unknown process'})"


def lock_file(output: Path) -> Path:
    """Where the lock of an output is."""
    return output.parent / f".{output.name}.lock"


@contextmanager
def held(output: Path, command: str) -> Iterator[None]:
    """Hold the lock of `output` while the block runs; of several processes of a job, the first holds it.

    Raises:
        UserError: another process makes this output.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    file = lock_file(output)
    file.parent.mkdir(parents=True, exist_ok=True)
    me = Holder.here(command)
    while not _created(file, me):
        _outlive(file, me)
    _held[file] = me
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(file, me, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        del _held[file]
        if _read(file) == me:
            file.unlink()


def confirm_held() -> None:
    """Raise a `UserError` if a lock of this process is another's by now: then nothing may be written."""
    for file, me in _held.items():
        if _read(file) != me:
            raise UserError(_lost(file))


def live_locks(folder: Path) -> list[Lock]:
    """The locks below `folder` whose holders live, or may live."""
    found = [Lock(file, _read(file)) for file in sorted(folder.rglob(".*.lock"))]
    if not found:
        return []
    me = Holder.here("")  # which asks squeue, in a SLURM job
    return [lock for lock in found if _may_live(lock, me)]


def _may_live(lock: Lock, me: Holder) -> bool:
    alive = _is_alive(lock, me)
    return not _is_silent(lock.file) if alive is None else alive


# --- life and death -------------------------------------------------------------------------------


def _is_alive(lock: Lock, me: Holder) -> bool | None:
    """Whether the holder of a lock lives; None where only its next touch, or none for long, can tell."""
    holder = lock.holder
    if holder is None:
        return None
    if holder.machine == me.machine:
        return _runs(holder)
    if not holder.slurm_job or not is_here():
        return None
    if holder.slurm_job == me.slurm_job:
        return False if holder.restarts < me.restarts else None
    state = job_state(holder.slurm_job)
    if state in (ABSENT, NODE_FAIL):
        return None
    return state not in ENDED  # and alive where SLURM does not answer


def _runs(holder: Holder) -> bool:
    try:
        process = psutil.Process(holder.pid)
        return _start(process) == holder.started and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return False


def _start(process: psutil.Process) -> float:
    """When a process started, by a clock that nobody sets, where the machine has one."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.is_file():
        return process.create_time()
    return float(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])


def _is_silent(file: Path) -> bool:
    """Whether a lock was not touched for so long that its holder is dead, by the file system's own clock."""
    clock = file.with_name(f"{file.name}.clock-{uuid.uuid4().hex}")
    clock.touch()
    now = clock.stat().st_mtime
    clock.unlink()
    return now - (_touched(file) or 0) > STALE_S


def _touched(file: Path) -> float | None:
    """When a lock was touched last, in seconds; None where there is none."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return None


def _outlive(file: Path, me: Holder) -> None:
    """Remove a lock whose holder is dead, after waiting until that is known.

    Raises:
        UserError: it lives.
    """
    lock = Lock(file, _read(file))
    touched = _touched(file)
    alive = _is_alive(lock, me)
    if alive is None and not _is_silent(file):
        print(f"{lock}: waiting for a sign of life, {STALE_S / 60:.0f} minutes at most", file=sys.stderr)
    while alive is None and not _is_silent(file) and _touched(file) == touched:
        time.sleep(_POLL_S)
        alive = _is_alive(lock, me)
    if _touched(file) is None:
        return
    if alive or _touched(file) != touched:
        raise UserError(
            f"{Lock(file, _read(file))}: is being made; wait for that to end, or end it "
            f"(if it ended long ago where nobody can ask, remove {file})"
        )
    _remove(lock)


def _remove(dead: Lock) -> None:
    """Remove a dead holder's lock, unless another process was faster and holds its own by now."""
    guard = dead.file.with_name(f"{dead.file.name}.removal")
    try:
        guard.touch(exist_ok=False)
    except FileExistsError:
        if _is_silent(guard):  # whoever made it died in the lines below
            guard.unlink(missing_ok=True)
        time.sleep(_POLL_S)
        return
    try:
        if _read(dead.file) == dead.holder and (dead.holder is not None or _is_silent(dead.file)):
            dead.file.unlink(missing_ok=True)
    finally:
        guard.unlink()


# --- the file -------------------------------------------------------------------------------------


def _created(file: Path, me: Holder) -> bool:
    try:
        stream = file.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with stream:
            stream.write(json.dumps(asdict(me)) + "\n")
    except OSError:  # a full disk: no lock of nobody is left
        file.unlink()
        raise
    return True


def _read(file: Path) -> Holder | None:
    try:
        return Holder(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # not there, or not a holder's
        return None


def _beat(file: Path, me: Holder, ended: threading.Event) -> None:
    """Touch a lock until its holder is done; end the process when the lock is another's."""
    while not ended.wait(BEAT_S):
        try:
            if _read(file) != me:
                print(_lost(file), file=sys.stderr, flush=True)
                os._exit(2)  # what the main thread does cannot be interrupted otherwise
            os.utime(file)
        except OSError as error:  # a network file system that is away for a while
            print(f"{file}: {error}; trying again", file=sys.stderr)


def _lost(file: Path) -> str:
    return f"{Lock(file, _read(file))}: the lock of this process is gone or another's; ending without writing"
