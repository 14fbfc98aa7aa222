"""Read the user's own trajectories (instead of problems and a teacher), check them against the suites.

The responses are taken as they are; `glow verify` judges whether they are right.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from glow.config import Fields, ImportSettings
from glow.data.choices import choices_of, listed_choices, with_choices
from glow.data.disjoint import SuiteQuestions
from glow.data.problem_rows import gold_facts, problem
from glow.errors import UserError, abbreviated
from glow.files.hashing import keyed_order
from glow.files.jsonl import write_jsonl
from glow.files.manifest import Manifest
from glow.files.progress import progress_bar
from glow.files.records import Asked, GoldFacts, Problem, Trajectory, problem_id, trajectory_id
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

SOURCE = "own"
"""The source of every imported problem, so that the same question is the same problem in every domain."""


def import_trajectories(
    files: list[Path],
    suites: list[Path],
    output: Path,
    grpo_output: Path,
    settings: ImportSettings,
) -> None:
    """Write the users' rows as Trajectory rows to `output`, and `settings.grpo` questions to `grpo_output`.

    The questions for GRPO are drawn by content hash, and all their rows are left out; of the other rows
    `settings.limit` are kept, drawn by content hash too, in the order of the files. A problem is a question;
    its rows are numbered in that order. An empty response is legal, and so is an empty answer (nothing
    can be right then); token counts are unknown. What is legal and odd is counted, printed, and in the
    manifest.

    Raises:
        UserError: there are no rows, one lacks a mapped key, two share an id, a gold answer is not one of
            its choices or all are their whole responses, or a question is also in a suite.
    """
    manifest = Manifest("import")
    oddities = _Oddities(empty_files(files))
    places: list[str] = []
    trajectories: list[Trajectory] = []
    for place, trajectory in _read(files, settings.fields):
        places.append(place)
        trajectories.append(trajectory)
        oddities.add(place, trajectory)
    oddities.refuse()
    asked = (row.get("stem", row["question"]) for row in trajectories)
    questions = zip(places, asked, strict=True)
    SuiteQuestions(suites).refuse(questions)
    prompts = _prompts(trajectories, settings.grpo, files)
    held_out = {prompt["problem_id"] for prompt in prompts}
    usable = [row for row in trajectories if row["problem_id"] not in held_out]
    kept = _draw(usable, settings.limit)
    if not kept:
        raise UserError(
            f"{', '.join(map(str, files))}: no trajectory is left; give more rows or fewer GRPO questions"
        )
    write_jsonl(grpo_output, prompts)
    write_jsonl(output, kept)
    facts = {
        "rows_read": len(trajectories),
        "rows_kept": len(kept),
        "rows_of_grpo_questions": len(trajectories) - len(usable),
        "questions": len({row["problem_id"] for row in kept}),
        "grpo_questions": len(prompts),
        "rows_without_gold_answer": sum(not row["answer"].strip() for row in kept),
        "rows_cut_off": sum(row["finish_reason"] not in (None, "stop") for row in kept),
    }
    described = settings.model_dump(mode="json")
    manifest.write(output, described, [*files, *suites], {**facts, **oddities.facts()})
    print("\n  ".join([f"{output}: {_summary(facts)}", *oddities.lines()]))


def _summary(facts: dict[str, int]) -> str:
    line = (
        f"{facts['rows_kept']} of {facts['rows_read']} trajectories on {facts['questions']} questions; "
        f"{facts['grpo_questions']} questions kept for GRPO; none shared with a suite"
    )
    if facts["rows_cut_off"]:
        line += f"; {facts['rows_cut_off']} rows were cut off"
    if facts["rows_without_gold_answer"]:
        line += f"; {facts['rows_without_gold_answer']} rows have an empty answer"
    return line


class _Oddities:
    """What is legal in users' rows and yet odd, with the place where it is first seen."""

    def __init__(self, empty: Sequence[Path]) -> None:
        self.empty = empty
        self.rows = 0
        self.repeated: list[str] = []
        self.bare: list[str] = []
        self.several_golds: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()
        self._golds: dict[str, tuple[str, str]] = {}

    def add(self, place: str, row: Trajectory) -> None:
        """Look at the next row."""
        self.rows += 1
        identity, gold = row["problem_id"], row["answer"].strip()
        if (identity, row["response"]) in self._seen:
            self.repeated.append(place)
        self._seen.add((identity, row["response"]))
        if not gold:
            return
        if gold == row["response"].strip():
            self.bare.append(place)
        first_gold, first_place = self._golds.setdefault(identity, (gold, place))
        if gold != first_gold:
            both = f"{abbreviated(first_gold, 40)} in {first_place}, {abbreviated(gold, 40)} in {place}"
            self.several_golds.setdefault(identity, both)

    def refuse(self) -> None:
        """Refuse rows whose gold answers are all the whole response: a key is mapped to the wrong thing."""
        if len(self.bare) == self.rows > 1:
            raise UserError(
                f"{self.bare[0]}: the gold answer is the whole response, as in all {self.rows} rows; map "
                "another key with trajectories.fields.answer (--answer) or .response (--response)"
            )

    def facts(self) -> dict[str, object]:
        return {
            "repeated_rows": len(self.repeated),
            "questions_with_several_gold_answers": len(self.several_golds),
            "rows_whose_gold_answer_is_the_response": len(self.bare),
            "empty_files": [str(path) for path in self.empty],
        }

    def lines(self) -> Iterator[str]:
        if self.repeated:
            yield (
                f"rows with question and response of an earlier row: {len(self.repeated)} (first: "
                f"{self.repeated[0]}); they are kept, so they count several times in training"
            )
        if self.several_golds:
            yield (
                f"questions with several gold answers: {len(self.several_golds)} (first: "
                f"{next(iter(self.several_golds.values()))}); each row is judged by its own"
            )
        if self.bare:
            yield (
                f"rows whose gold answer is the whole response: {len(self.bare)} (first: {self.bare[0]}); is "
                "the right key mapped?"
            )
        if self.empty:
            yield f"files without rows: {', '.join(map(str, self.empty))}"


def _read(files: list[Path], fields: Fields) -> Iterator[tuple[str, Trajectory]]:
    """(place, trajectory) of every row."""
    samples: Counter[str] = Counter()
    own_ids: dict[str, str] = {}
    mapped = {name: key for name in _OPTIONAL if (key := getattr(fields, name)) is not None}
    unseen = UnseenKeys({key: _remedy(name) for name, key in mapped.items()})
    for path in files:
        for row in progress_bar(path.name, " rows", iterable=read_rows(path)):
            if fields.id is not None:
                _refuse_second(row, fields.id, own_ids)
            unseen.look_at(row)
            yield row.place, _trajectory(row, fields, _stem(path), samples)
    unseen.refuse(files)


_OPTIONAL = ("choices", "answer_type", "finish_reason", "stated")
"""Fields whose key a row may lack, but not all rows."""


def _refuse_second(row: Row, key: str, seen: dict[str, str]) -> None:
    identity = text(row, key, _remedy("id"))
    if identity in seen:
        raise UserError(
            f"{row.place}: id {identity!r} is that of {seen[identity]} too; every row needs its own (or drop "
            "trajectories.fields.id)"
        )
    seen[identity] = row.place


def _trajectory(row: Row, fields: Fields, stem: str, samples: Counter[str]) -> Trajectory:
    asked = _question_and_gold(row, fields)
    response = text(row, fields.response, _remedy("response"), may_be_empty=True)
    generator = text(row, fields.generator, _remedy("generator")) if fields.generator else stem
    identity = problem_id(SOURCE, asked["question"])
    sample_index = samples[identity]
    samples[identity] += 1
    trajectory: Trajectory = {
        "trajectory_id": trajectory_id(identity, generator, 0, sample_index, response),
        "problem_id": identity,
        "family": None,
        **asked,
        "response": response,
        "generator": generator,
        "seed": 0,
        "sample_index": sample_index,
        "finish_reason": finish_reason(row, fields.finish_reason, _remedy("finish_reason", "another key")),
        "prompt_tokens": None,
        "response_tokens": None,
        "label": label(row, fields.label, _remedy("label")) if fields.label else None,
    }
    if thought_open(row):
        trajectory["thought_open"] = True
    if fields.stated is not None:
        trajectory["stated"] = stated(row, fields.stated, _remedy("stated", "another key")) or ""
    return trajectory


class _ChoiceGold(GoldFacts):
    answer: str


def _question_and_gold(row: Row, fields: Fields) -> Asked:
    """The question, with its choices listed as in the suites, the gold answer, and its type and choices."""
    question = text(row, fields.question, _remedy("question"))
    if fields.choices and row.record.get(fields.choices) is not None:
        choices, letter = choices_of(row, fields.choices, fields.answer)
        known: _ChoiceGold = {"answer": letter, "choices": choices, "answer_type": "choice"}
        if listed_choices(question):
            return {"question": question, **known}
        return {"question": with_choices(question, choices), "stem": question, **known}
    kind = answer_type(row, fields.answer_type) if fields.answer_type else None
    answer = text(row, fields.answer, _remedy("answer"), may_be_empty=True)
    asked: Asked = {"question": question, "answer": answer}
    if kind is not None:
        asked["answer_type"] = kind
    return asked


def _remedy(field: str, what: str = "it") -> str:
    return f"map {what} with trajectories.fields.{field} (--{field.replace('_', '-')})"


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".parquet")


def _prompts(trajectories: list[Trajectory], count: int, files: list[Path]) -> list[Problem]:
    """`count` questions with a gold answer, drawn by content hash, as Problem rows."""
    problems = {row["problem_id"]: row for row in trajectories if row["answer"].strip()}
    if count > len(problems):
        raise UserError(
            f"{', '.join(map(str, files))}: {len(problems)} questions, but trajectories.grpo (--grpo) asks "
            f"for {count}; ask for fewer"
        )
    drawn = keyed_order(problems, str, "grpo")[:count]
    return [_problem(problems[identity]) for identity in drawn]


def _problem(row: Trajectory) -> Problem:
    """The problem that a trajectory answers."""
    made = problem(SOURCE, row["question"], row["answer"])
    if "stem" in row:
        made["stem"] = row["stem"]
    made.update(gold_facts(row))
    return made


def _draw(rows: list[Trajectory], limit: int | None) -> list[Trajectory]:
    """At most `limit` of the rows, drawn by content hash (their ids are such hashes), in their order."""
    if limit is None or limit >= len(rows):
        return rows
    drawn = set(sorted(row["trajectory_id"] for row in rows)[:limit])
    return [row for row in rows if row["trajectory_id"] in drawn]
