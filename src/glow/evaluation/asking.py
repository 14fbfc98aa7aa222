"""What `glow evaluate` and `glow answer` share: suites as tasks of lm-eval, and which answers are missing."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from glow.config import AnswerSettings, Evaluation
from glow.data.problem_rows import suite_name
from glow.errors import UserError
from glow.evaluation.kept_answers import answering_identity, kept_answers
from glow.evaluation.lm_eval_model import SCORED_TOGETHER, GlowModel
from glow.files.kept_rows import SampleKey
from glow.files.same_run import Identity
from glow.suites.files import read_suite
from glow.suites.scorers import require_scorers
from glow.suites.tasks import FOLDER


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of the questions, numbered from 0; its `folder` is one in that of the answers."""

    number: int
    count: int
    folder: str


ALL = Shard(0, 1, "")
"""All questions, as `glow evaluate` asks them."""


@dataclass(frozen=True)
class Asking:
    """A model, and the suites that it is asked.

    Attributes:
        lm: the model; it has the answers that are kept.
        tasks: the suites, by name.
        identity: what the answers depend on beside their suite.
        wanted: the answers that are asked for, by suite.
        reused: how many of them are there already.
    """

    lm: GlowModel
    tasks: dict[str, ConfigurableTask]
    identity: Identity
    wanted: dict[str, list[SampleKey]]
    reused: int


def asking(
    model: Path,
    suites: Sequence[Path],
    answers: Path,
    settings: AnswerSettings,
    *,
    shard: Shard = ALL,
    trust_remote_code: bool,
) -> Asking:
    """Get ready to ask `model` the questions of suites; nothing is loaded yet.

    Args:
        answers: folder of what it says.
        shard: the part of the questions.
        trust_remote_code: whether code in the model's directory may run.

    Raises:
        UserError: a suite file is missing, empty or malformed, two suites have the same name, the directory
            is not a model or has code that may not run, or the chat template is not there.
    """
    lm = GlowModel(
        str(model),
        settings.evaluation.engine,
        settings.seed,
        prompt=settings.prompt,
        hardware=settings.hardware,
        trust_remote_code=trust_remote_code,
    )
    tasks = _tasks(suites, settings)
    identity = answering_identity(model, settings)
    lm.answers = kept_answers(answers, suites, identity, shard.folder)
    wanted = {name: _share(task, shard) for name, task in tasks.items()}
    reused = sum(key in lm.answers[name] for name, keys in wanted.items() for key in keys)
    if reused:
        total = sum(map(len, wanted.values()))
        print(
            f"{answers}: going on after {reused} of {total} answers, which are there already", file=sys.stderr
        )
    return Asking(lm, tasks, identity, wanted, reused)


def is_sampled(task: ConfigurableTask) -> bool:
    """Whether the answers to the suite are sampled; else its choices are scored."""
    return bool(task.OUTPUT_TYPE == "generate_until")


def _share(task: ConfigurableTask, shard: Shard) -> list[SampleKey]:
    """The answers to a suite that are the shard's.

    Sampled questions are dealt out one by one; those whose choices are scored together stay together.
    """
    together, samples = (1, task.config.repeats) if is_sampled(task) else (SCORED_TOGETHER, 1)
    return [
        (problem, sample)
        for place, problem in enumerate(task.eval_docs["problem_id"])
        if place // together % shard.count == shard.number
        for sample in range(samples)
    ]


def _tasks(suites: Sequence[Path], settings: AnswerSettings) -> dict[str, ConfigurableTask]:
    """Each suite as a task of lm-eval: the shipped task file of its format, on the suite's own file."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tasks: dict[str, ConfigurableTask] = {}
    for path in suites:
        name = suite_name(path)
        if name in tasks:
            raise UserError(f"{path}: a second suite named {name!r}; give each file its own name")
        problems = read_suite(path)
        require_scorers(problems)
        facts = {"suite_file": str(path), "instruction": settings.prompt.instruction}
        manager = TaskManager(include_defaults=False, metadata=facts)
        shipped = FOLDER / f"suite_{problems[0]['format']}.yaml"
        (task,) = manager.load(str(shipped))["tasks"].values()
        task.set_config("task", name)
        if is_sampled(task):
            task.set_config("repeats", settings.evaluation.samples)
            task.set_config("generation_kwargs", _generation(settings.evaluation), update=True)
        tasks[name] = task
    return tasks


def _generation(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "do_sample": evaluation.temperature > 0,
        "temperature": evaluation.temperature,
        "top_p": evaluation.top_p,
        "top_k": evaluation.top_k,
        "min_p": evaluation.min_p,
        "stop": evaluation.stop,
        "max_gen_toks": evaluation.max_tokens,
        "batch_size": evaluation.batch_size,
    }
