"""How GRPO was run, in words: the configuration's settings, and those that TRL decides.

TRL is not imported here: a test compares what is said of its defaults with them.
"""

from glow.config import Grpo
from glow.config.grpo import CLIPPED

TRL_DEFAULTS = {"max_grad_norm": 1.0}
"""Fields of TRL's GRPOConfig that glow leaves as they are, with the values that `grpo_settings` tells."""

_SCALES = {
    "group": "divided by the standard deviation of the prompt's rewards",
    "batch": "divided by the standard deviation of the step's rewards",
    "none": "not scaled",
}
_SCHEDULES = {
    "constant_with_warmup": "constant", "linear": "falling evenly to 0", "cosine": "falling to 0 by a cosine",
    "inverse_sqrt": "falling with the square root of the step",
}  # fmt: skip


def grpo_settings(grpo: Grpo) -> str:
    """The settings in a few sentences."""
    rate = f"{grpo.learning_rate:g}"
    warmup = f", after {grpo.warmup_steps} steps of warm-up" if grpo.warmup_steps else ""
    kl = f"{grpo.kl:g} (KL penalty to the start)" if grpo.kl else "0 (no KL penalty)"
    passes = "once, for one update"
    if grpo.num_iterations > 1:
        passes = f"{grpo.num_iterations} times, for as many updates"
    return (
        f"{grpo.steps} steps of {grpo.prompts} prompts x {grpo.generations} rollouts, at temperature "
        f"{grpo.temperature:g}{_truncation(grpo)} and of up to {grpo.max_tokens} tokens. Each step's "
        f"rollouts are passed over {passes}. Learning rate {rate}, {_SCHEDULES[grpo.scheduler]}{warmup}; "
        "Adam's beta2 "
        f"{grpo.adam_beta2:g}; beta {kl}. The reward is 1 for a right rollout and 0 for any other. Loss "
        f"{grpo.loss_type}{_masked(grpo)}, advantages {_SCALES[grpo.scale_rewards]}, {_clipping(grpo)}, and "
        f"gradients clipped at a norm of {TRL_DEFAULTS['max_grad_norm']:g}.{_chosen(grpo)}"
    )


def _truncation(grpo: Grpo) -> str:
    told = {"top-p": (grpo.top_p, 1.0), "top-k": (grpo.top_k, 0), "min-p": (grpo.min_p, 0.0)}
    return "".join(f", {name} {value:g}" for name, (value, off) in told.items() if value != off)


def _masked(grpo: Grpo) -> str:
    return " without rollouts that were cut off" if grpo.mask_truncated_completions else ""


def _clipping(grpo: Grpo) -> str:
    """The clip range in words; losses other than PPO's have none, or another."""
    if grpo.loss_type == "cispo":
        return f"weights of at most {grpo.epsilon_high:g}"
    if grpo.loss_type not in CLIPPED:
        return "ratios weighted softly"
    high = grpo.epsilon if grpo.epsilon_high is None else grpo.epsilon_high
    bounds = f"±{high:g}" if high == grpo.epsilon else f"-{grpo.epsilon:g} and +{high:g}"
    of = " of whole rollouts" if grpo.importance_sampling_level == "sequence" else ""
    return (
        f"ratios{of} clipped at {bounds}{' (of no effect with one pass)' if grpo.num_iterations == 1 else ''}"
    )


def _chosen(grpo: Grpo) -> str:
    """Which problems are not trained on, as sentences; empty where all are."""
    said = ""
    if grpo.eval_problems:
        said += (
            f" {grpo.eval_problems} problems are set aside, for an evaluation every {grpo.eval_steps} steps."
        )
    if grpo.pass_rate_rollouts:
        said += (
            f" Problems are left out of which the start solves less than {100 * grpo.min_pass_rate:g} % or "
            f"more than {100 * grpo.max_pass_rate:g} % of {grpo.pass_rate_rollouts} rollouts."
        )
    return said
