"""The figures that others published, as typed records of `config/reported.yaml`.

Each keeps its value, unit and source, and names the quantity of ours that stands beside it, if there
is one. Measuring that quantity, and showing both, is left to `tables`.
"""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glow.errors import UserError

Measure = Literal[
    "gain_in_domain", "gain_ood", "gain_ood_general", "gain_ood_other", "entropy_change", "grpo_accuracy"
]


class Counterpart(BaseModel):
    """The quantity of ours that comes nearest to a published one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: Measure
    arm: str = Field(description="arm, or initialisation for grpo_accuracy")
    suite: str | None = Field(None, description="suite, for grpo_accuracy")


class Published(BaseModel):
    """One published figure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str = Field(description="what was measured, in plain words")
    value: float
    unit: str
    setting: str = Field(description="model, data and scale, as far as they are known")
    source: str = Field(description="where it is printed")
    ours: list[Counterpart] = []


class ReportedFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    published: list[Published] = Field(min_length=1)


def read_reported(path: Path) -> list[Published]:
    """Load the published figures.

    Raises:
        UserError: the file is missing, is not YAML, or breaks the schema; the message names the key.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; mend the configuration's key `reported`, or remove it")
    try:
        return ReportedFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).published
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        mistakes = [f"{path}: {'.'.join(map(str, m['loc'])) or 'file'}: {m['msg']}" for m in error.errors()]
        raise UserError("\n".join(mistakes)) from None
