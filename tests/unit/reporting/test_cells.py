import re

import pytest
from fabricated import World

from glow.reporting.accuracy_tables import main_table
from glow.reporting.captions import Caption
from glow.reporting.cells import (
    MINUS,
    NONE,
    Table,
    change_cell,
    csv,
    interval,
    latex,
    markdown,
    marked_cell,
    mean_cell,
    number,
    p_cell,
    text_cell,
    value_cell,
)
from glow.reporting.entropy_tables import entropy_table
from glow.reporting.measures import Comparison
from glow.reporting.statistics import Estimate


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [
        (1.25, 1, False, "1.2"),
        (-3, 1, True, MINUS + "3.0"),
        (0.04, 1, True, "0.0"),
        (-0.04, 1, True, "0.0"),
        (2, 0, True, "+2"),
    ],
)
def test_numbers(value: float, digits: int, signed: bool, text: str) -> None:
    assert number(value, digits, signed) == text


def test_intervals() -> None:
    assert interval(Estimate(1.0, 1.0, -2.0, 4.0, 3), 1) == f"+1.0 [{MINUS}2.0, +4.0]"
    assert interval(Estimate(-1.0, None, None, None, 1), 1) == MINUS + "1.0"


@pytest.mark.parametrize(
    ("n", "study", "text"),
    [
        (7, None, "5.0 ± 3.0"),  # half the interval from 2 to 8
        (8, None, "5.0 ± 1.2"),
        (1, None, "5.0 ± 3.0"),
        (1, 8, "5.0 ± 1.2"),  # not over seeds: as all of its study
        (1, 2, "5.0 ± 3.0"),
    ],
)
def test_few_seeds_show_half_an_interval_and_many_a_standard_error(
    n: int, study: int | None, text: str
) -> None:
    cell = mean_cell(Estimate(5.0, 1.2, 2.0, 8.0, n), 1, seeds=study)
    assert cell.text == text
    assert cell.values == {"_mean": 5.0, "_se": 1.2, "_low": 2.0, "_high": 8.0}


def test_a_mean_without_error_stands_alone() -> None:
    assert mean_cell(Estimate(5.0, None, None, None, 2), 1).text == "5.0"
    assert mean_cell(None, 1).values == {"_mean": None, "_se": None, "_low": None, "_high": None}


def test_p_values() -> None:
    assert [p_cell(p).text for p in (0.0004, 0.0456, 1.0, None)] == ["<0.001", "0.046", "1.000", NONE]
    assert p_cell(0.0004).values == {"": 0.0004}


def test_a_star_marks_what_is_left_after_correction() -> None:
    cell = change_cell(Estimate(3.0, 1.0, 1.0, 5.0, 3, 0.01), 1)
    comparisons = [Comparison(Estimate(3.0, 1.0, 1.0, 5.0, n, 0.01), p) for n, p in
                   ((3, 0.03), (3, 0.06), (1, 0.03))]  # fmt: skip
    marked = [marked_cell(cell, comparison) for comparison in comparisons]
    assert [cell.marked for cell in marked] == [True, False, False]  # never with a single seed
    assert marked[0].text == "+3.0 [+1.0, +5.0]*"
    assert (marked[0].values["_p_holm"], marked_cell(cell, None).values["_p_holm"]) == (0.03, None)


def test_markdown(fabricated: World) -> None:
    text = markdown(entropy_table(fabricated.results))
    assert text.startswith("**Policy entropy.** ")
    header, rules, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert header.startswith(
        "| Arm | Suites | n | Entropy (nats/token) | Change against positive, % | Without"
    )
    assert rules == "| --- | --- |" + " ---: |" * 8
    assert len(rows) == 6 * 3
    above, below = text.split("\n\n", 1)
    assert len(above) <= len("**Policy entropy.** ") + 280
    # what is folded comes after the table, and GitHub needs the empty line before it
    assert below.endswith("\n\n</details>\n")
    assert "\n\n<details><summary>How to read it</summary>\n\nFirst over all tokens" in below


def test_latex(fabricated: World) -> None:
    text = latex(main_table(fabricated.results))
    assert r"\label{tab:main}" in text
    assert "A cell shows the mean" not in text.split(r"\label", 1)[0]
    assert "A cell shows the mean" in text.split(r"\bottomrule", 1)[1]
    assert r"\begin{tabular}{lrrrrrrrr}" in text
    # seeds at 60 and 80: error 10, times 12.706 with one degree of freedom
    assert r"glow\_released & 2 & 70.0 $\pm$ 127.1" in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert {line.count(" & ") for line in body.splitlines()[1:] if line} == {8}
    assert not re.search(r"(?<!\\)%", text.split("\n", 1)[1].replace("{!}{%", ""))
    assert text.isascii()


def test_names_of_others_are_neither_computed_nor_drawn() -> None:
    names = ["=cmd|' /C calc'!A0", "a|b\n\n<img src=x>", r"\input{/etc/passwd} 5% \\", "-0.5"]
    rows = [{"name": text_cell(name), "n": value_cell(-1.5, 1)} for name in names]
    table = Table(
        "t",
        Caption("Title", "It shows.", "one.", "one.", "Read."),
        {"name": "Name", "n": "n"},
        rows,
        frozenset({"name"}),
    )
    assert csv(table) == (
        "name,n\n'=cmd|' /C calc'!A0,-1.5\n"
        '"a|b\n\n<img src=x>",-1.5\n'
        "\\input{/etc/passwd} 5% \\\\,-1.5\n-0.5,-1.5\n"
    )
    drawn = [line for line in markdown(table).splitlines() if line.startswith("|")]
    assert drawn[2:4] == [
        rf"| =cmd\|' /C calc'!A0 | {MINUS}1.5 |",
        rf"| a\|b \<img src=x> | {MINUS}1.5 |",
    ]
    body = latex(table).split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 4
    assert body[2] == r"\textbackslash{}input\{/etc/passwd\} 5\% \textbackslash{}\textbackslash{} & $-$1.5 \\"
