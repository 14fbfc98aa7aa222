"""The table of GRPO: accuracy before and after it, its reward, and what it could learn from."""

from collections.abc import Sequence
from dataclasses import replace

from glow.reporting import grpo
from glow.reporting.captions import Caption, caption
from glow.reporting.cells import NONE, Cell, Table, change_cell, count_cell, marked_cell, mean_cell, text_cell
from glow.reporting.measures import Comparison
from glow.reporting.results import Kind, Results, Run
from glow.reporting.scopes import IN_DOMAIN, OOD, SCOPES

POINTS_DIGITS, REWARD_DIGITS = 1, 3
POOLED = "all initialisations"
"""The name of a row that is no initialisation: no name of an arm has a space."""
POOLED_NOTE = (
    f"Row {POOLED} averages them, each with the same weight, over the same seeds and questions; its changes "
    "are corrected apart from the others, and what is said of stars holds for each of the two groups."
)
DAGGER = "†"
NO_SIGNAL = (
    f"{DAGGER} marks a start from which, in most steps of a run, GRPO had nothing to learn from (the run's "
    "manifest.json says what was missing, under no_signal). A step has signal where the rollouts of some "
    "prompt differ in reward."
)
SIGNAL = {"signal": "Steps with signal, %"}


def grpo_table(results: Results) -> Table:
    """One row per (domain, initialisation): accuracy before and after, the reward, and unanimous prompts.

    Where there are several initialisations, their average is the domain's last row. Where most steps of a run
    taught nothing, a column more says in how many there was something to learn.
    """
    columns = {"domain": "Domain", "initialisation": "Initialisation", "n": "n"}
    for scope, heading in ((IN_DOMAIN, "ID"), (OOD, "OOD")):
        columns |= {
            f"{scope}_before": f"{heading} before",
            f"{scope}_after": f"{heading} after",
            f"{scope}_change": f"{heading} change",
            f"{scope}_problems": f"{heading} problems",
        }
        columns |= {"rose": "Rose"} if scope == IN_DOMAIN else {}
    columns |= {
        "reward_first": "Reward, first tenth",
        "reward_last": "Reward, last tenth",
        "reward_rise": "Reward rise",
        "unanimous_first": "Unanimous %, first tenth",
        "unanimous": "Unanimous %, all steps",
    }
    names, domains, shown = results.initialisations, results.experiment.domain_names, _caption(results)
    silent = {
        (domain, name) for domain in domains for name in names if grpo.lacks_signal(results, domain, name)
    }
    if silent:
        columns |= SIGNAL
        shown = replace(shown, read=f"{shown.read} {NO_SIGNAL}")
    changes, pooled = grpo.changes(results), grpo.pooled_changes(results)
    rows = []
    for domain in domains:
        for name in names:
            own = {scope: changes.get((domain, name, scope)) for scope in SCOPES}
            rows.append(_row(results, domain, name, [name], own, (domain, name) in silent))
        if len(names) > 1:
            both = {scope: pooled.get((domain, scope)) for scope in SCOPES}
            rows.append(_row(results, domain, POOLED, names, both, is_silent=False))
    rows = [{key: row[key] for key in columns} for row in rows]
    return Table("grpo", shown, columns, rows, frozenset({"domain", "initialisation", "rose"}))


def _caption(results: Results) -> Caption:
    shown = caption("tables", "grpo", results.experiment)
    return replace(shown, read=f"{shown.read} {POOLED_NOTE}") if len(results.initialisations) > 1 else shown


def _row(
    results: Results,
    domain: str,
    label: str,
    names: Sequence[str],
    changes: dict[str, Comparison | None],
    is_silent: bool,
) -> dict[str, Cell]:
    """The row of one initialisation, or of the average of several; `changes` are by scope."""
    before, after = (_evaluations(results, kind, domain, names) for kind in ("sft", "grpo"))
    seeds = count_cell(len(results.seeds("grpo")))
    row = {"domain": text_cell(domain), "initialisation": text_cell(label), "n": seeds}
    for scope, change in changes.items():
        points = change.difference if change else None
        old, new = (grpo.accuracy(results, kind, domain, names, scope) for kind in ("sft", "grpo"))
        row |= {
            f"{scope}_before": mean_cell(old, POINTS_DIGITS, before),
            f"{scope}_after": mean_cell(new, POINTS_DIGITS, after),
            f"{scope}_change": marked_cell(change_cell(points, POINTS_DIGITS, before + after), change),
            f"{scope}_problems": count_cell(points.questions or 0 if points else 0),
        }
    inside = changes[IN_DOMAIN]
    rose = NONE if inside is None else "yes" if inside.sign > 0 else "not shown"
    row["rose"] = Cell(rose, {"": rose}, before + after)
    return row | _rollout_cells(results, domain, names, is_silent)


def _rollout_cells(results: Results, domain: str, names: Sequence[str], is_silent: bool) -> dict[str, Cell]:
    runs = [Run("grpo", domain, name, seed) for name in names for seed in results.seeds("grpo")]
    logs = [results.manifest(results.training(run)) for run in runs]
    reward, (first, whole) = grpo.reward(results, domain, names), grpo.unanimous(results, domain, names)
    signal = mean_cell(grpo.steps_with_signal(results, domain, names), POINTS_DIGITS, logs)
    return {
        "reward_first": mean_cell(reward.first, REWARD_DIGITS, logs),
        "reward_last": mean_cell(reward.last, REWARD_DIGITS, logs),
        "reward_rise": change_cell(reward.rise, REWARD_DIGITS, logs),
        "unanimous_first": mean_cell(first, POINTS_DIGITS, logs),
        "unanimous": mean_cell(whole, POINTS_DIGITS, logs),
        "signal": replace(signal, text=signal.text + DAGGER * is_silent),
    }


def _evaluations(results: Results, kind: Kind, domain: str, names: Sequence[str]) -> tuple[str, ...]:
    """The manifests of the evaluations before (kind sft) or after GRPO, of the seeds of GRPO."""
    runs = [results.run(kind, domain, name, seed) for name in names for seed in results.seeds("grpo")]
    return tuple(results.manifest(results.evaluation(run)) for run in runs)
