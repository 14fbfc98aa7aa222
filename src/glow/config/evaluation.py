"""Settings of evaluation: suites, and how models answer them."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from glow.config.models import Decoding
from glow.config.section import Added, Section, distinct_families, existing, existing_folder
from glow.files.records import SuiteFormat

AnswerAs = Literal["auto", "letter", "index", "number", "text"]
"""What the gold answer of a question with choices is (`glow.data.choices`)."""


class SuiteFields(Section):
    """Which keys of a suite's rows hold what."""

    question: str | None = Field(None, description="key of the question")
    answer: str | None = Field(None, description="key of the gold answer")
    choices: str | list[str] | None = Field(
        None, description="key of the list of choices, or the keys that hold one choice each, in order"
    )
    family: str | None = Field(None, description="key of the kind of question, if there is one")
    answer_as: AnswerAs = Field(
        "auto",
        description="what the gold of a question with choices is: a letter, an index from 0, a number from "
        "1, or the text of the choice",
    )
    answer_after: str | None = Field(
        None, description="mark after which the answer stands, as #### in GSM8K", min_length=1
    )

    @field_validator("choices")
    @classmethod
    def _several(cls, keys: str | list[str] | None) -> str | list[str] | None:
        if isinstance(keys, list) and (len(keys) < 2 or len(set(keys)) < len(keys)):
            raise ValueError("give one key that holds a list, or two or more different keys")
        return keys


class Suite(Section):
    """A named set of evaluation problems: procedural families, a built-in task (glow/suites), or rows of
    your own.
    """

    families: list[str] | None = Field(None, description="procedural families (glow.miniature)")
    task: str | None = Field(None, description="built-in task: a file of glow/suites (default: the key)")
    file: Path | None = Field(None, description="local JSONL(.gz) or Parquet copy of the task's rows")
    hub_dataset: Added[str | None] = Field(
        None, description="rows of a hub data set, org/name, in place of a task", pattern=r"^[\w.-]+/[\w.-]+$"
    )
    hub_configs: Added[list[str] | None] = Field(
        None,
        description="configurations (subsets) of the hub data set (default: the set's own)",
        min_length=1,
    )
    hub_split: Added[str | None] = Field(
        None, description="split of the hub data set (default: test)", min_length=1
    )
    revision: Added[str | None] = Field(
        None, description="commit of the hub data set", pattern=r"^[0-9a-f]{40}$"
    )
    fields: Added[SuiteFields | None] = Field(
        None, description="which keys of the rows hold what (default: as the task says)"
    )
    lm_eval: Added[Path | None] = Field(
        None, description="task file of lm-evaluation-harness whose questions are asked; its functions run"
    )
    data_dir: Path | None = Field(None, description="folder of local copies: <data_dir>/<set>/...")
    shots: int | None = Field(None, description="worked examples before a question, where it has any", ge=0)
    shots_file: Path | None = Field(None, description="local file with the rows for worked examples")
    format: SuiteFormat | None = Field(None, description="boxed (generate) or choice (log-likelihood)")
    problems: int | None = Field(None, description="how many problems (default: all; families: 200)", gt=0)
    seed: int = Field(1, description="seed of the draw", ge=0)
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

    @field_validator("file", "shots_file", "lm_eval")
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
        own = (self.hub_dataset, self.fields, self.lm_eval)
        if self.families is not None and any(setting is not None for setting in rows + own):
            raise ValueError("give either families, or a task and its file")
        if self.lm_eval is not None and any(setting is not None for setting in rows + own[:2]):
            raise ValueError("a task file of lm-eval (lm_eval) says where its rows are: give no others")
        if self.hub_dataset is not None and any(setting is not None for setting in rows):
            raise ValueError("give either rows of the hub (hub_dataset), or a task or file")
        if (self.hub_dataset is None) != (self.revision is None):
            raise ValueError("hub_dataset and revision (its pinned commit) go together")
        if self.hub_dataset is None and (self.hub_configs is not None or self.hub_split is not None):
            raise ValueError("hub_configs and hub_split say what of a hub_dataset is read: give that")
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
