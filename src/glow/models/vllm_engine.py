"""What runs a model: one interface for sampling responses, with a transformers and a vLLM engine.

The randomness of a sample is a function of its key (seed, problem, sample index) alone, so batch
size, order and sharding do not choose what is sampled. Generation, evaluation and nothing else
sample through here; GRPO's rollouts are TRL's.

How far that goes: the transformers engine draws each row's uniforms from its key and inverts the
CDF, so that runs can differ only where the rounding of differently shaped batches (1e-6 in float32)
moves a boundary across a uniform: never in 576,000 tokens of a 0.4M-parameter model on the CPU, but
to be expected with bfloat16 on a GPU. vLLM gets one seed per request, and rounds by its own batches.
"""

import hashlib
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from jinja2 import TemplateError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from glow.config import Decoding
from glow.errors import UserError
from glow.files.progress import progress_bar
from glow.models.prompts import Message

Key = tuple[int, str, int]
FinishReason = Literal["stop", "length"]

_PROMPT_ROOM = 8192
"""Tokens that vLLM's context keeps for a prompt: it reserves memory for the longest sequence."""

_DONE_SHARE = 0.25
"""Share of a batch that has to be done before its finished rows are dropped, which copies the cache."""

_CPU_CACHE_GIB = "2"
"""vLLM's key-value cache on a CPU, where it would else reserve 92 % of the machine's memory for it."""

_VLLM_CHUNK = 1024
"""Requests handed to vLLM at a time; what is done is reported after each, so a kill loses at most these."""


@dataclass(frozen=True)
class Request:
    """One response to sample: the conversation, and the key (seed, problem_id, sample_index)."""

    messages: list[Message]
    key: Key


@dataclass(frozen=True)
class Completion:
    """One sampled response.

    `token_ids` leaves out the stop token, and so does every count made of it: a response that used up
    its tokens before a stop token has exactly that many and the finish reason `length`.
    """

    text: str
    token_ids: list[int]
    prompt_tokens: int
    finish_reason: FinishReason


Sampled = tuple[int, list[int], FinishReason]
"""A row's place in its batch, its token ids without the stop token, and why it ended."""

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


def load_engine(model: Path, decoding: Decoding) -> Engine:
    """Start the engine that `decoding.engine` names on the model in directory `model`.

    Raises:
        UserError: `model` holds no causal language model with a chat template, or vLLM is not installed.
    """
    engines: dict[str, Callable[[Path, Decoding], Engine]] = {
        "transformers": TransformersEngine,
        "vllm": VllmEngine,
    }
    return engines[decoding.engine](model, decoding)


class TokenMeter:
    """A progress bar of responses, with tokens per second; sparing where stderr is a file."""

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


# --- models and tokenizers ----------------------------------------------------------------------


def load_model(model: Path) -> tuple[Any, PreTrainedTokenizerBase]:
    """The causal language model of a directory, ready to run, and its tokenizer.

    float32 on the CPU, bfloat16 on a CUDA device where there is one.

    Raises:
        UserError: the directory holds no such model, or its tokenizer has no chat template.
    """
    tokenizer = load_tokenizer(model)
    cuda = torch.cuda.is_available()
    transformers_logging.disable_progress_bar()
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            model, dtype=torch.bfloat16 if cuda else torch.float32, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise _no_model(model, error) from error
    return loaded.to("cuda" if cuda else "cpu").eval(), tokenizer


def require_model(model: Path) -> None:
    """Refuse a path that is no model directory, before anything is started.

    Raises:
        UserError: there is no config.json.
    """
    if not (model / "config.json").is_file():
        raise UserError(
            f"{model}: no model here (no config.json); give a directory of a Hugging Face checkpoint"
        )


def load_tokenizer(model: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory; it must have a chat template.

    Raises:
        UserError: `model` is no model directory, or its tokenizer cannot be read or has no chat template.
    """
    require_model(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _no_model(model, error) from error
    if tokenizer.chat_template is None:
        raise UserError(
            f"{model}: its tokenizer has no chat template; add chat_template.jinja to the directory"
        )
    return tokenizer


def _no_model(model: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"{model}: cannot be read as a causal language model: {reason[:300]}")


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to where the model's turn begins.

    Raises:
        UserError: the chat template refuses the conversation (some have no system turn).
    """
    try:
        text = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    except TemplateError as error:
        raise UserError(
            f"the model's chat template refuses the prompt: {error}; change prompt.system"
        ) from error
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that a model ends its turn with: the chat template's, or else the end of sequence."""
    after = _after_turn(tokenizer)
    return tokenizer.eos_token_id if after is None else after


def stop_ids(tokenizer: PreTrainedTokenizerBase, model: Path) -> list[int]:
    """The tokens that end a response, ascending.

    They are the tokenizer's end of sequence, those of the model's generation_config.json, and the
    special token that the chat template puts after a model's turn: base models such as Qwen2.5's
    name only <|endoftext|> as their end, but learn to end with the template's <|im_end|>.
    """
    stops = {tokenizer.eos_token_id, _after_turn(tokenizer)}
    settings = model / "generation_config.json"
    if settings.is_file():
        named = json.loads(settings.read_text(encoding="utf-8")).get("eos_token_id")
        stops.update(named if isinstance(named, list) else [named])
    return sorted(stop for stop in stops if stop is not None)


def _after_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The special token that follows a model's turn in the chat template; None where none does."""
    answer = "an answer"
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}]
    _, found, after = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(answer)
    ids = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"] if found else []
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return ids[0] if ids and ids[0] in special else None


def context_size(config: Any) -> int:
    """The longest sequence in tokens that a model's configuration allows (no limit named: a million)."""
    return config.get_text_config().to_dict().get("max_position_embeddings") or 1_000_000


# --- randomness ---------------------------------------------------------------------------------


def key_hash(key: Key) -> bytes:
    """SHA-256 of a sample's key: what its randomness is made from."""
    return hashlib.sha256(json.dumps(list(key)).encode()).digest()


def uniforms(key: Key, count: int) -> np.ndarray:
    """The first `count` uniforms in (0, 1) of a sample's own stream, shape (count,), float64.

    Philox is counter based, and numpy promises that raw output of a bit generator never changes.
    Taking 32 bits and the middle of each cell keeps 0 and 1 out.
    """
    raw = np.random.Philox(key=int.from_bytes(key_hash(key)[:16], "little")).random_raw(count)
    return ((raw >> np.uint64(32)).astype(np.float64) + 0.5) / 2**32


def choose_tokens(
    logits: torch.Tensor, temperature: float, top_p: float, uniform: torch.Tensor
) -> torch.Tensor:
    """One token a row: temperature, nucleus, then the inverse CDF at the row's uniform.

    Args:
        logits: (rows, vocabulary), any float type.
        temperature: of the softmax; 0 takes the most probable token.
        top_p: the nucleus is the smallest set of most probable tokens with at least this mass.
        uniform: (rows,), float64, in (0, 1).

    Returns:
        Token ids, (rows,), int64.
    """
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.double() / temperature, -1)
    if top_p < 1:
        ordered, order = probabilities.sort(-1, descending=True)
        outside = ordered.cumsum(-1) - ordered >= top_p
        probabilities = probabilities.masked_fill(outside.scatter(-1, order, outside), 0.0)
    cumulative = probabilities.cumsum(-1)
    # The first token whose cumulative mass exceeds the target: one of mass zero is never it.
    return torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True)[:, 0]


# --- what the engines share ---------------------------------------------------------------------


class _Sampler(ABC):
    """From requests to completions, given a way to sample a list of prompts."""

    device: str

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, decoding: Decoding, context: int, batch_size: int
    ) -> None:
        self.tokenizer = tokenizer
        self._temperature = decoding.temperature
        self._top_p = decoding.top_p
        self._max_tokens = decoding.max_tokens
        self._context = context
        self._batch_size = batch_size

    @abstractmethod
    def close(self) -> None:
        """Give back the memory that the model holds."""

    @abstractmethod
    def _sample(self, prompts: list[list[int]], keys: list[Key]) -> Iterator[Sampled]:
        """Sample a response to each prompt, all of which leave room in the context."""

    def generate(self, requests: Sequence[Request], on_done: OnDone | None = None) -> list[Completion]:
        """Sample one completion a request, in the order of the requests."""
        prompts = self._prompts(requests)
        completions: dict[int, Completion] = {}

        def finish(index: int, ids: list[int], reason: FinishReason) -> None:
            text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            completions[index] = Completion(text, ids, len(prompts[index]), reason)
            if on_done is not None:
                on_done(index, completions[index])

        for index in self._without_room(prompts):
            finish(index, [], "length")
        # Neighbours of similar length pad little; longest first, so that what does not fit fails at once.
        order = sorted(set(range(len(prompts))) - completions.keys(), key=lambda i: (-len(prompts[i]), i))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            keys = [requests[index].key for index in batch]
            for row, ids, reason in self._sample([prompts[index] for index in batch], keys):
                finish(batch[row], ids, reason)
        return [completions[index] for index in range(len(requests))]

    def _prompts(self, requests: Sequence[Request]) -> list[list[int]]:
        """The token ids of each prompt; a conversation that comes again is rendered once."""
        rendered: dict[str, list[int]] = {}
        prompts = []
        for request in requests:
            conversation = json.dumps(request.messages)
            if conversation not in rendered:
                rendered[conversation] = prompt_ids(self.tokenizer, request.messages)
            prompts.append(rendered[conversation])
        return prompts

    def _without_room(self, prompts: list[list[int]]) -> list[int]:
        """The prompts that fill the context: their response is empty and truncated, with a warning."""
        full = [index for index, prompt in enumerate(prompts) if len(prompt) >= self._context]
        if full:
            print(
                f"warning: {len(full)} of {len(prompts)} prompts fill the context of {self._context} tokens: "
                "their responses are empty and count as truncated",
                file=sys.stderr,
            )
        return full


# --- transformers -------------------------------------------------------------------------------


class TransformersEngine(_Sampler):
    """Batched decoding with a transformers model, left padded.

    The loop is our own: `generate` offers no noise per row, and it keeps finished rows to the end.
    """

    def __init__(self, model: Path, decoding: Decoding) -> None:
        self.model, tokenizer = load_model(model)
        super().__init__(tokenizer, decoding, context_size(self.model.config), decoding.batch_size)
        self.device = self.model.device.type
        self._stops = torch.tensor(stop_ids(tokenizer, model), device=self.device)

    def close(self) -> None:
        """Give back the memory that the model holds."""
        del self.model
        if self.device == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _sample(self, prompts: list[list[int]], keys: list[Key]) -> Iterator[Sampled]:
        """Decode one batch; rows are yielded as they finish."""
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        budget = (self._context - lengths).clamp(max=self._max_tokens)
        longest, most = int(lengths.max()), int(budget.max())
        ids, mask = _left_padded(prompts, longest, most, self.device)
        positions = (mask[:, :longest].cumsum(-1) - 1).clamp(min=0)
        noise = torch.from_numpy(np.stack([uniforms(key, most) for key in keys])).to(self.device)
        sampled = torch.empty(len(prompts), most, dtype=torch.long, device=self.device)
        rows = torch.arange(len(prompts), device=self.device)
        done = torch.zeros(len(prompts), dtype=torch.bool, device=self.device)
        cache = _roomy_cache(self.model.config)
        for step in range(most):
            logits = self._next_logits(ids, mask[:, : longest + step], positions, cache)
            tokens = choose_tokens(logits, self._temperature, self._top_p, noise[rows, step])
            sampled[rows, step] = tokens
            stopped = torch.isin(tokens, self._stops)
            over = (stopped | (budget[rows] == step + 1)) & ~done
            for place in over.nonzero()[:, 0].tolist():
                row, is_stop = int(rows[place]), bool(stopped[place])
                yield row, sampled[row, : step + 1 - is_stop].tolist(), "stop" if is_stop else "length"
            done |= over
            if done.sum() >= len(done) * _DONE_SHARE:
                alive = (~done).nonzero()[:, 0]
                if len(alive) == 0:
                    return
                rows, done, mask, tokens = rows[alive], done[alive], mask[alive], tokens[alive]
                cache.batch_select_indices(alive)
            ids, positions = tokens[:, None], (lengths[rows] + step)[:, None]

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
        )
        return output.logits[:, -1]


class _RoomyLayer(DynamicLayer):
    """A layer of the key-value cache that keeps room to grow, where DynamicLayer copies all at every token.

    On the CPU those copies were 90 % of the decoding time of a small model.
    """

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
            self._buffers = [_enlarged(buffer, start, end + max(64, end // 2)) for buffer in self._buffers]
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


def _enlarged(buffer: torch.Tensor, used: int, capacity: int) -> torch.Tensor:
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


def _left_padded(
    prompts: list[list[int]], longest: int, room: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (rows, longest), and the mask (rows, longest + room) of what may be attended to."""
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.ones(len(prompts), longest + room, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, : longest - len(prompt)] = 0
    return ids.to(device), mask.to(device)


# --- vLLM ---------------------------------------------------------------------------------------


class VllmEngine(_Sampler):
    """vLLM, on what it supports; its batching is its own, and `batch_size` is unused."""

    def __init__(self, model: Path, decoding: Decoding) -> None:
        tokenizer = load_tokenizer(model)
        os.environ["VLLM_NO_USAGE_STATS"] = "1"  # it would report to its makers
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
        try:
            import vllm
        except ImportError as error:
            raise UserError(
                f"engine vllm: vLLM cannot be imported ({error}); `pip install glow-sft[vllm]` in an "
                "environment of its own, or choose engine transformers"
            ) from error
        model_context = context_size(AutoConfig.from_pretrained(model, local_files_only=True))
        context = min(model_context, _PROMPT_ROOM + decoding.max_tokens)
        super().__init__(tokenizer, decoding, context, _VLLM_CHUNK)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._stops = stop_ids(tokenizer, model)
        self._vllm = vllm
        self._llm = vllm.LLM(
            model=str(model),
            dtype="bfloat16" if self.device == "cuda" else "float32",
            max_model_len=context,
        )

    def close(self) -> None:
        """Stop vLLM's engine process, which gives back its memory."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm

    def _sample(self, prompts: list[list[int]], keys: list[Key]) -> Iterator[Sampled]:
        """Run a list of requests to its end."""
        outputs = self._llm.generate(
            [self._vllm.TokensPrompt(prompt_token_ids=prompt) for prompt in prompts],
            [self._parameters(key, len(prompt)) for key, prompt in zip(keys, prompts, strict=True)],
            use_tqdm=False,
        )
        for row, output in enumerate(outputs):
            ids = list(output.outputs[0].token_ids)
            if ids and ids[-1] in self._stops:  # vLLM leaves the stop token at the end
                yield row, ids[:-1], "stop"
            else:
                yield row, ids, "length"

    def _parameters(self, key: Key, prompt_tokens: int) -> Any:
        """Sampling settings of one request; its seed is made from the sample's key."""
        return self._vllm.SamplingParams(
            temperature=self._temperature,
            top_p=self._top_p,
            max_tokens=min(self._max_tokens, self._context - prompt_tokens),
            seed=int.from_bytes(key_hash(key)[:8], "little") >> 1,
            stop_token_ids=self._stops,
            detokenize=False,
        )
