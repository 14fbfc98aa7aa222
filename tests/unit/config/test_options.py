"""options: a section becomes command-line words and comes back equal."""

import argparse
import shlex
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glow import config
from glow.config.options import add_options, flags, section_from, section_from_resources
from glow.errors import UserError


def parsed(section: type[config.Section], words: list[str]) -> Any:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, section)
    return section_from(parser.parse_args(words), section)


SECTIONS: list[config.Section] = [
    config.Pretrain(
        role="base",
        families={"far": ["reversal", "sorting"], "near": ["ledger"]},
        phases={"first": {"steps": 3, "optimizer": "muon", "shares": {"far": 0.25}}, "second": {"steps": 4}},
    ),
    config.Scratch(vocabulary=512),
    config.Hub(hub="Qwen/Qwen2.5-7B", revision="0" * 40),
    config.Hub(hub="Qwen/Qwen2.5-7B", revision="0" * 40, trust_remote_code=True),
    config.Prompt(system="You are a helpful assistant.", instruction="put it in \\boxed{}."),
    config.Prompt(),
    config.Prompt(
        chat_template="my templates/own.jinja",
        chat_template_kwargs={"a": True, "b": None, "c": "true", "d": ["x", 1.5], "e": {"f": "=é'\""}},
        thought=("<|channel|>analysis", "<|channel|>final"),
    ),
    config.Problems(families=["reversal"], train=5),
    config.Fields(label="is_right"),
    config.GrpoEngineHardware(vllm_enable_sleep_mode=True, vllm_max_model_length=9),
    config.Tracking(report_to=["tensorboard", "wandb"], project="a b", run_name="sft/x"),
    config.Sampling(max_tokens=10, samples=2, temperature=0.0),
    config.Sampling(max_tokens=10, stop=["\n\n", "--", "-x", '"', "a b", "$(rm x)", '"5"', "\\n", "é", " "]),
    config.Sampling(max_tokens=10, top_k=20, min_p=0.05, stop=["Question:"]),
    config.EngineHardware(),
    config.EngineHardware(tensor_parallel=4, gpu_memory_percent=80, enforce_eager=True),
    config.Verification(extraction="lenient", timeout_s=0.5, leniency="refuse"),
    config.Extraction(extraction="pattern", extraction_pattern=r"(?m)^>> '\$?(\d{1,3}) \"%s%\" *$"),
    config.GrpoSettings(grpo=config.Grpo(steps=3, max_tokens=9, verdict_timeout_s=0.5), seed=0),
    config.ObjectiveChoice(objective="glow", alpha=2.0, beta=0.0, clamp=[0.5, 5.0]),
    config.ObjectiveChoice(objective="my objectives.py:hard", mode="1", rate=None, names=["a b", '"']),
    config.ObjectiveChoice(),
    config.SftSettings(objective=config.ObjectiveChoice(objective="glow", alpha=2.0), seed=3),
    config.Sft(lora={}, quantization="nf4"),
    config.Sft(
        lora={"rank": 4, "target_modules": ["q_proj", "v proj"], "merge": True}, saved_dtype="bfloat16"
    ),
    config.Grpo(steps=3, max_tokens=9, lora={"alpha": 1.5}, optimizer="adamw_8bit"),
    config.Selection(size=12),
    config.Selection(),
    config.Sft(budget="steps", gradient_checkpointing=False, precision="fp32"),
    config.Grpo(steps=3, max_tokens=9, vllm=True, warmup_steps=2, adam_beta2=0.95),
    config.Suite(task="math500", format="boxed"),
    config.Evaluation(max_tokens=7, samples=4),
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: type(section).__name__)
def test_a_section_survives_the_command_line(section: config.Section) -> None:
    assert parsed(type(section), shlex.split(flags(section))) == section


@given(system=st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")))
@example(system="--")  # argparse takes it for the end of options, even behind an equals sign
def test_any_prompt_survives_quoting(system: str | None) -> None:
    prompt = config.Prompt(system=system, instruction="$HOME 'a' \"b\" `c`\n{d}")
    assert parsed(config.Prompt, shlex.split(flags(prompt))) == prompt


def test_the_flags_of_a_section_by_hand() -> None:
    assert flags(config.ObjectiveChoice(objective="glow", alpha=2.0, clamp=[0.5, 5.0])) == (
        "--objective=glow --objective-settings alpha=2.0 'clamp=[0.5, 5.0]'"
    )
    assert flags(config.Prompt(instruction="a b")) == "'--instruction=a b' --thought '<think>' '</think>'"
    variables = {"enable_thinking": False, "effort": "1"}
    given = config.Prompt(chat_template="qwen3", chat_template_kwargs=variables)
    assert flags(given) == (
        "--instruction= --chat-template=qwen3 --chat-template-kwargs enable_thinking=false 'effort=\"1\"' "
        "--thought '<think>' '</think>'"
    )


def test_a_section_that_may_be_left_out_is_written_in_pairs() -> None:
    assert parsed(config.Sft, ["--lora", "rank=3"]).lora == config.Lora(rank=3)
    assert parsed(config.Sft, []).lora is None
    assert "--lora rank=4 " in flags(config.Sft(lora={"rank": 4}))


def test_a_suites_domain_and_group_are_no_options() -> None:
    written = flags(config.Suite(families=["reversal"], domain="lists", group="other"))
    assert "domain" not in written
    assert "group" not in written


def test_defaults_are_those_of_the_section() -> None:
    assert parsed(config.Sft, []) == config.Sft()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kl=-1"], "--kl: Input should be greater than or equal to 0"),
        (["--learning-rate=much"], "--learning-rate: Input should be a valid number"),
        (["--generations=1"], "--generations: Input should be greater than or equal to 2"),
        (["--lora", "rank=0"], "--lora-rank: Input should be greater than 0"),
        (["--lora", "ranks=4"], "--lora-ranks: Extra inputs are not permitted"),
    ],
)
def test_a_bad_value_names_its_option(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parsed(config.Grpo, ["--steps=1", "--max-tokens=1", *words])
    assert message in str(caught.value)


def test_further_settings_are_json_or_text() -> None:
    words = ["alpha=1e-3", "clamp=[0.5,5]", "mode=a b=c", "none=null", "empty="]
    assert parsed(config.ObjectiveChoice, ["--objective-settings", *words]).settings == {
        "alpha": 0.001, "clamp": [0.5, 5], "mode": "a b=c", "none": None, "empty": "",
    }  # fmt: skip
    with pytest.raises(UserError, match="--objective-settings: 'alpha' is not KEY=VALUE"):
        parsed(config.ObjectiveChoice, ["--objective-settings", "alpha"])


def test_resources_of_a_rule_become_a_section_and_others_are_left_alone() -> None:
    """As Snakemake hands them on: words and whole numbers, other resources beside them."""
    resources = {"mem_mb": 3000, "vllm_enable_sleep_mode": "true", "vllm_gpu_memory_utilization": 45}
    found = section_from_resources(resources | {"vllm_max_model_length": 512}, config.GrpoEngineHardware)
    assert found == config.GrpoEngineHardware(
        vllm_enable_sleep_mode=True, vllm_gpu_memory_utilization=0.45, vllm_max_model_length=512
    )
    assert section_from_resources({}, config.GrpoEngineHardware) == config.GrpoEngineHardware()
    tracked = section_from_resources({"report_to": "tensorboard+wandb"}, config.Tracking)
    assert tracked.report_to == ["tensorboard", "wandb"]


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"vllm_gpu_memory_utilization": 0}, "resource vllm_gpu_memory_utilization: give per cent"),
        ({"vllm_gpu_memory_utilization": 1}, "45 for a share of 0.45"),
        ({"vllm_gpu_memory_utilization": "half"}, "give per cent"),
        ({"vllm_gpu_memory_utilization": 100}, "resource vllm_gpu_memory_utilization: .* less than 1"),
        ({"vllm_mode": "server"}, "resource vllm_mode: server is not supported"),
        ({"vllm_tensor_parallel_size": 0}, "resource vllm_tensor_parallel_size: .* greater than 0"),
    ],
)
def test_a_bad_resource_is_named(resources: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        section_from_resources(resources, config.GrpoEngineHardware)
