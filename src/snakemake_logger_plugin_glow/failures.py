"""What is shown of a failed job: which it was, the end of its log, and where all of it stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LAST_LINES = 25


def failure_lines(job: str, record: Mapping[str, Any]) -> list[str]:
    """Lines on a job that failed.

    Args:
        job: which one it was, in words.
        record: Snakemake's JOB_ERROR.
    """
    lines = [f"failed: {job}"]
    for log in map(str, record["log"]):
        lines += [f"  the end of its log, {log}:", *(f"    {line}" for line in _end(Path(log)))]
    return lines


def _end(log: Path) -> list[str]:
    """The last lines of a log; of a progress bar, what it showed last."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ["(it was not written)"]
    return [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n") if line.strip()][-_LAST_LINES:]
