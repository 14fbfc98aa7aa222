"""Import of the user's trajectories: mapping, ids, draws, and refusals."""

import json
from pathlib import Path

import pytest

from glow.config import ArmSettings, Fields, ImportSettings, VerdictSettings
from glow.data.arms import write_arms
from glow.data.own_data import import_trajectories
from glow.data.verdicts import verify_files
from glow.errors import UserError
from glow.experiment import read
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.files.records import problem_id, trajectory_id
from glow.suites.files import write_suite


def bring(
    folder: Path,
    *files: list[Record],
    fields: dict[str, str] | None = None,
    suites: tuple[Path, ...] = (),
    limit: int | None = None,
    grpo: int = 0,
) -> tuple[list[Record], list[Record]]:
    paths = [folder / f"model-{number}.jsonl.gz" for number in range(len(files))]
    for path, rows in zip(paths, files, strict=True):
        write_jsonl(path, rows)
    outputs = folder / "out.jsonl.gz", folder / "grpo.jsonl"
    settings = ImportSettings(fields=Fields(**(fields or {})), limit=limit, grpo=grpo)
    import_trajectories(paths, list(suites), *outputs, settings)
    return list(read_jsonl(outputs[0])), list(read_jsonl(outputs[1]))


NOTHING_ODD = {
    "repeated_rows": 0,
    "questions_with_several_gold_answers": 0,
    "rows_whose_gold_answer_is_the_response": 0,
    "empty_files": [],
}


def facts_of(folder: Path) -> Record:
    facts: Record = json.loads((folder / "out.jsonl.gz.manifest.json").read_text())["facts"]
    return facts


def rows(questions: int, samples: int) -> list[Record]:
    return [
        {"question": f"Q{question}?", "answer": str(question), "response": f"It is {sample}."}
        for question in range(questions)
        for sample in range(samples)
    ]


def test_rows_become_trajectories(tmp_path: Path) -> None:
    own = [
        {"q": "Q?", "gold": 5, "out": "A", "ok": 1, "by": "gpt"},
        {"q": "Q?", "gold": 5, "out": "", "ok": None, "by": "gpt"},
    ]
    mapped = {"question": "q", "answer": "gold", "response": "out", "label": "ok", "generator": "by"}
    trajectories, grpo = bring(tmp_path, own, fields=mapped)
    problem = problem_id("own", "Q?")
    assert trajectories[0] == {
        "trajectory_id": trajectory_id(problem, "gpt", 0, 0, "A"), "problem_id": problem, "family": None,
        "question": "Q?", "answer": "5", "response": "A", "generator": "gpt", "seed": 0, "sample_index": 0,
        "finish_reason": None, "prompt_tokens": None, "response_tokens": None, "label": True,
    }  # fmt: skip
    assert [(row["sample_index"], row["label"], row["response"]) for row in trajectories] == [
        (0, True, "A"),
        (1, None, ""),
    ]
    assert grpo == []
    assert (tmp_path / "grpo.jsonl").read_text() == ""


def test_samples_are_counted_across_files_and_named_by_file(tmp_path: Path) -> None:
    same = [{"question": "Q?", "answer": "5", "response": "A"}]
    trajectories, _ = bring(tmp_path, same, same)
    assert [(row["generator"], row["sample_index"], row["label"]) for row in trajectories] == [
        ("model-0", 0, None),
        ("model-1", 1, None),
    ]
    assert len({row["trajectory_id"] for row in trajectories}) == 2


def test_a_limit_draws_rows_by_content_and_keeps_their_order(tmp_path: Path) -> None:
    every, _ = bring(tmp_path, rows(20, 3))
    few, _ = bring(tmp_path, rows(20, 3), limit=10)
    more, _ = bring(tmp_path, rows(20, 3), limit=20)
    assert len(few) == 10
    assert few == [row for row in every if row in few]
    assert all(row in more for row in few)
    assert few != every[:10]
    assert bring(tmp_path, rows(20, 3), limit=1000)[0] == every


def test_grpo_questions_are_held_out_whole(tmp_path: Path) -> None:
    trajectories, grpo = bring(tmp_path, rows(10, 3), grpo=4)
    assert len(grpo) == 4
    assert len(trajectories) == 6 * 3
    assert not {row["problem_id"] for row in grpo} & {row["problem_id"] for row in trajectories}
    assert set(grpo[0]) == {"problem_id", "source", "family", "question", "answer", "format"}
    # The draw is by content: the order of rows and a limit do not change it.
    assert bring(tmp_path, rows(10, 3)[::-1], grpo=4, limit=5)[1] == grpo
    facts = facts_of(tmp_path)
    assert facts == {
        "rows_read": 30, "rows_kept": 5, "rows_of_grpo_questions": 12, "questions": facts["questions"],
        "grpo_questions": 4, "rows_without_gold_answer": 0, "rows_cut_off": 0, **NOTHING_ODD,
    }  # fmt: skip


def test_questions_without_an_answer_are_no_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [*rows(2, 1), {"question": "Open?", "answer": "", "response": "A"}]
    _, grpo = bring(tmp_path, own, grpo=1)
    assert grpo[0]["answer"]
    assert "1 rows have an empty answer" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"2 questions, but trajectories.grpo \(--grpo\) asks for 3"):
        bring(tmp_path, own, grpo=3)


ONE = {"question": "Q?", "answer": "1", "response": "A"}


@pytest.mark.parametrize(
    ("own", "fields", "message"),
    [
        (
            [{"answer": "1", "response": "A"}],
            {},
            r":1: no key 'question'; the keys are answer, response; map it with "
            r"trajectories.fields.question \(--question\)",
        ),
        (
            [ONE, {"question": "Q", "answer": "1"}],
            {},
            r":2: no key 'response'; the keys are question, answer; map it with",
        ),
        (
            [ONE],
            {"label": "ok"},
            r":1: no key 'ok'; the keys are .*; map it with trajectories.fields.label \(--label\)",
        ),
        ([ONE | {"ok": "maybe"}], {"label": "ok"}, ":1: label 'ok' is 'maybe'; it must be true or false"),
        ([ONE | {"n": 7}] * 2, {"id": "n"}, "model-0.jsonl.gz:2: id '7' is that of .*model-0.jsonl.gz:1 too"),
        ([ONE | {"question": " "}], {}, ":1: 'question' is empty"),
        ([ONE], {"finish_reason": "why"}, r"no row has the key 'why'; map it with .*\(--finish-reason\)"),
        (
            [ONE | {"finish_reason": "cot"}],
            {},
            r":1: 'finish_reason' is 'cot'.* map another key with trajectories.fields.finish_reason",
        ),
        ([ONE | {"thought_open": 1}], {}, ":1: 'thought_open' is 1; it must be true or false"),
        ([], {}, "model-0.jsonl.gz: no rows; give a file that has some"),
    ],
)
def test_rows_that_are_refused(
    tmp_path: Path, own: list[Record], fields: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        bring(tmp_path, own, fields=fields)
    assert not (tmp_path / "out.jsonl.gz").exists()


def test_questions_of_a_suite_are_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "math500.jsonl", [{"question": "q1?"}])
    with pytest.raises(
        UserError, match=r"model-0.jsonl.gz:3: this question is in suite 'math500' too.* 2 rows share 1"
    ):
        bring(tmp_path, rows(3, 2), suites=(tmp_path / "math500.jsonl",))


# --- how responses ended --------------------------------------------------------------------------


def verdicts_of(folder: Path, *files: Path) -> list[str]:
    verify_files(list(files), folder / "verdicts.jsonl", VerdictSettings(), workers=1)
    return [row["verdict"] for row in read_jsonl(folder / "verdicts.jsonl")]


def test_a_response_that_was_cut_off_is_no_negative_after_import_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"question": "Q?", "answer": "5", "response": r"\boxed{6}"}
    own = [
        wrong,
        wrong | {"finish_reason": "MAX_TOKENS"},
        wrong | {"finish_reason": "stop"},
        wrong | {"truncated": True},
        wrong | {"finish_reason": "content_filter"},
        wrong | {"thought_open": True},
    ]
    trajectories, _ = bring(tmp_path, own)
    assert [row["finish_reason"] for row in trajectories] == [
        None, "length", "stop", "length", "interrupted", None,
    ]  # fmt: skip
    assert [row.get("thought_open") for row in trajectories] == [None] * 5 + [True]
    verdicts = ["wrong", "truncated", "wrong", "truncated", "truncated", "unparsed"]
    assert verdicts_of(tmp_path, tmp_path / "model-0.jsonl.gz") == verdicts
    assert verdicts_of(tmp_path, tmp_path / "out.jsonl.gz") == verdicts
    assert facts_of(tmp_path)["rows_cut_off"] == 3
    assert "; 3 rows were cut off" in capsys.readouterr().out


def test_the_key_of_the_finish_reason_can_be_mapped(tmp_path: Path) -> None:
    own = [ONE | {"why": "length", "finish_reason": "stop"}, ONE]
    trajectories, _ = bring(tmp_path, own, fields={"finish_reason": "why"})
    assert [row["finish_reason"] for row in trajectories] == ["length", None]


def test_a_public_format_is_cut_off_as_often_before_import_as_after(
    tmp_path: Path, shared_data: Path
) -> None:
    file = shared_data / "front_door" / "formats" / "r1_flat.jsonl"
    cut = sum(row["finish_reason"] == "length" for row in read_jsonl(file))
    assert cut > 0
    outputs = tmp_path / "out.jsonl.gz", tmp_path / "grpo.jsonl"
    import_trajectories([file], [], *outputs, ImportSettings(fields=Fields(response="content")))
    settings = VerdictSettings(response_field="content")
    verify_files([file], tmp_path / "alone.jsonl", settings, workers=1)
    alone = [row["verdict"] for row in read_jsonl(tmp_path / "alone.jsonl")]
    assert alone.count("truncated") == cut
    assert verdicts_of(tmp_path, outputs[0]) == alone


# --- what is odd ----------------------------------------------------------------------------------


def test_what_is_odd_is_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = [
        {"question": "Q1?", "answer": "1", "response": "A"},
        {"question": "Q1?", "answer": " 1", "response": "A"},  # A repeated row; the answer is the same.
        {"question": "Q1?", "answer": "2", "response": "B"},
        {"question": "Q1?", "answer": "3", "response": "C"},
        {"question": "Q3?", "answer": "", "response": "D"},  # No gold answer is no other one.
    ]
    second = [
        {"question": "Q2?", "answer": "1", "response": "1\n"},
        {"question": "Q3?", "answer": "1", "response": "A"},
        {"question": "Q1?", "answer": "1", "response": "A"},
    ]
    trajectories, _ = bring(tmp_path, first, [], second)
    assert len(trajectories) == 8
    assert (
        facts_of(tmp_path).items()
        >= {
            "repeated_rows": 2,
            "questions_with_several_gold_answers": 1,
            "rows_whose_gold_answer_is_the_response": 1,
            "empty_files": [str(tmp_path / "model-1.jsonl.gz")],
        }.items()
    )
    lines = capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()
    assert lines[1:] == [
        "  rows with question and response of an earlier row: 2 (first: model-0.jsonl.gz:2); they are kept, "
        "so they count several times in training",
        "  questions with several gold answers: 1 (first: '1' in model-0.jsonl.gz:1, '2' in "
        "model-0.jsonl.gz:3); each row is judged by its own",
        "  rows whose gold answer is the whole response: 1 (first: model-2.jsonl.gz:1); is the right key "
        "mapped?",
        "  files without rows: model-1.jsonl.gz",
    ]


def test_nothing_odd_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bring(tmp_path, rows(3, 2))
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert facts_of(tmp_path).items() >= NOTHING_ODD.items()


def test_gold_answers_that_are_all_the_response_are_refused(tmp_path: Path) -> None:
    own = [{"question": f"Q{k}?", "answer": f"It is {k}.", "response": f"It is {k}."} for k in range(3)]
    with pytest.raises(
        UserError, match=r":1: the gold answer is the whole response, as in all 3 rows; map another key"
    ):
        bring(tmp_path, own)
    assert not (tmp_path / "out.jsonl.gz").exists()
    assert len(bring(tmp_path, own[:1])[0]) == 1
    assert len(bring(tmp_path, [*own, ONE])[0]) == 4


@pytest.mark.parametrize("fields", [{"answer": "question"}, {"response": "answer"}, {"question": "response"}])
def test_one_key_is_not_two_things(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="question, answer and response must be three different keys"):
        Fields(**fields)


# --- what ships -----------------------------------------------------------------------------------


def test_the_shipped_example_reaches_its_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    experiment = read(Path("config/own_data.yaml"))
    own = experiment.trajectories
    assert own is not None
    suites = []
    for name, suite in experiment.suites.items():
        suites.append(tmp_path / f"{name}.jsonl")
        write_suite(name, suite, suites[-1])
    trajectories, verdicts = tmp_path / "trajectories.jsonl.gz", tmp_path / "verdicts.jsonl.gz"
    settings = ImportSettings(fields=own.fields, limit=own.limit, grpo=own.grpo)
    import_trajectories(own.files, suites, trajectories, tmp_path / "grpo.jsonl", settings)
    verify_files([trajectories], verdicts, VerdictSettings(verification=experiment.verification), workers=1)
    write_arms(verdicts, tmp_path / "arms", ArmSettings(selection=experiment.selection, seed=0))
    judged = list(read_jsonl(verdicts))
    assert all(row["label"] == (row["verdict"] == "correct") for row in judged)
    assert len(list(read_jsonl(tmp_path / "arms" / "mixed.jsonl"))) >= 30


def test_the_real_trajectories_are_disjoint_from_their_suites(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suites of config/traj_math_tdg.yaml share no question with its rows (both files have the same)."""
    assert (shared_data / "traj_math_tdg").is_dir()
    monkeypatch.chdir(Path(__file__).parents[3])
    experiment = read(Path("config/traj_math_tdg.yaml"))
    own = experiment.trajectories
    assert own is not None
    for name, suite in experiment.suites.items():
        write_suite(name, suite, tmp_path / f"{name}.jsonl")
    outputs = tmp_path / "out.jsonl.gz", tmp_path / "grpo.jsonl"
    settings = ImportSettings(fields=own.fields, limit=200)
    import_trajectories(own.files[:1], list(tmp_path.glob("*.jsonl")), *outputs, settings)
    assert len(list(read_jsonl(outputs[0]))) == 200
    assert facts_of(tmp_path)["rows_read"] == 58_951


def test_types_and_choices_of_gold_answers_are_mapped(tmp_path: Path) -> None:
    listed = "Q2?\nA. up\nB. down"
    own = [
        {"question": "Q1?", "answer": 1, "response": "A", "options": ["red", "green"], "kind": None},
        {"question": listed, "answer": "A", "response": "A", "options": ["up", "down"]},
        {"question": "Q3?", "answer": "1, 2", "response": "A", "options": None, "kind": "list"},
        {"question": "Q4?", "answer": "5", "response": "A"},
    ]
    fields = {"choices": "options", "answer_type": "kind"}
    trajectories, grpo = bring(tmp_path, own, fields=fields)
    keys = ("question", "stem", "answer", "choices", "answer_type")
    asked = [{key: row[key] for key in keys if key in row} for row in trajectories]
    assert asked == [
        {"question": "Q1?\nA. red\nB. green", "stem": "Q1?", "answer": "B", "choices": ["red", "green"],
         "answer_type": "choice"},
        {"question": listed, "answer": "A", "choices": ["up", "down"], "answer_type": "choice"},
        {"question": "Q3?", "answer": "1, 2", "answer_type": "list"},
        {"question": "Q4?", "answer": "5"},
    ]  # fmt: skip
    _, grpo = bring(tmp_path, own, fields=fields, grpo=3)
    for row in grpo:
        assert next(one for one in asked if one["question"] == row["question"]).items() <= row.items()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"choices": "response"}, "model-0.jsonl.gz:1: 'response' must be a list of 2 to 26 texts"),
        ({"answer_type": "response"}, "model-0.jsonl.gz:1: 'response' is 'A'; it must be one of number"),
        ({"choices": "optz"}, "no row has the key 'optz'; map it with trajectories.fields.choices"),
        ({"answer_type": "knd"}, "no row has the key 'knd'; map it with trajectories.fields.answer_type"),
        ({"choices": "options"}, "answer 'C' is not one of the 2 choices"),
    ],
)
def test_what_is_no_type_and_no_choices_is_refused(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    own = [{"question": "Q?", "answer": "C", "response": "A", "options": ["red", "green"]}]
    with pytest.raises(UserError, match=message):
        bring(tmp_path, own, fields=fields)


def test_the_answer_that_a_row_states_is_kept_for_its_verdict(tmp_path: Path) -> None:
    own = [
        {"question": "Q?", "answer": "5", "response": r"\boxed{6}", "pred": 5},
        {"question": "Q?", "answer": "5", "response": r"\boxed{5}", "pred": None},
        {"question": "Q?", "answer": "5", "response": r"\boxed{5} "},
    ]
    assert all("stated" not in row for row in bring(tmp_path, own)[0])
    trajectories, _ = bring(tmp_path, own, fields={"stated": "pred"})
    assert [row["stated"] for row in trajectories] == ["5", "", ""]
    verify_files([tmp_path / "out.jsonl.gz"], tmp_path / "verdicts.jsonl", VerdictSettings(), workers=1)
    judged = [(row["verdict"], row["extracted_from"]) for row in read_jsonl(tmp_path / "verdicts.jsonl")]
    assert judged == [("correct", "field"), ("unparsed", None), ("unparsed", None)]
    with pytest.raises(UserError, match=r"no row has the key 'predd'.*trajectories.fields.stated"):
        bring(tmp_path, own, fields={"stated": "predd"})
