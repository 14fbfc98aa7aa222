"""How the benchmarks measure: contenders take turns step by step in one process, and ratios get intervals.

Each contender is a real trainer in its own training loop, in a thread that waits for its turn at the end
of every step, so that whatever else loads the machine meets all of them alike. Nothing here knows what
is trained (`contenders`); nothing runs two steps at once.
"""

import json
import os
import platform
import random
import re
import shlex
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import torch
import transformers
import trl
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

RESULTS = Path(__file__).resolve().parent / "results"
RESAMPLES = 4000


@dataclass(frozen=True)
class StepTime:
    """Seconds of one optimiser step.

    `step` is forward, backward and optimiser (from the loop's on_step_begin to its on_step_end); `whole`
    is all that passes between the ends of two steps: also the next batch, logging, the turn of an epoch.
    """

    step: float
    whole: float


class Contender(TrainerCallback):
    """A trainer whose `train()` advances by one optimiser step at each call of `take_step`.

    The trainer needs more steps (`max_steps`) than are taken. `close` ends its run.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._turn, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None
        self._closing = False
        self._last: StepTime | None = None
        self._resumed = self._began = 0.0
        trainer.add_callback(self)  # behind the trainer's own, whose work at the step's end is so counted

    def take_step(self) -> StepTime:
        """Let the trainer take one step. The first also sets the run up: leave it out.

        Raises:
            RuntimeError: the training failed or ended.
        """
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()
        self._done.acquire()
        if self._error is not None or not self._thread.is_alive() or self._last is None:
            raise RuntimeError("the training failed or ended before its time") from self._error
        return self._last

    def close(self) -> None:
        """End the trainer's run."""
        self._closing = True
        self._turn.release()
        self._thread.join()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._began = _now()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        ended = _now()
        self._last = StepTime(step=ended - self._began, whole=ended - self._resumed)
        self._done.release()
        self._turn.acquire()
        control.should_training_stop = self._closing
        self._resumed = _now()

    def _run(self) -> None:
        self._resumed = _now()
        try:
            self._trainer.train()
        except BaseException as error:  # handed to the main thread, which raises it
            self._error = error
        finally:
            self._done.release()


def _now() -> float:
    """The time when all that was asked of the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def alternate(contenders: dict[str, Contender], rounds: int, warm_up: int) -> dict[str, list[StepTime]]:
    """`rounds` steps of each contender in turn, after `warm_up` uncounted ones.

    The order is drawn anew each round, so that nobody always finds the caches as the same other left them.
    """
    names = list(contenders)
    times: dict[str, list[StepTime]] = {name: [] for name in names}
    draw = random.Random(0)
    for k in range(warm_up + rounds):
        for name in draw.sample(names, len(names)):
            taken = contenders[name].take_step()
            if k >= warm_up:
                times[name].append(taken)
    for contender in contenders.values():
        contender.close()
    return times


@dataclass(frozen=True)
class Ratio:
    """A ratio of medians with its 95 % bootstrap interval, over rounds drawn with both their times."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio(numerator: list[float], denominator: list[float]) -> Ratio:
    """Of paired times, one pair a round."""
    above, below = np.array(numerator), np.array(denominator)
    draws = np.random.default_rng(0).integers(len(above), size=(RESAMPLES, len(above)))
    resampled = np.median(above[draws], axis=1) / np.median(below[draws], axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Ratio(float(np.median(above) / np.median(below)), float(low), float(high))


def environment() -> dict[str, Any]:
    """Hardware, versions, and how loaded the machine is."""
    return {
        "device": device_name(),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average_1m": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        **{package.__name__: package.__version__ for package in (torch, transformers, trl, accelerate)},
    }


def device_name() -> str:
    """The GPU's name, or the CPU's."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(name: str, title: str, tables: list[str], measured: dict[str, Any]) -> None:
    """Print the tables; write them, all figures and the command to results/<name>-<device>.md and .json."""
    command, where = shlex.join(["python", *sys.argv]), environment()
    stated = ", ".join(f"{key} {value}" for key, value in where.items())
    page = "\n\n".join([f"# {title}", *tables, f"`{command}`", stated]) + "\n"
    slug = re.sub(r"[^a-z0-9]+", "-", where["device"].lower()).strip("-")
    RESULTS.mkdir(exist_ok=True)
    stem = f"{name}-{slug}"  # which may hold dots: no suffix to cut off
    (RESULTS / f"{stem}.md").write_text(page)
    record = {"command": command, "environment": where, **measured}
    (RESULTS / f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(page)
    print(f"written: benchmarks/results/{stem}.md and .json")


def plain(times: dict[str, list[StepTime]]) -> dict[str, list[dict[str, float]]]:
    """The times as JSON takes them."""
    return {name: [asdict(taken) for taken in steps] for name, steps in times.items()}
