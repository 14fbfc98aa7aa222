"""The evaluation stage: one model, all suites, through lm-evaluation-harness, in one process.

The harness runs the task files of glow/suites with the model `glow`, and the archive is made from the samples
that it returns: every response with its verdict. The verdicts are `glow.verifier.verify`'s, so a suite and
the reward of GRPO agree on what is right. Nothing here uses a network.

What the model says is kept in `answers/` below the output as soon as it is there (`kept_answers`). A stage
that is killed goes on where it was, and one that judges otherwise, or has one more suite, asks nothing twice.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from glow.files.network import OFFLINE

# Read when the libraries below are imported, here or in a module of ours.
os.environ.update(OFFLINE)

from lm_eval import evaluator

from glow.config import EvaluationSettings
from glow.data.problem_rows import gold_facts, gold_of
from glow.evaluation import metrics
from glow.evaluation.asking import Asking, asking, is_sampled
from glow.evaluation.entropy import score_entropies, spread
from glow.files.jsonl import Record, write_json, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Attempt, Problem, Sample
from glow.models.adapters import with_base
from glow.models.sampling import Completion
from glow.models.templates import template_files
from glow.suites.task_hooks import judge_boxed
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
    folder = output / "answers"
    asked = asking(model, suites, folder, settings, trust_remote_code=trust_remote_code)
    with Verifier(settings.verification, own_cores(), settings.prompt.thought) as verifier:
        answers = _answers(asked, verifier)
        if settings.evaluation.samples > 1:
            _class_answers(answers, verifier)
    _add_entropy(asked, answers, settings.evaluation.entropy_samples, folder / "entropy.json")
    asked.lm.tested.close()
    rows = [answer.row for own in answers.values() for answer in own]
    scores = metrics.archive_scores(rows, output / "samples.jsonl.gz")
    write_jsonl(output / "samples.jsonl.gz", rows)
    write_json(output / "scores.json", scores)
    for name, kept in asked.lm.answers.items():
        kept.finish([problem for problem, _ in asked.wanted[name]])
    tokens = sum(row.get("response_tokens") or 0 for row in rows)
    facts = {"samples": len(rows), "tokens": tokens, "reused": asked.reused}
    inputs = [*with_base(model), *suites, *template_files(settings.prompt)]
    device = asked.lm.tested.device
    manifest.write(output, settings.model_dump(mode="json"), inputs, facts, device=device)
    shown = ", ".join(f"{name} {score['accuracy']:.1%}" for name, score in scores["suites"].items())
    reused = f" ({asked.reused} reused)" if asked.reused else ""
    print(f"{output}: {len(rows)} answers{reused} to {len(scores['suites'])} suites: {shown}")


# --- the harness --------------------------------------------------------------------------------


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


def _answers(asked: Asking, verifier: Verifier) -> dict[str, list[_Answer]]:
    """Let lm-eval ask and judge everything; return answers by suite, in the order of the suites' files."""
    for task in filter(is_sampled, asked.tasks.values()):
        # A function, not a partial: lm-eval copies its configuration, and a verifier has a process.
        task.set_config("process_results", lambda document, results: judge_boxed(document, results, verifier))
    # Those that sample come first: scoring may have to close the engine.
    order = sorted(asked.tasks, key=lambda name: not is_sampled(asked.tasks[name]))
    tasks = {name: asked.tasks[name] for name in order}
    found = evaluator.evaluate(asked.lm, {"tasks": tasks}, bootstrap_iters=0)
    assert found is not None  # It is None only in processes other than the first.
    return {
        name: [answer for sample in found["samples"][name] for answer in _sample_answers(name, sample)]
        for name in asked.tasks
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


def _add_entropy(asked: Asking, answers: dict[str, list[_Answer]], wanted: int, kept: Path) -> None:
    """Add to the rows of some sampled responses their policy entropy."""
    sampled = {suite: own for suite, own in answers.items() if own and own[0].completion is not None}
    chosen = [
        sampled[suite][place]
        for suite, places in spread({suite: len(own) for suite, own in sampled.items()}, wanted).items()
        for place in places
    ]
    responses = [(answer.asked, answer.completion) for answer in chosen if answer.completion is not None]
    entropies = score_entropies(asked.lm, responses, kept, asked.identity)
    for answer, entropy in zip(chosen, entropies, strict=True):
        if entropy is not None:
            answer.row["entropy"] = entropy.mean
            answer.row["entropy_tenths"], answer.row["entropy_end"] = entropy.tenths, entropy.end
