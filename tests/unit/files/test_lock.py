"""lock: one process makes an output. Processes are real ones; machines and SLURM are made up."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glow import cli
from glow.errors import UserError
from glow.files import lock
from glow.files.atomic import atomic_folder, atomic_path
from glow.files.jsonl import write_json
from glow.files.lock import Holder, held, live_locks, lock_file

STAGE = """
import sys, time
from pathlib import Path
from glow.errors import UserError
from glow.files import lock
from glow.files.jsonl import write_json

lock.BEAT_S = lock._POLL_S = 0.05
output, mark = map(Path, sys.argv[1:3])
try:
    with lock.held(output, "glow sft"):
        print("holds", flush=True)
        if "waits" in sys.argv:
            sys.stdin.readline()
        write_json(output, {"made by": mark.name})
except UserError as error:
    sys.exit(str(error))
"""
"""A stage as any: it holds the lock of its output, works, and puts the output in place."""


class Stage:
    """A stage in a process of its own, that waits for a line before it writes."""

    def __init__(self, output: Path, name: str) -> None:
        command = [sys.executable, "-c", STAGE, str(output), name, "waits"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()

    def end(self) -> tuple[int, str]:
        """Let it write; return its exit code and what it complained of."""
        _, stderr = self.process.communicate("go on\n", timeout=60)
        return self.process.returncode, stderr


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "run" / "out.json"


@pytest.fixture
def start(output: Path) -> Iterator[Callable[[str], Stage]]:
    """Starts a stage; stops it afterwards."""
    started: list[Stage] = []

    def run(name: str) -> Stage:
        started.append(Stage(output, name))
        return started[-1]

    yield run
    for stage in started:
        stage.process.kill()
        stage.process.communicate()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_POLL_S", 0.02)
    for name in ("SLURM_JOB_ID", "RANK"):
        monkeypatch.delenv(name, raising=False)


def leave(output: Path, **facts: Any) -> Path:
    """A lock as another process left it; this process by default."""
    file = lock_file(output)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(vars(replace(Holder.here("glow sft"), **facts))))
    return file


def age(file: Path, seconds: float) -> None:
    os.utime(file, (time.time() - seconds, time.time() - seconds))


ELSEWHERE: dict[str, Any] = {"host": "node7", "machine": "node7 another boot", "pid": 17}


# --- two processes --------------------------------------------------------------------------------


def test_the_second_refuses_and_the_first_ends_well(start: Callable[[str], Stage], output: Path) -> None:
    first = start("first")
    assert first.said == "holds\n"
    second = start("second")
    code, complaint = second.end()
    assert second.said == ""
    assert code == 1
    assert f"{output} (glow sft, pid {first.process.pid} on " in complaint
    assert first.end() == (0, "")
    assert json.loads(output.read_text()) == {"made by": "first"}
    assert [path.name for path in output.parent.iterdir()] == ["out.json"]


def test_one_that_lost_its_lock_leaves_what_the_other_made(
    start: Callable[[str], Stage], output: Path
) -> None:
    """It stood still, another took its output over and finished first."""
    first = start("first")
    first.process.send_signal(signal.SIGSTOP)
    lock_file(output).unlink()
    assert start("second").end() == (0, "")
    first.process.send_signal(signal.SIGCONT)
    code, complaint = first.end()
    assert code in (1, 2)  # found out by the main thread, or by the one that touches the lock
    assert "the lock of this process is gone or another's; ending without writing" in complaint
    assert json.loads(output.read_text()) == {"made by": "second"}


def test_one_that_lost_its_lock_ends_in_the_middle_of_its_work(
    start: Callable[[str], Stage], output: Path
) -> None:
    first = start("first")
    leave(output)
    assert first.process.wait(timeout=60) == 2
    assert lock_file(output).exists()


def test_a_killed_holder_is_succeeded_at_once(start: Callable[[str], Stage], output: Path) -> None:
    first = start("first")
    first.process.kill()
    first.process.wait()
    assert lock_file(output).exists()
    assert start("second").end() == (0, "")


def test_of_many_that_find_a_dead_holder_one_at_a_time_goes_on(output: Path) -> None:
    leave(output, pid=2**22 + 1)
    inside: list[str] = []
    most: list[int] = []

    def work(name: str) -> None:
        while True:
            try:
                with held(output, name):
                    inside.append(name)
                    most.append(len(inside))
                    time.sleep(0.02)
                    inside.remove(name)
                return
            except UserError:
                time.sleep(0.01)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_a_failure_gives_the_lock_back(output: Path) -> None:
    with pytest.raises(ValueError, match="broken"), held(output, "glow sft"):
        assert lock_file(output).exists()
        raise ValueError("broken")
    assert not lock_file(output).exists()


def test_of_the_processes_of_one_job_the_first_holds_the_lock(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(output, "glow sft"):
        monkeypatch.setenv("RANK", "1")
        with held(output, "glow sft"):
            assert lock_file(output).exists()
        assert lock_file(output).exists()
        monkeypatch.delenv("RANK")


# --- who is dead ----------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [{"pid": 2**22 + 1}, {"started": 1.0}], ids=["gone", "pid used again"])
def test_a_process_of_this_machine_is_looked_up(output: Path, facts: dict[str, Any]) -> None:
    leave(output, **facts)
    assert live_locks(output.parent) == []
    with held(output, "glow sft"):
        assert len(live_locks(output.parent)) == 1


def test_a_holder_elsewhere_that_touches_its_lock_lives(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = leave(output, **ELSEWHERE)
    assert [str(found) for found in live_locks(output.parent)] == [f"{output} (glow sft, pid 17 on node7)"]
    beat = threading.Timer(0.1, age, (file, -1))
    beat.start()
    with pytest.raises(UserError, match=r"glow sft, pid 17 on node7\): is being made"), held(output, "x"):
        pass
    beat.join()
    assert "waiting for a sign of life, 5 minutes at most" in capsys.readouterr().err
    assert file.exists()


def test_a_holder_elsewhere_that_was_silent_for_long_is_dead(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = leave(output, **ELSEWHERE)
    age(file, 299)
    assert len(live_locks(output.parent)) == 1
    age(file, 302)
    assert live_locks(output.parent) == []
    with held(output, "glow sft"):
        assert json.loads(file.read_text())["pid"] == os.getpid()
    leave(output, **ELSEWHERE)
    monkeypatch.setattr(lock, "STALE_S", 0.2)
    with held(output, "glow sft"):  # after a wait of 0.2 s
        assert json.loads(file.read_text())["pid"] == os.getpid()


def test_a_damaged_lock_counts_as_held_until_it_is_old(output: Path) -> None:
    file = leave(output)
    file.write_text('{"host": "no')
    assert [str(found) for found in live_locks(output.parent)] == [f"{output} (by an unknown process)"]
    age(file, 302)
    with held(output, "glow sft"):
        assert json.loads(file.read_text())["pid"] == os.getpid()


# --- SLURM ----------------------------------------------------------------------------------------


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a squeue on the PATH that knows job 41 in the given state."""

    def says(script: str) -> None:
        program = tmp_path / "bin" / "squeue"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return says


@pytest.mark.parametrize(
    ("answer", "fresh", "old"),
    [
        ("echo RUNNING", True, True),
        ("echo PENDING", True, True),
        ("echo CANCELLED", False, False),
        ("echo TIMEOUT", False, False),
        ("echo NODE_FAIL", True, False),
        ("echo slurm_load_jobs error: Invalid job id specified >&2; exit 1", True, False),
        ("echo slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1", True, True),
    ],
)
def test_squeue_is_asked_for_a_job_of_another_machine(
    output: Path, squeue: Callable[[str], None], answer: str, fresh: bool, old: bool
) -> None:
    """`fresh`, `old`: whether its holder may live when it touched the lock now, and long ago."""
    squeue(f'case "$*" in *"--jobs 41") {answer};; *) exit 3;; esac')
    file = leave(output, slurm_job="41", **ELSEWHERE)
    assert bool(live_locks(output.parent)) == fresh
    age(file, 302)
    assert bool(live_locks(output.parent)) == old


def test_where_slurm_is_not_silence_decides(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a cluster's job, in results that were moved to a workstation."""
    monkeypatch.setenv("PATH", "/nowhere")
    file = leave(output, slurm_job="41", **ELSEWHERE)
    assert len(live_locks(output.parent)) == 1
    age(file, 302)
    assert live_locks(output.parent) == []


def test_a_full_disk_leaves_no_lock_of_nobody(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock.json, "dumps", full)
    with pytest.raises(OSError, match="No space left"), held(output, "glow sft"):
        pass
    assert list(output.parent.iterdir()) == []


def test_a_requeued_job_succeeds_its_earlier_attempt_at_once(
    output: Path, monkeypatch: pytest.MonkeyPatch, squeue: Callable[[str], None]
) -> None:
    squeue('case "$*" in *RestartCnt*"--jobs 41") echo "2    ";; *) echo RUNNING;; esac')
    leave(output, slurm_job="41", restarts=1, **ELSEWHERE)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    with held(output, "glow sft"):
        assert json.loads(lock_file(output).read_text())["restarts"] == 2


# --- who asks -------------------------------------------------------------------------------------


def test_nothing_is_put_in_place_without_the_lock(output: Path) -> None:
    with held(output, "glow sft"):
        write_json(output, {"a": 1})
        mine = lock_file(output).read_text()
        leave(output, **ELSEWHERE)
        for write in (atomic_path(output), atomic_folder(output.parent / "model")):
            with (
                pytest.raises(UserError, match="the lock of this process is gone or another's"),
                write as partial,
            ):
                if partial.is_dir():
                    (partial / "weights").touch()
                else:
                    partial.touch()
        lock_file(output).write_text(mine)
    assert json.loads(output.read_text()) == {"a": 1}
    assert [path.name for path in output.parent.iterdir()] == ["out.json"]


def test_every_stage_with_an_output_takes_its_lock(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here one that would fail for want of its files, if it began."""
    nothing = output.parent / "nothing"
    command = ["rescore", "--samples", str(nothing), "--output", str(output)]
    with held(output, "glow sft"):
        assert cli.main(command) == 2
        assert f"glow rescore: {output} (glow sft, pid {os.getpid()} on " in capsys.readouterr().err
    assert cli.main(command) == 2
    assert f"{nothing}: no such file" in capsys.readouterr().err
