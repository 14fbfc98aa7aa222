"""Settings of models: where one comes from, what it is asked, how it samples."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from glow.config.section import Added, Neutral, Section, Seed, distinct_families, unknown

EngineName = Literal["transformers", "vllm"]


class Phase(Section):
    """A stretch of pretraining: documents, optimiser and learning rate (5 % warm-up, then a cosine)."""

    steps: int = Field(description="optimiser steps", gt=0)
    shares: dict[str, Annotated[float, Field(ge=0)]] | None = Field(
        None, description="how often documents come from each group of families (default: equally often)"
    )
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: for the matrices of the layers, with AdamW at 3e-3 for all else"
    )
    learning_rate: float = Field(3e-3, description="peak learning rate", gt=0)


class Pretrain(Section):
    """A small Qwen2 model pretrained on the miniature world's worked solutions."""

    role: Literal["base", "teacher"] = Field(
        description="what it is for; each role draws a corpus of its own"
    )
    families: dict[str, Annotated[list[str], Field(min_length=1), AfterValidator(distinct_families)]] = Field(
        description="groups of problem families, by a name for each; a list is one group, called all",
        min_length=1,
    )
    phases: dict[str, Phase] = Field(
        {"all": Phase(steps=1500)}, description="one after the other, by a name for each", min_length=1
    )
    bare_share: float = Field(
        0.0, description="share of documents that ask for the answer alone, and give it", ge=0, le=1
    )
    batch_size: int = Field(4, description="packed rows of 192 tokens per step", gt=0)
    hidden_size: int = Field(96, description="model width", gt=0)
    layers: int = Field(3, description="transformer blocks", gt=0)
    heads: int = Field(3, description="attention heads", gt=0)
    seed: Seed = Field(0, description="seed of weights and of the corpus")
    continues: Literal["student"] | None = Field(
        None,
        exclude=True,
        description="whose model it goes on from (default: from random weights); it must have the same shape",
    )

    @field_validator("families", mode="before")
    @classmethod
    def _one_group(cls, families: Any) -> Any:
        return {"all": families} if isinstance(families, list) else families

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError("hidden_size must be a multiple of twice the number of heads")
        for name, phase in self.phases.items():
            for group in phase.shares or ():
                if group not in self.families:
                    raise ValueError(f"phases.{name}.shares: {unknown(group, list(self.families))}")
            if phase.shares is not None and not any(phase.shares.values()):
                raise ValueError(f"phases.{name}.shares: no group has a share above 0")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Width, blocks and heads."""
        return self.hidden_size, self.layers, self.heads

    @property
    def steps(self) -> int:
        """Optimiser steps of all phases together."""
        return sum(phase.steps for phase in self.phases.values())


class Scratch(Section):
    """A small randomly initialised Qwen2 model whose tokenizer is trained on the user's text."""

    vocabulary: int = Field(2048, description="byte-level BPE vocabulary size", ge=300)
    hidden_size: int = Field(96, description="model width", gt=0)
    layers: int = Field(3, description="transformer blocks", gt=0)
    heads: int = Field(4, description="attention heads", gt=0)
    max_length: int = Field(2048, description="longest sequence in tokens", gt=0)
    seed: Seed = Field(0, description="seed of the weights")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError("hidden_size must be a multiple of twice the number of heads")
        return self


class Hub(Section):
    """A model on the Hugging Face hub, at one commit."""

    hub: str = Field(description="org/name", pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(description="commit hash (40 hex digits)", pattern=r"^[0-9a-f]{40}$")
    trust_remote_code: bool = Field(False, description="download and run the model's own code")


class Model(Section):
    """Where a model comes from: exactly one of the four."""

    pretrain: Pretrain | None = None
    scratch: Scratch | None = None
    hub: Hub | None = None
    path: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Accept `scratch`, a directory, `org/name@commit` and {hub, revision}."""
        if isinstance(value, str):
            if value == "scratch":
                return {"scratch": {}}
            if pinned := re.fullmatch(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})", value):
                return {"hub": {"hub": pinned[1], "revision": pinned[2]}}
            return {"path": value}
        if isinstance(value, dict) and isinstance(value.get("hub"), str):
            return {"hub": value}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("give exactly one of pretrain, scratch, hub (with revision), path")
        files = ("config.json", "adapter_config.json")
        if self.path is not None and not any((self.path / file).is_file() for file in files):
            raise ValueError(
                f"{str(self.path)!r} is not a model: neither a directory with a config.json, or an adapter's "
                f"with an adapter_config.json (looked for in {Path.cwd()}), nor 'scratch', nor a hub id with "
                "a pinned commit (org/name@<40 hex digits>)"
            )
        return self


def _apart(marks: tuple[str, str]) -> tuple[str, str]:
    opening, closing = marks
    if not (opening.strip() and closing.strip()) or opening in closing or closing in opening:
        raise ValueError("give two different marks, neither of them empty nor a part of the other")
    return marks


Thought = Annotated[tuple[str, str], AfterValidator(_apart)]
"""The marks that open and close a thought."""

_GIVEN_TO_TEMPLATES = ("messages", "tools", "documents", "add_generation_prompt")
"""Variables that whoever renders a chat template sets."""


class Prompt(Section):
    """What surrounds a question in the chat template."""

    system: str | None = Field(None, description="system message (none: no system turn)")
    instruction: str = Field("", description="text put after the question, in the same turn")
    chat_template: str | None = Field(
        None,
        description="chatml, plain, one of TRL's by name (qwen3_training) or a .jinja file; left out: the "
        "model's own",
    )
    chat_template_kwargs: dict[str, JsonValue] = Field(
        {}, description="variables of the chat template (enable_thinking=false)"
    )
    thought: Thought = Field(
        ("<think>", "</think>"), description="marks that open and close a thought, which is no answer"
    )

    @field_validator("chat_template_kwargs")
    @classmethod
    def _variables(cls, variables: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in variables:
            if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in _GIVEN_TO_TEMPLATES:
                raise ValueError(f"{name!r} cannot be set: give names of variables such as enable_thinking")
        return variables


StopString = Annotated[str, Field(min_length=1)]


class Decoding(Section):
    """How responses are sampled."""

    engine: EngineName = Field("transformers", description="what runs the model")
    temperature: float = Field(1.0, description="softmax temperature (0: greedy)", ge=0)
    top_p: float = Field(1.0, description="nucleus mass", gt=0, le=1)
    top_k: Added[int] = Field(0, description="how many of the likeliest tokens are drawn from (0: all)", ge=0)
    min_p: Added[float] = Field(
        0.0,
        description="smallest probability of a token, as a share of the likeliest one's (0: any)",
        ge=0,
        le=1,
    )
    stop: Added[list[StopString]] = Field(
        [], description="texts at which a response ends; the text is no part of it (default: none)"
    )
    max_tokens: int = Field(description="longest response in tokens", gt=0)
    batch_size: Neutral[int] = Field(
        256, description="sequences decoded together (transformers engine)", gt=0
    )
