"""Which trajectories each arm trains on, drawn from verdicts: what every study has, and further selections.

positive, negative, mixed and all are made together. But `all` may differ from `positive` in three ways: more
positives, on more questions, and negatives. The further selections take these apart, and each is a file
of its own, made where an arm asks for it: positive_all and negative_all are without the thinning out, and the
paired ones hold the same questions, each as often.

Trajectories are drawn and ordered by a hash of (seed, trajectory id) alone, so the result does not depend on
the order of the input, and leaving one out does not reorder the others. Before, some questions may be set
aside, with all their trajectories: no selection has any of them, whatever its seed. How an arm weights its
samples is not decided here (`glow.training.weighting`).
"""

from collections import Counter, defaultdict
from pathlib import Path

from glow.config import PAIRED, ArmSettings, FurtherSelection, HeldOut, Selection, SelectSettings
from glow.errors import UserError
from glow.files.hashing import keyed_order
from glow.files.jsonl import refuse_duplicates, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Judged, read_records

POSITIVE, NEGATIVE = "correct", "wrong"
"""The verdicts that make a positive and a negative; no other verdict enters an arm."""


def write_arms(verdicts: Path, output: Path, settings: ArmSettings) -> None:
    """Write {positive,negative,mixed,all}.jsonl into the directory `output`, and held_out.jsonl if asked.

    positive, negative and mixed (half and half) have the same even size: `settings.selection.size`, or the
    largest that all three can fill. all has every correct and every wrong trajectory. Those of questions that
    are set aside (`HeldOut`) are in held_out.jsonl and nowhere else.

    Raises:
        UserError: there are too few positives or negatives, two trajectories share an id, or too few
            questions, or one without a problem_id, where some are to be set aside.
    """
    manifest = Manifest("arms")
    selection, seed = settings.selection, settings.seed
    judged, held_out = _set_aside(verdicts, selection)
    rows = [row for row in judged if row["verdict"] in (POSITIVE, NEGATIVE)]
    positives = _seeded_order([row for row in rows if row["verdict"] == POSITIVE], seed, "draw")
    negatives = _seeded_order([row for row in rows if row["verdict"] == NEGATIVE], seed, "draw")
    try:
        size = _common_size(len(positives), len(negatives), selection)
    except ValueError as error:
        raise UserError(f"{verdicts}: {error}{_beside(held_out)}{_undecided(judged)}") from None
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
    if held_out:
        write_jsonl(output / HELD_OUT, held_out)
    facts = {"found": {"positive": len(positives), "negative": len(negatives)}, "written": counts}
    manifest.write(output, settings.model_dump(mode="json"), [verdicts], facts | _held_out_facts(held_out))
    sizes = ", ".join(f"{count} {name}" for name, count in counts.items())
    said = f"from {len(positives)} correct, {len(negatives)} wrong{_beside(held_out)}"
    print(f"{output}: {sizes} ({said})")


_HOLDS: dict[FurtherSelection, tuple[str, ...]] = {
    "positive_all": (POSITIVE,),
    "negative_all": (NEGATIVE,),
    "positive_paired": (POSITIVE,),
    "negative_paired": (NEGATIVE,),
    "all_paired": (POSITIVE, NEGATIVE),
}
"""The verdicts in each further selection."""

_FEWEST = 2
"""Fewer trajectories of a kind, or pairs, are refused."""


def write_selection(verdicts: Path, output: Path, settings: SelectSettings) -> None:
    """Write one further selection to the file `output`.

    positive_all and negative_all have every trajectory of their kind. The paired ones have the questions with
    positives and negatives, and of each question k of a kind, k being the number of the rarer kind:
    positive_paired k positives, negative_paired k negatives, and all_paired both. So all_paired adds to
    positive_paired negatives and nothing else, no positive and no question: whether negatives add anything
    is asked by these two.

    A question is what has one problem_id. In users' own rows it is the text of the question, whatever gold
    answers stand beside it. Questions that are set aside (`HeldOut`) are left out, as by `write_arms`.

    Raises:
        UserError: there are fewer than two trajectories of the kind, or fewer than two pairs; two
            trajectories share an id; pairs are asked for, or questions set aside, and a row has no
            problem_id; or there are too few questions to set aside.
    """
    manifest = Manifest("select")
    name, seed = settings.trajectories, settings.seed
    judged, held_out = _set_aside(verdicts, settings, *(["problem_id"] if name in PAIRED else []))
    found: Counter[str] = Counter(row["verdict"] for row in judged)
    facts: dict[str, object] = {"found": {"positive": found[POSITIVE], "negative": found[NEGATIVE]}}
    facts |= _held_out_facts(held_out)
    rows, said = judged, f"{found[POSITIVE]} correct, {found[NEGATIVE]} wrong{_beside(held_out)}"
    if name in PAIRED:
        rows = _pairs(judged, seed)
        both, asked = (len({row["problem_id"] for row in some}) for some in (rows, judged))
        facts["questions"] = {"found": asked, "with_both": both}
        said += f"; {both} of {asked} questions have both"
        if len(rows) < 2 * _FEWEST:
            raise UserError(f"{verdicts}: {_too_few_pairs(name, both, asked)}")
    chosen = [row for row in rows if row["verdict"] in _HOLDS[name]]
    if len(chosen) < _FEWEST:
        needs = f"found {said}, but {name} needs at least {_FEWEST} of its kind"
        raise UserError(f"{verdicts}: {needs}; {_MORE}{_undecided(judged)}")
    facts["written"] = write_jsonl(output, _seeded_order(chosen, seed, "order"))
    manifest.write(output, settings.model_dump(mode="json"), [verdicts], facts)
    print(f"{output}: {facts['written']} {name} (from {said})")


HELD_OUT = "held_out.jsonl"
"""The file of the trajectories of questions that are set aside, beside the selections."""


def _set_aside(verdicts: Path, settings: HeldOut, *keys: str) -> tuple[list[Judged], list[Judged]]:
    """The judged rows that arms may train on, and the right and wrong ones of questions that are set aside.

    The questions are drawn among those with a right or a wrong trajectory, as arms train on no others, by a
    hash of the seed and each one's problem_id. The rows are in the order of that draw, question by question,
    so that the first questions of the file are a random sample of them.

    Raises:
        UserError: no question would be left, or a row lacks a key that is needed.
    """
    count, seed = settings.held_out, settings.held_out_seed
    judged = _read(verdicts, *dict.fromkeys([*keys, *(["problem_id"] if count else [])]))
    if not count:
        return judged, []
    decided = [row for row in judged if row["verdict"] in (POSITIVE, NEGATIVE)]
    questions = {row["problem_id"] for row in decided}
    if count >= len(questions):
        raise UserError(
            f"{verdicts}: {len(questions)} questions have a right or a wrong trajectory, and "
            f"selection.held_out {count} would leave none to train on: lower it; or {_MORE}"
            f"{_undecided(judged)}"
        )
    drawn = keyed_order(questions, str, "held out", seed)[:count]
    own: dict[str, list[Judged]] = {question: [] for question in drawn}
    for row in _seeded_order(decided, seed, "order"):
        if row["problem_id"] in own:
            own[row["problem_id"]].append(row)
    kept = [row for row in judged if row["problem_id"] not in own]
    return kept, [row for rows in own.values() for row in rows]


def _beside(held_out: list[Judged]) -> str:
    """What was set aside, in words; empty for nothing."""
    questions = len({row["problem_id"] for row in held_out})
    return f"; held out: {len(held_out)} trajectories of {questions} questions" if held_out else ""


def _held_out_facts(held_out: list[Judged]) -> dict[str, object]:
    """The same for the manifest."""
    found: Counter[str] = Counter(row["verdict"] for row in held_out)
    kinds = {"positive": found[POSITIVE], "negative": found[NEGATIVE]}
    return {"held_out": {"questions": len({row["problem_id"] for row in held_out}), **kinds}} if found else {}


def _pairs(judged: list[Judged], seed: int) -> list[Judged]:
    """Of each question as many positives as negatives: all of the rarer kind, and as many of the other."""
    questions: defaultdict[str, dict[str, list[Judged]]] = defaultdict(lambda: {POSITIVE: [], NEGATIVE: []})
    for row in judged:
        if row["verdict"] in (POSITIVE, NEGATIVE):
            questions[row["problem_id"]][row["verdict"]].append(row)
    return [
        row
        for kinds in questions.values()
        for kind in kinds.values()
        for row in _seeded_order(kind, seed, "draw")[: min(map(len, kinds.values()))]
    ]


def _too_few_pairs(name: FurtherSelection, both: int, asked: int) -> str:
    return (
        f"{both} of {asked} questions have both correct and wrong trajectories, but {name} needs at least "
        f"{_FEWEST} pairs of them; sample more responses to each problem (sampling.samples), import more "
        "rows of the same questions, or train no arm on a paired selection"
    )


def _read(verdicts: Path, *further: str) -> list[Judged]:
    """The judged rows, of which the keys that are used are checked: verdict, trajectory_id and `further`."""
    rows = [row for _, row in read_records(verdicts, Judged, ("verdict", "trajectory_id", *further))]
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
            raise ValueError(f"{found}, but each arm needs at least 2 of its kind; {_MORE}")
        return size
    size = selection.size // 2 * 2
    if size > min(positives, negatives) or size == 0:
        raise ValueError(
            f"{found}, but selection.size {selection.size} needs {max(2, size)} of each; "
            "sample or import more, or set selection.size to auto"
        )
    return size


_MORE = "sample or import more, or look at the verdicts and their reasons"

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
