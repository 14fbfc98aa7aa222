"""The table that sets published figures beside the nearest quantities of ours."""

from glow.reporting import measures
from glow.reporting.captions import caption
from glow.reporting.cells import NONE, Cell, Table, change_cell, mean_cell, text_cell
from glow.reporting.reported import Counterpart, Published, read_reported
from glow.reporting.results import Results
from glow.reporting.statistics import Estimate

PUBLISHED_COLUMNS = {
    "published_what": "Published: what", "published": "Published value",
    "published_setting": "Published setting", "published_source": "Published in",
    "ours_what": "Ours: what", "ours": "Ours (n seeds)", "scale_differs": "Scale differs",
}  # fmt: skip
MEASURED_UNITS = {
    "gain_in_domain": "points", "gain_ood": "points", "gain_ood_general": "points",
    "gain_ood_other": "points", "entropy_change": "%", "grpo_accuracy": "%",
}  # fmt: skip


def published_table(results: Results) -> Table:
    """One row a (published figure, quantity of ours that comes nearest to it)."""
    experiment = results.experiment
    assert experiment.reported is not None, "table_names leaves this table out without `reported`"
    rows = [row for entry in read_reported(experiment.reported) for row in _published_rows(results, entry)]
    words = frozenset(PUBLISHED_COLUMNS) - {"ours"}
    return Table("published", caption("tables", "published", experiment), PUBLISHED_COLUMNS, rows, words)


def _published_rows(results: Results, entry: Published) -> list[dict[str, Cell]]:
    published = {
        "published_what": text_cell(entry.what),
        "published": Cell(f"{entry.value:g} {entry.unit}", {"_value": entry.value, "_unit": entry.unit}),
        "published_setting": text_cell(entry.setting),
        "published_source": text_cell(entry.source),
    }
    pairs = [
        (counterpart, domain, value)
        for domain in results.experiment.domain_names
        for counterpart in entry.ours
        if (value := counterpart_value(results, domain, counterpart)) is not None
    ]
    if not pairs:
        return [
            published
            | {"ours_what": text_cell(NONE), "ours": change_cell(None, 1), "scale_differs": text_cell(NONE)}
        ]
    several = len(results.experiment.domain_names) > 1
    scratch = results.experiment.student.pretrain or results.experiment.student.scratch
    scale = text_cell("yes: ours from scratch" if scratch else "as configured")
    return [
        published
        | {
            "ours_what": text_cell(
                _counterpart_text(counterpart) + (f", trained on {domain}" if several else "")
            ),
            "ours": _ours_cell(counterpart, value),
            "scale_differs": scale,
        }
        for counterpart, domain, value in pairs
    ]


def counterpart_value(results: Results, domain: str, counterpart: Counterpart) -> Estimate | None:
    """Our quantity that stands beside a published one; None where this experiment measures none."""
    arm, measure = counterpart.arm, counterpart.measure
    if measure == "grpo_accuracy":
        if arm not in results.initialisations or counterpart.suite not in results.experiment.suites:
            return None
        return measures.mean(results, "grpo", domain, arm, f"suite:{counterpart.suite}")
    if arm not in results.experiment.arms:
        return None
    if measure == "entropy_change":
        change = measures.entropy_changes(results).get((domain, arm))
        return change.difference if change else None
    return measures.gain(results, domain, arm, measure.removeprefix("gain_"))


def _counterpart_text(counterpart: Counterpart) -> str:
    arm = counterpart.arm
    return {
        "gain_in_domain": f"in-domain gain of {arm} over positive-only SFT",
        "gain_ood": f"OOD gain of {arm} over positive-only SFT",
        "gain_ood_general": f"gain of {arm} on OOD suites of the group general",
        "gain_ood_other": f"gain of {arm} on OOD suites of the group other",
        "entropy_change": f"entropy change of {arm} against positive-only SFT",
        "grpo_accuracy": f"{counterpart.suite} after GRPO from {arm}",
    }[counterpart.measure]


def _ours_cell(counterpart: Counterpart, value: Estimate) -> Cell:
    cell = change_cell(value, 1)
    shown = mean_cell(value, 1).text if counterpart.measure == "grpo_accuracy" else cell.text
    unit = MEASURED_UNITS[counterpart.measure]
    return Cell(f"{shown} {unit} (n = {value.n})", {**cell.values, "_unit": unit, "_n": value.n})
