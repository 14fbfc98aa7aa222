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
from glow.verifier import compare
from glow.verifier.equality import Gold
from glow.verifier.verify import Item, Judgement, Verifier, own_cores

STRICT = Verification(extraction="strict", timeout_s=1.0)
LENIENT = Verification(extraction="lenient", timeout_s=1.0)
ENDLESS = r"\boxed{9^{9^{9^{9}}}}"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(STRICT, workers=2) as shared:
        yield shared


def integral(number: int) -> tuple[str, str]:
    """A right response and its gold answer, which no rule reads: a worker compares them."""
    return rf"\boxed{{\int_0^1 (2x+{number})\,dx}}", str(number + 1)


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
    assert verifier.judge_one(*integral(1)) == Judgement(
        "correct", r"\int_0^1 (2x+1)\,dx", "equal (math-verify)", "box"
    )
    assert verifier.judge_one("no", "5") == Judgement("unparsed", None, r"no \boxed{}")


def test_lenient_settings_read_phrases() -> None:
    with Verifier(LENIENT) as lenient:
        found = lenient.judge_one("The answer is 5.", "5")
        assert (found.verdict, found.extracted, found.extracted_from) == ("correct", "5", "phrase")
        assert workers_of(lenient) == []  # Nothing needed one.


@pytest.mark.parametrize(
    ("settings", "response", "extracted", "place"),
    [
        (
            Verification(extraction="pattern", extraction_pattern=r"FINAL >> (.+)"),
            r"\boxed{4} FINAL >> 5",
            "5",
            "pattern",
        ),
        (Verification(extraction="last_number"), r"\boxed{4} makes 5 in all.", "5", "last_number"),
        (Verification(extraction="last_number"), "<think> 4 </think> none", None, None),
    ],
)
def test_each_setting_finds_answers_in_its_place(
    settings: Verification, response: str, extracted: str | None, place: str | None
) -> None:
    with Verifier(settings) as judge:
        found = judge.judge_one(response, "5")
    assert (found.extracted, found.extracted_from) == (extracted, place)
    assert found.verdict == ("correct" if extracted else "unparsed")


def test_an_answer_that_is_stated_already_is_judged_in_place_of_the_response(verifier: Verifier) -> None:
    items = [
        Item(r"<think> \boxed{6}", "5", None, False, "5"),
        Item(r"\boxed{5}", "5", "stop", False, " "),
        Item(r"\boxed{5}", "5", "stop", False, ""),
        Item(r"\boxed{5}", "5", "length", False, "5"),
    ]
    found = [(judged.verdict, judged.extracted_from) for judged in verifier.judge(items)]
    assert found == [("correct", "field"), ("unparsed", None), ("unparsed", None), ("truncated", "field")]


def test_what_is_overlooked_counts_as_the_settings_say() -> None:
    with Verifier(Verification(leniency="allow")) as judge:
        found = judge.judge_one(r"\boxed{42}", r"42\%")
        assert (found.verdict, found.leniency) == ("correct", "percent sign")
        assert judge.same("42", r"42\%")
    with Verifier(Verification(leniency="refuse")) as judge:
        refused = judge.judge_one(r"\boxed{42}", r"42\%")
        assert (refused.verdict, refused.leniency) == ("wrong", "percent sign")
        assert refused.reason == f"{found.reason}, but refused: percent sign"
        assert not judge.same("42", r"42\%")


@pytest.mark.parametrize(
    ("cores", "processes", "workers"), [(8, None, 8), (8, "4", 2), (2, "4", 1), (200, None, 32)]
)
def test_processes_of_one_machine_share_its_cores(
    cores: int, processes: str | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert own_cores() == workers


def test_a_gold_that_names_none_of_its_choices_is_an_error(verifier: Verifier) -> None:
    for answer in ("D", "1", "blue"):
        found = verifier.judge_one(r"\boxed{B}", Gold(answer, "choice", ("red", "green")))
        assert (found.verdict, found.reason) == ("error", "the gold answer names none of its choices")
    for answer in ("B", "(b)", "green"):
        assert verifier.judge_one(r"\boxed{B}", Gold(answer, "choice", ("red", "green"))).verdict == "correct"


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
    items = [(*integral(i), None) for i in range(10)]
    items[3] = (ENDLESS, "5", None)
    with Verifier(Verification(timeout_s=0.5), workers=2) as verifier:
        judgements = list(verifier.judge(items))
    assert [judgement.verdict for judgement in judgements] == ["correct"] * 3 + ["timeout"] + ["correct"] * 6
    assert "0.5 s" in judgements[3].reason


def test_workers_that_die_at_work_are_an_error_and_are_replaced() -> None:
    with Verifier(Verification(timeout_s=60), workers=1) as verifier:
        verifier.judge_one(*integral(1))
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
        assert verifier.judge_one(*integral(2)).verdict == "correct"


def keep_killing(verifier: Verifier, until: threading.Event) -> None:
    """Kill every process of a worker that compares for more than a moment."""
    while not until.wait(0.2):
        for child in children_of(verifier):
            if child.cpu_times().user > 0.8:
                child.kill()


def children_of(verifier: Verifier) -> list[psutil.Process]:
    """The processes in which the workers compare."""
    return [child for worker in workers_of(verifier) for child in psutil.Process(worker).children()]


@pytest.mark.parametrize("part", ["worker", "child"])
def test_a_worker_that_died_idle_is_replaced(part: str) -> None:
    with Verifier(STRICT, workers=1) as verifier:
        verifier.judge_one(*integral(1))
        [worker], [child] = workers_of(verifier), children_of(verifier)
        os.kill(worker if part == "worker" else child.pid, signal.SIGKILL)
        assert verifier.judge_one(*integral(2)).verdict == "correct"
        assert workers_of(verifier) != [worker]
        psutil.wait_procs([child], timeout=30)
        assert not child.is_running()


def test_a_deadline_costs_the_process_that_compares_and_no_new_start() -> None:
    with Verifier(Verification(timeout_s=0.5), workers=1) as verifier:
        verifier.judge_one(*integral(1))
        [worker], [child] = workers_of(verifier), children_of(verifier)
        assert verifier.judge_one(ENDLESS, "5").verdict == "timeout"
        assert verifier.judge_one(*integral(2)).verdict == "correct"
        assert workers_of(verifier) == [worker]
        assert children_of(verifier) != [child]


def test_workers_are_replaced_before_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "PAIRS_A_WORKER", 2)
    with Verifier(STRICT, workers=1) as verifier:
        seen = []
        for i in range(4):
            assert verifier.judge_one(*integral(i)).verdict == "correct"
            seen += workers_of(verifier)
    assert seen[0] == seen[1] != seen[2] == seen[3]


def test_memory_is_capped(verifier: Verifier) -> None:
    judgement = verifier.judge_one(r"\boxed{10^{10^{11}}}", "5")
    assert judgement.verdict in ("timeout", "error", "wrong")
    verifier.judge_one(*integral(99))
    assert children_of(verifier)
    for child in children_of(verifier):
        assert child.memory_info().rss < 2**30


def test_closing_ends_the_workers_even_at_work() -> None:
    verifier = Verifier(Verification(timeout_s=60), workers=1)
    verifier.judge_one(*integral(1))
    [worker], [child] = workers_of(verifier), children_of(verifier)
    threading.Timer(0.3, verifier.close).start()
    with pytest.raises(RuntimeError, match="closed"):
        verifier.judge_one(ENDLESS, "5")
    assert not psutil.pid_exists(worker)
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()


@pytest.mark.parametrize(
    "task", ["None", f"verifier._comparer.compare({ENDLESS!r}, '5')"], ids=["idle", "at work"]
)
def test_workers_end_with_a_killed_parent(task: str) -> None:
    response, gold = integral(1)
    program = f"""
        import os, psutil, signal
        from glow.config import Verification
        from glow.verifier.verify import Verifier
        verifier = Verifier(Verification(timeout_s=1), workers=1)
        verifier.judge_one({response!r}, {gold!r})
        {task}
        worker = verifier._comparer._workers[0]._process.pid
        print(worker, *(child.pid for child in psutil.Process(worker).children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    processes = [int(number) for number in ran.stdout.split()]
    assert len(processes) == 2
    deadline = time.monotonic() + 30
    while any(map(psutil.pid_exists, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [psutil.Process(number) for number in processes if psutil.pid_exists(number)]
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in left)


# --- order and threads ----------------------------------------------------------------------------

MIXED = [
    (rf"\boxed{{{stated}}}", gold, None)
    for i in range(8)
    for stated, gold in [(f"{i}", f"{i}"), (f"x+{i}", f"{i}+x"), (f"x+{i}", f"x-{i + 1}"), (f"{i}", "no")]
] + [(*integral(i), None) for i in range(8)]


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
