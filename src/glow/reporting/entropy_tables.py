"""The tables of policy entropy: by scope and arm, with and without what the form of answers changes; by
position."""

from dataclasses import replace

from glow.config import Experiment
from glow.evaluation.metrics import TENTHS
from glow.reporting import policy_entropy
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
from glow.reporting.measures import Comparison
from glow.reporting.policy_entropy import ALL, CHAIN_TENTHS, CHAINS, WITH_END, WITHOUT_END
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import IN_DOMAIN, OOD
from glow.reporting.statistics import Estimate

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


SCOPE_NAMES = {IN_DOMAIN: "ID", OOD: "OOD", ALL: "all suites"}


def entropy_table(results: Results) -> Table:
    """Policy entropy of the base and every arm, and its change against positive-only SFT, over three sets of
    tokens: in-domain, out of domain, and over all suites."""
    reference = results.experiment.reference_arm
    columns = {"domain": "Domain", "arm": "Arm", "scope": "Suites", "n": "n"}
    for prefix, (level, change, _) in OVER.items():
        columns[f"{prefix}entropy"] = level
        if reference is not None:
            columns[f"{prefix}change"] = change.format(reference=reference)
    columns["chains"] = "Chains scored"
    tested = {prefix: policy_entropy.changes(results, over) for prefix, (_, _, over) in OVER.items()}
    rows = []
    for domain in results.experiment.domain_names:
        for scope in policy_entropy.scopes_present(results.experiment, domain):
            for row in _rows(results.experiment, domain):
                arm = row["arm"].text
                row["scope"] = text_cell(SCOPE_NAMES[scope])
                for prefix, (_, _, over) in OVER.items():
                    found = policy_entropy.level(results, domain, arm, over, scope)
                    row[f"{prefix}entropy"] = mean_cell(found, 3)
                    if scope == ALL:
                        cell = _change(policy_entropy.overall_change(results, domain, arm, over))
                    else:
                        comparison = tested[prefix].get((domain, arm, scope))
                        cell = _change(comparison.difference if comparison else None, comparison)
                    if reference is not None:
                        row[f"{prefix}change"] = replace(cell, text="reference") if arm == reference else cell
                chains = policy_entropy.chains_scored(results, domain, arm, scope)
                row["chains"] = value_cell(None, 0) if chains is None else count_cell(chains)
                rows.append(row)
    return _table("entropy", results, columns, rows, {"domain", "arm", "scope"})


def entropy_positions_table(results: Results) -> Table:
    """Policy entropy of the base and every arm by tenth of the response, on responses with a chain."""
    columns = {"domain": "Domain", "arm": "Arm", "n": "n"}
    columns |= {f"tenth_{place}": f"{place}" for place in range(1, TENTHS + 1)}
    rows = []
    for domain in results.experiment.domain_names:
        for row in _rows(results.experiment, domain):
            for place, over in enumerate(CHAIN_TENTHS, 1):
                found = policy_entropy.level(results, domain, row["arm"].text, over)
                row[f"tenth_{place}"] = mean_cell(found, 3)
            rows.append(row)
    return _table("entropy_positions", results, columns, rows, {"domain", "arm"})


def _rows(experiment: Experiment, domain: str) -> list[dict[str, Cell]]:
    """The first cells of the rows of a domain."""
    return [
        {"domain": text_cell(domain), "arm": text_cell(arm), "n": count_cell(len(experiment.seeds))}
        for arm in (BASE, *experiment.arms)
    ]


def _change(found: Estimate | None, tested: Comparison | None = None) -> Cell:
    return marked_cell(change_cell(found, 1), tested)


def _table(
    name: str, results: Results, columns: dict[str, str], rows: list[dict[str, Cell]], words: set[str]
) -> Table:
    return Table(name, _caption(name, results), columns, rows, frozenset(words))


def _caption(name: str, results: Results) -> Caption:
    shown = caption("tables", name, results.experiment)
    if policy_entropy.is_divided(results):
        return shown
    return replace(shown, read=f"{shown.read} {UNDIVIDED}")
