"""Settings of evaluation: suites, and how models answer them."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from glow.config.models import Decoding
from glow.config.section import Section, Seed, distinct_families, existing, existing_folder
from glow.files.records import SuiteFormat


class Suite(Section):
    """A named set of evaluation problems: procedural families, or a built-in task (glow/suites)."""

    families: list[str] | None = Field(None, description="procedural families (glow.miniature)")
    task: str | None = Field(None, description="built-in task: a file of glow/suites (default: the key)")
    file: Path | None = Field(None, description="local JSONL(.gz) or Parquet copy of the task's rows")
    data_dir: Path | None = Field(None, description="folder of local copies: <data_dir>/<set>/...")
    shots: int | None = Field(None, description="worked examples before a question, where it has any", ge=0)
    shots_file: Path | None = Field(None, description="local file with the rows for worked examples")
    format: SuiteFormat | None = Field(None, description="boxed (generate) or choice (log-likelihood)")
    problems: int | None = Field(None, description="how many problems (default: all; families: 200)", gt=0)
    seed: Seed = Field(1, description="seed of the draw")
    domain: str | None = Field(
        None,
        exclude=True,
        description="training domain it is in-domain for (default: from its task file; null: none)",
    )
    group: str | None = Field(
        None,
        exclude=True,
        description="group of suites: the paper's are maths, general, other (default: from its task file)",
    )

    @field_validator("families")
    @classmethod
    def _distinct(cls, families: list[str] | None) -> list[str] | None:
        return distinct_families(families)

    @field_validator("file", "shots_file")
    @classmethod
    def _present(cls, file: Path | None) -> Path | None:
        return existing(file)

    @field_validator("data_dir")
    @classmethod
    def _is_folder(cls, folder: Path | None) -> Path | None:
        return existing_folder(folder)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        rows = (self.task, self.file, self.data_dir, self.shots, self.shots_file)
        if self.families is not None and any(setting is not None for setting in rows):
            raise ValueError("give either families, or a task and its file")
        return self


class Evaluation(Decoding):
    """How models are evaluated, through lm-evaluation-harness."""

    temperature: float = Field(0.6, description="softmax temperature (0: greedy)", ge=0)
    top_p: float = Field(0.95, description="nucleus mass", gt=0, le=1)
    samples: int = Field(1, description="responses per problem (boxed suites)", gt=0)
    entropy_samples: int = Field(
        256, description="responses whose policy entropy is scored, spread over the boxed suites", ge=0
    )
    shards: int = Field(
        1, exclude=True, description="jobs that answer the suites of one model side by side", gt=0
    )
