"""Text of others in tables: shown as it is, neither computed by a spreadsheet nor drawn as markup."""

import re
from typing import Any

_COMPUTED = ("=", "+", "-", "@")
"""What a formula begins with in spreadsheets; some skip white space before it."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")

_MARKUP = re.compile(
    r"[\\|`$]"
    r"|\*(?=[^\s*])|\*(?=\*)"  # that begins emphasis; one at the end of a word is a mark of ours
    r"|(?<!\w)_|_(?!\w)"
    r"|~(?=~)"
    r"|<(?=[A-Za-z/!?])"
    r"|&(?=#?\w+;)"
    r"|\[(?=[^\]]*\][(\[:])"
)
"""What Markdown, as GitHub draws it, takes for more than its character."""


def csv_cell(value: Any) -> Any:
    """A value for a CSV file, after an apostrophe where a spreadsheet would compute it; numbers stay."""
    if not isinstance(value, str) or not value.strip().startswith(_COMPUTED) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def one_line(text: str) -> str:
    """A text without breaks of lines and without control characters."""
    return _BREAKS.sub(" ", text)


def markdown_text(text: str) -> str:
    """A text for a line of Markdown, or for a cell of a table."""
    return _MARKUP.sub(lambda found: "\\" + found[0], one_line(text))


def code_span(text: object) -> str:
    """A name or a number as Markdown's code."""
    return "`" + one_line(str(text)).replace("`", "'") + "`"
