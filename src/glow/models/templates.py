"""Chat templates: by name, with variables of their own, and what they put before the model's turn.

A template is Jinja text that turns a conversation into one text. The variables that a configuration gives it
are written into its first lines, so that whoever renders it has them: TRL, vLLM, and every model saved here.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from glow.config import Prompt
from glow.errors import UserError
from glow.models.chat_template import CHAT_TEMPLATE, TURN_END
from glow.models.prompts import Message
from glow.models.template_limits import deadline
from glow.verifier.thoughts import Thought, is_open

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = """\
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '\\n\\n' -}}
{%- endif -%}
{%- endfor -%}
"""
"""No roles: each text and a blank line, then the response and the end of sequence."""

_OURS = {"chatml": CHAT_TEMPLATE, "plain": PLAIN}

_BEGIN = "{{- bos_token -}}\n"
"""The first line of our templates for a tokenizer that begins every text with a token."""

_VARIABLE = re.compile(r"\{# chat_template_kwargs #\}\{% set (\w+) = .* %\}\n")
"""A line that sets a variable; what Jinja makes of it is nothing."""


# --- by name --------------------------------------------------------------------------------------


def template_files(prompt: Prompt) -> list[Path]:
    """The user's own file with the chat template, if the prompt names one.

    Raises:
        UserError: there is no such file.
    """
    name = prompt.chat_template
    if name is None or not _is_file(name):
        return []
    template_text(name)
    return [Path(name)]


def template_text(name: str) -> str:
    """The text of a template of ours or of TRL by its name, or of a file.

    Raises:
        UserError: there is no such name, or no such file.
    """
    if name in _OURS:
        return _OURS[name]
    shipped = shipped_templates()
    if not _is_file(name) and name not in shipped:
        near = difflib.get_close_matches(name, [*_OURS, *shipped], n=3)
        known = f"did you mean {', '.join(near)}?" if near else f"try {', '.join(_OURS)}, qwen3_training"
        raise UserError(f"no chat template is named {name!r}; {known} (or a file: its name ends in .jinja)")
    file = Path(name) if _is_file(name) else shipped[name]
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a chat template: {error} (in {Path.cwd()})") from None


def named_template(name: str, tokenizer: "PreTrainedTokenizerBase") -> str:
    """The text of the template named `name`, with ours fitted to the tokenizer's special tokens.

    Raises:
        UserError: there is no such name or file, or the tokenizer has no token that could end a turn.
    """
    text = template_text(name)
    if name not in _OURS:
        return text
    if tokenizer.eos_token is None:
        raise UserError(f"chat template {name}: the tokenizer has no end-of-sequence token to end turns with")
    if TURN_END not in tokenizer.get_vocab():
        text = _ended_by_eos(text)
    begins = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return _BEGIN + text if begins else text


def template_name(text: str) -> str | None:
    """The name of the shipped template that a text is, whatever its variables; None for another text."""
    text = _split(text)[1]
    for name, own in _OURS.items():
        if text.removeprefix(_BEGIN) in (own, _ended_by_eos(own)):
            return name
    return next((name for name in shipped_templates() if template_text(name) == text), None)


def _is_file(name: str) -> bool:
    return name.endswith((".jinja", ".j2"))


def shipped_templates() -> dict[str, Path]:
    """The templates in TRL's package, which need not be imported for that."""
    package = find_spec("trl")
    assert package is not None and package.origin is not None  # one of our dependencies
    folder = Path(package.origin).parent / "chat_templates"
    return {file.stem: file for file in sorted(folder.glob("*.jinja"))}


def _ended_by_eos(chatml: str) -> str:
    return chatml.replace(f"'{TURN_END}", "eos_token + '")


# --- variables ----------------------------------------------------------------------------------


def with_variables(template: str, variables: Mapping[str, Any]) -> str:
    """The template with the variables set in its first lines, over those that were set there before."""
    lines, rest = _split(template)
    for name, value in variables.items():
        lines[name] = f"{{# chat_template_kwargs #}}{{% set {name} = {_literal(value)} %}}\n"
    return "".join(lines.values()) + rest


def _split(template: str) -> tuple[dict[str, str], str]:
    """The lines that set variables, by name, and the template without them."""
    lines: dict[str, str] = {}
    while line := _VARIABLE.match(template):
        lines[line[1]] = line[0]
        template = template[line.end() :]
    return lines, template


def _literal(value: Any) -> str:
    """A JSON value as Jinja writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def own_template(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """The tokenizer's chat template: of several, its default."""
    own = tokenizer.chat_template
    return own.get("default") if isinstance(own, dict) else own


def use_template(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt) -> None:
    """Give the tokenizer the chat template and the variables that the prompt asks for.

    Raises:
        UserError: there is no such template, or the tokenizer has none and the prompt names none.
    """
    named = prompt.chat_template
    text = own_template(tokenizer) if named is None else named_template(named, tokenizer)
    if text is None:
        raise UserError(
            "its tokenizer has no chat template\nChoose one: prompt.chat_template (--chat-template) chatml, "
            "or plain for a base model that is to be asked in plain text"
        )
    if prompt.chat_template is not None or prompt.chat_template_kwargs:
        tokenizer.chat_template = with_variables(text, prompt.chat_template_kwargs)


# --- rendering ----------------------------------------------------------------------------------


def render(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], add_generation_prompt: bool = False
) -> str:
    """The text that the chat template makes of a conversation.

    Raises:
        TemplateError: the template refuses the conversation, or fails on it.
        UserError: it does not end.
    """
    try:
        with deadline():
            text = tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=add_generation_prompt, tokenize=False
            )
    except (TemplateError, UserError, MemoryError):
        raise
    except Exception as error:  # a template computes, so it may raise anything
        raise TemplateError(f"{type(error).__name__}: {error}") from error
    assert isinstance(text, str)  # of one conversation, not tokenised
    return text


def generation_prompt(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> str:
    """What the chat template adds after a conversation to begin the model's turn."""
    whole = render(tokenizer, messages, add_generation_prompt=True)
    pairs = zip(whole, render(tokenizer, messages), strict=False)
    return whole[sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) :]


def opens_thought(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], thought: Thought
) -> bool:
    """Whether what begins the model's turn leaves a thought open; marks in the messages are only quoted."""
    if not is_open(render(tokenizer, messages, add_generation_prompt=True), thought):
        return False  # nor is it then open in the end alone
    return is_open(generation_prompt(tokenizer, messages), thought)
