"""What a stage goes on from when it is killed: checkpoints, or the responses that it has so far.

A stage deletes it last of all, after its manifest. A kill in between leaves it beside a finished output,
where `glow.files.unlock` deletes it.
"""

import shutil
from pathlib import Path


def checkpoints_in(output: Path) -> Path:
    """The folder of checkpoints in the folder that a stage fills (SFT, GRPO)."""
    return output / "checkpoints"


def training_data_in(output: Path) -> Path:
    """The folder of tokenised data, mapped into memory, in the folder that a stage fills (SFT)."""
    return output / "training_data"


def checkpoints_beside(output: Path) -> Path:
    """The folder of checkpoints beside a folder that is put in place at once (pretraining)."""
    return output.with_name(f"{output.name}.checkpoints")


def partial_rows(output: Path) -> Path:
    """The file of the responses so far, beside the file of all (sampling)."""
    return output.with_name(f"{output.name}.partial.jsonl")


def delete_resume_points(output: Path) -> None:
    """Delete whatever the stage of a finished output left of these."""
    for folder in (checkpoints_in(output), training_data_in(output), checkpoints_beside(output)):
        shutil.rmtree(folder, ignore_errors=True)
    partial_rows(output).unlink(missing_ok=True)
