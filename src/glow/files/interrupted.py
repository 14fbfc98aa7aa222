"""Ctrl-C (SIGINT): what runs is ended in order, and told in one line, with code 130.

`KeyboardInterrupt` unwinds a stage as any exception does, so that nothing half-written stays. A library may
turn it into an error of its own, or tell an error that another process's end has caused: `asked` says which
of them are none. Ctrl-C reaches all processes of a terminal, and some of them twice: the second does not
disturb the first.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended, as shells have it: 128 + SIGINT."""

_PATIENCE_S = 5.0
"""How long a further Ctrl-C is taken for the same: whoever presses it after that wants an end at once."""

_LONGEST_S = 20.0
"""How long a process may take to end; by then some library has taken the exception for one of its own."""


class _State:
    """When this process was interrupted; a signal has one receiver, so there is one of these."""

    at: float | None = None


def asked() -> bool:
    """Whether this process was interrupted."""
    return _State.at is not None


@contextmanager
def listen() -> Iterator[None]:
    """Raise `KeyboardInterrupt` at the first SIGINT in here (main thread only), unless it is ignored.

    After one, further ones are without effect to the end of the process, which is near.
    """
    _State.at = None
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        if not asked():
            signal.signal(signal.SIGINT, before)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    if _State.at is None:
        _State.at = time.monotonic()
        late = threading.Timer(_LONGEST_S, os._exit, [INTERRUPTED])
        late.daemon = True
        late.start()
        raise KeyboardInterrupt
    if time.monotonic() - _State.at > _PATIENCE_S:
        os._exit(INTERRUPTED)


def ended(command: str, is_silent: bool = False) -> int:
    """Say in one line that a command was interrupted, unless another process does; return its exit code."""
    if _State.at is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python forgets handlers of its own before it ends
    with suppress(OSError):  # who reads the output may have been interrupted too
        if not is_silent:
            print(f"{command}: interrupted; run it again to go on", file=sys.stderr, flush=True)
    return INTERRUPTED


def quiet_start() -> None:
    """Have Ctrl-C end this process in one line even while the command line is still being imported."""
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            os._exit(ended("glow", is_silent="RANK" in os.environ))
        usual(kind, error, trace)

    sys.excepthook = hook
