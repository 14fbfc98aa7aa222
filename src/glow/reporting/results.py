"""Where an experiment's results lie, and how to read them: files in, pandas frames out.

The one module that tables, figures and report ask for a path. It computes nothing. A file that is
missing or lacks what it should hold is a `UserError` naming it, never an empty cell.
"""

import json
import math
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from glow.config import Experiment
from glow.errors import UserError
from glow.evaluation.metrics import QuestionResult, questions, read_scored_rows
from glow.files.jsonl import read_jsonl

Kind = Literal["base", "sft", "grpo"]
BASE = "base"


@dataclass(frozen=True)
class Run:
    """One model of the study: the base, or one trained by SFT or GRPO.

    Attributes:
        kind: base (untrained), sft (name is the arm) or grpo (name is the initialisation).
        domain: training domain; None for the base, which has none.
        name: arm or initialisation; "base" for the base.
        seed: seed of training; of sampling alone for the base.
    """

    kind: Kind
    domain: str | None
    name: str
    seed: int

    @property
    def folder(self) -> str:
        """Where the run stands below R (training) and below R/evaluation (scores)."""
        if self.kind == "base":
            return f"base/seed-{self.seed}"
        return f"{self.kind}/{self.domain}/{self.name}/seed-{self.seed}"


class Results:
    """The results of one experiment, below `root` (results/<name>)."""

    def __init__(self, experiment: Experiment, root: Path) -> None:
        self.experiment = experiment
        self.root = root
        self.measured: dict[Hashable, Any] = {}
        """What `measures` made of these files, kept for the next that asks."""
        self._questions: dict[Run, pd.DataFrame] = {}

    # --- names ----------------------------------------------------------------------------------

    def run(self, kind: Kind, domain: str, name: str, seed: int) -> Run:
        """The model called `name` in `domain`: for "base" as SFT, the one untrained student."""
        if kind == "sft" and name == BASE:
            return Run("base", None, BASE, seed)
        return Run(kind, domain, name, seed)

    def runs(self, kind: Kind) -> list[Run]:
        """Every run of a kind, in the order of the configuration."""
        if kind == "base":
            return [Run("base", None, BASE, seed) for seed in self.experiment.seeds]
        names = self.initialisations if kind == "grpo" else list(self.experiment.arms)
        return [
            Run(kind, domain, name, seed)
            for domain in self.experiment.domain_names
            for name in names
            for seed in self.experiment.seeds
        ]

    @property
    def initialisations(self) -> list[str]:
        """What GRPO starts from, in table order; none without a grpo section."""
        return [] if self.experiment.grpo is None else [BASE, *self.experiment.arms]

    @property
    def models(self) -> list[Run]:
        """Every evaluated model."""
        return [*self.runs("base"), *self.runs("sft"), *self.runs("grpo")]

    # --- paths ----------------------------------------------------------------------------------

    def evaluation(self, run: Run) -> Path:
        """The folder of a model's scores and samples."""
        return self.root / "evaluation" / run.folder

    def training(self, run: Run) -> Path:
        """The folder of a trained model, its log and its history."""
        return self.root / run.folder

    def verdicts_file(self, domain: str) -> Path:
        """The judged trajectories of a domain."""
        return self.root / "verdicts" / f"{domain}.jsonl.gz"

    def contamination_file(self, domain: str) -> Path:
        """What a domain's training data and the suites share."""
        return self.root / "contamination" / domain / "report.json"

    def selection_file(self, domain: str, seed: int, selection: str) -> Path:
        """The trajectories of one selection (positive, negative, mixed, all)."""
        return self.root / "arms" / domain / f"seed-{seed}" / f"{selection}.jsonl"

    def evaluation_manifest(self, run: Run) -> str:
        """The manifest of an evaluation, relative to R; it must be there."""
        return self._manifest(self.evaluation(run))

    def training_manifest(self, run: Run) -> str:
        """The manifest of a training run, relative to R; it must be there."""
        return self._manifest(self.training(run))

    def _manifest(self, folder: Path) -> str:
        return str(_present_file(folder / "manifest.json").relative_to(self.root))

    @property
    def tables(self) -> Path:
        """The folder of the tables."""
        return self.root / "tables"

    @property
    def figures(self) -> Path:
        """The folder of the figures."""
        return self.root / "figures"

    def figure(self, name: str) -> Path:
        """A figure's SVG, which must be there."""
        return _present_file(self.figures / f"{name}.svg")

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"

    def files_read(self) -> list[Path]:
        """Every file that tables and figures are made of, for their manifests."""
        scores = [self.evaluation(run) / name for run in self.models for name in SCORE_FILES]
        histories = [self.training(run) / "history.parquet" for run in self.runs("sft")]
        logs = [self.training(run) / "log.jsonl" for run in (*self.runs("sft"), *self.runs("grpo"))]
        verdicts = [self.verdicts_file(domain) for domain in self.experiment.domain_names]
        shared = [self.contamination_file(domain) for domain in self.experiment.domain_names]
        return [*scores, *histories, *logs, *verdicts, *shared]

    # --- frames ---------------------------------------------------------------------------------

    def questions(self, run: Run) -> pd.DataFrame:
        """One row a question that a model answered, by suite and problem_id: see QUESTION_COLUMNS, and
        pass@k and maj@k for each k. Shares are from 0 to 1; tokens, pass@k and maj@k are NaN where nothing
        was sampled.

        Raises:
            UserError: scores or samples are missing or malformed, lack a suite, or do not belong together.
        """
        if run not in self._questions:
            self._questions[run] = self._read_questions(run)
        return self._questions[run]

    def _read_questions(self, run: Run) -> pd.DataFrame:
        path, archive = (self.evaluation(run) / name for name in SCORE_FILES)
        suites = _read_json(path)["suites"]
        rows = [_question_row(question) for question in questions(read_scored_rows(archive), archive)]
        frame = pd.DataFrame(rows).set_index(["suite", "problem_id"])
        accuracy = frame["correct"].groupby(level="suite").mean()
        for suite in self.experiment.suites:
            for file, held in ((path, suites), (archive, accuracy)):
                if suite not in held:
                    raise UserError(f"{file}: no suite {suite!r}; evaluate this model again")
            if not math.isclose(accuracy[suite], suites[suite]["accuracy"], abs_tol=1e-9):
                raise UserError(
                    f"{path}: its accuracy on {suite!r} is not that of {archive.name} beside it; remake "
                    f"it by `glow rescore --samples {archive} --output {path}`"
                )
        return frame

    def history(self, run: Run) -> pd.DataFrame:
        """Loss, gain and weight of every sample in every epoch, with the run's name and seed."""
        path = _present_file(self.training(run) / "history.parquet")
        frame = pd.read_parquet(path, columns=["epoch", "verdict", "loss", "gain", "weight"])
        return frame.assign(name=run.name, seed=run.seed)

    def log(self, run: Run) -> pd.DataFrame:
        """A training log, one row a logging step, with the run's name and seed."""
        path = self.training(run) / "log.jsonl"
        frame = pd.DataFrame(list(read_jsonl(path)))
        if frame.empty:
            raise UserError(f"{path}: no logged step; train this model again")
        return frame.assign(name=run.name, seed=run.seed)

    def verdicts(self, domain: str) -> pd.DataFrame:
        """One row a trajectory: problem_id, verdict, response_tokens (NaN where unknown), characters, and
        label (True, False, or None for no label)."""
        keys = ("problem_id", "verdict", "response_tokens", "label")
        rows = [
            (*(row.get(key) for key in keys), len(row["response"]))
            for row in read_jsonl(self.verdicts_file(domain))
        ]
        frame = pd.DataFrame(rows, columns=[*keys, "characters"])
        return frame.astype({"response_tokens": "float64", "label": "object"})

    def contamination(self, domain: str) -> dict[str, Any]:
        """The report of `glow contamination` on a domain."""
        return _read_json(self.contamination_file(domain))

    def selection_size(self, domain: str, seed: int, selection: str) -> int:
        """How many trajectories a selection holds."""
        with _present_file(self.selection_file(domain, seed, selection)).open("rb") as lines:
            return sum(1 for line in lines if line.strip())


SCORE_FILES = ("scores.json", "samples.jsonl.gz")
QUESTION_COLUMNS = ("correct", "truncated", "unparsed", "unjudged", "tokens", "entropy", "entropy_tokens")


def _question_row(question: QuestionResult) -> dict[str, Any]:
    by_k = {"pass": question.pass_at, "maj": question.maj_at}
    return {
        "suite": question.suite,
        "problem_id": question.problem_id,
        **{key: getattr(question, key) for key in QUESTION_COLUMNS},
        **{f"{name}@{k}": value for name, values in by_k.items() for k, value in values.items()},
    }


def read_manifests(root: Path) -> pd.DataFrame:
    """One row a manifest below `root`: path (relative), stage, git_commit, host, device, python, packages
    (dict), started and finished (UTC), wall_s; empty, with these columns, where there is none."""
    columns = ["path", "stage", "git_commit", "host", "device", "python", "packages", "wall_s"]
    times = ["started", "finished"]
    paths = sorted({*root.rglob("manifest.json"), *root.rglob("*.manifest.json")})
    rows = [{"path": str(path.relative_to(root)), **_read_json(path)} for path in paths]
    frame = pd.DataFrame(rows, columns=[*columns, *times])
    return frame.assign(**{time: pd.to_datetime(frame[time], utc=True) for time in times})


def _present_file(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: no such file; run the stage that makes it, or the whole experiment")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_present_file(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); remove it and make it again") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(document).__name__}")
    return document
