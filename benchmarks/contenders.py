"""What the benchmarks compare, and on what: model shapes with random weights, data, and the trainers.

All contenders get the same weights, the same samples in the same order and the same optimiser. Nothing is
measured here (`timing`, `memory`), and nothing of it is of use outside the benchmarks.
"""

import random
from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset
from datasets import disable_progress_bars as disable_dataset_bars
from released import ReleasedLikeTrainer
from transformers import PrinterCallback, Qwen2Config, Qwen2ForCausalLM
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer

from glow import GlowConfig, GlowTrainer
from glow.config import Experiment
from glow.experiment import load
from glow.miniature.families import family_named
from glow.miniature.pretrain import new_model
from glow.miniature.tokenizer import build_tokenizer
from glow.training.head import use_chunked_head

MINIATURE = Path(__file__).resolve().parents[1] / "config" / "miniature.yaml"
ALPHA, BETA = 1.0, 10.0


@dataclass(frozen=True)
class Shape:
    """A model and the batches that it is trained on.

    `model` is for Qwen2Config (None: the miniature's own model, data and settings); `length` in tokens.
    """

    summary: str
    batch_size: int
    length: int
    gpu: bool
    model: dict[str, Any] | None = field(repr=False)

    def __str__(self) -> str:
        return self.summary


def _qwen(**settings: Any) -> dict[str, Any]:
    return {"vocab_size": 151936, "tie_word_embeddings": True, "max_position_embeddings": 32768, **settings}


QWEN_05B = _qwen(
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
    rope_theta=1e6,
)
QWEN_15B = _qwen(
    hidden_size=1536,
    intermediate_size=8960,
    num_hidden_layers=28,
    num_attention_heads=12,
    num_key_value_heads=2,
    rope_theta=1e6,
)
SMALL = _qwen(
    hidden_size=64,
    intermediate_size=192,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
)

SHAPES = {
    "miniature": Shape(
        "the base model of config/miniature.yaml, its text and batch size", 16, 0, False, None
    ),
    "small-152k": Shape(
        "a backbone of width 64 under a vocabulary of 152k, 4 x 512 tokens", 4, 512, False, SMALL
    ),
    "qwen2.5-0.5b": Shape("Qwen2.5-0.5B, bf16, 8 x 4,096 tokens", 8, 4096, True, QWEN_05B),
    "qwen2.5-1.5b": Shape("Qwen2.5-1.5B, bf16, 8 x 4,096 tokens", 8, 4096, True, QWEN_15B),
}
CONTENDERS = {
    "glow": "GlowTrainer: the objective glow, alpha 1, beta 10, no clamp",
    "plain": "GlowTrainer: the objective plain, all weights 1",
    "sft": "TRL's SFTTrainer as it is, with its fused head",
    "sft-chunked": "TRL's SFTTrainer with the head of glow.training.head: what the trainer alone costs (CPU)",
    "released": "a step that costs what the released code's costs (released.py)",
}


def chosen_shape(parser: ArgumentParser, name: str) -> Shape:
    """The shape of that name; the command ends with code 2 if it needs a GPU and there is none."""
    if SHAPES[name].gpu and not torch.cuda.is_available():
        parser.error(f"shape {name} needs a CUDA device, and there is none; nothing was measured")
    return SHAPES[name]


def miniature() -> Experiment:
    """The miniature's own configuration."""
    return load(yaml.safe_load(MINIATURE.read_text()), str(MINIATURE))


def contenders_for(shape: Shape) -> list[str]:
    """Who takes part unless the caller says otherwise."""
    return [name for name in CONTENDERS if not (shape.gpu and name == "sft-chunked")]


def random_model(shape: Shape, attention: str = "sdpa") -> Qwen2ForCausalLM:
    """The shape's model with random weights, the same at each call; bf16 for GPU shapes, else float32."""
    if shape.model is None:
        return new_model(miniature().student.pretrain, build_tokenizer())
    dtype = torch.bfloat16 if shape.gpu else torch.float32
    config = Qwen2Config(**shape.model, dtype=dtype, attn_implementation=attention)
    torch.manual_seed(0)
    with torch.device("cuda" if shape.gpu else "cpu"):
        return Qwen2ForCausalLM(config).to(dtype)


def miniature_samples(number: int) -> Dataset:
    """Worked solutions of the miniature's training domain, as conversations."""
    families = [family_named(name) for name in miniature().domains["arithmetic"].problems.families]
    draw = random.Random(0)
    problems = [draw.choice(families).sample(draw) for _ in range(number)]
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": problem.question}],
                "completion": [{"role": "assistant", "content": problem.solution}],
            }
            for problem in problems
        ]
    )


def random_samples(lengths: list[int], vocabulary: int, prompt_share: float = 1 / 8) -> Dataset:
    """Samples of random tokens with these lengths; the first part of each is a prompt, not trained on."""
    draw = torch.Generator().manual_seed(0)
    rows = []
    for length in lengths:
        ids = torch.randint(vocabulary, (length,), generator=draw).tolist()
        prompt = int(length * prompt_share)
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return Dataset.from_list(rows)


def samples(shape: Shape, batches: int) -> Dataset:
    """An epoch of `batches` batches, all of the shape's length where it has one."""
    number = batches * shape.batch_size
    if shape.model is None:
        return miniature_samples(number)
    return random_samples([shape.length] * number, shape.model["vocab_size"])


def settings(shape: Shape, folder: Path, steps: int, **further: Any) -> dict[str, Any]:
    """Training arguments: those of the stage `glow sft`, without what writes and without shuffling."""
    defaults = {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": shape.batch_size,
        "learning_rate": 1e-5,
        "max_length": shape.length or None,
        "bf16": False,  # GPU shapes have bf16 weights, which autocast would only slow down
        "use_cpu": not shape.gpu,
        "gradient_checkpointing": shape.gpu,
        "dataloader_pin_memory": shape.gpu,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "logging_steps": 10,
        "report_to": "none",
        "disable_tqdm": True,
    }
    return {**defaults, **further}


def build(
    name: str, model: torch.nn.Module, dataset: Dataset, arguments: dict[str, Any]
) -> GlowTrainer | SFTTrainer:
    """The contender's trainer, ready to `train()`."""
    disable_dataset_bars()
    logging.set_verbosity_error()
    rest = {"model": model, "train_dataset": dataset, "processing_class": build_tokenizer()}
    if name in ("glow", "plain"):
        chosen = {"objective": name} | ({"alpha": ALPHA, "beta": BETA} if name == "glow" else {})
        trainer = GlowTrainer(args=GlowConfig(**arguments, **chosen), **rest)
    elif name == "released":
        trainer = ReleasedLikeTrainer(args=SFTConfig(**arguments), alpha=ALPHA, beta=BETA, **rest)
    else:
        trainer = SFTTrainer(args=SFTConfig(**arguments), **rest)
    if name == "sft-chunked":
        use_chunked_head(trainer.model)
    trainer.remove_callback(PrinterCallback)
    return trainer
