"""What a change of the verifier changes on real trajectories: verdicts before and after, in groups."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from timing import table

from glow.config import Verification
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.verifier.equality import Gold
from glow.verifier.verify import Verifier

Row = dict[str, Any]


def judged(data: Path, workers: int) -> Iterator[Row]:
    """The verdict on every row of every trajectory file, with its place and its label."""
    with Verifier(Verification(extraction="lenient"), workers) as verifier:
        for file in sorted(data.glob("traj_*/*.jsonl.gz")):
            rows = list(read_jsonl(file))
            items = [(row["response"], gold(row), None) for row in rows]
            for number, (row, found) in enumerate(zip(rows, verifier.judge(items), strict=True)):
                yield {
                    "file": str(file.relative_to(data)),
                    "row": number,
                    "answer": str(row["answer"]),
                    "extracted": found.extracted,
                    "verdict": found.verdict,
                    "reason": found.reason,
                    "correct": row.get("correct"),
                }


def gold(row: Row) -> Gold:
    choices = row.get("choices") or row.get("options") or ()
    return Gold(str(row["answer"]), "choice" if choices else None, tuple(map(str, choices)))


def changes(data: Path, before: Path, examples: int, workers: int) -> None:
    """Print every kind of change since `before`, which is written if it does not exist."""
    if not before.exists():
        print(f"written: {before}, {write_jsonl(before, judged(data, workers)):,} verdicts")
        return
    old = {(row["file"], row["row"]): row for row in read_jsonl(before)}
    labelled = was_right = is_right = 0
    changed: defaultdict[tuple[str, str, str], list[tuple[Row, Row]]] = defaultdict(list)
    for now in judged(data, workers):
        then = old[now["file"], now["row"]]
        if now["correct"] is not None:
            labelled += 1
            was_right += agrees(then, now["correct"])
            is_right += agrees(now, now["correct"])
        if then["verdict"] != now["verdict"]:
            changed[then["verdict"], now["verdict"], now["reason"]].append((then, now))
    report(changed, examples)
    print(f"\nAgreement with the {labelled:,} labels: {was_right:,} rows before, {is_right:,} after")


def agrees(row: Row, label: bool) -> bool:
    return (row["verdict"] == "correct") == label


def report(changed: dict[tuple[str, str, str], list[tuple[Row, Row]]], examples: int) -> None:
    ordered = sorted(changed.items(), key=lambda group: -len(group[1]))
    lines = []
    for kind, pairs in ordered:
        labels = Counter(now["correct"] for _, now in pairs)
        toward, away = labels[kind[1] == "correct"], labels[kind[1] != "correct"]
        if (kind[0] == "correct") == (kind[1] == "correct"):
            toward = away = 0
        lines.append([" → ".join(kind[:2]), kind[2], str(len(pairs)), str(toward), str(away)])
    print(table(["verdict", "reason now", "rows", "now as labelled", "no longer"], lines))
    draw = random.Random(0)
    for kind, pairs in ordered:
        print(f"\n{' → '.join(kind[:2])}, {kind[2]}:")
        for then, now in draw.sample(pairs, min(examples, len(pairs))):
            print(
                f"  {now['file']}:{now['row']} gold {now['answer']!r} found {then['extracted']!r} "
                f"→ {now['extracted']!r}, labelled {now['correct']}"
            )
