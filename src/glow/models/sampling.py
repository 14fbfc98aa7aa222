"""From requests to completions: what both engines share, and the randomness of a sample.

The randomness of a sample is a function of its key (seed, problem, sample index) alone, so the result
does not depend on batch size, order or sharding. Generation and evaluation sample through this module, and
GRPO's rollouts through its `choose_tokens` (`glow.training.rollouts`).

The limit is rounding. The transformers engine draws each row's uniforms from its key and inverts the
CDF. Differently shaped batches round differently (1e-6 in float32), and a token changes when that moves
a boundary of the CDF across the uniform. This never happened in 576,000 tokens of a 0.4M-parameter model
on the CPU, but must be expected with bfloat16 on a GPU. vLLM gets one seed per request, and its rounding
depends on its own batches.
"""

import hashlib
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from glow.config import Decoding
from glow.files.progress import progress_bar
from glow.files.records import FinishReason
from glow.models.load import hidden_tokens, prompt_ids, response_text
from glow.models.prompts import Message
from glow.models.templates import opens_thought
from glow.models.truncation import filtered
from glow.verifier.thoughts import Thought

Key = tuple[int, str, int]


@dataclass(frozen=True)
class Request:
    """One response to sample: the conversation, and the key (seed, problem_id, sample_index)."""

    messages: list[Message]
    key: Key


@dataclass(frozen=True)
class Completion:
    """One sampled response.

    `token_ids` and all counts leave out the stop token. A response that reaches the token limit first has
    exactly that many tokens and the finish reason `length`. `thought_open`: the prompt left a thought open,
    with which the response goes on. `stop_string`: the text at which the response ended, if one did; `text`
    ends before it, and `token_ids` are all that were sampled.
    """

    text: str
    token_ids: list[int]
    prompt_tokens: int
    finish_reason: FinishReason
    thought_open: bool = False
    stop_string: str | None = None


Sampled = tuple[int, list[int], FinishReason]
"""A row's place in its batch, its token ids without the stop token, and why it ended (`stop`: there, or at a
stop string)."""

OnDone = Callable[[int, Completion], None]
"""Called with a request's place in the list and its completion, as soon as there is one."""


class Engine(Protocol):
    """What runs a model."""

    device: str

    def generate(self, requests: Sequence[Request], on_done: OnDone | None = None) -> list[Completion]:
        """Sample one completion a request, in the order of the requests."""
        ...

    def close(self) -> None:
        """Give back the memory that the model holds."""
        ...


class TokenMeter:
    """A progress bar of responses, with tokens per second; few updates where stderr is a file."""

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        self.tokens = 0
        self._started = time.monotonic()
        self._bar = progress_bar(label, "response", total=total, initial=done, smoothing=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def add(self, completion: Completion) -> None:
        """Count one finished response."""
        self.tokens += len(completion.token_ids)
        self._bar.set_postfix_str(f"{self.tokens_per_second:.0f} tok/s", refresh=False)
        self._bar.update()

    @property
    def tokens_per_second(self) -> float:
        """Response tokens per second since the start."""
        return self.tokens / max(1e-9, time.monotonic() - self._started)


def key_hash(key: Key) -> bytes:
    """SHA-256 of a sample's key, from which its randomness is derived."""
    return hashlib.sha256(json.dumps(list(key)).encode()).digest()


def uniforms(key: Key, count: int) -> np.ndarray:
    """The first `count` uniforms in (0, 1) of a sample's own stream, shape (count,), float64.

    Philox is counter based, and numpy promises that raw output of a bit generator never changes.
    Taking 32 bits and the middle of each cell keeps 0 and 1 out.
    """
    raw = np.random.Philox(key=int.from_bytes(key_hash(key)[:16], "little")).random_raw(count)
    return ((raw >> np.uint64(32)).astype(np.float64) + 0.5) / 2**32


def choose_tokens(
    logits: torch.Tensor,
    temperature: float,
    top_p: float,
    uniform: torch.Tensor,
    *,
    top_k: int = 0,
    min_p: float = 0.0,
) -> torch.Tensor:
    """One token a row: temperature, what may be drawn, then the inverse CDF at the row's uniform.

    Args:
        logits: (rows, vocabulary), any float type.
        temperature: of the softmax; 0 takes the most probable token.
        top_p, top_k, min_p: which tokens may be drawn (`glow.models.truncation`).
        uniform: (rows,), float64, in (0, 1).

    Returns:
        Token ids, (rows,), int64.
    """
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.double() / temperature, -1)
    cumulative = filtered(probabilities, top_k, top_p, min_p).cumsum(-1)
    # The first token whose cumulative mass exceeds the target: never one of mass zero.
    return torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True)[:, 0]


def until_stop(text: str, stop: Sequence[str]) -> tuple[str, str | None]:
    """The text before the stop string that is complete first, and that; all of it and None without one.

    Where two are complete at the same character, the first in the list counts (vLLM's `check_stop_strings`).
    """
    ends = [(text.find(mark) + len(mark), place) for place, mark in enumerate(stop) if mark in text]
    if not ends:
        return text, None
    end, place = min(ends)
    return text[: end - len(stop[place])], stop[place]


class Sampler(ABC):
    """From requests to completions, given a way to sample a list of prompts."""

    device: str

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        decoding: Decoding,
        thought: Thought,
        context: int,
        batch_size: int,
    ) -> None:
        self.tokenizer = tokenizer
        self._thought = thought
        self._hidden = hidden_tokens(tokenizer, thought)
        self._temperature = decoding.temperature
        self._top_p = decoding.top_p
        self._top_k = decoding.top_k
        self._min_p = decoding.min_p
        self._stop = decoding.stop
        self._max_tokens = decoding.max_tokens
        self._context = context
        self._batch_size = batch_size

    @abstractmethod
    def close(self) -> None:
        """Give back the memory that the model holds."""

    @abstractmethod
    def _sample(self, prompts: list[list[int]], keys: list[Key]) -> Iterator[Sampled]:
        """Sample a response to each prompt; every prompt leaves room in the context."""

    def generate(self, requests: Sequence[Request], on_done: OnDone | None = None) -> list[Completion]:
        """Sample one completion a request, in the order of the requests."""
        rendered = self._rendered(requests)
        prompts = [ids for ids, _ in rendered]
        completions: dict[int, Completion] = {}

        def finish(index: int, ids: list[int], reason: FinishReason) -> None:
            whole = response_text(self.tokenizer, ids, self._hidden)
            text, stop_string = until_stop(whole, self._stop)
            prompt, thought_open = rendered[index]
            ended = "stop" if stop_string else reason
            completions[index] = Completion(text, ids, len(prompt), ended, thought_open, stop_string)
            if on_done is not None:
                on_done(index, completions[index])

        for index in self._full_prompts(prompts):
            finish(index, [], "length")
        # Neighbours of similar length pad little; longest first, so that what does not fit fails at once.
        order = sorted(set(range(len(prompts))) - completions.keys(), key=lambda i: (-len(prompts[i]), i))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            keys = [requests[index].key for index in batch]
            for row, ids, reason in self._sample([prompts[index] for index in batch], keys):
                finish(batch[row], ids, reason)
        return [completions[index] for index in range(len(requests))]

    def _rendered(self, requests: Sequence[Request]) -> list[tuple[list[int], bool]]:
        """Each prompt's token ids, and whether it opens a thought; one that repeats is rendered once."""
        rendered: dict[str, tuple[list[int], bool]] = {}
        prompts = []
        for request in requests:
            conversation = json.dumps(request.messages)
            if conversation not in rendered:
                ids = prompt_ids(self.tokenizer, request.messages)
                rendered[conversation] = (
                    ids,
                    opens_thought(self.tokenizer, request.messages, self._thought),
                )
            prompts.append(rendered[conversation])
        return prompts

    def _full_prompts(self, prompts: list[list[int]]) -> list[int]:
        """The prompts that fill the context: their response is empty and truncated, with a warning."""
        full = [index for index, prompt in enumerate(prompts) if len(prompt) >= self._context]
        if full:
            print(
                f"warning: {len(full)} of {len(prompts)} prompts fill the context of {self._context} tokens: "
                "their responses are empty and count as truncated",
                file=sys.stderr,
            )
        return full
