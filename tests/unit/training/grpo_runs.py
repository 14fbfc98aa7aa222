"""Short runs of GRPO for the tests, on five problems: whole, or killed at a step."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from glow.config import Grpo, GrpoSettings, Prompt, TrainingHardware, Verification
from glow.files.jsonl import write_jsonl
from glow.training import grpo as stage
from glow.verifier.thoughts import Thought
from glow.verifier.verify import Item, Judgement

PROBLEMS = 5
SETTINGS = Grpo(
    steps=6,
    prompts=2,
    generations=4,
    learning_rate=1e-3,
    max_tokens=12,
    precision="fp32",
    gradient_checkpointing=False,
    checkpoints=2,
)

ON_ONE_DEVICE = TrainingHardware()

OPENING = """\
{%- for message in messages -%}{{- '<|im_start|>' + message['content'] + '<|im_end|>' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>' + '<think>\n' -}}{%- endif -%}"""
"""Opens a thought before each response, as DeepSeek-R1's template does."""


class LetterVerifier:
    """Stands in for the verifier: a response with more than two e's is correct, cut off or not."""

    def __init__(self, settings: Verification, workers: int = 1, thought: Thought = ("<", ">")) -> None:
        self.thought = thought

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        for item in items:
            yield Judgement("correct" if self.is_right(item) else "wrong", None, "letters")

    def is_right(self, item: Item) -> bool:
        return item.response.count("e") > 2


def write_problems(path: Path) -> Path:
    write_jsonl(path, ({"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(PROBLEMS)))
    return path


def train(
    problems: Path,
    model: Path,
    output: Path,
    settings: Grpo = SETTINGS,
    hardware: TrainingHardware = ON_ONE_DEVICE,
    **prompt: Any,
) -> None:
    whole = GrpoSettings(prompt=Prompt(instruction="Go.", **prompt), grpo=settings, seed=3, hardware=hardware)
    stage.train(problems, model, output, whole)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class KillAt(TrainerCallback):
    """Ends the run at the end of a step, as a kill would: before anything of the step is saved."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Runs:
    """Runs of GRPO on the same problems, from the same model."""

    problems: Path
    model: Path

    def train(self, output: Path, settings: Grpo = SETTINGS, **prompt: Any) -> None:
        """A run, or what is left of it."""
        train(self.problems, self.model, output, settings, **prompt)

    def train_with(
        self, callback: TrainerCallback, output: Path, settings: Grpo = SETTINGS, **prompt: Any
    ) -> None:
        """A run whose trainer calls `callback` too, last of all."""
        original = stage._trainer

        def made(*arguments: Any) -> Any:
            trainer = original(*arguments)
            trainer.add_callback(callback)
            return trainer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage, "_trainer", made)
            self.train(output, settings, **prompt)

    def train_killed(self, step: int, output: Path, settings: Grpo = SETTINGS, **prompt: Any) -> None:
        """A run that is killed at the end of a step."""
        with pytest.raises(KeyboardInterrupt):
            self.train_with(KillAt(step), output, settings, **prompt)


def is_the_whole(run: Path, whole: Path) -> bool:
    """Whether a run ended with the log and the weights of another, to the last bit."""
    is_same_log = (run / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    return is_same_log and same(weights(run), weights(whole))


def resumed_from(run: Path) -> str | None:
    """The checkpoint from which a run went on."""
    found: str | None = json.loads((run / "manifest.json").read_text())["facts"]["resumed_from"]
    return found
