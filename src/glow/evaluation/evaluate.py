"""The evaluation stage: one model, all suites, through lm-evaluation-harness, in one process.

The harness runs the task files of glow/suites with the model `glow`, and the archive is made from the samples
that it returns: every response with its verdict. The verdicts are `glow.verifier.verify`'s, so a suite and
the reward of GRPO agree on what is right. Nothing here uses a network.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

# Read when the libraries below are imported, here or in a module of ours.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")

from lm_eval import evaluator
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from glow.config import Evaluation, EvaluationSettings
from glow.data.problem_rows import gold_facts, gold_of, suite_name
from glow.errors import UserError
from glow.evaluation import metrics
from glow.evaluation.lm_eval_model import GlowModel
from glow.files.jsonl import Record, write_json, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Attempt, Problem, Sample
from glow.models.sampling import Completion
from glow.models.templates import template_files
from glow.suites.files import read_suite
from glow.suites.scorers import require_scorers
from glow.suites.task_hooks import judge_boxed
from glow.suites.tasks import FOLDER
from glow.verifier.verify import Verifier, own_cores


def evaluate(
    model: Path,
    suites: list[Path],
    output: Path,
    settings: EvaluationSettings,
    *,
    trust_remote_code: bool = False,
) -> None:
    """Score `model` on every suite; write scores.json, samples.jsonl.gz and manifest.json to `output`.

    The scores depend on the archived samples alone (`glow.evaluation.metrics`): `glow rescore` computes
    them again from samples.jsonl.gz.

    Args:
        trust_remote_code: whether code in the model's directory may run.

    Raises:
        UserError: a suite file is missing, empty or malformed, two suites have the same name, the directory
            is not a model or has code that may not run, or the chat template is not there.
    """
    manifest = Manifest("evaluate")
    evaluation = settings.evaluation
    lm = GlowModel(
        str(model),
        evaluation.engine,
        settings.seed,
        prompt=settings.prompt,
        trust_remote_code=trust_remote_code,
    )
    with Verifier(settings.verification, own_cores(), settings.prompt.thought) as verifier:
        tasks = _tasks(suites, settings, verifier)
        answers = _answers(lm, tasks)
        if evaluation.samples > 1:
            _class_answers(answers, verifier)
    _score_entropy(lm, answers, evaluation.entropy_samples)
    lm.tested.close()
    rows = [answer.row for own in answers.values() for answer in own]
    scores = metrics.archive_scores(rows, output / "samples.jsonl.gz")
    write_jsonl(output / "samples.jsonl.gz", rows)
    write_json(output / "scores.json", scores)
    facts = {"samples": len(rows), "tokens": sum(row.get("response_tokens") or 0 for row in rows)}
    inputs = [model, *suites, *template_files(settings.prompt)]
    manifest.write(output, settings.model_dump(mode="json"), inputs, facts, device=lm.tested.device)
    shown = ", ".join(f"{name} {score['accuracy']:.1%}" for name, score in scores["suites"].items())
    print(f"{output}: {len(rows)} answers to {len(scores['suites'])} suites: {shown}")


# --- the harness --------------------------------------------------------------------------------


def _tasks(
    suites: list[Path], settings: EvaluationSettings, verifier: Verifier
) -> dict[str, ConfigurableTask]:
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
        if problems[0]["format"] == "boxed":
            task.set_config("repeats", settings.evaluation.samples)
            task.set_config("generation_kwargs", _generation(settings.evaluation), update=True)
            # A function, not a partial: lm-eval copies its configuration, and a verifier has a process.
            task.set_config(
                "process_results", lambda document, results: judge_boxed(document, results, verifier)
            )
        tasks[name] = task
    return tasks


def _generation(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "do_sample": evaluation.temperature > 0,
        "temperature": evaluation.temperature,
        "top_p": evaluation.top_p,
        "max_gen_toks": evaluation.max_tokens,
        "batch_size": evaluation.batch_size,
    }


@dataclass(frozen=True)
class _Answer:
    """A judged answer: its row in the archive, and its question.

    Attributes:
        asked: the user's turn.
        completion: the sampled completion; None for a choice by likelihood.
    """

    row: Sample
    problem: Problem
    asked: str
    completion: Completion | None


def _answers(lm: GlowModel, tasks: dict[str, ConfigurableTask]) -> dict[str, list[_Answer]]:
    """Let lm-eval ask and judge everything; return answers by suite, in the order of the suites' files."""
    # Those that sample come first: scoring may have to close the engine.
    order = sorted(tasks, key=lambda name: tasks[name].OUTPUT_TYPE != "generate_until")
    found = evaluator.evaluate(lm, {"tasks": {name: tasks[name] for name in order}}, bootstrap_iters=0)
    assert found is not None  # It is None only in processes other than the first.
    return {
        name: [answer for sample in found["samples"][name] for answer in _sample_answers(name, sample)]
        for name in tasks
    }


def _sample_answers(suite: str, sample: Record) -> Iterator[_Answer]:
    """The answers in what lm-eval returns of one question."""
    problem: Problem = json.loads(sample["doc"]["row"])
    for index, judgement in enumerate(sample["judgements"]):
        attempt = _attempt(suite, problem, index)
        completion = None if problem["format"] == "choice" else sample["resps"][0][index].completion
        said = _scored(sample) if completion is None else _sampled(sample["resps"][0][index], completion)
        correct = judgement["verdict"] == "correct"
        row = cast(Sample, {**attempt, **said, **judgement, "correct": correct})
        if completion is not None:
            row["entropy"] = None
        yield _Answer(row, problem, sample["doc"]["asked"], completion)


def _scored(sample: Record) -> Record:
    return {"loglikelihoods": [likelihood for likelihood, _ in sample["filtered_resps"]]}


def _sampled(response: str, completion: Completion) -> Record:
    said: Record = {
        "response": str(response),
        "finish_reason": completion.finish_reason,
        "response_tokens": len(completion.token_ids),
    }
    return said | {"thought_open": True} if completion.thought_open else said


def _attempt(suite: str, problem: Problem, sample_index: int) -> Attempt:
    """The row of a suite's sample, up to its response."""
    attempt: Attempt = {
        "suite": suite,
        "problem_id": problem["problem_id"],
        "family": problem.get("family") or problem.get("subject") or problem.get("task") or None,
        "sample_index": sample_index,
        "question": problem["question"],
        "answer": problem["answer"],
        "format": problem["format"],
        **gold_facts(problem),
    }
    if "scorer" in problem:
        attempt["scorer"] = problem["scorer"]
    if "scorer_data" in problem:
        attempt["scorer_data"] = problem["scorer_data"]
    return attempt


# --- what is added to the archive ------------------------------------------------------------------


def _class_answers(answers: dict[str, list[_Answer]], verifier: Verifier) -> None:
    """Number the classes of equal answers among a problem's samples, for votes; -1 where there is no answer.

    Only a finished response votes: what a truncated one happens to contain is not its answer.
    """
    by_problem: dict[tuple[str, str], list[_Answer]] = {}
    for suite, own in answers.items():
        for answer in own:
            if answer.completion is not None:
                by_problem.setdefault((suite, answer.row["problem_id"]), []).append(answer)
    for samples in by_problem.values():
        rows = [answer.row for answer in samples]
        stated = [None if row["verdict"] == "truncated" else row["extracted"] for row in rows]
        for row, number in zip(rows, verifier.classes(stated, gold_of(samples[0].problem)), strict=True):
            row["answer_class"] = number


def _score_entropy(lm: GlowModel, answers: dict[str, list[_Answer]], wanted: int) -> None:
    """Add to the rows of some boxed responses the mean policy entropy over their tokens, in nats.

    Policy entropy is how uncertain the model is, token by token, while it writes: the entropy of
    p(. | prefix) at temperature 1, averaged over the tokens of a sampled response, the end of the turn
    included where it was reached. A teacher-forced pass over the response computes it, whichever engine
    sampled it and at whichever temperature.
    """
    sampled = {suite: own for suite, own in answers.items() if own and own[0].completion is not None}
    chosen = [
        sampled[suite][place]
        for suite, places in spread({suite: len(own) for suite, own in sampled.items()}, wanted).items()
        for place in places
    ]
    turns = [
        (answer, turn)
        for answer in chosen
        if answer.completion is not None and (turn := lm.tested.sampled_turn(answer.completion))
    ]  # A response that had no room for a token has no entropy.
    if not turns:
        return
    scores = lm.tested.score(
        [lm.conversation(answer.asked) for answer, _ in turns], [turn for _, turn in turns]
    )
    for (answer, _), score in zip(turns, scores, strict=True):
        answer.row["entropy"] = score.entropy / score.tokens


def spread(sizes: dict[str, int], wanted: int) -> dict[str, list[int]]:
    """Which responses to score: `wanted` of them, shared evenly by the suites, evenly spaced in each.

    From a suite with too few, all are chosen; the other suites do not make up for it.

    Args:
        sizes: number of responses of each suite.
        wanted: number of responses in all.

    Returns:
        Places of the chosen responses in each suite, ascending.
    """
    chosen = {}
    for rank, (suite, size) in enumerate(sizes.items()):
        share = min(size, wanted // len(sizes) + (rank < wanted % len(sizes)))
        chosen[suite] = [place * size // share for place in range(share)]
    return chosen
