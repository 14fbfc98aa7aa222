"""How far a run is, from records with a clock of the test's."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_glow import LogHandler
from snakemake_logger_plugin_glow.failures import failure_lines
from snakemake_logger_plugin_glow.status import Status

STATS = {"sft": 4, "evaluate": 2, "all": 1, "total": 7}


class Run:
    """Records as Snakemake makes them, and the status that they give."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.status = Status(lambda: self.now)
        self.status.note(LogEvent.WORKFLOW_STARTED, {"configfiles": ["config/tiny.yaml"]})
        self.status.note(LogEvent.RUN_INFO, {"stats": STATS})

    def start(self, job: int, rule: str = "sft", **wildcards: str) -> None:
        self.status.note(LogEvent.JOB_INFO, {"jobid": job, "rule_name": rule, "wildcards": wildcards})

    def end(self, job: int) -> bool:
        return self.status.note(LogEvent.JOB_FINISHED, {"job_id": job})


def test_before_the_first_job() -> None:
    assert Run().status.line() == "tiny: 0 of 6 jobs, 0 of 2 stages done"


def test_what_runs_is_named_as_its_log_is() -> None:
    run = Run()
    run.start(3, of="students/small/", domain="math", arm="glow", seed="1")
    run.now += 40
    now = "now sft 1/4 students/small/math/glow/seed-1 (40 s)"
    assert run.status.line() == f"tiny: 0 of 6 jobs, 0 of 2 stages done | 40 s so far | {now}"


def test_the_time_left_is_that_of_jobs_like_those_that_ended() -> None:
    """Two at a time, 100 s each: two more take 100 s. Of evaluations nothing is known until one has ended."""
    run = Run()
    run.start(1)
    run.start(2)
    run.now += 100
    assert run.end(1)
    assert run.end(2)
    assert "| about 100 s left without evaluate, not timed yet" in run.status.line().replace("2 min", "100 s")
    run.start(3)
    run.start(4)
    run.now += 60  # 40 s of each are left: 80 in all, two at a time
    assert "| about 40 s left without evaluate" in run.status.line()
    run.now += 40
    run.end(3)
    run.end(4)
    run.start(5, "evaluate")
    run.now += 30
    run.end(5)
    # 430 s of jobs in 230 s: 1.87 at a time; one more of 30 s.
    assert run.status.line() == "tiny: 5 of 6 jobs, 1 of 2 stages done | 4 min so far | about 16 s left"


def test_the_end_says_nothing_of_time_left() -> None:
    run = Run()
    for job, rule in enumerate(["sft"] * 4 + ["evaluate"] * 2):
        run.start(job, rule)
        run.now += 600
        run.end(job)
    assert run.status.is_done
    assert run.status.line() == "tiny: 6 of 6 jobs, 2 of 2 stages done | 60 min so far"


def test_a_failed_job_that_is_tried_again_has_not_failed() -> None:
    run = Run()
    run.start(1, arm="glow")
    assert run.status.label({"jobid": 1, "rule_name": "sft"}) == "sft glow"
    assert run.status.note(LogEvent.JOB_ERROR, {"jobid": 1})
    assert "1 failed" in run.status.line()
    run.start(1)
    assert "failed" not in run.status.line()


def test_of_a_failed_job_the_end_of_its_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("first\n" + "more\n" * 30 + "10%\r20%\r30%\nglow sft: no\n")
    lines = failure_lines("sft glow", {"log": [log, tmp_path / "none.log"]})
    assert lines[:2] == ["failed: sft glow", f"  the end of its log, {log}:"]
    assert lines[-4:] == [
        "    30%",
        "    glow sft: no",
        f"  the end of its log, {tmp_path / 'none.log'}:",
        "    (it was not written)",
    ]
    assert len(lines) == 29


# --- on a stream ----------------------------------------------------------------------------------


def handler(**changed: Any) -> LogHandler:
    common = {
        "stdout": False, "nocolor": True, "quiet": None, "show_failed_logs": True, "debug_dag": False,
        "verbose": False, "dryrun": False, "printshellcmds": True,
    }  # fmt: skip
    return LogHandler(SimpleNamespace(**common | changed), None)  # type: ignore[arg-type]


def record(message: str | None, level: int = logging.INFO, **facts: Any) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    vars(made).update(facts)
    return made


def play(shown: LogHandler, tmp_path: Path, wait: Callable[[], None] = lambda: None) -> None:
    """One job of two that ends well, one that fails, and what Snakemake says beside."""
    job = {"event": LogEvent.JOB_INFO, "rule_name": "sft", "rule_msg": "training", "shellcmd": "glow sft"}
    stats = {"sft": 2, "total": 2}
    shown.handle(record("Building DAG of jobs..."))
    shown.handle(record("", event=LogEvent.WORKFLOW_STARTED, configfiles=["config/tiny.yaml"]))
    shown.handle(record("Job stats", event=LogEvent.RUN_INFO, stats=stats))
    for number, arm in enumerate(("glow", "all")):
        shown.handle(record("", jobid=number, wildcards={"arm": arm}, **job))
        shown.handle(record("Shell command: glow sft", event=LogEvent.SHELLCMD))
    shown.handle(record("careful", logging.WARNING))
    wait()
    shown.handle(record("", event=LogEvent.JOB_FINISHED, job_id=0))
    log = tmp_path / "all.log"
    log.write_text("glow sft: no such file\n")
    shown.handle(record("", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=1, rule_name="sft", log=[log]))
    target = {"rule_name": "fetched", "rule_msg": "all is fetched", "shellcmd": None, "wildcards": {}}
    shown.handle(record("", event=LogEvent.JOB_INFO, jobid=2, **target))
    shown.handle(record("Complete log(s): a.log"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The handler's seconds, which pass only when a test says so."""
    seconds = [0.0]
    stands = SimpleNamespace(monotonic=lambda: seconds[0], strftime=lambda _format: "12:00:00")
    monkeypatch.setattr("snakemake_logger_plugin_glow.time", stands)
    yield seconds


@pytest.mark.parametrize("waited", [9.0, 11.0])
def test_a_file_gets_lines_and_no_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], clock: list[float], waited: float
) -> None:
    shown = handler()
    play(shown, tmp_path, lambda: clock.__setitem__(0, waited))
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["[12:00:00] tiny: 0 of 2 jobs, 0 of 1 stages done", "careful"]
    if waited > 10:
        assert lines.pop(2) == (
            "[12:00:00] tiny: 1 of 2 jobs, 0 of 1 stages done | 11 s so far | about 0 s left"
            " | now sft 2/2 all (11 s)"
        )
    assert lines[2:] == [
        "failed: sft all",
        f"  the end of its log, {tmp_path / 'all.log'}:",
        "    glow sft: no such file",
        "all is fetched",
        "Complete log(s): a.log",
    ]


def test_a_terminal_has_one_line_that_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        shown = handler()
        play(shown, tmp_path)
        shown.close()
        text = os.read(ours, 100_000).decode()
    os.close(ours)
    drawn = [part for line in text.split("\r\n") for part in line.split("\r\x1b[K")]
    assert max(map(len, drawn)) < 60 + len(str(tmp_path))
    assert all(len(part) <= 59 for part in drawn if part.startswith("tiny:"))
    kept = [line.rpartition("\r\x1b[K")[2] for line in text.split("\r\n")]
    assert kept[:3] == ["careful", "failed: sft all", f"  the end of its log, {tmp_path / 'all.log'}:"]
    assert kept[4:6] == ["all is fetched", "Complete log(s): a.log"]
    assert kept[6].startswith("tiny: 1 of 2 jobs, 0 of 1 stages done | 1 failed")
    assert text.endswith("\r\n")


def test_a_dry_run_shows_all_that_snakemake_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = handler(dryrun=True, stdout=True)
    shown.handle(record("Building DAG of jobs..."))
    shown.handle(record("Shell command: glow sft", event=LogEvent.SHELLCMD))
    shown.close()
    assert capsys.readouterr().out == "Building DAG of jobs...\nShell command: glow sft\n"


def test_a_quiet_run_shows_failures_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = handler(quiet={Quietness.PROGRESS})
    play(shown, tmp_path)
    shown.close()
    assert not [line for line in capsys.readouterr().err.splitlines() if "jobs" in line]
