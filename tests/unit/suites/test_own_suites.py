"""Suites of the user's own: rows with keys of any name, hub data sets, and task files of lm-eval."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glow import cli
from glow.config import Suite
from glow.data.choices import choices_of
from glow.errors import UserError
from glow.files.jsonl import Record, write_jsonl
from glow.files.user_rows import Row
from glow.suites.files import read_suite, write_suite
from glow.suites.task_problems import task_problems
from glow.suites.tasks import reads_hub, resolved, task_of

Serve = Callable[[Callable[..., list[Record]]], list[tuple[object, ...]]]

TINY = Path(__file__).resolve().parents[2] / "workflow" / "tiny.yaml"
COMMIT = "0123456789" * 4


def suite(**settings: Any) -> Suite:
    return Suite.model_validate(settings)


def problems(settings: Suite, name: str = "mine") -> list[Record]:
    return task_problems(name, settings)[0]


def written(tmp_path: Path, *rows: Record) -> Path:
    write_jsonl(tmp_path / "rows.jsonl", rows)
    return tmp_path / "rows.jsonl"


# --- rows -----------------------------------------------------------------------------------------


def test_rows_with_keys_of_any_name(tmp_path: Path) -> None:
    file = written(tmp_path, {"q": "1 + 1?", "solution": "So 2.\n#### 2", "topic": "sums"})
    fields = {"question": "q", "answer": "solution", "family": "topic", "answer_after": "####"}
    [row] = problems(suite(file=file, fields=fields))
    assert (row["question"], row["answer"], row["family"]) == ("1 + 1?", "2", "sums")
    assert row["source"] == "mine/sums"
    assert row["format"] == "boxed"


def test_usual_keys_need_no_name(tmp_path: Path) -> None:
    file = written(tmp_path, {"problem": "1 + 1?", "target": 2})
    [row] = problems(suite(file=file, fields={}))
    assert (row["question"], row["answer"]) == ("1 + 1?", "2")


def test_choices_in_columns(tmp_path: Path) -> None:
    rows = [{"question": "Which?", "A": "red", "B": "blue", "C": "green", "answer": gold} for gold in "BC"]
    settings = suite(file=written(tmp_path, *rows), fields={"choices": ["A", "B", "C"]})
    first, second = problems(settings)
    assert first["choices"] == ["red", "blue", "green"]
    assert first["question"] == "Which?\nA. red\nB. blue\nC. green"
    assert (first["answer"], second["answer"]) == ("B", "C")
    assert {row["format"] for row in problems(settings.model_copy(update={"format": "choice"}))} == {"choice"}
    write_suite("mine", settings, tmp_path / "mine.jsonl")
    assert len(read_suite(tmp_path / "mine.jsonl")) == 2


def test_a_built_in_task_with_other_keys_stays_that_task(tmp_path: Path) -> None:
    file = written(tmp_path, {"q": "1 + 1?", "answer": "2"})
    task = task_of("math500", suite(file=file, fields={"question": "q"}))
    assert (task.suite, task.in_domain, task.group) == ("math500", "math", "maths")
    assert task.fields.question == ["q"]
    found = resolved("mine", suite(file=file, fields={"question": "q"}), None, ["math"])
    assert (found.domain, found.group) == (None, None)


@pytest.mark.parametrize(
    ("answer", "answer_as", "letter"),
    [
        ("B", "auto", "B"), (1, "auto", "B"), ("1", "auto", "B"), ("blue", "auto", "B"),
        ("2", "number", "B"), (2, "number", "B"), ("1", "index", "B"), ("blue", "text", "B"),
        ("B", "letter", "B"),
    ],
)  # fmt: skip
def test_what_golds_may_be(answer: object, answer_as: Any, letter: str) -> None:
    row = Row("rows:1", {"options": ["red", "blue", "green"], "gold": answer})
    assert choices_of(row, "options", "gold", answer_as) == (["red", "blue", "green"], letter)


@pytest.mark.parametrize(
    ("answer", "answer_as", "message"),
    [
        ("1", "auto", "answer '1' may be A or B: say what answers are with `answer_as: letter`"),
        ("1", "text", None),
        (4, "auto", "answer 4 is not one of the 4 choices; if answers count from 1, say `answer_as: number`"),
        ("0", "number", "answer '0' is not one of the 4 choices"),
        ("E", "auto", "answer 'E' is not one of the 4 choices"),
        (True, "auto", "answer True is not one of the 4 choices"),
        (None, "auto", "answer None is not one of the 4 choices"),
    ],
)
def test_golds_that_could_be_two_choices_or_none_are_refused(
    answer: object, answer_as: Any, message: str | None
) -> None:
    row = Row("rows:7", {"options": ["1", "2", "3", "x"], "gold": answer})
    if message is None:
        assert choices_of(row, "options", "gold", answer_as)[1] == "A"
        return
    with pytest.raises(UserError) as refused:
        choices_of(row, "options", "gold", answer_as)
    assert str(refused.value).startswith(f"rows:7: {message}")


# --- the hub --------------------------------------------------------------------------------------


def test_a_hub_data_set_is_a_suite(serve: Serve) -> None:
    asked = serve(lambda dataset, config, split: [{"q": f"{config}?", "a": "B", "w": ["x", "y"]}])
    settings = suite(
        hub_dataset="org/set",
        revision=COMMIT,
        hub_configs=["one", "two"],
        hub_split="validation",
        fields={"question": "q", "answer": "a", "choices": "w", "family": "hub_config"},
    )
    assert reads_hub("mine", settings)
    rows = problems(settings)
    assert [(row["family"], row["answer"]) for row in rows] == [("one", "B"), ("two", "B")]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hub_dataset": "org/set"}, "hub_dataset and revision (its pinned commit) go together"),
        ({"hub_split": "test"}, "hub_configs and hub_split say what of a hub_dataset is read"),
        ({"fields": {"choices": ["A"]}}, "give one key that holds a list, or two or more different keys"),
        ({"fields": {"anser": "a"}}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_do_not_fit_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        suite(**settings)
    assert message in str(refused.value)


# --- task files of lm-eval ------------------------------------------------------------------------

TASK = """
task: my_task
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{q}}}} Answer:"
"""


def task_file(tmp_path: Path, kind: str, more: str, *rows: Record) -> Path:
    data = written(tmp_path, *rows)
    file = tmp_path / "mine.yaml"
    file.write_text(TASK.format(rows=data, kind=kind) + more)
    return file


def overlay(tmp_path: Path, file: Path) -> Path:
    (tmp_path / "overlay.yaml").write_text(f"name: other\nsuites: {{mine: {{lm_eval: {file}}}}}\n")
    return tmp_path / "overlay.yaml"


def test_a_task_file_of_lm_eval_is_a_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more.py").write_text("def target(doc):\n    return doc['a'].upper()\n")
    file = task_file(
        tmp_path,
        "generate_until",
        "doc_to_target: !function more.target\nnum_fewshot: 3\n",
        {"q": "Say x.", "a": "x"},
        {"q": "Say y.", "a": "y"},
    )
    settings = suite(lm_eval=file)
    assert not reads_hub("mine", settings)
    assert cli.main(["check", str(TINY), "--overlay", str(overlay(tmp_path, file))]) == 0
    assert f"suites.mine: {file} runs code that came with it: more.target; read it" in capsys.readouterr().out
    write_suite("mine", settings, tmp_path / "mine.jsonl")
    shown = capsys.readouterr().out
    assert f"{file}: runs more.target, code that came with the task file\n" in shown
    assert f"{file}: its worked examples are not used" in shown
    rows = read_suite(tmp_path / "mine.jsonl")
    assert [(row["question"], row["answer"], row["format"]) for row in rows] == [
        ("Say x. Answer:", "X", "boxed"),
        ("Say y. Answer:", "Y", "boxed"),
    ]
    manifest = json.loads((tmp_path / "mine.jsonl.manifest.json").read_text())
    assert str(file) in json.dumps(manifest["inputs"])


def test_a_task_file_with_choices(tmp_path: Path) -> None:
    more = "doc_to_choice: options\ndoc_to_target: gold\n"
    file = task_file(tmp_path, "multiple_choice", more, {"q": "Which?", "options": ["a", "b"], "gold": 1})
    [row] = problems(suite(lm_eval=file))
    assert (row["question"], row["choices"], row["answer"], row["format"]) == (
        "Which? Answer:",
        ["a", "b"],
        "B",
        "choice",
    )
    assert task_of("mine", suite(lm_eval=file)).format == "choice"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("output_type: loglikelihood_rolling\n", "output_type: loglikelihood_rolling has no right answer"),
        ("dataset_path: org/set\n", "dataset_path org/set may change any day: pin it with"),
        ("doc_to_target: '{{ 1 / 0 }}'\n", "lm-eval cannot make questions of it: ZeroDivisionError"),
        ("doc_to_target: !function nowhere.target\n", "lm-eval cannot make questions of it: "),
        ("doc_to_target: '   '\n", "question 1: doc_to_target gives"),
        ("x: [\n", "not a readable task file"),
    ],
)
def test_task_files_that_cannot_be_used(tmp_path: Path, more: str, message: str) -> None:
    file = task_file(tmp_path, "generate_until", more, {"q": "Say x.", "a": "x"})
    with pytest.raises(UserError) as refused:
        problems(suite(lm_eval=file))
    assert str(refused.value).startswith(f"{file}: {message}")
    assert len(str(refused.value).splitlines()) == 1
