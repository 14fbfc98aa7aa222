"""Problems of every source, and suites of every format."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets
import pyarrow
import pytest
from pyarrow import parquet
from standin_hub import StandIn

from glow.config import Problems, Suite
from glow.data.problems import write_problems
from glow.errors import UserError
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.files.records import problem_id
from glow.suites.files import write_suite

HASH = "0123456789abcdef0123456789abcdef01234567"

Serve = Callable[[Callable[..., list[Record]]], list[tuple[object, ...]]]


def suite(folder: Path, name: str, **settings: object) -> list[Record]:
    output = folder / "suites" / f"{name}.jsonl"
    write_suite(name, Suite.model_validate(settings), output)
    return list(read_jsonl(output))


def facts(path: Path) -> dict[str, object]:
    return json.loads(path.with_name(path.name + ".manifest.json").read_text())["facts"]


def problems(
    folder: Path, suites: Iterable[Path] = (), **settings: object
) -> tuple[list[Record], list[Record]]:
    outputs = folder / "train.jsonl", folder / "grpo.jsonl"
    write_problems(Problems.model_validate(settings), list(suites), *outputs)
    return list(read_jsonl(outputs[0])), list(read_jsonl(outputs[1]))


def rows_file(path: Path, count: int) -> Path:
    write_jsonl(path, [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(count)])
    return path


# --- training -------------------------------------------------------------------------------------


def test_families_avoid_the_suites(tmp_path: Path) -> None:
    settings = {"families": ["ledger", "turns"], "seed": 5}
    train, _ = problems(tmp_path, **settings, train=30)
    # A suite that holds the first ten of these problems: they are drawn again, and counted.
    write_jsonl(tmp_path / "suite.jsonl", train[:10])
    again, grpo = problems(tmp_path, [tmp_path / "suite.jsonl"], **settings, train=30, grpo=8)
    assert len(again) == 30
    assert len(grpo) == 8
    taken = {row["question"] for row in train[:10]}
    drawn = [row["question"] for row in (*again, *grpo)]
    assert not taken & set(drawn)
    assert len(set(drawn)) == 38
    assert facts(tmp_path / "train.jsonl")["redrawn_because_in_a_suite"] == 10


def test_a_file_is_drawn_by_content(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "own.jsonl", 20)
    train, grpo = problems(tmp_path, file=path, train=8, grpo=4)
    assert (len(train), len(grpo)) == (8, 4)
    assert len({row["problem_id"] for row in (*train, *grpo)}) == 12
    assert all(row["format"] == "boxed" and row["source"] == "file/own.jsonl" for row in train)
    write_jsonl(path, list(read_jsonl(path))[::-1])
    assert problems(tmp_path, file=path, train=8, grpo=4) == (train, grpo)
    assert problems(tmp_path, file=path, train=8, grpo=4, seed=1) != (train, grpo)


def test_parquet_and_mapped_fields(tmp_path: Path) -> None:
    table = pyarrow.Table.from_pylist([{"problem": "Q", "expected_answer": 7, "solution": "because"}])
    parquet.write_table(table, tmp_path / "own.parquet")
    train, grpo = problems(
        tmp_path,
        file=tmp_path / "own.parquet",
        train=1,
        question_field="problem",
        answer_field="expected_answer",
    )
    assert grpo == []
    assert (tmp_path / "grpo.jsonl").read_text() == ""
    assert train == [
        {
            "problem_id": problem_id("file/own.parquet", "Q"), "source": "file/own.parquet", "family": None,
            "question": "Q", "answer": "7", "format": "boxed", "solution": "because",
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"question": "Q"}],
            r"own.jsonl:1: no key 'answer'; .*; map it with problems.answer_field \(--answer-field\)",
        ),
        (
            [{"answer": "1"}],
            "own.jsonl:1: no key 'question'; the keys are answer; map it with problems.question_field",
        ),
        ([{"question": "Q", "answer": "1"}] * 2, "own.jsonl:2: same question as .*own.jsonl:1;"),
        ([{"question": "Q", "answer": "1"}], r"1 problems, but train \+ grpo = 3"),
        ([{"question": "In  suite", "answer": "1"}], "own.jsonl:1: this question is in suite 'math' too"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, rows: list[Record], message: str) -> None:
    write_jsonl(tmp_path / "own.jsonl", rows)
    write_jsonl(tmp_path / "math.jsonl", [{"question": "in suite"}])
    with pytest.raises(UserError, match=message):
        problems(tmp_path, [tmp_path / "math.jsonl"], file=tmp_path / "own.jsonl", train=2, grpo=1)
    assert not (tmp_path / "train.jsonl").exists()


# --- the hub --------------------------------------------------------------------------------------


@pytest.fixture
def asked(serve: Serve) -> list[tuple[object, ...]]:
    """A hub that serves two rows of GSM8K's form for every request; the requests."""
    return serve(
        lambda dataset, config, split: [
            {"question": f"{config} one?", "answer": "1 + 1 = <<1+1=2>>2\n#### 2"},
            {"question": f"{config} two?", "answer": "It is 3,000.\n#### 3,000"},
        ]
    )


def test_a_hub_suite_is_read_at_its_commit(tmp_path: Path, asked: list[tuple[object, ...]]) -> None:
    assert [(row["question"], row["answer"]) for row in suite(tmp_path, "gsm8k")] == [
        ("main one?", "2"),
        ("main two?", "3,000"),
    ]
    assert asked == [("openai/gsm8k", "main", "test", "740312add88f781978c0658806c59bc2815b9866")]


def test_hub_problems(tmp_path: Path, asked: list[tuple[object, ...]]) -> None:
    train, _ = problems(tmp_path, hub_dataset="a/b", hub_config="c", hub_split="cot", revision=HASH, train=2)
    assert {row["source"] for row in train} == {"hub/a/b"}
    assert asked == [("a/b", "c", "cot", HASH)]


def test_a_hub_data_set_may_repeat_itself(
    tmp_path: Path, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """OpenMathReasoning has a question once a solution; what is doubtful or in a suite is left out too."""
    serve(
        lambda *_: [
            {"problem": "1 + 1?", "expected_answer": "2"},
            {"problem": "1 + 1?", "expected_answer": "2"},
            {"problem": "2 + 1?", "expected_answer": "3"},
            {"problem": "2 + 1?", "expected_answer": "4"},
            {"problem": "In a  SUITE?", "expected_answer": "5"},
            {"problem": "Prove it.", "expected_answer": None},
            {"problem": "3 + 1?", "expected_answer": "\\boxed{4}"},
        ]
    )
    write_jsonl(tmp_path / "math.jsonl", [{"question": "in a suite?"}])
    train, _ = problems(
        tmp_path, [tmp_path / "math.jsonl"], hub_dataset="a/b", revision=HASH, train=2,
        question_field="problem", answer_field="expected_answer",
    )  # fmt: skip
    assert {row["question"]: row["answer"] for row in train} == {"1 + 1?": "2", "3 + 1?": "4"}
    assert facts(tmp_path / "train.jsonl")["left_out"] == {
        "repeats": 2,
        "rows in a suite": 1,
        "rows without an answer": 1,
        "questions with more than one answer": 1,
    }
    assert "left out: 2 repeats, 1 rows in a suite" in capsys.readouterr().out


def test_multiple_choice_training_questions_list_their_choices(tmp_path: Path, serve: Serve) -> None:
    serve(lambda *_: [{"question": "Which?", "choices": ["x", "y"], "answer": 1, "subject": ""}])
    train, _ = problems(tmp_path, hub_dataset="cais/mmlu", revision=HASH, choices_field="choices", train=1)
    assert train == [
        {
            "problem_id": problem_id("hub/cais/mmlu", "Which?\nA. x\nB. y"), "source": "hub/cais/mmlu",
            "family": None, "question": "Which?\nA. x\nB. y", "answer": "B", "choices": ["x", "y"],
            "answer_type": "choice", "format": "boxed", "stem": "Which?",
        }
    ]  # fmt: skip


def test_choices_that_are_in_a_suite_are_told_by_their_question(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "own.jsonl", [{"question": "Which?", "choices": ["x", "y"], "answer": "A"}])
    write_jsonl(tmp_path / "mmlu.jsonl", [{"question": "Which?\nA. z\nB. y", "stem": "Which?"}])
    with pytest.raises(UserError, match=r"own.jsonl:1: this question is in suite 'mmlu' too"):
        problems(
            tmp_path, [tmp_path / "mmlu.jsonl"], file=tmp_path / "own.jsonl", choices_field="choices", train=1
        )


def test_a_worked_solution_goes_with_its_problem(tmp_path: Path, serve: Serve) -> None:
    serve(lambda *_: [{"question": "1 + 1?", "answer": "2", "solution": "Count.", "note": "x"}])
    train, _ = problems(tmp_path, hub_dataset="a/b", revision=HASH, train=1)
    assert train[0]["solution"] == "Count."


def test_too_few_questions_with_one_answer_are_refused(tmp_path: Path, serve: Serve) -> None:
    serve(lambda *_: [{"question": f"{n % 3}?", "answer": str(n // 5)} for n in range(6)])
    with pytest.raises(UserError, match=r"hub/a/b: 2 problems, but train \+ grpo = 3 are asked for"):
        problems(tmp_path, hub_dataset="a/b", revision=HASH, train=3)


def test_what_the_hub_gave_and_what_was_written_is_noted(tmp_path: Path, asked: list[object]) -> None:
    problems(tmp_path, hub_dataset="a/b", revision=HASH, train=1, grpo=1)
    noted = facts(tmp_path / "train.jsonl")
    assert noted["hub"] == {"rows": "some"}
    assert noted["sha256"] == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("train.jsonl", "grpo.jsonl")
    }
    suite(tmp_path, "gsm8k")
    noted = facts(tmp_path / "suites" / "gsm8k.jsonl")
    assert noted["hub"] == [{"rows": "some"}]
    assert list(noted["sha256"]) == ["gsm8k.jsonl"]


def test_a_copy_of_the_hubs_files_gives_the_same_problems(
    tmp_path: Path, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, from the hub's answers to the file of problems."""
    table = pyarrow.table(
        {"problem": [f"{n} + 1?" for n in range(50)], "expected_answer": list(range(1, 51))}
    )
    copy = tmp_path / "copy"
    copy.mkdir()
    parquet.write_table(table, copy / "train-00000-of-00001.parquet", row_group_size=7)
    hub.commit = HASH
    hub.files["datasets/a/b"] = {file.name: file.read_bytes() for file in copy.iterdir()}
    settings = {"hub_dataset": "a/b", "revision": HASH, "train": 6, "grpo": 3} | {
        "question_field": "problem", "answer_field": "expected_answer"
    }  # fmt: skip
    fetched = problems(tmp_path, **settings)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert problems(tmp_path, **settings, data_dir=copy) == fetched
    assert len(fetched[0]) == 6


def test_a_copy_without_its_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data_dir is a copy of a hub data set: name that as hub_dataset"):
        Problems(families=["ledger"], train=1, data_dir=tmp_path)


# --- suites ---------------------------------------------------------------------------------------


def test_a_suite_of_families(tmp_path: Path) -> None:
    boxed = suite(tmp_path, "easy", families=["ledger"], problems=5)
    assert len(boxed) == 5
    assert all(row["format"] == "boxed" for row in boxed)
    choice = suite(tmp_path, "easy", families=["ledger"], problems=5, format="choice")
    assert [row["choices"]["ABCD".index(row["answer"])] for row in choice] == [row["answer"] for row in boxed]
    assert choice == suite(tmp_path, "easy", families=["ledger"], problems=5, format="choice")
    assert len(suite(tmp_path, "easy", families=["ledger"])) == 200


QUIZ = [
    {"question": "Which?", "choices": ["a", "b", "c"], "answer": "B", "subject": "s"},
    {"question": "Which?", "choices": ["a", "b", "c"], "answer": "B", "subject": "s"},
    {"question": "Which?", "choices": ["a", "b", "c"], "answer": "B", "subject": "other"},
    {"question": "By index?", "choices": ["a", "b"], "answer": 1, "subject": "s"},
]


def test_multiple_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(tmp_path / "quiz.jsonl", QUIZ)
    rows = suite(tmp_path, "mmlu", file=tmp_path / "quiz.jsonl", format="choice")
    assert rows[0] == {
        "problem_id": problem_id("mmlu/s", "Which?\na\nb\nc"), "source": "mmlu/s", "family": "s",
        "question": "Which?", "answer": "B", "choices": ["a", "b", "c"], "format": "choice",
    }  # fmt: skip
    # The second row repeats the first: it stays, so that scores are over what others score, with its own id.
    assert rows[1] == rows[0] | {"problem_id": problem_id(rows[0]["problem_id"], "copy 2")}
    assert rows[2]["family"] == "other"
    assert rows[3]["answer"] == "B"
    assert "4 problems, format choice, 1 exact repeats" in capsys.readouterr().out


def test_multiple_choice_in_boxes_lists_the_choices(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "quiz.jsonl", QUIZ)
    row = suite(tmp_path, "mmlu", file=tmp_path / "quiz.jsonl")[0]
    assert (row["question"], row["answer"], row["format"]) == ("Which?\nA. a\nB. b\nC. c", "B", "boxed")
    assert (row["stem"], row["choices"], row["answer_type"]) == ("Which?", ["a", "b", "c"], "choice")


def test_choices_with_labels_of_their_own(tmp_path: Path) -> None:
    row = {"question": "Q?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}
    write_jsonl(tmp_path / "arc.jsonl", [row])
    assert suite(tmp_path, "arc_challenge", file=tmp_path / "arc.jsonl")[0]["answer"] == "B"


def test_a_question_with_two_answers_is_counted(tmp_path: Path) -> None:
    rows = [{"input": "Did it?", "target": answer, "task": "t"} for answer in ("Yes", "No")]
    write_jsonl(tmp_path / "bbh.jsonl", [*rows, {"input": "Is it?", "target": "Yes", "task": "t"}])
    found = suite(tmp_path, "bbh", file=tmp_path / "bbh.jsonl")
    assert [row["question"] for row in found] == ["Did it?", "Did it?", "Is it?"]
    assert len({row["problem_id"] for row in found}) == 3
    assert facts(tmp_path / "suites" / "bbh.jsonl")["kept repeats"] == {
        "exact repeats": 0,
        "rows whose question has two answers": 2,
    }


def test_a_limit_draws_by_content(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "own.jsonl", 50)
    few = suite(tmp_path, "questions", file=path, problems=10)
    more = suite(tmp_path, "questions", file=path, problems=20)
    ids = {row["problem_id"] for row in more}
    assert {row["problem_id"] for row in few} < ids
    assert [row for row in suite(tmp_path, "questions", file=path) if row["problem_id"] in ids] == more
    assert [row["question"] for row in few] != [f"What is {i} + 1?" for i in range(10)]
    assert suite(tmp_path, "questions", file=path, problems=10, seed=2) != few


@pytest.mark.parametrize(
    ("name", "settings", "rows", "message"),
    [
        ("mat500", {}, [], "'mat500' is unknown; did you mean 'math500'"),
        ("questions", {"task": "no"}, [], "'no' is unknown"),
        ("math500", {"format": "choice"}, [{"question": "q", "answer": "1"}], "can only be boxed"),
        ("math500", {}, [], "no rows"),
        ("math500", {}, [{"answer": "1"}], "rows.jsonl:1: no key 'question'"),
        ("math500", {"problems": 2}, [{"question": "q", "answer": "1"}], "has 1 problems, 2 are asked for"),
        (
            "mmlu",
            {},
            [{"question": "q", "answer": "E", "choices": ["a", "b"]}],
            "answer 'E' is not one of the 2",
        ),
        (
            "mmlu",
            {},
            [{"question": "q", "answer": "A", "choices": ["a"]}],
            "'choices' must be a list of 2 to 26 texts",
        ),
    ],
)
def test_suites_that_are_refused(
    tmp_path: Path, name: str, settings: dict[str, object], rows: list[Record], message: str
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(UserError, match=message):
        suite(tmp_path, name, file=tmp_path / "rows.jsonl", **settings)


def test_a_task_without_data_set_wants_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give its rows with `file`"):
        suite(tmp_path, "questions")
