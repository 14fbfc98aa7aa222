"""What the cost model of `glow plan` counts with on a CPU: CPU seconds of the miniature's model, by kind.

Training, decoding and scoring, each with batches of several sizes, since a small model pays as much for a
step as for the tokens in it: seconds = `step_s` + tokens x `token_s`, by least squares; a step of
pretraining. And what a stage takes before it does anything (imports, in a process of its own). All are CPU
seconds of one thread and medians, of a machine without other load: what a study gets, not the best that was
ever seen. A machine that is shared with others (a virtual one) wanders by a quarter within minutes, and its
numbers with it.

    OMP_NUM_THREADS=1 python benchmarks/costs.py

The results go to benchmarks/results/; src/glow/planning/constants.yaml has the numbers that are used.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders import SHAPES, build, miniature, random_model, random_samples, settings
from options import new_parser
from timing import Contender, table, write

from glow.config import Decoding
from glow.miniature.corpus import Corpus
from glow.miniature.pretrain import ROW_LENGTH, new_model, optimizers, packed_batch, response_loss
from glow.miniature.tokenizer import build_tokenizer
from glow.models.scoring import score_responses
from glow.models.transformers_engine import NetworkSampler

LENGTH = 80
"""Tokens of a sample, a quarter of them the prompt's: about the miniature's."""
ROLLOUT = (45, 96)
"""Tokens of a prompt and of its answer in decoding, as in the miniature's GRPO and benchmarks/rollouts.py."""
BLOCKS = 3
"""Turns in which steps of several sizes are taken."""
STAGES = {
    "pretrain": "glow.miniature.pretrain",
    "sft": "glow.training.sft",
    "grpo": "glow.training.grpo",
    "generate": "glow.data.generate",
    "evaluate": "glow.evaluation.evaluate",
    "verify": "glow.data.verdicts",
    "tables": "glow.reporting.tables",
}


@dataclass(frozen=True)
class Fit:
    """CPU seconds of one step, and of a token in it."""

    step_s: float
    token_s: float


def fitted(points: Iterable[tuple[int, float]]) -> Fit:
    """Least squares of (tokens of a step, seconds of it), in relation to the seconds; nothing is below 0."""
    tokens, seconds = (np.array(values, dtype=float) for values in zip(*points, strict=True))
    design = np.stack([np.ones_like(tokens), tokens], axis=1) / seconds[:, None]
    step_s, token_s = np.linalg.lstsq(design, np.ones_like(seconds), rcond=None)[0]
    return Fit(max(0.0, float(step_s)), max(0.0, float(token_s)))


def parser() -> argparse.ArgumentParser:
    made = new_parser(__doc__)
    made.add_argument(
        "--rounds", type=int, default=30, help="steps of each kind that count, from 18 (%(default)s)"
    )
    return made


def main() -> None:
    options = parser().parse_args()
    points = {
        "train": train_points(options.rounds),
        "decode": decode_points(options.rounds),
        "score": score_points(options.rounds),
    }
    fits = {name: fitted(own) for name, own in points.items()}
    pretraining = {name: pretrain_seconds(name, options.rounds) for name in ("adamw", "muon")}
    starts = {name: start_of(module) for name, module in STAGES.items()}
    parameters = sum(p.numel() for p in random_model(SHAPES["miniature"]).parameters())
    rows = [[name, f"{1e3 * fit.step_s:.2f}", f"{1e6 * fit.token_s:.1f}"] for name, fit in fits.items()]
    measured = [
        [
            name,
            f"{tokens:,}",
            f"{1e3 * seconds:.1f}",
            f"{1e3 * (fits[name].step_s + tokens * fits[name].token_s):.1f}",
        ]
        for name, own in points.items()
        for tokens, seconds in own
    ]
    started = [
        [name, f"{own['cpu_s']:.1f}", f"{own['peak_bytes'] / 1e6:.0f}"] for name, own in starts.items()
    ]
    per_step = [[name, f"{1e3 * seconds:.1f}"] for name, seconds in pretraining.items()]
    write(
        "costs-miniature",
        f"CPU seconds by kind of work: {SHAPES['miniature'].summary}, {parameters:,} parameters",
        [
            table(["work", "step (ms)", "token (µs)"], rows),
            table(["work", "tokens in a step", "measured (ms)", "fitted (ms)"], measured),
            table([f"pretraining, a step of 4 x {ROW_LENGTH}", "ms"], per_step),
            table(["start of stage", "CPU s", "peak (MB)"], started),
        ],
        {
            "parameters": parameters,
            **{name: vars(fit) for name, fit in fits.items()},
            "points": points,
            "pretrain_step_s": pretraining,
            "start": starts,
        },
    )


def median_seconds(steps: Sequence[Callable[[], Any]], rounds: int, warm_up: int = 2) -> list[float]:
    """Of one call of each, in CPU seconds of this process.

    In blocks by turns, so that a slow minute is everyone's and the caches are one's own, as in a stage.
    """
    taken: list[list[float]] = [[] for _ in steps]
    for _ in range(BLOCKS):
        for own, step in zip(taken, steps, strict=True):
            for turn in range(warm_up + rounds // BLOCKS):
                began = time.process_time()
                step()
                if turn >= warm_up:
                    own.append(time.process_time() - began)
    return [statistics.median(own) for own in taken]


def train_points(rounds: int) -> list[tuple[int, float]]:
    """Optimiser steps of GlowTrainer."""
    shape, sizes, contenders = SHAPES["miniature"], (4, 16, 64), []
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            model = random_model(shape)
            data = random_samples(
                [LENGTH] * rows * (rounds + 5 * BLOCKS), model.config.vocab_size, prompt_share=1 / 4
            )
            arguments = settings(
                shape, Path(folder), steps=10**6, per_device_train_batch_size=rows, max_length=None
            )
            contenders.append(Contender(build("glow", model, data, arguments)))
        seconds = median_seconds([own.take_step for own in contenders], rounds)
        for own in contenders:
            own.close()
    return [(rows * LENGTH, own) for rows, own in zip(sizes, seconds, strict=True)]


def decode_points(rounds: int) -> list[tuple[int, float]]:
    """Steps of our decoding loop, each of which makes a token for every row."""
    model, sizes, places = random_model(SHAPES["miniature"]).eval(), (8, 64, 256), iter(range(10**6))
    prompt, answer = ROLLOUT
    decoding = Decoding(temperature=1.0, max_tokens=answer)
    sampler = NetworkSampler(model, build_tokenizer(), [0], decoding, ("<think>", "</think>"))

    def decode(rows: int) -> None:
        turn = next(places)
        keys = [(turn, "costs", row) for row in range(rows)]
        with torch.no_grad():
            for _ in sampler.decode([[5] * prompt] * rows, keys):
                pass

    seconds = median_seconds([partial(decode, rows) for rows in sizes], rounds // 6, warm_up=1)
    return [(rows, own / answer) for rows, own in zip(sizes, seconds, strict=True)]


def score_points(rounds: int) -> list[tuple[int, float]]:
    """Teacher-forced passes over responses."""
    model, sizes = random_model(SHAPES["miniature"]).eval(), (8, 32, 128)
    prompt, response = [5] * (LENGTH // 4), [7] * (LENGTH * 3 // 4)
    seconds = median_seconds(
        [partial(score_responses, model, [prompt] * rows, [response] * rows) for rows in sizes], rounds
    )
    return [(rows * LENGTH, own) for rows, own in zip(sizes, seconds, strict=True)]


def pretrain_seconds(optimizer: str, rounds: int) -> float:
    """A step of `glow pretrain`, of the miniature's own phase with that optimiser."""
    own, tokenizer = miniature().base.pretrain, build_tokenizer()
    name, phase = next((name, phase) for name, phase in own.phases.items() if phase.optimizer == optimizer)
    model, corpus, places = new_model(own, tokenizer), Corpus(own, name, phase), iter(range(10**6))
    taking = optimizers(model, phase)

    def step() -> None:
        model.zero_grad()
        response_loss(model, packed_batch(corpus, tokenizer, next(places), own.batch_size)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for one in taking:
            one.step()

    [seconds] = median_seconds([step], rounds)
    return seconds


def start_of(module: str) -> dict[str, float]:
    """CPU seconds, and bytes at the peak, of a process that imports a stage and ends."""
    code = (
        f"import pathlib, re, time; from glow.commands.stage import imported; imported('{module}:__name__');"
        "peak = re.search(r'VmHWM:\\s+(\\d+) kB', pathlib.Path('/proc/self/status').read_text())[1];"
        "print(time.process_time(), int(peak) * 1024)"
    )
    command = [sys.executable, "-c", code]
    used = [
        [
            float(word)
            for word in subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()[-2:]
        ]
        for _ in range(5)
    ]
    seconds, peak = (statistics.median(values) for values in zip(*used, strict=True))
    return {"cpu_s": seconds, "peak_bytes": peak}


if __name__ == "__main__":
    main()
