"""config/paper.yaml and its overlays: what the sources say, student by student and domain by domain."""

import re
from pathlib import Path

import pytest
import yaml

from glow.config import Experiment
from glow.experiment import read

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config"


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.chdir(ROOT)
    return read(CONFIG / "paper.yaml")


def with_overlay(name: str) -> Experiment:
    return read(CONFIG / "paper.yaml", CONFIG / "overlays" / name)


def test_its_students_are_the_papers(paper: Experiment) -> None:
    hubs = {name: own.base.hub.hub for name, own in paper.studies.items() if own.base.hub is not None}
    assert hubs == {
        "qwen2.5-3b": "Qwen/Qwen2.5-3B",
        "qwen2.5-7b": "Qwen/Qwen2.5-7B",
        "qwen2.5-14b": "Qwen/Qwen2.5-14B",
        "qwen2.5-32b": "Qwen/Qwen2.5-32B",
        "llama3.1-8b": "meta-llama/Llama-3.1-8B",
    }


def test_beta_is_that_of_the_domain_for_every_student(paper: Experiment) -> None:
    for study in paper.studies.values():
        for arm in ("glow", "glow_alpha2", "glow_released"):
            found = {domain: study.sft_run(domain, arm, 0).objective.settings for domain in ("math", "mmlu")}
            assert {domain: settings["beta"] for domain, settings in found.items()} == {
                "math": 10.0,
                "mmlu": 5.0,
            }
            assert found["math"]["alpha"] == (2.0 if arm == "glow_alpha2" else 1.0)
            assert found["math"]["clamp"] == ([0.5, 5.0] if arm == "glow_released" else None)


def test_training_has_the_system_message_of_the_release_and_evaluation_its_own(paper: Experiment) -> None:
    qwen, llama = paper.of("qwen2.5-7b"), paper.of("llama3.1-8b")
    trained = qwen.sft_run("math", "glow", 0).prompt
    assert trained.system == "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    assert trained.instruction == qwen.prompt.instruction
    for own in (qwen, llama):
        assert own.evaluation_run(0).prompt.system == "You are a helpful assistant."
    assert llama.sft_run("math", "glow", 0).prompt.system == "You are a helpful assistant."
    assert llama.evaluation_run(0).prompt.chat_template == "llama3_training"
    assert paper.generation.prompt.chat_template is None


def test_the_released_settings_of_training_and_evaluation(paper: Experiment) -> None:
    sft, evaluation = paper.sft, paper.evaluation
    assert (sft.epochs, sft.learning_rate, sft.scheduler, sft.warmup_ratio) == (20, 1e-5, "cosine", 0.1)
    assert (sft.max_length, sft.precision, sft.gradient_checkpointing) == (32000, "bf16", True)
    assert (evaluation.temperature, evaluation.top_p, evaluation.max_tokens) == (0.6, 0.95, 32768)


def test_the_pages_say_which_sharding_and_attention_the_profile_has() -> None:
    page, cluster = ((ROOT / "docs" / name).read_text("utf-8") for name in ("paper.md", "cluster.md"))
    profile = yaml.safe_load((ROOT / "profiles" / "paper" / "config.yaml").read_text("utf-8"))
    for rule in ("sft", "grpo"):
        own = profile["set-resources"][rule]
        assert (own["sharding"], "attention" in own) == ("fsdp2", False)
    (said,) = re.findall(
        r"^- \*\*FSDP2 and transformers' own choice .*?(?=^- )", page, re.MULTILINE | re.DOTALL
    )
    chosen = "`sharding: zero2` and `attention: flash_attention_2` below `sft` in a copy of the"
    assert chosen in said
    assert chosen in cluster
    (installed,) = re.findall(r"^make setup EXTRAS=(vllm,\S*)", cluster, re.MULTILINE)
    assert "deepspeed" not in installed.split(",")


def test_the_split_of_mmlu_is_marked_as_our_reading() -> None:
    text = (CONFIG / "paper.yaml").read_text("utf-8")
    assert re.search(r"hub_split: auxiliary_train +# ours", text)
    assert (
        "`auxiliary_train`"
        in (ROOT / "docs" / "paper.md").read_text("utf-8").partition("## What we chose")[2]
    )


def test_the_small_run_of_the_release_is_a_sixth_student(paper: Experiment) -> None:
    six = with_overlay("paper_0.5b.yaml")
    assert list(six.students)[:5] == list(paper.students)
    small = six.of("qwen2.5-0.5b")
    assert (small.sft.batch_size, small.sft.epochs) == (2, 5)
    assert six.of("qwen2.5-7b") == paper.of("qwen2.5-7b")


def test_further_weights_are_arms_with_a_beta_in_each_domain(paper: Experiment) -> None:
    more = with_overlay("paper_weights.yaml").of("qwen2.5-7b")
    added = more.arms.keys() - paper.arms.keys()
    assert added == {"glow_one_plus", "glow_released_alpha2"}
    betas = {
        (arm, domain): more.sft_run(domain, arm, 0).objective.settings["beta"]
        for arm in added
        for domain in more.domains
    }
    assert betas == {
        ("glow_one_plus", "math"): 25.0,
        ("glow_one_plus", "mmlu"): 5.0,
        ("glow_released_alpha2", "math"): 10.0,
        ("glow_released_alpha2", "mmlu"): 5.0,
    }
    assert more.sft_run("math", "glow", 0) == paper.of("qwen2.5-7b").sft_run("math", "glow", 0)
