"""Peak memory of a training step: GlowTrainer, TRL's SFTTrainer and a step like the released code's.

Each contender runs a few steps in a fresh process of its own. On a CPU the figure is the process's peak
resident set, and what of it came on top of the model, the data and the libraries that were there before
the first step; on a GPU the same of torch's allocated memory. Targets for glow/released: at most 0.35 on
a CPU (4 x 512 tokens, vocabulary of 152k), 0.5 on a GPU.

    OMP_NUM_THREADS=1 python benchmarks/memory.py
    python benchmarks/memory.py --shape qwen2.5-0.5b            (a GPU)

The results go to benchmarks/results/.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from contenders import (
    CONTENDERS,
    SHAPES,
    build,
    chosen_shape,
    contenders_for,
    random_model,
    samples,
    settings,
)
from options import new_parser
from timing import table, write
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

STEPS = 3
"""Each an epoch, so that GLOW has its weights. The first makes the optimiser's state, so that only the
second holds all that a step holds."""


@dataclass(frozen=True)
class Memory:
    """Bytes in use before the first step, and at the peak."""

    before: int
    peak: int

    @property
    def increase(self) -> int:
        return self.peak - self.before


class MemoryBefore(TrainerCallback):
    """Notes what is in use when the first step begins."""

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == 0:
            self.bytes = in_use()
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()


def in_use() -> int:
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss


def peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # given in kB


def main() -> None:
    options = (command := parser()).parse_args()
    shape = chosen_shape(command, options.shape)
    if options.alone:
        print(json.dumps(asdict(measure(options.alone, options.shape))))
        return
    names = options.contenders or contenders_for(shape)
    report(options.shape, {name: measure_in_fresh_process(name, options.shape) for name in names})


def parser() -> argparse.ArgumentParser:
    made = new_parser(__doc__, "small-152k", shapes=SHAPES, contenders=CONTENDERS)
    made.add_argument(
        "--alone", choices=CONTENDERS, help="measure this one in this process, print JSON, write nothing"
    )
    return made


def measure(name: str, shape_name: str) -> Memory:
    """Run the contender in this process, which should be fresh."""
    shape = SHAPES[shape_name]
    before = MemoryBefore()
    with tempfile.TemporaryDirectory() as folder:
        arguments = settings(shape, Path(folder), STEPS)
        trainer = build(name, random_model(shape), samples(shape, batches=1), arguments)
        trainer.add_callback(before)
        trainer.train()
    return Memory(before.bytes, peak())


def measure_in_fresh_process(name: str, shape_name: str) -> Memory:
    command = [sys.executable, __file__, "--shape", shape_name, "--alone", name]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Memory(**json.loads(answer.splitlines()[-1]))


def report(shape_name: str, used: dict[str, Memory]) -> None:
    shape = SHAPES[shape_name]
    target = f"at most {0.5 if shape.gpu else 0.35}"
    memories = [
        [name, *(f"{size / 2**20:,.0f}" for size in (memory.before, memory.peak, memory.increase))]
        for name, memory in used.items()
    ]
    ratios = {
        f"{name}/released": [memory.peak / other.peak, memory.increase / other.increase]
        for name, memory in used.items()
        for other in [used.get("released")]
        if other is not None and memory is not other
    }
    rows = [
        [pair, *(f"{value:.3f}" for value in values), target if pair == "glow/released" else "none"]
        for pair, values in ratios.items()
    ]
    write(
        f"memory-{shape_name}",
        f"Peak memory: {shape.summary}, {STEPS} steps",
        [
            table(["contender", "before the first step (MiB)", "peak (MiB)", "increase (MiB)"], memories),
            table(["ratio", "peak", "increase", "target"], rows),
        ],
        {"bytes": {name: asdict(memory) for name, memory in used.items()}, "ratios": ratios},
    )


if __name__ == "__main__":
    main()
