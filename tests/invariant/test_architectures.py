"""Every architecture goes through the stages: what it samples, scores, trains and saves is what it should be.

Each is tiny and has random weights. What a stage does is compared with whole forward passes of transformers,
without a cache, padding or batches.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from glow.config import (
    Decoding,
    Evaluation,
    EvaluationSettings,
    GenerateSettings,
    Grpo,
    GrpoSettings,
    ObjectiveChoice,
    Prompt,
    Sampling,
    Sft,
    SftSettings,
    Verification,
)
from glow.data.generate import generate
from glow.evaluation.evaluate import evaluate
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.models.load import load_network, load_tokenizer, prompt_ids
from glow.models.prompts import prompt_messages
from glow.models.scoring import score_responses
from glow.models.templates import render
from glow.models.transformers_engine import NetworkSampler
from glow.training import grpo
from glow.training.sft import fine_tune
from glow.verifier.verify import Verifier

PROMPT = Prompt(instruction="Go.")
TRAINING: dict[str, Any] = {"learning_rate": 1e-3, "precision": "fp32", "gradient_checkpointing": False}

LLAMA: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "sliding_window": None,
}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 256}
NO_DROPOUT = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "gemma2": LLAMA | {"sliding_window": 16},
    "gemma3_text": LLAMA | {"sliding_window": 16},
    "mixtral": LLAMA | {"num_local_experts": 4},
    "qwen3_moe": LLAMA | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "phi3": LLAMA,
    "gpt_neox": {name: LLAMA[name] for name in LLAMA if name not in ("head_dim", "sliding_window")},
    "gpt2": GPT2 | NO_DROPOUT,
    "lfm2": LLAMA | {"full_attn_idxs": [1], "block_ff_dim": 32},  # some layers are convolutions
}
"""The settings that make each tiny: among them mixtures of experts, sliding windows, capped logits,
positions that are rotated, in part or not at all."""

MIXTURES = ("mixtral", "qwen3_moe")

Make = Callable[[str], Path]


@pytest.fixture
def make(tiny_model: Path, tmp_path: Path) -> Make:
    """Makes a model of an architecture, with the miniature's tokenizer and a token that begins texts."""

    def make(name: str) -> Path:
        tokenizer, folder = load_tokenizer(tiny_model), tmp_path / name
        tokens = {
            "bos_token_id": 1,  # which the tokenizer has not
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "vocab_size": len(tokenizer),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = AutoConfig.for_model(name, **ARCHITECTURES[name] | tokens)
            network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.data *= 5  # or the likeliest token is the same everywhere
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def verifier() -> Iterator[Verifier]:
    """One for all stages here: each would start a process of its own."""
    with Verifier(Verification()) as found:
        yield found


@pytest.fixture
def one_verifier(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("glow.training.grpo", "glow.evaluation.evaluate"):
        monkeypatch.setattr(f"{module}.Verifier", lambda *_: nullcontext(verifier))


def rows(folder: Path) -> tuple[Path, Path, Path]:
    """Four trajectories, as many problems, and a suite."""
    trajectories = [
        {
            "trajectory_id": f"t-{n}",
            "question": f"{n} plus 1 ?",
            "response": "So " * n + f"\\boxed{{{n + 1 + n % 2}}}",
            "verdict": "wrong" if n % 2 else "correct",
        }
        for n in range(4)
    ]
    problems = [{"problem_id": f"p-{n}", "question": f"{n} + 1?", "answer": str(n + 1)} for n in range(4)]
    write_jsonl(folder / "data.jsonl", trajectories)
    write_jsonl(folder / "problems.jsonl", problems)
    write_jsonl(folder / "sums.jsonl", [{**row, "format": "boxed"} for row in problems[:2]])
    return folder / "data.jsonl", folder / "problems.jsonl", folder / "sums.jsonl"


def train(data: Path, model: Path, output: Path) -> Path:
    sft = Sft(epochs=2, batch_size=4, max_length=128, checkpoints=0, **TRAINING)
    settings = SftSettings(objective=ObjectiveChoice(objective="glow"), sft=sft, prompt=PROMPT, seed=0)
    fine_tune(data, data, model, output, settings)
    return output / "model"


def scores(model: Path, suite: Path, output: Path) -> dict[str, Any]:
    asked = Evaluation(max_tokens=6, entropy_samples=2, temperature=0.6)
    evaluate(model, [suite], output, EvaluationSettings(prompt=PROMPT, evaluation=asked, seed=3))
    found: dict[str, Any] = json.loads((output / "scores.json").read_text())
    return found


def log_likelihood(network: PreTrainedModel, prompt: list[int], response: list[int]) -> float:
    """The sum of log p over a response's tokens, by one whole forward pass."""
    logits = network(input_ids=torch.tensor([prompt + response])).logits[0].float()
    scored = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return float(scored.gather(1, torch.tensor(response)[:, None]).sum())


@pytest.mark.usefixtures("one_verifier")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_goes_through_all_stages(name: str, make: Make, tmp_path: Path) -> None:
    model, (data, problems, suite) = make(name), rows(tmp_path)
    sampling = Sampling(samples=2, max_tokens=6, temperature=1.0, seed=1, batch_size=4)
    generate(
        problems, model, tmp_path / "sampled.jsonl", GenerateSettings(sampling=sampling), shard=0, shards=1
    )
    assert sum(1 for _ in read_jsonl(tmp_path / "sampled.jsonl")) == 8
    trained = train(data, model, tmp_path / "sft")
    shape = Grpo(steps=1, prompts=2, generations=2, max_tokens=6, checkpoints=0, **TRAINING)
    grpo.train(problems, trained, tmp_path / "grpo", GrpoSettings(prompt=PROMPT, grpo=shape, seed=3))
    for number, found in enumerate((trained, tmp_path / "grpo/model")):
        assert "sums" in scores(found, suite, tmp_path / f"scores-{number}")["suites"]
        settings = json.loads((found / "config.json").read_text())
        assert settings == json.loads((model / "config.json").read_text())  # bos, cache and routers too
        assert json.loads((found / "generation_config.json").read_text())["bos_token_id"] == 1
    before, after = (load_file(folder / "model.safetensors") for folder in (model, trained))
    assert before.keys() == after.keys()
    assert not all(torch.equal(before[weight], after[weight]) for weight in before)


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_it_samples_scores_and_trains_as_whole_forward_passes_do(
    name: str, make: Make, tmp_path: Path
) -> None:
    model, (data, _, _) = make(name), rows(tmp_path)
    tokenizer, network = load_tokenizer(model), load_network(model, torch.float32).eval()
    # Prompts of uneven lengths, which are padded on the left.
    prompts = [[5, 6, 7], list(range(10, 40)), [9], list(range(100, 120))]
    sampler = NetworkSampler(network, tokenizer, [2], Decoding(temperature=0.0, max_tokens=8), ("<", ">"))
    sampled = {row: ids for row, ids, _ in sampler.decode(prompts, [(0, str(n), 0) for n in range(4)])}
    for row, prompt in enumerate(prompts):
        for place, token in enumerate(sampled[row]):
            logits = network(input_ids=torch.tensor([prompt + sampled[row][:place]])).logits[0, -1]
            assert token == int(logits.argmax())
    assert len({token for ids in sampled.values() for token in ids}) > 3
    found = score_responses(network, prompts, [sampled[row] for row in range(4)])
    expected = [log_likelihood(network, prompt, sampled[row]) for row, prompt in enumerate(prompts)]
    assert [score.log_likelihood for score in found] == pytest.approx(expected, abs=1e-4)
    with torch.enable_grad():
        train(data, model, tmp_path / "sft")
    history = pd.read_parquet(tmp_path / "sft/history.parquet").query("epoch == 1").set_index("trajectory_id")
    for given in read_jsonl(data):  # one step an epoch: the losses of the first are those of the given model
        conversation = prompt_messages(given["question"], PROMPT)
        asked = prompt_ids(tokenizer, conversation)
        turns = [*conversation, {"role": "assistant", "content": given["response"]}]
        said = tokenizer(render(tokenizer, turns), add_special_tokens=False)["input_ids"][len(asked) :]
        loss = -log_likelihood(network, asked, said) / len(said)
        assert history.loss[given["trajectory_id"]] == pytest.approx(loss, abs=1e-4)


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_of_experts_answers_held_out_questions_while_it_trains(
    name: str, make: Make, tmp_path: Path
) -> None:
    model, (data, _, _) = make(name), rows(tmp_path)
    aside = [
        {"trajectory_id": f"h-{n}", "problem_id": f"h-{n // 2}", "question": f"{n // 2} minus 1 ?",
         "answer": "1", "response": f"\\boxed{{{n}}}", "verdict": "wrong" if n % 2 else "correct"}
        for n in range(4)
    ]  # fmt: skip
    write_jsonl(tmp_path / "aside.jsonl", aside)
    asked = {"epoch_questions": 2, "epoch_max_tokens": 4}
    sft = Sft(epochs=2, batch_size=4, max_length=128, checkpoints=0, **asked, **TRAINING)
    settings = SftSettings(objective=ObjectiveChoice(objective="glow"), sft=sft, prompt=PROMPT, seed=0)
    fine_tune(data, data, model, tmp_path / "run", settings, held_out=tmp_path / "aside.jsonl")
    measured = list(read_jsonl(tmp_path / "run/epochs.jsonl"))
    assert [row["questions"] for row in measured] == [2, 2, 2]


def test_what_trainers_leave_in_a_configuration_is_mended_where_it_is_read(make: Make) -> None:
    model = make("mixtral")
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(settings | {"use_cache": False, "output_router_logits": True}))
    network = load_network(model, torch.float32)
    assert network.config.use_cache and network.generation_config.use_cache
    assert not network.config.output_router_logits
    found: list[Any] = []
    network.register_forward_pre_hook(
        lambda _, __, given: found.append(given["input_ids"].shape), with_kwargs=True
    )
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, do_sample=False)
    assert found == [(2, 3), (2, 1), (2, 1)]  # the first pass alone sees the prompt
