"""Settings of the users' own trajectories: where their rows are, and which keys hold what."""

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from glow.config.evaluation import AnswerAs
from glow.config.models import Prompt, Thought
from glow.config.presets import PRESETS
from glow.config.section import Added, PartName, Section, existing, existing_folder, unknown

Gold = Literal["found", "whole", "boxed"]
"""What of a mapped text is the gold answer."""

ROW_SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet")
"""Files of rows in a folder, by their names; .gz and .zst may follow."""

_PACKED = (".gz", ".zst")


class Fields(Section):
    """Which keys of the user's rows hold what.

    A key may lead into a row: `deepseek.grade`, `doc.choices[0]`, `samples[*].text`, `messages[assistant]`
    (the last such turn), `a|b` (the first that is there); `?` at its end: rows may lack it.
    """

    question: str = Field("question", description="key of the question")
    answer: str = Field("answer", description="key of the gold answer", validate_default=True)
    response: str = Field(
        "response",
        description="key of the model's response, or of a list of responses",
        validate_default=True,
    )
    label: str | None = Field(
        None, description="key of a correctness label, if there is one: true or false, yes or no, a reward"
    )
    finish_reason: str | None = Field(
        None,
        description="key that says why a response ended (default: finish_reason or truncated, in rows that "
        "have one)",
    )
    id: str | None = Field(None, description="key of a row id, if there is one (duplicates are refused)")
    generator: str | None = Field(None, description="key of the name of the model that wrote the row")
    answer_type: str | None = Field(None, description="key of the gold answer's type (default: inferred)")
    choices: str | None = Field(
        None, description="key of the choices, where the answer is a letter, an index or a choice's text"
    )
    stated: str | None = Field(
        None,
        description="key of the answer that the response states, where it was extracted already: the "
        "response is then not searched for it",
    )
    choice_columns: Added[list[str]] = Field(
        [], description="keys of the choices, where each has one of its own: A B C D"
    )
    reasoning: Added[str | None] = Field(
        None, description="key of the reasoning that came before the response, to be joined with it"
    )
    context: Added[str | None] = Field(
        None, description="key of text that belongs to the question and follows it, such as Alpaca's input"
    )

    @field_validator("answer", "response")
    @classmethod
    def _distinct(cls, key: str, info: ValidationInfo) -> str:
        if key in [info.data.get(name) for name in ("question", "answer")]:
            raise ValueError(
                "question, answer and response must be three different keys (of a conversation, name the "
                "turns: messages[user], messages[assistant])"
            )
        return key

    @model_validator(mode="after")
    def _one_kind_of_choices(self) -> Self:
        if self.choices is not None and self.choice_columns:
            raise ValueError("choices and choice_columns are two ways to say the same; give one")
        return self


class HowRead(Section):
    """How own trajectories are read, wherever they are."""

    preset: Added[str | None] = Field(
        None, description=f"layout of known rows: {', '.join(PRESETS)}; fields that are given replace its own"
    )
    fields: Fields = Field(Fields(), description="which keys hold what")
    gold: Added[Gold] = Field(
        "found",
        description="found: of a solution what follows ####, or its last box, otherwise the text; whole: the "
        "text as it stands; boxed: the last box, and no gold answer where there is none",
    )
    answer_as: Added[AnswerAs] = Field(
        "auto", description="with choices: what the answer is, if that is not plain from it"
    )
    label_threshold: Added[float | None] = Field(
        None, description="with rewards as labels: from where on a response is right", allow_inf_nan=False
    )
    hub_dataset: Added[str | None] = Field(
        None, description="hub data set, org/name, in place of files", pattern=r"^[\w.-]+/[\w.-]+$"
    )
    hub_config: Added[str | None] = Field(None, description="configuration (subset) of the hub data set")
    hub_split: Added[str | None] = Field(
        None, description="split of the hub data set (default: the preset's, or train)"
    )
    revision: Added[str | None] = Field(
        None, description="commit of the hub data set", pattern=r"^[0-9a-f]{40}$"
    )
    data_dir: Added[Path | None] = Field(
        None, description="folder with the hub data set's files at that commit (default: the hub itself)"
    )

    shared_questions: Added[Literal["refuse", "drop"]] = Field(
        "refuse",
        description="what becomes of rows whose question is in a suite that they may share none with: refuse "
        "stops with the first, drop leaves them out and counts them",
    )

    @model_validator(mode="before")
    @classmethod
    def _laid_out(cls, given: Any) -> Any:
        """What was given, over what the preset says."""
        name = given.get("preset") if isinstance(given, Mapping) else None
        if name is None:
            return given
        if name not in PRESETS:
            raise ValueError(f"preset: {unknown(str(name), list(PRESETS))}")
        preset = PRESETS[name]
        own = given.get("fields", {})
        if isinstance(own, Fields):
            own = {key: getattr(own, key) for key in own.model_fields_set}
        if not isinstance(own, Mapping):
            return given
        laid_out = {**preset.beside, **given, "fields": {**preset.fields, **own}}
        if preset.hub is not None and given.get("hub_dataset") == preset.hub[0]:
            laid_out = {"hub_config": preset.hub[1], "hub_split": preset.hub[2]} | laid_out
        return laid_out

    @field_validator("data_dir")
    @classmethod
    def _is_folder(cls, folder: Path | None) -> Path | None:
        return existing_folder(folder)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.hub_dataset is None) != (self.revision is None):
            raise ValueError("hub_dataset and revision (its pinned commit) go together")
        beside = [name for name in ("hub_config", "hub_split", "data_dir") if getattr(self, name) is not None]
        if beside and self.hub_dataset is None:
            raise ValueError(
                f"{beside[0]} belongs to a hub data set: name that as hub_dataset, with its revision"
            )
        if self.label_threshold is not None and self.fields.label is None:
            raise ValueError("label_threshold needs fields.label, the key of the reward")
        return self

    @property
    def reads_hub(self) -> bool:
        """Whether the rows are read from the hub, and not from files or a copy."""
        return self.hub_dataset is not None and self.data_dir is None


class OwnTrajectories(HowRead):
    """Trajectories that the user brings, in place of problems and a teacher."""

    files: list[Path] = Field(
        [], description="JSON Lines, JSON, CSV or Parquet files, folders of them, or patterns such as *.jsonl"
    )
    domain: PartName = Field("own", description="name of the training domain")
    limit: int | None = Field(None, description="use this many rows, drawn by content hash", gt=0)
    grpo: int = Field(0, description="questions kept out of the arms, as GRPO prompts", ge=0)
    disjoint_from: list[str] = Field(
        [], description="suites with which no question may be shared; the others are left to contamination"
    )

    @field_validator("files")
    @classmethod
    def _present(cls, files: list[Path]) -> list[Path]:
        return files_of(files)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.files) == (self.hub_dataset is not None):
            raise ValueError("give files, or a hub_dataset with its revision (one of the two)")
        return self


class ImportSettings(HowRead):
    """Reading the users' own trajectories."""

    limit: int | None = Field(None, description="use this many rows, drawn by content hash", gt=0)
    grpo: int = Field(0, description="questions kept out of the output, as GRPO prompts", ge=0)
    thought: Added[Thought] = Field(
        Prompt().thought, description="marks that open and close a thought, where reasoning is joined"
    )


def files_of(given: list[Path]) -> list[Path]:
    """The files that are meant, each once: files themselves, those of folders, those that fit a pattern.

    Raises:
        ValueError: there is none at one of the places.
    """
    return list(dict.fromkeys(file for place in given for file in _files_at(place)))


def _files_at(place: Path) -> list[Path]:
    if place.is_dir():
        found = [file for file in sorted(place.rglob("*")) if _has_rows(file.relative_to(place), file)]
        if not found:
            raise ValueError(
                f"{str(place)!r}: a folder without a file of rows; their names end in "
                f"{', '.join(ROW_SUFFIXES)}, or in .gz or .zst after that"
            )
        return found
    if place.exists() or not glob.has_magic(str(place)):
        existing(place)
        return [place]
    start = Path(place.anchor)
    found = [file for file in sorted(start.glob(str(place.relative_to(start)))) if file.is_file()]
    if not found:
        raise ValueError(f"{str(place)!r}: no file fits this pattern in {Path.cwd()}")
    return found


def _has_rows(inside: Path, file: Path) -> bool:
    """Whether a file of a folder is one of rows: not hidden, and named like one."""
    hidden = any(part.startswith((".", "_")) for part in inside.parts)
    name = file.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return not hidden and name.endswith(ROW_SUFFIXES) and file.is_file()
