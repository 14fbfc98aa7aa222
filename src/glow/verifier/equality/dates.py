"""Dates, months and times of day."""

import re
from typing import NamedTuple

from glow.verifier.equality.gold import Decision
from glow.verifier.equality.typography import unmarked

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = r"([A-Za-z]{3,9})\.?"
_WEEKDAY = r"(?i:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+)?"
_ORDINAL = r"(\d{1,2})(?:st|nd|rd|th)?"
_DATES = (
    (re.compile(rf"{_WEEKDAY}{_MONTH}\s+(?:the\s+)?{_ORDINAL}(?:,?\s+(\d{{4}}))?"), "mdy"),
    (re.compile(rf"{_WEEKDAY}(?:the\s+)?{_ORDINAL}\s+(?:of\s+)?{_MONTH}(?:,?\s+(\d{{4}}))?"), "dmy"),
    (re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})"), "mdy"),
    (re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})"), "ymd"),
)


_LEAD_IN = re.compile(r"(?i)^(?:at|on|in)\s+")


def read_date(text: str) -> tuple[int, int, int | None] | None:
    """(month, day, year or None). 03/04/2021 is read as in BBH: month, day, year."""
    bare = _LEAD_IN.sub("", " ".join(unmarked(text).split()))
    for pattern, order in _DATES:
        if found := pattern.fullmatch(bare):
            parts = dict(zip(order, found.groups(), strict=True))
            month = int(parts["m"]) if parts["m"].isdigit() else _month(parts["m"])
            day = int(parts["d"])
            if month and 1 <= month <= 12 and 1 <= day <= 31:
                return month, day, int(parts["y"]) if parts["y"] else None
    return None


def _month(name: str) -> int | None:
    name = "sep" if name.lower() == "sept" else name.lower()
    same = [k for k, month in enumerate(_MONTHS, 1) if month == name or month[:3] == name]
    return same[0] if same else None


def dates(stated: str, gold: str) -> Decision | None:
    """Dates in any of the usual forms; a year that the gold does not name may be stated or not."""
    ours, theirs = read_date(stated), read_date(gold)
    if ours is None or theirs is None:
        return None
    same = ours[:2] == theirs[:2] and theirs[2] in (None, ours[2])
    return Decision(same, "same date" if same else "different dates")


def months(stated: str, gold: str) -> Decision | None:
    """`Oct` for `October`."""
    ours, theirs = (_LEAD_IN.sub("", unmarked(text).rstrip(".")) for text in (stated, gold))
    if ours.isalpha() and theirs.isalpha() and _month(ours) and _month(theirs):
        return Decision(_month(ours) == _month(theirs), "months")
    return None


_TIME = re.compile(r"(\d{1,2})(?:\s*:\s*(\d{2}))?(?:\s*:\s*(\d{2}))?\s*(?:([AaPp])\.?\s?[Mm]\.?)?")


class Time(NamedTuple):
    """Seconds since midnight as written, and the half of the day: a, p, 24 (only that clock has it), None."""

    seconds: int
    half: str | None


def read_time(text: str) -> Time | None:
    bare = unmarked(text.replace(r"\!", "").replace(r"\ ", " ").replace(r"\,", " ")).lower()
    bare = {"noon": "12:00 pm", "midnight": "12:00 am"}.get(bare, bare)
    found = _TIME.fullmatch(_LEAD_IN.sub("", bare))
    if found is None or not (found[2] or found[4]):
        return None
    hour, half = int(found[1]), found[4]
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    elif half is None and (hour > 12 or hour == 0):
        half = "24"
    if hour > 24 or int(found[2] or 0) > 59 or int(found[3] or 0) > 59:
        return None
    return Time(3600 * hour + 60 * int(found[2] or 0) + int(found[3] or 0), half)


def times(stated: str, gold: str) -> Decision | None:
    """Times of which one at least names its half of the day, which math-verify leaves out as a unit.

    One that names none is read on the 24-hour clock, or as the same half: `8:34` for `8:34 p.m.`.
    """
    ours, theirs = read_time(stated), read_time(gold)
    if ours is None or theirs is None or not {"a", "p"} & {ours.half, theirs.half}:
        return None
    apart = abs(ours.seconds - theirs.seconds)
    same = apart == 0 or (apart == 12 * 3600 and None in (ours.half, theirs.half))
    reason = "same time" if same else "different times"
    return Decision(same, reason, "half of the day" if same and ours.half is None else None)


def clock(stated: str, gold: str) -> Decision | None:
    """For answers that are known to be times: 8:34 is no ratio."""
    ours, theirs = read_time(stated), read_time(gold)
    return times(stated, gold) or (Decision(ours == theirs, "times") if ours and theirs else None)
