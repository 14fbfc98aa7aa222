"""`glow inspect`: what a file of trajectories is, how to map it, and what looks wrong, before anything runs.

Of a large file the first rows are looked at, and no number here is more than an estimate from these.
"""

import statistics
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from glow.config import ImportSettings, InspectSettings, Prompt, Verification, files_of, message
from glow.data.guess import Guess, guess
from glow.data.noted import Noted
from glow.data.oddities import Oddities
from glow.data.own_data import Source, read_trajectories
from glow.data.problem_rows import gold_of
from glow.data.row_paths import is_conversation
from glow.errors import UserError, abbreviated
from glow.files.records import VERDICTS, Trajectory
from glow.files.row_formats import begins_an_array, is_csv
from glow.files.unpacked import kind_of, unpacked
from glow.files.user_rows import Row, read_rows
from glow.models.prompts import prompt_messages
from glow.verifier.verify import Item, Judgement, Verifier

_KEYS_SHOWN = 40
_SHOWN_ROWS = 3
_SHOWN_CHARACTERS = 700
_PROSE_WORDS = 12
"""A gold answer of more words than these is a sentence, which hardly any response equals."""
_MUCH = 0.2
"""Share of the rows from which on something that is no mistake by itself is said."""


def inspect(files: list[Path], settings: InspectSettings) -> None:
    """Print what files of trajectories hold.

    Without a mapping (a preset or fields) in `settings`, one is guessed from the rows, and shown as YAML.

    Raises:
        UserError: a file cannot be read, there are no rows, or a mapping that was given does not fit them.
    """
    try:
        found = files_of(files)
    except ValueError as error:
        raise UserError(str(error)) from None
    read_of = {path: list(islice(read_rows(path), settings.rows + 1)) for path in found}
    first = {path: of_file[: settings.rows] for path, of_file in read_of.items()}
    rows = [row for of_file in first.values() for row in of_file]
    if not rows:
        raise UserError(f"{', '.join(map(str, files))}: no rows")
    for path, of_file in first.items():
        print(_what_it_is(path, of_file, len(read_of[path]) > len(of_file)))
    print(*_keys(rows), sep="\n")
    if (inside := _rows_inside(rows)) is not None:
        print(f"\nIts one row has a list of objects under {inside!r}. If these are rows, write them alone:")
        print(f"  jq -c '.{inside}[]' {found[0]} > rows.jsonl")
    mapping, is_guess = _mapping(rows, settings)
    if is_guess:
        print("\nA guess at the mapping, to paste into a copy of config/own_data.yaml:\n")
        print(_pasted(files, mapping.settings), end="")
        print(*(f"\nNot sure: {doubt}" for doubt in mapping.doubts), sep="")
    read = _settings(mapping.settings)
    noted = Noted()
    sources = [Source(str(path), partial(iter, of_file), path.name) for path, of_file in first.items()]
    try:
        placed = list(read_trajectories(sources, read, noted))
    except UserError as error:
        if not is_guess:
            raise
        print(f"\nThe guess does not fit: {error}\nCorrect it, and look again with --fields.")
        return
    _show(placed, noted, settings)


def _show(placed: list[tuple[str, Trajectory]], noted: Noted, settings: InspectSettings) -> None:
    """What the mapped rows are: samples, verdicts, lengths, oddities."""
    trajectories = [row for _, row in placed]
    for place, row in _of_three_questions(placed):
        print(f"\n--- {place}, as it would be trained (gold answer: {row['answer'] or 'none'})")
        print(*_as_trained(row), sep="\n")
    judged = _judged(trajectories, settings.verification)
    print(f"\nVerdicts on {len(judged)} responses: {_counts(judged)}")
    for line in [*_beside_labels(trajectories, judged), _lengths(trajectories)]:
        print(line)
    oddities = Oddities([], noted)
    for place, row in placed:
        oddities.add(place, row)
    wrong = [*oddities.lines(), *_looks_wrong(trajectories, judged)]
    print("What looks odd:" if wrong else "Nothing looks odd.", *wrong, sep="\n  ")


# --- the file -------------------------------------------------------------------------------------


def _what_it_is(path: Path, rows: list[Row], is_more: bool) -> str:
    count = f"{len(rows)} rows"
    if is_more:
        count = f"more than {count}, the first {len(rows)} of them looked at"
    return f"{path}: {_kind(path)}, {path.stat().st_size / 1e6:,.1f} MB, {count}"


def _kind(path: Path) -> str:
    """The format of a file, in words."""
    if (kind := kind_of(path)) == "Parquet":
        return kind
    with path.open("rb") as raw:
        is_array = begins_an_array(unpacked(raw, path).read(64))
    name = "CSV" if is_csv(path) else "JSON array" if is_array else "JSON Lines"
    return f"{name}, packed by {kind}" if kind else name


def _keys(rows: list[Row]) -> Iterator[str]:
    """A line for each key: how many rows have it, of which types, and the first value."""
    yield f"\nKeys of the {len(rows)} rows:"
    names = list(dict.fromkeys(key for row in rows for key in row.record))
    for name in names[:_KEYS_SHOWN]:
        values = [row.record[name] for row in rows if name in row.record]
        kinds = Counter(_type(value) for value in values)
        share = "" if len(values) == len(rows) else f" in {len(values)} rows"
        example = abbreviated(values[0], 60)
        yield f"  {name}: {', '.join(kinds)}{share}; {example}"
    if len(names) > _KEYS_SHOWN:
        yield f"  and {len(names) - _KEYS_SHOWN} more"


def _rows_inside(rows: list[Row]) -> str | None:
    """The key of a single row that has the rows proper, as some tools write files."""
    if len(rows) != 1:
        return None
    found = [
        key
        for key, value in rows[0].record.items()
        if isinstance(value, list) and len(value) > 1 and all(isinstance(item, dict) for item in value)
    ]
    return found[0] if len(found) == 1 and not is_conversation(rows[0].record[found[0]]) else None


def _type(value: Any) -> str:
    if isinstance(value, list):
        inside = sorted({_type(item) for item in value})
        return f"list of {'/'.join(inside) or 'nothing'}"
    names = {
        str: "text",
        bool: "true/false",
        int: "number",
        float: "number",
        dict: "object",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)


# --- the mapping ----------------------------------------------------------------------------------


def _mapping(rows: list[Row], settings: InspectSettings) -> tuple[Guess, bool]:
    """The mapping that was given, or else a guess; and whether it is one."""
    given: dict[str, Any] = {"preset": settings.preset} if settings.preset is not None else {}
    if settings.fields is not None:
        given["fields"] = {key: getattr(settings.fields, key) for key in settings.fields.model_fields_set}
    if given:
        return Guess(given, []), False
    return guess([row.record for row in rows]), True


def _settings(mapping: dict[str, Any]) -> ImportSettings:
    try:
        return ImportSettings.model_validate(mapping)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, one['loc']))}: {message(one)}".removeprefix(": ") for one in error.errors()
        ]
        raise UserError("\n".join(lines)) from None


def _pasted(files: list[Path], mapping: dict[str, Any]) -> str:
    """The mapping as YAML."""
    document = {"trajectories": {"files": [str(path) for path in files], **mapping}}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


# --- the rows -------------------------------------------------------------------------------------


def _of_three_questions(placed: list[tuple[str, Trajectory]]) -> list[tuple[str, Trajectory]]:
    """The first response to each of the first questions."""
    first: dict[str, tuple[str, Trajectory]] = {}
    for place, row in placed:
        first.setdefault(row["problem_id"], (place, row))
    return list(first.values())[:_SHOWN_ROWS]


def _as_trained(row: Trajectory) -> Iterator[str]:
    for turn in prompt_messages(row["question"], Prompt()):
        yield f"{turn['role']}: {_shortened(turn['content'])}"
    yield f"assistant: {_shortened(row['response'])}"


def _shortened(text: str) -> str:
    """The beginning and the end of a text: a slip is often in the end."""
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    half = _SHOWN_CHARACTERS // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"


def _judged(rows: list[Trajectory], settings: Verification) -> list[Judgement]:
    with Verifier(settings) as verifier:
        return list(
            verifier.judge(
                Item(
                    row["response"],
                    gold_of(row),
                    row["finish_reason"],
                    row.get("thought_open", False),
                    row.get("stated"),
                )
                for row in rows
            )
        )


def _counts(judged: list[Judgement]) -> str:
    counts = Counter(judgement.verdict for judgement in judged)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])


def _beside_labels(rows: list[Trajectory], judged: list[Judgement]) -> list[str]:
    """How verdicts and labels agree, with the first rows where they do not."""
    pairs = [
        (row, judgement)
        for row, judgement in zip(rows, judged, strict=True)
        if row.get("label") is not None and judgement.verdict in ("correct", "wrong")
    ]
    if not pairs:
        return []
    other = [pair for pair in pairs if (pair[1].verdict == "correct") != pair[0]["label"]]
    lines = [f"  the label agrees with {len(pairs) - len(other)} of {len(pairs)} right and wrong verdicts"]
    for row, judgement in other[:_SHOWN_ROWS]:
        lines.append(
            f"  label {str(row['label']).lower()}, verdict {judgement.verdict}: gold "
            f"{abbreviated(row['answer'], 40)}, found {abbreviated(judgement.extracted or 'nothing', 40)} "
            f"({judgement.reason})"
        )
    return lines


def _lengths(rows: list[Trajectory]) -> str:
    lengths = sorted(len(row["response"]) for row in rows)
    tenth, ninth = (lengths[int(share * (len(lengths) - 1))] for share in (0.1, 0.9))
    return (
        f"Lengths of responses in characters (3 to 4 are a token of English): median "
        f"{statistics.median(lengths):,.0f}, from {tenth:,} to {ninth:,} in 8 of 10, at most {lengths[-1]:,}"
    )


def _looks_wrong(rows: list[Trajectory], judged: list[Judgement]) -> Iterator[str]:
    """What is no mistake by itself and would spoil a study."""
    unparsed = [one for one in judged if one.verdict == "unparsed"]
    if len(unparsed) == len(judged):
        yield "no answer is found in any response: is the right key mapped? Or try --extraction lenient"
    elif len(unparsed) > _MUCH * len(judged):
        found_none = f"no answer is found in {len(unparsed)} of {len(judged)} responses"
        yield f"{found_none}; --extraction lenient looks further"
    unboxed = sum("boxed" not in row["response"] for row in rows)
    if unboxed > _MUCH * len(rows):
        yield f"responses without a box: {unboxed} of {len(rows)}; extraction strict finds no answer there"
    prose = [row["answer"] for row in rows if len(row["answer"].split()) > _PROSE_WORDS]
    if prose:
        shown = abbreviated(prose[0], 80)
        yield f"gold answers of more than {_PROSE_WORDS} words: {len(prose)}; the first: {shown}"
    without = sum(not row["answer"].strip() for row in rows)
    if without:
        yield f"rows without a gold answer: {without}; nothing can be right there"
    empty = sum(not row["response"].strip() for row in rows)
    if empty:
        yield f"empty responses: {empty}"
    verdicts = {one.verdict for one in judged}
    for needed, missing in (("correct", "positives"), ("wrong", "negatives")):
        if needed not in verdicts:
            yield f"no {missing} among these rows: a study needs both"
