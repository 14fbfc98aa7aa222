"""The verifier: verdicts, deadlines, dead workers, order, threads, and the stage that writes verdicts."""

import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from glow.config import Verification
from glow.data.verdicts import verify_files
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.verifier import compare
from glow.verifier.equality import Gold
from glow.verifier.verify import Judgement, Verifier

STRICT = Verification(extraction="strict", timeout_s=1.0)
LENIENT = Verification(extraction="lenient", timeout_s=1.0)
ENDLESS = r"\boxed{9^{9^{9^{9}}}}"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(STRICT, workers=2) as shared:
        yield shared


def workers_of(verifier: Verifier) -> list[int]:
    return [worker._process.pid for worker in verifier._comparer._workers if worker.alive]


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "answer", "finish_reason", "verdict"),
    [
        (r"\boxed{\frac{1}{2}}", "0.5", "stop", "correct"),
        (r"\boxed{\sqrt{8}}", r"2\sqrt{2}", None, "correct"),
        (r"\boxed{(x-1)(x+1)}", "x^2-1", None, "correct"),
        (r"\boxed{(1,\infty)}", r"[1,\infty)", None, "wrong"),
        (r"\boxed{2^{100}-1}", "2^{100}-2", None, "wrong"),
        (r"\boxed{\text{C}}", "C", "stop", "correct"),
        (r"\boxed{5}", "6", "stop", "wrong"),
        ("The answer is 5.", "5", "stop", "unparsed"),
        ("", "5", "stop", "unparsed"),
        (r"\boxed{5} and then", "5", "length", "truncated"),
        ("", "5", "length", "truncated"),
        (r"\boxed{5}", " ", "stop", "error"),
    ],
)
def test_verdicts(
    verifier: Verifier, response: str, answer: str, finish_reason: str | None, verdict: str
) -> None:
    assert verifier.judge_one(response, answer, finish_reason).verdict == verdict


def test_a_judgement_says_what_was_extracted_and_why(verifier: Verifier) -> None:
    assert verifier.judge_one(r"\boxed{x+1}", "1+x") == Judgement(
        "correct", "x+1", "equal (math-verify)", "box"
    )
    assert verifier.judge_one("no", "5") == Judgement("unparsed", None, r"no \boxed{}")


def test_lenient_settings_read_phrases() -> None:
    with Verifier(LENIENT) as lenient:
        found = lenient.judge_one("The answer is 5.", "5")
        assert (found.verdict, found.extracted, found.extracted_from) == ("correct", "5", "phrase")
        assert workers_of(lenient) == []  # Nothing needed one.


# --- equality of answers --------------------------------------------------------------------------


def test_answers_are_classed_by_equality(verifier: Verifier) -> None:
    stated = ["0.5", None, "x+1", r"\frac{1}{2}", "1+x", "7", "0.5", None, "x-1"]
    assert verifier.classes(stated) == [0, -1, 1, 0, 1, 2, 0, -1, 3]
    assert verifier.classes([]) == []


def test_a_choice_and_its_text_are_one_class(verifier: Verifier) -> None:
    stated = ["B", r"\text{green}", "A", "red", "(B) green", "blue"]
    gold = Gold("A", "choice", ("red", "green"))
    assert verifier.classes(stated, gold) == [0, 0, 1, 1, 0, 2]
    assert verifier.classes(["1, 2", "2, 1"]) == [0, 0]
    assert verifier.classes(["1, 2", "2, 1"], Gold("5, 6", "list")) == [0, 1]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [("x=5", "5", True), ("1,000", "1000", True), ("(1,2)", "[1,2)", False), (ENDLESS[7:-1], "5", False)],
)
def test_sameness_has_no_direction(verifier: Verifier, first: str, second: str, same: bool) -> None:
    assert verifier.same(first, second) is same
    assert verifier.same(second, first) is same


# --- deadlines and deaths -------------------------------------------------------------------------


def test_what_never_ends_times_out_and_its_neighbours_do_not() -> None:
    items = [(rf"\boxed{{x+{i}}}", f"{i}+x", None) for i in range(10)]
    items[3] = (ENDLESS, "5", None)
    with Verifier(Verification(timeout_s=0.5), workers=2) as verifier:
        judgements = list(verifier.judge(items))
    assert [judgement.verdict for judgement in judgements] == ["correct"] * 3 + ["timeout"] + ["correct"] * 6
    assert "0.5 s" in judgements[3].reason


def test_workers_that_die_at_work_are_an_error_and_are_replaced() -> None:
    with Verifier(Verification(timeout_s=60), workers=1) as verifier:
        verifier.judge_one(r"\boxed{x+1}", "1+x")
        judged = threading.Event()
        killer = threading.Thread(target=keep_killing, args=(verifier, judged))
        killer.start()
        judgement = verifier.judge_one(ENDLESS, "5")
        judged.set()
        killer.join()
        assert (judgement.verdict, judgement.reason) == (
            "error",
            "the process that compared it died (signal 9)",
        )
        assert verifier.judge_one(r"\boxed{x+2}", "2+x").verdict == "correct"


def keep_killing(verifier: Verifier, until: threading.Event) -> None:
    """Kill every worker that has had CPU time for more than its start."""
    while not until.wait(0.2):
        for worker in workers_of(verifier):
            if psutil.Process(worker).cpu_times().user > 1.8:
                os.kill(worker, signal.SIGKILL)


def test_a_worker_that_died_idle_is_replaced(verifier: Verifier) -> None:
    verifier.judge_one(r"\boxed{y+1}", "1+y")
    for worker in workers_of(verifier):
        os.kill(worker, signal.SIGKILL)
    assert verifier.judge_one(r"\boxed{y+2}", "2+y").verdict == "correct"


def test_workers_are_replaced_before_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "PAIRS_A_WORKER", 2)
    with Verifier(STRICT, workers=1) as verifier:
        seen = []
        for i in range(4):
            assert verifier.judge_one(rf"\boxed{{x+{i}}}", f"{i}+x").verdict == "correct"
            seen += workers_of(verifier)
    assert seen[0] == seen[1] != seen[2] == seen[3]


def test_memory_is_capped(verifier: Verifier) -> None:
    judgement = verifier.judge_one(r"\boxed{10^{10^{11}}}", "5")
    assert judgement.verdict in ("timeout", "error", "wrong")
    for worker in workers_of(verifier):
        assert psutil.Process(worker).memory_info().rss < 2**30


def test_closing_ends_the_workers_even_at_work() -> None:
    verifier = Verifier(Verification(timeout_s=60), workers=1)
    verifier.judge_one(r"\boxed{x+1}", "1+x")
    [worker] = workers_of(verifier)
    threading.Timer(0.3, verifier.close).start()
    with pytest.raises(RuntimeError, match="closed"):
        verifier.judge_one(ENDLESS, "5")
    assert not psutil.pid_exists(worker)


@pytest.mark.parametrize(
    "task", ["None", f"verifier._comparer.compare({ENDLESS!r}, '5')"], ids=["idle", "at work"]
)
def test_workers_end_with_a_killed_parent(task: str) -> None:
    program = f"""
        import os, signal
        from glow.config import Verification
        from glow.verifier.verify import Verifier
        verifier = Verifier(Verification(timeout_s=1), workers=1)
        verifier.judge_one(r"\\boxed{{x+1}}", "1+x")
        {task}
        print(verifier._comparer._workers[0]._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    worker = int(ran.stdout)
    deadline = time.monotonic() + 30
    while psutil.pid_exists(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE


# --- order and threads ----------------------------------------------------------------------------

MIXED = [
    (rf"\boxed{{{stated}}}", gold, None)
    for i in range(8)
    for stated, gold in [(f"{i}", f"{i}"), (f"x+{i}", f"{i}+x"), (f"x+{i}", f"x-{i + 1}"), (f"{i}", "no")]
]


def test_the_number_of_workers_changes_nothing(verifier: Verifier) -> None:
    with Verifier(STRICT, workers=1) as alone:
        assert list(alone.judge(MIXED)) == list(verifier.judge(MIXED))


def test_any_thread_may_judge(verifier: Verifier) -> None:
    expected = list(verifier.judge(MIXED))
    found: list[list[Judgement]] = []
    threads = [threading.Thread(target=lambda: found.append(list(verifier.judge(MIXED)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_items_are_drawn_lazily(verifier: Verifier) -> None:
    def endless() -> Iterator[tuple[str, str, str | None]]:
        while True:
            yield r"\boxed{5}", "5", None

    judgements = verifier.judge(endless())
    assert [next(judgements).verdict for _ in range(5)] == ["correct"] * 5


# --- the stage ------------------------------------------------------------------------------------

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


def run_stage(inputs: list[Path], output: Path, **options: object) -> None:
    settings = {"response_field": "response", "answer_field": "answer", "workers": 1} | options
    verify_files(inputs, output, STRICT, **settings)


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
    assert "66.67% as labelled" in said


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
        ([ROWS[0], {"response": "x"}], "a.jsonl:2: no key 'answer'; map it with --answer-field"),
        ([{"answer": "5"}], "a.jsonl:1: no key 'response'; map it with --response-field"),
        ([{"response": None, "answer": "5"}], "a.jsonl:1: 'response' holds no text but null"),
        ([ROWS[0], ROWS[0]], "a.jsonl:2: trajectory_id 't-1' is that of .*a.jsonl:1 too"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[dict[str, object]], message: str) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(UserError, match=message):
        run_stage([tmp_path / "a.jsonl"], tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()


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


def test_a_gold_that_names_none_of_its_choices_is_an_error(verifier: Verifier) -> None:
    for answer in ("D", "1", "blue"):
        found = verifier.judge_one(r"\boxed{B}", Gold(answer, "choice", ("red", "green")))
        assert (found.verdict, found.reason) == ("error", "the gold answer names none of its choices")
    for answer in ("B", "(b)", "green"):
        assert verifier.judge_one(r"\boxed{B}", Gold(answer, "choice", ("red", "green"))).verdict == "correct"


def test_answers_read_from_phrases_are_counted_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = [r"\boxed{5}", "The answer is 5.", "Five."]
    write_jsonl(tmp_path / "a.jsonl", [{"response": response, "answer": "5"} for response in responses])
    for mode, places in (("lenient", ["box", "phrase", None]), ("strict", ["box", None, None])):
        fields = {"response_field": "response", "answer_field": "answer", "workers": 1}
        verify_files([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", Verification(extraction=mode), **fields)
        assert [row["extracted_from"] for row in read_jsonl(tmp_path / "b.jsonl")] == places
        facts = json.loads((tmp_path / "b.jsonl.manifest.json").read_text())["facts"]
        assert facts["extracted_from"] == {place: places.count(place) for place in ("box", "phrase")}
    said = capsys.readouterr().out
    assert said.count("1 answers read from phrases, not boxes") == 1


# --- real pairs -----------------------------------------------------------------------------------


def test_agreement_with_adjudicated_pairs(shared_data: Path) -> None:
    """Every twelfth of 2,592 real (response, gold) pairs whose label two sources support."""
    path = shared_data / "verifier_pairs" / "verifier_pairs_dev_adjudicated.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines][::12]
    with Verifier(Verification(timeout_s=3), workers=2) as verifier:
        judgements = list(verifier.judge((pair["response"], pair["gold"], None) for pair in pairs))
    agree = sum(
        (judgement.verdict == "correct") == pair["correct"]
        for judgement, pair in zip(judgements, pairs, strict=True)
    )
    assert agree / len(pairs) >= 0.99
