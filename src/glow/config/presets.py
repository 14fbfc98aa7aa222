"""How the rows of public data sets and tools are laid out: a table of presets, for `trajectories.preset`.

A preset says what `trajectories.fields` and the settings beside it would. The columns are those of the data
set's card, or of the tool's code, at the address that is given (docs/data.md says when each was looked at).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """The layout of some rows.

    Attributes:
        what: whose rows they are.
        card: where their columns are described.
        fields: which keys hold what, as in `trajectories.fields`.
        beside: settings beside `fields`, as in `trajectories`.
        hub: the data set on the hub, and its configuration and split.
    """

    what: str
    card: str
    fields: Mapping[str, str]
    beside: Mapping[str, Any] = field(default_factory=dict)
    hub: tuple[str, str | None, str] | None = None


_TASK_QUESTIONS = "doc.question|doc.problem|doc.Question|doc.Problem|doc.query|doc.input|doc.prompt"

PRESETS: dict[str, Preset] = {
    "openr1": Preset(
        "OpenR1-Math-220k: two to four generations in a row, with math-verify's verdicts",
        "https://huggingface.co/datasets/open-r1/OpenR1-Math-220k",
        {
            "question": "problem",
            "answer": "answer",
            "response": "generations",
            "label": "correctness_math_verify?",
            "finish_reason": "finish_reasons?",
        },
        hub=("open-r1/OpenR1-Math-220k", None, "train"),
    ),
    "openmathreasoning": Preset(
        "OpenMathReasoning: one solution in a row",
        "https://huggingface.co/datasets/nvidia/OpenMathReasoning",
        {
            "question": "problem",
            "answer": "expected_answer",
            "response": "generated_solution",
            "generator": "generation_model",
        },
        hub=("nvidia/OpenMathReasoning", None, "cot"),
    ),
    "openthoughts": Preset(
        "OpenThoughts-114k, configuration metadata: the reasoning is joined",
        "https://huggingface.co/datasets/open-thoughts/OpenThoughts-114k",
        {
            "question": "problem",
            "answer": "ground_truth_solution?",
            "response": "deepseek_solution",
            "reasoning": "deepseek_reasoning",
        },
        {"gold": "boxed"},
        hub=("open-thoughts/OpenThoughts-114k", "metadata", "train"),
    ),
    "s1k": Preset(
        "s1K-1.1: DeepSeek-R1's attempts with their reasoning and grades",
        "https://huggingface.co/datasets/simplescaling/s1K-1.1",
        {
            "question": "question",
            "answer": "solution",
            "response": "deepseek_attempt",
            "reasoning": "deepseek_thinking_trajectory",
            "label": "deepseek_grade?",
        },
        hub=("simplescaling/s1K-1.1", None, "train"),
    ),
    "numina": Preset(
        "NuminaMath-CoT: reference solutions, whose last box is the gold answer",
        "https://huggingface.co/datasets/AI-MO/NuminaMath-CoT",
        {"question": "problem", "answer": "solution", "response": "messages[assistant]"},
        {"gold": "boxed"},
        hub=("AI-MO/NuminaMath-CoT", None, "train"),
    ),
    "verl": Preset(
        "verl: rollouts as the trainer dumps them (trainer.rollout_data_dir)",
        "https://github.com/verl-project/verl/blob/main/verl/trainer/ppo/ray_trainer.py",
        {"question": "input", "answer": "gts", "response": "output", "label": "acc|score?"},
    ),
    "lm-eval": Preset(
        "lm-evaluation-harness: answers as --log_samples writes them, for tasks that generate",
        "https://github.com/EleutherAI/lm-evaluation-harness/blob/main/lm_eval/evaluator.py",
        {
            "question": _TASK_QUESTIONS,
            "answer": "target",
            "response": "resps[0]",
            "label": "exact_match|math_verify?",
        },
    ),
    "sharegpt": Preset(
        "ShareGPT: turns under conversations, and a gold answer beside them",
        "https://github.com/lm-sys/FastChat/blob/main/docs/training.md",
        {
            "question": "conversations[user]",
            "answer": "answer",
            "response": "conversations[assistant]",
        },
    ),
    "messages": Preset(
        "turns under messages, as chat interfaces have them, and a gold answer beside them",
        "https://huggingface.co/docs/trl/dataset_formats",
        {"question": "messages[user]", "answer": "answer", "response": "messages[assistant]"},
    ),
    "trl": Preset(
        "TRL: prompt and completion, as text or turns, and a gold answer beside them",
        "https://huggingface.co/docs/trl/dataset_formats",
        {"question": "prompt", "answer": "answer|solution", "response": "completion|messages"},
    ),
    "alpaca": Preset(
        "Alpaca: instruction, input and output, and a gold answer beside them",
        "https://github.com/tatsu-lab/stanford_alpaca#data-release",
        {"question": "instruction", "context": "input?", "answer": "answer", "response": "output"},
    ),
}
"""By the name that `trajectories.preset` and `glow import --preset` take."""
