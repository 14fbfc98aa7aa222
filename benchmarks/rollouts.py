"""Rollouts of GRPO: our decoding loop against transformers' `generate`, of the same model and prompts.

Both sample at temperature 1 from random weights, which end a rollout at random: one token in --mean ends it,
so lengths are as uneven as real ones are. The two take turns; the ratio is of medians of seconds per token,
with a 95 % bootstrap interval over rounds.

    OMP_NUM_THREADS=1 python benchmarks/rollouts.py
    python benchmarks/rollouts.py --shape qwen2.5-0.5b      (a GPU)

The results go to benchmarks/results/.
"""

import argparse
import random
import time

import numpy as np
import torch
from contenders import SHAPES, chosen_shape, random_model
from options import new_parser
from timing import ratio, table, write

from glow.config import Decoding
from glow.miniature.tokenizer import build_tokenizer
from glow.models.transformers_engine import NetworkSampler

PROMPT = range(30, 60)
"""Lengths of prompts, in tokens."""


def parser() -> argparse.ArgumentParser:
    made = new_parser(__doc__, "miniature", shapes=SHAPES)
    made.add_argument("--rows", type=int, default=128, help="rollouts at once (%(default)s)")
    made.add_argument("--tokens", type=int, default=96, help="longest rollout (%(default)s)")
    made.add_argument("--mean", type=int, default=64, help="mean length of unlimited rollouts (%(default)s)")
    made.add_argument(
        "--rounds", type=int, default=10, help="turns of each, after one to warm up (%(default)s)"
    )
    return made


class Rollouts:
    """The same prompts for both ways of decoding; each call gives seconds per token."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._model = random_model(SHAPES[options.shape]).eval()
        vocabulary, draw = self._model.config.vocab_size, random.Random(0)
        self._stops = sorted(draw.sample(range(vocabulary), vocabulary // options.mean))
        self._prompts = [
            [draw.randrange(vocabulary) for _ in range(draw.choice(PROMPT))] for _ in range(options.rows)
        ]
        self._decoding = Decoding(temperature=1.0, top_p=1.0, max_tokens=options.tokens)
        self._round = 0

    def ours(self) -> float:
        """With the loop of evaluations, as `glow.training.rollouts` does."""
        self._round += 1
        keys = [(self._round, "rollouts", row) for row in range(len(self._prompts))]
        sampler = NetworkSampler(
            self._model, build_tokenizer(), self._stops, self._decoding, ("<think>", "</think>")
        )
        began = _now()
        with torch.no_grad():
            tokens = sum(len(ids) for _, ids, _ in sampler.decode(self._prompts, keys))
        return (_now() - began) / tokens

    def generate(self) -> float:
        """With left padding and `generate`, as TRL does."""
        longest = max(map(len, self._prompts))
        ids = torch.zeros(len(self._prompts), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(self._prompts):
            ids[row, longest - len(prompt) :], mask[row, longest - len(prompt) :] = torch.tensor(prompt), 1
        device = self._model.device
        began = _now()
        made = self._model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            do_sample=True,
            top_k=0,
            max_new_tokens=self._decoding.max_tokens,
            eos_token_id=self._stops,
            pad_token_id=self._stops[0],
        )
        ended = torch.isin(made[:, longest:], torch.tensor(self._stops, device=device)).int()
        tokens = int((ended.cumsum(1) - ended == 0).sum())  # the first stop, and what is before it
        return (_now() - began) / tokens


def _now() -> float:
    """The time when all that was asked of the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    options = (command := parser()).parse_args()
    shape = chosen_shape(command, options.shape)
    rollouts = Rollouts(options)
    ways = {"ours": rollouts.ours, "generate": rollouts.generate}
    times: dict[str, list[float]] = {name: [] for name in ways}
    draw = random.Random(0)
    for turn in range(options.rounds + 1):
        for name in draw.sample(list(ways), len(ways)):
            taken = ways[name]()
            if turn:
                times[name].append(taken)
    found = ratio(times["ours"], times["generate"])
    title = (
        f"Rollouts: {options.rows} of up to {options.tokens} tokens, {options.rounds} rounds; {shape.summary}"
    )
    rows = [[name, f"{1 / np.median(taken):,.0f}"] for name, taken in times.items()]
    write(
        f"rollouts-{options.shape}",
        title,
        [table(["way", "tokens per second"], rows), f"Seconds per token, ours / generate: {found}"],
        {"seconds_per_token": times, "ratio": vars(found)},
    )


if __name__ == "__main__":
    main()
