"""workflow/study.py: the names of files and the size of jobs, without Snakemake."""

import re
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from flow import TINY
from study import Study, local_rows, one_of, options

from glow.config import Prompt, Suite
from glow.experiment import load, read


def study() -> Study:
    return Study(read(TINY))


def test_the_files_of_the_tiny_study() -> None:
    assert study().models.keys() == {"base", "teacher"}
    assert study().made_models() == ["results/tiny/models/base", "results/tiny/models/teacher"]
    assert study().suite_files() == [
        "results/tiny/suites/boolean.jsonl",
        "results/tiny/suites/brackets.jsonl",
    ]
    assert study().training_data("logic") == [
        "results/tiny/trajectories/logic/shard-0.jsonl.gz",
        "results/tiny/trajectories/logic/shard-1.jsonl.gz",
        "results/tiny/problems/logic/train.jsonl",
        "results/tiny/problems/logic/grpo.jsonl",
    ]
    assert study().selection("logic", "glow", "0") == "results/tiny/arms/logic/seed-0/all.jsonl"
    assert study().initialisation("logic", "base", "0") == "results/tiny/models/base"
    assert study().initialisation("logic", "all", "0") == "results/tiny/sft/logic/all/seed-0/model"
    assert len(study().trained_models()) == 1 + 6 + 7
    assert study().at_scale("base", 1, 8) == 1


def test_a_hub_model_is_large_and_made_here(tmp_path: Path) -> None:
    document = yaml.safe_load(TINY.read_text())
    document["student"] = {"hub": "Qwen/Qwen2.5-7B", "revision": "0" * 40}
    hub = Study(load(document, "hub.yaml"))
    assert hub.at_scale("base", 1, 8) == 8
    assert hub.at_scale("teacher", 1, 8) == 1
    assert (hub.trust("base"), hub.trust("teacher")) == ("", "")
    document["student"]["trust_remote_code"] = True
    assert Study(load(document, "hub.yaml")).trust("base") == "--trust-remote-code"
    assert (hub.roles("hub"), hub.roles("pretrain"), hub.roles("scratch")) == ("base", "teacher", "none")


def test_options_and_constraints() -> None:
    marks = "--thought '<think>' '</think>'"
    assert options(Prompt(), "--own", "", Prompt(system="a b")) == (
        f"--instruction= {marks} --own '--system=a b' --instruction= {marks}"
    )
    assert re.fullmatch(one_of(["a.b", "c"]), "a.b")
    assert not re.fullmatch(one_of(["a.b", "c"]), "axb")
    assert local_rows(Suite(families=["boolean"])) == []
