"""Families about logic: out of the training domain."""

import random
import re
from itertools import pairwise, permutations

from glow.miniature.family import LABELS, NAMES, Family, WorkedProblem, parse, worked

_TRUTH = {True: "true", False: "false"}
_PAIRS = {"(": ")", "[": "]", "<": ">"}
_KINDS = {"(": "round", "[": "square", "<": "angle"}


# --- boolean: truth values joined from left to right ----------------------------------------------------


def _join(left: bool, operator: str, right: bool) -> bool:
    return {"and": left and right, "or": left or right, "xor": left != right}[operator]


def _draw_boolean(rng: random.Random, steps: int) -> WorkedProblem:
    value = rng.random() < 0.5
    start, parts, lines = _TRUTH[value], [], []
    for label in LABELS[:steps]:
        operator, right = rng.choice(("and", "or", "xor")), rng.random() < 0.5
        after = _join(value, operator, right)
        parts.append(f"{label} {operator} {_TRUTH[right]}")
        lines.append(f"{label} {operator} {_TRUTH[right]} is {_TRUTH[after]}")
        value = after
    return worked(rng, f"Start with {start}, {', '.join(parts)}. Result?", lines, _TRUTH[value])


def _solve_boolean(question: str) -> str:
    found = parse(r"Start with (\w+), (.+)\. Result\?", question)
    value = found[1] == "true"
    for operator, word in re.findall(r"\w (\w+) (\w+)", found[2]):
        if operator == "xor":
            value ^= word == "true"
        elif (operator == "and") != (word == "true"):  # `and false`, `or true`: the left side is lost
            value = operator == "or"
    return "true" if value else "false"


# --- brackets: which one must be closed next ------------------------------------------------------------


def _draw_brackets(rng: random.Random, steps: int) -> WorkedProblem:
    while True:
        stack: list[str] = []
        symbols, lines = [], []
        for _ in range(steps):
            if stack and rng.random() < 0.45:
                symbols.append(_PAIRS[stack.pop()])
            else:
                stack.append(rng.choice("([<"))
                symbols.append(stack[-1])
            lines.append(" ".join([symbols[-1], ":", *(stack or ["none"])]))
        if stack and len(stack) <= 4:
            question = f"Name the last open bracket: {' '.join(symbols)}"
            return worked(rng, question, [" ; ".join(lines) + " "], _KINDS[stack[-1]])


def _solve_brackets(question: str) -> str:
    text = parse(r"Name the last open bracket: (.+)", question)[1].replace(" ", "")
    while (shorter := re.sub(r"\(\)|\[\]|<>", "", text)) != text:
        text = shorter
    return {"(": "round", "[": "square", "<": "angle"}[text[-1]]


# --- ordering: people by height ---------------------------------------------------------------------------


def _draw_ordering(rng: random.Random, steps: int) -> WorkedProblem:
    tallest_first = rng.sample(NAMES, steps + 1)
    relations = [
        rng.choice((f"{tall} over {short}", f"{short} under {tall}"))
        for tall, short in pairwise(tallest_first)
    ]
    rng.shuffle(relations)
    asked, index = rng.choice((("top", 0), ("second", 1), ("bottom", -1)))
    question = f"Say {', '.join(relations)}. Who is {asked}?"
    return worked(rng, question, [f"from the top {', '.join(tallest_first)}"], tallest_first[index])


def _solve_ordering(question: str) -> str:
    found = parse(r"Say (.+)\. Who is (top|second|bottom)\?", question)
    above = set()
    for relation in found[1].split(", "):
        left, word, right = relation.split()
        above.add((left, right) if word == "over" else (right, left))
    people = sorted({person for pair in above for person in pair})
    order = next(
        line
        for line in permutations(people)
        if all(line.index(high) < line.index(low) for high, low in above)
    )
    return order[{"top": 0, "second": 1, "bottom": -1}[found[2]]]


LOGIC = (
    Family(
        "boolean",
        "join truth values from left to right",
        (4, 6),
        _draw_boolean,
        _solve_boolean,
        ("true", "false"),
    ),
    Family(
        "brackets",
        "find the bracket that must be closed next",
        (4, 6),
        _draw_brackets,
        _solve_brackets,
        ("round", "square", "angle"),
    ),
    Family(
        "ordering", "order people from pairwise comparisons", (2, 2), _draw_ordering, _solve_ordering, NAMES
    ),
)
