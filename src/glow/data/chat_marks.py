"""The question in a prompt as a model saw it, with the marks of a chat template around its turns.

Rollouts are often written so: with the special tokens (<|im_start|>user ...), or, where these were left out,
with the roles as lines of their own.
"""

import re
from typing import NamedTuple

_TEMPLATES = (
    (r"<\|im_start\|>(?:user|human)[ \t]*\n", r"<\|im_end\|>"),  # ChatML
    (r"<\|start_header_id\|>user<\|end_header_id\|>\s*", r"<\|eot_id\|>"),  # Llama 3
    (r"<start_of_turn>user[ \t]*\n", r"<end_of_turn>"),  # Gemma
    (r"<\uff5cUser\uff5c>", r"<\uff5cAssistant\uff5c>"),  # DeepSeek
    (r"<\|user\|>[ \t]*\n?", r"(?:<\|end\|>|</s>|<\|assistant\|>)"),  # Phi, Zephyr
    (r"\[INST\][ \t]*", r"\[/INST\]"),  # Mistral, Llama 2
)
_MARKED = [re.compile(rf"{opening}(?P<turn>.*?){closing}", re.DOTALL) for opening, closing in _TEMPLATES]
_LINES = re.compile(
    r"(?:^|\n)user\n(?P<turn>(?:(?!\nuser\n).)*?)\n*\nassistant\n(?P<rest>(?:<think>)?\s*)$", re.DOTALL
)
"""ChatML without its special tokens: it has to end where the assistant begins."""

_THINK = re.compile(r"<think>\s*$")


class Bare(NamedTuple):
    """A question without marks; and whether behind it the prompt had opened a thought."""

    question: str
    thought_open: bool
    turns: int


def without_marks(prompt: str) -> Bare | None:
    """The last turn of the user in a prompt with the marks of a chat template; None in one without."""
    for template in _MARKED:
        turns = list(template.finditer(prompt))
        if turns:
            return Bare(turns[-1]["turn"].strip(), _opens(prompt[turns[-1].end() :]), len(turns))
    lines = _LINES.search(prompt)
    if lines is None:
        return None
    return Bare(lines["turn"].strip(), _opens(lines["rest"]), 1)


def _opens(rest: str) -> bool:
    return _THINK.search(rest) is not None
