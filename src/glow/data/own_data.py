"""Read the user's own trajectories (instead of problems and a teacher), check them against the suites.

The responses are taken as they are; `glow verify` judges whether they are right.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from glow.config import Experiment, ImportSettings, files_of
from glow.data.choices import choices_of, listed_choices, with_choices
from glow.data.disjoint import SuiteQuestions
from glow.data.hub import HubSplit
from glow.data.noted import Noted
from glow.data.oddities import Oddities
from glow.data.problem_rows import gold_facts, problem
from glow.data.row_shapes import Shapes, choices_key, columns, is_reasoning, optional_keys, remedy
from glow.errors import UserError
from glow.files.hashing import keyed_order
from glow.files.jsonl import read_jsonl, write_jsonl
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
    grpo_output: Path | None,
    settings: ImportSettings,
) -> None:
    """Write the users' rows as Trajectory rows to `output`, and `settings.grpo` questions to `grpo_output`.

    The rows are those of the files, or of the hub data set that the settings name. The questions for GRPO are
    drawn by content hash, and all their rows are left out; of the other rows `settings.limit` are kept, drawn
    by content hash too, in the order of the files. A problem is a question; its rows are numbered in that
    order. An empty response is legal, and so is an empty answer (nothing can be right then); token counts are
    unknown. What is legal and odd, and what of the rows is left out, is counted, printed, and in the
    manifest.

    Raises:
        UserError: there are no rows, one lacks a mapped key, two share an id, a gold answer is not one of
            its choices or all are their whole responses, or a question is also in a suite.
    """
    if settings.grpo and grpo_output is None:
        raise UserError("--grpo asks for questions to be set apart; say where to: --grpo-output PATH")
    manifest = Manifest("import")
    files = _present(files, settings)
    reading = _Reading(files, settings)
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".import-", dir=output.parent) as folder:
        read = Path(folder) / "rows.jsonl"
        write_jsonl(read, reading.trajectories())
        reading.refuse()
        rows = reading.rows
        shared = _shared(suites, reading, settings)
        apart = {identity: row for identity, row in reading.problems.items() if identity not in shared}
        prompts = _prompts(apart, settings.grpo, reading.name)
        held_out = {prompt["problem_id"] for prompt in prompts}
        usable = [number for number, row in enumerate(rows) if row.problem_id not in held_out | shared]
        kept = _draw(rows, usable, settings.limit)
        if not kept:
            raise UserError(f"{reading.name}: no trajectory is left; give more rows or fewer GRPO questions")
        if grpo_output is not None:
            write_jsonl(grpo_output, prompts)
        write_jsonl(output, (row for number, row in enumerate(read_jsonl(read)) if number in kept))
    facts = {
        "rows_read": len(rows),
        "rows_kept": len(kept),
        "rows_of_grpo_questions": sum(row.problem_id in held_out for row in rows),
        "questions": len({rows[number].problem_id for number in kept}),
        "grpo_questions": len(prompts),
        "rows_without_gold_answer": sum(rows[number].no_gold for number in kept),
        "rows_cut_off": sum(rows[number].cut_off for number in kept),
    }
    if shared:
        facts["questions_of_suites_dropped"] = len(shared)
        facts["rows_of_suites_dropped"] = sum(row.problem_id in shared for row in rows)
    described = settings.model_dump(mode="json")
    manifest.write(output, described, [*files, *suites], {**facts, **reading.facts()})
    print("\n  ".join([f"{output}: {_summary(facts)}", *reading.oddities.lines()]))


def _shared(suites: list[Path], reading: "_Reading", settings: ImportSettings) -> set[str]:
    """The ids of the problems that are in a suite too, to be dropped; or they are refused."""
    questions = SuiteQuestions(suites)
    if settings.shared_questions == "refuse":
        questions.refuse(reading.asked)
        return set()
    return {
        row.problem_id
        for row, (_, question) in zip(reading.rows, reading.asked, strict=True)
        if questions.has(question)
    }


def _present(files: list[Path], settings: ImportSettings) -> list[Path]:
    """The files that are meant by files, folders and patterns; none where a hub data set is."""
    if bool(files) == (settings.hub_dataset is not None):
        raise UserError("give --files, or --hub-dataset with its --revision (one of the two)")
    try:
        return files_of(files)
    except ValueError as error:
        raise UserError(f"--files: {error}") from None


def _summary(facts: dict[str, int]) -> str:
    line = (
        f"{facts['rows_kept']} of {facts['rows_read']} trajectories on {facts['questions']} questions; "
        f"{facts['grpo_questions']} questions kept for GRPO; none shared with a suite"
    )
    if "rows_of_suites_dropped" in facts:
        dropped, questions = facts["rows_of_suites_dropped"], facts["questions_of_suites_dropped"]
        line += f" ({dropped} rows on {questions} questions of suites were dropped)"
    if facts["rows_cut_off"]:
        line += f"; {facts['rows_cut_off']} rows were cut off"
    if facts["rows_without_gold_answer"]:
        line += f"; {facts['rows_without_gold_answer']} rows have an empty answer"
    return line


# --- reading ------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Where rows come from: its name, the rows, and the name of whoever wrote them where no key says it."""

    name: str
    rows: Callable[[], Iterator[Row]]
    writer: str


class _Known(NamedTuple):
    """What is kept of each row: the rows themselves may be more than memory holds."""

    trajectory_id: str
    problem_id: str
    no_gold: bool
    cut_off: bool


class _Reading:
    """Reads all rows once, and knows of them what decides which are kept.

    Attributes:
        rows: what is kept of each trajectory, in their order.
        asked: the place and the question of each.
        problems: those that GRPO may ask, by id; none where it asks none.
    """

    def __init__(self, files: list[Path], settings: ImportSettings) -> None:
        self._settings = settings
        self._noted = Noted()
        self.oddities = Oddities(empty_files(files) if files else [], self._noted)
        self._hub = _split(settings)
        self._sources = [_of_hub(self._hub)] if self._hub is not None else [source_of(file) for file in files]
        self.rows: list[_Known] = []
        self.asked: list[tuple[str, str]] = []
        self.problems: dict[str, Problem] = {}

    @property
    def name(self) -> str:
        """The names of what is read."""
        return ", ".join(source.name for source in self._sources)

    def trajectories(self) -> Iterator[Trajectory]:
        """All trajectories, each of which is taken note of."""
        unread = self._hub.unread if self._hub is not None else ()
        for place, row in read_trajectories(self._sources, self._settings, self._noted, unread):
            self.oddities.add(place, row)
            cut_off = row["finish_reason"] not in (None, "stop")
            no_gold = not row["answer"].strip()
            self.rows.append(_Known(row["trajectory_id"], row["problem_id"], no_gold, cut_off))
            self.asked.append((place, row.get("stem", row["question"])))
            if self._settings.grpo and not no_gold:
                self.problems[row["problem_id"]] = _problem(row)
            yield row

    def refuse(self) -> None:
        """Refuse what was read if there is nothing, or if all of it shows that a wrong key is mapped."""
        if not self.rows:
            raise UserError(f"{self.name}: no rows; give a data set or a file that has some")
        self.oddities.refuse()

    def facts(self) -> dict[str, Any]:
        """For the manifest: what was odd or left out, and what the hub's files were."""
        if self._hub is not None and self._settings.fields.reasoning is None:
            for name in filter(is_reasoning, self._hub.unread):
                self._noted.add(
                    f"columns left out that may be reasoning ({name}; --reasoning joins it)", self.name
                )
        hub = {"hub": self._hub.facts} if self._hub is not None else {}
        return {**self.oddities.facts(), **hub}


def read_trajectories(
    sources: Sequence[Source], settings: ImportSettings, noted: Noted, unread: Sequence[str] = ()
) -> Iterator[tuple[str, Trajectory]]:
    """(place, trajectory) of every response in the sources, in their order.

    Args:
        noted: takes what is legal and worth a line.
        unread: columns of the sources that are not read.

    Raises:
        UserError: as `import_trajectories`, of single rows.
    """
    fields = settings.fields
    samples: Counter[str] = Counter()
    own_ids: dict[str, str] = {}
    unseen = UnseenKeys(optional_keys(fields))
    shapes = Shapes(settings, noted, unread)
    for source in sources:
        for row in source.rows():
            for shaped in shapes.of(row):
                if fields.id is not None:
                    _refuse_second(shaped, fields.id, own_ids)
                unseen.look_at(shaped)
                yield shaped.place, _trajectory(shaped, settings, source.writer, samples)
    unseen.refuse(source.name for source in sources)


def _split(settings: ImportSettings) -> HubSplit | None:
    if settings.hub_dataset is None or settings.revision is None:
        return None
    return HubSplit(
        settings.hub_dataset,
        settings.revision,
        settings.hub_config,
        settings.hub_split or "train",
        columns(settings.fields),
        settings.data_dir,
    )


def check_first_rows(experiment: Experiment) -> None:
    """Look whether the first row of each file of own trajectories is as the configuration says.

    Raises:
        UserError: it lacks a mapped key, or holds what cannot be used; or a file cannot be read.
    """
    if experiment.trajectories is None or experiment.trajectories.hub_dataset is not None:
        return
    for file in experiment.trajectories.files:
        shapes = Shapes(experiment.importing, Noted())
        for row in islice(read_rows(file), 1):
            for shaped in shapes.of(row):
                _trajectory(shaped, experiment.importing, _stem(file), Counter())


def _of_hub(split: HubSplit) -> Source:
    return Source(split.name, split.rows, split.name.rsplit("/", 2)[0])


def source_of(path: Path) -> Source:
    """The rows of a file, with a progress bar."""

    def rows() -> Iterator[Row]:
        return iter(progress_bar(path.name, " rows", iterable=read_rows(path)))

    return Source(str(path), rows, _stem(path))


def _refuse_second(row: Row, key: str, seen: dict[str, str]) -> None:
    identity = text(row, key, remedy("id"))
    if identity in seen:
        raise UserError(
            f"{row.place}: id {identity!r} is that of {seen[identity]} too; every row needs its own (or drop "
            "trajectories.fields.id)"
        )
    seen[identity] = row.place


# --- rows ---------------------------------------------------------------------------------------


def _trajectory(row: Row, settings: ImportSettings, writer: str, samples: Counter[str]) -> Trajectory:
    fields = settings.fields
    asked = _question_and_gold(row, settings)
    response = text(row, fields.response, remedy("response"), may_be_empty=True)
    generator = text(row, fields.generator, remedy("generator")) if fields.generator else writer
    identity = problem_id(SOURCE, asked["question"])
    sample_index = samples[identity]
    samples[identity] += 1
    judged = label(row, fields.label, remedy("label"), settings.label_threshold) if fields.label else None
    trajectory: Trajectory = {
        "trajectory_id": trajectory_id(identity, generator, 0, sample_index, response),
        "problem_id": identity,
        "family": None,
        **asked,
        "response": response,
        "generator": generator,
        "seed": 0,
        "sample_index": sample_index,
        "finish_reason": finish_reason(row, fields.finish_reason, remedy("finish_reason", "another key")),
        "prompt_tokens": None,
        "response_tokens": None,
        "label": judged,
    }
    if thought_open(row):
        trajectory["thought_open"] = True
    if fields.stated is not None:
        trajectory["stated"] = stated(row, fields.stated, remedy("stated", "another key")) or ""
    return trajectory


class _ChoiceGold(GoldFacts):
    answer: str


def _question_and_gold(row: Row, settings: ImportSettings) -> Asked:
    """The question, with its choices listed as in the suites, the gold answer, and its type and choices."""
    fields = settings.fields
    question = text(row, fields.question, remedy("question"))
    key = choices_key(fields)
    if key and row.record.get(key) is not None:
        choices, letter = choices_of(row, key, fields.answer, settings.answer_as)
        known: _ChoiceGold = {"answer": letter, "choices": choices, "answer_type": "choice"}
        if listed_choices(question):
            return {"question": question, **known}
        return {"question": with_choices(question, choices), "stem": question, **known}
    kind = answer_type(row, fields.answer_type) if fields.answer_type else None
    answer = text(row, fields.answer, remedy("answer"), may_be_empty=True)
    asked: Asked = {"question": question, "answer": answer}
    if kind is not None:
        asked["answer_type"] = kind
    return asked


def _stem(path: Path) -> str:
    """The name of a file without what says its kind."""
    name = path.name
    for suffix in (".zst", ".gz", ".jsonl", ".parquet", ".json", ".csv", ".tsv"):
        name = name.removesuffix(suffix)
    return name


def _prompts(problems: dict[str, Problem], count: int, names: str) -> list[Problem]:
    """`count` questions with a gold answer, drawn by content hash, as Problem rows."""
    if count > len(problems):
        raise UserError(
            f"{names}: {len(problems)} questions, but trajectories.grpo (--grpo) asks for {count}; ask for "
            "fewer"
        )
    return [problems[identity] for identity in keyed_order(problems, str, "grpo")[:count]]


def _problem(row: Trajectory) -> Problem:
    """The problem that a trajectory answers."""
    made = problem(SOURCE, row["question"], row["answer"])
    if "stem" in row:
        made["stem"] = row["stem"]
    made.update(gold_facts(row))
    return made


def _draw(rows: list[_Known], usable: list[int], limit: int | None) -> set[int]:
    """At most `limit` of the usable rows, drawn by content hash, by number: their ids are such hashes."""
    if limit is None or limit >= len(usable):
        return set(usable)
    return set(sorted(usable, key=lambda number: rows[number].trajectory_id)[:limit])
