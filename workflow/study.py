"""A study as files: what its students share, typed and importable without Snakemake.

What each student has of its own is named in `student.py`, what jobs are told in `jobs.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from student import OfStudent

from glow.config import Experiment, Model
from glow.errors import UserError
from glow.files.frozen import student_prefix
from glow.planning.resources import Asked, asked, evaluated
from glow.suites.tasks import reads_hub


class Study:
    """The files of an experiment, below results/<name>, and what its jobs ask for.

    What a student has of its own stands below results/<name>/students/<student>; where there is one student
    alone, directly below results/<name>.

    Args:
        experiment: the configuration, checked.

    Attributes:
        students: by the beginning of the paths of their files below results/<name>, which is the wildcard
            `of` of the rules: "students/<student>/", or empty for one student alone.
        models: the models of all students, and the teacher, by their paths below results/<name>.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.results = f"results/{experiment.name}"
        self.logs = f"{self.results}/logs"
        self.benchmarks = f"{self.results}/benchmarks"
        own = {student_prefix(name): study for name, study in experiment.studies.items()}
        self.students = {prefix: OfStudent(study, self.results, prefix) for prefix, study in own.items()}
        self.models: dict[str, Model] = {f"{prefix}models/base": study.base for prefix, study in own.items()}
        if experiment.domains and experiment.teacher is not None:
            self.models["models/teacher"] = experiment.teacher

    # --- students -------------------------------------------------------------------------------

    def of(self, wildcards: Any) -> OfStudent:
        """The student that a job is of, by its wildcard `of`."""
        return self.students[wildcards.of]

    def start(self, wildcards: Any) -> str:
        """The model that a job of GRPO starts from."""
        return self.of(wildcards).initialisation(wildcards.domain, wildcards.init, wildcards.seed)

    def evaluated(self, wildcards: Any) -> str:
        """The model that a job evaluates."""
        return self.of(wildcards).trained_model(wildcards.model, wildcards.seed)

    def of_all(self, files: Callable[[OfStudent], Iterable[str]]) -> list[str]:
        """The files of all students."""
        return [file for own in self.students.values() for file in files(own)]

    # --- models ---------------------------------------------------------------------------------

    def models_from(self, source: str) -> list[str]:
        """The models that come from `source` (a key of config.Model)."""
        return [made for made, model in self.models.items() if getattr(model, source)] or ["none"]

    @property
    def teacher(self) -> str:
        """Where the teacher is: the user's own directory, or one made here."""
        return str(self.models["models/teacher"].path or f"{self.results}/models/teacher")

    def made_models(self) -> list[str]:
        """The models made here: all but those used in place."""
        return [f"{self.results}/{made}" for made, model in self.models.items() if model.path is None]

    def made(self, model: str) -> list[str]:
        """The model (its directory), if it is made here: then it is an input."""
        return [model] if model.startswith(f"{self.results}/") else []

    def given(self, model: str) -> list[Path]:
        """The model, if it is the user's own and used in place."""
        return [] if self.made(model) else [Path(model)]

    def trunk(self, made: str) -> list[str]:
        """The model that pretraining of another goes on from, if there is one: the one student."""
        pretrain = self.models[made].pretrain
        goes_on = pretrain is not None and pretrain.continues
        return [own.base for own in self.students.values()] if goes_on else []

    @property
    def teacher_asks(self) -> Asked:
        """What a job of `generate` asks for, by the size of the teacher."""
        return asked("generate", self.models["models/teacher"])

    # --- data -----------------------------------------------------------------------------------

    @property
    def fetches_suites(self) -> bool:
        """Whether the rows of any suite come from the hub: then the rule runs where Snakemake does."""
        return any(reads_hub(name, suite) for name, suite in self.experiment.suites.items())

    @property
    def fetches_problems(self) -> bool:
        """Whether the problems of any domain come from the hub."""
        return any(domain.problems.reads_hub for domain in self.experiment.domains.values())

    @property
    def fetches_trajectories(self) -> bool:
        """Whether the user's own trajectories come from the hub."""
        return bool(self._fetched_domains())

    def _fetched_domains(self) -> list[str]:
        """The domain of trajectories that come from the hub."""
        own = self.experiment.trajectories
        return [own.domain] if own is not None and own.reads_hub else []

    def fetched(self) -> list[str]:
        """All that is made with a network: what comes from the hub, and what that is kept apart from."""
        domains = [name for name, domain in self.experiment.domains.items() if domain.problems.reads_hub]
        suites = [name for name, suite in self.experiment.suites.items() if reads_hub(name, suite)]
        return [
            *(f"{self.results}/{made}" for made, model in self.models.items() if model.hub is not None),
            *self._suite_files(suites),
            *(f"{self.results}/problems/{domain}/train.jsonl" for domain in domains),
            *(self.trajectories(domain) for domain in self._fetched_domains()),
        ]

    def suite_files(self) -> list[str]:
        """The problem files of all suites."""
        return self._suite_files(self.experiment.suites)

    def suites_kept_apart(self, domain: str) -> list[str]:
        """The problem files of the suites with which the domain's training data may share no question."""
        return self._suite_files(self.experiment.disjoint_from(domain))

    def _suite_files(self, suites: Iterable[str]) -> list[str]:
        return [f"{self.results}/suites/{suite}.jsonl" for suite in suites]

    def trajectories(self, domain: str) -> str:
        """The trajectories of a domain."""
        return f"{self.results}/trajectories/{domain}.jsonl.gz"

    def shards(self, domain: str) -> list[str]:
        """The files that the domain's trajectories are sampled into."""
        folder, count = f"{self.results}/trajectories/{domain}", self.experiment.shards
        return [f"{folder}/shard-{shard}-of-{count}.jsonl.gz" for shard in range(count)]

    def training_data(self, domain: str) -> list[str]:
        """What a domain's models may be trained on: trajectories, and problems for the teacher and GRPO."""
        names = ["grpo.jsonl"] if self.experiment.trajectories is not None else ["train.jsonl", "grpo.jsonl"]
        return [self.trajectories(domain), *(f"{self.results}/problems/{domain}/{name}" for name in names)]

    def where_held_out(self, file: str) -> list[str]:
        """A file that there is where questions are set aside."""
        return [file] if self.experiment.selection.held_out else []

    def where_evaluated(self, file: str) -> list[str]:
        """A file that there is where GRPO evaluates while it trains: for all students or for none."""
        grpo = self.experiment.grpo
        return [file] if grpo is not None and grpo.eval_steps else []

    # --- resources ------------------------------------------------------------------------------

    def refuse_resources(self, rules: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse resources of which nothing can be made, before anything runs.

        Args:
            rules: each rule's resources by name, as Snakemake has them. One that depends on more of a job
                than on its student is known to that job alone, and looked at there.

        Raises:
            UserError: one is no value or out of bounds, or a step cannot be dealt evenly to the devices.
        """
        for rule, resources in rules.items():
            for prefix, own in self.students.items():
                try:
                    found = evaluated(resources, {"of": prefix})
                    if found is not None:
                        own.refuse_resources(rule, found)
                except UserError as error:
                    raise UserError(f"rule {rule}: {prefix and f'{prefix[:-1]}: '}{error}") from None
