"""Families about lists and symbols: out of the training domain.

List answers are digits written together (1..9, so no leading zero): a verifier that compares numbers
then cannot take one order for another.
"""

import random
import re

from glow.miniature.family import ITEMS, LABELS, Family, WorkedProblem, parse, worked

CONSONANTS = "bcdfghjklmnv"
"""The letters used as symbols, in keys and links; without vowels, so that they spell no word."""


def _digits(rng: random.Random, count: int) -> list[str]:
    return rng.sample("123456789", count)


# --- reversal ---------------------------------------------------------------------------------------


def _draw_reversal(rng: random.Random, steps: int) -> WorkedProblem:
    digits = _digits(rng, steps)
    backwards = list(reversed(digits))
    return worked(
        rng,
        f"Write {''.join(digits)} backwards.",
        [f"from the end {','.join(backwards)}"],
        "".join(backwards),
    )


def _solve_reversal(question: str) -> str:
    return parse(r"Write (\d+) backwards\.", question)[1][::-1]


# --- sorting ----------------------------------------------------------------------------------------


def _draw_sorting(rng: random.Random, steps: int) -> WorkedProblem:
    digits = _digits(rng, steps)
    ascending, rest, lines = [], list(digits), []
    while rest:
        least = min(rest)
        ascending.append(least)
        rest.remove(least)
        lines.append(f"{least}:{''.join(rest) or 'none'}")
    return worked(rng, f"Sort {''.join(digits)} upwards.", lines, "".join(ascending))


def _solve_sorting(question: str) -> str:
    listed = parse(r"Sort (\d+) upwards\.", question)[1]
    return "".join(digit for digit in "123456789" if digit in listed)


# --- filtering --------------------------------------------------------------------------------------


def _draw_filtering(rng: random.Random, steps: int) -> WorkedProblem:
    digits = _digits(rng, steps)
    side = rng.choice(("above", "below"))
    while True:
        limit = rng.randint(3, 7)
        kept = [digit for digit in digits if (int(digit) > limit if side == "above" else int(digit) < limit)]
        if kept:
            break
        digits = _digits(rng, steps)
    lines = [f"{digit} {'yes' if digit in kept else 'no'}" for digit in digits]
    return worked(rng, f"Keep what is {side} {limit} in {''.join(digits)}.", lines, "".join(kept))


def _solve_filtering(question: str) -> str:
    found = parse(r"Keep what is (above|below) (\d) in (\d+)\.", question)
    limit = int(found[2])
    wanted = range(limit + 1, 10) if found[1] == "above" else range(limit)
    return "".join(digit for digit in found[3] if int(digit) in wanted)


# --- decoding ---------------------------------------------------------------------------------------


def _draw_decoding(rng: random.Random, steps: int) -> WorkedProblem:
    key = dict(zip(rng.sample(CONSONANTS, 6), _digits(rng, 6), strict=True))
    message = rng.sample(list(key), steps)
    shown = ", ".join(f"{letter}:{digit}" for letter, digit in key.items())
    return worked(
        rng,
        f"Key {shown}. Decode {' '.join(message)}.",
        [f"{letter}:{key[letter]}" for letter in message],
        "".join(key[letter] for letter in message),
    )


def _solve_decoding(question: str) -> str:
    found = parse(r"Key (.+)\. Decode (.+)\.", question)
    table = str.maketrans(dict(re.findall(r"(\w):(\d)", found[1])))
    return found[2].translate(table).replace(" ", "")


# --- counting ---------------------------------------------------------------------------------------


def _draw_counting(rng: random.Random, steps: int) -> WorkedProblem:
    kinds = rng.sample(ITEMS, 3)
    boxes = dict(zip(LABELS, rng.choices(kinds, k=steps), strict=False))
    asked = rng.choice(kinds)
    lines, count = [], 0
    for label, thing in boxes.items():
        count += thing == asked
        lines.append(f"{label} {thing} {count}")
    shown = ", ".join(f"{label} {thing}" for label, thing in boxes.items())
    return worked(rng, f"How many boxes hold {asked}: {shown}?", lines, str(count))


def _solve_counting(question: str) -> str:
    found = parse(r"How many boxes hold (\w+): (.+)\?", question)
    return str(len(re.findall(rf"\b{found[1]}\b", found[2])))


# --- membership -------------------------------------------------------------------------------------


def _draw_membership(rng: random.Random, steps: int) -> WorkedProblem:
    digits = _digits(rng, 2 * steps - 1)
    common, first, second = digits[0], digits[1:steps], digits[steps:]
    first.insert(rng.randint(0, len(first)), common)
    second.insert(rng.randint(0, len(second)), common)
    lines = [f"{digit} {'yes' if digit == common else 'no'}" for digit in first]
    return worked(rng, f"Set P {''.join(first)}, set Q {''.join(second)}. What is in both?", lines, common)


def _solve_membership(question: str) -> str:
    found = parse(r"Set P (\d+), set Q (\d+)\. What is in both\?", question)
    return "".join(set(found[1]) & set(found[2]))


LISTS = (
    Family("reversal", "write a list of digits backwards", (4, 6), _draw_reversal, _solve_reversal),
    Family("sorting", "sort digits upwards", (4, 5), _draw_sorting, _solve_sorting),
    Family("filtering", "keep the digits above or below a limit", (4, 5), _draw_filtering, _solve_filtering),
    Family("decoding", "replace letters by digits with a key", (3, 5), _draw_decoding, _solve_decoding),
    Family("counting", "count how often a thing occurs", (5, 7), _draw_counting, _solve_counting),
    Family("membership", "find the common element of two sets", (3, 5), _draw_membership, _solve_membership),
)
