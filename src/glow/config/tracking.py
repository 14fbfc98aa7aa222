"""Where training is logged to besides its own files: an option of a machine, which changes no number.

No configuration has it: the rules `sft` and `grpo` take it from their resources (`--set-resources
sft:report_to=tensorboard`, or a profile), and the command line as options (`glow.training.report_to`).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from glow.config.section import Section

Tracker = Literal["tensorboard", "wandb", "trackio"]


class Tracking(Section):
    """Where a training run is logged to, beside its log.jsonl."""

    report_to: list[Tracker | Literal["none"]] = Field(
        ["none"], description="tensorboard, wandb, trackio, or several of them; none: its own files alone"
    )
    project: str | None = Field(None, description="project in wandb and trackio (default: glow)")
    run_name: str | None = Field(None, description="name of the run there (default: that of the output)")
    tracking_dir: Path | None = Field(
        None,
        description="folder of the files of tensorboard and wandb (default: `tracking` in the output); "
        "trackio's is TRACKIO_DIR, an environment variable",
    )

    @field_validator("report_to")
    @classmethod
    def _none_alone(cls, names: list[str]) -> list[str]:
        if len(set(names)) != len(names) or ("none" in names and len(names) > 1):
            raise ValueError("name each tracker once, and none alone")
        return names

    @property
    def trackers(self) -> list[str]:
        """Those named; empty for none."""
        return [name for name in self.report_to if name != "none"]
