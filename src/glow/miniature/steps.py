"""Which steps of a response hold, and what its first slip is: exactly, as the families are procedural.

A step is *valid* when it is what must follow the steps before it, as they were written: a slip makes the
steps after it wrong only where they go wrong again. So a chain can have one invalid step and a wrong answer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from glow.miniature.arithmetic import Operation
from glow.miniature.family import OPENERS, STEP_MARK, Family

Slip = Literal[
    "carried",
    "label",
    "sign",
    "operand",
    "operation",
    "calculation",
    "early",
    "late",
    "form",
    "step",
    "answer",
]
"""What is wrong with the first invalid step, or with the end.

label: the step of another operation; carried: the value at its left is not the one that was reached; sign,
operand, operation: the question says another sign, another number, or both; calculation: the result does not
follow from what stands left of it; early, late: the answer comes before the last step, or a step after it;
form: not a step of this kind at all; step: invalid, in a family without arithmetic; answer: all steps are
valid, and the answer is not what they lead to.
"""
SLIPS: tuple[Slip, ...] = get_args(Slip)

_SUM = re.compile(r"(\w+):(\d+)([+*-]\d+)=(\d+)")


@dataclass(frozen=True)
class Chain:
    """The steps of a response.

    Attributes:
        steps: as they were written.
        valid: whether each holds.
        slip: of the first one that does not, or of the end; None for a chain without one.
        wanted: the step that had to stand there; None where none had to, or nothing is wrong.
    """

    steps: tuple[str, ...]
    valid: tuple[bool, ...]
    slip: Slip | None
    wanted: str | None = None

    @property
    def first(self) -> int | None:
        """The place of the first slip, from 0; that of the answer where all steps are valid."""
        if self.slip is None:
            return None
        return self.valid.index(False) if False in self.valid else len(self.steps)


def read_chain(family: Family, question: str, response: str, answer: str | None) -> Chain:
    """Judge the steps of a response to a question of the family.

    Args:
        answer: what the response states as its answer; None for nothing.

    Raises:
        ValueError: the question is not one of the family.
    """
    family.solve(question)
    steps = _written_steps(response)
    wanted = [_wanted(family, question, steps[:place]) for place in range(len(steps) + 1)]
    valid = tuple(step == right for step, right in zip(steps, wanted, strict=False))
    if False in valid:
        place = valid.index(False)
        return Chain(steps, valid, _slip(steps[place], wanted[place]), wanted[place])
    if wanted[-1] is not None:
        return Chain(steps, valid, "early", wanted[-1])
    concluded = family.conclude(question, steps)
    return Chain(steps, valid, None if answer == concluded else "answer")


def _written_steps(response: str) -> tuple[str, ...]:
    """The steps between the first words and the sentence that states the answer."""
    text = response.rpartition(". ")[0]
    for opener in OPENERS:
        text = text.removeprefix(f"{opener} ")
    return tuple(text.split(STEP_MARK)) if text else ()


def _wanted(family: Family, question: str, before: Sequence[str]) -> str | None:
    """The step that must follow; no step holds after one that cannot be read."""
    try:
        return family.next_step(question, before)
    except ValueError:
        return ""


def _slip(step: str, wanted: str | None) -> Slip:
    if wanted is None:
        return "late"
    right, written = _SUM.fullmatch(wanted), _SUM.fullmatch(step)
    if right is None:
        return "step"
    return "form" if written is None else _slip_of_sum(written, right)


def _slip_of_sum(written: re.Match[str], right: re.Match[str]) -> Slip:
    """What differs, read from left to right."""
    if written[1] != right[1]:
        return "label"
    if written[2] != right[2]:
        return "carried"
    said, asked = Operation.read(written[3]), Operation.read(right[3])
    if said == asked:
        return "calculation"
    if said.operand == asked.operand:
        return "sign"
    return "operand" if said.sign == asked.sign else "operation"
