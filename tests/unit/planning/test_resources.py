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
        file.truncate(10**8)  # without taking room on the disk
        assert not is_large(model)
        file.truncate(988_097_824)  # Qwen2.5-0.5B in bfloat16
    assert is_large(model)
    assert asked("sft", model).gpu == 1


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


def test_options_come_in_place_of_a_profile() -> None:
    """As in Snakemake (tests/workflow/test_planned_jobs.py): nothing that it says of rules is left."""
    profile = read_profile(PROFILE, ["sft:gpu=4", "sft:offload=True", "verify:slurm_partition=cpu"])
    assert profile.of("sft", {"of": "students/qwen2.5-32b/"}) == {"gpu": 4, "offload": True}
    assert profile.of("verify", {})["slurm_partition"] == "cpu"
    assert profile.of("grpo", {"of": ""}) == {}
    assert (profile.limits, profile.jobs) == ({"training": 8}, 200)
    assert (profile.file, profile.is_replaced) == (None, True)


def test_a_profile_without_resources_of_rules_loses_nothing_to_options(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("jobs: 3")
    profile = read_profile(tmp_path, ["sft:gpu=4"])
    assert (profile.jobs, profile.is_replaced) == (3, False)


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
        ("set-resources: [sft]", "config.yaml: set-resources: 'sft' is not RULE:NAME=VALUE"),
        (
            "set-resources: {sftt: {gpu: 8}}",
            "config.yaml: set-resources: rule 'sftt' is unknown; did you mean 'sft'",
        ),
        ("set-resources: {sft: {mem: 1GB, mem_mb: 3}}", "sft: mem and mem_mb say the same; give one of them"),
        ("resources: {training: eight}", "resources: training: 'eight'; give a whole number"),
        ("jobs: some", "jobs: 'some'; give a whole number, or unlimited"),
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
    ("word", "why"),
    [
        ("sft:gpu=eight", "sft: resource gpu: 'eight'; give a whole number"),
        ("sft:gpu=", "sft: resource gpu: ''; give a whole number"),
        (
            "sft:gpu=8 if x in wildcards.of else 1",
            "'8 if x .* else 1'; give a whole number, or an expression",
        ),
        (
            "sft:gpu='8 if x in wildcards.of else 1'",
            "'8 if x .* else 1'; give a whole number, or an expression",
        ),
        ("sft:gpu=-1 if wildcards.of else 1", "resource gpu: '-1'; give a whole number"),
        ("sft:gpu=1/0", "resource gpu: '1/0' cannot be worked out"),
        ("sft:mem_mb=lots", "resource mem_mb: 'lots'; give a whole number: the MB, 300000 for 300 GB"),
        ("sft:mem_mb=300GB", "resource mem_mb: '300GB'; give a whole number: the MB"),
        ("sft:mem=300XB", "'300XB' could not be parsed as size in MB"),
        ("sft:runtime=lots", "'lots' could not be parsed as minutes"),
        ("sft:micro_batch=x", "resource micro_batch: 'x'; give a whole number"),
    ],
)
def test_a_value_that_is_none_is_refused(word: str, why: str) -> None:
    profile = read_profile(None, [word])
    with pytest.raises(UserError, match=f"--set-resources: {why}" if why.startswith("sft") else why):
        profile.of("sft", {"of": "students/a/"})


def test_a_size_or_a_time_may_have_a_unit() -> None:
    given = read_profile(None, ["sft:mem=300GB", "sft:runtime=2h"]).of("sft", {"of": ""})
    assert given == {"mem_mb": 300000, "runtime": 120}


def test_a_number_that_a_profile_quotes_is_a_text_as_in_snakemake(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("set-resources: {sft: {gpu: '8', slurm_qos: '7'}}")
    profile = read_profile(tmp_path, [])
    with pytest.raises(UserError, match="set-resources: sft: resource gpu: '8'; give a whole number"):
        profile.of("sft", {"of": ""})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"gpu": "eight"}, "resource gpu: 'eight'"),
        ({"gpu": 8, "nodes": "two"}, "resource nodes: 'two'"),
        ({"gpu": 0, "processes": "two"}, "resource processes: 'two'"),
    ],
)
def test_hardware_wants_numbers(given: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        training_hardware(given, TrainingHardware)
    if given["gpu"] == "eight":
        with pytest.raises(UserError, match=why):
            engine_hardware(given)


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


def test_profiles_for_slurm_fetch_four_at_a_time() -> None:
    """As docs/cluster.md promises: where none says so, Snakemake fetches with all cores of the login node."""
    for name in ("slurm", "paper"):
        document = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
        assert document["local-cores"] == 4, name
