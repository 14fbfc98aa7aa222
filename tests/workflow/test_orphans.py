"""Snakemake is killed and a stage of it lives on: nothing runs beside it, and what it makes is kept."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from flow import glow, planned, snakemake, start

OWN = """
name: own
seeds: [0]
trajectories: {files: [rows.jsonl]}
student: scratch
arms: {positive: {trajectories: positive, objective: plain}}
sft: {epochs: 2, precision: fp32, gradient_checkpointing: false, max_length: 64}
suites: {boolean: {families: [boolean], problems: 8}}
evaluation: {max_tokens: 8}
"""
ROWS = "".join(
    f'{{"question": "What is {n} + 1?", "answer": "{n + 1}", "response": "\\\\boxed{{{n + 1 + n % 2}}}"}}\n'
    for n in range(12)
)
RUN = Path("results", "own", "sft", "own", "positive", "seed-0")


@dataclass(frozen=True)
class Orphaned:
    """A folder in which Snakemake was killed while SFT trains; `stage` stands still until it may go on."""

    directory: Path
    config: Path
    stage: psutil.Process

    def finish(self) -> None:
        """Let the stage go on to its end."""
        self.stage.resume()
        self.stage.wait(timeout=300)

    def start_again(self, *options: str) -> subprocess.CompletedProcess[str]:
        return snakemake(self.directory, self.config, "--cores", "2", *options)

    def unlock(self) -> subprocess.CompletedProcess[str]:
        return glow(self.directory, "unlock")


@pytest.fixture
def orphaned(tmp_path: Path) -> Iterator[Orphaned]:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    config = tmp_path / "own.yaml"
    config.write_text(OWN)
    run = start(tmp_path, config, "--cores", "2")
    lock = tmp_path / RUN.with_name(".seed-0.lock")
    while not (lock.exists() and lock.read_text().endswith("\n")):
        assert run.poll() is None
        time.sleep(0.05)
    stage = psutil.Process(json.loads(lock.read_text())["pid"])
    stage.suspend()
    run.kill()
    run.wait()
    yield Orphaned(tmp_path, config, stage)
    if stage.is_running():
        stage.kill()


def test_a_stage_that_outlives_its_run_makes_its_result_alone_and_it_is_kept(orphaned: Orphaned) -> None:
    refused = orphaned.unlock()
    assert refused.returncode == 2
    assert "wait for them to end (what they finish is kept)" in refused.stderr
    assert orphaned.start_again("--unlock").returncode == 0  # Snakemake's own way, which asks nobody
    refused = orphaned.start_again()
    assert refused.returncode != 0
    assert f"{RUN} (glow sft, pid " in refused.stdout
    assert "Start again when they have ended: what they finish is kept." in refused.stdout
    beside = glow(
        orphaned.directory,
        *("sft", "--data", "x", "--all", "x", "--model", "x", "--output", str(RUN), "--seed", "0"),
    )
    assert beside.returncode == 2
    assert "is being made" in beside.stderr
    directory = orphaned.directory
    orphaned.finish()
    model = directory / RUN / "model" / "model.safetensors"
    made = model.stat()
    cleared = orphaned.unlock()
    assert cleared.returncode == 0
    assert str(RUN / "manifest.json") in cleared.stdout
    assert {job.rule for job in planned(directory, orphaned.config)} == {
        "evaluate", "tables", "figures", "report",
    }  # fmt: skip
    edited = directory / "edited.yaml"
    edited.write_text(OWN.replace("max_length: 64", "max_length: 65"))
    refused = snakemake(directory, edited, "--dry-run", "--cores", "1")
    assert refused.returncode == 2
    assert f"sft.max_length was 64, is 65: {RUN / 'manifest.json'}\n" in refused.stdout
    ended = orphaned.start_again()
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert (model.stat().st_ino, model.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_a_job_started_beside_one_at_work_refuses_and_the_first_ends_well(orphaned: Orphaned) -> None:
    """Snakemake is told to ask nobody, neither for its own lock nor for ours."""
    second = orphaned.start_again("--nolock", "--no-hooks", str(RUN / "manifest.json"))
    assert second.returncode == 1
    assert "is being made" in second.stdout
    orphaned.finish()
    assert (orphaned.directory / RUN / "model" / "model.safetensors").exists()
    assert (orphaned.directory / RUN / "manifest.json").exists()
