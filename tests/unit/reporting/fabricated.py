"""A results tree whose numbers are known, for the tests of tables, figures, report and timings.

Expected values in the tests are worked out by hand from the constants here. `World` writes the tree;
a subclass changes what it says.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import yaml

from glow.config import Section
from glow.experiment import load
from glow.files.frozen import freeze
from glow.files.jsonl import write_json, write_jsonl
from glow.files.manifest import manifest_path
from glow.reporting.finding_words import Finding
from glow.reporting.results import Results, Run

DOCUMENT = {
    "name": "fabricated",
    "seeds": [0, 1],
    "student": {"pretrain": {"role": "base", "families": ["ledger"], "layers": 3, "hidden_size": 96}},
    "teacher": {"pretrain": {"role": "teacher", "families": ["ledger"]}},
    "domains": {"arithmetic": {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}},
    "sampling": {"max_tokens": 64},
    "selection": {"held_out": 1},
    "arms": {
        "positive": {"trajectories": "positive", "objective": "plain"},
        "negative": {"trajectories": "negative", "objective": "plain"},
        "all": {"trajectories": "all", "objective": "plain"},
        "glow": {"trajectories": "all", "objective": "glow"},
        "glow_released": {"trajectories": "all", "objective": "glow_released"},
    },
    "sft": {"epochs": 3, "epoch_questions": 1},
    "grpo": {"steps": 20, "max_tokens": 64},
    "suites": {
        "lists": {"families": ["sorting"]},
        "arithmetic": {"families": ["ledger"], "domain": "arithmetic"},
        "choice": {"families": ["sorting"], "format": "choice"},
    },
    "evaluation": {"max_tokens": 64},
}

PROBLEMS = 10
CORRECT = {
    ("base", "base"): [(1, 4, 5), (1, 4, 5)],
    ("sft", "positive"): [(6, 3, 5), (8, 5, 5)],
    ("sft", "negative"): [(5, 4, 5), (5, 4, 6)],
    ("sft", "all"): [(6, 4, 5), (8, 5, 6)],
    ("sft", "glow"): [(7, 5, 6), (9, 6, 8)],
    ("sft", "glow_released"): [(6, 5, 5), (8, 5, 6)],
    ("grpo", "base"): [(8, 4, 5), (8, 4, 5)],
    ("grpo", "positive"): [(9, 3, 5), (10, 5, 5)],
    ("grpo", "negative"): [(6, 4, 5), (6, 4, 5)],
    ("grpo", "all"): [(7, 4, 5), (9, 4, 5)],
    ("grpo", "glow"): [(8, 5, 6), (10, 6, 8)],
    ("grpo", "glow_released"): [(7, 5, 5), (9, 5, 6)],
}
"""(kind, name) -> per seed (even, odd): how many of the ten problems of arithmetic, lists and choice are
right; always the first ones."""
ENTROPY = {"base": (0.8, 0.8), "positive": (0.2, 0.4), "negative": (0.3, 0.5)}
"""name -> nats per token by seed; 0.25 for every other arm."""
TRAJECTORIES = [
    # verdict, response tokens, label
    *[("correct", 10, True), ("correct", 20, True), ("correct", 60, True), ("correct", 30, False)],
    *[("wrong", 30, False), ("wrong", 60, True), ("unparsed", 5, True), ("truncated", 64, None)],
]
"""One after the other, two a problem: p-0 has two right ones, and so on."""
IDS = [4, 5, 1, 0, 2, 3, 6, 7]
"""Number of each trajectory: as `SAMPLES`, t-0 and t-1 are right, t-2 and t-3 wrong, of 30 and 60 tokens."""
GOLD = {"arithmetic": [], "lists": ["1"] * 4 + ["2"] * 2, "choice": ["A"] * 3 + ["B"] * 2}
"""Gold answers of the first questions of a suite; each other question has one of its own, or the letter C."""
QUESTIONS = {
    "arithmetic": "Ben has 6 pens: p-2, q*3, r+5. How many pens now?",
    "lists": "Sort 3142 upwards.",
}
"""The one question of a suite, whichever its id; and that of all trajectories."""
SELECTION_SIZES = {"positive": 2, "negative": 2, "mixed": 2, "all": 6}
FURTHER_SIZE = 3
"""The size of every further selection."""
SAMPLES = ["correct", "correct", "wrong", "wrong"]
LOSSES = {1: [1.0, 1.0, 1.5, 1.5], 2: [0.8, 0.6, 1.4, 1.3], 3: [0.6, 0.4, 1.4, 1.1]}
WEIGHTS = {
    "glow": {2: [0.2, 0.1, 0.3, 0.2], 3: [0.2, 0.2, 0.5, 0.1]},
    "glow_released": {2: [0.5, 0.5, 0.5, 0.7], 3: [0.5, 0.5, 0.5, 0.5]},
}
"""Weights of the four samples in epochs 2 and 3; seed 1 has 0.1 more in the arm glow."""
HELD_OUT = ["t-4", "t-5"]
"""Both right ones of p-0 (`TRAJECTORIES`); what is measured by epoch is as if there were wrong ones too."""
EPOCHS = {0: (1.0, 1.6, 0.0), 1: (0.7, 1.4, 0.5), 2: (0.6, 1.5, 1.0), 3: (0.65, 1.7, 0.5)}
"""Epoch -> held-out loss of right and of wrong ones, and accuracy. After epoch 3, seed 1 has a loss of right
ones that is 0.1 higher; the arm negative has an accuracy of 0."""
START = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)


class World:
    """Writes a results tree below `root` for the configuration `document`, or for a student of it."""

    def __init__(self, root: Path, document: dict = DOCUMENT, student: str = "") -> None:
        self.results = Results(load(document, "fabricated").studies[student], root, student)
        self.document = document
        self.root = root
        self._clock = START

    # --- what is measured -----------------------------------------------------------------------

    def correct(self, run: Run, suite: str) -> list[bool]:
        """Which problems of a suite a model gets right."""
        column = ["arithmetic", "lists", "choice"].index(suite)
        count = CORRECT[run.kind, run.name][run.seed % 2][column]
        return [index < count for index in range(PROBLEMS)]

    def entropy(self, run: Run) -> float | None:
        return ENTROPY.get(run.name, (0.25, 0.25))[run.seed % 2]

    def history(self, run: Run) -> pd.DataFrame:
        weights = WEIGHTS.get(run.name, {})
        rows = []
        for epoch, losses in LOSSES.items():
            for sample, (verdict, loss) in enumerate(zip(SAMPLES, losses, strict=True)):
                gain = float("nan") if epoch == 1 else LOSSES[epoch - 1][sample] - loss
                weight = weights[epoch][sample] if epoch in weights else 1.0
                weight += 0.1 * run.seed * (run.name == "glow" and epoch > 1)
                rows.append((epoch, f"t-{sample}", verdict, loss, gain, weight, 1 + sample // 2))
        columns = ["epoch", "trajectory_id", "verdict", "loss", "gain", "weight", "step"]
        kinds = {"epoch": "int32", "loss": "float32", "gain": "float32", "weight": "float32", "step": "int32"}
        return pd.DataFrame(rows, columns=columns).astype(kinds)

    def epochs(self, run: Run) -> list[dict]:
        """What was measured on held-out trajectories and questions."""
        return [
            {
                "epoch": epoch, "step": 4 * epoch,
                "loss_correct": right + 0.1 * (run.seed % 2) * (epoch == 3), "loss_wrong": wrong,
                "accuracy": accuracy * (run.name != "negative"),
            }
            for epoch, (right, wrong, accuracy) in EPOCHS.items()
        ]  # fmt: skip

    def sft_log(self, run: Run) -> list[dict]:
        return [{"step": step, "loss": 1 / step, "sample_loss": 2 / step} for step in range(1, 11)]

    def grpo_log(self, run: Run) -> list[dict]:
        """Reward rises from 0.05 by 0.01 a step (0.02 for seed 1), over 20 steps; the share of unanimous
        prompts from 0.4 (0.5 for seed 1) by 0.01."""
        return [
            {
                "step": step,
                "reward": 0.05 + 0.01 * step * (1 + run.seed),
                "unanimous_ratio": 0.4 + 0.1 * (run.seed % 2) + 0.01 * step,
                "clipped_ratio": 0.1,
                "entropy": 0.5,
                "completion_length": 30 + step,
            }
            for step in range(1, 21)
        ]

    def trajectories(self, domain: str) -> list[dict]:
        return [
            {
                "trajectory_id": f"t-{IDS[place]}", "problem_id": f"p-{place // 2}", "verdict": verdict,
                "response_tokens": tokens, "answer": "1",
                "response": "x" * 2 * tokens, "label": label, "extracted": None, "seed": 0,
                "sample_index": place % 2, "family": "ledger", "question": QUESTIONS["arithmetic"],
            }
            for place, (verdict, tokens, label) in enumerate(TRAJECTORIES)
        ]  # fmt: skip

    def contamination(self) -> list[dict]:
        """Of 8 questions of each suite 2 are short, 1 is whole in the training data, 3 share n-grams."""
        counts = {"questions": 8, "short": 2, "exact": 1, "any_ngram": 3, "overlapping": 2, "share": 0.25}
        return [{"suite": suite, **counts} for suite in self.results.experiment.suites]

    def tokens(self, run: Run, question: int) -> int:
        """Length of the response to a question."""
        return 30

    def response(self, run: Run, question: int) -> str:
        """The response to a question: a chain, as it says more than an answer."""
        return "We try. \\boxed{1}"

    def parts(self, run: Run, question: int) -> dict:
        """How the entropy of a response is divided: evenly, and its end was not reached."""
        entropy = self.entropy(run)
        if entropy is None:
            return {}
        return {"entropy_tenths": [entropy * self.tokens(run, question) / 10] * 10, "entropy_end": None}

    def too_long(self, run: Run) -> dict:
        """What the manifest of an SFT run notes of trajectories that are too long."""
        return {"found": 0, "of": 10, "done": "drop"}

    # --- the tree -------------------------------------------------------------------------------

    def write(self) -> "World":
        experiment = self.results.experiment
        freeze(self.root, self.document)
        self._write_what_came_before()
        for domain in experiment.domain_names:
            write_jsonl(verdicts := self.results.verdicts_file(domain), self.trajectories(domain))
            self.write_manifest(verdicts, "verify", experiment.verdicts, seconds=0)
            write_json(shared := self.results.contamination_file(domain), {"suites": self.contamination()})
            self.write_manifest(shared.parent, "contamination", experiment.contamination, seconds=0)
            for seed in experiment.seeds:
                for selection, size in SELECTION_SIZES.items():
                    write_jsonl(file := self.results.selection_file(domain, seed, selection), [{}] * size)
                if experiment.selection.held_out:
                    rows = [{"trajectory_id": identity} for identity in HELD_OUT]
                    write_jsonl(self.results.selection_file(domain, seed, "held_out"), rows)
                self.write_manifest(file.parent, "arms", experiment.arm_selection(seed), seconds=0)
                for name in experiment.further_selections:
                    write_jsonl(file := self.results.selection_file(domain, seed, name), [{}] * FURTHER_SIZE)
                    settings = experiment.further_selection(name, seed)
                    self.write_manifest(file, "select", settings, seconds=0)
        for run in self.results.models:
            self.write_evaluation(run)
            if run.kind == "sft":
                self._write_sft(run)
            elif run.kind == "grpo":
                write_jsonl(self.results.training(run) / "log.jsonl", self.grpo_log(run))
                self.write_manifest(self.results.training(run), "grpo", experiment.grpo_run(run.seed))
        self.results.collect()
        self.results.collect_trajectories()
        self._write_suites()
        return self

    def _write_suites(self) -> None:
        """The questions that the base answered, with gold answers."""
        base = self.results.questions(self.results.runs("base")[0])
        for suite in self.results.experiment.suites:
            answers, problems = GOLD.get(suite, []), []
            for place, problem_id in enumerate(base.loc[suite].index):
                own = "C" if suite == "choice" else f"own {place}"
                row = {"problem_id": problem_id, "question": f"Question {place}?", "format": "boxed"}
                row |= {"family": "sorting", "answer": answers[place] if place < len(answers) else own}
                if suite == "choice":
                    row |= {"format": "choice", "choices": ["x", "y", "z"]}
                problems.append(row)
            write_jsonl(self.results.suite_file(suite), problems)

    def _write_what_came_before(self) -> None:
        """The manifests of results that no table reads."""
        experiment = self.results.experiment
        base, teacher = self.results.home / "models" / "base", self.root / "models" / "teacher"
        for folder, model in ((base, experiment.base), (teacher, experiment.teacher)):
            if model is not None:
                folder.mkdir(parents=True, exist_ok=True)
                self.write_manifest(folder, "pretrain", model.pretrain, seconds=0)
        for name, suite in experiment.suites.items():
            self.write_manifest(self.root / "suites" / f"{name}.jsonl", "suite", suite, seconds=0)
        for name, domain in experiment.domains.items():
            problems = self.root / "problems" / name / "train.jsonl"
            self.write_manifest(problems, "problems", domain.problems, seconds=0)
        for name in experiment.domain_names:
            sampled = self.root / "trajectories" / f"{name}.jsonl.gz"
            if experiment.trajectories is None:
                self.write_manifest(sampled, "merge", experiment.generation, seconds=0)
            else:
                self.write_manifest(sampled, "import", experiment.importing, seconds=0)

    def _write_sft(self, run: Run) -> None:
        folder = self.results.training(run)
        folder.mkdir(parents=True)
        self.history(run).to_parquet(folder / "history.parquet", index=False)
        write_jsonl(folder / "log.jsonl", self.sft_log(run))
        if self.results.experiment.selection.held_out:
            write_jsonl(folder / "epochs.jsonl", self.epochs(run))
        settings = self.results.experiment.sft_run(run.domain, run.name, run.seed)
        self.write_manifest(folder, "sft", settings, facts={"too_long": self.too_long(run)})

    def write_evaluation(self, run: Run) -> None:
        suites, samples, entropy = {}, [], self.entropy(run)
        for suite in self.results.experiment.suites:
            right = self.correct(run, suite)
            suites[suite] = {
                "format": "boxed", "n": len(right), "samples": len(right),
                "accuracy": sum(right) / len(right),
            }  # fmt: skip
            samples += [
                {
                    "suite": suite, "problem_id": f"p-{index}", "sample_index": 0, "format": "boxed",
                    "family": "ledger" if suite == "arithmetic" else "sorting",
                    "question": QUESTIONS.get(suite, QUESTIONS["lists"]),
                    "verdict": "correct" if correct else "wrong", "correct": correct,
                    "finish_reason": "length", "response_tokens": self.tokens(run, index),
                    "entropy": entropy, "response": self.response(run, index),
                    **self.parts(run, index),
                }
                for index, correct in enumerate(right)
            ]  # fmt: skip
        for sample in samples:
            sample["extracted"] = stated(sample["response"])
        folder = self.results.evaluation(run)
        write_json(folder / "scores.json", {"suites": suites})
        write_jsonl(folder / "samples.jsonl.gz", samples)
        self.write_manifest(folder, "evaluate", self.results.experiment.evaluation_run(run.seed))

    def write_manifest(
        self,
        output: Path,
        stage: str,
        settings: Section | None = None,
        *,
        seconds: int = 10,
        idle: int = 0,
        facts: dict | None = None,
        used: dict | None = None,
    ) -> None:
        """A manifest of a job of `seconds`, `idle` seconds after the one before it, which `used` so much."""
        started = self._clock + timedelta(seconds=idle)
        self._clock = started + timedelta(seconds=seconds)
        write_json(
            manifest_path(output),
            {
                "stage": stage, "settings": settings.model_dump(mode="json") if settings else {},
                "settings_sha256": "0", "inputs": {}, "facts": facts or {},
                "git_commit": "c0ffee", "packages": {"torch": "2.13.0"}, "python": "3.11.2",
                "device": "cpu", "host": "box", "started": started.isoformat(),
                "finished": self._clock.isoformat(), "wall_s": float(seconds), **(used or {}),
            },
        )  # fmt: skip

    def benchmark(self, path: str, seconds: float, rss: float | str) -> None:
        """A Snakemake benchmark file R/benchmarks/<path>."""
        file = self.root / "benchmarks" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
            f"{seconds}\t0:00:10\t{rss}\t1\t1\t1\t0\t0\t99.0\t{seconds * 2}\n",
            encoding="utf-8",
        )


def stated(response: str) -> str | None:
    """What stands in the box of a response."""
    return response.rpartition("boxed{")[2].removesuffix("}") if "boxed{" in response else None


def named(findings: list[Finding], start: str) -> Finding:
    """The finding whose headline begins so."""
    return next(finding for finding in findings if finding.headline.startswith(start))


def document(**changes: object) -> dict:
    """A deep copy of DOCUMENT with top-level keys replaced (None: removed)."""
    copy = json.loads(json.dumps(DOCUMENT))
    copy |= changes
    return {key: value for key, value in copy.items() if value is not None}


def write_config(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
