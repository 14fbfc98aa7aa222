"""Families about lists and symbols: out of the training domain.

List answers are digits written together (1..9, so no leading zero): a verifier that compares numbers
then cannot take one order for another.
"""

import random
import re
from collections.abc import Sequence

from glow.miniature.family import ITEMS, LABELS, Family, parse

CONSONANTS = "bcdfghjklmnv"
"""The letters used as symbols, in keys and links; without vowels, so that they spell no word."""


def _digits(rng: random.Random, count: int) -> list[str]:
    return rng.sample("123456789", count)


def _marked(question: str, steps: Sequence[str]) -> str:
    """What the steps mark with yes."""
    return "".join(step[0] for step in steps if step.endswith("yes"))


# --- reversal ---------------------------------------------------------------------------------------


def _draw_reversal(rng: random.Random, steps: int) -> str:
    return f"Write {''.join(_digits(rng, steps))} backwards."


def _next_reversal(question: str, steps: Sequence[str]) -> str | None:
    digits = parse(r"Write (\d+) backwards\.", question)[1]
    return None if len(steps) >= len(digits) else f"{len(steps) + 1}:{digits[-1 - len(steps)]}"


def _conclude_reversal(question: str, steps: Sequence[str]) -> str:
    return "".join(step[-1] for step in steps)


def _solve_reversal(question: str) -> str:
    return parse(r"Write (\d+) backwards\.", question)[1][::-1]


# --- sorting ----------------------------------------------------------------------------------------


def _draw_sorting(rng: random.Random, steps: int) -> str:
    return f"Sort {''.join(_digits(rng, steps))} upwards."


def _next_sorting(question: str, steps: Sequence[str]) -> str | None:
    rest = parse(r"Sort (\d+) upwards\.", question)[1]
    if steps:
        rest = parse(r"\d:(\d+|none)", steps[-1])[1]
    if rest == "none":
        return None
    return f"{min(rest)}:{rest.replace(min(rest), '') or 'none'}"


def _conclude_sorting(question: str, steps: Sequence[str]) -> str:
    return "".join(step[0] for step in steps)


def _solve_sorting(question: str) -> str:
    listed = parse(r"Sort (\d+) upwards\.", question)[1]
    return "".join(digit for digit in "123456789" if digit in listed)


# --- filtering --------------------------------------------------------------------------------------

_KEEP = r"Keep what is (above|below) (\d) in (\d+)\."


def _draw_filtering(rng: random.Random, steps: int) -> str:
    while True:
        side, limit = rng.choice(("above", "below")), rng.randint(3, 7)
        question = f"Keep what is {side} {limit} in {''.join(_digits(rng, steps))}."
        if _solve_filtering(question):
            return question


def _next_filtering(question: str, steps: Sequence[str]) -> str | None:
    side, limit, digits = parse(_KEEP, question).groups()
    if len(steps) >= len(digits):
        return None
    digit = digits[len(steps)]
    return f"{digit} {'yes' if (digit > limit if side == 'above' else digit < limit) else 'no'}"


def _solve_filtering(question: str) -> str:
    found = parse(_KEEP, question)
    limit = int(found[2])
    wanted = range(limit + 1, 10) if found[1] == "above" else range(limit)
    return "".join(digit for digit in found[3] if int(digit) in wanted)


# --- decoding ---------------------------------------------------------------------------------------

_KEY = r"Key (.+)\. Decode (.+)\."


def _draw_decoding(rng: random.Random, steps: int) -> str:
    key = dict(zip(rng.sample(CONSONANTS, 4), _digits(rng, 4), strict=True))
    shown = ", ".join(f"{letter}:{digit}" for letter, digit in key.items())
    return f"Key {shown}. Decode {' '.join(rng.sample(list(key), steps))}."


def _next_decoding(question: str, steps: Sequence[str]) -> str | None:
    found = parse(_KEY, question)
    message = found[2].split()
    if len(steps) >= len(message):
        return None
    letter = message[len(steps)]
    return next(entry for entry in found[1].split(", ") if entry[0] == letter)


def _conclude_decoding(question: str, steps: Sequence[str]) -> str:
    return "".join(step[-1] for step in steps)


def _solve_decoding(question: str) -> str:
    found = parse(_KEY, question)
    table = str.maketrans(dict(re.findall(r"(\w):(\d)", found[1])))
    return found[2].translate(table).replace(" ", "")


# --- counting ---------------------------------------------------------------------------------------

_BOXES = r"How many boxes hold (\w+): (.+)\?"


def _draw_counting(rng: random.Random, steps: int) -> str:
    kinds = rng.sample(ITEMS, 3)
    boxes = zip(LABELS, rng.choices(kinds, k=steps), strict=False)
    shown = ", ".join(f"{label} {thing}" for label, thing in boxes)
    return f"How many boxes hold {rng.choice(kinds)}: {shown}?"


def _next_counting(question: str, steps: Sequence[str]) -> str | None:
    asked, shown = parse(_BOXES, question).groups()
    boxes = shown.split(", ")
    if len(steps) >= len(boxes):
        return None
    box = boxes[len(steps)]
    before = int(_conclude_counting(question, steps)) if steps else 0
    return f"{box} {before + box.endswith(asked)}"


def _conclude_counting(question: str, steps: Sequence[str]) -> str:
    return parse(r".* (\d+)", steps[-1])[1]


def _solve_counting(question: str) -> str:
    found = parse(_BOXES, question)
    return str(len(re.findall(rf"\b{found[1]}\b", found[2])))


# --- membership -------------------------------------------------------------------------------------

_SETS = r"Set P (\d+), set Q (\d+)\. What is in both\?"


def _draw_membership(rng: random.Random, steps: int) -> str:
    digits = _digits(rng, 2 * steps - 1)
    common, first, second = digits[0], digits[1:steps], digits[steps:]
    first.insert(rng.randint(0, len(first)), common)
    second.insert(rng.randint(0, len(second)), common)
    return f"Set P {''.join(first)}, set Q {''.join(second)}. What is in both?"


def _next_membership(question: str, steps: Sequence[str]) -> str | None:
    first, second = parse(_SETS, question).groups()
    if len(steps) >= len(first):
        return None
    digit = first[len(steps)]
    return f"{digit} {'yes' if digit in second else 'no'}"


def _solve_membership(question: str) -> str:
    found = parse(_SETS, question)
    return "".join(set(found[1]) & set(found[2]))


LISTS = (
    Family(
        "reversal",
        "write a list of digits backwards",
        (4, 6),
        _draw_reversal,
        _next_reversal,
        _conclude_reversal,
        _solve_reversal,
    ),
    Family(
        "sorting",
        "sort digits upwards",
        (4, 5),
        _draw_sorting,
        _next_sorting,
        _conclude_sorting,
        _solve_sorting,
    ),
    Family(
        "filtering",
        "keep the digits above or below a limit",
        (4, 5),
        _draw_filtering,
        _next_filtering,
        _marked,
        _solve_filtering,
    ),
    Family(
        "decoding",
        "replace letters by digits with a key",
        (2, 3),
        _draw_decoding,
        _next_decoding,
        _conclude_decoding,
        _solve_decoding,
    ),
    Family(
        "counting",
        "count how often a thing occurs",
        (3, 5),
        _draw_counting,
        _next_counting,
        _conclude_counting,
        _solve_counting,
    ),
    Family(
        "membership",
        "find the common element of two sets",
        (3, 5),
        _draw_membership,
        _next_membership,
        _marked,
        _solve_membership,
    ),
)
