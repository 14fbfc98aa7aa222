"""Running the workflow in a directory of its own, as a user would from a shell."""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from glow import cli

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "workflow" / "tiny.yaml"
TWO_STUDENTS = ROOT / "tests" / "workflow" / "two_students.yaml"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Job:
    """One job that Snakemake shows: its rule, its wildcards and its command."""

    rule: str
    wildcards: str = ""
    resources: str = ""
    command: str = ""


def environment() -> dict[str, str]:
    """The environment of a shell in which nobody activated anything."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "SNAKEMAKE"))}
    return kept | {"COLUMNS": "200"}


Config = Path | tuple[Path, ...] | None
"""A configuration file; one and its overlays; or the default."""


def command(config: Config, *options: str) -> list[str]:
    """The snakemake command for a configuration."""
    files = [config] if isinstance(config, Path) else config
    chosen = ["--configfile", *map(str, files)] if files else []
    return [str(BIN / "snakemake"), *options, "--snakefile", str(ROOT / "Snakefile"), *chosen]


def snakemake(directory: Path, config: Config, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow in `directory` to its end; stdout and stderr come together in `stdout`."""
    prepare(directory)
    return subprocess.run(
        command(config, *options),
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def start(
    directory: Path, config: Config, *options: str, output: IO[str] | int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start the workflow in `directory`, in a process group of its own, which can be killed."""
    prepare(directory)
    return subprocess.Popen(
        command(config, *options),
        cwd=directory,
        env=environment(),
        stdout=output,
        stderr=output,
        text=True,
        start_new_session=True,
    )


def kill(run: subprocess.Popen[str]) -> None:
    """Kill the whole process group of a run."""
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def glow(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a subcommand of glow in `directory`."""
    return subprocess.run([BIN / "glow", *words], cwd=directory, capture_output=True, text=True, check=False)


def prepare(directory: Path) -> None:
    """Put the folders that configurations name relative to the repository's root into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    _link(directory, "config", "tests", "examples")


def beside(directory: Path) -> Path:
    """`directory`, in a folder of its own, with what configurations name beside the repository."""
    directory.mkdir(parents=True)
    _link(directory, "../shared", "../models")
    return directory


def _link(directory: Path, *names: str) -> None:
    for name in names:
        if (ROOT / name).exists() and not (directory / name).exists():
            (directory / name).symlink_to(ROOT / name)


def planned(directory: Path, config: Config, *options: str) -> list[Job]:
    """The jobs that a dry-run shows, without `all`."""
    shown = snakemake(directory, config, "--dry-run", "--cores", "2", "--quiet", "host", *options)
    assert shown.returncode == 0, shown.stdout
    return [job for job in _jobs(shown.stdout) if job.rule != "all"]


def _jobs(shown: str) -> list[Job]:
    """Read back what Snakemake prints of each job, and of those that print a message instead."""
    jobs = []
    for block in re.split(r"\n\[\w{3} \w{3} .+\]\n", shown)[1:]:
        facts = dict(re.findall(r"^    (wildcards|resources): (.+)$", block, re.M))
        shell = re.search(r"^Shell command: (.+)", block, re.M | re.S)  # its last words
        rule = re.search(r"^(?:local)?rule ([\w.-]+):$", block, re.M)
        message = re.search(r"^Job \d+: (\w+)", block, re.M)
        name = rule or message
        assert name is not None, block
        jobs.append(Job(name[1], command=shell[1].rstrip("\n") if shell else "", **facts))
    return jobs


def parsed(job: Job) -> argparse.Namespace:
    """What glow takes a job's command for."""
    words = shlex.split(job.command.rpartition(" 2>&1 ")[0])
    program, *arguments = [word for word in words if not word.startswith("HF_HUB_OFFLINE=")]
    assert program == "glow"
    return cli._parser().parse_args(arguments)


def write(directory: Path, document: dict[str, Any], name: str = "changed.yaml") -> Path:
    """Write a configuration file, and say where it is."""
    file = directory / name
    file.write_text(yaml.safe_dump(document))
    return file


COMPARED = ("trajectories", "verdicts", "arms", "sft", "grpo", "evaluation", "tables")


def contents(results: Path) -> dict[str, bytes]:
    """Every result by path; what holds times (manifests, logs, benchmarks, the report) is left out."""
    return {
        str(file.relative_to(results)): file.read_bytes()
        for stage in COMPARED
        for file in sorted((results / stage).rglob("*"))
        if file.is_file() and "manifest.json" not in file.name and not file.name.startswith(".")
    }
