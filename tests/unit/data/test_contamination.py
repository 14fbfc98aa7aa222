"""contamination: what the report says, and when it is refused."""

import json
import re
from pathlib import Path

import pytest

from glow import cli
from glow.config import Contamination
from glow.data.contamination import check_contamination
from glow.errors import UserError
from glow.files.jsonl import Record, write_jsonl

LONG = [
    f"A train leaves {town} at nine and reaches {other} at noon; how many hours does it take to arrive?"
    for town, other in (("Aachen", "Basel"), ("Celle", "Dover"), ("Essen", "Fulda"), ("Ghent", "Hanau"))
]
"""19 words each. They share their last ten words, which is no run of 13."""

HALF = "On our train leaves Aachen at nine and reaches Basel at noon; how many hours is it?"
"""Shares `train leaves Aachen ... how many hours` with the first: 13 of its 19 words."""

SHORT = ["What is 2 + 3?", "What is 2 - 3?"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Suites `trains` (4 long questions) and `sums` (2 short ones); training files of several kinds."""
    rows: dict[str, list[Record]] = {
        "trains": [{"problem_id": f"train-{n}", "question": text} for n, text in enumerate(LONG)],
        "sums": [{"problem_id": f"sum-{n}", "question": text} for n, text in enumerate(SHORT)],
        "clean": [{"question": "Who are you?", "response": "A teacher of trains, at nine and at noon."}],
        "half": [{"trajectory_id": "t-half", "question": "?", "response": HALF}],
        "copy": [
            {"trajectory_id": "t-copy", "question": LONG[2].upper(), "response": "3"},
            {"trajectory_id": "t-sum", "question": "what is 2 + 3", "response": "5"},
        ],
    }
    return {name: (write_jsonl(tmp_path / f"{name}.jsonl", kept), tmp_path / f"{name}.jsonl")[1]
            for name, kept in rows.items()}  # fmt: skip


def report(files: dict[str, Path], *training: str, **settings: float) -> Record:
    output = files["clean"].parent / "out"
    suites = [files["trains"], files["sums"]]
    check_contamination([files[name] for name in training], suites, output, Contamination(**settings))
    return json.loads((output / "report.json").read_text())


def counts(record: Record) -> tuple[int, int, int, int, float]:
    return tuple(record[key] for key in ("short", "exact", "any_ngram", "overlapping", "share"))


def test_every_suite_is_counted_in_all_files_together(files: dict[str, Path]) -> None:
    found = report(files, "clean", "half", "copy", threshold=1)
    trains, sums = found["suites"]
    assert (trains["suite"], trains["questions"]) == ("trains", 4)
    assert counts(trains) == (0, 1, 2, 1, 0.25)  # The half has 13 / 19 = 68 % of a question, below 80 %.
    assert counts(sums) == (2, 1, 0, 1, 0.5)


def test_every_training_file_is_counted_by_itself(files: dict[str, Path]) -> None:
    files_ = report(files, "clean", "half", "copy", threshold=1)["files"]
    assert [(Path(one["file"]).name, one["rows"]) for one in files_] == [
        ("clean.jsonl", 1),
        ("half.jsonl", 1),
        ("copy.jsonl", 2),
    ]
    assert [counts(one["suites"]["trains"]) for one in files_] == [
        (0, 0, 0, 0, 0.0),
        (0, 0, 1, 0, 0.0),
        (0, 1, 1, 1, 0.25),
    ]


def test_the_worst_examples_come_first_with_their_ids(files: dict[str, Path]) -> None:
    trains, sums = report(files, "half", "copy", threshold=1)["suites"]
    assert [
        (example["question_id"], example["training_row"], example["exact"], round(example["covered"], 2))
        for example in trains["worst"]
    ] == [("train-2", "t-copy", True, 1.0), ("train-0", "t-half", False, 0.68)]
    assert trains["worst"][0]["training_file"] == str(files["copy"])
    assert trains["worst"][0]["question"] == LONG[2]
    assert [example["training_row"] for example in sums["worst"]] == ["t-sum"]


@pytest.mark.parametrize(("coverage", "overlapping"), [(0.0, 2), (0.68, 2), (0.69, 1), (1.0, 1)])
def test_how_much_of_a_question_counts(files: dict[str, Path], coverage: float, overlapping: int) -> None:
    trains, _ = report(files, "half", "copy", coverage=coverage, threshold=1)["suites"]
    assert trains["overlapping"] == overlapping


@pytest.mark.parametrize(("ngram", "found"), [(13, 1), (14, 0)])
def test_how_long_a_run_counts(files: dict[str, Path], ngram: int, found: int) -> None:
    trains, _ = report(files, "half", ngram=ngram, threshold=1)["suites"]
    assert trains["any_ngram"] == found


def test_a_share_up_to_the_threshold_passes_and_above_it_is_refused(files: dict[str, Path]) -> None:
    output = files["clean"].parent / "out"
    report(files, "copy", threshold=0.5)
    assert (output / "manifest.json").is_file()
    with pytest.raises(UserError) as refused:
        report(files, "half", "copy", threshold=0.49)
    message = str(refused.value)
    assert message.startswith("suite 'sums': 1 of 2 questions (50.00%) are in the training data")
    assert f"sum-0 in {files['copy']} (t-sum), whole" in message
    assert len(message.splitlines()) == 2
    assert f"if {output / 'refused.md'} shows" in message
    assert held(output) == {"refused.json", "refused.md"}  # What the pass before has left is gone.
    assert json.loads((output / "refused.json").read_text())["settings"]["threshold"] == 0.49
    report(files, "copy", threshold=0.5)
    assert held(output) == {"report.json", "report.md", "manifest.json"}


def held(output: Path) -> set[str]:
    return {file.name for file in output.iterdir()}


def test_what_a_passed_check_writes_is_what_the_rule_declares(files: dict[str, Path]) -> None:
    """So that whichever is deleted is made again."""
    report(files, "clean")
    rule = Path(__file__).parents[3] / "workflow" / "rules" / "contamination.smk"
    declared = re.findall(r'RESULTS}/contamination/{{domain}}/([\w.]+)"', rule.read_text())
    assert held(files["clean"].parent / "out") == set(declared)


@pytest.mark.parametrize("below", [(), ("a", "b")])
def test_an_output_that_is_no_directory_is_refused(files: dict[str, Path], below: tuple[str, ...]) -> None:
    output = files["half"].joinpath(*below)
    with pytest.raises(UserError, match=rf"{files['half']} is a file; give a directory"):
        check_contamination([files["clean"]], [files["trains"]], output, Contamination())
    assert files["half"].is_file()


def test_a_chat_of_short_questions_is_refused(files: dict[str, Path]) -> None:
    folder = files["clean"].parent
    asked = [f"What is {n} plus {n + 1}?" for n in range(5)]
    write_jsonl(folder / "sums.jsonl", [{"question": text} for text in asked])
    chats = [
        {"messages": [{"role": "user", "content": f"{text}\nPlease reason step by step."}]} for text in asked
    ]
    write_jsonl(folder / "chats.jsonl", chats)
    with pytest.raises(UserError, match=r"suite 'sums': 5 of 5 questions"):
        check_contamination(
            [folder / "chats.jsonl"], [folder / "sums.jsonl"], folder / "out", Contamination()
        )
    (counted,) = json.loads((folder / "out" / "refused.json").read_text())["suites"]
    assert counts(counted) == (0, 0, 5, 5, 1.0)


def test_the_report_can_be_read(files: dict[str, Path]) -> None:
    report(files, "clean", "copy", threshold=1)
    page = (files["clean"].parent / "out" / "report.md").read_text()
    assert "do not publish it" in "".join(page.splitlines()[:4])
    assert "of fewer than 5 words and without choices" in page
    assert "| trains | 4 | 0 | 1 | 1 | 1 | 25.00% |" in page
    assert f"## {files['copy']}: 2 rows" in page
    assert f"- whole: `train-2` in `{files['copy']}` (`t-copy`): {LONG[2]}" in page


def test_the_manifest_names_what_was_compared(files: dict[str, Path]) -> None:
    report(files, "clean")
    manifest = json.loads((files["clean"].parent / "out" / "manifest.json").read_text())
    assert list(manifest["inputs"]) == [str(files[name]) for name in ("clean", "trains", "sums")]
    assert manifest["settings"] == {"ngram": 13, "coverage": 0.8, "threshold": 0.01}
    assert manifest["facts"] == {"overlapping": {"trains": 0, "sums": 0}}


def test_from_the_command_line(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    output = files["clean"].parent / "out"
    words = ["contamination", "--suites", str(files["trains"]), "--output", str(output), "--training"]
    assert cli.main([*words, str(files["clean"])]) == 0
    assert (
        "at most 0 of 4 questions of a suite (trains) are in them; 0 questions, of fewer than 5 words, "
        in (capsys.readouterr().out)
    )
    assert cli.main([*words, str(files["clean"]), str(files["copy"])]) == 2
    assert "glow contamination: suite 'trains': 1 of 4 questions (25.00%)" in capsys.readouterr().err
    assert cli.main([*words, str(files["copy"]), "--threshold", "0.3"]) == 0
    assert cli.main([*words, str(files["copy"]), "--threshold", "2"]) == 2
    assert cli.main([*words, "none.jsonl"]) == 2
    assert "none.jsonl: no such file" in capsys.readouterr().err


def test_an_overlap_of_real_sets_is_refused(shared_data: Path, tmp_path: Path) -> None:
    """MMLU's validation split shares passages and rows with its test split: 1.5 % of it."""
    training, suite = (shared_data / "mmlu" / f"{split}.jsonl.gz" for split in ("val", "test"))
    with pytest.raises(UserError, match=r"suite 'test': 216 of 14042 questions \(1.54%\)"):
        check_contamination([training], [suite], tmp_path, Contamination())


def test_training_data_without_a_row_is_no_all_clear(files: dict[str, Path]) -> None:
    empty = files["clean"].parent / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(UserError, match=r"empty.jsonl: no rows; give the training data"):
        check_contamination([empty], [files["trains"]], empty.parent / "out", Contamination())
    check_contamination([empty, files["clean"]], [files["trains"]], empty.parent / "out", Contamination())
