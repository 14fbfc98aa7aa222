"""What the weights of a moment make of held-out trajectories and questions: losses, and right answers.

The loss of a sample is that of training (`glow.training.objectives`): the mean of -log p over its response
tokens, the end of the turn included, without any weight. Questions are answered greedily and judged by the
verifier. Nothing here trains, draws a random number or keeps a trace in the network, so that a run ends in
the same weights with it and without. When it is measured is `glow.training.epochs`' business.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import starmap
from typing import TypeVar

import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from glow.config import Decoding, Prompt
from glow.data.problem_rows import gold_of
from glow.files.jsonl import Record
from glow.files.records import Judged
from glow.models.prompts import prompt_messages
from glow.models.sampling import Completion, Request
from glow.models.scoring import IGNORED
from glow.models.transformers_engine import NetworkSampler
from glow.verifier.verify import Item, Verifier

DECIDED = ("correct", "wrong")
"""The verdicts of held-out trajectories."""

_SCORED_TOKENS = 2**12
"""Tokens, padding included, that are scored side by side: with more, a small network on a CPU is slower."""
_ANSWER_TOKENS = 2**14
"""Tokens of the longest answers that are written side by side."""

Network = TypeVar("Network", bound=torch.nn.Module)

OnDone = Callable[[int], object]
"""Called with how many more trajectories or answers are done."""


@dataclass(frozen=True)
class Tokenised:
    """A held-out trajectory as the trainer tokenises it.

    Attributes:
        labels: the tokens that count, and `IGNORED` elsewhere.
    """

    verdict: str
    input_ids: Sequence[int]
    labels: Sequence[int]


class HeldOutLosses:
    """The losses of held-out trajectories.

    Args:
        samples: right and wrong ones, each with a response token at least.
    """

    def __init__(self, samples: Sequence[Tokenised]) -> None:
        self.samples = sorted(samples, key=lambda sample: -len(sample.input_ids))

    def __len__(self) -> int:
        return len(self.samples)

    def measure(self, network: PreTrainedModel, on_done: OnDone) -> Record:
        """By verdict: how many samples, the mean of their losses, and the mean over all their tokens.

        Args:
            network: that of a GlowTrainer, whose head scores labels.
        """
        sums = [(sample, *found) for sample, found in self._scored(network, on_done)]
        row: Record = {}
        for verdict in DECIDED:
            own = [(nats, tokens) for sample, nats, tokens in sums if sample.verdict == verdict]
            nats, tokens = (sum(column) for column in zip(*own, strict=True)) if own else (0.0, 0)
            row |= {
                f"samples_{verdict}": len(own),
                f"loss_{verdict}": sum(nats / tokens for nats, tokens in own) / len(own) if own else None,
                f"token_loss_{verdict}": nats / tokens if own else None,
            }
        return row

    def _scored(
        self, network: PreTrainedModel, on_done: OnDone
    ) -> Iterator[tuple[Tokenised, tuple[float, int]]]:
        """Each sample with the sum of -log p over its response tokens, in nats, and their number."""
        start = 0
        while start < len(self.samples):
            rows = max(1, _SCORED_TOKENS // len(self.samples[start].input_ids))
            batch = self.samples[start : start + rows]
            yield from zip(batch, _score(network, batch), strict=True)
            on_done(len(batch))
            start += rows


@torch.no_grad()
def _score(network: PreTrainedModel, batch: Sequence[Tokenised]) -> list[tuple[float, int]]:
    """As `HeldOutLosses._scored`, of rows that are padded on the right to the first, which is longest."""
    # Where its weights are is not where a network computes, if its shares are kept in the host's memory.
    longest, device = len(batch[0].input_ids), PartialState().device
    lengths = torch.tensor([len(sample.input_ids) for sample in batch], device=device)
    found = network(
        input_ids=_padded([sample.input_ids for sample in batch], 0, longest).to(device),
        attention_mask=(torch.arange(longest, device=device) < lengths[:, None]).long(),
        labels=_padded([sample.labels for sample in batch], IGNORED, longest).to(device),
        use_cache=False,
        fused_lm_head=True,
    )
    nats = -found.log_probs.double().sum(dim=1)  # zero where there is no label
    return list(zip(nats.tolist(), found.label_mask.sum(dim=1).tolist(), strict=True))


def _padded(rows: Sequence[Sequence[int]], filler: int, length: int) -> torch.Tensor:
    """The rows as (rows, length) int64, filled on the right."""
    return torch.tensor([[*row, *[filler] * (length - len(row))] for row in rows])


class HeldOutQuestions:
    """Held-out questions, answered greedily and judged.

    Args:
        rows: a trajectory of each question, which has its gold answer.
        stops: the tokens that end a response.
        max_tokens: longest answer; one that does not end there is not right.
    """

    def __init__(
        self,
        rows: Sequence[Judged],
        prompt: Prompt,
        tokenizer: PreTrainedTokenizerBase,
        stops: Sequence[int],
        max_tokens: int,
        verifier: Verifier,
    ) -> None:
        self.rows = rows
        self._tokenizer, self._stops, self._verifier = tokenizer, stops, verifier
        batch_size = max(1, _ANSWER_TOKENS // max_tokens)
        self._decoding = Decoding(temperature=0.0, max_tokens=max_tokens, batch_size=batch_size)
        # At temperature 0 no key is used.
        self._requests = [
            Request(prompt_messages(row["question"], prompt), (0, row["problem_id"], 0)) for row in rows
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def measure(self, network: PreTrainedModel, on_done: OnDone) -> Record:
        """How many questions were asked, and the shares of answers that are right, and that are cut off."""
        if not self.rows:
            return {"questions": 0, "accuracy": None, "truncated": None}
        thought = self._verifier.thought
        device = PartialState().device.type
        sampler = NetworkSampler(network, self._tokenizer, self._stops, self._decoding, thought, device)

        def count(place: int, answer: Completion) -> None:
            on_done(1)

        answers = sampler.generate(self._requests, count)
        verdicts = [
            found.verdict
            for found in self._verifier.judge(starmap(_item, zip(self.rows, answers, strict=True)))
        ]
        return {
            "questions": len(verdicts),
            "accuracy": verdicts.count("correct") / len(verdicts),
            "truncated": verdicts.count("truncated") / len(verdicts),
        }


def _item(row: Judged, answer: Completion) -> Item:
    return Item(answer.text, gold_of(row), answer.finish_reason, answer.thought_open)


def first_questions(rows: Sequence[Judged], count: int) -> list[Judged]:
    """The first trajectory of each of the first `count` questions, in the order of the rows."""
    found: dict[str, Judged] = {}
    for row in rows:
        if row["problem_id"] not in found and len(found) < count:
            found[row["problem_id"]] = row
    return list(found.values())


@contextmanager
def evaluating(network: Network) -> Iterator[Network]:
    """The network without dropout; afterwards it trains again, if it did before."""
    was_training = network.training
    try:
        yield network.eval()
    finally:
        network.train(was_training)
