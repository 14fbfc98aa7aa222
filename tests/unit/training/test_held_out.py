"""What is made of held-out trajectories and questions: losses by the book, answers judged, no trace left."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from glow.config import Prompt, Verification
from glow.models.load import load_network, load_tokenizer, stop_ids
from glow.models.sampling import Completion, Request
from glow.models.scoring import IGNORED
from glow.models.transformers_engine import NetworkSampler
from glow.training import held_out
from glow.training.head import use_chunked_head
from glow.training.held_out import HeldOutLosses, HeldOutQuestions, Tokenised, evaluating, first_questions
from glow.verifier.verify import Verifier


@pytest.fixture(scope="module")
def network(tiny_model: Path) -> Any:
    """A network with the head of a trainer."""
    found = load_network(tiny_model, torch.float32)
    assert use_chunked_head(found)
    return found


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    with Verifier(Verification()) as found:
        yield found


def samples() -> list[Tokenised]:
    """Seven samples of uneven lengths, in no order: prompts of 3 to 9 tokens, responses of 1 to 19."""
    drawn = np.random.default_rng(0)
    found = []
    for number, (prompt, response) in enumerate([(3, 5), (9, 1), (4, 19), (5, 8), (3, 2), (7, 12), (6, 6)]):
        ids = drawn.integers(5, 300, prompt + response).tolist()
        found.append(Tokenised("wrong" if number % 3 else "correct", ids, [IGNORED] * prompt + ids[prompt:]))
    return found


def by_the_book(model: Path, own: list[Tokenised]) -> list[list[float]]:
    """-log p of each response token, one sample at a time, from whole logits in float64."""
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float64).eval()
    found = []
    for sample in own:
        with torch.no_grad():
            logits = network(input_ids=torch.tensor([sample.input_ids])).logits[0]
        log_p = torch.log_softmax(logits, dim=-1)
        scored = [place for place, label in enumerate(sample.labels) if label != IGNORED]
        found.append([-log_p[place - 1, sample.input_ids[place]].item() for place in scored])
    return found


@pytest.mark.parametrize("tokens", [1, 60, 2**12], ids=["one by one", "a few", "all at once"])
def test_losses_are_those_by_the_book_on_uneven_lengths(
    tiny_model: Path, network: Any, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    monkeypatch.setattr(held_out, "_SCORED_TOKENS", tokens)
    own, done = samples(), []
    row = HeldOutLosses(own).measure(network, done.append)
    assert sum(done) == len(own)
    for verdict, count in (("correct", 3), ("wrong", 4)):
        losses = by_the_book(tiny_model, [sample for sample in own if sample.verdict == verdict])
        means = [sum(nats) / len(nats) for nats in losses]
        assert row[f"samples_{verdict}"] == len(losses) == count
        assert row[f"loss_{verdict}"] == pytest.approx(sum(means) / count, rel=1e-5)
        every = [nats for nats_of_one in losses for nats in nats_of_one]
        assert row[f"token_loss_{verdict}"] == pytest.approx(sum(every) / len(every), rel=1e-5)
        # The two means differ here, or nothing would tell them apart.
        assert abs(row[f"loss_{verdict}"] - row[f"token_loss_{verdict}"]) > 1e-3


def test_a_side_without_trajectories_has_no_loss(network: Any) -> None:
    own = [sample for sample in samples() if sample.verdict == "correct"]
    row = HeldOutLosses(own).measure(network, lambda count: None)
    assert row["samples_wrong"] == 0
    assert row["loss_wrong"] is row["token_loss_wrong"] is None
    assert row["loss_correct"] > 0


# --- answers --------------------------------------------------------------------------------------


def questions(golds: list[str]) -> list[Any]:
    return [
        {"problem_id": f"p-{place}", "question": f"{place} plus 1 ?", "answer": gold}
        for place, gold in enumerate(golds)
    ]


def asked(model: Path, rows: list[Any], verifier: Verifier, max_tokens: int = 12) -> HeldOutQuestions:
    tokenizer = load_tokenizer(model)
    return HeldOutQuestions(rows, Prompt(), tokenizer, stop_ids(tokenizer, model), max_tokens, verifier)


def test_shares_of_answers_are_those_of_the_verifier(
    tiny_model: Path, network: Any, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five answers two are right, one is wrong, one is right but cut off, and one states nothing."""
    answers = [(r"\boxed{1}", "stop"), (r"\boxed{7}", "stop"), (r"So \boxed{2/4}.", "stop"),
               (r"\boxed{4}", "length"), ("Who knows", "stop")]  # fmt: skip
    seen: list[Request] = []

    def generate(self: NetworkSampler, requests: list[Request], on_done: Any) -> list[Completion]:
        seen.extend(requests)
        for place in range(len(requests)):
            on_done(place, None)
        return [Completion(text, [1], 3, ended) for text, ended in answers]

    monkeypatch.setattr(NetworkSampler, "generate", generate)
    done: list[int] = []
    rows = questions(["1", "2", "0.5", "4", "5"])
    row = asked(tiny_model, rows, verifier).measure(network, done.append)
    assert row == {"questions": 5, "accuracy": 0.4, "truncated": 0.2}
    assert sum(done) == 5
    assert [request.messages for request in seen] == [
        [{"role": "user", "content": own["question"]}] for own in rows
    ]


def test_answers_are_the_likeliest_tokens(
    tiny_model: Path, network: Any, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The argmax of the whole logits, token by token, without a cache."""
    taken: list[list[Completion]] = []
    generate = NetworkSampler.generate

    def watched(self: NetworkSampler, *args: Any) -> list[Completion]:
        taken.append(generate(self, *args))
        return taken[-1]

    monkeypatch.setattr(NetworkSampler, "generate", watched)
    rows = questions(["1", "2", "3"])
    row = asked(tiny_model, rows, verifier, max_tokens=6).measure(network.eval(), lambda count: None)
    tokenizer = load_tokenizer(tiny_model)
    stops = stop_ids(tokenizer, tiny_model)
    plain = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    for own, answer in zip(rows, taken[0], strict=True):
        messages = [{"role": "user", "content": own["question"]}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        begun = len(ids)
        while len(ids) < begun + 6 and ids[-1] not in stops:
            ids = [*ids, int(plain(torch.tensor([ids])).logits[0, -1].argmax())]
        assert answer.token_ids == [token for token in ids[begun:] if token not in stops]
    assert row["questions"] == 3


def test_without_questions_no_answer_is_asked_for(
    tiny_model: Path, network: Any, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkSampler, "generate", None)
    row = asked(tiny_model, [], verifier).measure(network, lambda count: None)
    assert row == {"questions": 0, "accuracy": None, "truncated": None}


def test_the_first_questions_are_those_of_the_file_each_once() -> None:
    rows: list[Any] = [{"problem_id": name, "answer": place} for place, name in enumerate("bbabcd")]
    assert [(row["problem_id"], row["answer"]) for row in first_questions(rows, 3)] == [
        ("b", 0), ("a", 2), ("c", 4),
    ]  # fmt: skip
    assert first_questions(rows, 0) == []
    assert len(first_questions(rows, 9)) == 4


# --- no trace -------------------------------------------------------------------------------------


def random_states() -> list[Any]:
    return [torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()]


@pytest.mark.parametrize("was_training", [True, False])
def test_a_measurement_leaves_random_states_and_network_as_they_were(
    tiny_model: Path, network: Any, verifier: Verifier, was_training: bool
) -> None:
    network.train(was_training)
    weights = {name: values.clone() for name, values in network.state_dict().items()}
    before = random_states()
    with evaluating(network) as quiet:
        assert not quiet.training
        HeldOutLosses(samples()).measure(quiet, lambda count: None)
        asked(tiny_model, questions(["1", "2"]), verifier).measure(quiet, lambda count: None)
    assert random_states() == before
    assert all(module.training == was_training for module in network.modules())
    assert all(torch.equal(values, weights[name]) for name, values in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
