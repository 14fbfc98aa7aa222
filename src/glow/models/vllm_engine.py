"""The vLLM engine: it makes its own batches, and each request has its own seed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from glow.config import Decoding, Prompt
from glow.errors import UserError
from glow.models.load import context_size, load_tokenizer, require_safetensors, stop_ids
from glow.models.sampling import Key, Sampled, Sampler, key_hash

_PROMPT_ROOM = 8192
"""Tokens that vLLM's context keeps for a prompt: it reserves memory for the longest sequence."""

_CPU_CACHE_GIB = "2"
"""vLLM's key-value cache on a CPU, where it would otherwise reserve 92 % of the machine's memory."""

_VLLM_CHUNK = 1024
"""Requests handed to vLLM at a time; what is done is reported after each, so a kill loses at most these."""


class VllmEngine(Sampler):
    """vLLM, on any hardware that it supports. It makes its own batches: `batch_size` is unused."""

    def __init__(self, model: Path, decoding: Decoding, prompt: Prompt, trust_remote_code: bool) -> None:
        require_safetensors(model)
        tokenizer = load_tokenizer(model, prompt, trust_remote_code=trust_remote_code)
        os.environ["VLLM_NO_USAGE_STATS"] = "1"  # it would report to its makers
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
        try:
            import vllm
        except ImportError as error:
            raise UserError(
                f"engine vllm: vLLM cannot be imported ({error}); `pip install glow-sft[vllm]` in a "
                "separate environment, or choose engine transformers"
            ) from error
        config = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=trust_remote_code)
        context = min(context_size(config), _PROMPT_ROOM + decoding.max_tokens)
        super().__init__(tokenizer, decoding, prompt.thought, context, _VLLM_CHUNK)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._stops = stop_ids(tokenizer, model)
        self._vllm = vllm
        self._llm = vllm.LLM(
            model=str(model),
            dtype="bfloat16" if self.device == "cuda" else "float32",
            max_model_len=context,
            trust_remote_code=trust_remote_code,
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
            top_k=self._top_k,
            min_p=self._min_p,
            max_tokens=min(self._max_tokens, self._context - prompt_tokens),
            seed=int.from_bytes(key_hash(key)[:8], "little") >> 1,
            stop_token_ids=self._stops,
            detokenize=False,
        )
