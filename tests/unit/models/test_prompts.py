"""prompts: the conversation that a model reads, word for word."""

from glow.config import Prompt
from glow.models.prompts import prompt_messages


def test_the_papers_prompt() -> None:
    prompt = Prompt(
        system="You are a helpful assistant.",
        instruction="Reason step by step, and put your final answer within \\boxed{}.",
    )
    assert prompt_messages("What is 1 + 1?", prompt) == [
        {"role": "system", "content": "You are a helpful assistant."},
        {
            "role": "user",
            "content": "What is 1 + 1?\nReason step by step, and put your final answer within \\boxed{}.",
        },
    ]


def test_without_settings_the_question_stands_alone() -> None:
    assert prompt_messages("What is 1 + 1?", Prompt()) == [{"role": "user", "content": "What is 1 + 1?"}]


def test_an_empty_system_message_is_a_message() -> None:
    assert prompt_messages("?", Prompt(system=""))[0] == {"role": "system", "content": ""}
