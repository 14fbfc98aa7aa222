"""Load models and tokenizers from a directory; turn prompts into token ids; find the tokens that end a turn.

Nothing here uses a network, and no pickle is read.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from glow.errors import UserError
from glow.models.prompts import Message


def load_model(model: Path) -> tuple[Any, PreTrainedTokenizerBase]:
    """The causal language model of a directory, ready to run, and its tokenizer.

    bfloat16 on a CUDA device if there is one, else float32 on the CPU.

    Raises:
        UserError: the directory has no such model, or its tokenizer has no chat template.
    """
    tokenizer = load_tokenizer(model)
    cuda = torch.cuda.is_available()
    transformers_logging.disable_progress_bar()
    try:
        loaded: torch.nn.Module = AutoModelForCausalLM.from_pretrained(
            model, dtype=torch.bfloat16 if cuda else torch.float32, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise _no_model(model, error) from error
    return loaded.to("cuda" if cuda else "cpu").eval(), tokenizer


def require_model(model: Path) -> None:
    """Refuse a path that is not a model directory, before any work starts.

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
        UserError: `model` is not a model directory, or its tokenizer cannot be read or has no chat template.
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
        text = _render(tokenizer, messages, add_generation_prompt=True)
    except TemplateError as error:
        raise UserError(
            f"the model's chat template refuses the prompt: {error}; change prompt.system"
        ) from error
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], add_generation_prompt: bool = False
) -> str:
    """The text that the chat template makes of a conversation."""
    text = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=add_generation_prompt, tokenize=False
    )
    assert isinstance(text, str)  # of one conversation, not tokenised
    return text


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a model's turn: the chat template's if it has one, else the end of sequence."""
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
    """The special token that follows a model's turn in the chat template; None if there is not one."""
    answer = "an answer"
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}]
    _, found, after = _render(tokenizer, turns).rpartition(answer)
    ids = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"] if found else []
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return ids[0] if ids and ids[0] in special else None


def context_size(config: Any) -> int:
    """The longest sequence in tokens that a model's configuration allows; a million if it sets no limit."""
    return config.get_text_config().to_dict().get("max_position_embeddings") or 1_000_000
