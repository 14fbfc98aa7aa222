"""Read the user's own trajectories (instead of problems and a teacher), check them against the suites.

The responses are taken as they are; `glow verify` judges whether they are right.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from glow.config import Fields, ImportSettings
from glow.data.choices import choices_of, listed_choices, with_choices
from glow.data.disjoint import SuiteQuestions
from glow.data.problem_rows import gold_facts, problem
from glow.errors import UserError
from glow.files.hashing import keyed_order
from glow.files.jsonl import write_jsonl
from glow.files.manifest import Manifest
from glow.files.progress import progress_bar
from glow.files.records import Asked, GoldFacts, Problem, Trajectory, problem_id, trajectory_id
from glow.files.user_rows import Row, answer_type, label, read_rows, text

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
    can be right then); finish reason and token counts are unknown.

    Raises:
        UserError: a row lacks a mapped key, two share an id, a gold answer is not one of its choices, or a
            question is also in a suite.
    """
    manifest = Manifest("import")
    places: list[str] = []
    trajectories: list[Trajectory] = []
    for place, trajectory in _read(files, settings.fields):
        places.append(place)
        trajectories.append(trajectory)
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
    }
    manifest.write(output, settings.model_dump(mode="json"), [*files, *suites], facts)
    print(
        f"{output}: {len(kept)} of {len(trajectories)} trajectories on {facts['questions']} questions; "
        f"{len(prompts)} questions kept for GRPO; none shared with a suite"
        + (
            f"; {facts['rows_without_gold_answer']} rows have an empty answer"
            * (facts["rows_without_gold_answer"] > 0)
        )
    )


def _read(files: list[Path], fields: Fields) -> Iterator[tuple[str, Trajectory]]:
    """(place, trajectory) of every row."""
    samples: Counter[str] = Counter()
    own_ids: dict[str, str] = {}
    unseen = {name: key for name in ("choices", "answer_type") if (key := getattr(fields, name)) is not None}
    for path in files:
        for row in progress_bar(path.name, " rows", iterable=read_rows(path)):
            if fields.id is not None:
                _refuse_second(row, fields.id, own_ids)
            unseen = {name: key for name, key in unseen.items() if key not in row.record}
            yield row.place, _trajectory(row, fields, _stem(path), samples)
    for name, key in unseen.items():
        raise UserError(f"{', '.join(map(str, files))}: no row has the key {key!r}; {_remedy(name)}")


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
    return {
        "trajectory_id": trajectory_id(identity, generator, 0, sample_index, response),
        "problem_id": identity,
        "family": None,
        **asked,
        "response": response,
        "generator": generator,
        "seed": 0,
        "sample_index": sample_index,
        "finish_reason": None,
        "prompt_tokens": None,
        "response_tokens": None,
        "label": label(row, fields.label, _remedy("label")) if fields.label else None,
    }


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


def _remedy(field: str) -> str:
    return f"map it with trajectories.fields.{field} (--{field})"


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
