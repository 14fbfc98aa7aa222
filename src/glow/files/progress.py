"""Progress bars: live on a terminal, a line every ten seconds in a log file."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(description: str, unit: str, **options: Any) -> tqdm:
    """A tqdm bar; `options` are tqdm's (iterable, total, initial, ...)."""
    interval = 0.2 if sys.stderr.isatty() else 10
    return tqdm(desc=description, unit=unit, mininterval=interval, **options)


def end_bars() -> None:
    """End the lines of bars that something has cut short: what is said next begins on a line of its own."""
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.close()
