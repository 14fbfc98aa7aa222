"""Rows of built-in tasks as problems: the paper's sets from real files, and the forms of their choices."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from glow.config import Suite
from glow.data.choices import listed_choices
from glow.errors import UserError
from glow.experiment import load
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.files.user_rows import Row
from glow.suites.task_problems import _task_problem, task_problems
from glow.suites.tasks import read_task

ROOT = Path(__file__).resolve().parents[3]

Serve = Callable[[Callable[..., list[Record]]], list[tuple[object, ...]]]


def problems(name: str, **settings: object) -> list[Record]:
    return task_problems(name, Suite.model_validate(settings))[0]


# --- the real files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("math500", 500),
        ("minerva", 272),
        ("olympiadbench", 675),
        ("amc23", 40),
        ("aime24", 30),
        ("headqa", 2742),
        ("bbh", 6511),
        ("bbh_authors", 6011),
        ("bbh_dyck", 250),
        ("mmlu", 14042),
        ("mmlu_loglikelihood", 14042),
        ("mmlu_pro", 12032),
        ("acpbench", 1800),
        ("gsm8k", 1319),
    ],
)
def test_the_real_sets_are_whole(shared_data: Path, name: str, count: int) -> None:
    rows = problems(name, data_dir=shared_data)
    assert len(rows) == count
    assert len({row["problem_id"] for row in rows}) == count
    for row in rows:
        if row.get("answer_type") == "choice":
            assert row["answer"].strip("()") in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(row["choices"])]


def test_families_of_the_real_sets(shared_data: Path) -> None:
    assert len({row["family"] for row in problems("mmlu", data_dir=shared_data)}) == 57
    assert len({row["family"] for row in problems("bbh", data_dir=shared_data)}) == 27
    assert len({row["family"] for row in problems("bbh_authors", data_dir=shared_data)}) == 25
    assert len({row["family"] for row in problems("acpbench", data_dir=shared_data)}) == 7


def test_choices_listed_in_the_real_questions_are_found(shared_data: Path) -> None:
    with_choices = {
        name: sum("choices" in row for row in problems(name, data_dir=shared_data))
        for name in ("headqa", "acpbench", "math500", "bbh_dyck")
    }
    assert with_choices == {"headqa": 2742, "acpbench": 900, "math500": 0, "bbh_dyck": 0}
    source = read_jsonl(shared_data / "bbh" / "test_original_6511.jsonl.gz")
    lettered = Counter(row["task"] for row in source if row["answer"].startswith("("))
    found = Counter(row["family"] for row in problems("bbh", data_dir=shared_data) if "choices" in row)
    # One row of the original snarks is cut off after "(A) The NB".
    assert found == lettered - Counter(snarks=1)


def test_a_question_that_lists_its_choices_is_left_as_it_is(shared_data: Path) -> None:
    row = problems("headqa", data_dir=shared_data)[0]
    assert row["question"].startswith("Form extracellular fibers with high tensile strength:\nA. Fibronectin")
    assert (row["choices"], row["answer"]) == (
        ["Fibronectin", "Collagen", "Integrins", "Proteoglycans"],
        "B",
    )


def test_the_overlay_of_own_data_names_real_rows(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    document = yaml.safe_load(Path("config/own_data.yaml").read_text())
    overlay = yaml.safe_load(Path("config/overlays/real_suites.yaml").read_text())
    for name, settings in overlay.pop("suites").items():
        document["suites"][name] = document["suites"].get(name, {}) | settings
    experiment = load(document | overlay, "overlay")
    assert set(experiment.suites) >= {"math500", "mmlu", "bbh"}
    assert all(suite.file.is_relative_to("../shared/data") for suite in experiment.suites.values())


# --- forms of choices ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        ("Which?\nA. a\nB. b", ["a", "b"]),
        ("Which?\nOptions:\n(A) 1/2\n(B) 3", ["1/2", "3"]),
        ("A. not this\nQuestion\nA. x\nB. y\nC. z", ["x", "y", "z"]),
        ("Only one\nA. a", []),
        ("Out of order\nA. a\nC. c", []),
        ("No list", []),
    ],
)
def test_listed_choices(question: str, choices: list[str]) -> None:
    assert listed_choices(question) == choices


@pytest.mark.parametrize("answer", ["AB", "BC", "", "D"])
def test_only_a_letter_of_the_list_makes_it_choices(tmp_path: Path, answer: str) -> None:
    # "AB" is part of "ABC", but no letter of it; an empty pair of brackets is none either.
    write_jsonl(tmp_path / "bbh.jsonl", [{"input": "Which?\nA. x\nB. y\nC. z", "target": f"({answer})"}])
    (row,) = problems("bbh", file=tmp_path / "bbh.jsonl")
    assert "choices" not in row
    assert row["answer"] == f"({answer})"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"choices": [str(n) for n in range(27)], "answer": 0}, "'choices' must be a list of 2 to 26 texts"),
        ({"choices": ["a", "b"], "answer": True}, "answer True is not one of the 2 choices"),
    ],
)
def test_choices_that_are_refused(tmp_path: Path, row: Record, message: str) -> None:
    write_jsonl(tmp_path / "mine.jsonl", [{"question": "Q"} | row])
    for settings in ({}, {"format": "choice"}):
        with pytest.raises(UserError, match=f"mine.jsonl:1: {message}"):
            problems("multiple_choice", file=tmp_path / "mine.jsonl", **settings)


def test_26_choices_are_all_listed(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "mine.jsonl", [{"question": "Q", "choices": [*map(str, range(26))], "answer": "Z"}]
    )
    (row,) = problems("multiple_choice", file=tmp_path / "mine.jsonl")
    assert row["question"].splitlines()[-1] == "Z. 25"


def test_a_row_without_choices_cannot_be_scored_by_them() -> None:
    row = Row("mine.jsonl:7", {"question": "Is it?", "answer": "yes"})
    with pytest.raises(UserError, match=r"mine.jsonl:7: no choices; the suite's format can only be boxed"):
        _task_problem("acpbench", read_task("acpbench"), "choice", row)


def test_acpbench_is_not_written_in_part(shared_data: Path) -> None:
    with pytest.raises(UserError, match="'acpbench' has rows without choices: its format can only be boxed"):
        problems("acpbench", data_dir=shared_data, format="choice")


def gpqa(folder: Path) -> Path:
    rows = [
        {
            "Question": f"Question {number}?",
            "Correct Answer": f"right {number}\n",
            **{f"Incorrect Answer {place}": f"wrong {place} of {number}" for place in (1, 2, 3)},
            "High-level domain": "Physics",
        }
        for number in range(200)
    ]
    write_jsonl(folder / "gpqa.jsonl", rows)
    return folder / "gpqa.jsonl"


def test_gpqas_choices_are_shuffled_by_question(tmp_path: Path) -> None:
    rows = problems("gpqa_diamond", file=gpqa(tmp_path))
    for number, row in enumerate(rows):
        assert row["choices"]["ABCD".index(row["answer"])] == f"right {number}"
        assert sorted(row["choices"]) == sorted(
            [f"right {number}", *(f"wrong {place} of {number}" for place in (1, 2, 3))]
        )
    letters = Counter(row["answer"] for row in rows)
    assert all(30 < letters[letter] < 70 for letter in "ABCD")
    # The order is the question's own: neither other rows nor the draw's seed move it.
    few = problems("gpqa_diamond", file=gpqa(tmp_path), problems=20, seed=9)
    by_id = {row["problem_id"]: row for row in rows}
    assert all(by_id[row["problem_id"]] == row for row in few)


def test_ifevals_rows_name_their_scorer(tmp_path: Path) -> None:
    row = {"key": 7, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    write_jsonl(tmp_path / "ifeval.jsonl", [row])
    (found,) = problems("ifeval", file=tmp_path / "ifeval.jsonl")
    assert found["question"] == "No commas."
    assert (found["answer"], found["instruction"], found["scorer"]) == ("", False, "ifeval")
    assert found["scorer_data"] == {key: row[key] for key in ("key", "instruction_id_list", "kwargs")}
    write_jsonl(tmp_path / "ifeval.jsonl", [{"prompt": "No commas."}])
    with pytest.raises(UserError, match=r"ifeval.jsonl:1: no key 'key'; its scorer needs key, instruction"):
        problems("ifeval", file=tmp_path / "ifeval.jsonl")


# --- the hub's forms -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "request_", "row", "answer"),
    [
        (
            "math500",
            ("HuggingFaceH4/MATH-500", None, "test", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
            {"problem": "Q", "answer": "p - q", "subject": "Algebra"},
            "p - q",
        ),
        (
            "aime24",
            ("math-ai/aime24", None, "test", "83a7f387baaa524a8bda0022eac0541582297103"),
            {"problem": "Q", "solution": "\\boxed{204}"},
            "204",
        ),
        (
            "amc23",
            ("math-ai/amc23", None, "test", "80815d37005feb82cd7f8fbc6901d5d3eff43057"),
            {"question": "Q", "answer": "27"},
            "27",
        ),
        (
            "mmlu",
            ("cais/mmlu", "all", "test", "c30699e8356da336a370243923dbaf21066bb9fe"),
            {"question": "Q", "choices": ["w", "x", "y", "z"], "answer": 2, "subject": "s"},
            "C",
        ),
        (
            "mmlu_pro",
            ("TIGER-Lab/MMLU-Pro", None, "test", "b189ec765aa7ed75c8acfea42df31fdae71f97be"),
            {"question": "Q", "options": list("abcdefghij"), "answer": "J", "answer_index": 9},
            "J",
        ),
        (
            "bbh_dyck",
            ("lukaemon/bbh", "dyck_languages", "test", "982bb89fd79532a8ac676a61fc42eb1aeec63f99"),
            {"input": "Close [ [", "target": "] ]"},
            "] ]",
        ),
        (
            "gpqa_diamond",
            ("Idavidrein/gpqa", "gpqa_diamond", "train", "633f5ee89ab8ad4522a9f850766b73f62147ffdd"),
            {"Question": "Q", "Correct Answer": "a"} | {f"Incorrect Answer {n}": f"b{n}" for n in (1, 2, 3)},
            None,
        ),
        (
            "ifeval",
            ("google/IFEval", None, "train", "966cd89545d6b6acfd7638bc708b98261ca58e84"),
            {"key": 1, "prompt": "Q", "instruction_id_list": [], "kwargs": []},
            "",
        ),
    ],
)
def test_rows_of_the_hub(
    serve: Serve, name: str, request_: tuple[object, ...], row: Record, answer: str | None
) -> None:
    asked = serve(lambda *_: [row])
    (found,) = problems(name)
    assert asked == [request_]
    assert found["answer"] == (answer if answer is not None else "ABCD"[found["choices"].index("a")])
    assert found["question"].splitlines()[0] in ("Q", "Close [ [")


def test_the_whole_of_bbh_is_27_requests(serve: Serve) -> None:
    serve(lambda _, config, split: [{"input": f"Q of {config}", "target": "1"}])
    rows = problems("bbh")
    assert len({row["family"] for row in rows}) == len(rows) == 27


def test_worked_examples_come_from_the_hubs_dev_split(serve: Serve) -> None:
    def served(_: str, config: str | None, split: str) -> list[Record]:
        question = {"choices": list("wxyz"), "answer": 0, "subject": "virology"}
        return [question | {"question": f"{split} {number}"} for number in range(5 if split == "dev" else 1)]

    serve(served)
    (row,) = problems("mmlu_loglikelihood")
    assert [line for line in row["prompt"].splitlines() if line.startswith(("dev", "test"))] == [
        "dev 0", "dev 1", "dev 2", "dev 3", "dev 4", "test 0",
    ]  # fmt: skip


# --- worked examples -----------------------------------------------------------------------------


def quiz(subject: str, question: str, answer: str) -> Record:
    return {"subject": subject, "question": question, "choices": ["w", "x", "y", "z"], "answer": answer}


@pytest.fixture
def mmlu(tmp_path: Path) -> dict[str, Path]:
    write_jsonl(tmp_path / "test.jsonl", [quiz("college_physics", "Q? ", "D")])
    write_jsonl(tmp_path / "dev.jsonl", [quiz("virology", "V?", "A"), quiz("college_physics", "P?", "C")])
    return {"file": tmp_path / "test.jsonl", "shots_file": tmp_path / "dev.jsonl"}


def test_worked_examples_are_of_the_subject(mmlu: dict[str, Path]) -> None:
    (row,) = problems("mmlu_loglikelihood", **mmlu, shots=1)
    assert row["prompt"] == (
        "The following are multiple choice questions (with answers) about college physics.\n\n"
        "P?\nA. w\nB. x\nC. y\nD. z\nAnswer: C\n\n"
        "Q?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    )
    assert (row["format"], row["answer"]) == ("choice", "D")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "mmlu_loglikelihood",
            {"shots": 2},
            "suite 'mmlu_loglikelihood': 1 worked examples for subject 'college_physics' in .*dev.jsonl, 2",
        ),
        (
            "mmlu_loglikelihood",
            {"shots_file": None},
            "no worked examples beside .*test.jsonl; give them with",
        ),
        (
            "mmlu_loglikelihood",
            {"format": "boxed"},
            "scored by log-likelihood: for boxed answers take task mmlu",
        ),
        ("mmlu", {"shots": 1}, "suite 'mmlu' takes no worked examples: remove `shots`"),
    ],
)
def test_examples_that_are_refused(
    mmlu: dict[str, Path], name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        problems(name, **(mmlu | settings))
