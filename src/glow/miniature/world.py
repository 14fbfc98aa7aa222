"""Families about days, directions and links: out of the training domain."""

import random
import re
from collections.abc import Sequence
from itertools import pairwise

from glow.miniature.family import LABELS, Family, parse
from glow.miniature.lists import CONSONANTS

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DIRECTIONS = ("north", "east", "south", "west")
_TURNS = {"right": 1, "back": 2, "left": 3}


def _last_word(question: str, steps: Sequence[str]) -> str:
    return parse(r"(?:.* )?(\S+)", steps[-1])[1]


def _place(words: Sequence[str], start: str, question: str, steps: Sequence[str]) -> int:
    """Where among `words` the steps have come to, as they say."""
    word = _last_word(question, steps) if steps else start
    if word not in words:
        raise ValueError(f"{word!r} is none of {', '.join(words)}")
    return words.index(word)


# --- calendar: days on and back -------------------------------------------------------------------------

_IT_IS = r"It is (\w+): (.+) days\. Which day\?"


def _draw_calendar(rng: random.Random, steps: int) -> str:
    moves = [f"{label}{rng.choice('+-')}{rng.randint(1, 2)}" for label in LABELS[:steps]]
    return f"It is {rng.choice(DAYS)}: {', '.join(moves)} days. Which day?"


def _next_calendar(question: str, steps: Sequence[str]) -> str | None:
    start, listed = parse(_IT_IS, question).groups()
    moves = listed.split(", ")
    if len(steps) >= len(moves):
        return None
    move = moves[len(steps)]
    return f"{move} {DAYS[(_place(DAYS, start, question, steps) + int(move[1:])) % 7]}"


def _solve_calendar(question: str) -> str:
    found = parse(_IT_IS, question)
    shift = sum(map(int, re.findall(r"[+-]\d", found[2])))
    return DAYS[(DAYS.index(found[1]) + shift) % 7]


# --- navigation: which way one faces --------------------------------------------------------------------

_FACING = r"Facing (\w+) turn (.+)\. Facing where\?"


def _draw_navigation(rng: random.Random, steps: int) -> str:
    turns = [f"{label} {rng.choice(list(_TURNS))}" for label in LABELS[:steps]]
    return f"Facing {rng.choice(DIRECTIONS)} turn {', '.join(turns)}. Facing where?"


def _next_navigation(question: str, steps: Sequence[str]) -> str | None:
    start, listed = parse(_FACING, question).groups()
    turns = listed.split(", ")
    if len(steps) >= len(turns):
        return None
    turn = turns[len(steps)]
    facing = _place(DIRECTIONS, start, question, steps) + _TURNS[turn.split()[1]]
    return f"{turn} {DIRECTIONS[facing % 4]}"


def _solve_navigation(question: str) -> str:
    found = parse(_FACING, question)
    turns = found[2].replace(",", "").split()
    quarter_turns = turns.count("right") - turns.count("left") + 2 * turns.count("back")
    return DIRECTIONS[(DIRECTIONS.index(found[1]) + quarter_turns) % 4]


# --- links: follow them -------------------------------------------------------------------------------------

_LINKS = r"Links (.+)\. From (\w) go (\d) links\. Where\?"


def _draw_links(rng: random.Random, steps: int) -> str:
    path = rng.sample(CONSONANTS, 5)
    links = [f"{here} to {there}" for here, there in pairwise(path)]
    rng.shuffle(links)
    return f"Links {', '.join(links)}. From {path[0]} go {steps} links. Where?"


def _next_links(question: str, steps: Sequence[str]) -> str | None:
    listed, start, number = parse(_LINKS, question).groups()
    if len(steps) >= int(number):
        return None
    here = _last_word(question, steps) if steps else start
    links = [link for link in listed.split(", ") if link.startswith(f"{here} ")]
    if not links:
        raise ValueError(f"no link leads on from {here}")
    return f"{len(steps) + 1} {links[0]}"


def _solve_links(question: str) -> str:
    found = parse(_LINKS, question)
    follow = dict(re.findall(r"(\w) to (\w)", found[1]))
    place = found[2]
    for _ in range(int(found[3])):
        place = follow[place]
    return place


WORLD = (
    Family(
        "calendar",
        "count days on and back",
        (2, 3),
        _draw_calendar,
        _next_calendar,
        _last_word,
        _solve_calendar,
        DAYS,
    ),
    Family(
        "navigation",
        "follow turns to a direction",
        (3, 4),
        _draw_navigation,
        _next_navigation,
        _last_word,
        _solve_navigation,
        DIRECTIONS,
    ),
    Family(
        "links",
        "follow links from letter to letter",
        (2, 3),
        _draw_links,
        _next_links,
        _last_word,
        _solve_links,
        tuple(CONSONANTS),
    ),
)
