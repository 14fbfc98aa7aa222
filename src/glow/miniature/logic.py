"""Families about logic: out of the training domain."""

import random
import re
from collections.abc import Sequence
from itertools import pairwise, permutations

from glow.miniature.family import LABELS, NAMES, Family, parse

_TRUTH = {True: "true", False: "false"}
_PAIRS = {"(": ")", "[": "]", "<": ">"}
_KINDS = {"(": "round", "[": "square", "<": "angle"}


# --- boolean: truth values joined from left to right ----------------------------------------------------

_START = r"Start with (\w+), (.+)\. Result\?"


def _draw_boolean(rng: random.Random, steps: int) -> str:
    parts = [
        f"{label} {rng.choice(('and', 'or', 'xor'))} {_TRUTH[rng.random() < 0.5]}" for label in LABELS[:steps]
    ]
    return f"Start with {_TRUTH[rng.random() < 0.5]}, {', '.join(parts)}. Result?"


def _next_boolean(question: str, steps: Sequence[str]) -> str | None:
    start, listed = parse(_START, question).groups()
    parts = listed.split(", ")
    if len(steps) >= len(parts):
        return None
    left = (_conclude_boolean(question, steps) if steps else start) == "true"
    part = parts[len(steps)]
    _, operator, word = part.split()
    right = word == "true"
    after = {"and": left and right, "or": left or right, "xor": left != right}[operator]
    return f"{part} is {_TRUTH[after]}"


def _conclude_boolean(question: str, steps: Sequence[str]) -> str:
    return parse(r".* is (true|false)", steps[-1])[1]


def _solve_boolean(question: str) -> str:
    found = parse(_START, question)
    value = found[1] == "true"
    for operator, word in re.findall(r"\w (\w+) (\w+)", found[2]):
        if operator == "xor":
            value ^= word == "true"
        elif (operator == "and") != (word == "true"):  # `and false`, `or true`: the left side is lost
            value = operator == "or"
    return "true" if value else "false"


# --- brackets: which one must be closed next ------------------------------------------------------------

_OPEN = r"Name the last open bracket: (.+)"


def _draw_brackets(rng: random.Random, steps: int) -> str:
    while True:
        stack: list[str] = []
        symbols = []
        for _ in range(steps):
            if stack and rng.random() < 0.45:
                symbols.append(_PAIRS[stack.pop()])
            else:
                stack.append(rng.choice("([<"))
                symbols.append(stack[-1])
        if stack and len(stack) <= 4:
            return f"Name the last open bracket: {' '.join(symbols)}"


def _next_brackets(question: str, steps: Sequence[str]) -> str | None:
    symbols = parse(_OPEN, question)[1].split()
    if len(steps) >= len(symbols):
        return None
    symbol, stack = symbols[len(steps)], _stack(steps)
    if symbol in _PAIRS:
        stack.append(symbol)
    elif stack:
        stack.pop()
    return " ".join([symbol, ":", *(stack or ["none"])])


def _stack(steps: Sequence[str]) -> list[str]:
    """The brackets that are open after the steps, as they say."""
    if not steps:
        return []
    return [symbol for symbol in parse(r". : (.+)", steps[-1])[1].split() if symbol != "none"]


def _conclude_brackets(question: str, steps: Sequence[str]) -> str:
    stack = _stack(steps)
    return _KINDS.get(stack[-1], "none") if stack else "none"


def _solve_brackets(question: str) -> str:
    text = parse(_OPEN, question)[1].replace(" ", "")
    while (shorter := re.sub(r"\(\)|\[\]|<>", "", text)) != text:
        text = shorter
    return {"(": "round", "[": "square", "<": "angle"}[text[-1]]


# --- ordering: people by height ---------------------------------------------------------------------------

_SAY = r"Say (.+)\. Who is (top|second|bottom)\?"


def _draw_ordering(rng: random.Random, steps: int) -> str:
    tallest_first = rng.sample(NAMES, steps + 1)
    relations = [
        rng.choice((f"{tall} over {short}", f"{short} under {tall}"))
        for tall, short in pairwise(tallest_first)
    ]
    rng.shuffle(relations)
    return f"Say {', '.join(relations)}. Who is {rng.choice(('top', 'second', 'bottom'))}?"


def _next_ordering(question: str, steps: Sequence[str]) -> str | None:
    order = _order(question)
    return None if len(steps) >= len(order) else f"{len(steps) + 1} {order[len(steps)]}"


def _conclude_ordering(question: str, steps: Sequence[str]) -> str:
    place = {"top": 0, "second": 1, "bottom": len(steps) - 1}[parse(_SAY, question)[2]]
    if place >= len(steps):
        raise ValueError("too few steps")
    return steps[place].split()[-1]


def _solve_ordering(question: str) -> str:
    return _order(question)[{"top": 0, "second": 1, "bottom": -1}[parse(_SAY, question)[2]]]


def _order(question: str) -> tuple[str, ...]:
    """The people, the tallest first."""
    above = set()
    for relation in parse(_SAY, question)[1].split(", "):
        left, word, right = relation.split()
        above.add((left, right) if word == "over" else (right, left))
    people = sorted({person for pair in above for person in pair})
    return next(
        line
        for line in permutations(people)
        if all(line.index(high) < line.index(low) for high, low in above)
    )


LOGIC = (
    Family(
        "boolean",
        "join truth values from left to right",
        (4, 6),
        _draw_boolean,
        _next_boolean,
        _conclude_boolean,
        _solve_boolean,
        ("true", "false"),
    ),
    Family(
        "brackets",
        "find the bracket that must be closed next",
        (4, 6),
        _draw_brackets,
        _next_brackets,
        _conclude_brackets,
        _solve_brackets,
        ("round", "square", "angle"),
    ),
    Family(
        "ordering",
        "order people from pairwise comparisons",
        (2, 2),
        _draw_ordering,
        _next_ordering,
        _conclude_ordering,
        _solve_ordering,
        NAMES,
    ),
)
