"""What Snakemake notes of outputs, in `.snakemake`: marks of those being made, records of those that were.

A note's file is called by its output, in base64, in pieces where that is longer than a file's name may be.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path


def incomplete(directory: Path) -> Iterator[tuple[Path, str]]:
    """The marks of what is being made, or was when a run was killed, each with its output."""
    marks = directory / ".snakemake" / "incomplete"
    for mark in sorted(filter(Path.is_file, marks.rglob("*"))):
        code = "".join(part.removeprefix("@") for part in mark.relative_to(marks).parts)
        try:
            yield mark, urlsafe_b64decode(code).decode()
        except ValueError:
            continue  # no mark, but what a file system left


def record(directory: Path, output: str) -> Path:
    """The file with the record of an output: which settings made it, among others."""
    notes = directory / ".snakemake" / "metadata"
    code = urlsafe_b64encode(output.encode()).decode()
    size = (os.pathconf(notes, "PC_NAME_MAX") if notes.is_dir() else 255) - 1
    *pieces, last = [code[start : start + size] for start in range(0, len(code), size)]
    return notes.joinpath(*(f"@{piece}" for piece in pieces), last)


def unrecorded(directory: Path, results: Path) -> set[Path]:
    """The manifests below `results` of outputs of which there is no record.

    Jobs finished these after their run was killed (`glow.files.unlock`), or they were copied without
    `.snakemake`.

    Args:
        directory: where Snakemake works.
        results: results/<name>, as the rules call it.
    """
    return {
        file
        for file in results.rglob("*manifest.json")
        if not any(record(directory, str(output)).is_file() for output in (file, file.parent))
    }
