"""TRL's names for what the configuration says of GRPO's loss, rollouts, evaluation and engine.

Length, batch and resume points are `glow.training.grpo`'s own.
"""

from collections.abc import Iterable
from typing import Any

from transformers import (
    PreTrainedTokenizerBase,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from glow.config import Grpo, GrpoEngineHardware
from glow.config.grpo import LENGTH_OF_RUN
from glow.errors import UserError
from glow.models.load import prompt_ids
from glow.models.prompts import Message
from glow.training.callbacks import StopWhenAsked


def trl_settings(grpo: Grpo, engine: GrpoEngineHardware) -> dict[str, Any]:
    """Arguments of a GRPOConfig."""
    settings: dict[str, Any] = {
        "loss_type": grpo.loss_type,
        "importance_sampling_level": grpo.importance_sampling_level,
        "scale_rewards": grpo.scale_rewards,
        "epsilon": grpo.epsilon,
        "epsilon_high": grpo.epsilon_high,
        "mask_truncated_completions": grpo.mask_truncated_completions,
        "num_iterations": grpo.num_iterations,
        "lr_scheduler_type": grpo.scheduler,
        "temperature": grpo.temperature,
        "top_p": grpo.top_p,
        "top_k": grpo.top_k,
        "min_p": grpo.min_p or None,
        **engine.model_dump(),
    }
    if grpo.eval_steps:
        settings |= {"eval_strategy": "steps", "eval_steps": grpo.eval_steps, "num_generations_eval": 1}
    if grpo.loss_type == "vespo":  # TRL refuses its default here: these weights are of whole rollouts already
        settings["vllm_importance_sampling_mode"] = "token_truncate"
    return settings


def not_identifying(grpo: Grpo) -> list[str]:
    """Settings that leave the steps so far as they were: their number, unless the rate depends on it."""
    return [] if grpo.scheduler in LENGTH_OF_RUN else ["grpo.steps"]


def after_whole_rounds(steps: int, grpo: Grpo) -> int:
    """The first step from `steps` on after which new rollouts are made: nothing else can be resumed from."""
    return -(-steps // grpo.num_iterations) * grpo.num_iterations


class StopAfterRollouts(StopWhenAsked):
    """Stops when asked, but only where the next step makes new rollouts, which no checkpoint keeps."""

    def __init__(self, num_iterations: int) -> None:
        self.num_iterations = num_iterations

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if state.global_step % self.num_iterations == 0:
            super().on_step_end(args, state, control, **kwargs)


def refuse_unfit_engine(
    grpo: Grpo,
    engine: GrpoEngineHardware,
    prompts: Iterable[list[Message]],
    tokenizer: PreTrainedTokenizerBase,
    processes: int,
) -> None:
    """Refuse a vLLM that would cut rollouts short, or that the processes cannot share.

    Raises:
        UserError: names the option.
    """
    if not grpo.vllm:
        return
    if processes % engine.vllm_tensor_parallel_size:
        raise UserError(
            f"vllm_tensor_parallel_size: {engine.vllm_tensor_parallel_size} does not divide the {processes} "
            "process(es) of this run; lower it, or start more processes"
        )
    if engine.vllm_max_model_length is None:
        return
    longest = max(len(prompt_ids(tokenizer, messages)) for messages in prompts)
    if longest + grpo.max_tokens > engine.vllm_max_model_length:
        raise UserError(
            f"vllm_max_model_length: {engine.vllm_max_model_length} tokens, and the longest prompt has "
            f"{longest} before a rollout of up to {grpo.max_tokens}; set it to "
            f"{longest + grpo.max_tokens} or more"
        )
