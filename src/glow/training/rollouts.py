"""GRPO's rollouts by our own decoding loop, in place of TRL's call of `generate`.

Kept for CPUs, where `generate` takes twice the time (`benchmarks/rollouts.py`): it keeps rollouts that have
ended in its batch to the end, and copies its whole cache at every token. On a GPU these cost less than our
loop's waits for it. Rollouts by vLLM, and those of a model that is sharded over processes, are TRL's too.
"""

import json
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import unwrap_model_for_generation

from glow.config import Decoding
from glow.errors import UserError
from glow.models.load import context_size, prompt_ids
from glow.models.prompts import Message
from glow.models.sampling import Key
from glow.models.transformers_engine import NetworkSampler
from glow.verifier.thoughts import Thought


def use_own_rollouts(
    trainer: GRPOTrainer, tokenizer: PreTrainedTokenizerBase, stops: Sequence[int], thought: Thought
) -> None:
    """Let a trainer's rollouts be those of this file, unless vLLM makes them or its model is sharded.

    The randomness of a rollout is then a function of its step and place, as in evaluations.

    Args:
        tokenizer: of the policy.
        stops: the tokens that end a rollout.
        thought: the marks of a thought.
    """
    args = trainer.args
    assert isinstance(args, GRPOConfig)
    assert args.max_completion_length is not None  # TRL's own default is a number
    if args.use_vllm or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return
    decoding = Decoding(
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        min_p=args.min_p or 0.0,
        max_tokens=args.max_completion_length,
    )
    trainer.rollout_func = Rollouts(tokenizer, stops, decoding, thought, args.seed)


class Rollouts:
    """TRL's `rollout_func`: a completion for each prompt of this process's part of a step.

    Args:
        tokenizer: of the policy.
        stops: the tokens that end a rollout.
        decoding: temperature, and the longest rollout.
        thought: the marks of a thought.
        seed: of the run.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        stops: Sequence[int],
        decoding: Decoding,
        thought: Thought,
        seed: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._decoding = decoding
        self._thought = thought
        self._seed = seed

    def __call__(self, prompts: list[Any], trainer: GRPOTrainer) -> dict[str, Any]:
        """Token ids of prompts and completions, each with its stop token if it has reached one.

        Args:
            prompts: conversations, each as often as it has rollouts.
            trainer: whose policy is asked.

        Raises:
            UserError: a prompt leaves no room in the model's context, or its chat template refuses it.
        """
        keys = self._keys(prompts, trainer)
        recomputing = trainer.args.gradient_checkpointing_kwargs
        assert not isinstance(recomputing, str)  # the trainer has parsed it
        unwrapped = unwrap_model_for_generation(
            trainer.model_wrapped, trainer.accelerator, gradient_checkpointing_kwargs=recomputing
        )
        with unwrapped as policy, torch.no_grad():
            asked = self._token_ids(prompts, context_size(policy.config))
            sampler = NetworkSampler(policy, self._tokenizer, self._stops, self._decoding, self._thought)
            completions = {row: ids for row, ids, _ in sampler.decode(asked, keys)}
        return {
            "prompt_ids": asked,
            "completion_ids": [completions[place] for place in range(len(prompts))],
            "logprobs": None,  # The step is on policy: TRL takes the probabilities of its own forward pass.
        }

    def _keys(self, prompts: list[list[Message]], trainer: GRPOTrainer) -> list[Key]:
        """What the randomness of each rollout comes from: step and place; in evaluations, its prompt."""
        assert trainer.model is not None
        if not trainer.model.training:
            return [(self._seed, f"GRPO evaluation {json.dumps(messages)}", 0) for messages in prompts]
        first = len(prompts) * trainer.accelerator.process_index
        step = f"GRPO step {trainer.state.global_step}"
        return [(self._seed, step, first + place) for place in range(len(prompts))]

    def _token_ids(self, prompts: list[list[Message]], context: int) -> list[list[int]]:
        """Token ids of each prompt, which a step's rollouts share; fewer than `context`."""
        found: list[list[int]] = []
        for place, messages in enumerate(prompts):
            is_repeated = place > 0 and messages == prompts[place - 1]
            found.append(found[-1] if is_repeated else prompt_ids(self._tokenizer, messages))
        longest = max(range(len(found)), key=lambda place: len(found[place]))
        if len(found[longest]) >= context:
            raise UserError(
                f"grpo: a prompt of {len(found[longest])} tokens leaves no room in the model's context of "
                f"{context}: {prompts[longest][-1]['content'][:60]!r}; remove that problem"
            )
        return found
