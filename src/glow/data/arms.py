"""Which trajectories each arm trains on: positive, negative, mixed and all, drawn from verdicts.

Trajectories are drawn and ordered by a hash of (seed, trajectory id) alone, so the result does not depend on
the order of the input, and leaving one out does not reorder the others. How an arm weights its samples is not
decided here (`glow.training.weighting`).
"""

from pathlib import Path

from glow.config import ArmSettings, Selection
from glow.errors import UserError
from glow.files.hashing import keyed_order
from glow.files.jsonl import refuse_duplicates, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Judged, read_records

POSITIVE, NEGATIVE = "correct", "wrong"
"""The verdicts that make a positive and a negative; no other verdict enters an arm."""


def write_arms(verdicts: Path, output: Path, settings: ArmSettings) -> None:
    """Write {positive,negative,mixed,all}.jsonl into the directory `output`.

    positive, negative and mixed (half and half) have the same even size: `settings.selection.size`, or the
    largest that all three can fill. all has every correct and every wrong trajectory.

    Raises:
        UserError: there are too few positives or negatives, or two trajectories share an id.
    """
    manifest = Manifest("arms")
    selection, seed = settings.selection, settings.seed
    rows = _positives_and_negatives(verdicts)
    positives = _seeded_order([row for row in rows if row["verdict"] == POSITIVE], seed, "draw")
    negatives = _seeded_order([row for row in rows if row["verdict"] == NEGATIVE], seed, "draw")
    size = _common_size(len(positives), len(negatives), selection, verdicts)
    arms = {
        "positive": positives[:size],
        "negative": negatives[:size],
        "mixed": [*positives[: size // 2], *negatives[: size // 2]],
        "all": rows,
    }
    counts = {
        name: write_jsonl(output / f"{name}.jsonl", _seeded_order(arm, seed, "order"))
        for name, arm in arms.items()
    }
    manifest.write(
        output,
        settings.model_dump(mode="json"),
        [verdicts],
        {"found": {"positive": len(positives), "negative": len(negatives)}, "written": counts},
    )
    sizes = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{output}: {sizes} (from {len(positives)} correct, {len(negatives)} wrong)")


def _positives_and_negatives(verdicts: Path) -> list[Judged]:
    """The correct and the wrong trajectories."""
    rows = [row for _, row in read_records(verdicts, Judged, ("verdict", "trajectory_id"))]
    refuse_duplicates(rows, "trajectory_id", verdicts)
    return [row for row in rows if row["verdict"] in (POSITIVE, NEGATIVE)]


def _seeded_order(rows: list[Judged], seed: int, purpose: str) -> list[Judged]:
    """`rows` in an order that depends on the seed, the purpose and each row's id."""
    return keyed_order(rows, lambda row: row["trajectory_id"], purpose, seed)


def _common_size(positives: int, negatives: int, selection: Selection, verdicts: Path) -> int:
    """The size of positive, negative and mixed; even, so that mixed has two equal halves."""
    found = f"{verdicts}: found {positives} correct and {negatives} wrong trajectories"
    if selection.size == "auto":
        size = min(positives, negatives) // 2 * 2
        if size == 0:
            raise UserError(
                f"{found}, but each arm needs at least 2 of its kind; sample or import more, "
                "or look at the verdicts and their reasons"
            )
        return size
    size = selection.size // 2 * 2
    if size > min(positives, negatives) or size == 0:
        raise UserError(
            f"{found}, but selection.size {selection.size} needs {max(2, size)} of each; "
            "sample or import more, or set selection.size to auto"
        )
    return size
