"""The real vLLM beside transformers: `make test-vllm`. Skipped where vLLM is not installed.

Greedy answers, their lengths and their scores are those of the transformers engine; samples belong to
their keys. The model is small, but trained until it answers some questions right and stops by itself.
"""

import importlib.util
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from glow.config import Decoding, Evaluation, EvaluationSettings, Pretrain, Prompt
from glow.evaluation.evaluate import evaluate
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.miniature.families import as_choice, draw_problems
from glow.models.engines import load_engine
from glow.models.sampling import Engine, Request

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed here: it wants an environment of its own, `make test-vllm` makes it",
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
    assert len({row["response"] for row in boxed}) > 20


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
