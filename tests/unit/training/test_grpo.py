"""The GRPO stage: order of prompts, reward, signal, log, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from grpo_runs import OPENING, SETTINGS, LetterVerifier, Runs, same, train, weights
from safetensors.torch import load_file
from transformers import TrainerCallback

from glow.config import Grpo, GrpoSettings, TrainingHardware, Verification
from glow.errors import UserError
from glow.files.jsonl import read_jsonl
from glow.models.load import load_tokenizer, stop_ids
from glow.training import grpo as stage
from glow.training.grpo import CorrectnessReward, prompt_order
from glow.training.grpo_signal import no_signal
from glow.verifier.thoughts import Thought
from glow.verifier.verify import Item, Verifier


def test_prompt_order_covers_each_pass_and_never_repeats_within_a_step() -> None:
    settings = SETTINGS.model_copy(update={"steps": 7, "prompts": 2})
    order = prompt_order(5, settings, seed=0)
    assert len(order) == 14
    passes = [order[start : start + 4] for start in range(0, 12, 4)]  # two steps fit in 5 problems
    assert all(len(set(drawn)) == 4 for drawn in passes)
    assert len({tuple(drawn) for drawn in passes}) > 1
    assert prompt_order(5, settings, seed=1) != order
    longer = settings.model_copy(update={"steps": 20})
    assert prompt_order(5, longer, seed=0)[:14] == order


def test_reward_is_one_for_correct_and_zero_for_anything_else(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    stop = stop_ids(tokenizer, tiny_model)[-1:]
    asked: list[tuple[str, list[int], str, bool, float]] = [
        (r"So \boxed{5}", stop, "5", False, 1),
        (r"So \boxed{6}", stop, "5", False, 0),
        ("no answer", stop, "5", False, 0),
        (r"So \boxed{5}", [], "5", False, 0),  # cut off
        (r"So \boxed{1/2}", stop, "0.5", False, 1),
        ("", [], "5", False, 0),  # no token at all
        ("", stop, "5", False, 0),
        (r"<think> Try \boxed{5}.", stop, "5", False, 0),
        (r"Try \boxed{5}.", stop, "5", True, 0),  # the prompt had opened the thought
        (r"Try 6. </think> So \boxed{5}", stop, "5", True, 1),
    ]
    with Verifier(Verification()) as verifier:
        reward = CorrectnessReward(verifier, tokenizer, stop)
        rewards = reward(
            completion_ids=[tokenizer(text)["input_ids"] + end for text, end, *_ in asked],
            gold=[json.dumps({"answer": answer}) for _, _, answer, _, _ in asked],
            thought_open=[opened for *_, opened, _ in asked],
            completions=[],
            prompts=[],
            trainer_state=None,
        )
    assert rewards == [expected for *_, expected in asked]


def test_an_answer_that_is_right_only_leniently_gets_no_reward(
    problems: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Verification, int]] = []

    class Noting(LetterVerifier):
        def __init__(self, settings: Verification, workers: int = 1, thought: Thought = ("<", ">")) -> None:
            super().__init__(settings, workers, thought)
            made.append((settings, workers))

    monkeypatch.setattr(stage, "Verifier", Noting)
    monkeypatch.setattr(stage, "own_cores", lambda: 7)
    train(problems, tiny_model, tmp_path, SETTINGS.model_copy(update={"steps": 1}))
    assert made == [(Verification(leniency="refuse", timeout_s=1.0), 7)]


def test_the_reward_knows_that_the_prompt_opens_a_thought(
    problems: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Item] = []

    class Looking(LetterVerifier):
        def is_right(self, item: Item) -> bool:
            seen.append(item)
            return False

    monkeypatch.setattr(stage, "Verifier", Looking)
    one = SETTINGS.model_copy(update={"steps": 1})
    train(problems, tiny_model, tmp_path / "own", one)
    assert {item.thought_open for item in seen} == {False}
    (tmp_path / "opening.jinja").write_text(OPENING)
    for thought, opened in ((("<think>", "</think>"), True), (("[", "]"), False)):
        seen.clear()
        named = {"chat_template": str(tmp_path / "opening.jinja"), "thought": thought}
        train(problems, tiny_model, tmp_path / str(opened), one, **named)
        assert {item.thought_open for item in seen} == {opened}
    manifest = json.loads((tmp_path / "True" / "manifest.json").read_text())
    assert str(tmp_path / "opening.jinja") in manifest["inputs"]


LOG = [{"step": step, "reward": 0.5, "unanimous_ratio": 0.75, "clipped_ratio": 0.9} for step in range(1, 11)]
"""Ten steps that all teach something."""


@pytest.mark.parametrize(
    ("nothing", "steps", "found"),
    [
        ({}, 10, []),
        ({"unanimous_ratio": 1.0}, 4, []),
        ({"unanimous_ratio": 1.0}, 5, ["in 5 of 10 steps the rollouts of each prompt all had the same"]),
        ({"clipped_ratio": 1.0}, 10, ["in 10 of 10 steps no rollout ended within max_tokens"]),
        (
            {"reward": 0.0, "unanimous_ratio": 1.0},
            9,
            [
                "in 9 of 10 steps no rollout was correct (reward 0)",
                "in 9 of 10 steps the rollouts of each prompt all had the same reward",
            ],
        ),
    ],
)
def test_what_most_steps_lacked_is_told_from_the_log(
    nothing: dict[str, float], steps: int, found: list[str]
) -> None:
    words = no_signal([*({**row, **nothing} for row in LOG[:steps]), *LOG[steps:]])
    assert len(words) == len(found)
    assert all(word.startswith(start) for word, start in zip(words, found, strict=True))


def test_a_run_without_signal_says_so_and_ends(
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Never(LetterVerifier):
        def is_right(self, item: Item) -> bool:
            return False

    monkeypatch.setattr(stage, "Verifier", Never)
    short = SETTINGS.model_copy(update={"max_tokens": 1, "steps": 2})
    train(problems, tiny_model, tmp_path / "run", short)
    log = list(read_jsonl(tmp_path / "run" / "log.jsonl"))
    told = json.loads((tmp_path / "run" / "manifest.json").read_text())["facts"]["no_signal"]
    assert told == no_signal(log)
    assert any("in 2 of 2 steps no rollout was correct" in words for words in told)
    warned = [line for line in capfd.readouterr().err.splitlines() if line.startswith("WARNING")]
    assert warned == [f"WARNING: {tmp_path / 'run'}: {words}" for words in told]


def test_a_run_that_learns_is_not_said_to_lack_rewards(whole: Path) -> None:
    told = json.loads((whole / "manifest.json").read_text())["facts"]["no_signal"]
    # Its verifier, unlike ours, lets what is cut off pass.
    assert [words for words in told if "no rollout ended within max_tokens" not in words] == []


def test_run_leaves_a_trained_checkpoint_and_one_log_row_a_step(whole: Path, tiny_model: Path) -> None:
    log = list(read_jsonl(whole / "log.jsonl"))
    assert [row["step"] for row in log] == [1, 2, 3, 4, 5, 6]
    keys = {"reward", "reward_std", "entropy", "completion_length", "clipped_ratio", "loss", "grad_norm"}
    assert all(keys <= row.keys() for row in log)
    assert any(0 < row["reward"] < 1 for row in log)
    assert all(0 < row["completion_length"] <= 12 and 0 <= row["clipped_ratio"] <= 1 for row in log)
    assert not same(weights(whole), load_file(tiny_model / "model.safetensors"))
    assert {path.name for path in whole.iterdir()} == {"model", "log.jsonl", "manifest.json"}
    names = {path.name for path in (whole / "model").iterdir()}
    assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pth")) for name in names)
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["settings"]["seed"] == 3


def test_reward_rises(problems: Path, tiny_model: Path, tmp_path: Path, letters: None) -> None:
    settings = SETTINGS.model_copy(
        update={"steps": 24, "generations": 8, "learning_rate": 5e-3, "checkpoints": 0}
    )
    train(problems, tiny_model, tmp_path / "run", settings)
    rewards = [row["reward"] for row in read_jsonl(tmp_path / "run" / "log.jsonl")]
    assert sum(rewards[-6:]) > sum(rewards[:6]) + 1


def test_kl_to_the_initialisation_starts_at_zero_and_grows(
    problems: Path, tiny_model: Path, tmp_path: Path, letters: None
) -> None:
    settings = SETTINGS.model_copy(update={"steps": 4, "kl": 0.1, "checkpoints": 0})
    train(problems, tiny_model, tmp_path / "run", settings)
    first, *later = [row["kl"] for row in read_jsonl(tmp_path / "run" / "log.jsonl")]
    assert first == pytest.approx(0, abs=1e-6)
    assert min(later) > 1e-5


class Gradients(TrainerCallback):
    """Keeps the gradients of every step as the optimiser gets them, by parameter."""

    def __init__(self) -> None:
        self.found: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        named = kwargs["model"].named_parameters()
        self.found.append({name: own.grad.double() for name, own in named if own.grad is not None})


def test_weights_are_those_of_adam_with_this_warm_up_and_beta2(
    problems: Path, tiny_model: Path, tmp_path: Path, letters: None
) -> None:
    """Against Adam (Kingma and Ba 2015, algorithm 1) in float64: betas 0.9 and 0.7, rates 0, 1/3, 2/3, 1."""
    warm = SETTINGS.model_copy(update={"steps": 4, "warmup_steps": 3, "adam_beta2": 0.7, "checkpoints": 0})
    Runs(problems, tiny_model).train_with(gradients := Gradients(), tmp_path / "run", warm)
    ended, begun = weights(tmp_path / "run"), load_file(tiny_model / "model.safetensors")
    assert len(gradients.found) == 4
    moved = []
    for name in gradients.found[0]:
        expected, first, second = begun[name].double(), 0.0, 0.0
        for step, share in enumerate((0, 1 / 3, 2 / 3, 1)):
            gradient = gradients.found[step][name]
            first = 0.9 * first + 0.1 * gradient
            second = 0.7 * second + 0.3 * gradient**2
            unbiased = (second / (1 - 0.7 ** (step + 1))).sqrt() + 1e-8
            expected = expected - 1e-3 * share * first / (1 - 0.9 ** (step + 1)) / unbiased
        assert torch.allclose(ended[name].double(), expected, rtol=0, atol=2e-6), name
        moved.append((expected - begun[name].double()).abs().max().item())
    assert max(moved) > 1e-3


def test_accumulated_parts_give_the_same_step(
    problems: Path, tiny_model: Path, tmp_path: Path, letters: None
) -> None:
    """The same rollouts in one part or two: the gradient differs by rounding alone."""
    settings = SETTINGS.model_copy(update={"steps": 1, "checkpoints": 0})
    train(problems, tiny_model, tmp_path / "one", settings)
    train(problems, tiny_model, tmp_path / "two", settings, hardware=TrainingHardware(micro_batch=4))
    row, other = (next(read_jsonl(tmp_path / name / "log.jsonl")) for name in ("one", "two"))
    assert row["reward"] == other["reward"]
    assert row["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
    assert row["loss"] == pytest.approx(other["loss"], abs=1e-6)


def test_trust_in_a_models_code_reaches_what_reads_the_directory_again(tmp_path: Path) -> None:
    settings = GrpoSettings(grpo=SETTINGS, seed=0)
    assert not stage._arguments(tmp_path, settings, [2], False).trust_remote_code
    assert stage._arguments(tmp_path, settings, [2], True).trust_remote_code


def test_vllm_is_colocated_and_stops_where_the_verifier_expects(
    tmp_path: Path,
) -> None:
    own = GrpoSettings(grpo=SETTINGS, seed=0)
    settings = own.model_copy(update={"grpo": SETTINGS.model_copy(update={"vllm": True})})
    arguments = stage._arguments(tmp_path, settings, [2, 5], False)
    assert (arguments.use_vllm, arguments.vllm_mode) == (True, "colocate")
    assert arguments.generation_kwargs == {"stop_token_ids": [2, 5]}
    assert stage._arguments(tmp_path, own, [2, 5], False).generation_kwargs is None


def test_mistakes_are_named(
    problems: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pattern: str, settings: Grpo = SETTINGS, model: Path = tiny_model) -> None:
        with pytest.raises(UserError, match=pattern):
            train(problems, model, tmp_path / "run", settings)

    refused("5 problem.*a step draws 8", SETTINGS.model_copy(update={"prompts": 8}))
    refused("no model here", model=tmp_path / "nowhere")
    monkeypatch.setattr("glow.config.packages.find_spec", lambda name: None)
    refused("vLLM is not installed", SETTINGS.model_copy(update={"vllm": True}))
    problems.write_text('{"question": "q", "answer": "a"}\n{"question": "q", "answer": 3}\n')
    refused(r"problems\.jsonl:2: 'answer': input should be a valid string", SETTINGS)
    assert not (tmp_path / "run").exists()
