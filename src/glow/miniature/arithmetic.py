"""Families of multi-step arithmetic: a running value, and operations that change it.

Running values stay within 0..20, so that a very small model can learn the sums in minutes. `sums` has them
alone, `ledger` and `turns` make the training domain, and `substitution` and `errands` put the same sums into
another form.
"""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from glow.miniature.family import ITEMS, LABELS, NAMES, Family, parse

HIGHEST = 20
MOST_ADDED = 5
FACTORS = (2, 3)

GAINS = ("finds", "buys")
LOSSES = ("loses", "gives")


class Operation(NamedTuple):
    """What is done to the running value: a sign (+, - or *) and a number."""

    sign: str
    operand: int

    def __str__(self) -> str:
        return f"{self.sign}{self.operand}"

    def of(self, value: int) -> int:
        """The value afterwards."""
        return {"+": value + self.operand, "-": value - self.operand, "*": value * self.operand}[self.sign]

    @classmethod
    def read(cls, text: str) -> "Operation":
        """From "+3"."""
        return cls(text[0], int(text[1:]))


def _sums(value: int) -> list[Operation]:
    """Additions and subtractions that keep the value within 0..HIGHEST."""
    every = [Operation(sign, operand) for sign in "+-" for operand in range(1, MOST_ADDED + 1)]
    return [one for one in every if 0 <= one.of(value) <= HIGHEST]


def _products(value: int) -> list[Operation]:
    every = [Operation("*", factor) for factor in FACTORS]
    return [one for one in every if value and one.of(value) <= HIGHEST]


def _last_value(start: int, steps: Sequence[str]) -> int:
    """The running value that the steps have come to, as they say."""
    return int(parse(r".*=(\d+)", steps[-1])[1]) if steps else start


def _final_value(question: str, steps: Sequence[str]) -> str:
    return parse(r".*=(\d+)", steps[-1])[1]


# --- sums: operations that have nothing to do with each other ----------------------------------------

_SUMS = r"\w+ asks: (.+)\. Say the last\."


def _draw_sums(rng: random.Random, steps: int) -> str:
    asked = []
    for _ in range(steps):
        value = rng.randint(0, HIGHEST)
        products = _products(value)
        asked.append(f"{value}{rng.choice(products if products and rng.random() < 0.3 else _sums(value))}")
    return f"{rng.choice(NAMES)} asks: {', '.join(asked)}. Say the last."


def _next_sums(question: str, steps: Sequence[str]) -> str | None:
    asked = parse(_SUMS, question)[1].split(", ")
    if len(steps) >= len(asked):
        return None
    value, rest = parse(r"(\d+)(.\d+)", asked[len(steps)]).groups()
    return f"{value}{rest}={Operation.read(rest).of(int(value))}"


def _solve_sums(question: str) -> str:
    value, sign, number = parse(r".*?(\d+)([+*-])(\d+)", parse(_SUMS, question)[1]).groups()
    return str(int(value) * int(number) if sign == "*" else int(value) + int(sign + number))


# --- ledger: a running total --------------------------------------------------------------------

_LEDGER = r"\w+ has (\d+) (\w+): (.+)\. How many \2 now\?"


def _draw_ledger(rng: random.Random, steps: int) -> str:
    start = value = rng.randint(2, 15)
    changes, item = [], rng.choice(ITEMS)
    for label in LABELS[:steps]:
        products = _products(value)
        one = rng.choice(products if products and rng.random() < 0.3 else _sums(value))
        changes.append(f"{label}{one}")
        value = one.of(value)
    return f"{rng.choice(NAMES)} has {start} {item}: {', '.join(changes)}. How many {item} now?"


def _next_ledger(question: str, steps: Sequence[str]) -> str | None:
    found = parse(_LEDGER, question)
    changes = found[3].split(", ")
    if len(steps) >= len(changes):
        return None
    change = changes[len(steps)]
    value, one = _last_value(int(found[1]), steps), Operation.read(change[1:])
    return f"{change[0]}:{value}{one}={one.of(value)}"


def _solve_ledger(question: str) -> str:
    found = parse(_LEDGER, question)
    value = int(found[1])
    for sign, number in re.findall(r"([+*-])(\d+)", found[3]):
        value = value * int(number) if sign == "*" else value + int(sign + number)
    return str(value)


# --- turns: two operations taken in turn ------------------------------------------------------------

_TURNS = r"From (\d+) by turns p([+-]\d+), q([+-]\d+)\. Value after (\d) turns\?"


def _draw_turns(rng: random.Random, steps: int) -> str:
    while True:
        start = value = rng.randint(0, HIGHEST)
        rules = [rng.choice(_sums(value)) for _ in "pq"]
        fits = True
        for turn in range(steps):
            value = rules[turn % 2].of(value)
            fits &= 0 <= value <= HIGHEST
        if fits:
            return f"From {start} by turns p{rules[0]}, q{rules[1]}. Value after {steps} turns?"


def _next_turns(question: str, steps: Sequence[str]) -> str | None:
    start, *rules, turns = parse(_TURNS, question).groups()
    turn = len(steps)
    if turn >= int(turns):
        return None
    value, one = _last_value(int(start), steps), Operation.read(rules[turn % 2])
    return f"{'pq'[turn % 2]}{turn + 1}:{value}{one}={one.of(value)}"


def _solve_turns(question: str) -> str:
    start, odd, even, turns = map(int, parse(_TURNS, question).groups())
    return str(start + odd * ((turns + 1) // 2) + even * (turns // 2))


# --- substitution: named values that refer to earlier ones ------------------------------------------

_LET = r"Let a = (\d+), (.+)\. Find (\w)\."


def _draw_substitution(rng: random.Random, steps: int) -> str:
    names, values = "abcdefg"[: steps + 1], [rng.randint(2, 18)]
    equations = [f"a = {values[0]}"]
    for name in names[1:]:
        # Mostly the value just found; now and then an older one, so that names must be read.
        source = len(values) - 1 if rng.random() < 0.7 else rng.randrange(len(values))
        one = rng.choice(_sums(values[source]))
        values.append(one.of(values[source]))
        equations.append(f"{name} = {names[source]}{one}")
    return f"Let {', '.join(equations)}. Find {names[-1]}."


def _next_substitution(question: str, steps: Sequence[str]) -> str | None:
    found = parse(_LET, question)
    equations = found[2].split(", ")
    if len(steps) >= len(equations):
        return None
    reached = (parse(r"(.).*=(\d+)", step) for step in steps)
    values = {"a": int(found[1])} | {step[1]: int(step[2]) for step in reached}
    name, source, rest = parse(r"(\w) = (\w)(.\d+)", equations[len(steps)]).groups()
    if source not in values:
        raise ValueError(f"{source} has no value yet")
    one = Operation.read(rest)
    return f"{name}:{values[source]}{one}={one.of(values[source])}"


def _solve_substitution(question: str) -> str:
    found = parse(_LET, question)
    equations = dict(equation.split(" = ") for equation in found[2].split(", "))

    def value_of(name: str) -> int:
        if name == "a":
            return int(found[1])
        return value_of(equations[name][0]) + int(equations[name][1:])

    return str(value_of(found[3]))


# --- errands: gains and losses in words ---------------------------------------------------------------

_ERRANDS = r"(\w+) with (\d+) (\w+) (.+)\. What is left\?"


def _draw_errands(rng: random.Random, steps: int) -> str:
    start = value = rng.randint(2, 18)
    events = []
    for _ in range(steps):
        one = rng.choice(_sums(value))
        events.append(f"{rng.choice(GAINS if one.sign == '+' else LOSSES)} {one.operand}")
        value = one.of(value)
    return f"{rng.choice(NAMES)} with {start} {rng.choice(ITEMS)} {' then '.join(events)}. What is left?"


def _next_errands(question: str, steps: Sequence[str]) -> str | None:
    found = parse(_ERRANDS, question)
    events = found[4].split(" then ")
    if len(steps) >= len(events):
        return None
    word, number = events[len(steps)].split()
    value, one = _last_value(int(found[2]), steps), Operation("+" if word in GAINS else "-", int(number))
    return f"{word}:{value}{one}={one.of(value)}"


def _solve_errands(question: str) -> str:
    found = parse(_ERRANDS, question)
    gained, lost = (
        sum(int(number) for number in re.findall(rf"(?:{'|'.join(words)}) (\d+)", found[4]))
        for words in (GAINS, LOSSES)
    )
    return str(int(found[2]) + gained - lost)


ARITHMETIC = (
    Family(
        "sums",
        "sums and products, each for itself",
        (3, 4),
        _draw_sums,
        _next_sums,
        _final_value,
        _solve_sums,
    ),
    Family(
        "ledger",
        "a running total of labelled gains, losses and multiples",
        (4, 5),
        _draw_ledger,
        _next_ledger,
        _final_value,
        _solve_ledger,
    ),
    Family(
        "turns",
        "two operations applied in turn",
        (3, 5),
        _draw_turns,
        _next_turns,
        _final_value,
        _solve_turns,
    ),
    Family(
        "substitution",
        "equations that name earlier values",
        (2, 4),
        _draw_substitution,
        _next_substitution,
        _final_value,
        _solve_substitution,
    ),
    Family(
        "errands",
        "gains and losses told in words",
        (2, 4),
        _draw_errands,
        _next_errands,
        _final_value,
        _solve_errands,
    ),
)
