"""The table of what evaluation suites and training data share, from the reports of `glow contamination`."""

from glow.errors import UserError
from glow.files.jsonl import Record
from glow.reporting.captions import caption
from glow.reporting.cells import Cell, Table, count_cell, text_cell, value_cell
from glow.reporting.results import Results

COLUMNS = {
    "domain": "Domain", "suite": "Suite", "questions": "Questions", "short": "Short", "exact": "Whole",
    "any_ngram": "Any n-gram", "overlapping": "Overlapping", "share": "Overlapping %",
}  # fmt: skip
_COUNTS = ("questions", "short", "exact", "any_ngram", "overlapping")


def contamination_table(results: Results) -> Table:
    """One row per (training domain, suite): how many of its questions stand in the domain's training data.

    Raises:
        UserError: a domain's report is missing or malformed.
    """
    rows = [
        _row(domain, suite)
        for domain in results.experiment.domain_names
        for suite in _suites(results, domain)
    ]
    text = caption("tables", "contamination", results.experiment)
    return Table("contamination", text, COLUMNS, rows, frozenset({"domain", "suite"}))


def _suites(results: Results, domain: str) -> list[Record]:
    suites = results.contamination(domain).get("suites")
    if not isinstance(suites, list) or not all(map(_is_entry, suites)):
        raise UserError(
            f"{results.contamination_file(domain)}: not a report of `glow contamination`; delete it and run "
            "that stage again"
        )
    return suites


def _is_entry(suite: object) -> bool:
    return (
        isinstance(suite, dict)
        and isinstance(suite.get("suite"), str)
        and all(type(suite.get(key)) is int for key in _COUNTS)
        and type(suite.get("share")) is float
    )


def _row(domain: str, suite: Record) -> dict[str, Cell]:
    return {
        "domain": text_cell(domain),
        "suite": text_cell(suite["suite"]),
        **{key: count_cell(suite[key]) for key in _COUNTS},
        "share": value_cell(100 * suite["share"], 1),
    }
