"""A table as rows of cells, and its three forms: CSV, Markdown and LaTeX.

A cell holds its text, its numbers at full precision (CSV) and the manifests that it came from, so that
the forms cannot disagree and every number can be traced. Which tables the study has is in `tables`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
from pydantic import Field, PlainSerializer

from glow.files.inert import csv_cell, markdown_text, one_line
from glow.reporting.captions import Caption
from glow.reporting.conventions import few
from glow.reporting.measures import Comparison
from glow.reporting.statistics import Estimate

NONE = "—"
MINUS = "\N{MINUS SIGN}"
MARK = "*"
WRAPPED = 24
"""Text cells longer than this are broken into lines in LaTeX."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: as people read it.
        values: CSV column suffix ("" for the column itself) -> number or text at full precision.
        sources: manifests that it was computed from, relative to R; left out of tables.json.
        marked: whether it differs from the reference after correction for many comparisons.
        failed: whether it says that something which must hold does not; the report shows it in red.
        repeated: whether it says what the cell above it says; people are shown an empty cell.
        theirs: whether it holds what others published; the report shades it.
    """

    text: str
    values: dict[str, float | int | str | None]
    sources: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    marked: bool = False
    failed: bool = False
    repeated: bool = False
    theirs: bool = False

    @property
    def shown(self) -> str:
        """As people see it in a table: nothing where it repeats the cell above."""
        return "" if self.repeated else self.text


@dataclass(frozen=True)
class Table:
    """A table: its columns (key -> heading), its rows (key -> cell), which keys hold text, and which of them
    hold what others published (`theirs`).

    People are shown no column `domain` where all rows have the same one; the CSV always holds it.
    """

    name: str
    caption: Caption
    columns: dict[str, str]
    rows: list[dict[str, Cell]]
    text: Annotated[frozenset[str], PlainSerializer(sorted)]
    theirs: Annotated[frozenset[str], PlainSerializer(sorted)] = frozenset()

    @property
    def frame(self) -> pd.DataFrame:
        """The table at full precision, one column per number."""
        return pd.DataFrame(self.values, columns=None if self.rows else list(self.columns))

    @property
    def values(self) -> list[dict[str, float | str | None]]:
        """The same row by row."""
        return [_flat_values({key: row[key] for key in self.columns}) for row in self.rows]

    @property
    def shown(self) -> dict[str, str]:
        """The columns that people are shown (key -> heading)."""
        domains = {row["domain"].text for row in self.rows if "domain" in row}
        return {key: heading for key, heading in self.columns.items() if key != "domain" or len(domains) > 1}

    @property
    def lines(self) -> list[list[str]]:
        """The headings, and the cells as people read them, row by row."""
        return [list(self.shown.values()), *([row[key].shown for key in self.shown] for row in self.rows)]

    @property
    def sources(self) -> dict[str, dict[str, list[str]]]:
        """Row (its first two cells, joined by "/") -> CSV column -> manifests."""
        names = list(self.columns)[:2]
        return {
            "/".join(row[name].text for name in names): {
                column: list(cell.sources)
                for key, cell in row.items()
                for column in _flat_values({key: cell})
                if cell.sources
            }
            for row in self.rows
        }


def _flat_values(row: dict[str, Cell]) -> dict[str, float | str | None]:
    return {key + suffix: value for key, cell in row.items() for suffix, value in cell.values.items()}


# --- cells ----------------------------------------------------------------------------------------


def number(value: float, digits: int, signed: bool = False) -> str:
    """A number with a real minus sign; a rounded zero has no sign."""
    rounded = round(value, digits) + 0.0
    sign = "+" if signed and rounded > 0 else ""
    return f"{sign}{rounded:.{digits}f}".replace("-", MINUS)


def interval(value: Estimate, digits: int, signed: bool = True) -> str:
    """A mean and its 95 % interval in brackets; the mean alone where there is no interval."""
    mean = number(value.mean, digits, signed)
    if value.bounds is None:
        return mean
    low, high = (number(bound, digits, signed) for bound in value.bounds)
    return f"{mean} [{low}, {high}]"


def marked_cell(cell: Cell, comparison: Comparison | None) -> Cell:
    """The cell with a star where the comparison holds after correction (CSV: _p_holm)."""
    p = None if comparison is None else comparison.p_holm
    star = comparison is not None and comparison.sign != 0
    return Cell(cell.text + MARK * star, cell.values | {"_p_holm": p}, cell.sources, star)


def text_cell(text: str) -> Cell:
    """Words: the same in every form."""
    return Cell(text, {"": text})


def count_cell(count: int) -> Cell:
    """A whole number, its thousands set apart for people."""
    return Cell(f"{count:,}", {"": count})


def value_cell(value: float | None, digits: int) -> Cell:
    """A single number, or a dash where it does not exist."""
    if value is None or pd.isna(value):
        return Cell(NONE, {"": None})
    return Cell(number(value, digits), {"": value})


def mean_cell(
    value: Estimate | None,
    digits: int,
    sources: Iterable[str] = (),
    signed: bool = False,
    seeds: int | None = None,
) -> Cell:
    """A mean ± what `few` says of the seeds (CSV: _mean, _se, _low, _high); alone where it has no error.

    Args:
        seeds: how many the study has, where the value is not over seeds.
    """
    if value is None:
        return Cell(NONE, dict.fromkeys(ESTIMATED))
    shown = number(value.mean, digits, signed)
    if value.error is not None and value.bounds is not None:
        low, high = value.bounds
        spread = (high - low) / 2 if few(value.n if seeds is None else seeds) else value.error
        shown += f" ± {number(spread, digits)}"
    return Cell(shown, _estimated(value), tuple(sources))


def change_cell(
    value: Estimate | None, digits: int, sources: Iterable[str] = (), signed: bool = True
) -> Cell:
    """A change with its 95 % interval (CSV: _mean, _se, _low, _high)."""
    if value is None:
        return Cell(NONE, dict.fromkeys(ESTIMATED))
    return Cell(interval(value, digits, signed), _estimated(value), tuple(sources))


ESTIMATED = ("_mean", "_se", "_low", "_high")
"""The CSV columns of an estimate."""


def _estimated(value: Estimate) -> dict[str, float | int | str | None]:
    return dict(zip(ESTIMATED, (value.mean, value.error, value.low, value.high), strict=True))


def bounds_cell(bounds: tuple[float, float] | None, digits: int) -> Cell:
    """An interval in brackets (CSV: _low, _high)."""
    if bounds is None:
        return Cell(NONE, {"_low": None, "_high": None})
    low, high = (number(bound, digits, signed=True) for bound in bounds)
    return Cell(f"[{low}, {high}]", {"_low": bounds[0], "_high": bounds[1]})


def p_cell(p: float | None) -> Cell:
    """A p-value, not below what three digits can say."""
    if p is None:
        return Cell(NONE, {"": None})
    return Cell("<0.001" if p < 0.001 else number(p, 3), {"": p})


# --- forms ----------------------------------------------------------------------------------------


def csv(table: Table) -> str:
    """The table at full precision; no text in it is a formula."""
    frame = pd.DataFrame(
        [{key: csv_cell(value) for key, value in row.items()} for row in table.values],
        columns=table.frame.columns,
    )
    return str(frame.to_csv(index=False, lineterminator="\n"))


def markdown(table: Table) -> str:
    """The table with its caption, as a Markdown pipe table; how to read it is folded away."""
    rules = ["---" if key in table.text else "---:" for key in table.shown]
    headings, *body = table.lines
    drawn = ["| " + " | ".join(map(markdown_text, line)) + " |" for line in (headings, rules, *body)]
    shown = table.caption
    folded = f"<details><summary>How to read it</summary>\n\n{shown.read}\n\n</details>\n"
    return f"**{shown.title}.** {shown.short}\n\n" + "\n".join(drawn) + f"\n\n{folded}"


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "^": r"\^{}",
    "_": r"\_", "~": r"\~{}", "%": r"\%", "±": r"$\pm$", MINUS: "$-$", NONE: "---", "→": r"$\to$",
    "<": r"$<$", ">": r"$>$", "[": "{[}", "]": "{]}", "†": r"$\dagger$", "‡": r"$\ddagger$",
    "▾": r"$\bigtriangledown$",
}  # fmt: skip


def _latex_text(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in one_line(text))


def latex(table: Table) -> str:
    """The table as a LaTeX float with caption and label, and below it how to read it (packages: array,
    booktabs, graphicx)."""
    wrapped = {key for key in table.text if any(len(row[key].text) > WRAPPED for row in table.rows)}
    paragraph = rf">{{\raggedright\arraybackslash}}p{{{0.8 / max(1, len(wrapped)):.2f}\linewidth}}"
    letters = [paragraph if key in wrapped else "l" if key in table.text else "r" for key in table.shown]
    header, *body = [" & ".join(map(_latex_text, line)) + r" \\" for line in table.lines]
    return "\n".join([
        r"% needs \usepackage{array,booktabs,graphicx}",
        r"\begin{table*}", r"\centering", rf"\caption{{\textbf{{{_latex_text(table.caption.title)}.}} "
        rf"{_latex_text(table.caption.short)}}}", rf"\label{{tab:{table.name}}}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{''.join(letters)}}}",
        r"\toprule", header, r"\midrule", *body, r"\bottomrule", r"\end{tabular}}", "",
        rf"\medskip{{\footnotesize\raggedright {_latex_text(table.caption.read)}\par}}", r"\end{table*}", "",
    ])  # fmt: skip
