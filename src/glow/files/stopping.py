"""Being asked to stop, and to go on later: before a time limit, or when a machine is taken away.

The request is SIGUSR1. SLURM sends it to all processes of a job some minutes before its limit (slurm_extra
in workflow/rules). A stage that can go on where it stopped keeps what it has and raises `Stopped`. Training
looks at `asked` after every step; sampling, which keeps each response, ends `at_once`. The command line
then has SLURM queue the same job again, or says so and ends with code `STOPPED`. All other stages go on to
their end.
"""

import _thread
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from glow.files import terminated

STOPPED = 75
"""Exit code of a stage that stopped when asked: EX_TEMPFAIL of sysexits.h, "try again later"."""

_SIGNALS = {signal.SIGUSR1}
_ENDED_WITHIN_S = 300.0
"""SLURM ends a job that it queues again within seconds (its KillWait, at most)."""


class Stopped(BaseException):
    """A stage has stopped because it was asked to; no fault, so `except Exception` lets it pass.

    Its message says what was kept.
    """


class _State:
    """What this process was asked; a signal has one receiver, so there is one of these."""

    asked = threading.Event()
    at_once = False
    has_kept = False


@contextmanager
def listen() -> Iterator[None]:
    """Take note of requests to stop, and end in order if that is asked for (main thread only).

    The signal is blocked, which processes and threads started from here inherit: workers, to which SLURM
    sends it too, would be ended by it. A thread waits for it, and has the handler run in the main thread.
    """
    _State.has_kept = False
    done = threading.Event()
    handler = signal.signal(signal.SIGUSR1, _note)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    waiter = threading.Thread(target=_wait, args=(done,), daemon=True)
    waiter.start()
    try:
        with terminated.in_order():
            yield
    finally:
        done.set()
        assert waiter.ident is not None  # it was started
        signal.pthread_kill(waiter.ident, signal.SIGUSR1)
        waiter.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, handler)
        _State.asked.clear()


def _wait(done: threading.Event) -> None:
    while True:
        signal.sigwait(_SIGNALS)
        if done.is_set():
            return
        _thread.interrupt_main(signal.SIGUSR1)


def _note(_signal: int, _frame: FrameType | None) -> None:
    _State.asked.set()
    if _State.at_once:
        raise Stopped


def note_kept() -> None:
    """Note that this attempt has kept something, from which the next goes on."""
    _State.has_kept = True


def asked() -> bool:
    """Whether this process was asked to stop."""
    return _State.asked.is_set()


@contextmanager
def at_once(kept: str) -> Iterator[None]:
    """End what is done in here as soon as this process is asked to stop.

    Args:
        kept: what is kept of it, for the user.

    Raises:
        Stopped: it was asked, in here or before.
    """
    try:
        _State.at_once = True
        if asked():
            raise Stopped
        yield
    except Stopped:
        raise Stopped(kept) from None
    finally:
        _State.at_once = False


def go_on_later(stopped: Stopped) -> int:
    """Have SLURM queue this job again, and wait to be ended by it; outside SLURM, return the exit code.

    The job keeps its id: whoever waits for it sees one job that was running, pending and running again. One
    that has kept nothing new in this attempt is not queued again: it would never end.
    """
    print(f"asked to stop (SIGUSR1): {stopped}", file=sys.stderr)
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        print("The same command goes on from there.", file=sys.stderr)
    elif not _State.has_kept:
        print(
            f"job {job} had no time to make anything that is kept: give it a higher limit (runtime of its "
            "rule), or smaller batches",
            file=sys.stderr,
        )
    elif os.environ.get("RANK", "0") == "0":  # of several processes of one job, the first alone asks
        print(f"SLURM is asked to queue job {job} again", file=sys.stderr, flush=True)
        try:
            answer = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            print(f"scontrol requeue {job}: {error}", file=sys.stderr)
            return STOPPED
        if answer.returncode == 0:
            time.sleep(_ENDED_WITHIN_S)
        print(f"scontrol requeue {job}: {answer.stderr.strip() or 'no effect'}", file=sys.stderr)
    return STOPPED


def say_where(command: str) -> None:
    """Begin an attempt's part of a log, to which all attempts are appended: when and where it runs.

    Nothing is said where output goes to a person: a log gets stdout and stderr by one pipe.
    """
    if os.fstat(1) == os.fstat(2) and not os.isatty(1):
        job = f", SLURM job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        print(
            f"--- {command}: {now} on {platform.node()} (pid {os.getpid()}{job})", file=sys.stderr, flush=True
        )
