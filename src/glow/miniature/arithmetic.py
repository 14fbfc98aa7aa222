"""Families of multi-step arithmetic: the miniature's training domain.

Running values stay within 0..30, so that a very small model can learn the sums in minutes. Every
operation carries a label that its step in the solution repeats, so that a step says what it reads.
"""

import random
import re

from glow.miniature.family import ITEMS, LABELS, NAMES, Family, WorkedProblem, parse, worked

HIGHEST = 30


def _apply(value: int, sign: str, operand: int) -> int:
    return value + operand if sign == "+" else value - operand


def _operation(rng: random.Random, value: int) -> tuple[str, int]:
    """A sign and a one-digit operand that keep the value within 0..HIGHEST."""
    fitting = [
        (sign, operand)
        for sign in "+-"
        for operand in range(1, 10)
        if 0 <= _apply(value, sign, operand) <= HIGHEST
    ]
    return rng.choice(fitting)


# --- ledger: a running total --------------------------------------------------------------------


def _draw_ledger(rng: random.Random, steps: int) -> WorkedProblem:
    value, item = rng.randint(5, 25), rng.choice(ITEMS)
    start, changes, lines = value, [], []
    for label in LABELS[:steps]:
        sign, operand = _operation(rng, value)
        after = _apply(value, sign, operand)
        changes.append(f"{label}{sign}{operand}")
        lines.append(f"{label}:{value}{sign}{operand}={after}")
        value = after
    question = f"{rng.choice(NAMES)} has {start} {item}: {', '.join(changes)}. How many {item} now?"
    return worked(rng, question, lines, str(value))


def _solve_ledger(question: str) -> str:
    found = parse(r"\w+ has (\d+) (\w+): (.+)\. How many \2 now\?", question)
    return str(int(found[1]) + sum(map(int, re.findall(r"[+-]\d", found[3]))))


# --- substitution: named values that refer to earlier ones ------------------------------------------


def _draw_substitution(rng: random.Random, steps: int) -> WorkedProblem:
    names = "abcdefg"[: steps + 1]
    values = [rng.randint(5, 25)]
    equations, lines = [f"a = {values[0]}"], []
    for name in names[1:]:
        # Mostly the value just found; now and then an older one, so that names must be read.
        source = len(values) - 1 if rng.random() < 0.7 else rng.randrange(len(values))
        sign, operand = _operation(rng, values[source])
        values.append(_apply(values[source], sign, operand))
        equations.append(f"{name} = {names[source]}{sign}{operand}")
        lines.append(
            f"{name} = {names[source]}{sign}{operand} = {values[source]}{sign}{operand} = {values[-1]}"
        )
    return worked(rng, f"Let {', '.join(equations)}. Find {names[-1]}.", lines, str(values[-1]))


def _solve_substitution(question: str) -> str:
    found = parse(r"Let (.+)\. Find (\w)\.", question)
    equations = dict(equation.split(" = ") for equation in found[1].split(", "))

    def value_of(name: str) -> int:
        text = equations[name]
        return int(text) if text.isdigit() else value_of(text[0]) + int(text[1:])

    return str(value_of(found[2]))


# --- shopping: a sum of products --------------------------------------------------------------------


def _draw_shopping(rng: random.Random, steps: int) -> WorkedProblem:
    items = rng.sample(ITEMS, steps)
    orders, lines, total = [], [], 0
    for label, item in zip(LABELS, items, strict=False):
        count, price = rng.randint(2, 4), rng.randint(2, 6)
        cost = count * price
        orders.append(f"{label}:{count} {item} at {price}")
        lines.append(f"{label}:{count}*{price}={cost}")
        if total:
            lines.append(f"sum:{total}+{cost}={total + cost}")
        total += cost
    return worked(rng, f"{rng.choice(NAMES)} buys {', '.join(orders)}. What does it cost?", lines, str(total))


def _solve_shopping(question: str) -> str:
    found = parse(r"\w+ buys (.+)\. What does it cost\?", question)
    return str(sum(int(count) * int(price) for count, price in re.findall(r":(\d) \w+ at (\d)", found[1])))


# --- turns: two operations taken in turn ------------------------------------------------------------


def _draw_turns(rng: random.Random, steps: int) -> WorkedProblem:
    while True:
        start = value = rng.randint(5, 25)
        operations = [(label, *_operation(rng, value)) for label in "pq"]
        lines = []
        for turn in range(steps):
            label, sign, operand = operations[turn % 2]
            after = _apply(value, sign, operand)
            lines.append(f"{label}{turn + 1}:{value}{sign}{operand}={after}")
            value = after
            if not 0 <= value <= HIGHEST:
                break
        else:
            break
    rules = ", ".join(f"{label}{sign}{operand}" for label, sign, operand in operations)
    question = f"From {start} by turns {rules}. Value after {steps} turns?"
    return worked(rng, question, lines, str(value))


def _solve_turns(question: str) -> str:
    found = parse(r"From (\d+) by turns p([+-]\d), q([+-]\d)\. Value after (\d) turns\?", question)
    start, odd, even, turns = map(int, found.groups())
    return str(start + odd * ((turns + 1) // 2) + even * (turns // 2))


ARITHMETIC = (
    Family("ledger", "a running total of labelled gains and losses", (3, 5), _draw_ledger, _solve_ledger),
    Family(
        "substitution", "equations that name earlier values", (2, 4), _draw_substitution, _solve_substitution
    ),
    Family("shopping", "a sum of counts times prices", (2, 3), _draw_shopping, _solve_shopping),
    Family("turns", "two operations applied in turn", (3, 5), _draw_turns, _solve_turns),
)
