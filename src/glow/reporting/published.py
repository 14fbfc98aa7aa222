"""The figures that others published (`config/reported.yaml`), and the table that sets them beside ours.

Each has its value, unit and source, and names the quantities of ours that come nearest to it, if any do.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from glow.config import Section, message, read_document
from glow.errors import UserError
from glow.reporting import measures, policy_entropy
from glow.reporting.captions import caption
from glow.reporting.cells import NONE, Cell, Table, change_cell, mean_cell, text_cell
from glow.reporting.results import Results
from glow.reporting.statistics import Estimate

# --- the file -------------------------------------------------------------------------------------

Measure = Literal[
    "gain_in_domain", "gain_ood", "gain_ood_general", "gain_ood_other", "entropy_change", "grpo_accuracy"
]


class Counterpart(Section):
    """The quantity of ours that comes nearest to a published one."""

    measure: Measure
    arm: str = Field(description="arm, or initialisation for grpo_accuracy")
    suite: str | None = Field(None, description="suite, for grpo_accuracy")


class Published(Section):
    """One published figure."""

    what: str = Field(description="what was measured, in plain words")
    value: float
    unit: str
    setting: str = Field(description="model, data and scale, as far as they are known")
    source: str = Field(description="where it is printed")
    ours: list[Counterpart] = Field([], description="what comes nearest to it here")


class PublishedFile(Section):
    """The whole file."""

    published: list[Published] = Field(min_length=1)


def read_published(path: Path) -> list[Published]:
    """Load the published figures.

    Raises:
        UserError: the file is missing, is not YAML, or breaks the schema; the message names the key.
    """
    document, _ = read_document(path)
    try:
        return PublishedFile.model_validate(document).published
    except ValidationError as error:
        mistakes = [f"{path}: {'.'.join(map(str, m['loc'])) or 'file'}: {message(m)}" for m in error.errors()]
        raise UserError("\n".join(mistakes)) from None


# --- the table ------------------------------------------------------------------------------------

COLUMNS = {
    "published_what": "Published: what", "published": "Published value",
    "published_setting": "Published setting", "published_source": "Published in",
    "ours_what": "Ours: what", "ours": "Ours (n seeds)", "scale_differs": "Scale differs",
}  # fmt: skip
OURS: dict[Measure, tuple[str, str]] = {
    "gain_in_domain": ("points", "in-domain gain of {arm} over positive-only SFT"),
    "gain_ood": ("points", "OOD gain of {arm} over positive-only SFT"),
    "gain_ood_general": ("points", "gain of {arm} on OOD suites of the group general"),
    "gain_ood_other": ("points", "gain of {arm} on OOD suites of the group other"),
    "entropy_change": ("%", "entropy change of {arm} against positive-only SFT, {over}"),
    "grpo_accuracy": ("%", "{suite} after GRPO from {arm}"),
}
"""Measure -> its unit, and what it is in words."""
ENTROPY_OVER = {
    "on chains without their ends": policy_entropy.CHAINS,
    "on all responses with their ends": policy_entropy.WITH_END,
}
"""What the published entropy is over is not known: ours is shown over both, and over all suites."""


def published_table(results: Results) -> Table:
    """One row per (published figure, quantity of ours that comes nearest to it)."""
    experiment = results.experiment
    assert experiment.reported is not None, "table_names leaves this table out without `reported`"
    entries = read_published(experiment.reported)
    rows = _without_repeats([_rows(results, entry) for entry in entries])
    words = frozenset(COLUMNS) - {"ours"}
    theirs = frozenset(key for key in COLUMNS if key.startswith("published"))
    return Table("published", caption("tables", "published", experiment), COLUMNS, rows, words, theirs)


ALWAYS_SHOWN = ("published_what", "published")
"""What names an entry is shown in its first row, also where the entry above has the same value."""


def _without_repeats(entries: list[list[dict[str, Cell]]]) -> list[dict[str, Cell]]:
    """The rows of all entries, a cell of words that is as the one above it marked as repeated."""
    rows: list[dict[str, Cell]] = []
    for entry in entries:
        for place, row in enumerate(entry):
            above = rows[-1] if rows else {}
            compared = [
                key
                for key in row
                if not key.startswith("ours") and (place > 0 or key not in ALWAYS_SHOWN) and key in above
            ]
            same = {
                key: replace(row[key], repeated=True) for key in compared if row[key].text == above[key].text
            }
            rows.append(row | same)
    return rows


def _rows(results: Results, entry: Published) -> list[dict[str, Cell]]:
    experiment = results.experiment
    published = {
        "published_what": text_cell(entry.what),
        "published": Cell(f"{entry.value:g} {entry.unit}", {"_value": entry.value, "_unit": entry.unit}),
        "published_setting": text_cell(entry.setting),
        "published_source": text_cell(entry.source),
    }
    scratch = experiment.base.pretrain or experiment.base.scratch
    scale = text_cell("yes: ours from scratch" if scratch else "as configured")
    several = len(experiment.domain_names) > 1
    rows = []
    for domain in experiment.domain_names:
        for counterpart in entry.ours:
            unit = OURS[counterpart.measure][0]
            for what, value in _measured(results, domain, counterpart).items():
                ours = {
                    "ours_what": text_cell(f"{what}, trained on {domain}" if several else what),
                    "ours": _ours_cell(value, unit, change=counterpart.measure != "grpo_accuracy"),
                }
                rows.append(published | ours | {"scale_differs": scale})
    none = {"ours_what": text_cell(NONE), "ours": change_cell(None, 1), "scale_differs": text_cell(NONE)}
    return rows or [published | none]


def _measured(results: Results, domain: str, counterpart: Counterpart) -> dict[str, Estimate]:
    """Our quantities that stand beside a published one, by what they are in words; none if there is none."""
    arm, suite, measure = counterpart.arm, counterpart.suite, counterpart.measure
    found: dict[str, Estimate | None] = {}
    words = OURS[measure][1]
    if measure == "grpo_accuracy":
        if arm in results.initialisations and suite in results.experiment.suites:
            what = words.format(arm=arm, suite=suite)
            found[what] = measures.mean(results, "grpo", domain, arm, f"suite:{suite}")
    elif arm in results.experiment.arms and measure == "entropy_change":
        for said, over in ENTROPY_OVER.items():
            change = policy_entropy.overall_change(results, domain, arm, over)
            found[words.format(arm=arm, over=said)] = change
    elif arm in results.experiment.arms:
        scope = measure.removeprefix("gain_")
        found[words.format(arm=arm)] = measures.gain(results, domain, arm, scope)
    return {what: value for what, value in found.items() if value is not None}


def _ours_cell(value: Estimate, unit: str, change: bool) -> Cell:
    cell = change_cell(value, 1)
    shown = cell.text if change else mean_cell(value, 1).text
    return Cell(f"{shown} {unit} (n = {value.n})", {**cell.values, "_unit": unit, "_n": value.n})
