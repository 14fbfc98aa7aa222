"""The transformers engine: batched decoding in our own loop, with randomness from each sample's key.

It loads a model from a folder. A network that is there already, as in training, is sampled the same way.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from glow.config import Decoding, Prompt
from glow.models.load import context_size, load_model, stop_ids, without_router_logits
from glow.models.sampling import Key, Sampled, Sampler, choose_tokens, uniforms
from glow.verifier.thoughts import Thought

_DONE_SHARE = 0.25
"""Share of a batch that must be done before its finished rows are dropped (dropping copies the cache)."""

_TAIL_ROOM = 16
"""Tokens that are looked at for stop strings beside those that such a text can have: some show no text."""


class NetworkSampler(Sampler):
    """Batched decoding with a network of transformers, left padded.

    The loop is our own because `generate` has no randomness per row, and keeps finished rows to the end.

    Args:
        network: a causal language model; whether it is in training or evaluation mode is left as it is.
        stops: the tokens that end a response (`glow.models.load.stop_ids`).
        device: on which it computes (None: where its weights are; shares may be kept elsewhere).
    """

    def __init__(
        self,
        network: Any,
        tokenizer: PreTrainedTokenizerBase,
        stops: Sequence[int],
        decoding: Decoding,
        thought: Thought,
        device: str | None = None,
    ) -> None:
        super().__init__(tokenizer, decoding, thought, context_size(network.config), decoding.batch_size)
        self.model = network
        self.device = device or network.device.type
        self._stops = torch.tensor(stops, device=self.device)
        self._tail = max((len(mark.encode()) for mark in self._stop), default=0) + _TAIL_ROOM

    def close(self) -> None:
        """Give back the memory that the model holds."""
        del self.model
        if self.device == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _sample(self, prompts: list[list[int]], keys: list[Key]) -> Iterator[Sampled]:
        ends = set(self._stops.tolist())
        for row, ids, reason in self.decode(prompts, keys):
            yield row, ids[:-1] if ids[-1] in ends else ids, reason

    def decode(self, prompts: Sequence[list[int]], keys: Sequence[Key]) -> Iterator[Sampled]:
        """Decode one batch; rows are yielded as they finish, each with the stop token that ended it.

        Every prompt leaves room in the context. Gradients are the caller's business: call this without.
        """
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        budget = (self._context - lengths).clamp(max=self._max_tokens)
        longest, most = int(lengths.max()), int(budget.max())
        ids, mask = _pad_left(prompts, longest, most, self.device)
        positions = (mask[:, :longest].cumsum(-1) - 1).clamp(min=0)
        noise = torch.from_numpy(np.stack([uniforms(key, most) for key in keys])).to(self.device)
        sampled = torch.empty(len(prompts), most, dtype=torch.long, device=self.device)
        rows = torch.arange(len(prompts), device=self.device)
        done = torch.zeros(len(prompts), dtype=torch.bool, device=self.device)
        cache = _roomy_cache(self.model.config)
        for step in range(most):
            logits = self._next_logits(ids, mask[:, : longest + step], positions, cache)
            tokens = choose_tokens(
                logits,
                self._temperature,
                self._top_p,
                noise[rows, step],
                top_k=self._top_k,
                min_p=self._min_p,
            )
            sampled[rows, step] = tokens
            stopped = torch.isin(tokens, self._stops)
            if self._stop:
                stopped |= self._at_stop_string(sampled[rows, : step + 1])
            over = (stopped | (budget[rows] == step + 1)) & ~done
            for place in over.nonzero()[:, 0].tolist():
                row = int(rows[place])
                yield row, sampled[row, : step + 1].tolist(), "stop" if stopped[place] else "length"
            done |= over
            if done.sum() >= len(done) * _DONE_SHARE:
                alive = (~done).nonzero()[:, 0]
                if len(alive) == 0:
                    return
                rows, done, mask, tokens = rows[alive], done[alive], mask[alive], tokens[alive]
                _keep_rows(cache, alive)
            ids, positions = tokens[:, None], (lengths[rows] + step)[:, None]

    def _at_stop_string(self, sampled: torch.Tensor) -> torch.Tensor:
        """Whether a stop string is complete in each row's tokens, (rows, length); rows without one so far.

        It may begin within one token and end within another, so the text of the last tokens is searched. A
        token has a byte of text at least, unless it is hidden.
        """
        tails = [
            [token for token in row if token not in self._hidden]
            for row in sampled[:, -self._tail :].tolist()
        ]
        texts = self.tokenizer.batch_decode(tails, clean_up_tokenization_spaces=False)
        complete = [any(mark in text for mark in self._stop) for text in texts]
        return torch.tensor(complete, device=self.device)

    def _next_logits(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        """Logits of the next token, (rows, vocabulary), after the new `ids`, (rows, length)."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **without_router_logits(self.model.config),
        )
        return output.logits[:, -1]


class TransformersEngine(NetworkSampler):
    """The sampler of the model in a directory."""

    def __init__(self, model: Path, decoding: Decoding, prompt: Prompt, trust_remote_code: bool) -> None:
        network, tokenizer = load_model(model, prompt, trust_remote_code=trust_remote_code)
        super().__init__(network, tokenizer, stop_ids(tokenizer, model), decoding, prompt.thought)


class _RoomyLayer(DynamicLayer):
    """A layer of the key-value cache with room to grow; DynamicLayer copies everything at every token.

    On the CPU those copies were 90 % of the decoding time of a small model.
    """

    # From their first states on, which is when anything reads them.
    keys: torch.Tensor
    values: torch.Tensor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Start with empty buffers, (rows, heads, 0, width)."""
        super().lazy_initialization(key_states, value_states)
        self._buffers = [key_states[:, :, :0], value_states[:, :, :0]]
        self._show(0)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new states; return views of all, (rows, heads, length, width)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            self._buffers = [_enlarge(buffer, start, end + max(64, end // 2)) for buffer in self._buffers]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only these rows of the batch."""
        self._buffers = [buffer[indices] for buffer in self._buffers]
        self._show(self.keys.shape[-2])

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


def _enlarge(buffer: torch.Tensor, used: int, capacity: int) -> torch.Tensor:
    """A copy of the first `used` positions of (rows, heads, *, width), with room for `capacity`."""
    rows, heads, _, width = buffer.shape
    larger = buffer.new_empty(rows, heads, capacity, width)
    larger[:, :, :used] = buffer[:, :, :used]
    return larger


def _roomy_cache(model_config: Any) -> DynamicCache:
    """The cache that the model asks for, its plain layers with room to grow (sliding ones as they are)."""
    cache = DynamicCache(config=model_config)
    cache.layers = [_RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _keep_rows(cache: DynamicCache, rows: torch.Tensor) -> None:
    """Keep these rows of the batch alone.

    transformers 5.17 selects rows only of keys and values. What convolutions and linear attention remember it
    only puts in another order, which may be a shorter one.
    """
    for layer in cache.layers:
        if isinstance(layer, _RoomyLayer):
            layer.batch_select_indices(rows)
        else:
            layer.reorder_cache(rows)  # type: ignore[arg-type]  # annotated as a LongTensor, which it is


def _pad_left(
    prompts: Sequence[list[int]], longest: int, room: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (rows, longest), and the mask (rows, longest + room) of what may be attended to."""
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.ones(len(prompts), longest + room, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, : longest - len(prompt)] = 0
    return ids.to(device), mask.to(device)
