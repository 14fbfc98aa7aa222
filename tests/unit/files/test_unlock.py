"""unlock: a dead run's lock goes, a live run's stays. The processes here are real ones."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glow.errors import UserError
from glow.files.unlock import unlock

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a sleeping Python program of a given name in a given directory; stops it afterwards."""
    started: list[subprocess.Popen[str]] = []

    def run(name: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
        process = subprocess.Popen(
            [sys.executable, str(program), *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A working directory as a killed run leaves it: locked, with its log."""
    directory = tmp_path / "project"
    (directory / ".snakemake" / "locks").mkdir(parents=True)
    (directory / ".snakemake" / "locks" / "0.input.lock").write_text("results/x/experiment.json\n")
    (directory / ".snakemake" / "locks" / "0.output.lock").write_text("results/x/report.html\n")
    return directory


def locked(directory: Path) -> bool:
    locks = directory / ".snakemake" / "locks"
    return locks.is_dir() and any(locks.iterdir())


def write_log(directory: Path, name: str, text: str) -> None:
    log = directory / ".snakemake" / "log" / f"{name}.snakemake.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(text)


def test_lock_of_a_dead_run_is_cleared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unlock(project)
    assert not locked(project)
    assert "cleared the lock" in capsys.readouterr().out


def test_nothing_is_said_or_touched_without_a_lock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unlock(tmp_path)
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_live_run_stays(project: Path, start: Start) -> None:
    process = start("snakemake", "--cores", "all", cwd=project)
    with pytest.raises(UserError, match=rf"pid {process.pid}\)"):
        unlock(project)
    assert locked(project)
    process.kill()
    process.wait()
    unlock(project)
    assert not locked(project)


def test_a_run_elsewhere_does_not_matter(project: Path, tmp_path: Path, start: Start) -> None:
    start("snakemake", "--cores", "all", cwd=tmp_path)
    start("glow", "sft", cwd=tmp_path)
    unlock(project)
    assert not locked(project)


def test_jobs_that_outlived_their_run_are_named(project: Path, start: Start) -> None:
    job = start("glow", "sft", "--data", "x", cwd=project)
    with pytest.raises(UserError, match=rf"jobs of a killed run.*kill {job.pid}"):
        unlock(project)
    assert locked(project)


def test_jobs_that_outlived_their_run_are_named_without_a_lock(tmp_path: Path, start: Start) -> None:
    job = start("glow", "grpo", cwd=tmp_path)
    with pytest.raises(UserError, match=str(job.pid)):
        unlock(tmp_path)


def test_a_dry_run_and_a_reader_do_not_matter(tmp_path: Path, start: Start) -> None:
    start("snakemake", "-n", cwd=tmp_path)
    start("glow", "timings", "results/x", cwd=tmp_path)
    unlock(tmp_path)
    assert not locked(tmp_path)


def test_an_editor_on_a_file_called_glow_is_no_job(project: Path, start: Start) -> None:
    start("less", "glow", cwd=project)
    unlock(project)
    assert not locked(project)


def test_lock_from_another_machine_stays(project: Path) -> None:
    write_log(project, "2026-01-01T000000", "SNAKEMAKE\n=========\n  Host: elsewhere\n")
    write_log(project, "2026-01-02T000000", "Congratulations, your workflow is in a good condition!\n")
    with pytest.raises(UserError, match="host elsewhere"):
        unlock(project)
    assert locked(project)
