"""Load models and tokenizers from a directory; turn prompts into token ids and token ids into text.

Nothing here uses a network, no pickle is read, and no code of a model runs unless it is trusted.
"""

import inspect
import json
import os
import shlex
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from jinja2 import TemplateError, TemplateSyntaxError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel
from transformers.integrations import deepspeed, is_fsdp_enabled
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from glow.config import Prompt
from glow.config.packages import require
from glow.errors import UserError, abbreviated
from glow.models.adapters import adapter_base, merged, with_base
from glow.models.attention import refuse_missing_attention
from glow.models.folders import other_weights, refuse_no_model, refuse_no_tokenizer, refuse_other_words
from glow.models.foreign_code import refuse_foreign_code
from glow.models.prompts import Message
from glow.models.template_limits import memory
from glow.models.templates import own_template, render, use_template
from glow.models.text_part import text_part
from glow.verifier.thoughts import Thought

_TO_SAFETENSORS = (
    "python -c 'import sys; from transformers import AutoModelForCausalLM as M; "
    "M.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])'"
)
"""The command that writes safetensors beside pickled weights: transformers reads these as numbers only."""

_OWN = Prompt()
"""Leaves a model its own chat template."""

_said: set[str] = set()
"""What was said of base models, so that it is said once a process."""


def load_model(
    model: Path, prompt: Prompt = _OWN, *, trust_remote_code: bool = False
) -> tuple[Any, PreTrainedTokenizerBase]:
    """The causal language model of a directory, ready to run, and its tokenizer.

    bfloat16 on a CUDA device if there is one, else float32 on the CPU.

    Raises:
        UserError: as `load_tokenizer` and `load_network`.
    """
    tokenizer = load_tokenizer(model, prompt, trust_remote_code=trust_remote_code)
    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    loaded: torch.nn.Module = load_network(model, dtype, trust_remote_code=trust_remote_code)
    return loaded.to("cuda" if cuda else "cpu").eval(), tokenizer


def load_network(
    model: Path,
    dtype: torch.dtype,
    *,
    trust_remote_code: bool = False,
    attention: str | None = None,
    quantization: Any = None,
) -> PreTrainedModel:
    """The causal language model of a directory, on the CPU; an adapter is added to its base.

    Args:
        trust_remote_code: whether code in the directory may run.
        attention: one of `glow.models.attention.ATTENTIONS`; None for what the model comes with.
        quantization: transformers' configuration of it, for weights that stay as they are; such a network is
            where it is to run.

    Raises:
        UserError: the directory has no such model, no weights in safetensors, or needs code that may not run;
            an adapter's base is not there; or attention that cannot run here.
    """
    if attention is not None:
        refuse_missing_attention(attention)
    parts = with_base(model)
    for part in parts:
        refuse_foreign_code(part, trust_remote_code)
    further: dict[str, Any] = {"attn_implementation": attention} if attention is not None else {}
    if quantization is not None:
        further |= {"quantization_config": quantization, "device_map": {"": _own_device()}}
    if quantization is None and _is_given_shares():
        return _without_weights(parts[-1], dtype, trust_remote_code=trust_remote_code, **further)
    if len(parts) == 2:  # an adapter
        with _not_in_shares():  # of which an adapter could not be added to the whole
            base = _whole_network(parts[1], "auto", trust_remote_code=trust_remote_code, **further)
        return merged(base, model, dtype)
    return _whole_network(model, dtype, trust_remote_code=trust_remote_code, **further)


def _whole_network(model: Path, dtype: torch.dtype | str, **further: Any) -> PreTrainedModel:
    require_safetensors(model)
    transformers_logging.disable_progress_bar()
    try:
        inside = text_part(model)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **inside,
            **further,
        )
    except UserError:
        raise
    except Exception as error:  # transformers checks little of what it reads: any error comes of odd files
        raise _no_model(model, error) from error
    network, found = loaded
    if absent := sorted(found["missing_keys"]):
        raise UserError(
            f"{model}: {len(absent)} weights of its architecture are not in its files ({absent[0]}, ...) and "
            "would be random; make or fetch the model again, or give one that writes text"
        )
    if "past_key_values" not in inspect.signature(type(network).forward).parameters:
        raise UserError(
            f"{model}: {network.config.model_type} remembers no keys and values, with which responses are "
            "sampled here; give a model with attention"
        )
    if inside:  # or it would be saved under the names of the larger model
        network._weight_conversions = None
    whole: PreTrainedModel = network
    return _as_it_runs(whole)


def _as_it_runs(network: PreTrainedModel) -> PreTrainedModel:
    """The network with its cache on, and its routers' logits off: trainers leave both the other way round.

    Without a cache `generate` computes all of a text for each token. Under a cache transformers 5.17 cannot
    balance the routers of a mixture of experts, which is what their logits are for.
    """
    every: list[Any] = [network.config, network.config.get_text_config(), network.generation_config]
    for settings in every:
        if getattr(settings, "use_cache", None) is False:
            settings.use_cache = True
        if getattr(settings, "output_router_logits", False):
            settings.output_router_logits = False
    return network


def without_router_logits(config: Any) -> dict[str, bool]:
    """The argument of a forward pass under a cache that a model in training may need; none for most."""
    has_routers = hasattr(config.get_text_config(), "output_router_logits")
    return {"output_router_logits": False} if has_routers else {}


@contextmanager
def _not_in_shares() -> Iterator[None]:
    """Models that are read in here are whole, also where ZeRO-3 would have each process read its share."""
    zero = deepspeed._hf_deepspeed_config_weak_ref
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = zero


def _is_given_shares() -> bool:
    """Whether this process takes its shares, under FSDP2, from the first, which alone reads the weights."""
    return is_fsdp_enabled() and torch.distributed.get_rank() > 0


def _without_weights(model: Path, dtype: torch.dtype, **further: Any) -> PreTrainedModel:
    """The network of a directory without its weights: with memory that is asked for, and never touched.

    Of its own, transformers 5.17 lets each process have zeros, which do take memory. On `meta` accelerate
    1.15 could not tell one weight from another.
    """
    require_safetensors(model)
    try:
        config = text_part(model).get("config") or AutoConfig.from_pretrained(
            model, local_files_only=True, trust_remote_code=further["trust_remote_code"]
        )
        with init_empty_weights(include_buffers=False):
            network: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype, **further)
    except UserError:
        raise
    except Exception as error:  # as above
        raise _no_model(model, error) from error
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            module.register_parameter(name, torch.nn.Parameter(torch.empty_like(weight, device="cpu")))
    network.tie_weights()
    if (model / "generation_config.json").is_file():
        network.generation_config = GenerationConfig.from_pretrained(str(model))
    return _as_it_runs(network)


def _own_device() -> str:
    """This process's device: the GPU of its place on the machine, or the CPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def require_model(model: Path) -> None:
    """Refuse a path that is neither a model directory nor an adapter's, before any work starts.

    Raises:
        UserError: there is none, or none that can run here (`glow.models.folders`); or an adapter's base is
            not there.
    """
    refuse_no_model(adapter_base(model) or model)


def require_safetensors(model: Path) -> None:
    """Refuse a path that is not a model directory, or whose weights, or an adapter's base's, are pickled.

    Raises:
        UserError: there is no config.json, or no file of safetensors; or an adapter's base is not there.
    """
    require_model(model)
    for part in with_base(model):
        if not list(part.glob("*.safetensors")):
            others = other_weights(part) or "pickled"
            raise UserError(
                f"{part}: no safetensors weights ({others} weights are not read); convert them:\n"
                f"{_TO_SAFETENSORS} {shlex.quote(str(part))}"
            )


def load_tokenizer(
    model: Path, prompt: Prompt = _OWN, *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory, with the chat template and the variables that `prompt` asks for.

    Args:
        trust_remote_code: whether code in the directory may run.

    Raises:
        UserError: `model` is not a model directory, its tokenizer cannot be read, or it needs code that may
            not run; there is no chat template, or not the one that is asked for.
    """
    require_model(model)
    refuse_foreign_code(model, trust_remote_code)
    folder = _folder_of(model, "tokenizer_config.json")
    refuse_no_tokenizer(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
        )
    except Exception as error:  # as above; and the package tokenizers raises nothing but plain Exceptions
        if any(folder.glob("*.model")) and not (folder / "tokenizer.json").is_file():
            require("SentencePiece", f"{folder}: its tokenizer (a .model without a tokenizer.json)")
        raise _no_model(model, error) from error
    refuse_other_words(adapter_base(model) or model, tokenizer.vocab_size)
    has_template = own_template(tokenizer) is not None
    try:
        use_template(tokenizer, prompt)
        with memory():
            render(tokenizer, [{"role": "user", "content": "a question"}])
    except TemplateError as error:
        if isinstance(error, TemplateSyntaxError):  # otherwise it may take other conversations
            raise UserError(f"{model}: chat template: line {error.lineno}: {error.message}") from error
    except UserError as error:
        raise UserError(f"{model}: {error}") from None
    if not has_template:
        _say_what_it_reads(model, tokenizer, prompt)
    return tokenizer


def _say_what_it_reads(model: Path, tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> None:
    """Say once what a base model, which has no chat template of its own, is asked and taught."""
    turns = [{"role": "user", "content": "QUESTION"}, {"role": "assistant", "content": "RESPONSE"}]
    try:
        text = render(tokenizer, turns)
    except TemplateError:  # it takes other conversations
        return
    words = (
        f"{model}: a base model without a chat template: with {prompt.chat_template} it is asked and trained "
        f"by {text!r}"
    )
    if words not in _said and os.environ.get("RANK", "0") == "0":
        _said.add(words)
        print(words, file=sys.stderr)


def _folder_of(model: Path, file: str) -> Path:
    """The model's directory, or that of an adapter's base if the adapter itself has no such file."""
    return next((part for part in with_base(model) if (part / file).is_file()), model)


def _no_model(model: Path, error: Exception) -> UserError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return UserError(f"{model}: cannot be read as a causal language model: {reason[:300]}")


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], begun: str = "") -> list[int]:
    """Token ids of a conversation up to where the model's turn begins.

    Args:
        begun: the turn's beginning, where it is given.

    Raises:
        UserError: the chat template refuses it (some have no system turn), or leaves a text out.
    """
    try:
        text = render(tokenizer, messages, add_generation_prompt=True)
    except TemplateError as error:
        raise UserError(
            f"the model's chat template refuses the prompt: {error}; change prompt.system, or choose another "
            "template (prompt.chat_template)"
        ) from error
    for message in messages:
        if message["content"].strip() not in text:
            raise UserError(
                f"the chat template leaves out the text of the {message['role']}: "
                f"{abbreviated(message['content'])}; choose another (prompt.chat_template)"
            )
    return tokenizer(text + begun, add_special_tokens=False)["input_ids"]


def hidden_tokens(tokenizer: PreTrainedTokenizerBase, thought: Thought) -> frozenset[int]:
    """The special tokens that are no text of a response: all but those of which a thought's marks consist."""
    marks = {token for mark in thought for token in tokenizer(mark, add_special_tokens=False)["input_ids"]}
    return frozenset(_special(tokenizer) - marks)


def response_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], hidden: Collection[int]) -> str:
    """The text of a response without its hidden tokens (`hidden_tokens`)."""
    shown = [token for token in ids if token not in hidden]
    text = tokenizer.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)  # of one list of ids, not of several
    return text


def _special(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    return {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a model's turn: the chat template's if it has one, else the end of sequence."""
    after = _after_turn(tokenizer)
    return tokenizer.eos_token_id if after is None else after


def stop_ids(tokenizer: PreTrainedTokenizerBase, model: Path) -> list[int]:
    """The tokens that end a response, ascending.

    They are the tokenizer's end of sequence, those of the model's generation_config.json, and the
    special token that the chat template puts after a model's turn: base models such as Qwen2.5's
    name only <|endoftext|> as their end, but learn to end with the template's <|im_end|>.

    Raises:
        UserError: generation_config.json is no JSON object, or its eos_token_id is no token.
    """
    stops = {tokenizer.eos_token_id, _after_turn(tokenizer)}
    settings = _folder_of(model, "generation_config.json") / "generation_config.json"
    if settings.is_file():
        stops.update(_named_stops(settings))
    return sorted(stop for stop in stops if stop is not None)


def _named_stops(settings: Path) -> list[int]:
    try:
        document = json.loads(settings.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{settings}: cannot be read ({error}); mend or remove it") from None
    if not isinstance(document, dict):
        raise UserError(f"{settings}: must be a JSON object; mend or remove it")
    named = document.get("eos_token_id")
    stops = named if isinstance(named, list) else [] if named is None else [named]
    if not all(isinstance(stop, int) for stop in stops):
        raise UserError(
            f"{settings}: eos_token_id is {abbreviated(named)}; it must be a token's number, or a list of "
            "these"
        )
    return stops


def _after_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The special token that follows a model's turn in the chat template; None if there is not one."""
    answer = "an answer"
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}]
    system = {"role": "system", "content": "a rule"}
    for conversation in (turns, [system, *turns]):  # some templates have no system turn, some demand one
        try:
            _, found, after = render(tokenizer, conversation).rpartition(answer)
        except TemplateError:
            continue
        ids = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"] if found else []
        return ids[0] if ids and ids[0] in _special(tokenizer) else None
    return None


def context_size(config: Any) -> int:
    """The longest sequence in tokens that a model's configuration allows; a million if it sets no limit."""
    return config.get_text_config().to_dict().get("max_position_embeddings") or 1_000_000
