"""The contamination table: each domain's report, as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fabricated import World

from glow.data.overlap import SHORTEST
from glow.errors import UserError
from glow.files.jsonl import write_json
from glow.reporting.cells import markdown
from glow.reporting.contamination_table import contamination_table


def test_one_row_a_domain_and_suite(world: World) -> None:
    table = contamination_table(world.results)
    experiment = world.results.experiment
    assert [(row["domain"].text, row["suite"].text) for row in table.rows] == [
        (domain, suite) for domain in experiment.domain_names for suite in experiment.suites
    ]
    values = {key: cell.values[""] for key, cell in table.rows[0].items() if key not in ("domain", "suite")}
    assert values == {
        "questions": 8, "short": 2, "exact": 1, "any_ngram": 3, "overlapping": 2, "share": 25.0,
    }  # fmt: skip
    assert "| 8 | 2 | 1 | 3 | 2 | 25.0 |" in " ".join(markdown(table).split())


def test_the_caption_says_what_was_compared(world: World) -> None:
    text = contamination_table(world.results).caption.read
    assert "any 13 words in a row" in text
    assert "80% of their words" in text
    assert f"of fewer than {SHORTEST} words and without choices" in text
    assert "more than 1 % of the questions" in text


@pytest.fixture
def contamination_file(world: World) -> Iterator[Path]:
    """A domain's report, which is put back."""
    path = world.results.contamination_file(world.results.experiment.domain_names[0])
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


@pytest.mark.parametrize(
    "report",
    [{}, {"suites": {}}, {"suites": [[]]}, {"suites": [{"suite": "s"}]},
     {"suites": [{"suite": "s", "questions": 8, "short": 2, "exact": 1, "any_ngram": 3, "overlapping": 2}]}],
)  # fmt: skip
def test_a_malformed_report_is_named(world: World, contamination_file: Path, report: dict) -> None:
    write_json(contamination_file, report)
    with pytest.raises(UserError, match=r"report.json: not a report of `glow contamination`; delete it"):
        contamination_table(world.results)
