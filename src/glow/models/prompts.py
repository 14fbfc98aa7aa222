"""From a question to what a model reads: the one place where prompts are made.

Generation, SFT, GRPO and evaluation all build their prompt here, so that a model is trained and
asked in the same words.
"""

from collections.abc import Mapping
from typing import Any

from glow.config import Prompt

Message = dict[str, str]

PAPER = Prompt(
    system="You are a helpful assistant.",
    instruction="Please reason step by step, and put your final answer within \\boxed{}.",
)
"""The prompt of the paper's evaluation, from its released script (docs/paper.md, "The set-up")."""


def prompt_messages(question: str, prompt: Prompt) -> list[Message]:
    """The conversation up to the model's turn: an optional system message, then the user's."""
    user = f"{question}\n{prompt.instruction}" if prompt.instruction else question
    system = [{"role": "system", "content": prompt.system}] if prompt.system is not None else []
    return [*system, {"role": "user", "content": user}]


def problem_messages(problem: Mapping[str, Any], prompt: Prompt) -> list[Message]:
    """The conversation that asks a suite's problem: a row may ask to leave the instruction out (IFEval)."""
    asked = prompt if problem.get("instruction", True) else without_instruction(prompt)
    return prompt_messages(problem["question"], asked)


def without_instruction(prompt: Prompt) -> Prompt:
    """The prompt with nothing after the question."""
    return prompt.model_copy(update={"instruction": ""})
