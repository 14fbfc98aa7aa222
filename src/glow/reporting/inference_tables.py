"""The tables of tests and of what they can show: comparisons, stated contrasts, sources of variance."""

from dataclasses import replace
from typing import get_args

from glow.reporting import measures
from glow.reporting.captions import caption
from glow.reporting.cells import (
    MARK,
    NONE,
    Cell,
    Table,
    bounds_cell,
    count_cell,
    number,
    p_cell,
    text_cell,
    value_cell,
)
from glow.reporting.components import Components, Of, components
from glow.reporting.conventions import ERROR_RATE, MOST_SEEDS
from glow.reporting.measures import Comparison
from glow.reporting.results import Results
from glow.reporting.scopes import SCOPES, mean_heading

DIGITS = 2

# --- differences ----------------------------------------------------------------------------------


def comparisons_table(results: Results) -> Table:
    """One row per (domain, arm, scope): the difference from positive-only SFT and all that is known of it."""
    experiment = results.experiment
    columns = {"domain": "Domain", "arm": "Arm", "over": "Over", **DIFFERENCE, "p_holm": "p, Holm"}
    rows = []
    for (domain, arm, scope), comparison in measures.gains(results).items():
        row = {"domain": text_cell(domain), "arm": text_cell(arm), "over": text_cell(mean_heading(scope))}
        row |= difference_cells(comparison) | limit_cells(comparison, experiment.margin)
        rows.append(row | {"p_holm": corrected_cell(comparison)})
    columns |= limit_columns(experiment.margin)
    words = frozenset({"domain", "arm", "over"})
    return Table("comparisons", caption("tables", "comparisons", experiment), columns, rows, words)


def contrasts_table(results: Results) -> Table:
    """One row per contrast that the configuration states, in its order: the test and its decision."""
    experiment, tested = results.experiment, measures.contrasts(results)
    columns = {
        "domain": "Domain", "place": "Order", "arm": "Arm", "against": "Against", "over": "Over",
        **DIFFERENCE, "decision": "No difference", **limit_columns(experiment.margin),
    }  # fmt: skip
    rows = []
    for place, (contrast, comparison, decision) in enumerate(
        zip(experiment.contrasts, tested, measures.decisions(tested), strict=True), start=1
    ):
        row = {
            "domain": text_cell(contrast.domain or experiment.domain_names[0]),
            "place": count_cell(place),
            "arm": text_cell(contrast.arm),
            "against": text_cell(contrast.over),
            "over": text_cell(mean_heading(contrast.scope)),
            "decision": text_cell(decision),
        }
        rows.append(row | difference_cells(comparison) | limit_cells(comparison, experiment.margin))
    words = frozenset({"domain", "arm", "against", "over", "decision"})
    return Table("contrasts", caption("tables", "contrasts", experiment), columns, rows, words)


DIFFERENCE = {
    "n": "n", "questions": "Questions", "difference": "Difference", "interval": "95 % t interval", "p": "p",
}  # fmt: skip


def difference_cells(comparison: Comparison) -> dict[str, Cell]:
    """The cells of `DIFFERENCE`; a star marks what remains after correction."""
    found = comparison.difference
    star = comparison.sign != 0
    shown = number(found.mean, DIGITS, signed=True) + MARK * star
    return {
        "n": count_cell(found.n),
        "questions": count_cell(found.questions or 0),
        "difference": Cell(shown, {"_mean": found.mean, "_se": found.error}, marked=star),
        "interval": bounds_cell(found.bounds, DIGITS),
        "p": _tested_cell(found.p, comparison),
    }


def _tested_cell(p: float | None, comparison: Comparison) -> Cell:
    """A p-value; of one seed in the CSV alone, since it is over questions only and decides nothing."""
    cell = p_cell(p)
    return cell if comparison.difference.over_seeds else replace(cell, text=NONE)


STATED = "\N{DOUBLE DAGGER}"


def corrected_cell(comparison: Comparison) -> Cell:
    """The corrected p-value; ‡ marks one that is corrected in the stated order."""
    cell = _tested_cell(comparison.p_holm, comparison)
    return Cell(cell.text + STATED, cell.values) if comparison.stated else cell


# --- what tests can show --------------------------------------------------------------------------


def limit_columns(margin: float | None) -> dict[str, str]:
    """The columns of `limit_cells`."""
    columns = {"detectable": "Detectable", "seeds_needed": "Seeds needed"}
    if margin is not None:
        columns |= {
            "seeds_for_margin": f"Seeds needed for {margin:g} points",
            "equivalent": f"Equivalent within ±{margin:g} (p)",
        }
    return columns


def limit_cells(comparison: Comparison, margin: float | None) -> dict[str, Cell]:
    """What the test would detect, the seeds that an undecided difference needs, and whether it is none."""
    cells = {
        "detectable": value_cell(comparison.detectable, 1),
        "seeds_needed": NO_SEEDS if comparison.sign else _seeds_cell(comparison, None),
    }
    if margin is not None:
        cells["seeds_for_margin"] = _seeds_cell(comparison, margin)
        cells["equivalent"] = _equivalence_cell(comparison, margin)
    return cells


NO_SEEDS = Cell(NONE, {"": None})


def _seeds_cell(comparison: Comparison, difference: float | None) -> Cell:
    if comparison.sources is None:
        return NO_SEEDS
    seeds = comparison.seeds_needed(difference)
    return text_cell(f">{MOST_SEEDS:,}") if seeds is None else count_cell(seeds)


def _equivalence_cell(comparison: Comparison, margin: float) -> Cell:
    """Whether the difference is shown to lie within the margin (CSV: itself, _p, and its 90 % interval)."""
    p, variance = comparison.equivalence_p(margin), comparison.variance
    if p is None or variance is None:
        return Cell(NONE, {"": None, "_p": None, "_low": None, "_high": None})
    mean, reach = comparison.difference.mean, float(variance.reach(1 - 2 * ERROR_RATE))
    verdict = "yes" if p < ERROR_RATE else "no"
    return Cell(
        f"{verdict} ({p_cell(p).text})", {"": verdict, "_p": p, "_low": mean - reach, "_high": mean + reach}
    )


# --- sources of variance --------------------------------------------------------------------------

NEGATIVE = "\N{DAGGER}"
SOURCES = {"seeds": "Seeds", "questions": "Questions", "rest": "Rest", "decoding": "Decoding"}


def variance_table(results: Results) -> Table:
    """One row per (domain, scope, accuracy or gain): standard deviations by source, and seeds' ICC."""
    experiment = results.experiment
    found = {
        (domain, scope, of): parts
        for domain in experiment.domain_names
        for scope in SCOPES
        for of in get_args(Of)
        if (parts := components(results, domain, scope, of)) is not None
    }
    known = {source for parts in found.values() for source in parts.sources}
    columns = {
        "domain": "Domain",
        "over": "Over",
        "of": "Of",
        "arms": "Arms",
        "n": "n",
        "questions": "Questions",
    }
    columns |= {f"from_{source}": heading for source, heading in SOURCES.items() if source in known}
    columns |= {"icc": "ICC of seeds"}
    rows = []
    for (domain, scope, of), parts in found.items():
        row = {"domain": text_cell(domain), "over": text_cell(mean_heading(scope)), "of": text_cell(of)}
        row |= {
            "arms": count_cell(len(experiment.arms) - (of == "gain")),
            "n": count_cell(len(experiment.seeds)),
            "questions": count_cell(measures.questions_of(results, domain, scope)),
            "icc": value_cell(parts.correlation, 3),
        }
        rows.append(row | {f"from_{source}": _source_cell(parts, source) for source in known})
    words = frozenset({"domain", "over", "of"})
    return Table("variance", caption("tables", "variance", experiment), columns, rows, words)


def _source_cell(parts: Components, source: str) -> Cell:
    """A standard deviation and its share (CSV: _variance as estimated, _sd, _share in percent)."""
    variance = parts.sources.get(source)
    if variance is None:
        return Cell(NONE, dict.fromkeys(("_variance", "_sd", "_share")))
    total = sum(max(0.0, own) for own in parts.sources.values())
    sd, share = max(0.0, variance) ** 0.5, 100 * max(0.0, variance) / total if total > 0 else None
    shown = number(sd, DIGITS) + NEGATIVE * (variance < 0)
    shown += "" if share is None else f" ({number(share, 0)} %)"
    return Cell(shown, {"_variance": variance, "_sd": sd, "_share": share})
