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


def test_further_settings_are_told_where_they_are_not_the_default() -> None:
    plain = grpo_settings(Grpo(steps=2, max_tokens=8))
    assert "Loss dapo, advantages divided by the standard deviation of the prompt's rewards, " in plain
    assert (
        "ratios clipped at ±0.2 (of no effect with one pass), and gradients clipped at a norm of 1." in plain
    )
    assert plain.endswith("norm of 1.")
    told = grpo_settings(
        Grpo(
            steps=8, max_tokens=8, loss_type="dr_grpo", scale_rewards="none", epsilon_high=0.28,
            num_iterations=2, mask_truncated_completions=True, scheduler="cosine", top_k=20, min_p=0.05,
            eval_steps=4, eval_problems=16, pass_rate_rollouts=8,
        )
    )  # fmt: skip
    for words in (
        "at temperature 1, top-k 20, min-p 0.05 and of up to 8 tokens",
        "passed over 2 times, for as many updates",
        "falling to 0 by a cosine",
        "Loss dr_grpo without rollouts that were cut off, advantages not scaled, ",
        "ratios clipped at -0.2 and +0.28, and",
        "16 problems are set aside, for an evaluation every 4 steps.",
        "less than 1 % or more than 99 % of 8 rollouts.",
    ):
        assert words in told
    cispo = grpo_settings(Grpo(steps=2, max_tokens=8, loss_type="cispo", epsilon_high=5.0))
    assert "weights of at most 5, and" in cispo
    level = {"loss_type": "grpo", "importance_sampling_level": "sequence"}
    assert "ratios of whole rollouts clipped" in grpo_settings(Grpo(steps=2, max_tokens=8, **level))
    assert "ratios weighted softly" in grpo_settings(Grpo(steps=2, max_tokens=8, loss_type="sapo"))
