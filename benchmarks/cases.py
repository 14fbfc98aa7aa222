"""Labelled cases for graders, and the groups in which their kinds are reported. Nothing here judges."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glow.files.jsonl import read_jsonl

OURS = Path(__file__).resolve().parent / "verifier_cases"
"""The cases of this repository."""

ATTACKS = (
    "attack_choices_listed", "attack_last_number_fallback", "attack_lists", "attack_percent",
    "attack_precision", "attack_relations", "attack_trailing_text", "attack_words", "box_then_template",
    "choice_hedge", "hang", "hedge_numbers", "injection", "several_boxes_hedge", "think_blocks",
    "tiny_and_near",
)  # fmt: skip
"""Ways to a reward without a right answer: hedging, dressing, talking to the grader, what comes close."""

GROUPS = {
    "attacks": ATTACKS,
    "boxes and dressing": (
        "box_dressing", "box_forms", "chinese", "equation_in_box", "messy_gold", "phrases",
        "several_boxes_all_solutions", "several_boxes_repeat", "trailing_punctuation", "unicode",
    ),
    "choices and words": ("choice_dress", "choice_text", "multi_select", "words", "yes_no"),
    "numbers": (
        "bases", "fractions", "mixed_numbers", "number_forms", "number_words", "percent",
        "repeating_decimals", "scientific", "thousands",
    ),
    "quantities": ("currency", "degrees", "ratios", "times_dates", "units"),
    "expressions": (
        "algebra", "combinatorics", "complex_numbers", "curve_equations", "periodic_families", "radicals",
        "regress_against_math_verify", "trig_log",
    ),
    "lists, sets, systems": (
        "inequalities", "list_of_three_digit_numbers", "matrices", "multi_answers", "plus_minus",
        "sets_tuples_intervals", "system_in_box", "unions", "vectors",
    ),
}  # fmt: skip
"""Every kind of case, once."""


@dataclass(frozen=True)
class Case:
    """A response, the gold answer, and whether the one is right by the other."""

    id: str
    kind: str
    response: str
    answer: str
    extraction: Literal["strict", "lenient"]
    expected: Literal["correct", "wrong"]
    why: str
    choices: tuple[str, ...] = ()


def read(files: Iterable[Path]) -> list[Case]:
    """The cases of some files, in their order."""
    rows = (row for file in files for row in read_jsonl(file))
    return [Case(**{**row, "choices": tuple(row.get("choices", ()))}) for row in rows]
