"""The evaluation stage: one model, all suites, through lm-evaluation-harness, in one process.

Every response is kept with its verdict, beside the scores. The verdicts are `glow.verifier.verify`'s, so a
suite and the reward of GRPO agree on what is right. Nothing here touches a network.
"""

import logging
import os
from pathlib import Path

# Read when the libraries below are imported, here or in a module of ours.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")

from lm_eval import evaluator

from glow.config import EvaluationSettings, Prompt
from glow.data.choices import LETTERS
from glow.data.problem_rows import gold_facts, gold_of, suite_name
from glow.errors import UserError
from glow.evaluation import metrics
from glow.evaluation.entropy import spread
from glow.evaluation.harness import HarnessModel, ModelUnderTest, ProcessResults, boxed_task, choice_task
from glow.files.jsonl import Record, write_json, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Attempt, Problem, Sample
from glow.models.load import require_model
from glow.models.prompts import problem_messages
from glow.models.sampling import Completion
from glow.suites.files import read_suite
from glow.suites.scorers import judge_samples, require_scorers
from glow.verifier.verify import Verifier

Suites = dict[str, list[Problem]]


def evaluate(model: Path, suites: list[Path], output: Path, settings: EvaluationSettings) -> None:
    """Score `model` on every suite; write scores.json, samples.jsonl.gz and manifest.json to `output`.

    The scores are a function of the archived samples alone (`glow.evaluation.metrics`): `glow rescore` makes
    them again from samples.jsonl.gz.

    Raises:
        UserError: a suite file that is missing, empty or malformed, two suites of one name, or a
            directory that holds no model.
    """
    manifest = Manifest("evaluate")
    require_model(model)
    problems = _read_suites(suites)
    require_scorers(problem for rows in problems.values() for problem in rows)
    evaluation = settings.evaluation
    tested = ModelUnderTest(model, evaluation)
    archive = Archive(problems)
    with Verifier(settings.verification) as verifier:
        lm = HarnessModel(tested, settings.prompt, settings.seed)
        _run_harness(lm, archive, verifier, evaluation.samples)
        if evaluation.samples > 1:
            _class_answers(archive, verifier)
    _score_entropy(tested, archive, evaluation.entropy_samples, settings.prompt)
    tested.close()
    rows = [row for suite_rows in archive.rows.values() for row in suite_rows]
    scores = metrics.archive_scores(rows, output / "samples.jsonl.gz")
    write_jsonl(output / "samples.jsonl.gz", rows)
    write_json(output / "scores.json", scores)
    facts = {"samples": len(rows), "tokens": sum(row.get("response_tokens") or 0 for row in rows)}
    manifest.write(output, settings.model_dump(mode="json"), [model, *suites], facts, device=tested.device)
    shown = ", ".join(f"{name} {score['accuracy']:.1%}" for name, score in scores["suites"].items())
    print(f"{output}: {len(rows)} answers to {len(scores['suites'])} suites: {shown}")


def _read_suites(paths: list[Path]) -> Suites:
    suites: Suites = {}
    for path in paths:
        if suite_name(path) in suites:
            raise UserError(
                f"{path}: a second suite named {suite_name(path)!r}; give each file a name of its own"
            )
        suites[suite_name(path)] = read_suite(path)
    return suites


# --- the harness --------------------------------------------------------------------------------


class Archive:
    """Every judged answer: the rows of samples.jsonl.gz by suite, and the completions behind them."""

    def __init__(self, problems: Suites) -> None:
        self.problems = problems
        self.rows: dict[str, list[Sample]] = {name: [] for name in problems}
        self.completions: dict[str, list[Completion]] = {
            name: [] for name, rows in problems.items() if rows[0]["format"] == "boxed"
        }
        self._by_id = {name: {row["problem_id"]: row for row in rows} for name, rows in problems.items()}

    def problem(self, suite: str, problem_id: str) -> Problem:
        """A suite's problem, as its file has it."""
        return self._by_id[suite][problem_id]

    def attempt(self, suite: str, problem_id: str, sample_index: int) -> Attempt:
        """The row of a suite's sample, up to its response."""
        problem = self.problem(suite, problem_id)
        attempt: Attempt = {
            "suite": suite,
            "problem_id": problem_id,
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


def _run_harness(lm: HarnessModel, archive: Archive, verifier: Verifier, samples: int) -> None:
    """Let lm-eval ask and judge everything; the archive keeps it."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tasks = {
        name: boxed_task(name, rows, samples, _judge_boxed(name, archive, verifier))
        if name in archive.completions
        else choice_task(name, rows, _judge_choice(name, archive))
        for name, rows in archive.problems.items()
    }
    # Those that sample come first: scoring may have to close the engine.
    order = sorted(tasks, key=lambda name: name not in archive.completions)
    evaluator.evaluate(
        lm, {"tasks": {name: tasks[name] for name in order}}, bootstrap_iters=0, log_samples=False
    )


def _judge_boxed(suite: str, archive: Archive, verifier: Verifier) -> ProcessResults:
    """The task's `process_results`: the verdict of each sample of a problem."""

    def process(problem: Record, results: list[list[Completion]]) -> dict[str, float]:
        completions = results[0]
        judgements = judge_samples(
            archive.problem(suite, problem["problem_id"]),
            [(completion.text, completion.finish_reason) for completion in completions],
            verifier,
        )
        for index, (completion, judgement) in enumerate(zip(completions, judgements, strict=True)):
            archive.completions[suite].append(completion)
            archive.rows[suite].append(
                {
                    **archive.attempt(suite, problem["problem_id"], index),
                    "response": completion.text,
                    "finish_reason": completion.finish_reason,
                    "response_tokens": len(completion.token_ids),
                    "verdict": judgement.verdict,
                    "extracted": judgement.extracted,
                    "extracted_from": judgement.extracted_from,
                    "reason": judgement.reason,
                    "correct": judgement.verdict == "correct",
                    "entropy": None,
                }
            )
        return {"accuracy": sum(judgement.verdict == "correct" for judgement in judgements) / len(judgements)}

    return process


def _judge_choice(suite: str, archive: Archive) -> ProcessResults:
    """The task's `process_results`: the most likely choice against the right one."""

    def process(problem: Record, results: list[tuple[float, bool]]) -> dict[str, float]:
        likelihoods = [likelihood for likelihood, _ in results]
        chosen = LETTERS[likelihoods.index(max(likelihoods))]
        correct = chosen == problem["answer"]
        archive.rows[suite].append(
            {
                **archive.attempt(suite, problem["problem_id"], 0),
                "loglikelihoods": likelihoods,
                "extracted": chosen,
                "verdict": "correct" if correct else "wrong",
                "reason": "the most likely choice",
                "correct": correct,
            }
        )
        return {"accuracy": float(correct)}

    return process


# --- what is added to the archive ------------------------------------------------------------------


def _class_answers(archive: Archive, verifier: Verifier) -> None:
    """Number the equal answers of each problem's samples, for votes; -1 where a sample states none.

    Only a response that reached its end votes: what a truncated one happens to hold is not its answer.
    """
    for suite in archive.completions:
        by_problem: dict[str, list[Sample]] = {}
        for row in archive.rows[suite]:
            by_problem.setdefault(row["problem_id"], []).append(row)
        for rows in by_problem.values():
            stated = [None if row["verdict"] == "truncated" else row["extracted"] for row in rows]
            gold = gold_of(archive.problem(suite, rows[0]["problem_id"]))
            for row, number in zip(rows, verifier.classes(stated, gold), strict=True):
                row["answer_class"] = number


def _score_entropy(tested: ModelUnderTest, archive: Archive, wanted: int, prompt: Prompt) -> None:
    """Note in some boxed responses' rows the mean policy entropy over their tokens, in nats."""
    sizes = {name: len(completions) for name, completions in archive.completions.items()}
    chosen = [(name, place) for name, places in spread(sizes, wanted).items() for place in places]
    # A response that had no room for a token has no entropy.
    turns = [(name, place, tested.sampled_turn(archive.completions[name][place])) for name, place in chosen]
    turns = [turn for turn in turns if turn[2]]
    if not turns:
        return
    rows = [archive.rows[name][place] for name, place, _ in turns]
    conversations = [
        problem_messages(archive.problem(row["suite"], row["problem_id"]), prompt) for row in rows
    ]
    scores = tested.score(conversations, [turn for *_, turn in turns])
    for row, score in zip(rows, scores, strict=True):
        row["entropy"] = score.entropy / score.tokens
