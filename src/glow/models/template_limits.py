"""How long a chat template may compute, and with how much memory: it is a program, and may come from anybody.

transformers runs templates in a sandbox, where they reach neither files nor functions. But they may loop.
"""

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from glow.errors import UserError

CPU_SECONDS = 10.0
"""For one conversation: a template takes a thousandth of a second."""

MEMORY = 2**30
"""Bytes beyond what the process has."""

_MEND = "choose another (prompt.chat_template, --chat-template)"


@contextmanager
def deadline() -> Iterator[None]:
    """End what a template computes in here after `CPU_SECONDS`; in the main thread, which alone gets signals.

    Raises:
        UserError: it did not end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPROF, _give_up)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    raise UserError(f"the chat template does not end within {CPU_SECONDS:g} s of computing; {_MEND}")


@contextmanager
def memory() -> Iterator[None]:
    """Let a template take no more than `MEMORY` in here (Linux; elsewhere no cap).

    Raises:
        UserError: it takes more.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
    if before[1] != resource.RLIM_INFINITY:
        most = min(most, before[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    except MemoryError:
        raise UserError(f"the chat template takes more than {MEMORY / 2**30:g} GiB; {_MEND}") from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
