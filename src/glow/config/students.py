"""Several students in one study: what is said of each, and what it has in common with the others.

They are taught by the same trajectories, on the same draws, and asked the same questions. So only what is of
the student itself may differ: how it is trained and asked, and with which of the arms and seeds.
"""

from typing import Any

from pydantic import Field, JsonValue, field_validator, model_validator

from glow.config.models import Model
from glow.config.section import Section

Changes = dict[str, JsonValue]
"""Keys of a section, with the values that they have instead."""

CHANGED_BY_STUDENT = ("prompt", "sft_prompt", "sft", "evaluation")
"""The sections of which a student may change keys, beside `grpo`."""

_SOURCE = ("pretrain", "scratch", "hub", "revision", "trust_remote_code", "path")
"""The keys of a model that is written without `model`."""


def refuse_names(students: dict[Any, Any]) -> None:
    """Refuse names that YAML reads as no text, and a null that takes away nothing but for its case.

    Raises:
        ValueError: says which name, and how to write it.
    """
    for name in students:
        if not isinstance(name, str):
            raise ValueError(f"the name {name!r} is no text: write it in quotes, '{name}'")
    kept = {name.casefold(): name for name, student in students.items() if student is not None}
    for name, student in students.items():
        if student is None and name.casefold() in kept:
            raise ValueError(f"{name}: null takes no student away; did you mean {kept[name.casefold()]!r}?")


class Student(Section):
    """One of several students: its model, and what differs for it."""

    model: Model = Field(description="as for student; its keys may also stand here directly")
    prompt: Changes = Field({}, description="keys of prompt that differ; the teacher's stay as they are")
    sft_prompt: Changes = Field({}, description="keys of sft_prompt that differ")
    sft: Changes = Field({}, description="keys of sft that differ")
    grpo: Changes | None = Field({}, description="keys of grpo that differ; null: no GRPO of this student")
    evaluation: Changes = Field({}, description="keys of evaluation that differ")
    arms: list[str] | None = Field(None, description="those that it is trained in (default: all)")
    seeds: list[int] | None = Field(None, description="those that it is trained with (default: all)")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Accept a model alone, as text, and a model's keys beside those of this section."""
        if isinstance(value, str):
            return {"model": value}
        if not isinstance(value, dict):
            return value
        model = {key: inner for key, inner in value.items() if key in _SOURCE}
        if "model" not in value:
            return {"model": model} | {key: inner for key, inner in value.items() if key not in model}
        if model:
            raise ValueError(
                f"a model, and {', '.join(model)} beside it: put all that is of the model in one place"
            )
        return value

    @property
    def differing(self) -> list[str]:
        """What differs for it beside arms and seeds, as in "sft.epochs: 5"."""
        changed = {key: getattr(self, key) or {} for key in (*CHANGED_BY_STUDENT, "grpo")}
        return [f"{key}.{name}: {value}" for key, own in changed.items() for name, value in own.items()]

    @field_validator("arms", "seeds")
    @classmethod
    def _some(cls, chosen: list[Any] | None) -> list[Any] | None:
        if chosen is not None and (not chosen or len(set(chosen)) != len(chosen)):
            raise ValueError("name some, each once; remove it for all")
        return chosen
