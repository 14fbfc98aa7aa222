"""Keys that lead into a row, as `trajectories.fields` has them: what stands there, or where the way ends.

answer                 a key of the row; one that is called just so always comes first
deepseek.grade         a key of an object below it
resps[0], turns[-1]    an item of a list, from its beginning or its end
samples[*].text        of all items of a list, as a list
messages[assistant]    the last turn of an assistant; [user]: the last before that; [system]: the first
gold|answer            the first of them that is there and not null
grade?                 rows may lack it
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from glow.files.jsonl import Record

ABSENT = object()
"""What stands at the end of a way that a row does not have."""

_ROLES = {
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "chatgpt", "ai"),
    "system": ("system", "developer"),
}
_TEXTS = ("content", "value", "text")
"""The keys under which a turn has its text."""

_PART = re.compile(r"([^.\[\]]+)|\[(-?\d+|\*|user|assistant|system)\]")
_SHOWN = 25

Step = str | int


class Turn(NamedTuple):
    """A step to a turn of a conversation."""

    role: str


class _All(NamedTuple):
    """A step to all items of a list."""


class Way(NamedTuple):
    """One alternative of a key: as it is written, and its steps."""

    written: str
    steps: tuple[Step | Turn | _All, ...]


@lru_cache(maxsize=256)
def ways(key: str) -> tuple[Way, ...]:
    """The alternatives of a key, without the mark that it may be absent."""
    return tuple(Way(part, tuple(_steps(part))) for part in key.removesuffix("?").split("|"))


def may_lack(key: str) -> bool:
    """Whether rows may lack what a key leads to."""
    return key.endswith("?")


def roots(key: str) -> set[str]:
    """The keys of a row with which a key may begin: the columns that it needs."""
    first = {str(way.steps[0]) for way in ways(key) if way.steps}
    return first | {way.written for way in ways(key)} | {key}


def _steps(written: str) -> list[Step | Turn | _All]:
    steps: list[Step | Turn | _All] = []
    for name, index in _PART.findall(written):
        if name:
            steps.append(name)
        elif index == "*":
            steps.append(_All())
        else:
            steps.append(Turn(index) if index in _ROLES else int(index))
    return steps


def found(record: Record, key: str) -> Any:
    """What a row has at the end of a key; `ABSENT` where the key leads nowhere."""
    if key in record:
        return record[key]
    at_last: Any = ABSENT
    for way in ways(key):
        value = record[way.written] if way.written in record else _followed(record, way.steps)
        if value is not ABSENT and value is not None:
            return value
        at_last = value if at_last is ABSENT else at_last
    return at_last


def _followed(value: Any, steps: tuple[Step | Turn | _All, ...]) -> Any:
    for place, step in enumerate(steps):
        if isinstance(step, _All):
            if not isinstance(value, list):
                return ABSENT
            below = [_followed(item, steps[place + 1 :]) for item in value]
            return [None if item is ABSENT else item for item in below]
        value = _next(value, step, last=place == len(steps) - 1)
        if value is ABSENT:
            return ABSENT
    return value


def _next(value: Any, step: Step | Turn, *, last: bool) -> Any:
    match step:
        case Turn(role):
            turn = _turn(value, role)
            return _text_of(turn) if last and isinstance(turn, dict) else turn
        case int():
            return value[step] if isinstance(value, list) and -len(value) <= step < len(value) else ABSENT
    return value.get(step, ABSENT) if isinstance(value, dict) else ABSENT


# --- conversations ------------------------------------------------------------------------------


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of turns, each with a role."""
    return isinstance(value, list) and bool(value) and all(_role(turn) is not None for turn in value)


def _role(turn: Any) -> str | None:
    role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
    return role.lower() if isinstance(role, str) else None


def turns(value: list[Any], role: str) -> list[int]:
    """Where the turns of a role are."""
    return [place for place, turn in enumerate(value) if _role(turn) in _ROLES[role]]


def _turn(value: Any, role: str) -> Any:
    """A turn: the last of an assistant, the last of a user before that, or the first of the system."""
    if not is_conversation(value):
        return ABSENT
    places = turns(value, role)
    if role == "user" and (answered := turns(value, "assistant")):
        places = [place for place in places if place < answered[-1]]
    if not places:
        return ABSENT
    return value[places[0 if role == "system" else -1]]


def said_by(conversation: list[Any], role: str) -> Any:
    """The text of the turn that `[role]` means; `ABSENT` without one."""
    turn = _turn(conversation, role)
    return ABSENT if turn is ABSENT else _text_of(turn)


def _text_of(turn: Record) -> Any:
    """The text of a turn; parts of text are put together."""
    content = next((turn[key] for key in _TEXTS if key in turn), ABSENT)
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text") for part in content]
        return "".join(map(str, texts)) if all(isinstance(one, str) for one in texts) else content
    return content


# --- what to say --------------------------------------------------------------------------------


def why_absent(record: Record, key: str) -> str:
    """Where the way that a key describes ends, and what is there: for messages about a row without it."""
    return "; ".join(_way_ends(record, way) for way in ways(key)[:1])


def _way_ends(record: Record, way: Way) -> str:
    value: Any = record
    behind = ""
    for place, step in enumerate(way.steps):
        below = ABSENT if isinstance(step, _All) else _next(value, step, last=place == len(way.steps) - 1)
        if below is ABSENT:
            return f"{_no_such(step, value)}{f' under {behind!r}' if behind else ''}; {what_is_there(value)}"
        value = below
        behind += _written(step, behind)
    return f"no key {way.written!r}; {what_is_there(record)}"


def _written(step: Step | Turn | _All, behind: str) -> str:
    if isinstance(step, str):
        return f"{'.' if behind else ''}{step}"
    return f"[{step.role if isinstance(step, Turn) else step}]"


def _no_such(step: Step | Turn | _All, value: Any) -> str:
    match step:
        case Turn(role):
            return f"no turn of the {role}"
        case int():
            return f"no item [{step}]"
        case str():
            return f"no key {step!r}"
    return "no list"


def what_is_there(value: Any) -> str:
    """What a value has in it, for a message about something that it does not have."""
    if isinstance(value, dict):
        names = [str(name) for name in value]
        shown = ", ".join(names[:_SHOWN]) + (
            f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        )
        return f"the keys are {shown}" if names else "there are no keys"
    if is_conversation(value):
        return f"the turns are of {', '.join(str(_role(turn)) for turn in value[:_SHOWN])}"
    if isinstance(value, list):
        return f"there is a list of {len(value)}"
    return f"there is {'null' if value is None else type(value).__name__}"
