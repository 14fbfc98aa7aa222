"""Where an experiment's results lie, and how to read them: files in, pandas frames out.

The one module that tables, figures and report ask for a path. The tables stage collects the answers of all
models and all trajectories into one frame each, without their texts: R/tables/questions.parquet and
R/tables/trajectories.parquet, which figures and report read. A file that is missing or
lacks what it should hold is a `UserError` that names it, never an empty cell.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from glow.config import CommonSelection, Experiment, SelectionName
from glow.errors import UserError
from glow.evaluation.metrics import QuestionResult, accuracy, questions, read_scored_rows
from glow.files.frozen import refuse_other_layout, student_prefix
from glow.files.hashing import digest, hash_path
from glow.files.jsonl import present_file, read_json, read_jsonl
from glow.files.manifest import manifest_path
from glow.files.records import Problem
from glow.suites.files import read_suite
from glow.verifier.response_types import response_type

Kind = Literal["base", "sft", "grpo"]
Shown = Literal["tables", "figures"]
BASE = "base"


@dataclass(frozen=True)
class Run:
    """One model of the study: the base, or one trained by SFT or GRPO.

    Attributes:
        kind: base (the student before fine-tuning), sft (name is the arm) or grpo (name is the
            initialisation).
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
        home: where those of its student are: `root`, or where there are several root/students/<student>.
        tables, figures: the folders of the tables and of the figures.
        tables_file: all tables with their captions, as the report shows them.
        questions_file: what every model answered: `questions` of all runs.
        trajectories_file: `trajectories` of all domains.
        examples_file: trajectories and answers that the report shows (`glow.reporting.examples`).
        chains_file: the steps of every chain (`glow.reporting.steps`), where steps are known.
        archive_file: what is in `questions_file`, and the hashes of it and of what it was made from.
        report: the page.

    Raises:
        UserError: another version of glow made them, and arranged them in another way.
    """

    def __init__(self, experiment: Experiment, root: Path, student: str = "") -> None:
        refuse_other_layout(root)
        self.experiment, self.student = experiment, student
        self.root, self.home = root, root / student_prefix(student)
        self.tables, self.figures = self.home / "tables", self.home / "figures"
        self.report = self.home / "report.html"
        self.tables_file, self.questions_file = self.tables / "tables.json", self.tables / "questions.parquet"
        self.trajectories_file = self.tables / "trajectories.parquet"
        self.examples_file = self.tables / "examples.json"
        self.chains_file = self.tables / "chains.parquet"
        self.archive_file = self.questions_file.with_suffix(".json")
        self.measured: dict[Hashable, Any] = {}
        """What `measures` made of these files, kept for the next that asks."""
        self._questions: dict[Hashable, pd.DataFrame] = {}
        self._trajectories: dict[str, pd.DataFrame] = {}

    # --- names ----------------------------------------------------------------------------------

    def run(self, kind: Kind, domain: str, name: str, seed: int) -> Run:
        """The model called `name` in `domain`: for "base" as SFT, the one student before it."""
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
            for seed in self.seeds(kind)
        ]

    def seeds(self, kind: Kind) -> list[int]:
        """The seeds of the runs of a kind: GRPO may have fewer than the study."""
        return self.experiment.grpo_seeds if kind == "grpo" else self.experiment.seeds

    @property
    def initialisations(self) -> list[str]:
        """What GRPO starts from, in table order; none without a grpo section."""
        return self.experiment.initialisations

    @property
    def selections(self) -> list[SelectionName]:
        """The selections that there are: those that every study has, and the further ones that arms use."""
        return [*get_args(CommonSelection), *self.experiment.further_selections]

    @property
    def models(self) -> list[Run]:
        """Every evaluated model."""
        return [*self.runs("base"), *self.runs("sft"), *self.runs("grpo")]

    # --- paths ----------------------------------------------------------------------------------

    def evaluation(self, run: Run) -> Path:
        """The folder of a model's scores and samples."""
        return self.home / "evaluation" / run.folder

    def training(self, run: Run) -> Path:
        """The folder of a trained model, its log and its history."""
        return self.home / run.folder

    def verdicts_file(self, domain: str) -> Path:
        """The judged trajectories of a domain."""
        return self.root / "verdicts" / f"{domain}.jsonl.gz"

    def suite_file(self, suite: str) -> Path:
        """The questions of a suite, with their gold answers."""
        return self.root / "suites" / f"{suite}.jsonl"

    def contamination_file(self, domain: str) -> Path:
        """What a domain's training data and the suites share."""
        return self.root / "contamination" / domain / "report.json"

    def selection_file(self, domain: str, seed: int, selection: str) -> Path:
        """The trajectories of one of `selections`."""
        return self.root / "arms" / domain / f"seed-{seed}" / f"{selection}.jsonl"

    def held_out_file(self, domain: str) -> Path:
        """The trajectories that no arm trains on; the same for every seed."""
        return self.selection_file(domain, self.experiment.seeds[0], "held_out")

    def manifest(self, output: Path) -> str:
        """The manifest of a suite, an evaluation or a training run, relative to R; it must be there."""
        file = manifest_path(output) if output.is_file() else output / "manifest.json"
        return str(present_file(file).relative_to(self.root))

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
        settings = self.experiment.model_dump(mode="json")
        if self.experiment.grpo is not None:  # what decides which models there are is in no dump
            starts, seeds = sorted(self.initialisations), sorted(self.seeds("grpo"))
            settings["grpo"] |= {"initialisations": starts, "seeds": seeds}
        return settings

    def inputs(self, stage: Shown) -> list[Path]:
        """Every file that the stage reads, for its manifest."""
        experiment, domains = self.experiment, self.experiment.domain_names
        suites = [self.suite_file(suite) for suite in experiment.suites]
        histories = [self.training(run) / "history.parquet" for run in self.runs("sft")]
        logs = [self.training(run) / "log.jsonl" for run in (*self.runs("sft"), *self.runs("grpo"))]
        aside = self.experiment.selection.held_out
        histories += [self.training(run) / "epochs.jsonl" for run in self.runs("sft") if aside]
        if stage == "figures":
            return [self.questions_file, self.trajectories_file, *suites, *histories, *logs]
        scores = [self.evaluation(run) / name for run in self.models for name in SCORE_FILES]
        verdicts = [self.verdicts_file(domain) for domain in domains]
        shared = [self.contamination_file(domain) for domain in domains]
        selections = [
            self.selection_file(domain, seed, selection)
            for domain in domains
            for seed in experiment.seeds
            for selection in self.selections
        ]
        selections += [self.held_out_file(domain) for domain in domains if aside]
        reported = [experiment.reported] if experiment.reported else []
        return [*scores, *suites, *histories, *logs, *verdicts, *shared, *selections, *reported]

    def refuse_outdated(self, stage: Shown) -> None:
        """Raise a `UserError` unless the stage ran on the files and with the settings that there are now."""
        folder, again = self.home / stage, f"run `glow {stage}` on these results again"
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
        scored = read_scored_rows(archive, self.experiment.prompt.thought)
        rows = [_question_row(question) for question in questions(scored, archive)]
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

    def problems(self, suite: str) -> list[Problem]:
        """The questions of a suite that the models answered.

        Raises:
            UserError: the suite's file is missing or malformed, or has other questions.
        """
        file = present_file(self.suite_file(suite))
        problems, answered = read_suite(file), self.questions(self.runs("base")[0]).loc[suite].index
        if {problem["problem_id"] for problem in problems} != set(answered):
            raise UserError(
                f"{file}: its questions are not those that the models answered; run the experiment again"
            )
        return problems

    def history(self, run: Run) -> pd.DataFrame:
        """What every sample did in every epoch (`glow.training.history`), with its verdict and the run's name
        and seed."""
        frame = pd.read_parquet(present_file(self.training(run) / "history.parquet"))
        return frame.assign(name=run.name, seed=run.seed)

    def epochs(self, run: Run) -> pd.DataFrame:
        """What was measured on held-out trajectories and questions before training and after each epoch
        (`glow.training.epochs`), with the run's name and seed; NaN where there was nothing to measure.

        Raises:
            UserError: the file is missing, or a line lacks a quantity.
        """
        path = present_file(self.training(run) / "epochs.jsonl")
        frame = pd.DataFrame(list(read_jsonl(path)))
        if not {"epoch", *EPOCH_COLUMNS} <= set(frame):
            raise UserError(f"{path}: not loss and accuracy by epoch; train this model again")
        return frame.astype(dict.fromkeys(EPOCH_COLUMNS, "float64")).assign(name=run.name, seed=run.seed)

    def held_out(self, domain: str) -> list[str]:
        """The trajectory_id of each trajectory that no arm trains on."""
        return [row["trajectory_id"] for row in read_jsonl(present_file(self.held_out_file(domain)))]

    def log(self, run: Run) -> pd.DataFrame:
        """A training log, one row per logging step, with the run's name and seed."""
        path = self.training(run) / "log.jsonl"
        frame = pd.DataFrame(list(read_jsonl(path)))
        if frame.empty:
            raise UserError(f"{path}: no logged step; train this model again")
        return frame.assign(name=run.name, seed=run.seed)

    def trajectories(self, domain: str) -> pd.DataFrame:
        """One row per trajectory: trajectory_id, problem_id, verdict, type (`records.ResponseType`),
        response_tokens (NaN where unknown), characters, label (True, False, or None for no label),
        extracted_from and leniency (None for none).

        Raises:
            UserError: R/tables/trajectories.parquet is missing, and `collect_trajectories` was not called.
        """
        if not self._trajectories:
            frame = pd.read_parquet(present_file(self.trajectories_file, "`glow tables`"))
            domains = frame.groupby("domain", sort=False)
            self._trajectories = {str(name): own.drop(columns="domain") for name, own in domains}
        return self._trajectories[domain]

    def collect_trajectories(self) -> pd.DataFrame:
        """Read the judged trajectories of every domain, for `trajectories`; return them as one frame, which
        has a column `domain` too.

        Raises:
            UserError: the trajectories of a domain are missing or malformed.
        """
        self._trajectories = {domain: self._verdicts(domain) for domain in self.experiment.domain_names}
        return pd.concat([own.assign(domain=name) for name, own in self._trajectories.items()])

    def _verdicts(self, domain: str) -> pd.DataFrame:
        thought = self.experiment.verdicts.thought
        keys = (
            "trajectory_id",
            "problem_id",
            "verdict",
            "response_tokens",
            "label",
            "extracted_from",
            "leniency",
        )
        rows = []
        for row in read_jsonl(self.verdicts_file(domain)):
            kind = response_type(row["response"], row["verdict"], row.get("extracted"), thought)
            rows.append((*(row.get(key) for key in keys), kind, len(row["response"])))
        frame = pd.DataFrame(rows, columns=[*keys, "type", "characters"])
        return frame.astype({"response_tokens": "float64", "label": "object"})

    def contamination(self, domain: str) -> dict[str, Any]:
        """The report of `glow contamination` on a domain."""
        return read_json(self.contamination_file(domain))

    def selection_size(self, domain: str, seed: int, selection: str) -> int:
        """How many trajectories a selection holds."""
        with present_file(self.selection_file(domain, seed, selection)).open("rb") as lines:
            return sum(1 for line in lines if line.strip())


SCORE_FILES = ("scores.json", "samples.jsonl.gz")
EPOCH_COLUMNS = ("loss_correct", "loss_wrong", "accuracy")
RUN_COLUMNS = ["kind", "domain", "name", "seed"]
KEYS = ["suite", "problem_id"]
QUESTION_COLUMNS = (
    "samples", "correct", "truncated", "unparsed", "unjudged", "bare", "chain", "lenient", "tokens",
    "entropy",
    "entropy_tokens",
)  # fmt: skip
PART_COLUMNS = {
    "entropy_without_end": "inner", "tokens_without_end": "inner_tokens", "chain_entropy": "chain",
    "chain_tokens": "chain_tokens", "chains": "chains",
}  # fmt: skip
"""Further columns -> fields of `metrics.EntropyParts`; and the tenths of those chains as `tenth_column`."""


def tenth_column(tenth: int) -> str:
    """The column with the nats of chains in one tenth of their length, from 0."""
    return f"chain_entropy_{tenth + 1}"


def _question_row(question: QuestionResult) -> dict[str, Any]:
    by_k = {"pass": question.pass_at, "maj": question.maj_at}
    tenths = enumerate(question.parts.chain_tenths)
    return {
        "suite": question.suite,
        "problem_id": question.problem_id,
        **{key: getattr(question, key) for key in QUESTION_COLUMNS},
        **{column: getattr(question.parts, field) for column, field in PART_COLUMNS.items()},
        **{tenth_column(tenth): nats for tenth, nats in tenths},
        **{f"{name}@{k}": value for name, values in by_k.items() for k, value in values.items()},
    }


def read_manifests(root: Path) -> pd.DataFrame:
    """One row per manifest below `root`: path (relative), stage, git_commit, host, device, python, packages
    (dict), started and finished (UTC), wall_s, cpu_s, max_rss_mb; empty, with these columns, where there is
    none."""
    columns = ["path", "stage", "git_commit", "host", "device", "python", "packages"]
    numbers, times = ["wall_s", "cpu_s", "max_rss_mb"], ["started", "finished"]
    paths = sorted({*root.rglob("manifest.json"), *root.rglob("*.manifest.json")})
    rows = [{"path": str(path.relative_to(root)), **read_json(path)} for path in paths]
    frame = pd.DataFrame(rows, columns=[*columns, *numbers, *times]).astype(dict.fromkeys(numbers, float))
    return frame.assign(**{time: pd.to_datetime(frame[time], utc=True) for time in times})
