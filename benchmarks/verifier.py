"""The verifier beside math-verify called directly and the released grader, and what a change of it changes.

    python benchmarks/verifier.py speed        # CPU seconds a pair, ours and math-verify's, in turns
    python benchmarks/verifier.py all          # every row of traj_math_tdg, two workers
    python benchmarks/verifier.py differences  # the table of docs/verdicts.md
    python benchmarks/verifier.py errors       # wrong verdicts on labelled cases (--misses lists them)
    python benchmarks/verifier.py changes --before out/verdicts.jsonl  # on all trajectories, since that file

Needs real data that are not part of the repository (`--data`); `errors` does without, on the cases that are.
Nothing here is a test: no figure is asserted.
"""

import argparse
import gzip
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cases
import psutil
import timing
import verifier_errors
from math_verify import parse, verify
from options import new_parser
from verifier_changes import changes

from glow.config import Verification
from glow.verifier import answers
from glow.verifier.equality import decide
from glow.verifier.equality.quantities import is_literal
from glow.verifier.grammar import read
from glow.verifier.grammar.characters import spell
from glow.verifier.grammar.tree import Quantity
from glow.verifier.verify import Item, Verifier

TEXT = ("same text", "same number", "different numbers")
"""Reasons of what is decided before it is read."""
Pair = tuple[str, str]


def rows(data: Path, *names: str) -> Iterator[dict[str, Any]]:
    for name in names:
        with gzip.open(data / name, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


TRAJECTORIES = ("traj_math_tdg/gpt35.jsonl.gz", "traj_math_tdg/gpt4.jsonl.gz")


# --- speed ----------------------------------------------------------------------------------------


def groups(data: Path) -> dict[str, list[Pair]]:
    """The distinct (stated, gold) pairs of the set, by how they are decided."""
    found: dict[str, set[Pair]] = {name: set() for name in ("plain", "rest", "parsed")}
    for row in rows(data, *TRAJECTORIES):
        stated = answers.extract(row["response"], Verification(extraction="lenient")).answer
        if stated is None or not row["answer"].strip():
            continue
        decision = decide(stated, row["answer"])
        plain = decision is not None and (decision.reason in TEXT or are_numbers(stated, row["answer"]))
        name = "plain" if plain else "rest"
        found[name].add((stated, row["answer"]))
        if decision is None:
            found["parsed"].add((stated, row["answer"]))
    return {name: sorted(pairs) for name, pairs in found.items()}


def are_numbers(*texts: str) -> bool:
    """Whether each is read as a number in digits, with a unit or without."""
    first = [read(spell(text)).statements[:1] for text in texts]
    return all(found and isinstance(found[0], Quantity) and is_literal(found[0].value) for found in first)


def directly(pairs: list[Pair]) -> float:
    """CPU seconds of math-verify as its own page calls it, in this process."""
    started = time.process_time()
    for stated, gold in pairs:
        verify(parse(rf"\boxed{{{gold}}}"), parse(rf"\boxed{{{stated}}}"))
    return time.process_time() - started


def cpu_seconds() -> float:
    """Of this process and the workers that it has now."""
    times = [process.cpu_times() for process in (psutil.Process(), *psutil.Process().children())]
    return sum(spent.user + spent.system for spent in times)


def ours(verifier: Verifier, pairs: list[Pair]) -> float:
    """CPU seconds of the verifier: of this process and of its worker."""
    items: list[Item] = [(rf"\boxed{{{stated}}}", gold, None) for stated, gold in pairs]
    started, spent = cpu_seconds(), time.process_time()
    for _ in verifier.judge(items):
        pass
    # The kernel counts other processes in hundredths of a second; this one is measured finely.
    spent = time.process_time() - spent
    workers = cpu_seconds() - started - spent
    return spent + max(0.0, workers)


def speed(data: Path, rounds: int) -> None:
    """Alternate both over samples that neither has seen; one worker, so one core's work each."""
    logging.disable(logging.CRITICAL)
    sizes = {"plain": 300, "rest": 120, "parsed": 8}
    draw, pairs = random.Random(0), groups(data)
    for members in pairs.values():
        draw.shuffle(members)
    times: dict[str, dict[str, list[float]]] = {}
    with Verifier(Verification(timeout_s=10), workers=1) as verifier:
        warm = {name: members[: sizes[name]] for name, members in pairs.items()}
        for name in sizes:
            directly(warm[name])
            ours(verifier, warm[name])
        for name, size in sizes.items():
            times[name] = {"direct": [], "ours": []}
            for k in range(1, rounds + 1):
                sample = pairs[name][k * size : (k + 1) * size]
                times[name]["direct"].append(directly(sample))
                times[name]["ours"].append(ours(verifier, sample))
    report(times, sizes, {name: len(members) for name, members in pairs.items()})


MEANING = {
    "plain": "normalised equality or plain numbers",
    "rest": "all others",
    "parsed": "of those, what reaches math-verify",
}
TARGET = {"plain": "≥ 20", "rest": "≥ 1.5", "parsed": ""}


def report(times: dict[str, dict[str, list[float]]], sizes: dict[str, int], distinct: dict[str, int]) -> None:
    lines = []
    for name, both in times.items():
        per_pair = [1000 * sum(values) / len(values) / sizes[name] for values in both.values()]
        lines.append(
            [
                MEANING[name], str(distinct[name]), f"{per_pair[0]:.3f}", f"{per_pair[1]:.3f}",
                str(timing.ratio(both["direct"], both["ours"])), TARGET[name],
            ]
        )  # fmt: skip
    headings = ["pairs", "distinct", "math-verify, ms", "ours, ms", "ratio", "target"]
    timing.write(
        "verifier",
        "CPU milliseconds a pair: math-verify called directly, and the verifier with its worker",
        [timing.table(headings, lines)],
        {"times": times, "sizes": sizes, "distinct": distinct},
    )


# --- everything -----------------------------------------------------------------------------------


def everything(data: Path, workers: int) -> None:
    """Judge every trajectory, and time it by the clock."""
    items = [(row["response"], row["answer"], None) for row in rows(data, *TRAJECTORIES)]
    started = time.perf_counter()
    with Verifier(Verification(extraction="lenient"), workers=workers) as verifier:
        verdicts = Counter(judgement.verdict for judgement in verifier.judge(items))
    wall = time.perf_counter() - started
    timing.write(
        "verifier-all",
        f"{len(items):,} real trajectories, {workers} workers",
        [
            timing.table(
                ["rows", "wall, s", *verdicts],
                [[f"{len(items):,}", f"{wall:.1f}", *(f"{n:,}" for n in verdicts.values())]],
            )
        ],
        {"rows": len(items), "wall_s": wall, "verdicts": verdicts},
    )


# --- differences from the released grader ---------------------------------------------------------


def differences(data: Path) -> None:
    """How many real pairs fall under each kind of difference, with the ids of those under none."""
    pairs = list(rows(data, "verifier_pairs/verifier_pairs_dev.jsonl.gz"))
    counts: Counter[tuple[str, str, str]] = Counter()
    agree = 0
    with Verifier(Verification(), workers=2) as verifier:
        judgements = verifier.judge((pair["response"], pair["gold"], None) for pair in pairs)
        for pair, judgement in zip(pairs, judgements, strict=True):
            if (judgement.verdict == "correct") == pair["authors_correct"]:
                agree += 1
                continue
            released = "right" if pair["authors_correct"] else "wrong"
            counts[kind_of(pair, judgement.reason), released, judgement.verdict] += 1
    lines = [[*kind, str(n)] for kind, n in counts.most_common()]
    print(timing.table(["kind", "released grader", "ours", "pairs"], lines))
    print(f"\n{len(pairs)} pairs, {agree} judged alike, {len(pairs) - agree} not")


def kind_of(pair: dict[str, Any], reason: str) -> str:
    """The section of docs/verdicts.md under which a difference falls: by our reason and the gold's class."""
    kinds = {
        "several choice letters": "two choices stated",
        "choice letters": "choice letters",
        "different brackets": "interval brackets",
        "different halves of the day": "times",
        "different times": "times",
        "same time": "times",
        "months": "months and dates",
        "different dates": "months and dates",
        "same digits, base left out": "base left out",
        "same text": "typography",
        "same value": "typography",
        "same but for spelling": "typography",
        "different numbers": "size of numbers",
        "different numerals": "base of numerals",
        "different words": "words",
        "the gold answer is empty": "no gold",
    }
    if pair["data_name"] == "bbh_dyck":
        return "rows of brackets"
    return kinds.get(reason, f"{pair['answer_type']}: {reason}")


# --- error rates ----------------------------------------------------------------------------------


def errors(name: str, sets: dict[str, list[Path]], workers: int, misses: bool) -> None:
    """Both error rates on each set of cases, beside math-verify's in the same run; to results/<name>."""
    tables, measured, total = [], {}, 0
    for title, files in sets.items():
        if not files:
            continue
        judged = verifier_errors.judge(cases.read(files), workers)
        total += len(judged)
        tables += verifier_errors.tables(f"{title}: {len(judged)} cases", judged)
        tables += [verifier_errors.misses(judged)] if misses else []
        measured[title] = verifier_errors.figures(judged)
    title = f"Wrong verdicts on {total:,} labelled cases: the verifier, and math-verify called directly"
    timing.write(name, title, tables, measured)


def standing_cases(data: Path) -> dict[str, list[Path]]:
    """The sets of labelled cases, by what the rules had seen of them when they were written."""
    return {
        "Unseen while the rules were written (test.jsonl)": [cases.OURS / "test.jsonl"],
        "Seen (dev.jsonl)": [cases.OURS / "dev.jsonl"],
        "Seen, not part of this repository": sorted((data / "verifier_cases").glob("*.jsonl.gz")),
    }


def parser() -> argparse.ArgumentParser:
    made = new_parser(__doc__)
    data = Path(__file__).resolve().parents[2] / "shared" / "data"
    modes = ["speed", "all", "differences", "errors", "changes"]
    made.add_argument("mode", choices=modes, help="what to measure (above)")
    made.add_argument("--data", type=Path, default=data, help="folder of the real data (%(default)s)")
    made.add_argument("--rounds", type=int, default=15, help="samples of each kind, for speed (%(default)s)")
    made.add_argument("--workers", type=int, default=2, help="worker processes, but for speed (%(default)s)")
    made.add_argument("--cases", type=Path, nargs="+", default=[], help="other labelled cases, for errors")
    made.add_argument("--misses", action="store_true", help="list each wrong verdict, for errors")
    made.add_argument("--before", type=Path, help="verdicts of another version, for changes: written if none")
    made.add_argument("--examples", type=int, default=3, help="rows to show of a change (%(default)s)")
    return made


def main() -> None:
    made = parser()
    options = made.parse_args()
    if options.mode == "changes" and options.before is None:
        made.error("changes needs --before, the verdicts to compare with")
    if options.mode == "speed":
        speed(options.data, options.rounds)
    elif options.mode == "all":
        everything(options.data, options.workers)
    elif options.mode == "errors" and options.cases:
        errors("verifier-errors-other", {"Cases given": options.cases}, options.workers, options.misses)
    elif options.mode == "errors":
        errors("verifier-errors", standing_cases(options.data), options.workers, options.misses)
    elif options.mode == "changes":
        changes(options.data, options.before, options.examples, options.workers)
    else:
        differences(options.data)


if __name__ == "__main__":
    main()
