"""LoRA through the rules: adapters are trained, trained on by GRPO and evaluated as the merged models are."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from flow import planned, snakemake
from safetensors.torch import load_file

from glow.files.jsonl import read_jsonl

pytestmark = pytest.mark.slow

ROWS = [
    {"question": f"What is {n} + 1?", "answer": str(n + 1), "response": f"\\boxed{{{n + 1 + n % 2}}}"}
    for n in range(16)
]

STUDY = """
name: lora
seeds: [0]
trajectories: {files: [rows.jsonl], grpo: 4}
student: scratch
arms:
  positive: {trajectories: positive, objective: plain}
  glow: {trajectories: all, objective: glow}
sft:
  {epochs: 3, batch_size: 4, learning_rate: 5.0e-3, precision: fp32, max_length: 64, lora: {rank: 4}}
grpo:
  {initialisations: [glow], steps: 2, prompts: 2, generations: 4, max_tokens: 8, precision: fp32, kl: 0.1,
   lora: {rank: 4}}
suites: {boolean: {families: [boolean], problems: 8}}
evaluation: {max_tokens: 8}
"""
SFT = "sft/own/glow/seed-0"
WANTED = ("evaluation/sft/own/glow/seed-0/scores.json", "evaluation/grpo/own/glow/seed-0/scores.json")


def study(folder: Path, name: str, *, merge: bool) -> Path:
    """A study whose adapters of SFT are merged or not, run up to the evaluations; its results."""
    document = yaml.safe_load(STUDY) | {"name": name}
    document["sft"]["lora"]["merge"] = merge
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))
    targets = [f"results/{name}/{target}" for target in (WANTED[:1] if merge else WANTED)]
    ended = snakemake(folder, folder / f"{name}.yaml", "--cores", "2", *targets)
    assert ended.returncode == 0, ended.stdout[-5000:]
    return folder / "results" / name


def test_adapters_are_evaluated_as_merged_models_and_trained_on_by_grpo(tmp_path: Path) -> None:
    alone, merged = (study(tmp_path, name, merge=name == "merged") for name in ("lora", "merged"))
    one, other = (results / "sft/own/glow/seed-0" for results in (alone, merged))
    assert not (one / "model/model.safetensors").exists()
    assert not (other / "model/adapter_model.safetensors").exists()
    pd.testing.assert_frame_equal(*(pd.read_parquet(run / "history.parquet") for run in (one, other)))
    scores = [results / "evaluation/sft/own/glow/seed-0" for results in (alone, merged)]
    assert scores[0].joinpath("scores.json").read_bytes() == scores[1].joinpath("scores.json").read_bytes()
    answers = [list(read_jsonl(folder / "samples.jsonl.gz")) for folder in scores]
    assert answers[0] == answers[1]

    grown = load_file(alone / "grpo/own/glow/seed-0/model/adapter_model.safetensors")
    assert grown.keys() == load_file(one / "model/adapter_model.safetensors").keys()
    manifest = json.loads((alone / "evaluation/grpo/own/glow/seed-0/manifest.json").read_text())
    assert {"results/lora/grpo/own/glow/seed-0/model", "results/lora/models/base"} <= manifest[
        "inputs"
    ].keys()

    # The base is an input of what reads its adapters: it is made again where it was removed.
    shutil.rmtree(alone / "models/base")
    shutil.rmtree(alone / "evaluation/sft")
    jobs = planned(tmp_path, tmp_path / "lora.yaml", "--nolock", f"results/lora/{WANTED[0]}")
    assert "scratch" in {job.rule for job in jobs}


@pytest.mark.parametrize("sharding", ["fsdp2", pytest.param("zero3", marks=pytest.mark.extra("deepspeed"))])
def test_adapters_of_two_devices_are_those_of_one(tmp_path: Path, sharding: str) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    # At a low rate: Adam takes steps of one size however small a gradient, and so magnifies rounding.
    (tmp_path / "lora.yaml").write_text(STUDY.replace("5.0e-3", "5.0e-4"))
    run = tmp_path / "results/lora" / SFT
    found = []
    for resources in ([], ["--set-resources", "sft:processes=2", f"sft:sharding={sharding}"]):
        shutil.rmtree(run, ignore_errors=True)
        ended = snakemake(
            tmp_path, tmp_path / "lora.yaml", "--cores", "2", f"results/lora/{SFT}/manifest.json", *resources
        )
        assert ended.returncode == 0, ended.stdout[-5000:]
        found.append(load_file(run / "model/adapter_model.safetensors"))
    one, two = found
    assert one.keys() == two.keys()
    assert max(one[name].abs().max().item() for name in one) > 1e-2
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-6
