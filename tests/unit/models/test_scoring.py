"""Teacher-forced scores against hand-computed bigram models, and a plain forward pass in float64."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from glow.models import scoring
from glow.models.scoring import score_responses

LN2 = math.log(2)

BIGRAMS = torch.tensor(
    [
        [1 / 4, 1 / 4, 1 / 4, 1 / 4],  # after token 0: 2 bits
        [1 / 2, 1 / 4, 1 / 4, 0.0],  # after 1: 1/2 * 1 bit + 2 * 1/4 * 2 bits = 1.5 bits
        [1.0, 0.0, 0.0, 0.0],  # after 2: certain
        [0.0, 1 / 2, 0.0, 1 / 2],  # after 3: 1 bit
    ],
    dtype=torch.float64,
)


class BigramModel:
    """A model whose next token depends on the last one alone: its scores are worked out by hand."""

    device = torch.device("cpu")

    def __init__(self, config: object) -> None:
        self.config = config

    def __call__(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=BIGRAMS[input_ids].log())


@pytest.fixture(scope="module")
def network(tiny_model: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(tiny_model)


def test_by_hand(network: torch.nn.Module) -> None:
    model = BigramModel(network.config)
    prompts = [[3, 0], [1], [2, 2, 2, 1], [0]]
    responses = [
        [1, 0, 3],  # after 0, 1, 0: p = 1/4, 1/2, 1/4
        [0],  # after 1: p = 1/2
        [2, 0],  # after 1, 2: p = 1/4, 1
        [],
    ]
    scores = score_responses(model, prompts, responses)
    assert [score.tokens for score in scores] == [3, 1, 2, 0]
    assert [score.log_likelihood for score in scores] == pytest.approx([-5 * LN2, -LN2, -2 * LN2, 0])
    assert [score.entropy for score in scores] == pytest.approx([5.5 * LN2, 1.5 * LN2, 1.5 * LN2, 0])
    # After 0, 1, 0: 2, 1.5 and 2 bits; after 1, 2: 1.5 and none.
    bits = [(score.entropies / LN2).tolist() for score in scores]
    assert bits == [pytest.approx([2, 1.5, 2]), pytest.approx([1.5]), pytest.approx([1.5, 0]), []]
    # After 0 all tokens are equally probable, and the first of them is taken as the most probable one.
    assert [score.greedy for score in scores] == [False, True, False, True]


PROMPTS = [[5, 6, 7], [9], [5, 8, 11, 3, 4, 40, 41], [3, 3]]
RESPONSES = [[10, 11], [7, 100, 8, 8, 200, 3], [6], [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]]


def in_float64(network: torch.nn.Module, prompt: list[int], response: list[int]) -> tuple[float, list[float]]:
    with torch.inference_mode():
        logits = network(torch.tensor([prompt + response])).logits[0].double().numpy()
    total, entropies = 0.0, []
    for place, token in enumerate(response, len(prompt) - 1):
        logarithms = logits[place] - np.logaddexp.reduce(logits[place])
        total += logarithms[token]
        entropies.append(-np.exp(logarithms) @ logarithms)
    return total, entropies


@pytest.mark.parametrize("batch_tokens", [1, 2**14])
@pytest.mark.parametrize("logits", [1, 4000, 2**25])
def test_neither_batches_nor_chunks_matter(
    network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, logits: int, batch_tokens: int
) -> None:
    """One position at a time, a few, all at once; one response at a time, all together."""
    monkeypatch.setattr(scoring, "_LOGITS", {"cpu": logits})
    monkeypatch.setattr(scoring, "_BATCH_TOKENS", batch_tokens)
    told: list[int] = []
    scores = score_responses(network, PROMPTS, RESPONSES, told.append)
    assert sum(told) == len(PROMPTS)
    expected = [in_float64(network, p, r) for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    for score, (total, entropies) in zip(scores, expected, strict=True):
        assert np.allclose(
            [score.log_likelihood, score.entropy], [total, sum(entropies)], rtol=1e-5, atol=1e-5
        )
        assert np.allclose(score.entropies, entropies, rtol=1e-5, atol=1e-5)


def test_logits_held_at_a_time_are_bounded(network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long response with a large vocabulary must not need all its logits at once."""
    vocabulary = network.config.vocab_size
    monkeypatch.setattr(scoring, "_LOGITS", {"cpu": 8 * vocabulary})
    held = [logits.numel() for _, logits in scoring._logits(network, torch.tensor([[3] * 60, [4] * 60]), 10)]
    assert max(held) <= 8 * vocabulary
    assert sum(held) == 2 * vocabulary * (60 - 1 - 10)


def test_nothing_to_score(network: torch.nn.Module) -> None:
    assert score_responses(network, [], []) == []
