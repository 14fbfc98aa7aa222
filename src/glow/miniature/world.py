"""Families about days, directions and links: out of the training domain."""

import random
import re
from itertools import pairwise

from glow.miniature.family import LABELS, Family, WorkedProblem, parse, worked
from glow.miniature.lists import CONSONANTS

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DIRECTIONS = ("north", "east", "south", "west")
_TURNS = {"right": 1, "back": 2, "left": 3}


# --- calendar: days on and back -------------------------------------------------------------------------


def _draw_calendar(rng: random.Random, steps: int) -> WorkedProblem:
    day = rng.randrange(7)
    start, moves, lines = DAYS[day], [], []
    for label in LABELS[:steps]:
        sign, count = rng.choice("+-"), rng.randint(1, 2)
        after = (day + (count if sign == "+" else -count)) % 7
        moves.append(f"{label}{sign}{count}")
        lines.append(f"{label}{sign}{count} {DAYS[after]}")
        day = after
    return worked(rng, f"It is {start}: {', '.join(moves)} days. Which day?", lines, DAYS[day])


def _solve_calendar(question: str) -> str:
    found = parse(r"It is (\w+): (.+) days\. Which day\?", question)
    shift = sum(map(int, re.findall(r"[+-]\d", found[2])))
    return DAYS[(DAYS.index(found[1]) + shift) % 7]


# --- navigation: which way one faces --------------------------------------------------------------------


def _draw_navigation(rng: random.Random, steps: int) -> WorkedProblem:
    facing = rng.randrange(4)
    start, turns, lines = DIRECTIONS[facing], [], []
    for label in LABELS[:steps]:
        turn = rng.choice(list(_TURNS))
        after = (facing + _TURNS[turn]) % 4
        turns.append(f"{label} {turn}")
        lines.append(f"{label} {turn} {DIRECTIONS[after]}")
        facing = after
    return worked(rng, f"Facing {start} turn {', '.join(turns)}. Facing where?", lines, DIRECTIONS[facing])


def _solve_navigation(question: str) -> str:
    found = parse(r"Facing (\w+) turn (.+)\. Facing where\?", question)
    turns = found[2].replace(",", "").split()
    quarter_turns = turns.count("right") - turns.count("left") + 2 * turns.count("back")
    return DIRECTIONS[(DIRECTIONS.index(found[1]) + quarter_turns) % 4]


# --- links: follow them -------------------------------------------------------------------------------------


def _draw_links(rng: random.Random, steps: int) -> WorkedProblem:
    path = rng.sample(CONSONANTS, 6)
    links = list(pairwise(path))
    shown = ", ".join(f"{here} to {there}" for here, there in rng.sample(links, len(links)))
    question = f"Links {shown}. From {path[0]} go {steps} links. Where?"
    lines = [f"{number} {path[number - 1]} to {path[number]}" for number in range(1, steps + 1)]
    return worked(rng, question, lines, path[steps])


def _solve_links(question: str) -> str:
    found = parse(r"Links (.+)\. From (\w) go (\d) links\. Where\?", question)
    follow = dict(re.findall(r"(\w) to (\w)", found[1]))
    place = found[2]
    for _ in range(int(found[3])):
        place = follow[place]
    return place


WORLD = (
    Family("calendar", "count days on and back", (3, 5), _draw_calendar, _solve_calendar, DAYS),
    Family(
        "navigation", "follow turns to a direction", (5, 7), _draw_navigation, _solve_navigation, DIRECTIONS
    ),
    Family(
        "links", "follow links from letter to letter", (2, 4), _draw_links, _solve_links, tuple(CONSONANTS)
    ),
)
