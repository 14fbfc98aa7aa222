"""The kinds of jobs of a study, each on its hardware: what they run, and what of it does not fit."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from glow.config import Experiment, Model
from glow.files.frozen import student_prefix
from glow.planning import disk
from glow.planning.constants import Number, assumptions
from glow.planning.fit import Fit, Machine, Subject, fitted
from glow.planning.found import Found, look, nothing
from glow.planning.jobs import Job, jobs_of
from glow.planning.made_with import made_with
from glow.planning.nearest import Change, nearest
from glow.planning.resources import DEFAULTS, NO_PROFILE, Profile, asked
from glow.planning.shapes import Shape, shape_of
from glow.planning.sizes import End, Sizes, sizes_of

ENDS: tuple[End, End] = ("low", "high")


@dataclass(frozen=True)
class Question:
    """What is to be planned.

    Attributes:
        results: results/<name>, of which what is there is used; None: nothing is.
        assumed: what is not known before.
        student: whose results these are, where the experiment is that of one of several.
    """

    experiment: Experiment
    machine: Machine
    profile: Profile
    results: Path | None
    assumed: Mapping[str, Number]
    student: str = ""


def question_of(
    experiment: Experiment, machine: Machine, results: Path | None = None, student: str = ""
) -> Question:
    """What the rules' defaults come to, by what is assumed."""
    return Question(experiment, machine, NO_PROFILE, results, assumptions(), student)


@dataclass(frozen=True)
class Kind:
    """Jobs that differ in their seeds and shards alone: they take the same.

    Attributes:
        job: the first of them.
        model, shape: what they run or make; None where they run none.
        setting, fit: what each asks for, and how it sits on that; None of jobs that hold no model.
    """

    job: Job
    jobs: tuple[Job, ...]
    model: Model | None
    shape: Shape | None
    setting: dict[str, Any] | None
    fit: Fit | None


class Kinds:
    """The kinds of jobs of a study, and what they run, read and write.

    Attributes:
        jobs: all of them.
        known: what results say, by student.
        sizes: of the data, by student and end of what is assumed.

    Raises:
        UserError: the shape of a model is not known, or a resource is no value.
    """

    def __init__(self, question: Question) -> None:
        self.question, self.experiment = question, question.experiment
        self.studies = self.experiment.studies
        self.jobs = jobs_of(self.experiment)
        self.known = self._known(question)
        self.sizes: dict[tuple[str, End], Sizes] = {
            (name, end): sizes_of(own, self.known[name], question.assumed, end)
            for name, own in self.studies.items()
            for end in ENDS
        }

    def _known(self, question: Question) -> dict[str, Found]:
        results = question.results
        if results is None or not results.is_dir():
            return {name: nothing(own) for name, own in self.studies.items()}
        made = made_with(results)
        return {
            name: look(own, results, name or question.student, made) for name, own in self.studies.items()
        }

    # --- what jobs run ----------------------------------------------------------------------------

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        """Of the teacher, and of each student's base."""
        folder = self.question.results or Path("results") / self.experiment.name
        found: dict[str, Shape] = {}
        if self.experiment.teacher is not None and self.experiment.domains:
            found["teacher"] = shape_of(self.experiment.teacher, folder / "models/teacher", "teacher")
        for name, own in self.studies.items():
            key = f"students.{name}" if name else "student"
            home = folder / student_prefix(name or self.question.student)
            found[f"base {name}"] = shape_of(own.base, home / "models/base", key)
        return found

    def _model(self, job: Job) -> tuple[Model | None, Shape | None]:
        """The model that a job runs or makes."""
        if job.rule == "generate" or job.key == "teacher":
            return self.experiment.teacher, self._shapes["teacher"]
        if job.rule in DEFAULTS or job.rule in ("fetch", "pretrain", "scratch"):
            return self.own(job).base, self._shapes[f"base {job.student}"]
        return None, None

    def own(self, job: Job) -> Experiment:
        """The experiment of a job's student; the first student's, where it is of none."""
        return self.studies.get(job.student) or next(iter(self.studies.values()))

    def sizes_for(self, job: Job, end: End) -> Sizes:
        """The sizes of the study of a job's student."""
        student = job.student if job.student in self.studies else next(iter(self.studies))
        return self.sizes[student, end]

    @cached_property
    def all(self) -> list[Kind]:
        """Every kind, those that others wait for first."""
        grouped: dict[str, list[Job]] = {}
        for job in self.jobs:
            varying = ("seed", "shard")
            named = {name: value for name, value in job.named.items() if name not in varying}
            teacher = job.key == "teacher"
            grouped.setdefault(json.dumps([job.rule, job.student, named, teacher]), []).append(job)
        return [self._kind(jobs) for jobs in grouped.values()]

    def _kind(self, jobs: list[Job]) -> Kind:
        job = jobs[0]
        model, shape = self._model(job)
        if job.rule not in DEFAULTS or model is None or shape is None:
            return Kind(job, tuple(jobs), model, shape, None, None)
        given = self.question.profile.of(job.rule, job.wildcards)
        setting = asdict(asked(job.rule, model)) | given
        if self.question.machine.device.is_cpu:
            setting |= {"gpu": 0, "nodes": 1}
        subject = self._subject(job, shape)
        return Kind(job, tuple(jobs), model, shape, setting, fitted(subject, setting, self.question.machine))

    def _subject(self, job: Job, shape: Shape) -> Subject:
        domains = self.sizes_for(job, "high").domains.values()
        prompt = round(max(domain.longest_prompt for domain in domains))
        return Subject(job.rule, self.own(job), shape, self._text(job), prompt)

    def _text(self, job: Job) -> float:
        """Bytes of the trajectories that a job reads, or of the responses that it writes, at most."""
        sizes = self.sizes_for(job, "high")
        if job.rule == "sft":
            domain = sizes.domains[job.named["domain"]]
            return disk.text_of(domain.selections["all"], domain.prompt + domain.lengths.mean)
        if job.rule == "generate":
            domain = sizes.domains[job.named["domain"]]
            return disk.text_of(domain.trajectories / self.experiment.shards, domain.lengths.mean)
        return disk.evaluation(self.own(job), sizes) if job.rule in ("answer", "evaluate") else 0.0

    # --- refusals ---------------------------------------------------------------------------------

    def refusals(self) -> list[str]:
        """What does not fit, and the nearest setting that does, a line or two each; none where all fits."""
        return [f"{_name(kind.job)}: {self._refusal(kind, change)}" for kind, change in self._misfits]

    def refused(self) -> str:
        """All refusals, and how to ask for one of several students; empty where all fits."""
        return "\n".join(filter(None, (*self.refusals(), self._for_one_student())))

    @cached_property
    def _misfits(self) -> list[tuple[Kind, Change | None]]:
        """The kinds that do not fit, each with the nearest change of its setting that does."""
        worst: dict[str, Kind] = {}
        for kind in self.all:
            if kind.fit is None or not kind.fit.misfits:
                continue
            alike = json.dumps([kind.job.rule, kind.job.student, kind.setting], default=str)
            before = worst.get(alike)
            # Those that differ in their data alone: the one with most text on the host stands for all.
            if before is None or before.fit is None or before.fit.host.total < kind.fit.host.total:
                worst[alike] = kind
        return [(kind, self._nearest(kind)) for kind in worst.values()]

    def _nearest(self, kind: Kind) -> Change | None:
        assert kind.shape is not None and kind.setting is not None
        return nearest(self._subject(kind.job, kind.shape), kind.setting, self.question.machine)

    def _refusal(self, kind: Kind, found: Change | None) -> str:
        assert kind.fit is not None
        text = "; ".join(kind.fit.misfits)
        if found is None:
            larger = "a machine" if self.question.machine.device.is_cpu else "GPUs"
            scores = kind.job.rule == "evaluate" and self.own(kind.job).evaluation.entropy_samples
            other = (
                "evaluation.entropy_samples: 0, which scores no responses" if scores else "shorter sequences"
            )
            return f"{text}\n  no setting fits: take {larger} with more memory, or {other}"
        changes = _in_words(self.question.profile, kind.job.rule, found.changed)
        more = (
            "" if found.fit.nodes <= self.question.machine.nodes else f" on {found.fit.nodes} nodes (--nodes)"
        )
        takes = f"{found.fit.device.total / 1e9:,.0f} GB on each GPU" if found.fit.gpus else "it fits then"
        if found.changed.keys() & {"max_model_len", "vllm_max_model_length"}:
            takes += "; a longer sequence, prompt and answer together, is then refused when the job runs"
        return f"{text}\n  nearest that fits{more}: {changes} ({takes})"

    def _for_one_student(self) -> str:
        """How a resource is said of one student, by the first that wants another; empty where none does."""
        for kind, found in self._misfits:
            if not kind.job.student or found is None or kind.setting is None:
                continue
            for name in sorted(found.changed, key=lambda one: one != "gpu"):
                value, before = found.changed[name], kind.setting.get(name)
                if name in _OF_CONFIGURATION or before is None:
                    continue
                expression = f"{value!r} if '/{kind.job.student}/' in wildcards.of else {before!r}"
                said = self.question.profile.said({kind.job.rule: {name: expression}})
                return f"a resource of a rule holds for all students; for {kind.job.student} alone: {said}"
        return ""


_OF_CONFIGURATION = ("gradient_checkpointing", "batch_size")
"""Of what may be changed, this is said by the configuration, though it changes no number."""

_SECTIONS = {"generate": "sampling", "answer": "evaluation", "evaluate": "evaluation"}


def _in_words(profile: Profile, rule: str, changed: Mapping[str, Any]) -> str:
    """Changes as Snakemake is told of them, and as keys of the configuration."""
    given = {name: value for name, value in changed.items() if name not in _OF_CONFIGURATION}
    if given.get("nodes", 1) > 1:  # docs/cluster.md, "Several nodes"
        given |= {"mpi": "srun", "tasks": given["nodes"], "tasks_per_gpu": 0}
    words = [profile.said({rule: given})] if given else []
    keys = {name: value for name, value in changed.items() if name in _OF_CONFIGURATION}
    for name, value in keys.items():
        words.append(f"{_SECTIONS.get(rule, rule)}.{name}: {str(value).lower()} in the configuration")
    return ", ".join(words)


def _name(job: Job) -> str:
    """A kind of job, in words: `sft of qwen2.5-32b`."""
    return f"{job.rule} of {job.student}" if job.student else job.rule
