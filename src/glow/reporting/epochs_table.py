"""The table of held-out loss and accuracy: before training, at the best epoch, and at the end."""

from glow.reporting import epochs
from glow.reporting.captions import caption
from glow.reporting.cells import Table, change_cell, count_cell, mean_cell, text_cell, value_cell
from glow.reporting.results import Results

DIGITS: dict[epochs.Measure, int] = {"loss_correct": 3, "loss_wrong": 3, "accuracy": 1}
NAMES: dict[epochs.Measure, str] = {
    "loss_correct": "loss of right ones", "loss_wrong": "loss of wrong ones", "accuracy": "accuracy",
}  # fmt: skip


def epochs_table(results: Results) -> Table:
    """One row per (domain, arm, quantity)."""
    experiment = results.experiment
    columns = {
        "domain": "Domain", "arm": "Arm", "measure": "Held out", "n": "n", "before": "Before training",
        "best_epoch": "Best epoch", "best": "At the best", "last": "At the end",
        "change": "End minus best", "trained_on": "Trained on, last epoch", "gap": "End minus trained on",
    }  # fmt: skip
    rows = []
    for domain in experiment.domain_names:
        for arm in experiment.arms:
            for measure in epochs.measures_of(experiment):
                found, digits = epochs.course(results, domain, arm, measure), DIGITS[measure]
                if found is None:
                    continue
                names = {"domain": domain, "arm": arm, "measure": NAMES[measure]}
                rows.append(
                    {key: text_cell(name) for key, name in names.items()}
                    | {
                        "n": count_cell(len(experiment.seeds)),
                        "before": value_cell(found.before, digits),
                        "best_epoch": count_cell(found.best_epoch),
                        "best": mean_cell(found.best, digits),
                        "last": mean_cell(found.last, digits),
                        "change": change_cell(found.change, digits),
                        "trained_on": mean_cell(found.trained_on, digits),
                        "gap": change_cell(found.gap, digits),
                    }
                )
    words = frozenset({"domain", "arm", "measure"})
    return Table("epochs", caption("tables", "epochs", experiment), columns, rows, words)
