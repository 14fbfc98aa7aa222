"""The configuration of an experiment as its run froze it: what all jobs of the run take their settings from.

Snakemake's main process freezes the configuration when it starts work, in R/experiment.json. Jobs that a
cluster starts later read that file, so that an edit of the original in between reaches none of them. Tables,
figures and report are made of it too.
"""

import json
from pathlib import Path
from typing import Any

from glow.files.jsonl import write_json
from glow.files.same_run import difference, run_identity

NAME = "experiment.json"


def frozen_file(results: Path) -> Path:
    """Where the frozen configuration of the experiment with these results is."""
    return results / NAME


def changes(results: Path, document: dict[str, Any]) -> str:
    """What differs in `document` from what was frozen last, in words; empty where nothing does or was."""
    file = frozen_file(results)
    if not file.is_file():
        return ""
    before = json.loads(file.read_text(encoding="utf-8"))
    return difference(run_identity(before), run_identity(document))


def freeze(results: Path, document: dict[str, Any]) -> None:
    """Freeze the configuration `document`, as it was read."""
    if not frozen_file(results).is_file() or changes(results, document):
        write_json(frozen_file(results), document)
