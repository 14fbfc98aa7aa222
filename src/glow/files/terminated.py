"""SIGTERM, as schedulers send it: what runs is ended in order, and told in one line, with code 143.

`SystemExit` unwinds a stage as any exception does, so that nothing half-written stays. A process that another
`glow` started on a device of its own ends at once, as ever: the others may be waiting for it.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 143
"""Exit code of what SIGTERM has ended, as shells have it: 128 + SIGTERM."""

_LONGEST_S = 20.0
"""How long a process may take to end: schedulers kill what is still there after 30 seconds or so."""


@contextmanager
def in_order() -> Iterator[None]:
    """Raise `SystemExit` at the first SIGTERM in here (main thread only), unless it is ignored."""
    before, here = signal.getsignal(signal.SIGTERM), os.getpid()

    def end(_signal: int, _frame: FrameType | None) -> None:
        if os.getpid() != here:  # a fork that knows nothing of it
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        late = threading.Timer(_LONGEST_S, os._exit, [TERMINATED])
        late.daemon = True
        late.start()
        said = "asked to end (SIGTERM): what was half-written is removed; the same command goes on\n"
        os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, said.encode())
        sys.exit(TERMINATED)

    if "RANK" in os.environ or before != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, before)
