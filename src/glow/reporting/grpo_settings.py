"""How GRPO was run, in words: the configuration's settings, and those that TRL decides.

TRL is not imported here: a test compares what is said of its defaults with them.
"""

from glow.config import Grpo

TRL_DEFAULTS = {
    "num_iterations": 1, "loss_type": "dapo", "scale_rewards": "group", "epsilon": 0.2, "max_grad_norm": 1.0,
}  # fmt: skip
"""Fields of TRL's GRPOConfig that glow leaves as they are, with the values that `grpo_settings` tells."""


def grpo_settings(grpo: Grpo) -> str:
    """The settings in a few sentences."""
    rate = f"{grpo.learning_rate:g}"
    warmup = f", after {grpo.warmup_steps} steps of warm-up" if grpo.warmup_steps else ""
    kl = f"{grpo.kl:g} (KL penalty to the start)" if grpo.kl else "0 (no KL penalty)"
    return (
        f"{grpo.steps} steps of {grpo.prompts} prompts x {grpo.generations} rollouts, at temperature "
        f"{grpo.temperature:g} and of up to {grpo.max_tokens} tokens. Each step's rollouts are passed over "
        f"once, for one update. Learning rate {rate}, constant{warmup}; Adam's beta2 "
        f"{grpo.adam_beta2:g}; beta {kl}. The reward is 1 for a right rollout and 0 for any other. By TRL's "
        f"defaults: loss {TRL_DEFAULTS['loss_type']}, advantages divided by the standard deviation of the "
        f"prompt's rewards, ratios clipped at ±{TRL_DEFAULTS['epsilon']:g} (of no effect with one pass), and "
        f"gradients at a norm of {TRL_DEFAULTS['max_grad_norm']:g}."
    )
