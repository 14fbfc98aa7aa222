"""Report how much of each evaluation suite is in the training data, and refuse to go on when it is too much.

For every suite and training file the report gives three counts of questions: those that are there whole,
those that share any n-gram (13 words, as in the GPT-3 and Llama 2 reports; all words of a shorter question),
and those with enough words in shared n-grams to count as overlapping. It also shows the worst pairs, for a
person to judge: `glow.data.overlap` compares only wording. What to do about an overlap (remove rows, leave a
suite out) is up to the user.
"""

from collections.abc import Sequence
from pathlib import Path

from glow.config import Contamination
from glow.data.overlap import SHORTEST, Found, SuiteIndex, scan
from glow.data.wording import read_suites
from glow.errors import UserError
from glow.files.atomic import atomic_path
from glow.files.inert import code_span, markdown_text
from glow.files.jsonl import Record, write_json
from glow.files.manifest import Manifest, manifest_path

EXAMPLES = 10
"""Questions that the report shows of a suite: whole ones first, then those covered most."""

_SHOWN = 200
"""Characters of a question in the report."""

_NAMED = 3
"""Pairs that a refusal names."""


def check_contamination(
    training: Sequence[Path], suites: Sequence[Path], output: Path, settings: Contamination
) -> None:
    """Write `report.json` and `report.md` into the directory `output`, or fail when the overlap is too large.

    A question overlaps when the training data contain it whole, or when n-grams shared with one training text
    cover `settings.coverage` of its words. When a suite has a larger share of such questions than
    `settings.threshold`, only `refused.json` and `refused.md` are written: `report.json` and the manifest
    exist only if the check passed.

    Raises:
        UserError: a file is missing, malformed or given twice, `output` cannot be a directory, or a suite's
            share is above the threshold.
    """
    for place in (output, *output.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"--output {output}: {place} is a file; give a directory for the report")
    manifest = Manifest("contamination")
    index = SuiteIndex(read_suites(suites), settings.ngram)
    found = [scan(path, index) for path in training]
    if not any(one.rows for one in found):
        raise UserError(f"{', '.join(map(str, training))}: no rows; give the training data")
    report: Record = {
        "settings": settings.model_dump(mode="json"),
        "suites": _by_suite(index, found, settings),
        "files": [
            {"file": str(one.path), "rows": one.rows, "words": one.words}
            | {"suites": _counts_by_suite(index, one, settings)}
            for one in found
        ],
    }
    most = max(report["suites"], key=lambda suite: suite["share"])
    if most["share"] > settings.threshold:
        _write(report, output, "refused", "report")
        raise _refusal(most, settings, output / "refused.md")
    _write(report, output, "report", "refused")
    facts = {suite["suite"]: suite["overlapping"] for suite in report["suites"]}
    manifest.write(output, settings.model_dump(mode="json"), [*training, *suites], {"overlapping": facts})
    print(_summary(report, most, output))


def _write(report: Record, output: Path, name: str, other: str) -> None:
    """Write the report under `name`, and remove what an earlier check left, also under the other name."""
    manifest_path(output).unlink(missing_ok=True)
    for suffix in ("json", "md"):
        (output / f"{other}.{suffix}").unlink(missing_ok=True)
    write_json(output / f"{name}.json", report)
    with atomic_path(output / f"{name}.md") as partial:
        partial.write_text(_markdown(report), encoding="utf-8", errors="backslashreplace")


def _summary(report: Record, most: Record, output: Path) -> str:
    rows = sum(one["rows"] for one in report["files"])
    short = sum(one["short"] for one in report["suites"])
    shortest = min(SHORTEST, report["settings"]["ngram"])
    return (
        f"{output}: {len(report['suites'])} suites, {rows} training rows: at most {most['overlapping']} of "
        f"{most['questions']} questions of a suite ({most['suite']}) are in them; {short} questions, of "
        f"fewer than {shortest} words, are compared with whole texts only"
    )


def _by_suite(index: SuiteIndex, found: Sequence[Found], settings: Contamination) -> list[Record]:
    """A record for each suite: how much of it is in all training files together, and the worst examples."""
    together = _union(found)
    entries = []
    for suite, numbers in _numbers_by_suite(index).items():
        held = [number for number in numbers if number in together.covered]
        held.sort(key=lambda number: (number not in together.exact, -_share(index, together, number)))
        examples = [_example(index, found, together, number) for number in held[:EXAMPLES]]
        entries.append(
            {"suite": suite, "questions": len(numbers)}
            | _counts(index, together, numbers, settings)
            | {"worst": examples}
        )
    return entries


def _union(found: Sequence[Found]) -> Found:
    together = Found(Path())
    for one in found:
        together.exact |= one.exact
        for number, covered in one.covered.items():
            together.covered[number] = max(covered, together.covered.get(number, 0))
    return together


def _numbers_by_suite(index: SuiteIndex) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for number, question in enumerate(index.questions):
        numbers.setdefault(question.suite, []).append(number)
    return numbers


def _share(index: SuiteIndex, found: Found, number: int) -> float:
    """The share of a question's words that is covered."""
    return found.covered.get(number, 0) / max(1, index.lengths[number])


def _counts(index: SuiteIndex, found: Found, numbers: Sequence[int], settings: Contamination) -> Record:
    covered = [number for number in numbers if found.covered.get(number, 0) > 0]
    exact = [number for number in numbers if number in found.exact]
    overlapping = {number for number in covered if _share(index, found, number) >= settings.coverage}
    overlapping.update(exact)
    return {
        "short": sum(index.whole_only[number] for number in numbers),
        "exact": len(exact),
        "any_ngram": sum(not index.whole_only[number] for number in covered),
        "overlapping": len(overlapping),
        "share": len(overlapping) / len(numbers),
    }


def _counts_by_suite(index: SuiteIndex, found: Found, settings: Contamination) -> Record:
    return {
        suite: _counts(index, found, numbers, settings) for suite, numbers in _numbers_by_suite(index).items()
    }


def _example(index: SuiteIndex, found: Sequence[Found], together: Found, number: int) -> Record:
    """A question and the training row that covers most of it."""
    holder = next(one for one in found if one.covered.get(number) == together.covered[number])
    question = index.questions[number]
    return {
        "question_id": question.name,
        "question": " ".join(question.stem.split())[:_SHOWN],
        "exact": number in together.exact,
        "covered": _share(index, together, number),
        "training_file": str(holder.path),
        "training_row": holder.row[number],
    }


def _refusal(worst: Record, settings: Contamination, report: Path) -> UserError:
    """The error about the suite with the largest share, when that is above the threshold."""
    pairs = "; ".join(
        f"{example['question_id']} in {example['training_file']} ({example['training_row']}), "
        + ("whole" if example["exact"] else f"{example['covered']:.0%} of its words")
        for example in worst["worst"][:_NAMED]
    )
    return UserError(
        f"suite {worst['suite']!r}: {worst['overlapping']} of {worst['questions']} questions "
        f"({worst['share']:.2%}) are in the training data, more than contamination.threshold "
        f"{settings.threshold:g} allows: {pairs}.\nRemove those rows, or name the suite in the "
        f"domain's disjoint_from, which does so for problems; or, if {report} shows that they are no copies, "
        f"raise contamination.coverage (--coverage; now {settings.coverage:g}) "
        "or the threshold"
    )


# --- the report ---------------------------------------------------------------------------------


def _markdown(report: Record) -> str:
    settings = report["settings"]
    shortest = min(SHORTEST, settings["ngram"])
    lines = [
        "# Suites in the training data",
        "",
        "This page quotes evaluation questions: do not publish it as it is.",
        "",
        "*whole*: equal to a training text after normalisation. *any n-gram*: at least "
        f"{settings['ngram']} words running are in a training text, or all words of a shorter question with "
        f"at least half of its choices (of one below {SHORTEST} words: all of them, lettered). "
        f"*overlapping*: whole, or one training text holds {settings['coverage']:.0%} of the question's "
        f"words in such runs. *short*: of fewer than {shortest} words and without choices, "
        "compared with whole texts only: no copy inside a longer text is found. Refused: a share of "
        f"overlapping questions above {settings['threshold']:.2%}.",
        "",
        *_table(report["suites"], "suite"),
    ]
    for file in report["files"]:
        rows = [{"suite": suite} | counts for suite, counts in file["suites"].items()]
        total = {row["suite"]: row["questions"] for row in report["suites"]}
        rows = [row | {"questions": total[row["suite"]]} for row in rows]
        lines += [
            "",
            f"## {markdown_text(file['file'])}: {file['rows']} rows, {file['words']} words",
            "",
            *_table(rows, "suite"),
        ]
    for suite in report["suites"]:
        if suite["worst"]:
            lines += ["", f"## Most of {suite['suite']}", "", *map(_line, suite["worst"])]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Record], first: str) -> list[str]:
    keys = [first, "questions", "short", "exact", "any_ngram", "overlapping", "share"]
    titles = [first, "questions", "short", "whole", "any n-gram", "overlapping", "share"]
    body = [
        "| "
        + " | ".join(f"{row[key]:.2%}" if key == "share" else markdown_text(str(row[key])) for key in keys)
        + " |"
        for row in rows
    ]
    return ["| " + " | ".join(titles) + " |", "| --- |" + " ---: |" * (len(keys) - 1), *body]


def _line(example: Record) -> str:
    held = "whole" if example["exact"] else f"{example['covered']:.0%}"
    return (
        f"- {held}: {code_span(example['question_id'])} in {code_span(example['training_file'])} "
        f"({code_span(example['training_row'])}): {markdown_text(example['question'])}"
    )
