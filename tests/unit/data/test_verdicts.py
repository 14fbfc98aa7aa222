"""The verdicts stage: every row judged, counted, compared with its label, and refused by place."""

import json
from pathlib import Path
from typing import Any

import pytest

from glow.config import Prompt, VerdictSettings, Verification
from glow.data.verdicts import verify_files
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.files.records import ANSWER_PLACES, LENIENCIES
from glow.verifier import verify
from glow.verifier.equality import Decision

ROWS = [
    {"trajectory_id": "t-1", "response": r"\boxed{5}", "answer": "5", "label": True, "kept": [1, "ü"]},
    {"trajectory_id": "t-2", "response": r"\boxed{6}", "answer": "5", "label": False},
    {"trajectory_id": "t-3", "response": r"\boxed{x+1}", "answer": "1+x", "label": False},
    {"trajectory_id": "t-4", "response": "", "answer": "5", "label": None},
    {
        "trajectory_id": "t-5",
        "response": r"\boxed{5}",
        "answer": "5",
        "finish_reason": "length",
        "label": True,
    },
]


def run_stage(inputs: list[Path], output: Path, **options: Any) -> None:
    workers = options.pop("workers", 1)
    verify_files(inputs, output, VerdictSettings.model_validate(options), workers=workers)


def test_every_row_gets_its_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(tmp_path / "a.jsonl", ROWS[:3])
    write_jsonl(tmp_path / "b.jsonl.gz", ROWS[3:])
    output = tmp_path / "out" / "verdicts.jsonl.gz"
    run_stage([tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"], output)
    written = list(read_jsonl(output))
    assert [row["verdict"] for row in written] == ["correct", "wrong", "correct", "unparsed", "truncated"]
    assert [row["extracted"] for row in written] == ["5", "6", "x+1", None, "5"]
    for before, after in zip(ROWS, written, strict=True):
        assert before.items() <= after.items()
        assert after["reason"]
    facts = json.loads((tmp_path / "out" / "verdicts.jsonl.gz.manifest.json").read_text())["facts"]
    assert facts["rows"] == 5
    assert facts["verdicts"] == {
        "correct": 2, "wrong": 1, "unparsed": 1, "truncated": 1, "timeout": 0, "error": 0,
    }  # fmt: skip
    assert facts["label"] == {
        "labelled": 4, "compared": 3, "agree": 2,
        "label_true_verdict_wrong": 0, "label_false_verdict_correct": 1,
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "5 rows: 2 correct, 1 wrong, 1 unparsed, 1 truncated; of 4 labelled, 3 judged" in said
    assert "  unparsed: no answer in a box; --extraction lenient also reads `The answer is 42.`\n" in said
    assert "66.67% as labelled" in said


@pytest.mark.parametrize(
    ("labels", "settings", "agreed"),
    [
        (["yes", "no", "no", "yes"], {"label": "right"}, 3),
        ([0.9, 0.6, 0.4, None], {"label": "right", "label_threshold": 0.7}, 2),
        ([True, False, False, True], {}, 0),
    ],
    ids=["words", "rewards", "another key is no label"],
)
def test_verdicts_are_compared_with_a_label_of_any_name(
    tmp_path: Path, labels: list[object], settings: dict[str, Any], agreed: int
) -> None:
    answers = ("5", "6", "5", "5")
    rows = [
        {"response": rf"\boxed{{{answer}}}", "answer": "5", "right": said}
        for answer, said in zip(answers, labels, strict=True)
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    verify_files([tmp_path / "a.jsonl"], tmp_path / "out.jsonl", VerdictSettings(**settings), workers=1)
    facts = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["facts"]
    assert facts.get("label", {"agree": 0})["agree"] == agreed


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ROWS)
    for name, workers in (("one", 1), ("two", 2)):
        run_stage([tmp_path / "a.jsonl"], tmp_path / f"{name}.jsonl.gz", workers=workers)
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()


def test_fields_can_be_mapped(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"output": r"\boxed{5}", "gold": "5"}])
    run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", response_field="output", answer_field="gold")
    assert [row["verdict"] for row in read_jsonl(tmp_path / "b.jsonl")] == ["correct"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [ROWS[0], {"response": "x"}],
            "a.jsonl:2: no key 'answer'; the keys are response; map it with --answer-field",
        ),
        (
            [{"answer": "5"}],
            "a.jsonl:1: no key 'response'; the keys are answer; map it with --response-field",
        ),
        ([{"response": None, "answer": "5"}], "a.jsonl:1: 'response' must be text, found null"),
        ([ROWS[0], ROWS[0]], "a.jsonl:2: trajectory_id 't-1' is that of .*a.jsonl:1 too"),
        (
            [ROWS[0] | {"finish_reason": ["length"]}],
            r"a.jsonl:1: 'finish_reason' is \['length'\].*map another "
            "key with --finish-reason-field",
        ),
        ([ROWS[0] | {"thought_open": "no"}], "a.jsonl:1: 'thought_open' is 'no'; it must be true or false"),
        ([], "a.jsonl: no rows; give a file that has some"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[dict[str, object]], message: str) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(UserError, match=message):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()


def test_an_empty_file_beside_others_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(tmp_path / "a.jsonl", ROWS)
    write_jsonl(tmp_path / "none.jsonl", [])
    run_stage([tmp_path / "none.jsonl", tmp_path / "a.jsonl"], tmp_path / "b.jsonl")
    assert capsys.readouterr().out.splitlines()[1:-1] == [f"  {tmp_path}/none.jsonl: no rows"]


def test_how_a_response_ended_is_read_in_any_words(tmp_path: Path) -> None:
    right = {"response": r"\boxed{5}", "answer": "5"}
    rows = [
        right | {"finish_reason": "MAX_TOKENS", "why": "stop"},
        right | {"finish_reason": "eos_token", "why": "length"},
        right | {"truncated": True},
        right | {"finish_reason": "abort"},
        right | {"finish_reason": None},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    for key, verdicts in (
        (None, ["truncated", "correct", "truncated", "truncated", "correct"]),
        ("why", ["correct", "truncated", "correct", "correct", "correct"]),
    ):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", finish_reason_field=key)
        assert [row["verdict"] for row in read_jsonl(tmp_path / "b.jsonl")] == verdicts
    with pytest.raises(
        UserError, match=r"a.jsonl: no row has the key 'whyy'; map it with --finish-reason-field"
    ):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "c.jsonl", finish_reason_field="whyy")
    assert not (tmp_path / "c.jsonl").exists()


def test_thoughts_are_no_answers(tmp_path: Path) -> None:
    rows = [
        {"response": r"<think> \boxed{5}", "answer": "5"},
        {"response": r"Try \boxed{5}", "answer": "5", "thought_open": True},
        {"response": r"Try \boxed{5}", "answer": "5", "thought_open": False},
        {"response": r"<t>\boxed{6}</t>\boxed{5}<t>", "answer": "5"},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    for marks, verdicts in (
        (("<think>", "</think>"), ["unparsed", "unparsed", "correct", "correct"]),
        (("<t>", "</t>"), ["correct", "unparsed", "correct", "unparsed"]),
    ):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", thought=marks)
        assert [row["verdict"] for row in read_jsonl(tmp_path / "b.jsonl")] == verdicts


@pytest.mark.parametrize("marks", [("", "</think>"), ("<t>", " "), ("<t>", "<t>"), ("think>", "</think>")])
def test_marks_that_cannot_be_told_apart_are_refused(marks: tuple[str, str]) -> None:
    for section in (VerdictSettings, Prompt):
        with pytest.raises(ValueError, match="give two different marks"):
            section(thought=marks)


def test_duplicates_are_seen_across_files(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, ROWS[:1])
    with pytest.raises(UserError, match=r"b.jsonl:1: trajectory_id 't-1' is that of .*a.jsonl:1 too"):
        run_stage([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "out.jsonl")


def test_numbers_count_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"response": "\\\\boxed{5}", "answer": 5}\n')
    run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl")
    assert [row["verdict"] for row in read_jsonl(tmp_path / "b.jsonl")] == ["correct"]


def test_types_are_inferred_or_read_from_a_field(tmp_path: Path) -> None:
    # As an inferred set 2, 1 is 1, 2; as a list it is not. `answer_type` counts only where it is asked for.
    pair = {"response": r"\boxed{2, 1}", "answer": "1, 2"}
    choice = {"answer": "B", "answer_type": "choice", "choices": ["red", "green"]}
    rows = [
        pair | {"answer_type": "list"},
        pair | {"answer_type": None},
        pair,
        choice | {"response": r"\boxed{green}"},
        choice | {"response": r"\boxed{red}"},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    for field, verdicts in (
        ("answer_type", ["wrong", "correct", "correct", "correct", "wrong"]),
        (None, ["correct", "correct", "correct", "wrong", "wrong"]),
    ):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", answer_type_field=field)
        assert [row["verdict"] for row in read_jsonl(tmp_path / "b.jsonl")] == verdicts
    write_jsonl(tmp_path / "a.jsonl", [pair | {"answer_type": "integer"}])
    with pytest.raises(UserError, match=r"a.jsonl:1: 'answer_type' is 'integer'; it must be one of number"):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", answer_type_field="answer_type")


def test_answers_read_from_phrases_are_counted_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = [r"\boxed{5}", "The answer is 5.", "Five."]
    write_jsonl(tmp_path / "a.jsonl", [{"response": response, "answer": "5"} for response in responses])
    for mode, places in (("lenient", ["box", "phrase", None]), ("strict", ["box", None, None])):
        settings = VerdictSettings(verification=Verification(extraction=mode))
        verify_files([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", settings, workers=1)
        assert [row["extracted_from"] for row in read_jsonl(tmp_path / "b.jsonl")] == places
        facts = json.loads((tmp_path / "b.jsonl.manifest.json").read_text())["facts"]
        assert facts["extracted_from"] == {place: places.count(place) for place in ANSWER_PLACES}
    said = capsys.readouterr().out
    assert said.count("1 answers read from phrases, not boxes") == 1


def test_an_answer_that_a_field_states_is_not_looked_for_in_the_response(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {"response": r"\boxed{6}", "answer": "5"}
    rows = [
        right | {"stated": "5", "pred": 6},
        right | {"stated": "6", "pred": 5},
        right | {"stated": None, "pred": 5.0},
        right | {"stated": "5", "pred": "", "finish_reason": "length"},
        {"response": r"\boxed{5}", "answer": "5"},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    for key, verdicts, places in (
        (None, ["correct", "wrong", "unparsed", "truncated", "correct"], "ff-fb"),
        ("pred", ["wrong", "correct", "correct", "truncated", "correct"], "fff-b"),
    ):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", stated_field=key)
        written = list(read_jsonl(tmp_path / "b.jsonl"))
        assert [row["verdict"] for row in written] == verdicts
        assert "".join((row["extracted_from"] or "-")[0] for row in written) == places
    assert "3 answers read from a field of the rows, not boxes" in capsys.readouterr().out
    with pytest.raises(UserError, match="no row has the key 'predd'; map it with --stated-field"):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", stated_field="predd")
    write_jsonl(tmp_path / "a.jsonl", [right | {"stated": ["5"]}])
    with pytest.raises(UserError, match=r"a.jsonl:1: 'stated' must be text, found list.*--stated-field"):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl")


def test_what_was_overlooked_is_counted_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "decide", lambda *_: Decision(True, "the same", "percent sign"))
    write_jsonl(tmp_path / "a.jsonl", ROWS[:2] + ROWS[4:])
    for policy, verdict in (("allow", "correct"), ("refuse", "wrong")):
        settings = VerdictSettings(verification=Verification(leniency=policy))
        verify_files([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", settings, workers=1)
        written = list(read_jsonl(tmp_path / "b.jsonl"))
        assert [row["verdict"] for row in written] == [verdict, verdict, "truncated"]
        assert [row.get("leniency", "none") for row in written] == ["percent sign", "percent sign", "none"]
        facts = json.loads((tmp_path / "b.jsonl.manifest.json").read_text())["facts"]
        assert facts["leniencies"] == dict.fromkeys(LENIENCIES, 0) | {"percent sign": 2}
        assert "in 2 something was overlooked (2 percent sign)" in capsys.readouterr().out
