"""The verdicts stage: judge files of responses row by row, and compare the verdicts with a label column."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from glow.config import VerdictSettings
from glow.errors import UserError
from glow.files.jsonl import Record, write_jsonl
from glow.files.manifest import Manifest
from glow.files.progress import progress_bar
from glow.files.records import ANSWER_PLACES, FOUND_IN, LENIENCIES, VERDICTS
from glow.files.user_rows import (
    Row,
    UnseenKeys,
    answer_type,
    empty_files,
    finish_reason,
    label,
    read_rows,
    stated,
    text,
    thought_open,
)
from glow.verifier.equality import Gold
from glow.verifier.verify import Item, Judgement, Verifier


def verify_files(inputs: list[Path], output: Path, settings: VerdictSettings, *, workers: int) -> None:
    """Write every row of `inputs` with `verdict`, `extracted`, `extracted_from` and `reason` added, in order.

    `leniency` is added too where anything was overlooked. Why a row's response ended is used where the row
    says it (`user_rows.finish_reason`), and so are its `thought_open` and its `stated`. Its label, under
    `settings.label` or else a boolean `label`, is compared with the verdict. Where
    `settings.answer_type_field` is given, that key holds the type of a row's gold answer (absent or null:
    inferred); for type choice, `choices` may hold the texts of the choices.

    Raises:
        UserError: there are no rows, one lacks the response or the answer, names an unknown type or finish
            reason, or shares its `trajectory_id` with another.
    """
    if workers < 1:
        raise UserError(f"--workers {workers}: at least one process is needed")
    manifest = Manifest("verify")
    tally = _Tally()
    empty = empty_files(inputs)
    with Verifier(settings.verification, workers, settings.thought) as verifier:
        write_jsonl(output, _judge_rows(verifier, inputs, settings, tally))
    manifest.write(output, settings.model_dump(mode="json"), inputs, tally.facts())
    print(f"{output}: {tally.summary()}" + "".join(f"\n  {path}: no rows" for path in empty))
    if (
        tally.verdicts["unparsed"]
        and settings.verification.extraction == "strict"
        and not settings.stated_field
    ):
        print("  unparsed: no answer in a box; --extraction lenient also reads `The answer is 42.`")


def _judge_rows(
    verifier: Verifier, inputs: list[Path], settings: VerdictSettings, tally: "_Tally"
) -> Iterator[Record]:
    """The rows with their verdicts; counts them in `tally`."""
    waiting: deque[Record] = deque()
    labels: deque[object] = deque()

    def items() -> Iterator[Item]:
        for row in _rows(inputs, settings):
            response = text(row, settings.response_field, "map it with --response-field", may_be_empty=True)
            answer = text(row, settings.answer_field, "map it with --answer-field", may_be_empty=True)
            waiting.append(row.record)
            labels.append(_label(row, settings))
            gold = _gold(row, answer, settings.answer_type_field)
            ended = finish_reason(
                row, settings.finish_reason_field, "map another key with --finish-reason-field"
            )
            given = stated(row, settings.stated_field, "map another key with --stated-field")
            yield Item(response, gold, ended, thought_open(row), given)

    for judgement in progress_bar("verify", " rows", iterable=verifier.judge(items())):
        row = waiting.popleft()
        tally.add(judgement, labels.popleft())
        yield row | {
            "verdict": judgement.verdict,
            "extracted": judgement.extracted,
            "extracted_from": judgement.extracted_from,
            "reason": judgement.reason,
            **({"leniency": judgement.leniency} if judgement.leniency else {}),
        }


def _label(row: Row, settings: VerdictSettings) -> object:
    if settings.label is None:
        return row.record.get("label")
    return label(row, settings.label, "map another key with --label", settings.label_threshold)


def _gold(row: Row, answer: str, type_field: str | None) -> Gold:
    """The gold answer of a row, with its type and choices where the row has them."""
    kind = answer_type(row, type_field) if type_field is not None else None
    choices = (row.record.get("choices") or []) if kind == "choice" else []
    if not isinstance(choices, list):
        raise UserError(f"{row.place}: 'choices' must be a list of texts")
    return Gold(answer, kind, tuple(map(str, choices)))


def _rows(inputs: list[Path], settings: VerdictSettings) -> Iterator[Row]:
    """The rows of all files; trajectories that share an id are refused, and a key that none has."""
    seen: dict[str, str] = {}
    mapped = {
        settings.finish_reason_field: "map it with --finish-reason-field",
        settings.stated_field: "map it with --stated-field",
    }
    unseen = UnseenKeys({key: remedy for key, remedy in mapped.items() if key is not None})
    for path in inputs:
        for row in read_rows(path):
            if (identity := row.record.get("trajectory_id")) is not None:
                if identity in seen:
                    raise UserError(
                        f"{row.place}: trajectory_id {identity!r} is that of {seen[identity]} too; "
                        "every trajectory needs its own"
                    )
                seen[identity] = row.place
            unseen.look_at(row)
            yield row
    unseen.refuse(inputs)


class _Tally:
    """Counts of verdicts, of where answers were found, and of agreement with the users' labels."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self.leniencies: Counter[str] = Counter()
        self.labelled: Counter[tuple[bool, str]] = Counter()

    def add(self, judgement: Judgement, label: object) -> None:
        self.verdicts[judgement.verdict] += 1
        if judgement.extracted_from is not None:
            self.places[judgement.extracted_from] += 1
        if judgement.leniency is not None:
            self.leniencies[judgement.leniency] += 1
        if isinstance(label, bool):
            self.labelled[label, judgement.verdict] += 1

    def facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "rows": self.verdicts.total(),
            "verdicts": {verdict: self.verdicts[verdict] for verdict in VERDICTS},
            "extracted_from": {place: self.places[place] for place in ANSWER_PLACES},
            "leniencies": {leniency: self.leniencies[leniency] for leniency in LENIENCIES},
        }
        return facts | ({"label": self.agreement()} if self.labelled else {})

    def agreement(self) -> dict[str, int]:
        """Only rows judged correct or wrong are compared with their label."""
        agree = self.labelled[True, "correct"] + self.labelled[False, "wrong"]
        missed, granted = self.labelled[True, "wrong"], self.labelled[False, "correct"]
        return {
            "labelled": self.labelled.total(),
            "compared": agree + missed + granted,
            "agree": agree,
            "label_true_verdict_wrong": missed,
            "label_false_verdict_correct": granted,
        }

    def summary(self) -> str:
        counts = _counts({verdict: self.verdicts[verdict] for verdict in VERDICTS if self.verdicts[verdict]})
        line = f"{self.verdicts.total()} rows: {counts or 'none'}"
        line += "".join(
            f"; {self.places[place]} answers read from {FOUND_IN[place]}, not boxes"
            for place in ANSWER_PLACES
            if place != "box" and self.places[place]
        )
        if self.leniencies:
            line += f"; in {self.leniencies.total()} something was overlooked ({_counts(self.leniencies)})"
        if not self.labelled:
            return line
        found = self.agreement()
        share = found["agree"] / max(1, found["compared"])
        return (
            f"{line}; of {found['labelled']} labelled, {found['compared']} judged correct or wrong, "
            f"{share:.2%} as labelled ({found['label_true_verdict_wrong']} labelled true judged wrong, "
            f"{found['label_false_verdict_correct']} labelled false judged correct)"
        )


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counted.items())
