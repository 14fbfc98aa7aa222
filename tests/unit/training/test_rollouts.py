"""GRPO's rollouts by our decoding loop: as the engine samples, whatever the processes and the run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from grpo_runs import SETTINGS, write_problems
from transformers import PreTrainedModel

from glow.config import Decoding, GrpoSettings, Prompt
from glow.errors import UserError
from glow.models.load import load_network, load_tokenizer, prompt_ids, stop_ids
from glow.models.prompts import Message
from glow.models.sampling import Key, Request
from glow.models.transformers_engine import TransformersEngine
from glow.training import grpo as stage
from glow.training.rollouts import Rollouts

DECODING = Decoding(temperature=1.3, max_tokens=12)
QUESTIONS = ["What is 1 + 1?", "What is 17 + 25?"]
PROMPTS: list[list[Message]] = [
    [{"role": "user", "content": question}] for question in QUESTIONS for _ in range(6)
]
"""Two questions with six rollouts each."""


def key(step: int, place: int) -> Key:
    return (3, f"GRPO step {step}", place)


def rollouts(model: Path, seed: int = 3) -> Rollouts:
    tokenizer, prompt = load_tokenizer(model), Prompt()
    return Rollouts(tokenizer, stop_ids(tokenizer, model), DECODING, prompt.thought, seed)


def trainer_of(policy: PreTrainedModel, step: int = 0, process: int = 0) -> Any:
    """What is used of a trainer, after `step` optimiser steps."""
    state = SimpleNamespace(deepspeed_plugin=None, fsdp_plugin=None)
    accelerator = SimpleNamespace(process_index=process, unwrap_model=lambda model: model, state=state)
    args = SimpleNamespace(gradient_checkpointing_kwargs=None)
    steps = SimpleNamespace(global_step=step)
    return SimpleNamespace(
        model=policy, model_wrapped=policy, accelerator=accelerator, args=args, state=steps
    )


@pytest.fixture
def policy(tiny_model: Path) -> PreTrainedModel:
    return load_network(tiny_model, torch.float32).train()


def test_rollouts_are_what_the_engine_samples_with_the_stop_token_that_ended_each(
    tiny_model: Path, policy: PreTrainedModel
) -> None:
    made = rollouts(tiny_model)(PROMPTS, trainer_of(policy, step=4))
    requests = [Request(messages, key(4, place)) for place, messages in enumerate(PROMPTS)]
    expected = TransformersEngine(tiny_model, DECODING, Prompt(), False).generate(requests)
    assert {completion.finish_reason for completion in expected} == {"stop", "length"}
    stops = stop_ids(load_tokenizer(tiny_model), tiny_model)
    for ids, completion in zip(made["completion_ids"], expected, strict=True):
        end = [ids[-1]] if completion.finish_reason == "stop" else []
        assert ids == completion.token_ids + end
        assert set(end) <= set(stops)
    assert made["prompt_ids"] == [prompt_ids(load_tokenizer(tiny_model), messages) for messages in PROMPTS]
    assert made["logprobs"] is None


def test_rollouts_of_a_prompt_differ_and_so_do_steps_and_seeds(
    tiny_model: Path, policy: PreTrainedModel
) -> None:
    first = rollouts(tiny_model)(PROMPTS, trainer_of(policy))["completion_ids"]
    assert len({tuple(ids) for ids in first[:6]}) > 1
    assert rollouts(tiny_model)(PROMPTS, trainer_of(policy))["completion_ids"] == first
    assert rollouts(tiny_model)(PROMPTS, trainer_of(policy, step=1))["completion_ids"] != first
    assert rollouts(tiny_model, seed=4)(PROMPTS, trainer_of(policy))["completion_ids"] != first


def test_processes_share_a_step_as_one_would_make_it(tiny_model: Path, policy: PreTrainedModel) -> None:
    whole = rollouts(tiny_model)(PROMPTS, trainer_of(policy))["completion_ids"]
    parts = [
        rollouts(tiny_model)(PROMPTS[6 * number : 6 * number + 6], trainer_of(policy, process=number))
        for number in range(2)
    ]
    assert [ids for part in parts for ids in part["completion_ids"]] == whole


def test_no_gradient_and_no_inference_tensor_is_left_in_the_policy(
    tiny_model: Path, policy: PreTrainedModel
) -> None:
    rollouts(tiny_model)(PROMPTS, trainer_of(policy))
    assert policy.training
    assert not any(tensor.is_inference() for tensor in [*policy.parameters(), *policy.buffers()])
    assert all(parameter.grad is None and parameter.requires_grad for parameter in policy.parameters())


def test_a_prompt_that_leaves_no_room_is_named(tiny_model: Path, policy: PreTrainedModel) -> None:
    policy.config.max_position_embeddings = 8
    with pytest.raises(UserError, match=r"no room in the model's context of 8: 'What is 17 \+ 25\?'"):
        rollouts(tiny_model)(PROMPTS, trainer_of(policy))


def test_the_stage_rolls_out_with_its_own_temperature_length_and_seed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    original = stage._trainer

    def noting(*arguments: Any) -> Any:
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(stage, "_trainer", noting)
    grpo = SETTINGS.model_copy(update={"steps": 1, "temperature": 0.7})
    problems = write_problems(tmp_path / "problems.jsonl")
    stage.train(problems, tiny_model, tmp_path / "run", GrpoSettings(grpo=grpo, seed=5))
    (trainer,) = made
    assert isinstance(trainer.rollout_func, Rollouts)
    assert trainer.rollout_func._decoding == Decoding(temperature=0.7, max_tokens=12)
    assert trainer.rollout_func._seed == 5
