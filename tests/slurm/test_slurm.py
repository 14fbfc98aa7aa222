"""The workflow on a real SLURM: whatever happens to its jobs, the results are those of a local run.

The study is tests/workflow/tiny.yaml with two arms, one of which trains as slowly as a file in the working
directory says: so a test has the time to do something to its job, and the local run to compare with has none.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import Cluster, Job, wait_for
from flow import ROOT, TINY, contents, glow, kill, snakemake, start

pytestmark = pytest.mark.slurm

SLOW = """
import time
from pathlib import Path
from glow.training.objectives import OBJECTIVES, GlowSettings, Objective

def weights(previous_loss, loss, settings):
    pause = Path("pause")
    time.sleep(float(pause.read_text()) if pause.exists() else 0)
    return OBJECTIVES["glow"].sample_weights(previous_loss, loss, settings)

slow = Objective("slow GLOW", GlowSettings, sample_weights=weights, uses_history=True)
"""
ARMS = """
objectives:
  plain: {objective: plain}
  slow: {objective: "slow.py:slow"}
arms:
  positive: {trajectories: positive, objective: plain}
  slow: {trajectories: all, objective: slow}
"""
# What a small cluster on a busy machine needs otherwise: the first look at a job after 1 s and not 40.
PROFILE = (
    *("--profile", str(ROOT / "profiles" / "slurm"), "--slurm-init-seconds-before-status-checks", "1"),
    *("--jobs", "4", "--latency-wait", "10"),
)
TRAINING = "rule_sft_wildcards_logic_slow_0"
SLOW_RUN = Path("results/tiny/sft/logic/slow/seed-0")


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the study has run without SLURM."""
    directory = tmp_path_factory.mktemp("local")
    write_study(directory)
    ended = snakemake(directory, directory / "study.yaml", "--cores", "2")
    assert ended.returncode == 0, ended.stdout[-5000:]
    return directory


def write_study(directory: Path) -> None:
    (directory / "study.yaml").write_text(TINY.read_text() + ARMS)
    (directory / "slow.py").write_text(SLOW)


@contextmanager
def submitting(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Snakemake at work in `directory`, as on a login node; it is killed if the test goes on without it."""
    with (directory / "shown").open("a") as shown:
        run = start(directory, directory / "study.yaml", *options, *PROFILE, output=shown)
        try:
            yield run
        finally:
            if run.poll() is None:
                kill(run)


def shown(directory: Path) -> str:
    return (directory / "shown").read_text()[-8000:]


def snakemake_again(directory: Path) -> subprocess.CompletedProcess[str]:
    """Start the study beside its jobs, unlocked by Snakemake's own way, which asks nobody."""
    study = directory / "study.yaml"
    assert snakemake(directory, study, "--cores", "1", "--unlock").returncode == 0
    return snakemake(directory, study, *PROFILE)


class Watch:
    """Looks at the queue until something is there, while Snakemake runs."""

    def __init__(self, slurm: Cluster, directory: Path, run: subprocess.Popen[str]) -> None:
        self.slurm, self.directory, self.run = slurm, directory, run

    def until(self, found: Callable[[], bool], what: str, seconds: float = 400) -> None:
        def found_or_ended() -> bool:
            assert self.run.poll() is None, f"Snakemake ended before {what}: {shown(self.directory)}"
            return found()

        wait_for(found_or_ended, what, seconds=seconds)

    def running(self, comment: str, after: int = 0) -> Job:
        """The first running job of a rule, with a number above `after`."""

        def jobs() -> list[Job]:
            return [job for job in self.slurm.jobs(self.directory, comment, "running") if job.number > after]

        self.until(lambda: bool(jobs()), f"a running job {comment}")
        return jobs()[0]


@pytest.mark.usefixtures("limited")
def test_after_a_bad_day_the_results_are_those_of_a_local_run(
    slurm: Cluster, local: Path, tmp_path: Path
) -> None:
    """A job cancelled, one out of time, a node drained, one failed, the study edited, Snakemake killed."""
    write_study(tmp_path)
    (tmp_path / "pause").write_text("3")
    study = tmp_path / "study.yaml"
    with submitting(tmp_path) as run:
        watch = Watch(slurm, tmp_path, run)
        cancelled = watch.running("rule_pretrain")
        study.write_text(study.read_text().replace("max_tokens: 48, entropy", "max_tokens: 20, entropy"))
        slurm.ask("scancel", str(cancelled.number))
        slurm.ask("scontrol", "update", f"NodeName={cancelled.node}", "State=DRAIN", "Reason=test")
        elsewhere = watch.running("", cancelled.number + 3)  # four were submitted at once
        assert elsewhere.node != cancelled.node
        slurm.resume(cancelled.node)
        failing = watch.running(TRAINING)
        slurm.ask("scontrol", "update", f"NodeName={failing.node}", "State=DOWN", "Reason=test")
        slurm.resume(failing.node)
        watch.until(lambda: slurm.jobs(tmp_path, TRAINING)[0].restarts == 1, "another start of the job")
        late = watch.running(TRAINING)
        assert late.number == failing.number
        watch.until((tmp_path / SLOW_RUN / "checkpoints").exists, "training")
        slurm.ask("scontrol", "update", f"JobId={late.number}", "EndTime=now")
        again = watch.running(TRAINING, late.number)
        os.kill(run.pid, signal.SIGKILL)
    assert slurm.jobs(tmp_path, TRAINING, "running") == [again]
    assert [job.state for job in slurm.jobs(tmp_path, TRAINING, "all")] == ["TIMEOUT", "RUNNING"]
    for refused in (glow(tmp_path, "unlock"), snakemake_again(tmp_path)):
        said = f"{refused.stdout}{refused.stderr}"
        assert refused.returncode == 2
        assert f"{again.number} (sft logic_slow_0, RUNNING)" in said
        # A slow machine may still have others at work.
        assert re.search(rf": scancel (\d+ )*{again.number}\b", said), said
    (tmp_path / "pause").unlink()
    wait_for(lambda: not slurm.jobs(tmp_path), "an empty queue", seconds=400)
    study.write_text((local / "study.yaml").read_text())
    assert glow(tmp_path, "unlock").returncode == 0
    with submitting(tmp_path) as run:
        assert run.wait(timeout=600) == 0, shown(tmp_path)
    assert contents(tmp_path / "results" / "tiny") == contents(local / "results" / "tiny")


@dataclass(frozen=True)
class Limited:
    """A study whose training job has a limit of two minutes and needs more than twice as much."""

    directory: Path
    run: subprocess.Popen[str]
    job: Job


@pytest.fixture(scope="module")
def limited(slurm: Cluster, local: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    """It mostly sleeps, so that it runs beside the other tests."""
    directory = tmp_path_factory.mktemp("limited") / "study"
    shutil.copytree(local, directory, symlinks=True)  # with the times of its files
    shutil.rmtree(directory / SLOW_RUN)
    (directory / "pause").write_text("12")
    options = ["--retries", "0", "--default-resources", "slurm_partition=other"]
    options += ["--set-resources", "sft:runtime=2", "sft:slurm_extra=--signal=USR1@30 --open-mode=append"]
    with submitting(directory, str(SLOW_RUN / "model"), *options) as run:
        yield Limited(directory, run, Watch(slurm, directory, run).running(TRAINING))


def test_a_training_job_goes_on_over_three_limits(slurm: Cluster, local: Path, limited: Limited) -> None:
    """Each attempt is asked to stop, saves and queues its own job again: one job, which fails never."""
    directory, number = limited.directory, limited.job.number
    assert limited.job.node == "three"  # of the partition that was asked for
    assert limited.run.wait(timeout=900) == 0, shown(directory)
    (ended,) = slurm.jobs(directory, TRAINING, "all")
    assert (ended.number, ended.state) == (number, "COMPLETED")
    restarts = ended.restarts
    assert restarts >= 2
    for name in ("model/model.safetensors", "history.parquet"):
        assert (directory / SLOW_RUN / name).read_bytes() == (local / SLOW_RUN / name).read_bytes()
    log = (directory / "results/tiny/logs/sft/logic/slow/seed-0.log.all").read_text()
    assert log.count("asked to stop (SIGUSR1): saved after step ") == restarts
    attempts = [line for line in log.splitlines() if line.startswith("--- glow sft: ")]
    assert sum(f"SLURM job {number})" in line for line in attempts) == 1 + restarts
