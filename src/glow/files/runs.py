"""When runs began to make results: R/runs.jsonl, one line for each start of Snakemake that had work to do.

Manifests say when each job ran, and not which jobs one run started. A gap between two of them does not tell
either: jobs wait in a queue, and some leave no manifest behind.
"""

from datetime import UTC, datetime
from pathlib import Path

from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl

NAME = "runs.jsonl"


def note_run(results: Path) -> None:
    """Note that a run begins now.

    Raises:
        UserError: R/runs.jsonl is not as this function leaves it.
    """
    started = [*runs_started(results), datetime.now(UTC)]
    # In whole seconds, rounded down as in manifests, so that no job seems to end before its run.
    write_jsonl(results / NAME, ({"started": one.isoformat(timespec="seconds")} for one in started))


def runs_started(results: Path) -> list[datetime]:
    """When each run began, the earliest first (UTC); none where no run was noted.

    Raises:
        UserError: R/runs.jsonl is not as `note_run` leaves it.
    """
    file = results / NAME
    if not file.is_file():
        return []
    try:
        return sorted(datetime.fromisoformat(row["started"]).astimezone(UTC) for row in read_jsonl(file))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{file}: not the starts of runs as Snakemake notes them; delete the file") from None
