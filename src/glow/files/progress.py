"""Progress bars: live on a terminal, a line every ten seconds in a log file."""

import sys
from typing import Any

from tqdm import tqdm


class HouseBar(tqdm):
    """A tqdm bar that is drawn as often as its reader wants; for libraries that want a class."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("mininterval", 0.2 if sys.stderr.isatty() else 10)
        super().__init__(*arguments, **options)


def progress_bar(description: str, unit: str, **options: Any) -> tqdm:
    """A tqdm bar; `options` are tqdm's (iterable, total, initial, ...)."""
    return HouseBar(desc=description, unit=unit, **options)
