"""The tables of what the arms trained on and what training did: data, losses, weights and gains."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from glow.config import DONE_TO_LONG
from glow.files.records import ANSWER_PLACES, FOUND_IN, LENIENCIES, VERDICTS
from glow.reporting import dynamics
from glow.reporting.captions import caption
from glow.reporting.cells import NONE, Cell, Table, change_cell, count_cell, mean_cell, text_cell
from glow.reporting.losses import DECIDED, Descent, descents
from glow.reporting.relative_gain import gain_summary
from glow.reporting.results import Results
from glow.reporting.statistics import Estimate, clustered, estimate
from glow.reporting.trajectories import lengths, share_with_both, with_both_verdicts

# --- data -----------------------------------------------------------------------------------------


def data_table(results: Results) -> Table:
    """Verdicts with response lengths, sizes of selections, questions, and agreement with a label column."""
    experiment = results.experiment
    columns = {
        "domain": "Domain", "group": "Group", "item": "Item", "n": "n", "share": "Share %",
        "length": "Mean length", "length_unit": "Length in",
    }  # fmt: skip
    rows = [row for domain in experiment.domain_names for row in _data_rows(results, domain)]
    words = frozenset({"domain", "group", "item", "length_unit"})
    shown = caption("tables", "data", experiment)
    notes = [note for group, note in NOTES.items() if any(row["group"].text == group for row in rows)]
    return Table("data", replace(shown, read=" ".join([shown.read, *notes])), columns, rows, words)


PLACES, OVERLOOKED, TYPES = "answer from", "overlooked", "type"
NOTES = {
    PLACES: "Rows `answer from` say where the answers of responses were found.",
    OVERLOOKED: "Rows `overlooked` count answers that equal the gold answer only if that is overlooked "
    "(docs/verdicts.md); `leniency` says whether they count as correct.",
}
"""What is said of groups of rows that not every study has."""


@dataclass(frozen=True)
class _Row:
    """Makes the rows of a domain, in a study with so many seeds."""

    domain: str
    seeds: int

    def __call__(
        self,
        group: str,
        item: str,
        count: int,
        share: Estimate | None = None,
        lengths: Estimate | None = None,
    ) -> dict[str, Cell]:
        return {
            "domain": text_cell(self.domain),
            "group": text_cell(group),
            "item": text_cell(item),
            "n": count_cell(count),
            "share": mean_cell(share, 1, seeds=self.seeds),
            "length": mean_cell(lengths, 1, seeds=self.seeds),
            "length_unit": text_cell(NONE),
        }


def _data_rows(results: Results, domain: str) -> list[dict[str, Cell]]:
    row = _Row(domain, len(results.experiment.seeds))
    verdicts = results.trajectories(domain)
    length, unit = lengths(verdicts)
    rows = [row("trajectories", "all", len(verdicts), lengths=_by_problem(length, verdicts))]
    for verdict in VERDICTS:
        own = verdicts["verdict"] == verdict
        rows.append(
            row(
                "verdict",
                verdict,
                int(own.sum()),
                _by_problem(100 * own, verdicts),
                _by_problem(length[own], verdicts),
            )
        )
    rows += _type_rows(row, verdicts, length)
    for of_verdict in rows:
        of_verdict["length_unit"] = text_cell(unit)
    for selection in results.selections:
        sizes = [results.selection_size(domain, seed, selection) for seed in results.experiment.seeds]
        size = round(sum(sizes) / len(sizes))
        share = Estimate(100 * size / len(verdicts), None, None, None, 1) if len(verdicts) else None
        rows.append(row("selection", selection, size, share))
    rows += _question_rows(row, verdicts)
    rows += _held_out_rows(results, domain, row, verdicts)
    counted = [*_place_rows(row, verdicts), *_leniency_rows(row, verdicts)]
    return [*rows, *counted, *_too_long_rows(results, domain, row), *_label_rows(row, verdicts)]


def _question_rows(row: _Row, verdicts: pd.DataFrame) -> list[dict[str, Cell]]:
    """How many questions there are, and how many have positives and negatives: pairs are made of these."""
    both = with_both_verdicts(verdicts)
    return [
        row("questions", "all", len(both)),
        row("questions", "with correct and wrong", int(both.sum()), share_with_both(verdicts)),
    ]


def _held_out_rows(results: Results, domain: str, row: _Row, verdicts: pd.DataFrame) -> list[dict[str, Cell]]:
    """How many questions no arm trains on, and their trajectories; no rows where none is held out."""
    if not results.experiment.selection.held_out:
        return []
    held_out = verdicts["trajectory_id"].isin(results.held_out(domain))
    questions = verdicts["problem_id"]
    aside = questions[held_out].nunique()
    share = Estimate(100 * aside / questions.nunique(), None, None, None, 1)
    rows = [row("held out", "questions", aside, share)]
    for verdict in DECIDED:
        own = held_out & (verdicts["verdict"] == verdict)
        share = Estimate(100 * own.sum() / len(verdicts), None, None, None, 1)
        rows.append(row("held out", verdict, int(own.sum()), share))
    return rows


def _type_rows(row: _Row, verdicts: pd.DataFrame, length: pd.Series) -> list[dict[str, Cell]]:
    """How many positives and negatives have a chain or are bare answers, in shares of each."""
    rows = []
    for verdict in DECIDED:
        judged = verdicts[verdicts["verdict"] == verdict]
        for kind in ("chain", "bare"):
            own = judged["type"] == kind
            share, lengths = _by_problem(100 * own, judged), _by_problem(length[own[own].index], judged)
            rows.append(row(TYPES, f"{verdict}: {kind}", int(own.sum()), share, lengths))
    return rows


def _place_rows(row: _Row, verdicts: pd.DataFrame) -> list[dict[str, Cell]]:
    """Where answers were found; no rows where all were in boxes."""
    found = {FOUND_IN[place]: verdicts["extracted_from"] == place for place in ANSWER_PLACES}
    if not any(own.any() for item, own in found.items() if item != FOUND_IN["box"]):
        return []
    return [
        row(PLACES, item, int(own.sum()), _by_problem(100 * own, verdicts))
        for item, own in found.items()
        if own.any()
    ]


def _leniency_rows(row: _Row, verdicts: pd.DataFrame) -> list[dict[str, Cell]]:
    """What was overlooked in answers; no rows for what never was."""
    found = {leniency: verdicts["leniency"] == leniency for leniency in LENIENCIES}
    return [
        row(OVERLOOKED, item, int(own.sum()), _by_problem(100 * own, verdicts))
        for item, own in found.items()
        if own.any()
    ]


def _too_long_rows(results: Results, domain: str, row: _Row) -> list[dict[str, Cell]]:
    """How many trajectories SFT left out or cut for their length: the arms with any, or a row that says 0."""
    rows = []
    for arm in results.experiment.arms:
        facts = [results.facts(results.run("sft", domain, arm, seed)) for seed in results.experiment.seeds]
        found = np.array([seed["too_long"]["found"] for seed in facts])
        share = found / [seed["too_long"]["of"] for seed in facts]
        if found.any():
            item = f"{arm}: {DONE_TO_LONG[facts[0]['too_long']['done']]}"
            rows.append(row("too long", item, round(found.mean()), estimate(100 * share)))
    return rows or [row("too long", "all arms", 0)]


def _by_problem(values: pd.Series, verdicts: pd.DataFrame) -> Estimate | None:
    """The mean over trajectories with its error from the draw of problems; None where there is none."""
    if values.empty:
        return None
    return clustered(values.to_numpy(float), verdicts.loc[values.index, "problem_id"].to_numpy())


def _label_rows(row: _Row, verdicts: pd.DataFrame) -> list[dict[str, Cell]]:
    """Agreement with the label column; no rows where no trajectory has a label."""
    labelled = verdicts[verdicts["label"].notna()]
    if labelled.empty:
        return []
    compared = labelled["verdict"].isin(["correct", "wrong"])
    decided = labelled[compared]
    label, correct = decided["label"].astype(bool), decided["verdict"] == "correct"
    items = {
        "compared": compared,
        "agree": label == correct,
        "label true, verdict wrong": label & ~correct,
        "label false, verdict correct": ~label & correct,
        "labelled, verdict neither correct nor wrong": ~compared,
    }
    return [
        row("label", item, int(found.sum()), _by_problem(100 * found, verdicts))
        for item, found in items.items()
    ]


# --- losses and weights ---------------------------------------------------------------------------


LOSS_HEADINGS = {
    "right_last": "Right, last epoch", "wrong_last": "Wrong, last epoch", "gap": "Wrong minus right",
    "right_slope": "Right, slope", "wrong_slope": "Wrong, slope", "slope_gap": "Slope, wrong minus right",
    "right_relative": "Right, % an epoch", "wrong_relative": "Wrong, % an epoch",
    "relative_gap": "% an epoch, wrong minus right",
}  # fmt: skip


def losses_table(results: Results) -> Table:
    """One row per (domain, arm with both signs, group of trajectories): level and descent of the loss."""
    experiment = results.experiment
    columns = {
        "domain": "Domain",
        "arm": "Arm",
        "group": "Trajectories",
        "n": "n",
        "right": "Right",
        "wrong": "Wrong",
    }
    rows = [
        {"domain": text_cell(domain), "arm": text_cell(arm), "group": text_cell(group)}
        | {"n": count_cell(len(experiment.seeds))}
        | _descent_cells(found)
        for domain in experiment.domain_names
        for arm in dynamics.both_signs(experiment)
        for group, found in descents(results, domain, arm).items()
    ]
    words = frozenset({"domain", "arm", "group"})
    return Table("losses", caption("tables", "losses", experiment), columns | LOSS_HEADINGS, rows, words)


def _descent_cells(found: Descent) -> dict[str, Cell]:
    cells = {
        "gap": change_cell(found.gap, 3),
        "slope_gap": change_cell(found.slope_gap, 3),
        "relative_gap": change_cell(found.relative_gap, 1),
    }
    for place, side in enumerate(("right", "wrong")):
        cells[side] = count_cell(found.counts[place])
        cells[f"{side}_last"] = mean_cell(found.last[place], 3)
        cells[f"{side}_slope"] = mean_cell(found.slopes[place], 3)
        cells[f"{side}_relative"] = mean_cell(found.relative[place], 1)
    return cells


WEIGHT_HEADINGS = {
    "mean": "Weight", "sd": "s.d.", "effective": "Effective %", "correct": "of correct", "wrong": "of wrong",
    "low": "% at low bound", "high": "% at high bound", "gain": "Mean gain",
}  # fmt: skip
WEIGHT_DIGITS = {"effective": 1, "low": 1, "high": 1, "gain": 4}


def weights_table(results: Results) -> Table:
    """One row per (domain, arm with weights, epoch): the weights, the share at the bounds, the mean gain."""
    experiment = results.experiment
    columns = {"domain": "Domain", "arm": "Arm", "epoch": "Epoch", "n": "n", "samples": "Samples"}
    rows = []
    for domain in experiment.domain_names:
        for arm, objective in dynamics.arms_with_weights(experiment, domain).items():
            summary = dynamics.weight_summary(dynamics.histories(results, domain, arm), objective.bounds)
            for epoch, by_seed in summary.groupby(level="epoch", sort=False):
                rows.append(_weight_row(domain, arm, str(epoch), by_seed))
    words = frozenset({"domain", "arm", "epoch"})
    return Table("weights", caption("tables", "weights", experiment), columns | WEIGHT_HEADINGS, rows, words)


def _weight_row(domain: str, arm: str, epoch: str, by_seed: pd.DataFrame) -> dict[str, Cell]:
    row = {"domain": text_cell(domain), "arm": text_cell(arm), "epoch": text_cell(epoch)}
    row |= {"n": count_cell(len(by_seed)), "samples": count_cell(round(by_seed["samples"].mean()))}
    for key in WEIGHT_HEADINGS:
        known = not by_seed[key].isna().any()
        row[key] = mean_cell(estimate(by_seed[key].to_numpy()) if known else None, WEIGHT_DIGITS.get(key, 3))
    return row


GAIN_HEADINGS = {
    "gain": "Gain", "gain_correct": "of correct", "gain_wrong": "of wrong",
    "relative_gain_correct": "Relative, of correct", "relative_gain_wrong": "Relative, of wrong",
    "place": "Place explains %", "verdict": "Verdict explains %",
}  # fmt: skip
SHARES = ("place", "verdict")


def gains_table(results: Results) -> Table:
    """One row per (domain, arm with weights, epoch from the second): gains, and what explains them."""
    experiment = results.experiment
    columns = {"domain": "Domain", "arm": "Arm", "epoch": "Epoch", "n": "n", "samples": "Samples"}
    rows = []
    for domain in experiment.domain_names:
        for arm in dynamics.arms_with_weights(experiment, domain):
            summary = gain_summary(dynamics.histories(results, domain, arm))
            for epoch, by_seed in summary.groupby(level="epoch"):
                rows.append(_gain_row(domain, arm, str(epoch), by_seed))
    words = frozenset({"domain", "arm", "epoch"})
    return Table("gains", caption("tables", "gains", experiment), columns | GAIN_HEADINGS, rows, words)


def _gain_row(domain: str, arm: str, epoch: str, by_seed: pd.DataFrame) -> dict[str, Cell]:
    row = {"domain": text_cell(domain), "arm": text_cell(arm), "epoch": text_cell(epoch)}
    row |= {"n": count_cell(len(by_seed)), "samples": count_cell(round(by_seed["samples"].mean()))}
    for key in GAIN_HEADINGS:
        values = by_seed[key].to_numpy() * (100 if key in SHARES else 1)
        known = not np.isnan(values).any()
        row[key] = mean_cell(estimate(values) if known else None, 1 if key in SHARES else 4)
    return row
