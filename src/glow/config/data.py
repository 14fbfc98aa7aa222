"""Settings of training data: problems, trajectories, verdicts, selections, contamination."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator

from glow.config.models import Decoding
from glow.config.section import Added, Section, Seed, distinct_families, existing, existing_folder

CommonSelection = Literal["positive", "negative", "mixed", "all"]
"""The selections that every study has; they are drawn together."""
FurtherSelection = Literal["positive_all", "negative_all", "positive_paired", "negative_paired", "all_paired"]
"""The selections that are made where an arm asks for one, each by itself."""
SelectionName = Literal[CommonSelection, FurtherSelection]

POSITIVES_ONLY: tuple[SelectionName, ...] = ("positive", "positive_all", "positive_paired")
"""Selections without a negative. Plain training on the first that an experiment has is its reference."""
NEGATIVES_ONLY: tuple[SelectionName, ...] = ("negative", "negative_all", "negative_paired")
"""Selections without a positive."""
BOTH_SIGNS: tuple[SelectionName, ...] = ("all", "all_paired")
"""Selections whose positives and negatives are compared with each other: all of both, or pairs."""
PAIRED: tuple[FurtherSelection, ...] = ("positive_paired", "negative_paired", "all_paired")
"""Selections of questions that have positives and negatives, each question with as many of both."""

Leniency = Literal["allow", "refuse"]
"""What becomes of an answer that is right only if something is overlooked (`records.LENIENCIES`)."""
ExtractionMode = Literal["strict", "lenient", "pattern", "last_number"]
"""Where the answer of a response is found (`glow.verifier.answers`)."""


class Problems(Section):
    """The problems of a training domain: from families, a file, or the hub (exactly one)."""

    families: list[str] | None = Field(None, description="procedural families (glow.miniature)")
    file: Path | None = Field(None, description="JSONL(.gz) or Parquet file of problems")
    hub_dataset: str | None = Field(None, description="hub data set, org/name", pattern=r"^[\w.-]+/[\w.-]+$")
    hub_config: str | None = Field(None, description="configuration (subset) of the hub data set")
    hub_split: str = Field("train", description="split of the hub data set")
    revision: str | None = Field(None, description="commit of the hub data set", pattern=r"^[0-9a-f]{40}$")
    data_dir: Added[Path | None] = Field(
        None, description="folder with the hub data set's files at that commit (default: the hub itself)"
    )
    question_field: str = Field("question", description="key of the question")
    answer_field: str = Field("answer", description="key of the gold answer")
    choices_field: str | None = Field(
        None, description="key of the list of choices, for multiple choice (answer: letter or index)"
    )
    train: int = Field(description="problems that the teacher answers", gt=0)
    grpo: int = Field(0, description="further problems kept for GRPO prompts", ge=0)
    seed: Seed = Field(0, description="seed of the draw")
    disjoint_from: list[str] = Field(
        [],
        exclude=True,
        description="suites with which no question may be shared; the others are left to contamination",
    )

    @property
    def reads_hub(self) -> bool:
        """Whether they are read from the hub, and not from a copy or from elsewhere."""
        return self.hub_dataset is not None and self.data_dir is None

    @field_validator("families")
    @classmethod
    def _distinct(cls, families: list[str] | None) -> list[str] | None:
        return distinct_families(families)

    @field_validator("file")
    @classmethod
    def _present(cls, file: Path | None) -> Path | None:
        return existing(file)

    @field_validator("data_dir")
    @classmethod
    def _is_folder(cls, folder: Path | None) -> Path | None:
        return existing_folder(folder)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(x is not None for x in (self.families, self.file, self.hub_dataset)) != 1:
            raise ValueError("give exactly one of families, file, hub_dataset")
        if (self.hub_dataset is None) != (self.revision is None):
            raise ValueError("hub_dataset and revision (its pinned commit) go together")
        if self.data_dir is not None and self.hub_dataset is None:
            raise ValueError(
                "data_dir is a copy of a hub data set: name that as hub_dataset, with its revision"
            )
        return self


class Domain(Section):
    """A training domain: its own problems, trajectories, arms and models."""

    problems: Problems
    objectives: dict[str, dict[str, JsonValue]] = Field(
        {}, description="settings of objectives, by name, that differ when training in this domain"
    )


class Sampling(Decoding):
    """How the teacher's trajectories are sampled."""

    samples: int = Field(4, description="responses per problem", gt=0)
    seed: Seed = Field(0, description="seed; each sample's own derives from (seed, problem, index)")


class Extraction(Section):
    """Where the answer of a response is found."""

    extraction: ExtractionMode = Field(
        "strict",
        description="strict: only \\boxed{}; lenient: also 'The answer is ...' and the like; pattern: "
        "extraction_pattern; last_number: the last number",
    )
    extraction_pattern: str | None = Field(
        None,
        description="with extraction pattern: a regular expression (of Python) with one group, which is the "
        "answer; the last match in the last 10,000 characters counts",
        validate_default=True,
    )

    @field_validator("extraction_pattern")
    @classmethod
    def _one_group(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        return with_one_group(pattern, info)


def with_one_group(pattern: str | None, info: ValidationInfo) -> str | None:
    """The pattern, if it has one group and the field before it, `extraction`, asks for it; for validators."""
    if "extraction" in info.data and (info.data["extraction"] == "pattern") != (pattern is not None):
        raise ValueError("extraction: pattern and extraction_pattern go together; give both or neither")
    if pattern is None:
        return None
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(
            f"{pattern!r} has {groups} groups; it needs one, around the answer (write others as (?:...))"
        )
    return pattern


class Verification(Extraction):
    """How a response is judged."""

    timeout_s: float = Field(3.0, description="deadline of one verdict, in seconds", gt=0)
    leniency: Leniency = Field(
        "allow",
        description="answers that are right only if something is overlooked, such as a per cent sign or the "
        "half of the day: allow: they are correct; refuse: wrong",
    )


class HeldOut(Section):
    """Which questions no arm trains on: loss and accuracy by epoch are measured on them."""

    held_out: int = Field(
        0,
        description="questions set aside with all their trajectories, for loss and accuracy by epoch "
        "(0: none); the same for every seed",
        ge=0,
    )
    held_out_seed: Seed = Field(0, description="seed of their draw")


class Selection(HeldOut):
    """How trajectories are drawn into positive, negative, mixed and all, and which are set aside."""

    size: Annotated[int, Field(ge=2)] | Literal["auto"] = Field(
        "auto", description="size of positive, negative and mixed (auto: the largest that all three fill)"
    )


class Contamination(Section):
    """How much of a suite may be in the training data."""

    ngram: int = Field(
        13,
        description="length of a shared n-gram, in consecutive words; a shorter question (5 words or more, "
        "or with choices) is searched for by all its words",
        gt=1,
    )
    coverage: float = Field(
        0.8,
        description="a question overlaps when n-grams shared with one training text cover this share of its "
        "words (0: any shared n-gram; 1: all of it; a question shorter than an n-gram needs all of it), or "
        "when the text contains it whole",
        ge=0,
        le=1,
    )
    threshold: float = Field(
        0.01, description="largest share of a suite's questions that may overlap (1: refuse none)", ge=0, le=1
    )
