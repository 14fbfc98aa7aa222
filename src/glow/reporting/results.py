"""Where an experiment's results lie, and how to read them: files in, pandas frames out.

The one module that tables, figures and report ask for a path. The tables stage collects the answers of all
models into one frame, R/tables/questions.parquet, which figures and report read. A file that is missing or
lacks what it should hold is a `UserError` that names it, never an empty cell.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from glow.config import Experiment, SelectionName
from glow.errors import UserError
from glow.evaluation.metrics import QuestionResult, accuracy, questions, read_scored_rows
from glow.files.frozen import refuse_other_layout
from glow.files.hashing import digest, hash_path
from glow.files.jsonl import present_file, read_json, read_jsonl

Kind = Literal["base", "sft", "grpo"]
Shown = Literal["tables", "figures"]
BASE = "base"
SELECTIONS: tuple[SelectionName, ...] = ("positive", "negative", "mixed", "all")


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
    def key(self) -> tuple[Kind, str, str, int]:
        """The run as the columns RUN_COLUMNS name it."""
        return (self.kind, self.domain or "", self.name, self.seed)

    @property
    def folder(self) -> str:
        """Where the run stands below R (training) and below R/evaluation (scores)."""
        if self.kind == "base":
            return f"base/seed-{self.seed}"
        return f"{self.kind}/{self.domain}/{self.name}/seed-{self.seed}"


class Results:
    """The results of one experiment, below `root` (results/<name>).

    Attributes:
        tables, figures: the folders of the tables and of the figures.
        tables_file: all tables with their captions, as the report shows them.
        questions_file: what every model answered: `questions` of all runs.
        report: the page.

    Raises:
        UserError: another version of glow made them, and arranged them in another way.
    """

    def __init__(self, experiment: Experiment, root: Path) -> None:
        refuse_other_layout(root)
        self.experiment = experiment
        self.root = root
        self.tables, self.figures, self.report = root / "tables", root / "figures", root / "report.html"
        self.tables_file, self.questions_file = self.tables / "tables.json", self.tables / "questions.parquet"
        self.measured: dict[Hashable, Any] = {}
        """What `measures` made of these files, kept for the next that asks."""
        self._questions: dict[Hashable, pd.DataFrame] = {}

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

    def manifest(self, folder: Path) -> str:
        """The manifest of an evaluation or a training run, relative to R; it must be there."""
        return str(present_file(folder / "manifest.json").relative_to(self.root))

    def facts(self, run: Run) -> dict[str, Any]:
        """What the manifest of a training run notes of it."""
        facts: dict[str, Any] = read_json(self.training(run) / "manifest.json")["facts"]
        return facts

    def figure(self, name: str) -> Path:
        """A figure's SVG, which must be there."""
        return present_file(self.figures / f"{name}.svg", "`glow figures`")

    # --- what was made of what ------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration, for the manifests of tables, figures and report."""
        return self.experiment.model_dump(mode="json")

    def inputs(self, stage: Shown) -> list[Path]:
        """Every file that the stage reads, for its manifest."""
        experiment, domains = self.experiment, self.experiment.domain_names
        histories = [self.training(run) / "history.parquet" for run in self.runs("sft")]
        logs = [self.training(run) / "log.jsonl" for run in (*self.runs("sft"), *self.runs("grpo"))]
        if stage == "figures":
            return [self.questions_file, *histories, *logs]
        scores = [self.evaluation(run) / name for run in self.models for name in SCORE_FILES]
        verdicts = [self.verdicts_file(domain) for domain in domains]
        shared = [self.contamination_file(domain) for domain in domains]
        selections = [
            self.selection_file(domain, seed, selection)
            for domain in domains
            for seed in experiment.seeds
            for selection in SELECTIONS
        ]
        reported = [experiment.reported] if experiment.reported else []
        return [*scores, *histories, *logs, *verdicts, *shared, *selections, *reported]

    def refuse_outdated(self, stage: Shown) -> None:
        """Raise a `UserError` unless the stage ran on the files and with the settings that there are now."""
        folder, again = self.root / stage, f"run `glow {stage}` on these results again"
        manifest = read_json(folder / "manifest.json", f"`glow {stage}`")
        if manifest.get("settings_sha256") != digest(self.settings):
            raise UserError(f"{folder}: made with another configuration or version of glow; {again}")
        recorded = set(manifest["inputs"].values())  # Its paths are those of the folder that it ran in.
        for file in self.inputs(stage):
            if hash_path(present_file(file)) not in recorded:
                raise UserError(f"{folder}: made before {file} changed; {again}")

    # --- frames ---------------------------------------------------------------------------------

    def questions(self, run: Run) -> pd.DataFrame:
        """One row per question that a model answered, by suite and problem_id: see QUESTION_COLUMNS, and
        pass@k and maj@k for each k. Shares are from 0 to 1; tokens, pass@k and maj@k are NaN where nothing
        was sampled.

        Raises:
            UserError: R/tables/questions.parquet is missing, and `collect` was not called.
        """
        if not self._questions:
            frame = pd.read_parquet(present_file(self.questions_file, "`glow tables`"))
            runs = frame.set_index(KEYS).groupby(RUN_COLUMNS)
            self._questions = {key: own.drop(columns=RUN_COLUMNS) for key, own in runs}
        return self._questions[run.key]

    def collect(self) -> pd.DataFrame:
        """Read the scores and samples of every model, for `questions`; return them as one frame.

        The frame has the columns RUN_COLUMNS (`domain` is empty for the base), suite, problem_id, and those
        of `questions`.

        Raises:
            UserError: scores or samples are missing or malformed, lack a suite, or do not belong together, or
                two models answered different questions.
        """
        frames = {run: self._read_questions(run) for run in self.models}
        first, reference = next(iter(frames.items()))
        for run, frame in frames.items():
            if not frame.index.equals(reference.index):
                raise UserError(
                    f"{self.evaluation(run) / 'samples.jsonl.gz'}: its questions are not those of "
                    f"{self.evaluation(first)}; evaluate both models again on the same suites"
                )
        self.measured.clear()
        self._questions = {run.key: frame for run, frame in frames.items()}
        return pd.concat(self._questions, names=RUN_COLUMNS).reset_index()

    def _read_questions(self, run: Run) -> pd.DataFrame:
        path, archive = (self.evaluation(run) / name for name in SCORE_FILES)
        suites = read_json(path)["suites"]
        rows = [_question_row(question) for question in questions(read_scored_rows(archive), archive)]
        frame = pd.DataFrame(rows).set_index(KEYS).astype({"tokens": "float64"})
        measured = frame["correct"].groupby(level="suite").agg(accuracy)
        for suite in self.experiment.suites:
            for file, held in ((path, suites), (archive, measured)):
                if suite not in held:
                    raise UserError(f"{file}: no suite {suite!r}; evaluate this model again")
            if not math.isclose(measured[suite], suites[suite]["accuracy"], abs_tol=1e-9):
                raise UserError(
                    f"{path}: its accuracy on {suite!r} differs from that of {archive.name} beside it; "
                    f"make it again with `glow rescore --samples {archive} --output {path}`"
                )
        return frame

    def history(self, run: Run) -> pd.DataFrame:
        """Loss, gain and weight of every sample in every epoch, with the run's name and seed."""
        path = present_file(self.training(run) / "history.parquet")
        frame = pd.read_parquet(path, columns=["epoch", "verdict", "loss", "gain", "weight"])
        return frame.assign(name=run.name, seed=run.seed)

    def log(self, run: Run) -> pd.DataFrame:
        """A training log, one row per logging step, with the run's name and seed."""
        path = self.training(run) / "log.jsonl"
        frame = pd.DataFrame(list(read_jsonl(path)))
        if frame.empty:
            raise UserError(f"{path}: no logged step; train this model again")
        return frame.assign(name=run.name, seed=run.seed)

    def verdicts(self, domain: str) -> pd.DataFrame:
        """One row per trajectory: problem_id, verdict, response_tokens (NaN where unknown), characters,
        label (True, False, or None for no label), extracted_from and leniency (None for none)."""
        keys = ("problem_id", "verdict", "response_tokens", "label", "extracted_from", "leniency")
        rows = [
            (*(row.get(key) for key in keys), len(row["response"]))
            for row in read_jsonl(self.verdicts_file(domain))
        ]
        frame = pd.DataFrame(rows, columns=[*keys, "characters"])
        return frame.astype({"response_tokens": "float64", "label": "object"})

    def contamination(self, domain: str) -> dict[str, Any]:
        """The report of `glow contamination` on a domain."""
        return read_json(self.contamination_file(domain))

    def selection_size(self, domain: str, seed: int, selection: str) -> int:
        """How many trajectories a selection holds."""
        with present_file(self.selection_file(domain, seed, selection)).open("rb") as lines:
            return sum(1 for line in lines if line.strip())


SCORE_FILES = ("scores.json", "samples.jsonl.gz")
RUN_COLUMNS = ["kind", "domain", "name", "seed"]
KEYS = ["suite", "problem_id"]
QUESTION_COLUMNS = (
    "correct", "truncated", "unparsed", "unjudged", "lenient", "tokens", "entropy", "entropy_tokens",
)  # fmt: skip


def _question_row(question: QuestionResult) -> dict[str, Any]:
    by_k = {"pass": question.pass_at, "maj": question.maj_at}
    return {
        "suite": question.suite,
        "problem_id": question.problem_id,
        **{key: getattr(question, key) for key in QUESTION_COLUMNS},
        **{f"{name}@{k}": value for name, values in by_k.items() for k, value in values.items()},
    }


def read_manifests(root: Path) -> pd.DataFrame:
    """One row per manifest below `root`: path (relative), stage, git_commit, host, device, python, packages
    (dict), started and finished (UTC), wall_s; empty, with these columns, where there is none."""
    columns = ["path", "stage", "git_commit", "host", "device", "python", "packages", "wall_s"]
    times = ["started", "finished"]
    paths = sorted({*root.rglob("manifest.json"), *root.rglob("*.manifest.json")})
    rows = [{"path": str(path.relative_to(root)), **read_json(path)} for path in paths]
    frame = pd.DataFrame(rows, columns=[*columns, *times])
    return frame.assign(**{time: pd.to_datetime(frame[time], utc=True) for time in times})
