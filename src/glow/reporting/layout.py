"""How a table stands on the page: wide ones in panels below one another, so that none is cut off.

A panel has the columns that name the rows, and some of the others. The table's files have all columns side by
side.
"""

from itertools import pairwise

from glow.reporting.cells import Cell, Table

WIDEST = 118
"""So many characters fit beside the contents of the page, and on paper in small print."""
GAP = 3
"""Between two columns, in characters."""
WRAPPED = 20
"""Longer words are broken into lines, of about `NARROWED` characters."""
NARROWED = 12
PROSE = 120
"""Longer words have a wider column, and leave less to the others."""
SHORT = 14
"""Tables with more rows are not stacked on a narrow screen, where they scroll in a box of their own, and may
be broken over two pages on paper."""
STACKED = ("comparisons", "published")
"""Tables that are stacked however many rows they have: what they are read for stands far to the right."""
LONG = 24
"""Tables with more rows are folded away."""
APART = {
    "main": ["suite_"],
    "contrasts": ["detectable"],
    "comparisons": ["detectable"],
    "grpo": ["ood_", "reward_"],
}
"""Where a table is broken rather than elsewhere, if it has to be: table -> how the names of columns start
that begin a panel."""


def panels(table: Table) -> list[list[str]]:
    """The columns (keys) of each panel: one panel where the table is narrow enough."""
    names, others = _names_and_others(table)
    widths = {key: _width(table, key) for key in table.shown}
    room = WIDEST - sum(widths[key] for key in names)
    if sum(widths[key] for key in others) <= room:
        return [[*names, *others]]
    return [
        [*names, *group]
        for part in _apart(table, others)
        for group in _filled({key: widths[key] for key in part}, room)
    ]


def is_long(table: Table) -> bool:
    """Whether the table is folded away until it is asked for."""
    return len(table.rows) > LONG


def is_stacked(table: Table) -> bool:
    """Whether the table becomes cards, one a row, on a narrow screen."""
    return is_short(table) or table.name in STACKED


def is_short(table: Table) -> bool:
    """Whether the table is kept on one page on paper."""
    return len(table.rows) <= SHORT


def is_wrapped(table: Table, key: str, cell: Cell) -> bool:
    """Whether a cell is broken into lines: words, published figures, and everything in a table of these."""
    return (key in table.text or bool(table.theirs) or cell.theirs) and len(cell.text) > WRAPPED


def is_prose(table: Table, key: str, cell: Cell) -> bool:
    """Whether a cell that is broken into lines has several of them even where it is wide."""
    return is_wrapped(table, key, cell) and len(cell.text) > PROSE


def _names_and_others(table: Table) -> tuple[list[str], list[str]]:
    """The columns that name a row (up to the last of its first words, but one beside published figures), and
    all others."""
    keys = list(table.shown)
    if table.theirs:
        return keys[:1], keys[1:]
    first = next((place for place, key in enumerate(keys) if key in table.text), 0)
    after = (place for place, key in enumerate(keys) if place > first and key not in table.text)
    end = next(after, len(keys))
    return keys[:end], keys[end:]


def _width(table: Table, key: str) -> int:
    """What a column takes, in characters: of its heading the longest word, as headings are broken."""
    cells = [row[key] for row in table.rows]
    widths = [NARROWED if is_wrapped(table, key, cell) else len(cell.text) for cell in cells]
    return max(*map(len, table.shown[key].split()), *widths, 0) + GAP


def _apart(table: Table, keys: list[str]) -> list[list[str]]:
    """The columns in the parts that begin panels of their own."""
    starts = [
        next((place for place, key in enumerate(keys) if key.startswith(prefix)), 0)
        for prefix in APART.get(table.name, [])
    ]
    bounds = sorted({0, len(keys), *starts})
    return [keys[start:end] for start, end in pairwise(bounds)]


def _filled(widths: dict[str, int], room: int) -> list[list[str]]:
    """Columns (with their widths) in as few groups as fit, of which the widest is as narrow as it can be."""
    widest = _greedy(widths, room)
    for narrower in range(max(widths.values()), room):
        if len(groups := _greedy(widths, narrower)) == len(widest):
            return groups
    return widest


def _greedy(widths: dict[str, int], room: int) -> list[list[str]]:
    """Columns one after the other into groups of a width; a wider column has a group of its own."""
    groups: list[list[str]] = []
    left = 0
    for key, width in widths.items():
        if not groups or width > left:
            groups.append([])
            left = room
        groups[-1].append(key)
        left -= width
    return groups
