"""The vLLM engine: it makes its own batches, and each request has its own seed."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from glow.config import Decoding, EngineHardware, Prompt
from glow.config.packages import imported
from glow.errors import UserError
from glow.models.adapters import ADAPTER_FILE, adapter_base
from glow.models.load import context_size, load_tokenizer, require_safetensors, stop_ids
from glow.models.sampling import Key, Sampled, Sampler, key_hash

_PROMPT_ROOM = 8192
"""Tokens that vLLM's context keeps for a prompt: it reserves memory for the longest sequence."""

_CPU_CACHE_GIB = "2"
"""vLLM's key-value cache on a CPU, where it would otherwise reserve 92 % of the machine's memory."""

_VLLM_CHUNK = 1024
"""Requests handed to vLLM at a time; what is done is reported after each, so a kill loses at most these."""

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM knows for the largest rank of an adapter."""


class VllmEngine(Sampler):
    """vLLM, on any hardware that it supports. It makes its own batches: `batch_size` is unused.

    An adapter is not merged into its base: vLLM runs it beside the base, by its own kernels.
    """

    def __init__(
        self,
        model: Path,
        decoding: Decoding,
        prompt: Prompt,
        hardware: EngineHardware,
        trust_remote_code: bool,
    ) -> None:
        base = adapter_base(model)
        whole = model if base is None else base
        require_safetensors(whole)
        tokenizer = load_tokenizer(model, prompt, trust_remote_code=trust_remote_code)
        os.environ["VLLM_NO_USAGE_STATS"] = "1"  # it would report to its makers
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
        self._vllm = imported("vLLM", "engine vllm")
        _refuse_missing_devices(hardware.tensor_parallel)
        config = AutoConfig.from_pretrained(whole, local_files_only=True, trust_remote_code=trust_remote_code)
        context = min(context_size(config), _PROMPT_ROOM + decoding.max_tokens)
        super().__init__(tokenizer, decoding, prompt.thought, context, _VLLM_CHUNK)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._stops = stop_ids(tokenizer, model)
        self._longest = min(context, hardware.max_model_len or context)
        self._adapter = None if base is None else _adapter_request(model)
        self._llm = self._vllm.LLM(
            model=str(whole),
            tokenizer=tokenizer.name_or_path,
            dtype="bfloat16" if self.device == "cuda" else "float32",
            max_model_len=self._longest,
            trust_remote_code=trust_remote_code,
            **_options(hardware),
            **({} if base is None else {"enable_lora": True, "max_lora_rank": _room_for(model)}),
        )

    def close(self) -> None:
        """Stop vLLM's engine process, which gives back its memory."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm

    def _sample(self, prompts: list[list[int]], keys: list[Key]) -> Iterator[Sampled]:
        """Run a list of requests to its end."""
        budgets = [min(self._max_tokens, self._context - len(prompt)) for prompt in prompts]
        self._refuse_too_long(prompts, budgets)
        outputs = self._llm.generate(
            [self._vllm.TokensPrompt(prompt_token_ids=prompt) for prompt in prompts],
            [self._parameters(key, budget) for key, budget in zip(keys, budgets, strict=True)],
            use_tqdm=False,
            lora_request=self._adapter,
        )
        for row, output in enumerate(outputs):
            ids = list(output.outputs[0].token_ids)
            if ids and ids[-1] in self._stops:  # vLLM leaves the stop token at the end
                yield row, ids[:-1], "stop"
            else:  # where it was at a stop string, that is found in the text
                yield row, ids, "length"

    def _refuse_too_long(self, prompts: list[list[int]], budgets: list[int]) -> None:
        """Refuse what fits the model but not `max_model_len`, which may change no response."""
        needed = max(len(prompt) + budget for prompt, budget in zip(prompts, budgets, strict=True))
        if needed > self._longest:
            raise UserError(
                f"engine vllm: a prompt and the longest response to it take {needed} tokens, and "
                f"max_model_len is {self._longest}; raise that (--max-model-len, or the rule's resource), or "
                "lower max_tokens"
            )

    def _parameters(self, key: Key, budget: int) -> Any:
        """Sampling settings of one request; its seed is made from the sample's key."""
        return self._vllm.SamplingParams(
            temperature=self._temperature,
            top_p=self._top_p,
            top_k=self._top_k,
            min_p=self._min_p,
            stop=self._stop,
            max_tokens=budget,
            seed=int.from_bytes(key_hash(key)[:8], "little") >> 1,
            stop_token_ids=self._stops,
            detokenize=bool(self._stop),
        )


def _options(hardware: EngineHardware) -> dict[str, Any]:
    """The hardware in vLLM's words; what is not set is left to vLLM."""
    options: dict[str, Any] = {
        "tensor_parallel_size": hardware.tensor_parallel,
        "enforce_eager": hardware.enforce_eager,
    }
    if hardware.gpu_memory_percent is not None:
        options["gpu_memory_utilization"] = hardware.gpu_memory_percent / 100
    return options


def _refuse_missing_devices(wanted: int) -> None:
    found = torch.cuda.device_count()
    if found and wanted > found:
        raise UserError(
            f"engine vllm: tensor_parallel {wanted}, and {found} GPU(s) are here; ask for as many (the "
            "rule's resource gpu), or lower it"
        )


def _room_for(adapter: Path) -> int:
    """The least of vLLM's ranks that holds all of the adapter's."""
    settings = json.loads((adapter / ADAPTER_FILE).read_text(encoding="utf-8"))
    rank = max([settings["r"], *(settings.get("rank_pattern") or {}).values()])
    fitting = [known for known in _RANKS if known >= rank]
    if not fitting:
        raise UserError(f"{adapter}: an adapter of rank {rank}; vLLM takes {_RANKS[-1]} at most; merge it")
    return fitting[0]


def _adapter_request(adapter: Path) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, str(adapter.resolve()))
