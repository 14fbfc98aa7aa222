"""Tokens per second and model FLOP utilisation (MFU) of GlowTrainer on one GPU.

Cases: full rows; packed rows of 4,096 and 32,768 tokens; one sample of 32,768 tokens; mixed lengths,
padded and padding-free. Target: an MFU of at least 50 % at 1.5B and 4,096 tokens, and that padding-free
wins by the padding share. There is nothing to measure without a GPU: the script then exits with 2.

    python benchmarks/throughput.py --shape qwen2.5-0.5b
    python benchmarks/throughput.py --shape qwen2.5-1.5b --cases full packed-4k --profile

MFU = FLOPs of the real tokens / (seconds x peak). FLOPs of a document of n tokens: n times TRL's
compute_flops_per_token(config, n) (forward and twice that for backward; head included; recomputation for
gradient checkpointing not), less half of the attention scores, as the mask is causal (TRL's
adjusted_mfu). Padding counts as time and not as work. Every token has a label.
The results go to benchmarks/results/.
"""

import argparse
import gc
import importlib.util
import math
import random
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from contenders import SHAPES, Shape, build, chosen_shape, random_model, random_samples, settings
from options import new_parser
from timing import Contender, table, write
from torch.profiler import ProfilerActivity, profile
from transformers import Qwen2Config
from trl.trainer.utils import adjusted_mfu, compute_flops_per_token

EPOCH_STEPS = 8
EPOCHS = 3
"""Epochs that count; one before them warms up (kernels, allocator, compiled attention)."""
PEAK = 989e12
"""Dense bf16 FLOP/s of an H100 or H200 SXM (NVIDIA's data sheets)."""


@dataclass(frozen=True)
class Case:
    """Samples of these lengths (an epoch of them), `batch_size` rows of up to `row` tokens a step."""

    summary: str
    lengths: list[int] = field(repr=False)
    batch_size: int
    row: int
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.summary

    @property
    def one_row(self) -> bool:
        """Whether several samples share a row, which needs attention that keeps them apart."""
        return bool(self.arguments)

    @property
    def padding_share(self) -> float:
        """Of all places in the padded batches, those that hold no token (0 where nothing is padded)."""
        if self.one_row:
            return 0.0
        size = self.batch_size
        batches = [self.lengths[start : start + size] for start in range(0, len(self.lengths), size)]
        places = sum(len(batch) * max(batch) for batch in batches)
        return 1 - sum(self.lengths) / places


def packable(row: int, rows: int) -> list[int]:
    """Lengths of documents that fill `rows` rows to the last token: a half, three eighths, an eighth."""
    return [row // 2, row * 3 // 8, row // 8] * rows


def mixed(number: int) -> list[int]:
    draw = random.Random(0)
    return [draw.randint(256, 4096) for _ in range(number)]


PACKING = {"packing": True, "packing_strategy": "bfd"}
CASES = {
    "full": Case("8 rows, each a sample of 4,096 tokens", [4096] * 8 * EPOCH_STEPS, 8, 4096),
    "packed-4k": Case("8 packed rows of 4,096", packable(4096, 8 * EPOCH_STEPS), 8, 4096, PACKING),
    "packed-32k": Case("1 packed row of 32,768", packable(32768, EPOCH_STEPS), 1, 32768, PACKING),
    "single-32k": Case("one sample of 32,768 tokens", [32768] * EPOCH_STEPS, 1, 32768),
    "mixed-padded": Case("8 samples of 256 to 4,096 tokens, padded", mixed(8 * EPOCH_STEPS), 8, 4096),
    "mixed-free": Case(
        "the same, padding-free", mixed(8 * EPOCH_STEPS), 8, 4096, {"padding_free": True, "max_length": None}
    ),
}


@dataclass(frozen=True)
class Throughput:
    """What a case came to; bytes are torch's peak allocation."""

    tokens_per_second: float
    mfu: float
    padding_share: float
    peak_bytes: int
    attention: str
    kernels: str | None


def training_flops(config: Qwen2Config, lengths: Iterable[int]) -> float:
    """FLOPs of forward and backward over documents of these lengths, under a causal mask."""
    # adjusted_mfu scales whatever it is given by the causal share; here, the FLOPs themselves.
    return sum(n * adjusted_mfu(compute_flops_per_token(config, n), config, n) for n in lengths)


def main() -> None:
    options = (command := parser()).parse_args()
    shape = chosen_shape(command, options.shape)
    found = {name: measure(shape, CASES[name], options) for name in options.cases or CASES}
    report(options.shape, shape, found)


def parser() -> argparse.ArgumentParser:
    shapes = {name: shape for name, shape in SHAPES.items() if shape.gpu}
    made = new_parser(__doc__, "qwen2.5-1.5b", shapes=shapes, cases=CASES)
    made.add_argument(
        "--peak", type=float, default=PEAK, help="the GPU's dense bf16 FLOP/s (%(default).4g, an H200's)"
    )
    flash = importlib.util.find_spec("flash_attn") is not None
    made.add_argument(
        "--packed-attention",
        default="flash_attention_2" if flash else "flex_attention",
        help="attention where samples share a row (%(default)s here); whole rows use sdpa",
    )
    recomputed = "compute activations again: saves memory, costs up to a quarter of the MFU (default: off)"
    made.add_argument("--gradient-checkpointing", action="store_true", help=recomputed)
    made.add_argument("--profile", action="store_true", help="list the kernels that one step's time goes to")
    return made


def measure(shape: Shape, case: Case, options: argparse.Namespace) -> Throughput:
    """Train for an epoch to warm up and `EPOCHS` that count."""
    attention = options.packed_attention if case.one_row else "sdpa"
    shape = replace(shape, batch_size=case.batch_size, length=case.row)
    further = {**case.arguments, "gradient_checkpointing": options.gradient_checkpointing}
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(shape, attention)
        dataset = random_samples(case.lengths, model.config.vocab_size, prompt_share=0)
        arguments = settings(shape, Path(folder), steps=10 * EPOCHS * EPOCH_STEPS, **further)
        trainer = build("glow", model, dataset, arguments)
        steps = math.ceil(len(trainer.train_dataset) / case.batch_size)
        contender = Contender(trainer)
        for _ in range(steps):
            contender.take_step()
        torch.cuda.reset_peak_memory_stats()
        seconds = sum(contender.take_step().whole for _ in range(EPOCHS * steps))
        peak_bytes = torch.cuda.max_memory_allocated()
        kernels = slowest_kernels(contender) if options.profile else None
        contender.close()
    flops = EPOCHS * training_flops(model.config, case.lengths)
    del model, trainer, contender
    gc.collect()
    torch.cuda.empty_cache()
    return Throughput(
        tokens_per_second=EPOCHS * sum(case.lengths) / seconds,
        mfu=flops / seconds / options.peak,
        padding_share=case.padding_share,
        peak_bytes=peak_bytes,
        attention=attention,
        kernels=kernels,
    )


def slowest_kernels(contender: Contender) -> str:
    """What bounds a step: its kernels in order of time."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        contender.take_step()
    return seen.key_averages().table(sort_by="self_cuda_time_total", row_limit=12, max_name_column_width=80)


def report(name: str, shape: Shape, found: dict[str, Throughput]) -> None:
    rows = [
        [
            f"{case}: {CASES[case].summary}",
            result.attention,
            f"{result.tokens_per_second:,.0f}",
            f"{result.mfu:.1%}",
            f"{result.padding_share:.1%}",
            f"{result.peak_bytes / 2**30:.1f}",
        ]
        for case, result in found.items()
    ]
    headings = ["case", "attention", "tokens/s", "MFU", "padding", "peak (GiB)"]
    parts = [table(headings, rows)]
    if {"mixed-padded", "mixed-free"} <= set(found):
        padded, free = found["mixed-padded"], found["mixed-free"]
        gain = free.tokens_per_second / padded.tokens_per_second
        parts.append(
            f"Padding-free is {gain:.2f} times as fast; the padding alone would make it "
            f"{1 / (1 - padded.padding_share):.2f}."
        )
    parts += [f"{case}\n\n```\n{result.kernels}\n```" for case, result in found.items() if result.kernels]
    write(
        f"throughput-{name}",
        f"Throughput: {shape.summary.split(',')[0]}, bf16, one GPU",
        parts,
        {case: asdict(result) for case, result in found.items()},
    )


if __name__ == "__main__":
    main()
