"""The tables over several worlds: accuracies, contrasts, comparisons, GRPO's changes, and the gates of each.

The numbers come from `pooling`, the captions from pooled_captions.yaml, cells and forms from `cells`. The
gates are each study's own table, put together row by row.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from glow.config import drawn_seeds
from glow.reporting import pooling
from glow.reporting.captions import Caption
from glow.reporting.cells import (
    NONE,
    Cell,
    Table,
    change_cell,
    count_cell,
    number,
    text_cell,
    value_cell,
)
from glow.reporting.conventions import POWER
from glow.reporting.grpo_table import POOLED
from glow.reporting.inference_tables import (
    DIFFERENCE,
    NEGATIVE,
    corrected_cell,
    difference_cells,
    limit_cells,
    limit_columns,
)
from glow.reporting.measures import decisions
from glow.reporting.pooling import Pooled
from glow.reporting.results import Kind
from glow.reporting.scopes import mean_heading
from glow.reporting.tables import read_tables
from glow.reporting.worlds import World

WORLD_DIGITS, DIGITS = 1, 2
GATES = "gates"


def pooled_tables(worlds: Sequence[World]) -> list[Table]:
    """All tables that these studies allow, in the order in which they are read."""
    experiment = worlds[0].results.experiment
    gates = gates_table(worlds)
    return [
        *([contrasts_table(worlds)] if experiment.contrasts else []),
        accuracy_table(worlds),
        *([comparisons_table(worlds)] if experiment.reference_arm is not None else []),
        *([grpo_table(worlds)] if experiment.grpo is not None else []),
        *([gates] if gates is not None else []),
    ]


def accuracy_table(worlds: Sequence[World]) -> Table:
    """One row per (domain, arm, scope): mean accuracy in each world and over worlds."""
    columns = {
        "domain": "Domain", "arm": "Arm", "over": "Over", **_world_columns(worlds), "n": "n",
        "pooled": "Over worlds", **SPREAD,
    }  # fmt: skip
    rows = []
    for (domain, arm, scope), own in pooling.accuracies(worlds).items():
        row = {"domain": text_cell(domain), "arm": text_cell(arm), "over": text_cell(mean_heading(scope))}
        row |= _world_cells(own, signed=False) | _spread_cells(own)
        row["n"] = count_cell(own.over.difference.n)
        row["pooled"] = change_cell(own.over.difference, WORLD_DIGITS, signed=False)
        rows.append(row)
    return Table("pooled_accuracy", _caption("accuracy", worlds), columns, rows, _words("arm", "over"))


def contrasts_table(worlds: Sequence[World]) -> Table:
    """One row per contrast that the configuration states, in its order: the test and its decision."""
    experiment, found = worlds[0].results.experiment, pooling.contrasts(worlds)
    columns = {
        "domain": "Domain", "place": "Order", "arm": "Arm", "against": "Against", "over": "Over",
        **_world_columns(worlds), **_difference_columns(), "decision": "No difference", **SPREAD,
        **_limit_columns(experiment.margin),
    }  # fmt: skip
    rows = []
    for place, (contrast, own, decision) in enumerate(
        zip(experiment.contrasts, found, decisions(own.over for own in found), strict=True), start=1
    ):
        row = {
            "domain": text_cell(contrast.domain or experiment.domain_names[0]),
            "place": count_cell(place),
            "arm": text_cell(contrast.arm),
            "against": text_cell(contrast.over),
            "over": text_cell(mean_heading(contrast.scope)),
            "decision": text_cell(decision),
        }
        rows.append(row | _pooled_cells(own, experiment.margin))
    words = _words("arm", "against", "over", "decision")
    return Table("pooled_contrasts", _caption("contrasts", worlds), columns, rows, words)


def comparisons_table(worlds: Sequence[World]) -> Table:
    """One row per (domain, arm, scope): the difference from the reference arm."""
    margin = worlds[0].results.experiment.margin
    columns = {
        "domain": "Domain", "arm": "Arm", "over": "Over", **_world_columns(worlds), **_difference_columns(),
        "p_holm": "p, Holm", **SPREAD, **_limit_columns(margin),
    }  # fmt: skip
    rows = []
    for (domain, arm, scope), own in pooling.comparisons(worlds).items():
        row = {"domain": text_cell(domain), "arm": text_cell(arm), "over": text_cell(mean_heading(scope))}
        rows.append(row | _pooled_cells(own, margin) | {"p_holm": corrected_cell(own.over)})
    return Table("pooled_comparisons", _caption("comparisons", worlds), columns, rows, _words("arm", "over"))


def grpo_table(worlds: Sequence[World]) -> Table:
    """One row per (domain, initialisation, scope): the change by GRPO; where there are several
    initialisations, rows of their average."""
    columns = {
        "domain": "Domain", "initialisation": "Initialisation", "over": "Over", **_world_columns(worlds),
        **_difference_columns(), "p_holm": "p, Holm", **SPREAD, **_limit_columns(None),
    }  # fmt: skip
    found = pooling.grpo_changes(worlds)
    if len(worlds[0].results.initialisations) > 1:
        averaged = pooling.grpo_pooled_changes(worlds)
        found |= {(domain, POOLED, scope): own for (domain, scope), own in averaged.items()}
    rows = []
    for (domain, name, scope), own in found.items():
        row = {"domain": text_cell(domain), "initialisation": text_cell(name)}
        row |= {"over": text_cell(mean_heading(scope)), "p_holm": corrected_cell(own.over)}
        rows.append(row | _pooled_cells(own, None))
    words = _words("initialisation", "over")
    return Table("pooled_grpo", _caption("grpo", worlds), columns, rows, words)


def gates_table(worlds: Sequence[World]) -> Table | None:
    """The gates of all worlds, the first of each beside each other, then the second, and so on.

    None where a study has no such table.
    """
    found = [table for world in worlds for table in read_tables(world.results) if table.name == GATES]
    if len(found) < len(worlds):
        return None
    columns = {"world": "World", **{key: text for own in found for key, text in own.columns.items()}}
    rows = [
        {key: {"world": text_cell(world.label), **table.rows[place]}.get(key, NO_CELL) for key in columns}
        for place in range(max(len(table.rows) for table in found))
        for world, table in zip(worlds, found, strict=True)
        if place < len(table.rows)
    ]
    title = f"{found[0].caption.title}, in several worlds"
    words = frozenset({"world"}).union(*(table.text for table in found))
    return Table(f"pooled_{GATES}", replace(found[0].caption, title=title), columns, rows, words)


NO_CELL = Cell(NONE, {"": None})


# --- cells ----------------------------------------------------------------------------------------

SPREAD = {"between": "Between", "within": "Within"}


def _words(*keys: str) -> frozenset[str]:
    return frozenset({"domain", *keys})


def _world_columns(worlds: Sequence[World]) -> dict[str, str]:
    return {f"world_{place}": world.label for place, world in enumerate(worlds, start=1)}


def _world_cells(own: Pooled, signed: bool = True) -> dict[str, Cell]:
    return {
        f"world_{place}": change_cell(world, WORLD_DIGITS, signed=signed)
        for place, world in enumerate(own.worlds, start=1)
    }


def _difference_columns() -> dict[str, str]:
    return {key: heading for key, heading in DIFFERENCE.items() if key != "questions"}


def _pooled_cells(own: Pooled, margin: float | None) -> dict[str, Cell]:
    """Worlds, their mean with its test, their spread, and what the test could show."""
    tested = difference_cells(own.over)
    del tested["questions"]
    limits = {_of_worlds(key): cell for key, cell in limit_cells(own.over, margin).items()}
    return _world_cells(own) | tested | _spread_cells(own) | limits


def _spread_cells(own: Pooled) -> dict[str, Cell]:
    """Standard deviations between and within worlds (CSV: the variance between as estimated, too)."""
    within = own.within
    cells = {"within": value_cell(None if within is None else within**0.5, DIGITS)}
    if own.between is None:
        return cells | {"between": Cell(NONE, {"": None, "_variance": None})}
    sd = max(0.0, own.between) ** 0.5
    shown = number(sd, DIGITS) + NEGATIVE * (own.between < 0)
    return cells | {"between": Cell(shown, {"": sd, "_variance": own.between})}


def _limit_columns(margin: float | None) -> dict[str, str]:
    """What the table of one study says of seeds, said of worlds."""
    return {
        _of_worlds(key): heading.replace("Seeds", "Worlds") for key, heading in limit_columns(margin).items()
    }


def _of_worlds(key: str) -> str:
    return key.replace("seeds", "worlds")


# --- captions -------------------------------------------------------------------------------------


def _caption(name: str, worlds: Sequence[World]) -> Caption:
    texts, facts = _captions(), _facts(worlds, "grpo" if name == "grpo" else "sft")
    parts = {key: text.format(**facts) for key, text in texts["parts"].items()}
    experiment = worlds[0].results.experiment
    parts["equivalence"] *= experiment.margin is not None
    parts["stated"] *= bool(experiment.contrasts)
    caption = texts["tables"][name].items()
    return Caption(**{key: " ".join(text.format(**facts, **parts).split()) for key, text in caption})


@cache
def _captions() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        Path(__file__).with_name("pooled_captions.yaml").read_text(encoding="utf-8")
    )
    return found


def _facts(worlds: Sequence[World], kind: Kind) -> dict[str, str]:
    experiment = worlds[0].results.experiment
    seeds = {len(world.results.seeds(kind)) for world in worlds}
    parts = dict.fromkeys(key.split(".", maxsplit=1)[0] for key in drawn_seeds(experiment))
    return {
        "worlds": f"{len(worlds)} worlds ({', '.join(world.label for world in worlds)})",
        "freedom": str(len(worlds) - 1),
        "drawn": _in_words([DRAWN[part] for part in parts]),
        "seeds": _seeds(seeds),
        "over": " over questions alone (one seed)" if seeds == {1} else " over seeds and questions",
        "reference": str(experiment.reference_arm),
        "power": f"{100 * POWER:g} %",
        "margin": f"{experiment.margin or 0:g}",
    }


DRAWN = {
    "student": "the base model",
    "teacher": "the teacher",
    "domains": "the problems",
    "sampling": "the trajectories",
    "suites": "the questions of the suites",
}
"""First part of the key of a seed -> what it draws."""


def _in_words(things: Sequence[str]) -> str:
    *before, last = things
    return f"{', '.join(before)} and {last}" if before else last


def _seeds(counts: Collection[int]) -> str:
    low, high = min(counts), max(counts)
    if low == high == 1:
        return "1 seed"
    return f"{high} seeds" if low == high else f"{low} to {high} seeds"
