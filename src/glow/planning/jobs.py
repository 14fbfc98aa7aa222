"""The jobs of a study, and what each waits for: those of the workflow, rule by rule.

A test compares them with what Snakemake lists. What a job takes is `glow.planning.costs`' business.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from glow.config import Experiment
from glow.files.frozen import student_prefix
from glow.training.objectives import arm_objectives

SHARED = ""
"""The student of a job that is of none, and the name of one student alone."""


@dataclass(frozen=True)
class Job:
    """A job of the workflow.

    Attributes:
        key: its name, which others wait for.
        after: the keys of the jobs that come before it.
        student: whose it is; `SHARED` for a job of all.
        named: its wildcards, as the rules have them: of, domain, arm, init, model, seed, shard, made, suite.
    """

    rule: str
    key: str
    after: tuple[str, ...] = ()
    student: str = SHARED
    named: dict[str, str] = field(default_factory=dict)

    @property
    def wildcards(self) -> dict[str, str]:
        """Its wildcards, `of` among them."""
        return {"of": student_prefix(self.student), **self.named}


def jobs_of(experiment: Experiment) -> list[Job]:
    """All jobs of a study, those that others wait for first."""
    found = list(_Jobs(experiment).all())
    known = {job.key for job in found}
    assert len(known) == len(found)
    assert all(key in known for job in found for key in job.after)
    return found


class _Jobs:
    """Lists the jobs of an experiment."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.studies = experiment.studies
        self.suites = [f"suite {name}" for name in experiment.suites]

    def all(self) -> Iterator[Job]:
        yield from (Job("suite", f"suite {name}", named={"suite": name}) for name in self.experiment.suites)
        yield from self._own_models()
        yield from self._trajectories()
        yield from self._scratch()
        yield from self._data()
        for student, own in self.studies.items():
            yield from self._trained(student, own)
            yield from self._shown(student, own)
        if self.experiment.students:
            pages = tuple(f"report {student}" for student in self.studies)
            yield Job("students", "students", pages)

    # --- models ---------------------------------------------------------------------------------

    def _own_models(self) -> Iterator[Job]:
        """Those that need no trajectories: fetched, or pretrained."""
        for student, own in self.studies.items():
            rule = "fetch" if own.base.hub else "pretrain" if own.base.pretrain else None
            if rule:
                yield Job(
                    rule, f"base {student}", (), student, {"made": f"{student_prefix(student)}models/base"}
                )
        teacher = self.experiment.teacher
        if teacher is None or not self.experiment.domains or teacher.path is not None:
            return
        goes_on = teacher.pretrain is not None and teacher.pretrain.continues
        trunk = self._base(next(iter(self.studies))) if goes_on else ()
        yield Job("fetch" if teacher.hub else "pretrain", "teacher", trunk, named={"made": "models/teacher"})

    def _scratch(self) -> Iterator[Job]:
        """Those whose tokenizer is trained on the trajectories of the first domain."""
        text = (f"trajectories {self.experiment.domain_names[0]}",)
        for student, own in self.studies.items():
            if own.base.scratch is not None:
                made = {"made": f"{student_prefix(student)}models/base"}
                yield Job("scratch", f"base {student}", text, student, made)

    def _base(self, student: str) -> tuple[str, ...]:
        return () if self.studies[student].base.path is not None else (f"base {student}",)

    # --- data -----------------------------------------------------------------------------------

    def _trajectories(self) -> Iterator[Job]:
        experiment = self.experiment
        if experiment.trajectories is not None:
            apart = tuple(f"suite {name}" for name in experiment.trajectories.disjoint_from)
            domain = experiment.trajectories.domain
            yield Job("import_trajectories", f"trajectories {domain}", apart, named={"domain": domain})
            return
        assert experiment.teacher is not None
        teacher = ("teacher",) if experiment.teacher.path is None else ()
        for domain in experiment.domain_names:
            apart = tuple(f"suite {name}" for name in experiment.disjoint_from(domain))
            named = {"domain": domain}
            yield Job("problems", f"problems {domain}", apart, named=named)
            shards = [f"generate {domain} {shard}" for shard in range(experiment.shards)]
            for shard, key in enumerate(shards):
                after = (f"problems {domain}", *teacher)
                yield Job("generate", key, after, named={**named, "shard": str(shard)})
            yield Job("merge", f"trajectories {domain}", (*teacher, *shards), named=named)

    def _data(self) -> Iterator[Job]:
        for domain in self.experiment.domain_names:
            trajectories, named = (f"trajectories {domain}",), {"domain": domain}
            yield Job("contamination", f"contamination {domain}", (*trajectories, *self.suites), named=named)
            yield Job("verify", f"verify {domain}", trajectories, named=named)
            for seed in self.experiment.seeds:
                drawn = {**named, "seed": str(seed)}
                judged = (f"verify {domain}",)
                yield Job("arms", f"arms {domain} {seed}", judged, named=drawn)
                for selection in self.experiment.further_selections:
                    key = f"select {domain} {seed} {selection}"
                    yield Job("select", key, judged, named={**drawn, "selection": selection})

    # --- what a student has of its own --------------------------------------------------------------

    def _trained(self, student: str, own: Experiment) -> Iterator[Job]:
        yield from self._sft(student, own)
        yield from self._grpo(student, own)
        for seed in own.seeds:
            yield from self._evaluated(student, own, "base", str(seed), self._base(student))
            for domain in own.domain_names:
                for arm in own.arms:
                    after = (f"sft {student} {domain} {arm} {seed}",)
                    yield from self._evaluated(student, own, f"sft/{domain}/{arm}", str(seed), after)
        for seed in own.grpo_seeds:
            for domain in own.domain_names:
                for init in own.initialisations:
                    after = (f"grpo {student} {domain} {init} {seed}",)
                    yield from self._evaluated(student, own, f"grpo/{domain}/{init}", str(seed), after)

    def _sft(self, student: str, own: Experiment) -> Iterator[Job]:
        for domain in own.domain_names:
            objectives = arm_objectives(own, domain)
            # An arm that replays another's weights comes after it.
            for arm in sorted(own.arms, key=lambda name: objectives[name].replayed_arm is not None):
                for seed in own.seeds:
                    of = objectives[arm].replayed_arm
                    trajectories = own.arms[arm].trajectories
                    further = trajectories in own.further_selections
                    after = [
                        *self._base(student),
                        f"contamination {domain}",
                        f"arms {domain} {seed}",
                        *([f"select {domain} {seed} {trajectories}"] if further else []),
                        *([f"sft {student} {domain} {of} {seed}"] if of else []),
                    ]
                    named = {"domain": domain, "arm": arm, "seed": str(seed)}
                    yield Job("sft", f"sft {student} {domain} {arm} {seed}", tuple(after), student, named)

    def _grpo(self, student: str, own: Experiment) -> Iterator[Job]:
        asks = own.grpo is not None and own.grpo.pass_rate_rollouts > 0
        for domain in own.domain_names:
            for init in own.initialisations:
                for seed in own.grpo_seeds:
                    start = (
                        self._base(student) if init == "base" else (f"sft {student} {domain} {init} {seed}",)
                    )
                    after = (*start, f"contamination {domain}")
                    name, named = (
                        f"{student} {domain} {init} {seed}",
                        {"domain": domain, "init": init, "seed": str(seed)},
                    )
                    if asks:
                        yield Job("pass_rates", f"pass_rates {name}", after, student, named)
                        after = (*after, f"pass_rates {name}")
                    yield Job("grpo", f"grpo {name}", after, student, named)

    def _evaluated(
        self, student: str, own: Experiment, model: str, seed: str, model_made: tuple[str, ...]
    ) -> Iterator[Job]:
        after, shards = (*model_made, *self.suites), own.evaluation.shards
        named, key = {"model": model, "seed": seed}, f"{student} {model} {seed}"
        answers = [f"answer {key} {shard}" for shard in range(shards)] if shards > 1 else []
        for shard, answer in enumerate(answers):
            yield Job("answer", answer, after, student, {**named, "shard": str(shard), "shards": str(shards)})
        yield Job("evaluate", f"evaluate {key}", (*after, *answers), student, named)

    def _shown(self, student: str, own: Experiment) -> Iterator[Job]:
        models = [("base", seed) for seed in own.seeds]
        models += [
            (f"sft/{d}/{arm}", seed) for d in own.domain_names for arm in own.arms for seed in own.seeds
        ]
        models += [
            (f"grpo/{d}/{init}", seed)
            for d in own.domain_names
            for init in own.initialisations
            for seed in own.grpo_seeds
        ]
        evaluations = tuple(f"evaluate {student} {model} {seed}" for model, seed in models)
        yield Job("tables", f"tables {student}", evaluations, student)
        yield Job("figures", f"figures {student}", (f"tables {student}",), student)
        yield Job("report", f"report {student}", (f"tables {student}", f"figures {student}"), student)
