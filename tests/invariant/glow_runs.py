"""Runs of GlowTrainer on a toy model, and the float64 reference that they are held against."""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from glow.config import Prompt, Verification
from glow.models.load import stop_ids
from glow.training.epochs import EpochMeasures
from glow.training.held_out import DECIDED, HeldOutLosses, HeldOutQuestions, Tokenised
from glow.training.objectives import GlowSettings, Objective, glow
from glow.training.samples import ROW
from glow.training.trainer import GlowTrainer
from glow.training.trainer_config import GlowConfig
from glow.verifier.verify import Verifier

SAMPLES = 38  # not a multiple of 8: the last group of an epoch is short
EPOCHS = 3
LEARNING_RATE = 0.05  # keeps the descent stable: an unstable one magnifies rounding without bound
ALPHA, BETA = 2.0, 10.0

SETTINGS: dict[str, Any] = {
    "num_train_epochs": EPOCHS,
    "per_device_train_batch_size": 8,
    "learning_rate": LEARNING_RATE,
    "optim": "sgd",
    "lr_scheduler_type": "constant",
    "max_grad_norm": 0.0,
    "max_length": None,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 1,
    "seed": 7,
    "id_column": "trajectory_id",
    "alpha": ALPHA,
    "beta": BETA,
}


def toy_dataset() -> Dataset:
    """Short sums of different lengths, so that padding and token counts differ between samples."""
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": f"{n} plus {n % 7}"}],
                "completion": [
                    {"role": "assistant", "content": " ".join(str(n + k) for k in range(1 + n % 5))}
                ],
                "trajectory_id": f"t-{n}",
            }
            for n in range(SAMPLES)
        ]
    )


class RecordingTrainer(GlowTrainer):
    """Notes each sample as it comes up, for the reference to repeat."""

    seen: list[dict[str, Any]]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if model.training:
            for row, tokens, labels in _samples(inputs):
                sample = {"row": row, "step": self.state.global_step, "epoch": self.ledger.epoch}
                self.seen.append({**sample, "input_ids": tokens.cpu(), "labels": labels.cpu()})
        return super().compute_loss(model, inputs, *args, **kwargs)


def _samples(inputs: dict[str, Any]) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    """Each sample of a batch, (row, input_ids, labels), cut out of its padding or its pack."""
    rows = inputs[ROW].tolist()
    if "cu_seq_lens_q" in inputs:
        sizes = inputs["cu_seq_lens_q"].diff().tolist()
        tokens, labels = (inputs[name][0].split(sizes) for name in ("input_ids", "labels"))
    else:
        lengths = inputs["attention_mask"].sum(dim=1)
        tokens, labels = (
            [values[:length] for values, length in zip(inputs[name], lengths, strict=True)]
            for name in ("input_ids", "labels")
        )
    # Behind the last sample, TRL's collator counts each token of padding as one more.
    return list(zip(rows, tokens, labels, strict=False))


GLOW_BY_TOKENS = f"{__file__}:glow_by_tokens"
"""An objective of this file: GLOW's weights, in a mean over the step's tokens."""

glow_by_tokens = Objective(settings=GlowSettings, sample_weights=glow, uses_history=True, average="tokens")

WITH_GLOW_WEIGHTS = ("glow", GLOW_BY_TOKENS)


def settings_with(**changes: Any) -> dict[str, Any]:
    """SETTINGS with changes; alpha and beta go with another objective than GLOW, which has none."""
    has_both = changes.get("objective", "glow") in WITH_GLOW_WEIGHTS
    return {**SETTINGS, **({} if has_both else {"alpha": None, "beta": None}), **changes}


def make_trainer(model: Path, dataset: Dataset, folder: Path, **settings: Any) -> RecordingTrainer:
    """A trainer on a fresh copy of `model`; settings override SETTINGS."""
    keywords = {key: settings.pop(key) for key in ("eval_dataset", "callbacks") if key in settings}
    trainer = RecordingTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=GlowConfig(**settings_with(output_dir=str(folder), **settings)),
        train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(model),
        **keywords,
    )
    trainer.seen = []
    return trainer


class Heard(TrainerCallback):
    """Keeps what loggers hear: the lines of the log, and those of epochs, which it does not keep."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.lines.append(dict(kwargs["logs"]))


def measured(trainer: GlowTrainer, model: Path) -> EpochMeasures:
    """What measures the first nine samples and three questions by epoch, as if they were held out."""
    samples = [
        Tokenised(DECIDED[place % 2], sample["input_ids"], sample["labels"])
        for place, sample in enumerate(trainer.train_dataset.select(range(9)))
    ]
    rows: list[Any] = [
        {"problem_id": f"p-{n}", "question": f"{n} plus {n % 7}", "answer": str(n + n % 7)} for n in range(3)
    ]
    tokenizer = AutoTokenizer.from_pretrained(model)
    stops = stop_ids(tokenizer, model)
    questions = HeldOutQuestions(rows, Prompt(), tokenizer, stops, 8, Verifier(Verification()))
    return EpochMeasures(HeldOutLosses(samples), questions, trainer)


def train(model: Path, dataset: Dataset, folder: Path, **settings: Any) -> RecordingTrainer:
    trainer = make_trainer(model, dataset, folder, **settings)
    trainer.train()
    return trainer


def reference(
    model: Path,
    seen: list[dict[str, Any]],
    objective: str = "glow",
    given: dict[tuple[int, int], float] | None = None,
) -> tuple[dict[str, torch.Tensor], pd.DataFrame]:
    """The objective by the book: float64, one sample at a time, whole logits, autograd on the plain formula.

    `seen` is each sample as it came up: {row, step, epoch, input_ids, labels}; `given` are weights by epoch
    (from 1) and row. Returns the parameters after the last step, and (epoch, row, loss, weight, step).
    """
    groups = [list(group) for _, group in itertools.groupby(seen, key=lambda sample: sample["step"])]
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float64)
    by_tokens = objective in ("sft", GLOW_BY_TOKENS)
    losses: dict[tuple[int, int], float] = {}
    weights: dict[tuple[int, int], float] = {}
    steps: dict[tuple[int, int], int] = {}
    for group in groups:
        network.zero_grad()
        total, tokens = torch.zeros((), dtype=torch.float64), 0
        for sample in group:
            logits = network(input_ids=sample["input_ids"][None]).logits[0]
            label = sample["labels"][1:]
            log_p = torch.log_softmax(logits[:-1], dim=-1)
            log_p = log_p[torch.arange(len(label)), label.clamp(min=0)][label != -100]
            key = (sample["epoch"], sample["row"])
            before = losses.get((sample["epoch"] - 1, sample["row"]))
            losses[key] = -log_p.mean().item()
            weights[key] = 1.0 if given is None else given[sample["epoch"] + 1, sample["row"]]
            steps[key] = sample["step"]
            if objective in WITH_GLOW_WEIGHTS and before is not None:
                gain = before - losses[key]
                weights[key] = ALPHA * (1 - 1 / (1 + math.exp(-BETA * gain)))
            tokens += len(log_p)
            token_loss = -log_p * (log_p.exp().detach() if objective == "dft" else 1.0)
            total = total + weights[key] * (token_loss.sum() if by_tokens else token_loss.mean())
        (total / (tokens if by_tokens else len(group))).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.sub_(LEARNING_RATE * parameter.grad)
    history = pd.DataFrame(
        [(key[0] + 1, key[1], loss, weights[key], steps[key]) for key, loss in losses.items()],
        columns=["epoch", "row", "loss", "weight", "step"],
    )
    history["step"] -= history.groupby("epoch")["step"].transform("min") - 1
    return network.state_dict(), history


def relative_difference(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of all parameters together, relative to their norm."""
    squares = [
        (
            (actual[name].double() - expected[name].double()).square().sum(),
            expected[name].double().square().sum(),
        )
        for name in expected
    ]
    return math.sqrt(sum(d.item() for d, _ in squares) / sum(e.item() for _, e in squares))


ROWS = [{"prompt": f"{n} plus 1", "completion": f" {n + 1}"} for n in range(12)]


def build(model: Path, folder: Path, rows: Any = ROWS, **settings: Any) -> GlowTrainer:
    """A trainer on plain text, by the public names alone."""
    keywords = {
        key: settings.pop(key) for key in ("peft_config", "eval_dataset", "callbacks") if key in settings
    }
    tokenizer = settings.pop("processing_class", None) or AutoTokenizer.from_pretrained(model)
    arguments = settings_with(**{"id_column": "id", "output_dir": str(folder), **settings})
    return GlowTrainer(
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=GlowConfig(**arguments),
        train_dataset=rows,
        processing_class=tokenizer,
        **keywords,
    )


def run_processes(
    model: Path, folder: Path, settings: dict[str, Any], processes: int = 2, *, dies: bool = False
) -> None:
    """A run of several processes on CPUs, over gloo: process_run.py, which says what `settings` may be.

    Args:
        dies: whether the settings have it killed.
    """
    folder.mkdir(exist_ok=True)
    script = Path(__file__).with_name("process_run.py")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*start, "--nproc-per-node", str(processes), str(script), str(model), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, json.dumps(settings)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
        check=False,
    )
    assert (run.returncode != 0) == dies, run.stderr[-3000:]
