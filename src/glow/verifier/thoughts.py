"""What a model thinks before it answers, between two marks: nothing in it is the answer.

A thought is open where the prompt or the response opened it. Once it is closed, only what follows is the
answer; while it is open there is none, whatever it contains. Text without marks is all answer. Thoughts do
not nest: a model may repeat the opening mark that its prompt ended with, and closes it once.
"""

Thought = tuple[str, str]
"""The marks that open and close a thought."""


def is_open(text: str, thought: Thought, was_open: bool = False) -> bool:
    """Whether a thought is open at the end of `text`, given whether one was open before it."""
    opened, closed = map(text.rfind, thought)
    return was_open if opened == closed == -1 else opened > closed


def answer_part(response: str, thought: Thought, was_open: bool = False) -> str | None:
    """What follows the last thought of a response; None where a thought is still open at its end."""
    if is_open(response, thought, was_open):
        return None
    _, closing, answer = response.rpartition(thought[1])
    return answer.lstrip() if closing else response
