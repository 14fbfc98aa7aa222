"""The tables that set published figures beside ours: figure by figure, and arm by arm.

Numbers are compared as they stand, whatever they were measured on; the tables say what differs. What of ours
stands beside a figure is in `counterparts`; `published` reads the figures.
"""

from dataclasses import dataclass, replace

from glow.config import Experiment
from glow.reporting import counterparts, measures, policy_entropy
from glow.reporting.accuracy_tables import GAINS
from glow.reporting.captions import caption
from glow.reporting.cells import (
    NONE,
    Cell,
    Table,
    change_cell,
    count_cell,
    mean_cell,
    number,
    text_cell,
    value_cell,
)
from glow.reporting.counterparts import Ours
from glow.reporting.published import (
    COUNT,
    EITHER,
    PERCENT,
    POINTS,
    RELATIVE,
    Counterpart,
    Figure,
    Measure,
    Published,
    read_published,
)
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import mean_columns_present, mean_heading
from glow.reporting.statistics import Estimate

DIGITS = 1


def _figures(results: Results) -> list[Figure]:
    experiment = results.experiment
    assert experiment.reported is not None, "table_names leaves these tables out without `reported`"
    return read_published(experiment.reported)


# --- figure by figure -----------------------------------------------------------------------------

COLUMNS = {
    "published_what": "Published: what", "published": "Published value",
    "published_setting": "Published setting and source", "ours_what": "Ours: what",
    "ours": "Ours, 95 % interval", "n": "n", "difference": "Ours less published",
    "within": "Published value in our 95 % interval (numbers alone)",
}  # fmt: skip
PRINTED = {
    PERCENT: " %", POINTS: " points", RELATIVE: " % (relative change)", COUNT: "",
    EITHER: " % (points or relative: not known)",
}  # fmt: skip
"""Unit of a published figure -> as it stands behind the value."""
UNSAID = "cannot be said: {}"


def published_table(results: Results) -> Table:
    """One row per (published figure, quantity of ours beside it, unit that the figure may be meant in)."""
    rows = _without_repeats([_rows(results, figure) for figure in _figures(results)])
    words = frozenset(COLUMNS) - {"ours", "n", "difference"}
    theirs = frozenset(key for key in COLUMNS if key.startswith("published"))
    text = caption("tables", "published", results.experiment)
    return Table("published", text, COLUMNS, rows, words, theirs)


ALWAYS_SHOWN = ("published_what", "published")
"""What names an entry is shown in its first row, also where the entry above has the same value."""


def _without_repeats(entries: list[list[dict[str, Cell]]]) -> list[dict[str, Cell]]:
    """The rows of all entries, a cell about the published figure that is as the one above it marked so."""
    rows: list[dict[str, Cell]] = []
    for entry in entries:
        for place, row in enumerate(entry):
            above = rows[-1] if rows else {}
            compared = [
                key
                for key in row
                if key.startswith("published") and (place > 0 or key not in ALWAYS_SHOWN) and key in above
            ]
            same = {
                key: replace(row[key], repeated=True) for key in compared if row[key].text == above[key].text
            }
            rows.append(row | same)
    return rows


def _rows(results: Results, figure: Figure) -> list[dict[str, Cell]]:
    entry = figure.entry
    derived = f" (derived: {figure.derivation})" if figure.derivation else ""
    value = f"{figure.value:.12g}{PRINTED[entry.unit]}{derived}"
    published = {
        "published_what": text_cell(entry.what),
        "published": Cell(
            value, {"_value": figure.value, "_unit": entry.unit, "_derived": figure.derivation}
        ),
        "published_setting": _setting_cell(entry),
    }
    found, missing = counterparts.beside(results, figure)
    lacking = "; ".join(f"no {what}" for what in missing)
    rows = [published | _compared(results.experiment, figure, ours, lacking) for ours in found]
    why = f"not measured here: {lacking}" if lacking else "nothing to compare it with"
    none = {
        "ours_what": text_cell(why),
        "ours": change_cell(None, DIGITS),
        "n": value_cell(None, 0),
        "difference": value_cell(None, DIGITS),
        "within": _within_cell(UNSAID.format("not measured") if lacking else NONE, None, None),
    }
    return rows or [published | none]


def _setting_cell(entry: Published) -> Cell:
    """What is known of the setting, what is not, and where the figure is printed; the CSV has each apart."""
    known = ", ".join(value for value in entry.setting.values() if value)
    unknown = ", ".join(word for word, value in entry.setting.items() if not value)
    said = "; ".join(filter(None, (known, unknown and f"not known: {unknown}", entry.note)))
    printed = ", ".join(filter(None, (entry.version, entry.source)))
    apart = {word: value or "not known" for word, value in entry.setting.items()}
    apart |= {"note": entry.note or "", "version": entry.version or "", "source": entry.source}
    return Cell(f"{said} [{printed}]".lstrip(), {f"_{word}": value for word, value in apart.items()})


def _compared(experiment: Experiment, figure: Figure, ours: Ours, lacking: str) -> dict[str, Cell]:
    value = change_cell(ours.value, DIGITS, signed=ours.unit != PERCENT)
    nearest = f"nearest, as there is {lacking}: " if ours.nearest else ""
    difference = None if ours.nearest else ours.value.mean - figure.value
    shown = NONE if difference is None else number(difference, DIGITS, signed=True)
    found = UNSAID.format("another quantity") if ours.nearest else within(ours.value, figure)
    return {
        "ours_what": text_cell(f"{nearest}{ours.what}"),
        "ours": Cell(value.text, {**value.values, "_unit": ours.unit}),
        "n": count_cell(ours.value.n),
        "difference": Cell(shown, {"": difference}),
        "within": _within_cell(found, _model(experiment, figure.entry), _domain(experiment, figure.entry)),
    }


def _within_cell(found: str, model: str | None, domain: str | None) -> Cell:
    """A comparison, with what it is of: it is one of numbers, whatever they were measured on."""
    said = "; ".join(filter(None, (model, domain)))
    return Cell(f"{found} ({said})" if said else found, {"": found, "_model": model, "_domain": domain})


def within(ours: Estimate, figure: Figure) -> str:
    """Whether the published value lies in our 95 % interval, its bounds included, or on which side of it."""
    if not ours.over_seeds:
        return UNSAID.format("one seed")
    if ours.bounds is None:
        return UNSAID.format("no interval")
    low, high = ours.bounds
    if figure.value < low:
        return "no, below it"
    return "no, above it" if figure.value > high else "yes"


ANOTHER_MODEL, SAME_MODEL, MODEL_NOT_KNOWN = "another model", "same model", "model not known"
ANOTHER_DOMAIN, SAME_DOMAIN, DOMAIN_NOT_KNOWN = "another domain", "same domain", "domain not known"


def _model(experiment: Experiment, entry: Published) -> str:
    """Whether our student is one that the figure was measured on, as far as names say."""
    student = experiment.base
    path = student.hub.hub if student.hub else str(student.path or "")
    if not path:
        return ANOTHER_MODEL
    if not entry.students:
        return MODEL_NOT_KNOWN
    published = {_last(name) for name in entry.students}
    return SAME_MODEL if _last(path) in published else ANOTHER_MODEL


def _last(name: str) -> str:
    """The name of a model without its owner or folder, in lower case."""
    return name.rstrip("/").rpartition("/")[2].lower()


def _domain(experiment: Experiment, entry: Published) -> str:
    if entry.domain is None:
        return DOMAIN_NOT_KNOWN
    return SAME_DOMAIN if entry.domain in experiment.domain_names else ANOTHER_DOMAIN


# --- arm by arm -----------------------------------------------------------------------------------

OURS, PUBLISHED = "ours", "published"
NONE_KNOWN = "none known"
"""Said where no published figure is in the file: we cannot say that there is none."""
REFERENCE = "reference"
SETTING_SIGNS = {
    ANOTHER_MODEL: "other model", MODEL_NOT_KNOWN: "model?",
    ANOTHER_DOMAIN: "other domain", DOMAIN_NOT_KNOWN: "domain?",
}  # fmt: skip
"""What `_model` and `_domain` say -> the sign of it behind a figure; the caption explains the signs."""
ARM_SIGN = "arm?"
UNIT_SIGNS = {EITHER: "unit?", RELATIVE: "relative"}
"""Unit of a figure -> its sign in a column of points."""


@dataclass(frozen=True)
class Column:
    """A quantity of every arm.

    Attributes:
        heading: its name.
        measure: as `Counterpart.measure`, or `gain_` and any mean over suites.
        suite: the suite, for accuracies of one; None for differences from the reference arm.
    """

    heading: str
    measure: str
    suite: str | None = None


def published_cells_table(results: Results) -> Table:
    """Two rows per (domain, arm): ours, and what is published of it; there must be a reference arm."""
    experiment, figures = results.experiment, _figures(results)
    quantities = {f"{column.measure}{column.suite or ''}": column for column in _columns(experiment, figures)}
    columns = {"domain": "Domain", "arm": "Arm", "whose": "Whose"}
    columns |= {key: column.heading for key, column in quantities.items()}
    rows = []
    for domain in experiment.domain_names:
        for arm in (BASE, *experiment.arms):
            name = {"domain": text_cell(domain), "arm": text_cell(arm)}
            ours = name | {"whose": text_cell(OURS)}
            ours |= {key: _ours_of(results, domain, arm, column) for key, column in quantities.items()}
            theirs = name | {"arm": replace(name["arm"], repeated=True)}
            theirs |= {"whose": replace(text_cell(PUBLISHED), theirs=True)}
            theirs |= {
                key: _theirs_of(experiment, figures, domain, arm, column)
                for key, column in quantities.items()
            }
            rows += [ours, theirs]
    words = frozenset({"domain", "arm", "whose"})
    return Table("published_cells", caption("tables", "published_cells", experiment), columns, rows, words)


def _columns(experiment: Experiment, figures: list[Figure]) -> list[Column]:
    """The gains and the entropy of every arm; of accuracies of suites, those that a figure is of."""
    found = [
        Column(GAINS.get(scope) or f"{mean_heading(scope)} gain", f"gain_{scope}")
        for scope in mean_columns_present(experiment)
    ]
    if experiment.evaluation.entropy_samples:
        found.append(Column("Entropy change", "entropy_change"))
    headings: dict[Measure, str] = {"accuracy": "{}"}
    headings |= {"grpo_accuracy": "{} after GRPO"} if experiment.grpo else {}
    named = [own for figure in figures for own in figure.entry.ours if own.suite in experiment.suites]
    found += [
        Column(headings[own.measure].format(own.suite), own.measure, own.suite)
        for own in named
        if own.measure in headings
    ]
    return list(dict.fromkeys(found))


def _ours_of(results: Results, domain: str, arm: str, column: Column) -> Cell:
    if _is_reference(results.experiment, arm, column):
        return replace(mean_cell(None, DIGITS), text=REFERENCE)
    value = _ours(results, domain, arm, column)
    return mean_cell(value, DIGITS, signed=column.suite is None)


def _ours(results: Results, domain: str, arm: str, column: Column) -> Estimate | None:
    if column.measure == "entropy_change":
        return policy_entropy.overall_change(results, domain, arm, policy_entropy.CHAINS)
    if column.measure == "accuracy":
        return measures.mean(results, "sft", domain, arm, f"suite:{column.suite}")
    if column.measure == "grpo_accuracy":
        among = arm in results.initialisations
        return measures.mean(results, "grpo", domain, arm, f"suite:{column.suite}") if among else None
    return measures.gain(results, domain, arm, column.measure.removeprefix("gain_"))


def _theirs_of(experiment: Experiment, figures: list[Figure], domain: str, arm: str, column: Column) -> Cell:
    """The published figures of an arm; the CSV has them in columns of their own."""
    found = [
        f"{figure.value:.12g}{_signs(experiment, figure.entry, own)}"
        for figure in figures
        for own in figure.entry.ours
        if domain in counterparts.domains(experiment, figure.entry)
        and (own.measure, own.arm, own.suite) == (column.measure, arm, column.suite)
    ]
    text = REFERENCE if _is_reference(experiment, arm, column) else ", ".join(found) or NONE_KNOWN
    return Cell(text, {"_published": text}, theirs=True)


def _signs(experiment: Experiment, entry: Published, own: Counterpart) -> str:
    """In brackets: in what a figure differs from our cell, and of what that is not known."""
    setting = (_model(experiment, entry), _domain(experiment, entry))
    signs = [SETTING_SIGNS[said] for said in setting if said in SETTING_SIGNS]
    if entry.arm is None or own.reading:
        signs.append(ARM_SIGN)
    if own.measure.startswith("gain_") and entry.unit in UNIT_SIGNS:
        signs.append(UNIT_SIGNS[entry.unit])
    return f" ({', '.join(signs)})" if signs else ""


def _is_reference(experiment: Experiment, arm: str, column: Column) -> bool:
    """Whether the quantity is a difference from this very arm."""
    return column.suite is None and arm == experiment.reference_arm
