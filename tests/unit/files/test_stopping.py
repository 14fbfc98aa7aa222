"""A request to stop: who notes it, who outlives it, and how the stage is run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glow.files import stopping
from glow.files.stopping import STOPPED, Stopped, asked, at_once, go_on_later, listen


def ask() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def wait_until_asked() -> None:
    deadline = time.monotonic() + 60
    while not asked():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_request_is_noted_and_ends_nothing_by_itself() -> None:
    with listen():
        assert not asked()
        ask()
        wait_until_asked()


def test_what_is_done_at_once_ends_wherever_it_is() -> None:
    with (
        listen(),
        pytest.raises(Stopped, match="three responses are kept"),
        at_once("three responses are kept"),
    ):
        ask()
        for _ in range(6000):  # not one long call: Python looks for signals between two
            time.sleep(0.01)


def test_a_request_that_came_before_ends_it_before_it_begins() -> None:
    began = []
    with listen():
        ask()
        wait_until_asked()
        with pytest.raises(Stopped), at_once("nothing"):
            began.append(True)
    assert not began


def test_a_stop_is_no_error_that_a_library_catches() -> None:
    assert not issubclass(Stopped, Exception)


def test_workers_of_a_process_that_listens_outlive_the_request() -> None:
    """SLURM sends it to every process of a job; a worker that died would give a wrong verdict."""
    with listen():
        worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        os.kill(worker.pid, signal.SIGUSR1)
        worker.communicate(b"\n", timeout=60)
    assert worker.returncode == 0


def test_the_next_who_listens_was_not_asked() -> None:
    with listen():
        ask()
        wait_until_asked()
    with listen():
        assert not asked()


def test_after_listening_the_signal_does_what_it_did() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with listen():
        ask()
    assert signal.signal(signal.SIGUSR1, before) == signal.SIG_IGN
    assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.fixture
def requeues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for scontrol, which notes what it is asked for, and fails where there is a file `refuse`."""
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ -e {tmp_path}/refuse ] && {{ echo "job may not" >&2; exit 1; }}\n'
        f'echo "$@" >> {tmp_path}/asked\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(stopping, "_ENDED_WITHIN_S", 0)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(stopping._State, "has_kept", True)
    return tmp_path / "asked"


def test_outside_slurm_the_exit_code_says_try_again(
    requeues: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go_on_later(Stopped("saved after step 3 of 9")) == STOPPED == 75
    assert not requeues.exists()
    said = capsys.readouterr().err
    assert said == "asked to stop (SIGUSR1): saved after step 3 of 9\nThe same command goes on from there.\n"


def test_a_slurm_job_is_queued_again_under_its_id(requeues: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    go_on_later(Stopped("saved"))
    assert requeues.read_text() == "requeue 42\n"


def test_a_job_that_kept_nothing_is_not_queued_again(
    requeues: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be asked to stop at the same place again, and so on for ever."""
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    with listen():  # another attempt
        pass
    assert go_on_later(Stopped("nothing")) == STOPPED
    assert not requeues.exists()
    assert (
        "job 42 had no time to make anything that is kept: give it a higher limit" in capsys.readouterr().err
    )


def test_without_scontrol_a_job_ends_with_the_reason(
    requeues: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    monkeypatch.setenv("PATH", str(requeues.parent))
    assert go_on_later(Stopped("saved")) == STOPPED
    assert "scontrol requeue 42: [Errno 2]" in capsys.readouterr().err


def test_of_several_processes_one_asks_slurm(requeues: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    monkeypatch.setenv("RANK", "1")
    assert go_on_later(Stopped("saved")) == STOPPED
    assert not requeues.exists()


def test_a_job_that_slurm_does_not_queue_again_ends_with_the_reason(
    requeues: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    requeues.with_name("refuse").touch()
    assert go_on_later(Stopped("saved")) == STOPPED
    assert "scontrol requeue 42: job may not" in capsys.readouterr().err


@pytest.mark.parametrize("stderr", [subprocess.STDOUT, subprocess.PIPE], ids=["to a log", "apart"])
def test_a_log_says_where_an_attempt_begins(stderr: int) -> None:
    missing = ["--verdicts", "none.jsonl", "--output", "none", "--seed", "0"]
    ended = subprocess.run(
        [sys.executable, "-m", "glow.cli", "arms", *missing],
        stdout=subprocess.PIPE, stderr=stderr, text=True, check=False,
        env=os.environ | {"SLURM_JOB_ID": "42"},
    )  # fmt: skip
    assert ended.returncode == 2, ended
    first = (ended.stderr or ended.stdout).splitlines()[0]
    assert first.startswith("--- glow arms: ") == (stderr == subprocess.STDOUT)
    assert ("SLURM job 42" in first) == (stderr == subprocess.STDOUT)
