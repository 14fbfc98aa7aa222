"""planning.resources: defaults by size, profiles as Snakemake reads them, and what they mean."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from five import PROFILE, ROOT

from glow.config import EngineHardware, Model, SftHardware, TrainingHardware
from glow.errors import UserError
from glow.planning.resources import (
    DEFAULTS,
    Asked,
    asked,
    engine_hardware,
    is_large,
    read_profile,
    training_hardware,
)

HUB = Model.model_validate("Qwen/Qwen2.5-7B@" + "0" * 40)
SMALL = Model.model_validate({"scratch": {}})


def test_large_models_ask_for_a_gpu() -> None:
    assert asked("sft", HUB) == Asked(8, 128000, 2880, 1, micro_batch=1)
    assert asked("sft", SMALL) == Asked(1, 3000, 60, 0)
    assert asked("evaluate", HUB) == Asked(8, 64000, 1440, 1)
    assert {large.gpu for _, large in DEFAULTS.values()} == {1}


def test_a_model_of_ones_own_is_large_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    model = Model.model_validate(str(tmp_path))
    assert not is_large(model)
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2 * 10**9)  # without taking room on the disk
    assert is_large(model)


def test_the_rules_ask_for_what_the_table_says() -> None:
    """No rule that is in the table has numbers of its own beside it."""
    for rule in DEFAULTS:
        (text,) = (
            part.split("\nrule ")[0]
            for file in (ROOT / "workflow" / "rules").glob("*.smk")
            for part in file.read_text().split(f"\nrule {rule}:")[1:]
        )
        asks = "study.teacher_asks" if rule == "generate" else f'of(wildcards).asks("{rule}")'
        for name in ("threads", "mem_mb", "runtime", "gpu"):
            assert f"{asks}.{name}" in text, (rule, name)


def test_a_profile_may_say_it_by_student() -> None:
    profile = read_profile(PROFILE, [])
    assert profile.jobs == 200
    assert profile.limits == {"training": 8}
    gpus = {
        student: profile.of("sft", {"of": f"students/{student}/", "arm": "all"})["gpu"]
        for student in ("qwen2.5-3b", "qwen2.5-7b", "llama3.1-8b", "qwen2.5-14b", "qwen2.5-32b")
    }
    assert list(gpus.values()) == [8, 8, 8, 16, 32]
    assert profile.of("sft", {"of": ""})["gpu"] == 8
    assert profile.of("tables", {"of": ""}) == {}


def test_options_come_over_a_profile() -> None:
    profile = read_profile(PROFILE, ["sft:gpu=4", "sft:offload=True", "verify:slurm_partition=cpu"])
    given = profile.of("sft", {"of": "students/qwen2.5-32b/"})
    assert (given["gpu"], given["nodes"], given["offload"]) == (4, 4, True)
    assert profile.of("verify", {})["slurm_partition"] == "cpu"


def test_a_profile_may_be_written_in_lists(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"set-resources": ["sft:gpu=2", "sft:sharding=zero3"], "resources": ["training=3"]})
    )
    profile = read_profile(tmp_path, [])
    assert profile.of("sft", {}) == {"gpu": 2, "sharding": "zero3"}
    assert (profile.limits, profile.jobs) == ({"training": 3}, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("set-resources: {sft: 3}", "give a mapping for each rule"),
        ("[]", "is no mapping"),
        ("set-resources: [sft]", "'sft' is not RULE:NAME=VALUE"),
    ],
)
def test_a_profile_that_is_none_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=why):
        read_profile(tmp_path, [])


def test_a_missing_profile_and_a_value_of_the_input_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--profile .*none.*cannot be read"):
        read_profile(tmp_path / "none", [])
    profile = read_profile(None, ["sft:mem_mb=2*input.size_mb"])
    with pytest.raises(UserError, match="depends on more than wildcards"):
        profile.of("sft", {"of": ""})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"gpu": 0}, TrainingHardware()),
        ({"gpu": 0, "processes": 2, "sharding": "fsdp2"}, TrainingHardware(devices=2, sharding="fsdp2")),
        ({"gpu": 16, "nodes": 2, "sharding": "zero3", "micro_batch": 0},
         TrainingHardware(devices=8, nodes=2, sharding="zero3")),
    ],
)  # fmt: skip
def test_resources_say_what_a_training_runs_on(given: dict[str, Any], expected: TrainingHardware) -> None:
    assert training_hardware(given, TrainingHardware) == expected
    assert training_hardware(given, SftHardware).processes == expected.processes


def test_resources_say_what_an_engine_runs_on() -> None:
    assert engine_hardware({"gpu": 4}) == EngineHardware(tensor_parallel=4)
    assert engine_hardware({"gpu": 4, "tensor_parallel": 2}).tensor_parallel == 2
    with pytest.raises(UserError, match="gpu_memory_percent"):
        engine_hardware({"gpu": 1, "gpu_memory_percent": 850})
