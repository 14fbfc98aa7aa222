"""Settings of training: objectives, arms, SFT, GRPO."""

from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field, field_validator, model_validator

from glow.config.data import Leniency, SelectionName
from glow.config.grpo import GrpoProblems, PolicyLoss, RolloutSampling
from glow.config.section import Neutral, Section
from glow.config.weights import Weights


class ObjectiveChoice(Section):
    """How samples and tokens are weighted: the name of an objective, and its settings."""

    model_config = ConfigDict(extra="allow")

    objective: str = Field(
        "plain", description="name of the objective; for your own, file.py:name or module:name"
    )

    @property
    def settings(self) -> dict[str, Any]:
        """What is given beside the name: declared and checked in `glow.training.objectives`."""
        return self.model_extra or {}


class Arm(Section):
    """Which trajectories x which objective."""

    trajectories: SelectionName
    objective: str


TooLong = Literal["refuse", "drop", "cut"]
"""What is done with samples that are longer than max_length."""

DONE_TO_LONG = {"drop": "left out", "cut": "cut"}
"""The same in words, once it is done."""


SftSchedule = Literal[
    "cosine",
    "linear",
    "constant",
    "constant_with_warmup",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
]
"""Learning-rate schedules of transformers that want no further settings."""

MOST_EPOCHS = 1_000_000
"""Passes that nobody has seen the end of: a slip of the keyboard."""


class Sft(Weights):
    """Supervised fine-tuning, by TRL's SFTTrainer."""

    budget: Literal["steps", "epochs"] = Field(
        "epochs",
        description="epochs: every arm makes `epochs` passes, as in the paper; steps: every arm takes "
        "as many optimiser steps as `epochs` passes over all trajectories",
    )
    epochs: int = Field(20, description="passes over the arm's trajectories", gt=0, le=MOST_EPOCHS)
    batch_size: int = Field(
        4, description="trajectories in an optimiser step, over all devices together", gt=0
    )
    learning_rate: float = Field(1e-5, description="peak learning rate", gt=0)
    scheduler: SftSchedule = Field("cosine", description="learning-rate schedule (transformers' names)")
    warmup_ratio: float = Field(0.1, description="share of steps that warm up", ge=0, le=1)
    max_length: int = Field(32000, description="longest prompt and response together, in tokens", gt=0)
    too_long: TooLong = Field(
        "drop",
        description="trajectories longer than max_length: refuse: stop; drop: leave out, at most the share "
        "too_long_limit of them, and stop if there are more; cut: train on what fits",
    )
    too_long_limit: float = Field(
        0.01, description="largest share of trajectories that drop leaves out", ge=0, le=1
    )
    precision: Literal["fp32", "bf16"] = Field("bf16", description="training precision")
    gradient_checkpointing: Neutral[bool] = Field(True, description="recompute activations")
    epoch_questions: int = Field(
        0,
        description="held-out questions that are answered before training and after each epoch, greedily "
        "(0: none)",
        ge=0,
    )
    epoch_max_tokens: int = Field(1024, description="longest such answer in tokens", gt=0)
    checkpoints: Neutral[int] = Field(4, description="resume points over the run (0: none)", ge=0)

    @model_validator(mode="before")
    @classmethod
    def _one_batch(cls, given: Any) -> Any:
        if isinstance(given, dict) and "gradient_accumulation" in given:
            parts, size = given["gradient_accumulation"], given.get("batch_size", 4)
            whole = isinstance(parts, int) and isinstance(size, int)
            raise ValueError(
                "gradient_accumulation: batch_size counts the trajectories of a whole optimiser step; write "
                f"batch_size: {f'{parts * size} ({size} x {parts}' if whole else 'their product ('}, times "
                "the devices, if there were several), and remove this (micro_batch in a profile saves memory)"
            )
        return given


Choice = TypeVar("Choice", list[str], list[int])


class _GrpoRun(Section):
    """Which runs of GRPO there are, and how long and how large each is."""

    initialisations: list[str] | None = Field(
        None, exclude=True, description="what it starts from: arms, and base (default: base and every arm)"
    )
    seeds: list[int] | None = Field(
        None, exclude=True, description="those of the experiment's seeds that it runs with (default: all)"
    )
    steps: int = Field(description="optimiser steps", gt=0)
    prompts: int = Field(8, description="prompts per step", gt=0)
    generations: int = Field(8, description="rollouts per prompt", ge=2)
    learning_rate: float = Field(1e-6, description="learning rate after the warm-up", gt=0)
    warmup_steps: int = Field(
        0, description="first steps, over which the learning rate rises from 0 (0: no warm-up)", ge=0
    )
    adam_beta2: float = Field(
        0.999,
        description="decay of Adam's mean of squared gradients: lower forgets early gradients sooner",
        ge=0,
        lt=1,
    )
    temperature: float = Field(1.0, description="rollout temperature", gt=0)
    max_tokens: int = Field(description="longest rollout in tokens", gt=0)
    kl: float = Field(0.0, description="weight of the KL penalty to the initialisation", ge=0)
    leniency: Leniency = Field(
        "refuse",
        description="rollouts whose answer is right only if something is overlooked, such as a per cent sign "
        "or the half of the day: refuse: no reward; allow: as for any right one",
    )
    verdict_timeout_s: float = Field(
        1.0, description="deadline of the verdict on one rollout, in seconds", gt=0
    )
    precision: Literal["fp32", "bf16"] = Field("bf16", description="training precision")
    gradient_checkpointing: Neutral[bool] = Field(True, description="recompute activations")
    vllm: bool = Field(False, description="roll out with vLLM (colocated) in place of transformers")
    checkpoints: Neutral[int] = Field(2, description="resume points over the run (0: none)", ge=0)

    @model_validator(mode="before")
    @classmethod
    def _one_batch(cls, given: Any) -> Any:
        if isinstance(given, dict) and "gradient_accumulation" in given:
            raise ValueError(
                "gradient_accumulation: a step is prompts x generations rollouts, on however many devices; "
                "remove this (micro_batch in a profile saves memory)"
            )
        return given

    @field_validator("initialisations", "seeds")
    @classmethod
    def _distinct(cls, chosen: Choice | None) -> Choice | None:
        if chosen == []:
            raise ValueError("an empty list; remove it for all, or set `grpo: null` to leave GRPO out")
        if chosen is not None and len(set(chosen)) != len(chosen):
            raise ValueError("one is named twice; remove it")
        return chosen


class Grpo(GrpoProblems, RolloutSampling, PolicyLoss, _GrpoRun, Weights):
    """GRPO, by TRL's GRPOTrainer, rewarded by the verifier."""


DEFAULT_OBJECTIVES = {
    "plain": ObjectiveChoice(objective="plain"),
    "glow": ObjectiveChoice(objective="glow"),
    "glow_released": ObjectiveChoice(objective="glow", clamp=[0.5, 5.0]),
}

DEFAULT_ARMS = {
    "positive": Arm(trajectories="positive", objective="plain"),
    "negative": Arm(trajectories="negative", objective="plain"),
    "mixed": Arm(trajectories="mixed", objective="plain"),
    "all": Arm(trajectories="all", objective="plain"),
    "glow": Arm(trajectories="all", objective="glow"),
    "glow_released": Arm(trajectories="all", objective="glow_released"),
}
