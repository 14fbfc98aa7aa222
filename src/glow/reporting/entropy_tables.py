"""The tables of policy entropy: by arm, with and without what the form of answers changes; by position."""

from dataclasses import replace

from glow.config import Experiment
from glow.evaluation.metrics import TENTHS
from glow.reporting import measures
from glow.reporting.captions import Caption, caption
from glow.reporting.cells import (
    Cell,
    Table,
    change_cell,
    count_cell,
    marked_cell,
    mean_cell,
    text_cell,
    value_cell,
)
from glow.reporting.measures import CHAIN_TENTHS, CHAINS, WITH_END, WITHOUT_END, Comparison, Tokens
from glow.reporting.results import BASE, Results

OVER = {
    "": ("Entropy (nats/token)", "Change against {reference}, %", WITH_END),
    "inner_": ("Without ends", "Change without ends, %", WITHOUT_END),
    "chains_": ("Chains", "Change of chains, %", CHAINS),
}
"""Prefix of a pair of columns -> their headings, and the tokens that they are over."""
UNDIVIDED = (
    "A dash stands where an evaluation is of an earlier version of glow, which did not archive the ends of "
    "turns apart. Delete its samples.jsonl.gz and evaluate again: that asks for no answer that is kept."
)


def entropy_table(results: Results) -> Table:
    """Policy entropy of the base and every arm, and its change against positive-only SFT, over three sets of
    tokens."""
    reference = results.experiment.reference_arm
    columns = {"domain": "Domain", "arm": "Arm", "n": "n"}
    for prefix, (level, change, _) in OVER.items():
        columns[f"{prefix}entropy"] = level
        if reference is not None:
            columns[f"{prefix}change"] = change.format(reference=reference)
    columns["chains"] = "Chains scored"
    changes = {prefix: measures.entropy_changes(results, over) for prefix, (_, _, over) in OVER.items()}
    rows = []
    for row in _rows(results.experiment):
        domain, arm = row["domain"].text, row["arm"].text
        for prefix, (_, _, over) in OVER.items():
            row[f"{prefix}entropy"] = _level(results, row, over)
            if reference is not None:
                cell = _change(changes[prefix].get((domain, arm)))
                row[f"{prefix}change"] = replace(cell, text="reference") if arm == reference else cell
        chains = measures.chains_scored(results, domain, arm)
        row["chains"] = value_cell(None, 0) if chains is None else count_cell(chains)
        rows.append(row)
    return _table("entropy", results, columns, rows)


def entropy_positions_table(results: Results) -> Table:
    """Policy entropy of the base and every arm by tenth of the response, on responses with a chain."""
    columns = {"domain": "Domain", "arm": "Arm", "n": "n"}
    columns |= {f"tenth_{place}": f"{place}" for place in range(1, TENTHS + 1)}
    rows = []
    for row in _rows(results.experiment):
        for place, over in enumerate(CHAIN_TENTHS, 1):
            row[f"tenth_{place}"] = _level(results, row, over)
        rows.append(row)
    return _table("entropy_positions", results, columns, rows)


def _rows(experiment: Experiment) -> list[dict[str, Cell]]:
    """The first cells of every row."""
    return [
        {"domain": text_cell(domain), "arm": text_cell(arm), "n": count_cell(len(experiment.seeds))}
        for domain in experiment.domain_names
        for arm in (BASE, *experiment.arms)
    ]


def _level(results: Results, row: dict[str, Cell], over: Tokens) -> Cell:
    return mean_cell(measures.entropy(results, row["domain"].text, row["arm"].text, over), 3)


def _change(found: Comparison | None) -> Cell:
    return marked_cell(change_cell(found.difference if found else None, 1), found)


def _table(name: str, results: Results, columns: dict[str, str], rows: list[dict[str, Cell]]) -> Table:
    return Table(name, _caption(name, results), columns, rows, frozenset({"domain", "arm"}))


def _caption(name: str, results: Results) -> Caption:
    shown = caption("tables", name, results.experiment)
    if measures.entropy_is_divided(results):
        return shown
    return replace(shown, read=f"{shown.read} {UNDIVIDED}")
