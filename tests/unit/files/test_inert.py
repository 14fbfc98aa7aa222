"""Text of others in tables is shown as it is: no formula, no markup, no second line."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.files.inert import code_span, csv_cell, markdown_text, one_line


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-0.5", "-0.5"),  # a number in text stays one
        ("+3e-4", "+3e-4"),
        ("positive", "positive"),
        ("a = b", "a = b"),
        ("", ""),
        (-3, -3),
        (None, None),
    ],
)
def test_what_a_spreadsheet_would_compute_has_an_apostrophe(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a|b", r"a\|b"),
        ("a\n\n| b", r"a \| b"),
        ("**bold** and *so*", r"\*\*bold\** and \*so*"),
        ("<script>x</script>", r"\<script>x\</script>"),
        ("![x](http://a/b.png)", r"!\[x](http://a/b.png)"),
        ("`code` $x$ ~~no~~", r"\`code\` \$x\$ \~~no\~~"),
        ("&lt;b&gt;", r"\&lt;b\&gt;"),
        ("_so_", r"\_so\_"),
        (r"\\", r"\\\\"),
        # what our own cells hold stays readable
        ("+3.0 [+1.0, +5.0]*", "+3.0 [+1.0, +5.0]*"),
        ("<0.001", "<0.001"),
        ("glow_released & more", "glow_released & more"),
    ],
)
def test_markup_is_shown_and_not_drawn(text: str, cell: str) -> None:
    assert markdown_text(text) == cell


def test_a_name_as_code_has_one_pair_of_marks() -> None:
    assert code_span("a`b\nc") == "`a'b c`"


@given(st.text())
def test_nothing_ends_a_line_or_a_cell(text: str) -> None:
    assert len(markdown_text(text).splitlines()) <= 1
    assert len(one_line(text).splitlines()) <= 1
    bare = markdown_text(text).replace(r"\\", "").replace(r"\|", "")
    assert "|" not in bare and "`" not in bare.replace(r"\`", "")


@given(st.text())
def test_a_cell_reads_back_with_at_most_an_apostrophe_more(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerow(["x", csv_cell(text)])
    (row,) = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert row[1].removeprefix("'") == text.removeprefix("'")
