"""Fetching through the rules: where Snakemake runs, in no job of a cluster; all else needs no network."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest
import yaml
from flow import ROOT, TINY, planned, prepare, snakemake, write
from pyarrow import parquet
from standin_hub import StandIn, serving

from glow.files.jsonl import read_jsonl

COMMIT = "740312add88f781978c0658806c59bc2815b9866"
"""That of GSM8K in its task file."""


def packed(**columns: list[str]) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A hub with all that `study` asks for; processes that are started ask it in place of the real one."""
    with serving() as hub:
        hub.commit = COMMIT
        hub.files["models/org/model"] = {"config.json": b"{}", "model.safetensors": bytes(5000)}
        questions = [f"What is {number} + 1?" for number in range(80)]
        answers = [str(number + 1) for number in range(80)]
        hub.files["datasets/org/problems"] = {
            "data/train-00000-of-00001.parquet": packed(question=questions, answer=answers)
        }
        card = (
            "---\nconfigs:\n- config_name: main\n  data_files:\n  - split: test\n    path: main/test-*\n---\n"
        )
        hub.files["datasets/openai/gsm8k"] = {
            "README.md": card.encode(),
            "main/test-00000-of-00001.parquet": packed(question=questions[:3], answer=["#### 1"] * 3),
        }
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The smallest study with a student, problems and a suite of the hub."""
    document = yaml.safe_load(TINY.read_text())
    document["student"] = {"hub": "org/model", "revision": COMMIT}
    source = {"hub_dataset": "org/problems", "revision": COMMIT, "train": 40, "grpo": 16}
    document["domains"]["logic"]["problems"] = source | {"disjoint_from": ["gsm8k", "brackets"]}
    document["suites"] = {"gsm8k": {}, "brackets": document["suites"]["brackets"]}
    return write(tmp_path, document)


def test_what_is_fetched_is_fetched_here_and_the_rest_needs_no_network(
    tmp_path: Path, hub: StandIn, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the profile for SLURM, whose commands are stand-ins that note what is asked of them."""
    notes = tmp_path / "asked"
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "squeue", "sinfo", "scancel", "sacct", "sacctmgr", "sshare"):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\necho {name} >> {notes}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    prepare(tmp_path)
    profile = ["--profile", str(ROOT / "profiles" / "slurm"), "--retries", "0"]
    ended = snakemake(tmp_path, study, "fetched", *profile)
    assert ended.returncode == 0, ended.stdout
    assert not notes.exists() or "sbatch" not in notes.read_text()
    [log] = (tmp_path / ".snakemake" / "log").glob("*.snakemake.log")
    assert {line for line in log.read_text().splitlines() if line.startswith(("rule ", "localrule "))} == {
        "localrule fetch:",
        "localrule problems:",
        "localrule suite:",
    }
    results = tmp_path / "results" / "tiny"
    assert (results / "models" / "base" / "model.safetensors").read_bytes() == bytes(5000)
    assert len(list(read_jsonl(results / "problems" / "logic" / "train.jsonl"))) == 40
    assert [row["answer"] for row in read_jsonl(results / "suites" / "gsm8k.jsonl")] == ["1", "1", "1"]
    left = planned(tmp_path, study)
    assert {job.rule for job in left} & {"fetch", "problems", "suite"} == set()
    assert len(left) > 20
    assert not [job for job in left if "HF_HUB_OFFLINE" in job.command]


def test_without_a_network_two_lines_say_what_to_do(
    tmp_path: Path, hub: StandIn, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ended = snakemake(tmp_path, study, "results/tiny/models/base", "--cores", "1")
    assert ended.returncode == 1
    log = (tmp_path / "results" / "tiny" / "logs" / "fetch" / "models" / "base.log").read_text()
    assert log.splitlines()[-2:] == [
        f"glow fetch: org/model@{COMMIT[:12]}: cannot be fetched: the environment says not to use the "
        "network (HF_HUB_OFFLINE)",
        "Unset that on a machine that has a network, or give the path of a local copy.",
    ]
    assert hub.requests == []
