"""What the report says of GRPO's settings, and that TRL's defaults are what it says."""

from dataclasses import fields

from trl import GRPOConfig

from glow.config import Grpo
from glow.reporting.grpo_settings import TRL_DEFAULTS, grpo_settings


def test_trl_has_the_defaults_that_are_told() -> None:
    defaults = {field.name: field.default for field in fields(GRPOConfig)}
    assert {name: defaults[name] for name in TRL_DEFAULTS} == TRL_DEFAULTS


def test_settings_in_words() -> None:
    said = grpo_settings(Grpo(steps=40, prompts=16, learning_rate=2e-4, max_tokens=96))
    assert said.startswith("40 steps of 16 prompts x 8 rollouts, at temperature 1 and of up to 96 tokens. ")
    assert "passed over once, for one update. Learning rate 0.0002, constant; " in said
    assert "beta 0 (no KL penalty)" in said


def test_what_is_not_a_default_is_told_too() -> None:
    grpo = Grpo(steps=2, max_tokens=8, kl=0.04, warmup_steps=3, temperature=0.7)
    said = grpo_settings(grpo)
    assert "constant, after 3 steps of warm-up" in said
    assert "beta 0.04 (KL penalty to the start)" in said
    assert "at temperature 0.7" in said
