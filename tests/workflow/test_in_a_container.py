"""Jobs in the image: what Snakemake asks Apptainer for, and which `glow` they find.

Apptainer is a stand-in here, which does what matters to a job: it notes how it is called, names the image,
has a PATH of its own and forgets which signals were ignored.
"""

import json
import os
import sys
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from flow import BIN, ROOT, TINY, planned, prepare, snakemake

SUITE = "results/tiny/suites/boolean.jsonl"
PROFILE = ROOT / "profiles" / "apptainer"
IN_IMAGE = ("--profile", str(PROFILE))

APPTAINER = """#!{python}
import json, os, signal, sys
if sys.argv[1:] == ["--version"]:
    sys.exit(print("apptainer version 1.4.5"))
with open("{notes}", "a") as notes:
    print(json.dumps(sys.argv[1:]), file=notes)
image = sys.argv.index("containers/glow.sif")
signal.signal(signal.SIGUSR1, signal.SIG_DFL)  # as after Go's runtime, which handles every signal
environment = os.environ | {{"APPTAINER_CONTAINER": os.path.abspath(sys.argv[image]), "PATH": "{path}"}}
os.execvpe(sys.argv[image + 1], sys.argv[image + 1:], environment)
"""

GLOW_OF_THE_IMAGE = """#!{python}
import json, os, signal, sys
said = {{
    "words": sys.argv[1:],
    "ignores": signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN,
    "offline": os.environ["HF_HUB_OFFLINE"],
    "tracked": os.environ["TRACKIO_DIR"],
}}
with open("{notes}", "a") as notes:
    print(json.dumps(said), file=notes)
os.execv("{glow}", ["{glow}", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Calls:
    """What the stand-ins for Apptainer and for the image's glow were called with, call by call."""

    folder: Path

    def of(self, name: str) -> list[dict]:
        notes = self.folder / f"{name}-calls"
        return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


def program(file: Path, text: str, **values: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.format(python=sys.executable, **values))
    file.chmod(0o755)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """A machine with Apptainer, and in `tmp_path / "work"` a folder to work in."""
    inside = tmp_path / "image" / "bin"
    program(
        tmp_path / "bin" / "apptainer",
        APPTAINER,
        notes=tmp_path / "apptainer-calls",
        path=f"{inside}:/usr/bin:/bin",
    )
    program(inside / "glow", GLOW_OF_THE_IMAGE, notes=tmp_path / "glow-calls", glow=BIN / "glow")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for name in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        monkeypatch.delenv(name, raising=False)
    return Calls(tmp_path)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder in which the image was built; nothing reads the file but Apptainer."""
    directory = tmp_path / "work"
    prepare(directory)
    (directory / "containers").mkdir()
    (directory / "containers" / "glow.sif").touch()
    return directory


def test_with_the_profile_jobs_run_in_the_image_with_its_glow(calls: Calls, work: Path) -> None:
    ended = snakemake(work, TINY, "--cores", "1", SUITE, *IN_IMAGE)
    assert ended.returncode == 0, ended.stdout
    assert (work / SUITE).is_file()
    (asked,) = calls.of("apptainer")
    options = asked[: asked.index("containers/glow.sif")]
    given = yaml.safe_load((PROFILE / "config.yaml").read_text())["apptainer-args"].split()
    assert given == ["--nv", "--bind", ".:/opt/glow"]
    assert options[:-2] == ["exec", "--home", str(work), *given]
    assert options[-2] == "--bind"  # Snakemake's own cache
    (said,) = calls.of("glow")
    assert said["words"][:3] == ["suite", "--name", "boolean"]
    # As outside: a request to stop ends neither shell nor tee, and what the rule says of the network holds.
    assert said["ignores"] is True
    assert said["offline"] == "0"
    assert said["tracked"] == f"{work}/results/tiny/logs/trackio"


def test_without_the_profile_nothing_asks_for_apptainer_or_the_image(calls: Calls, work: Path) -> None:
    (work / "containers" / "glow.sif").unlink()
    ended = snakemake(work, TINY, "--cores", "1", SUITE)
    assert ended.returncode == 0, ended.stdout
    assert calls.of("apptainer") == calls.of("glow") == []


def test_where_snakemake_itself_runs_in_the_image_jobs_have_its_environment(
    calls: Calls, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `apptainer exec ... snakemake`: the folder of Snakemake's own Python comes first."""
    monkeypatch.setenv("APPTAINER_CONTAINER", str(work / "containers" / "glow.sif"))
    monkeypatch.setenv("PATH", f"{calls.folder / 'image' / 'bin'}:/usr/bin:/bin")
    ended = snakemake(work, TINY, "--cores", "1", SUITE)
    assert ended.returncode == 0, ended.stdout
    assert calls.of("apptainer") == calls.of("glow") == []


@pytest.mark.usefixtures("calls")
def test_an_image_that_was_not_built_is_missed_before_anything_runs(work: Path) -> None:
    (work / "containers" / "glow.sif").unlink()
    ended = snakemake(work, TINY, "--cores", "1", SUITE, *IN_IMAGE)
    assert ended.returncode == 2
    assert ended.stdout.splitlines()[-1] == (
        f"containers/glow.sif: no such image in {work}; build it with `make apptainer`, or link it there "
        '(docs/cluster.md, "In a container")'
    )
    assert not (work / "results").exists()


@pytest.mark.usefixtures("calls")
def test_the_profile_goes_beside_that_of_slurm(work: Path) -> None:
    """The job that is submitted is told to use the image; all else is as the first profile has it."""
    sbatch = work.parent / "bin" / "sbatch"
    sbatch.write_text(f'#!/bin/sh\necho "$@" >> {work.parent}/sbatch-calls\nexit 1\n')
    sbatch.chmod(0o755)
    for name in ("squeue", "sinfo", "scancel", "sacct", "sacctmgr", "sshare"):
        (sbatch.parent / name).write_text("#!/bin/sh\nexit 0\n")
        (sbatch.parent / name).chmod(0o755)
    slurm = ["--profile", str(ROOT / "profiles" / "slurm"), *IN_IMAGE, "--retries", "0"]
    slurm += ["--slurm-init-seconds-before-status-checks", "1"]
    ended = snakemake(work, TINY, SUITE, *slurm)
    assert ended.returncode == 1, ended.stdout
    submitted = (work.parent / "sbatch-calls").read_text()
    assert "--requeue" in submitted
    assert "--deployment-method apptainer " in submitted
    assert f"--apptainer-args base64//{b64encode(b'--nv --bind .:/opt/glow').decode()} " in submitted
    assert {job.rule for job in planned(work, TINY, *slurm)} >= {"suite", "sft", "grpo"}
