"""The table of steps: which hold and how chains first go wrong, in trajectories and in models' answers."""

from glow.miniature.steps import SLIPS
from glow.reporting import steps
from glow.reporting.captions import caption
from glow.reporting.cells import NONE, Cell, Table, count_cell, mean_cell, text_cell, value_cell
from glow.reporting.results import BASE, Kind, Results
from glow.reporting.scopes import OOD, mean_columns, mean_heading
from glow.reporting.steps import Steps

COLUMNS = {
    "domain": "Domain", "of": "Of", "over": "Over", "n": "n", "chains": "Chains",
    "valid": "Valid steps %", "sound": "All steps valid %", "before": "Before first error %",
    "slips": "First errors",
}  # fmt: skip
VERDICTS = {"correct": "right trajectories", "wrong": "wrong trajectories"}


def steps_table(results: Results) -> Table:
    """One row for right and for wrong trajectories; then one a model and kind of suite: in-domain, and OOD or
    its groups."""
    rows = []
    for domain in results.experiment.domain_names:
        seeds = len(results.experiment.seeds)
        for verdict in ("correct", "wrong"):
            if (found := steps.of_trajectories(results, domain, verdict)) is not None:
                rows.append(_row((domain, "teacher", VERDICTS[verdict]), value_cell(None, 0), found, seeds))
        for column in _columns(results, domain):
            rows += _model_rows(results, domain, column)
    words = frozenset({"domain", "of", "over", "slips"})
    return Table("steps", caption("tables", "steps", results.experiment), COLUMNS, rows, words)


def _columns(results: Results, domain: str) -> list[str]:
    """The means over suites that have rows: groups of OOD suites stand in place of all of them."""
    columns = list(mean_columns(results.experiment, domain))
    grouped = any(column.startswith(f"{OOD}_") for column in columns)
    return [column for column in columns if column != OOD or not grouped]


def _model_rows(results: Results, domain: str, column: str) -> list[dict[str, Cell]]:
    """The rows of base, arms and models after GRPO; none where no suite of the column has known steps."""
    models: list[tuple[Kind, str, str]] = [("sft", name, name) for name in (BASE, *results.experiment.arms)]
    models += [("grpo", name, f"GRPO from {name}") for name in results.initialisations]
    rows, over = [], mean_heading(column).removesuffix(" mean")
    for kind, name, label in models:
        if (found := steps.of_answers(results, kind, domain, name, column)) is not None:
            seeds = len(results.seeds(kind))
            rows.append(_row((domain, label, over), count_cell(seeds), found, seeds))
    return rows


def _row(words: tuple[str, str, str], n: Cell, found: Steps, seeds: int) -> dict[str, Cell]:
    row = dict(zip(("domain", "of", "over"), map(text_cell, words), strict=True))
    row |= {"n": n, "chains": count_cell(found.chains)}
    row |= {key: mean_cell(getattr(found, key), 1, seeds=seeds) for key in steps.SHARES}
    listed = ", ".join(f"{kind} {count:,}" for kind, count in found.slips.items())
    counts: dict[str, float | int | str | None] = {f"_{kind}": found.slips.get(kind, 0) for kind in SLIPS}
    return row | {"slips": Cell(listed or NONE, counts)}
