"""Which trajectories each arm trains on: positive, negative, mixed and all, drawn from verdicts.

Trajectories are drawn and ordered by a hash of (seed, trajectory id) alone, so the result does not depend on
the order of the input, and leaving one out does not reorder the others. How an arm weights its samples is not
decided here (`glow.training.weighting`).
"""

from collections import Counter
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
    judged = _read(verdicts)
    rows = [row for row in judged if row["verdict"] in (POSITIVE, NEGATIVE)]
    positives = _seeded_order([row for row in rows if row["verdict"] == POSITIVE], seed, "draw")
    negatives = _seeded_order([row for row in rows if row["verdict"] == NEGATIVE], seed, "draw")
    try:
        size = _common_size(len(positives), len(negatives), selection)
    except ValueError as error:
        raise UserError(f"{verdicts}: {error}{_undecided(judged)}") from None
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


def _read(verdicts: Path) -> list[Judged]:
    rows = [row for _, row in read_records(verdicts, Judged, ("verdict", "trajectory_id"))]
    refuse_duplicates(rows, "trajectory_id", verdicts)
    return rows


def _seeded_order(rows: list[Judged], seed: int, purpose: str) -> list[Judged]:
    """`rows` in an order that depends on the seed, the purpose and each row's id."""
    return keyed_order(rows, lambda row: row["trajectory_id"], purpose, seed)


def _common_size(positives: int, negatives: int, selection: Selection) -> int:
    """The size of positive, negative and mixed; even, so that mixed has two equal halves.

    Raises:
        ValueError: there are too few of one kind.
    """
    found = f"found {positives} correct and {negatives} wrong trajectories"
    if selection.size == "auto":
        size = min(positives, negatives) // 2 * 2
        if size == 0:
            raise ValueError(
                f"{found}, but each arm needs at least 2 of its kind; sample or import more, "
                "or look at the verdicts and their reasons"
            )
        return size
    size = selection.size // 2 * 2
    if size > min(positives, negatives) or size == 0:
        raise ValueError(
            f"{found}, but selection.size {selection.size} needs {max(2, size)} of each; "
            "sample or import more, or set selection.size to auto"
        )
    return size


_ENDINGS, _ENDING = 3, 80
"""How many endings of unparsed responses a message shows, and their characters."""


def _undecided(rows: list[Judged]) -> str:
    """Lines that say which shares of rows have other verdicts, and how responses without an answer end."""
    others = Counter(row["verdict"] for row in rows if row["verdict"] not in (POSITIVE, NEGATIVE))
    if not others:
        return ""
    shares = ", ".join(f"{count / len(rows):.1%} {verdict}" for verdict, count in others.most_common())
    endings = [row.get("response", "")[-_ENDING:] for row in rows if row["verdict"] == "unparsed"][:_ENDINGS]
    if not endings:
        return f"\n  of {len(rows)} trajectories are {shares}"
    return (
        f"\n  of {len(rows)} trajectories are {shares}; unparsed ones end in\n    "
        + "\n    ".join(map(repr, endings))
        + "\n  try another `extraction` (lenient, last_number, or pattern with extraction_pattern), or name "
        "the key that holds the answer as trajectories.fields.stated"
    )
