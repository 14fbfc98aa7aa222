"""The real vLLM beside transformers: `make test-vllm`. Skipped where vLLM is not installed.

Greedy answers, their lengths and their scores are those of the transformers engine; samples belong to
their keys. The model is small, but trained until it answers some questions right and stops by itself.
"""

import importlib.util
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glow.config import Decoding, EngineHardware, Evaluation, EvaluationSettings, Pretrain, Prompt
from glow.errors import UserError
from glow.evaluation.evaluate import evaluate
from glow.files.jsonl import Record, read_jsonl, write_json, write_jsonl
from glow.miniature.families import as_choice, draw_problems
from glow.models.engines import load_engine
from glow.models.load import load_model, prompt_ids, stop_ids
from glow.models.sampling import Engine, Request

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed here: `make setup EXTRAS=vllm`; without a GPU, `make test-vllm`",
    ),
]

rounding = pytest.mark.xfail(
    torch.cuda.is_available(),
    reason="on a GPU both engines run in bfloat16, and each rounds by its own batches",
    strict=False,
)

FAMILIES = ["boolean", "turns", "membership"]
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 model whose heads are 32 wide: vLLM's CPU attention takes multiples of 16 or 32."""
    from glow.miniature.pretrain import pretrain

    path = tmp_path_factory.mktemp("models") / "small"
    size = {"hidden_size": 64, "layers": 2, "heads": 2}
    phases = {"all": {"steps": 250, "learning_rate": 0.01}}
    pretrain(
        path,
        Pretrain(role="teacher", families=FAMILIES, phases=phases, batch_size=8, **size),
    )
    return path


@pytest.fixture(scope="session")
def suites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two suites of answers in a box, and one of choices."""
    directory = tmp_path_factory.mktemp("suites")
    boxed = {family: draw_problems([family], 40, 1)[0] for family in ("boolean", "turns")}
    choices = [as_choice(problem, random.Random(0)) for problem in draw_problems(["membership"], 20, 1)[0]]
    for name, rows in (boxed | {"membership": choices}).items():
        write_jsonl(directory / f"{name}.jsonl", rows)
    return sorted(directory.iterdir())


# --- evaluation ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def started() -> list[dict[str, str | None]]:
    """What the environment said at each start of vLLM during the evaluation."""
    return []


@pytest.fixture(scope="session")
def evaluated(
    model: Path,
    suites: list[Path],
    started: list[dict[str, str | None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """The same greedy evaluation by each engine."""
    import vllm

    class Noted(vllm.LLM):
        def __init__(self, **options: object) -> None:
            started.append({name: os.environ.get(name) for name in OFFLINE})
            super().__init__(**options)

    outputs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm, "LLM", Noted)
        for engine in ("transformers", "vllm"):
            outputs[engine] = tmp_path_factory.mktemp(engine)
            settings = Evaluation(engine=engine, temperature=0, max_tokens=64, entropy_samples=16)
            evaluate(model, suites, outputs[engine], EvaluationSettings(evaluation=settings, seed=0))
    return outputs


def archive(output: Path) -> list[Record]:
    return list(read_jsonl(output / "samples.jsonl.gz"))


def test_one_start_of_the_engine_serves_all_suites(
    evaluated: dict[str, Path], started: list[dict[str, str | None]]
) -> None:
    assert len(started) == 1


def test_nothing_may_reach_a_network_while_it_evaluates(
    evaluated: dict[str, Path], started: list[dict[str, str | None]]
) -> None:
    assert started[0] == OFFLINE


@rounding
def test_greedy_answers_and_scores_are_those_of_transformers(evaluated: dict[str, Path]) -> None:
    ours, theirs = archive(evaluated["transformers"]), archive(evaluated["vllm"])
    kept = ("suite", "problem_id", "sample_index", "response", "response_tokens", "finish_reason", "verdict",
            "extracted")  # fmt: skip
    assert [[row.get(key) for key in kept] for row in theirs] == [
        [row.get(key) for key in kept] for row in ours
    ]
    scores = [json.loads((evaluated[engine] / "scores.json").read_text()) for engine in evaluated]
    assert close(scores[0], scores[1])


def close(one: object, other: object) -> bool:
    """Equal documents, numbers within 1e-6."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == (pytest.approx(other, abs=1e-6) if isinstance(other, float) else other)


def test_the_comparison_saw_right_and_wrong_short_and_long(evaluated: dict[str, Path]) -> None:
    """Else the test above would compare nothing worth comparing."""
    boxed = [row for row in archive(evaluated["vllm"]) if row["format"] == "boxed"]
    assert {"correct", "wrong"} <= {row["verdict"] for row in boxed}
    assert len({row["response_tokens"] for row in boxed}) > 5
    assert len({row["response"] for row in boxed}) > 10


# --- the engine ---------------------------------------------------------------------------------


def requests(samples: int, seed: int = 7) -> list[Request]:
    return [
        Request([{"role": "user", "content": problem["question"]}], (seed, problem["problem_id"], index))
        for problem in draw_problems(FAMILIES, 12, 2)[0]
        for index in range(samples)
    ]


@pytest.fixture(scope="module")
def sampling(model: Path) -> Iterator[Engine]:
    engine = load_engine(model, Decoding(engine="vllm", temperature=1.0, top_p=0.95, max_tokens=24), Prompt())
    yield engine
    engine.close()


@rounding
def test_a_sample_belongs_to_its_seed_question_and_index(sampling: Engine) -> None:
    asked = requests(samples=3)
    first = sampling.generate(asked)
    assert sampling.generate(asked[::-1])[::-1] == first
    assert sampling.generate(asked[5:6]) == first[5:6]
    by_question = [{completion.text for completion in first[at : at + 3]} for at in range(0, len(first), 3)]
    assert any(len(texts) > 1 for texts in by_question)
    assert [completion.text for completion in sampling.generate(requests(samples=3, seed=8))] != [
        completion.text for completion in first
    ]


@rounding
def test_a_response_that_runs_out_of_tokens_is_truncated(model: Path) -> None:
    asked = requests(samples=1)
    found = {}
    for name in ("transformers", "vllm"):
        engine = load_engine(model, Decoding(engine=name, temperature=0, max_tokens=5), Prompt())
        found[name] = engine.generate(asked)
        engine.close()
    assert found["vllm"] == found["transformers"]
    assert {
        len(completion.token_ids) for completion in found["vllm"] if completion.finish_reason == "length"
    } == {5}


# --- settings of the decoding ---------------------------------------------------------------------


def kept(probabilities: list[float], top_k: int, top_p: float, min_p: float) -> dict[int, float]:
    """What may be drawn, and how often, token by token in float64: min-p, then top-k, then the nucleus."""
    order = sorted(range(len(probabilities)), key=lambda token: -probabilities[token])
    order = [token for token in order if probabilities[token] >= min_p * probabilities[order[0]]]
    order = order[:top_k] if top_k else order
    total, mass, nucleus = sum(probabilities[token] for token in order), 0.0, {}
    for token in order:
        nucleus[token] = probabilities[token]
        mass += probabilities[token]
        if mass >= top_p * total:
            break
    return {token: probability / mass for token, probability in nucleus.items()}


@rounding
@pytest.mark.parametrize(("top_k", "top_p", "min_p"), [(4, 0.8, 0.0), (5, 0.7, 0.1)])
def test_tokens_are_drawn_as_often_as_the_reference_says(
    model: Path, top_k: int, top_p: float, min_p: float
) -> None:
    question = [{"role": "user", "content": "Is it true?"}]
    network, tokenizer = load_model(model)
    with torch.inference_mode():
        logits = network(torch.tensor([prompt_ids(tokenizer, question)])).logits[0, -1].double()
    expected = kept((logits / 1.7).softmax(-1).tolist(), top_k, top_p, min_p)
    assert 1 < len(expected) < len(logits) / 2  # else nothing is shown
    decoding = Decoding(engine="vllm", temperature=1.7, top_k=top_k, top_p=top_p, min_p=min_p, max_tokens=1)
    engine = load_engine(model, decoding, Prompt())
    draws = 4000
    drawn = engine.generate([Request(question, (0, "p", index)) for index in range(draws)])
    engine.close()
    ended = [completion for completion in drawn if not completion.token_ids]
    counts = Counter(token for completion in drawn for token in completion.token_ids)
    ends = set(stop_ids(tokenizer, model))
    assert set(counts) <= expected.keys()
    assert bool(ended) <= bool(ends & expected.keys())
    for token, share in expected.items():
        found = (len(ended) if token in ends else counts[token]) / draws
        assert abs(found - share) < 4.5 * (share * (1 - share) / draws) ** 0.5, (token, share)


STOP = ["is tr", ":1", "\n"]


@rounding
def test_stop_strings_end_a_response_where_transformers_ends_it(model: Path) -> None:
    found = {}
    for name in ("transformers", "vllm"):
        decoding = Decoding(engine=name, temperature=0, max_tokens=40, stop=STOP)
        engine = load_engine(model, decoding, Prompt())
        found[name] = engine.generate(requests(samples=1))
        engine.close()
    assert found["vllm"] == found["transformers"]
    ended = [completion for completion in found["vllm"] if completion.stop_string]
    assert len({completion.stop_string for completion in ended}) > 1
    assert all(mark not in completion.text for completion in found["vllm"] for mark in STOP)
    assert {completion.finish_reason for completion in ended} == {"stop"}


# --- hardware and adapters ------------------------------------------------------------------------


@rounding
def test_a_shorter_context_changes_no_response_and_refuses_what_it_cannot_hold(model: Path) -> None:
    hardware = EngineHardware(max_model_len=160, enforce_eager=True)
    responses = []
    for name, given in (("transformers", EngineHardware()), ("vllm", hardware)):
        engine = load_engine(model, Decoding(engine=name, temperature=0, max_tokens=16), Prompt(), given)
        responses.append(engine.generate(requests(samples=1)))
    long = Request([{"role": "user", "content": "true " * 200}], (0, "long", 0))
    with pytest.raises(UserError, match="max_model_len is 160; raise that"):
        engine.generate([long])
    engine.close()
    assert responses[0] == responses[1]


@pytest.fixture(scope="session")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A LoRA adapter of rank 4, written file by file, and its base with W + (alpha / r) B A for every W."""
    folder, merged = (tmp_path_factory.mktemp(name) for name in ("adapter", "merged"))
    network, tokenizer = load_model(model)
    draw, tensors = torch.Generator().manual_seed(3), {}
    for name, module in network.named_modules():
        if name.endswith(("q_proj", "down_proj")):
            down = 0.3 * torch.randn(4, module.in_features, generator=draw)
            up = 0.3 * torch.randn(module.out_features, 4, generator=draw)
            tensors[f"base_model.model.{name}.lora_A.weight"] = down
            tensors[f"base_model.model.{name}.lora_B.weight"] = up
            module.weight.data += 8 / 4 * up @ down
    save_file(tensors, folder / "adapter_model.safetensors")
    write_json(
        folder / "adapter_config.json",
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(model), "r": 4,
         "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj", "down_proj"]},
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    network.save_pretrained(merged)
    tokenizer.save_pretrained(merged)
    return folder, merged


@rounding
def test_an_adapter_answers_as_its_merged_model_does(model: Path, adapter: tuple[Path, Path]) -> None:
    folder, merged = adapter
    responses = []
    for path, name in ((merged, "transformers"), (folder, "vllm"), (model, "transformers")):
        engine = load_engine(path, Decoding(engine=name, temperature=0, max_tokens=16), Prompt())
        responses.append(engine.generate(requests(samples=1)))
        engine.close()
    assert responses[1] == responses[0]
    assert responses[2] != responses[0]
