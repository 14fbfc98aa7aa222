"""unlock: a dead run's lock goes, a live run's stays. The processes here are real ones."""

import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from glow.errors import UserError
from glow.files.lock import Holder, lock_file
from glow.files.running import refuse_beside_others
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


def test_a_snakemake_of_one_job_is_a_job(project: Path, start: Start) -> None:
    """One that SLURM starts on this machine, as the plugin calls it."""
    job = start("snakemake", "--target-jobs", "sft:arm=glow", "--mode", "remote", cwd=project)
    with pytest.raises(UserError, match=rf"jobs of a killed run.*kill {job.pid}"):
        unlock(project)


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


# --- SLURM ----------------------------------------------------------------------------------------


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a squeue on the PATH that shows the given jobs, and a scontrol that shows their scripts."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)

    def shows(jobs: str) -> None:
        folder = tmp_path / "slurm"
        folder.mkdir(exist_ok=True)
        (folder / "jobs").write_text(jobs)
        scripts = {
            "squeue": f"cat {folder}/jobs",
            "scontrol": "echo snakemake --configfiles /r/of-job-$3.json",
        }
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return shows


def test_jobs_in_slurms_queue_are_named_with_the_way_to_end_them(
    project: Path, slurm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = f"9|RUNNING|{project.parent}|rule_sft\n8|RUNNING|{project}|my own shell\n"
    slurm(
        f"41|RUNNING|{project}|rule_sft_wildcards_logic_positive_0\n42|PENDING|{project}|rule_verify\n"
        + elsewhere
    )
    with pytest.raises(UserError) as refused:
        unlock(project)
    assert str(refused.value) == (
        "SLURM still has jobs of an earlier run: 41 (sft logic_positive_0, RUNNING); 42 (verify, PENDING)\n"
        "Wait for them to end (what they finish is kept), or end them first (training goes on from its last "
        "checkpoint): scancel 41 42"
    )
    assert locked(project)
    monkeypatch.setenv("SLURM_JOB_ID", "41")  # Snakemake itself may run in a job
    with pytest.raises(UserError, match=r"scancel 42$"):
        unlock(project)
    slurm(elsewhere)
    unlock(project)
    assert not locked(project)


def test_where_slurm_does_not_answer_nothing_is_cleared(
    project: Path, slurm: Callable[[str], None], tmp_path: Path
) -> None:
    slurm("")
    (tmp_path / "slurm" / "squeue").write_text(
        "#!/bin/sh\necho Unable to contact slurm controller >&2\nexit 1\n"
    )
    with pytest.raises(UserError, match=r"may still work here \(Unable to contact slurm controller\)"):
        unlock(project)
    assert locked(project)


def test_a_run_starts_beside_the_jobs_of_another_experiment_only(
    project: Path, slurm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    slurm(f"41|PENDING|{project}|rule_sft\n")
    with pytest.raises(UserError, match="scancel 41"):
        refuse_beside_others(project / "results" / "x", Path("/r/of-job-41.json"))
    refuse_beside_others(project / "results" / "x", Path("/r/of-job-42.json"))


# --- locks of outputs -----------------------------------------------------------------------------


def test_a_stage_on_another_machine_is_named(project: Path) -> None:
    results = project / "results" / "x"
    results.parent.mkdir()
    (project.parent / "disk").mkdir()
    results.symlink_to(project.parent / "disk")
    elsewhere = replace(Holder.here("glow grpo"), host="node7", machine="node7", pid=17)
    lock_file(results / "seed-0").write_text(json.dumps(vars(elsewhere)))
    for refused in (lambda: unlock(project), lambda: refuse_beside_others(results, project / "frozen.json")):
        with pytest.raises(UserError, match=r"seed-0 \(glow grpo, pid 17 on node7\)"):
            refused()
    assert locked(project)


# --- what jobs finished without their run -----------------------------------------------------------


def mark(project: Path, subject: str, output: str) -> Path:
    """What Snakemake leaves about an output: `incomplete` while it is made, `metadata` of how it was."""
    file = project / ".snakemake" / subject / urlsafe_b64encode(output.encode()).decode()
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")
    return file


def test_what_was_finished_after_the_kill_is_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of five jobs one ended; of the others, this is not known of all outputs."""
    results = project / "results" / "x"
    outputs = {
        "ended": ["sft/a/model", "sft/a/log.jsonl", "sft/a/manifest.json"],
        "begun": ["sft/b/model", "sft/b/manifest.json"],
        "earlier": ["suites/c.jsonl", "suites/c.jsonl.manifest.json"],
        "torn": ["sft/d/model", "sft/d/manifest.json"],
        "with one that has no manifest": ["problems/e/grpo.jsonl", "problems/e/train.jsonl.manifest.json"],
    }
    for path in ("suites/c.jsonl", "suites/c.jsonl.manifest.json"):
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_text("{}")
        os.utime(results / path, (1, 1))
    marks = {
        path: mark(project, "incomplete", f"results/x/{path}") for paths in outputs.values() for path in paths
    }
    for path in outputs["with one that has no manifest"]:
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_text("{}")
    noted = mark(project, "metadata", "results/x/sft/a/model")
    (project / ".snakemake" / "incomplete" / ".nfs0123").touch()
    for path in ("sft/a/model", "sft/d/model"):
        (results / path).mkdir(parents=True)
    for path in outputs["ended"][1:]:
        (results / path).write_text("{}")
    for path in ("sft/a", "sft/b"):
        (results / path / "checkpoints" / "checkpoint-6").mkdir(parents=True)
    unlock(project)
    assert {file.name for file in (results / "sft" / "a").iterdir()} == {
        "model",
        "log.jsonl",
        "manifest.json",
    }
    assert (results / "sft" / "b" / "checkpoints" / "checkpoint-6").is_dir()
    kept = {path for path, file in marks.items() if not file.exists()}
    assert kept == set(outputs["ended"])
    assert not noted.exists()
    assert "killed: results/x/sft/a/manifest.json\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "manifest", "left"),
    [
        ("models/base", "models/base/manifest.json", "models/base.checkpoints/latest.pt"),
        (
            "trajectories/a/shard-0.jsonl.gz",
            "trajectories/a/shard-0.jsonl.gz.manifest.json",
            "trajectories/a/shard-0.jsonl.gz.partial.jsonl",
        ),
        ("grpo/a/manifest.json", "grpo/a/manifest.json", "grpo/a/checkpoints/checkpoint-2/model.safetensors"),
    ],
)
def test_a_kill_before_a_finished_stage_deletes_its_resume_points_leaves_none(
    project: Path, output: str, manifest: str, left: str
) -> None:
    results = project / "results" / "x"
    mark(project, "incomplete", f"results/x/{output}")
    for path in (manifest, left):
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_text("{}")
    if not output.endswith("manifest.json") and not manifest.startswith(f"{output}/"):
        (results / output).write_text("{}")
    unlock(project)
    assert (results / manifest).exists()
    assert not (results / left).exists()
