"""The table of suites: what each one asks, where it comes from, and what chance gives there."""

from glow.config import Suite
from glow.reporting.captions import caption
from glow.reporting.cells import NONE, Cell, Table, count_cell, text_cell, value_cell
from glow.reporting.chance import chance
from glow.reporting.results import Results

COLUMNS = {
    "suite": "Suite", "scope": "Scope", "asks": "Families or task", "again": "Families also in",
    "format": "Format", "questions": "Questions", "chance": "Chance %",
}  # fmt: skip


def suites_table(results: Results) -> Table:
    """One row a suite, in the order of the configuration."""
    experiment = results.experiment
    rows = [_row(results, name) for name in experiment.suites]
    words = frozenset(COLUMNS) - {"questions", "chance"}
    return Table("suites", caption("tables", "suites", experiment), COLUMNS, rows, words)


def _row(results: Results, name: str) -> dict[str, Cell]:
    suite, problems, level = results.experiment.suites[name], results.problems(name), chance(results, name)
    formats = dict.fromkeys(problem["format"] for problem in problems)
    return {
        "suite": text_cell(name),
        "scope": text_cell(_scope(results, name)),
        "asks": text_cell(_asks(name, suite)),
        "again": text_cell(", ".join(_with_same_families(results, name)) or NONE),
        "format": text_cell(", ".join(formats)),
        "questions": count_cell(len(problems)),
        "chance": value_cell(None if level is None else 100 * level, 1),
    }


def _asks(name: str, suite: Suite) -> str:
    if suite.families:
        return ", ".join(suite.families)
    if suite.lm_eval is not None:
        return f"task file {suite.lm_eval.name}"
    if suite.hub_dataset is not None:
        return f"hub {suite.hub_dataset}"
    return f"rows of {suite.file.name}" if suite.fields and suite.file else f"task {suite.task or name}"


def _scope(results: Results, name: str) -> str:
    """In-domain (with its domain where there are several), or out of domain (with its group)."""
    suite, several = results.experiment.suites[name], len(results.experiment.domain_names) > 1
    if suite.domain is not None:
        return f"in-domain for {suite.domain}" if several else "in-domain"
    return f"OOD, {suite.group}" if suite.group else "OOD"


def _with_same_families(results: Results, name: str) -> list[str]:
    """The other suites that ask questions of one of its families."""
    suites = results.experiment.suites
    own = set(suites[name].families or ())
    return [other for other, suite in suites.items() if other != name and own & set(suite.families or ())]
