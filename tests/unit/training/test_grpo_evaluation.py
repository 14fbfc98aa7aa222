"""GRPO's evaluation while it trains: what is measured, and that nothing else changes by it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from grpo_runs import SETTINGS, LetterVerifier, Runs, is_the_whole, resumed_from, same, weights

from glow.config import Decoding, Grpo, Prompt, Verification
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.models.load import load_network, load_tokenizer, stop_ids
from glow.models.prompts import prompt_messages
from glow.models.sampling import Request
from glow.models.transformers_engine import NetworkSampler
from glow.training import grpo as stage
from glow.training.grpo_evaluation import EvaluatedGrpoTrainer, evaluation_rows
from glow.training.grpo_problems import choose_problems
from glow.verifier.verify import Item

EVALUATED = SETTINGS.model_copy(update={"eval_steps": 2, "eval_problems": 2})
"""Two of the five problems are set aside."""


@pytest.fixture
def runs(problems: Path, tiny_model: Path, letters: None) -> Runs:
    return Runs(problems, tiny_model)


def evaluations(run: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(run / "evaluations.jsonl"))


def asked_of(model: Path, questions: list[str], seed: int = 3) -> dict[str, float]:
    """What a model's rollouts of the questions give, by our engine, one at a time."""
    tokenizer, prompt = load_tokenizer(model), Prompt(instruction="Go.")
    network, stops = load_network(model, torch.float32), stop_ids(tokenizer, model)
    sampler = NetworkSampler(network, tokenizer, stops, Decoding(max_tokens=12), prompt.thought)
    found = []
    for question in questions:
        messages = prompt_messages(question, prompt)
        key = (seed, f"GRPO evaluation {json.dumps(messages)}", 0)
        (own,) = sampler.generate([Request(messages, key)])
        right = LetterVerifier(Verification()).is_right(Item(own.text, "", None))
        length = len(own.token_ids) + (own.finish_reason == "stop")
        found.append((float(right), float(length), float(own.finish_reason == "length")))
    names = ("reward", "completion_length", "clipped_ratio")
    return {
        name: sum(column) / len(found) for name, column in zip(names, zip(*found, strict=True), strict=True)
    }


def test_before_the_first_step_and_to_the_last_the_policy_is_asked_what_it_does_not_train_on(
    runs: Runs, problems: Path, tmp_path: Path
) -> None:
    settings = EVALUATED.model_copy(update={"eval_steps": 4})
    runs.train(tmp_path / "run", settings)
    rows = evaluations(tmp_path / "run")
    assert [row["step"] for row in rows] == [0, 4, 6]  # the last step counts, whether or not it is its turn
    chosen = choose_problems(problems, settings, 3, None)
    questions = [row["question"] for row in chosen.set_aside]
    assert len(questions) == 2
    assert not {row["question"] for row in chosen.trained_on} & set(questions)
    for row, model in ((rows[0], runs.model), (rows[-1], tmp_path / "run" / "model")):
        assert {key: row[key] for key in row if key != "step"} == pytest.approx(asked_of(model, questions))
    facts = json.loads((tmp_path / "run" / "manifest.json").read_text())["facts"]
    assert (facts["problems"], facts["set_aside"]) == (5, 2)
    assert [row["step"] for row in read_jsonl(tmp_path / "run" / "log.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_training_is_the_same_to_the_last_bit_with_it_and_without(
    runs: Runs, problems: Path, tmp_path: Path
) -> None:
    runs.train(tmp_path / "with", EVALUATED)
    left = tmp_path / "left.jsonl"
    write_jsonl(left, choose_problems(problems, EVALUATED, 3, None).trained_on)
    Runs(left, runs.model).train(tmp_path / "without")
    assert is_the_whole(tmp_path / "with", tmp_path / "without")
    assert not (tmp_path / "without" / "evaluations.jsonl").exists()


def test_an_evaluation_leaves_the_random_numbers_of_training_alone(runs: Runs, tmp_path: Path) -> None:
    """`generate`, which a GPU keeps, draws from the global ones: so does this stand-in."""
    states: list[torch.Tensor] = []

    class Drawing(EvaluatedGrpoTrainer):
        def _generate(self, prompts: list[Any]) -> Any:
            if not self.model.training:
                states.append(torch.rand(1))
            return super()._generate(prompts)

        def evaluate(self, *arguments: Any, **named: Any) -> Any:
            before = torch.random.get_rng_state()
            found = super().evaluate(*arguments, **named)
            assert torch.equal(before, torch.random.get_rng_state())
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "EvaluatedGrpoTrainer", Drawing)
        runs.train(tmp_path / "run", EVALUATED)
    assert len(states) == 4
    assert len({state.item() for state in states}) == 1  # the same ones each time


@pytest.mark.parametrize("killed_at", [1, 3, 5])
def test_a_killed_run_ends_with_the_same_evaluations_and_bits(
    killed_at: int, runs: Runs, tmp_path: Path
) -> None:
    """Checkpoints stand after steps 2 and 4."""
    runs.train(tmp_path / "whole", EVALUATED)
    resumed = tmp_path / "resumed"
    runs.train_killed(killed_at, resumed, EVALUATED)
    runs.train(resumed, EVALUATED)
    assert resumed_from(resumed) == (f"checkpoint-{killed_at - 1}" if killed_at > 1 else None)
    assert is_the_whole(resumed, tmp_path / "whole")
    assert evaluations(resumed) == evaluations(tmp_path / "whole")


def test_each_problem_counts_once_however_many_are_asked_together(runs: Runs, tmp_path: Path) -> None:
    """Batches of 2 for 3 problems, where a mean over batches would weigh the third like two."""
    small = SETTINGS.model_copy(
        update={"steps": 1, "prompts": 1, "generations": 2, "eval_steps": 1, "eval_problems": 3}
    )
    large = small.model_copy(update={"prompts": 2, "generations": 4})
    runs.train(tmp_path / "small", small)
    runs.train(tmp_path / "large", large)
    assert evaluations(tmp_path / "small")[0] == evaluations(tmp_path / "large")[0]


def test_processes_share_the_problems_and_each_has_as_many() -> None:
    dataset = Dataset.from_dict({"prompt": ["a", "b", "c", "d", "e"]})
    shares = []
    for index in range(2):
        accelerator = SimpleNamespace(num_processes=2, process_index=index)
        own: Any = SimpleNamespace(accelerator=accelerator)
        shares.append(EvaluatedGrpoTrainer._own_rows(own, dataset))
    assert [len(share) for share in shares] == [3, 3]
    counted = [row["prompt"] for share in shares for row in share if row["counts"]]
    assert sorted(counted) == ["a", "b", "c", "d", "e"]


def test_rows_are_told_from_those_of_training_in_the_history() -> None:
    row = {"eval_reward": 0.5, "eval_completions/mean_length": 3.0, "eval_completions/clipped_ratio": 0.25}
    history = [{"reward": 1.0, "step": 1}, {**row, "step": 1, "epoch": 0.5}]
    assert evaluation_rows(history) == [
        {"step": 1, "reward": 0.5, "completion_length": 3.0, "clipped_ratio": 0.25}
    ]


def test_a_run_of_several_iterations_stops_and_resumes_between_rollouts(runs: Runs, tmp_path: Path) -> None:
    """Two updates on each step's rollouts: a checkpoint in between would lose them."""
    twice: Grpo = EVALUATED.model_copy(update={"num_iterations": 2, "steps": 8, "checkpoints": 4})
    runs.train(tmp_path / "whole", twice)
    runs.train_killed(5, tmp_path / "resumed", twice)
    runs.train(tmp_path / "resumed", twice)
    assert resumed_from(tmp_path / "resumed") == "checkpoint-4"
    assert is_the_whole(tmp_path / "resumed", tmp_path / "whole")
    rewards = [row["reward"] for row in read_jsonl(tmp_path / "whole" / "log.jsonl")]
    assert len(rewards) == 4  # one row for each step's rollouts, of which there are half as many
    once = EVALUATED.model_copy(update={"steps": 4})
    runs.train(tmp_path / "once", once)
    assert not same(weights(tmp_path / "once"), weights(tmp_path / "whole"))
