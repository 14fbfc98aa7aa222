"""The tables of accuracies: by arm, above chance, of several samples."""

from dataclasses import replace

from glow.config import Experiment
from glow.evaluation.metrics import sample_counts
from glow.reporting import chance, measures
from glow.reporting.captions import caption
from glow.reporting.cells import (
    NONE,
    Cell,
    Table,
    change_cell,
    count_cell,
    marked_cell,
    mean_cell,
    text_cell,
)
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import (
    IN_DOMAIN,
    MEANS,
    OOD,
    SCOPES,
    mean_columns_present,
    mean_heading,
    scope_suites,
)
from glow.reporting.statistics import Estimate

Comparisons = dict[tuple[str, str, str], measures.Comparison]
"""(domain, arm, column) -> comparison with its reference."""
POINTS_DIGITS = 1


# --- main -----------------------------------------------------------------------------------------

GAINS = {IN_DOMAIN: "ID gain", OOD: "OOD gain"}


def main_table(results: Results) -> Table:
    """One row per (domain, arm), the base first: suites, means and gains over positive-only SFT."""
    experiment = results.experiment
    means = mean_columns_present(experiment)
    columns = {"domain": "Domain", "arm": "Arm", "n": "n"}
    columns |= {column: mean_heading(column) for column in means}
    if experiment.reference_arm is not None:
        columns |= {f"gain_{scope}": heading for scope, heading in GAINS.items() if scope in means}
    columns |= {f"suite_{suite}": _suite_heading(experiment, suite) for suite in _suite_order(experiment)}
    compared = measures.gains(results) | measures.gains(results, suites=True)
    rows = []
    for domain in experiment.domain_names:
        rows.append(_chance_row(results, domain, columns))
        rows += [_main_row(results, domain, arm, columns, compared) for arm in (BASE, *experiment.arms)]
    return Table("main", caption("tables", "main", experiment), columns, rows, frozenset({"domain", "arm"}))


BELOW = "▾"
"""Marks an accuracy on a suite that is below what the best constant answer would score."""
CHANCE = "chance level"
"""The name of a row that is no arm: no name of an arm has a space."""


def _chance_row(results: Results, domain: str, columns: dict[str, str]) -> dict[str, Cell]:
    """What the best constant answer would score (`chance`)."""
    row = {"domain": text_cell(domain), "arm": text_cell(CHANCE), "n": text_cell(NONE)}
    for key in [key for key in columns if key not in row]:
        column = key.replace("suite_", "suite:", 1)
        level = None if key.startswith("gain_") else chance.mean_chance(results, domain, column)
        estimate = None if level is None else Estimate(level, None, None, None, 0)
        suites = measures.column_suites(results.experiment, domain, column)
        sources = [results.manifest(results.suite_file(suite)) for suite in suites]
        row[key] = mean_cell(estimate, POINTS_DIGITS, sources)
    return row


def _suite_order(experiment: Experiment) -> list[str]:
    """In-domain suites first, otherwise as in the file."""
    return sorted(experiment.suites, key=lambda name: experiment.suites[name].domain is None)


def _suite_heading(experiment: Experiment, suite: str) -> str:
    domain = experiment.suites[suite].domain
    if domain is None:
        return f"{suite} (OOD)"
    return f"{suite} (ID)" if len(experiment.domain_names) == 1 else f"{suite} (ID for {domain})"


def _main_row(
    results: Results, domain: str, arm: str, columns: dict[str, str], compared: Comparisons
) -> dict[str, Cell]:
    sources = _evaluations(results, domain, arm)
    reference = results.experiment.reference_arm
    both = sources if reference is None else (*sources, *_evaluations(results, domain, reference))
    row = {"domain": text_cell(domain), "arm": text_cell(arm), "n": count_cell(len(results.experiment.seeds))}
    for key in [key for key in columns if key not in row]:
        if key.startswith("suite_"):
            column = key.replace("suite_", "suite:", 1)
            cell = mean_cell(measures.mean(results, "sft", domain, arm, column), POINTS_DIGITS, sources)
            cell = marked_cell(cell, compared.get((domain, arm, column)))
            over = chance.over_chance(results, domain, arm, column.removeprefix("suite:"))
            row[key] = cell if over is None or over >= 0 else replace(cell, text=f"{cell.text} {BELOW}")
        elif key.startswith("gain_"):
            scope = key.removeprefix("gain_")
            gain = measures.gain(results, domain, arm, scope)
            cell = change_cell(gain, POINTS_DIGITS, sources if arm == reference else both)
            cell = marked_cell(cell, compared.get((domain, arm, scope)))
            row[key] = replace(cell, text="reference") if arm == reference else cell
        else:
            row[key] = mean_cell(measures.mean(results, "sft", domain, arm, key), POINTS_DIGITS, sources)
    return row


def _evaluations(results: Results, domain: str, name: str) -> tuple[str, ...]:
    runs = [results.run("sft", domain, name, seed) for seed in results.experiment.seeds]
    return tuple(results.manifest(results.evaluation(run)) for run in runs)


# --- chance ---------------------------------------------------------------------------------------


def chance_table(results: Results) -> Table:
    """One row per (domain, arm): means over suites above chance, and the gains over positive-only SFT."""
    experiment, reference = results.experiment, results.experiment.reference_arm
    scopes = [scope for scope in SCOPES if scope in mean_columns_present(experiment)]
    columns = {"domain": "Domain", "arm": "Arm", "n": "n"}
    columns |= {scope: f"{MEANS[scope]} above chance" for scope in scopes}
    columns |= {f"gain_{scope}": f"{GAINS[scope]} above chance" for scope in scopes} if reference else {}
    rows = []
    for domain in experiment.domain_names:
        for arm in (BASE, *experiment.arms):
            row = {"domain": text_cell(domain), "arm": text_cell(arm), "n": count_cell(len(experiment.seeds))}
            for scope in scopes:
                row[scope] = mean_cell(chance.above_chance(results, domain, arm, scope), POINTS_DIGITS)
                if reference is not None:
                    gain = chance.above_chance(results, domain, arm, scope, over=reference)
                    cell = change_cell(gain, POINTS_DIGITS)
                    row[f"gain_{scope}"] = replace(cell, text="reference") if arm == reference else cell
            rows.append(row)
    return Table(
        "chance", caption("tables", "chance", experiment), columns, rows, frozenset({"domain", "arm"})
    )


# --- samples --------------------------------------------------------------------------------------

RATES = {"truncated": "Truncated %", "unparsed": "Unparsed %", "bare": "Bare %", "unjudged": "Not judged %"}
LENIENT = {"lenient": "Lenient %"}
LENIENT_NOTE = (
    "Lenient are responses whose answer is right only if something is overlooked (docs/verdicts.md), such as "
    "a per cent sign; the setting `leniency` says whether they count as right."
)


def samples_table(results: Results) -> Table:
    """Blocks of arms, one a scope or sampled suite: pass@k, maj@k, length, failed and lenient verdicts."""
    experiment = results.experiment
    ks = sample_counts(experiment.evaluation.samples)
    shares = {f"pass@{k}": f"pass@{k}" for k in ks} | {f"maj@{k}": f"maj@{k}" for k in ks if k > 1}
    columns = {"domain": "Domain", "over": "Over", "arm": "Arm", "n": "n", "questions": "Questions"}
    rows = [
        row
        for domain in experiment.domain_names
        for column in _samples_blocks(experiment, domain)
        for arm in (BASE, *experiment.arms)
        if (row := _samples_row(results, domain, column, arm, shares)) is not None
    ]
    words = frozenset({"domain", "over", "arm"})
    columns |= shares | {"tokens": "Tokens"} | RATES
    shown = caption("tables", "samples", experiment)
    if any(results.questions(run)["lenient"].any() for run in results.models):
        columns |= LENIENT
        shown = replace(shown, read=f"{shown.read} {LENIENT_NOTE}")
    return Table("samples", shown, columns, rows, words)


def _samples_blocks(experiment: Experiment, domain: str) -> list[str]:
    """The scopes of several suites, then every suite, those in-domain first."""
    suites = scope_suites(experiment, domain)
    scopes = [scope for scope, inside in suites.items() if len(inside) > 1]
    return [*scopes, *(f"suite:{name}" for inside in suites.values() for name in inside)]


def _samples_row(
    results: Results, domain: str, column: str, arm: str, shares: dict[str, str]
) -> dict[str, Cell] | None:
    """None for suites that were not sampled: multiple choice by likelihood."""
    tokens = measures.mean(results, "sft", domain, arm, column, measures.Quantity("tokens", scale=1))
    if tokens is None:
        return None
    rates = {
        key: measures.mean(results, "sft", domain, arm, column, measures.Quantity(key, among="tokens"))
        for key in (*shares, *RATES, *LENIENT)
    }
    return {
        "domain": text_cell(domain),
        "over": text_cell(
            MEANS.get(column) or _suite_heading(results.experiment, column.removeprefix("suite:"))
        ),
        "arm": text_cell(arm),
        "n": count_cell(tokens.n),
        "questions": count_cell(tokens.questions or 0),
        "tokens": mean_cell(tokens, 1),
        **{key: mean_cell(rate, POINTS_DIGITS) for key, rate in rates.items()},
    }
