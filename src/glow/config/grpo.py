"""Settings of GRPO that stand beside its length and its batch (`glow.config.training.Grpo`).

Names and meanings are those of TRL's GRPOConfig where it has the setting, and defaults are TRL's too.
"""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from glow.config.section import Added, Section

LossType = Literal["dapo", "grpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo"]
"""TRL's losses, but for `bnpo`: its mean is over one device's micro-batch, so hardware would change it."""

Schedule = Literal["constant_with_warmup", "linear", "cosine", "inverse_sqrt"]
"""Learning-rate schedules of transformers that want no further settings and know the warm-up."""

LENGTH_OF_RUN: tuple[Schedule, ...] = ("linear", "cosine")
"""Those whose rate at a step depends on how long the run is."""

CLIPPED: tuple[LossType, ...] = ("dapo", "grpo", "dr_grpo", "luspo")
"""Losses with PPO's clip range, 1 - epsilon to 1 + epsilon_high. `cispo` clips the weight at epsilon_high."""


class PolicyLoss(Section):
    """What a step of GRPO minimises, and its learning rate's course."""

    loss_type: Added[LossType] = Field(
        "dapo",
        description="how token losses become one: dapo: mean over the step's tokens; grpo: mean over tokens, "
        "then over rollouts; dr_grpo: sum over rollouts x max_tokens; cispo, sapo, luspo, vespo: see TRL",
    )
    importance_sampling_level: Added[Literal["token", "sequence"]] = Field(
        "token",
        description="what probability ratios are of: each token, or the whole rollout (GSPO, with loss_type "
        "grpo; luspo)",
    )
    scale_rewards: Added[Literal["group", "batch", "none"]] = Field(
        "group",
        description="what advantages are divided by: the standard deviation of the prompt's rewards, of the "
        "step's, or nothing",
    )
    epsilon: Added[float] = Field(0.2, description="clip range of ratios below 1", gt=0)
    epsilon_high: Added[float | None] = Field(
        None,
        description="clip range above 1 (default: epsilon); for loss_type cispo, the largest weight",
        gt=0,
    )
    mask_truncated_completions: Added[bool] = Field(
        False, description="leave rollouts out of the loss that max_tokens has cut off"
    )
    num_iterations: Added[int] = Field(
        1, description="updates on each step's rollouts; the clip range matters from the second on", gt=0
    )
    scheduler: Added[Schedule] = Field(
        "constant_with_warmup", description="learning-rate schedule after the warm-up (transformers' names)"
    )

    @field_validator("loss_type", mode="before")
    @classmethod
    def _not_of_hardware(cls, loss_type: object) -> object:
        if loss_type == "bnpo":
            raise ValueError(
                "bnpo takes its mean over the tokens of one device's micro-batch, so the number of devices "
                "would change the result; choose dapo, the same mean over the whole step"
            )
        return loss_type

    @model_validator(mode="after")
    def _loss_fits(self) -> Self:
        if self.loss_type == "cispo" and self.epsilon_high is None:
            raise ValueError("loss_type cispo clips weights at epsilon_high alone; set it (ScaleRL: 5.0)")
        if self.loss_type == "luspo" and self.importance_sampling_level == "token":
            raise ValueError("loss_type luspo is of whole rollouts; set importance_sampling_level: sequence")
        if self.loss_type == "vespo" and self.importance_sampling_level == "sequence":
            raise ValueError(
                "loss_type vespo weighs whole rollouts by itself; set importance_sampling_level: token"
            )
        return self


class RolloutSampling(Section):
    """Which tokens a rollout is drawn from."""

    top_p: Added[float] = Field(1.0, description="nucleus mass", gt=0, le=1)
    top_k: Added[int] = Field(0, description="how many of the likeliest tokens are drawn from (0: all)", ge=0)
    min_p: Added[float] = Field(
        0.0,
        description="smallest probability of a token, as a share of the likeliest one's (0: any)",
        ge=0,
        le=1,
    )


class GrpoProblems(Section):
    """Which problems GRPO trains on: some are set aside, and some left out by how often they are solved."""

    eval_steps: Added[int] = Field(
        0, description="optimiser steps from one evaluation on problems set aside to the next (0: none)", ge=0
    )
    eval_problems: Added[int] = Field(
        0, description="problems set aside for it, drawn by content hash and never trained on", ge=0
    )
    pass_rate_rollouts: Added[int] = Field(
        0,
        description="rollouts of the starting model on each problem, by which problems are left out that are "
        "too hard or too easy (0: none are)",
        ge=0,
    )
    min_pass_rate: Added[float] = Field(
        0.01, description="problems that it solves less often are left out", ge=0, le=1
    )
    max_pass_rate: Added[float] = Field(0.99, description="and those that it solves more often", ge=0, le=1)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if bool(self.eval_steps) != bool(self.eval_problems):
            raise ValueError(
                f"eval_steps {self.eval_steps} and eval_problems {self.eval_problems} go together: set both "
                "above 0, or both to 0"
            )
        if self.min_pass_rate > self.max_pass_rate:
            raise ValueError(
                f"min_pass_rate {self.min_pass_rate:g} is above max_pass_rate {self.max_pass_rate:g}, which "
                "leaves no problem"
            )
        return self
