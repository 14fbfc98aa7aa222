"""The experiment: all sections together, and what they must agree on.

The section classes are the single source of truth: `glow.config.documents` validates a configuration with
them, and `glow.config.options` makes the command line's options from them. Nothing here says how many threads
or GPUs a stage gets: that is for rule resources and profiles.
"""

from pathlib import Path
from typing import Any, Self, get_args

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from glow.config.consistency import REFUSALS
from glow.config.data import (
    POSITIVES_ONLY,
    Contamination,
    Domain,
    Extraction,
    ExtractionMode,
    FurtherSelection,
    HeldOut,
    Leniency,
    Sampling,
    Selection,
    Verification,
    with_one_group,
)
from glow.config.evaluation import Evaluation, Suite
from glow.config.models import Decoding, Model, Prompt
from glow.config.reporting import Contrast, Gates
from glow.config.section import FolderName, Section, Seed, existing, existing_folder, overlaid, part_name
from glow.config.stages import (
    AnswerSettings,
    ArmSettings,
    EvaluationSettings,
    GenerateSettings,
    GrpoSettings,
    PassRateSettings,
    SelectSettings,
    SftSettings,
    VerdictSettings,
)
from glow.config.students import CHANGED_BY_STUDENT, Student, refuse_names
from glow.config.training import DEFAULT_ARMS, DEFAULT_OBJECTIVES, Arm, Grpo, ObjectiveChoice, Sft
from glow.config.trajectories import HowRead, ImportSettings, OwnTrajectories


class Experiment(Section):
    """One experiment: everything that changes a number, and nothing else."""

    name: FolderName = Field(description="results go to results/<name>")
    seeds: list[Seed] = Field(description="replicates: data draw, order and sampling", min_length=1)
    world: int | None = Field(
        None,
        exclude=True,
        description="a number draws anew what all seeds share: base, teacher, problems, trajectories, suites",
        gt=0,
    )
    extraction: ExtractionMode = "strict"
    extraction_pattern: str | None = Field(None, validate_default=True)
    leniency: Leniency = "allow"
    verdict_timeout_s: float = Field(3.0, gt=0)
    student: Model | None = None
    students: dict[str, Student] = Field({}, description="several, by name, in place of `student`")
    teacher: Model | None = None
    prompt: Prompt = Prompt()
    teacher_prompt: Prompt | None = Field(None, description="what of `prompt` differs for the teacher")
    sft_prompt: Prompt | None = Field(None, description="what of `prompt` differs in supervised fine-tuning")
    domains: dict[str, Domain] = Field({})
    sampling: Sampling | None = None
    trajectories: OwnTrajectories | None = None
    shards: int = Field(1, gt=0, description="trajectory files per domain, sampled side by side")
    selection: Selection = Selection()
    objectives: dict[str, ObjectiveChoice] = DEFAULT_OBJECTIVES
    arms: dict[str, Arm] = DEFAULT_ARMS
    sft: Sft
    grpo: Grpo | None = None
    suites: dict[str, Suite] = Field(min_length=1)
    data_dir: Path | None = Field(
        None, description="folder of local copies of suites; what it lacks is read from the hub"
    )
    contamination: Contamination = Contamination()
    evaluation: Evaluation
    margin: float | None = Field(
        None, description="points within which two accuracies count as the same (tests of equivalence)", gt=0
    )
    contrasts: list[Contrast] = Field([], description="differences to test first, in this order")
    gates: Gates = Gates()
    reported: Path | None = Field(None, description="published figures to stand beside ours")
    _arms_of_all: tuple[str, ...] = PrivateAttr(())

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be distinct and not negative")
        return seeds

    @field_validator("extraction_pattern")
    @classmethod
    def _one_group(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        return with_one_group(pattern, info)

    @field_validator("reported")
    @classmethod
    def _present(cls, reported: Path | None) -> Path | None:
        return existing(reported)

    @field_validator("data_dir")
    @classmethod
    def _is_folder(cls, folder: Path | None) -> Path | None:
        return existing_folder(folder)

    @field_validator("students", mode="before")
    @classmethod
    def _without_removed(cls, students: Any) -> Any:
        """A student that is null is left out: so an overlay takes one away."""
        if isinstance(students, dict):
            refuse_names(students)
            return {name: student for name, student in students.items() if student is not None}
        return students

    @field_validator("domains", "arms", "suites", "students")
    @classmethod
    def _plain_names(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            part_name(name)
        return named

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for refuse in REFUSALS:
            refuse(self)
        return self

    # --- one student ------------------------------------------------------------------------------

    def of(self, name: str) -> Self:
        """The study of one of `students`, as an experiment by itself, on data that all share.

        Contrasts, and models that GRPO would start from, are those that this student has.

        Raises:
            ValidationError: what differs for it is no valid setting.
        """
        student = self.students[name]
        arms = {key: arm for key, arm in self.arms.items() if student.arms is None or key in student.arms}
        seeds = [seed for seed in self.seeds if student.seeds is None or seed in student.seeds]
        trained = {"base", *arms}
        contrasts = [own for own in self.contrasts if {own.arm, own.over} <= trained]
        given: dict[str, Any] = {key: getattr(self, key) for key in self.model_fields_set}
        given |= {"student": student.model, "students": {}, "grpo": self._grpo_of(student, trained, seeds)}
        given |= {"arms": arms, "seeds": seeds, "contrasts": contrasts}
        if self.domains:  # The teacher is asked in the same words, whatever differs for a student.
            asked = self.asked_of_teacher
            given["teacher_prompt"] = Prompt(**{key: getattr(asked, key) for key in Prompt.model_fields})
        for key in CHANGED_BY_STUDENT:
            if changes := getattr(student, key):
                given[key] = overlaid(getattr(self, key), changes)
        study = type(self).model_validate(given)
        study._arms_of_all = tuple(self.arms)
        return study

    @property
    def arms_of_all(self) -> tuple[str, ...]:
        """The arms of all students, of which one may have some only: what is drawn alike in all."""
        return self._arms_of_all or tuple(self.arms)

    def _grpo_of(self, student: Student, trained: set[str], seeds: list[int]) -> dict[str, Any] | None:
        """GRPO of a student, from those of the models and with those of the seeds that it has."""
        if student.grpo is None or self.grpo is None:
            return None
        given = overlaid(self.grpo, student.grpo)
        for key, known in (("initialisations", trained), ("seeds", set(seeds))):
            if key not in student.grpo and given.get(key) is not None:
                given[key] = [one for one in given[key] if one in known]
                if not given[key]:
                    return None
        return given

    @property
    def base(self) -> Model:
        """The student before fine-tuning, of an experiment with one."""
        assert self.student is not None, "several students: ask `of` one"
        return self.student

    @property
    def named_models(self) -> dict[str, Model]:
        """Every model of the study, by its key in the configuration."""
        found = {"student": self.student, "teacher": self.teacher}
        found |= {f"students.{name}": student.model for name, student in self.students.items()}
        return {key: model for key, model in found.items() if model is not None}

    @property
    def studies(self) -> dict[str, Self]:
        """The experiment of each student, by its name; of one student by the empty name, as it is."""
        return {name: self.of(name) for name in self.students} or {"": self}

    # --- names --------------------------------------------------------------------------------------

    @property
    def domain_names(self) -> list[str]:
        """Training domains, in the order of the file."""
        return list(self.domains) if self.trajectories is None else [self.trajectories.domain]

    @property
    def reference_arm(self) -> str | None:
        """The arm that others are compared with: plain training on positives; None where no arm is that.

        An arm on `positive` comes before one on `positive_all`, and that before one on `positive_paired`,
        in whichever order the configuration has them: an arm that is added becomes no reference by its place.
        """
        for selection in POSITIVES_ONLY:
            for name, arm in self.arms.items():
                if arm.trajectories == selection and self.objectives[arm.objective].objective == "plain":
                    return name
        return None

    @property
    def asked_of_teacher(self) -> Prompt:
        """The teacher's prompt: `prompt` with what `teacher_prompt` says otherwise."""
        return self._prompt_with(self.teacher_prompt)

    @property
    def asked_in_sft(self) -> Prompt:
        """The prompt of supervised fine-tuning: `prompt` with what `sft_prompt` says otherwise."""
        return self._prompt_with(self.sft_prompt)

    def _prompt_with(self, changed: Prompt | None) -> Prompt:
        if changed is None:
            return self.prompt
        return self.prompt.model_copy(update={key: getattr(changed, key) for key in changed.model_fields_set})

    @property
    def further_selections(self) -> list[FurtherSelection]:
        """The selections that some arm trains on and that not every study has."""
        used = {arm.trajectories for arm in self.arms.values()}
        return [name for name in get_args(FurtherSelection) if name in used]

    @property
    def initialisations(self) -> list[str]:
        """What GRPO starts from: the base and the arms, all or those that it names; nothing without GRPO."""
        if self.grpo is None:
            return []
        chosen = self.grpo.initialisations
        return [name for name in ("base", *self.arms) if chosen is None or name in chosen]

    @property
    def grpo_seeds(self) -> list[int]:
        """The seeds that GRPO runs with: all, or those that it names; none without GRPO."""
        if self.grpo is None:
            return []
        chosen = self.grpo.seeds
        return [seed for seed in self.seeds if chosen is None or seed in chosen]

    def grpo_problems(self, domain: str) -> int:
        """How many problems of the domain are kept out of the arms as GRPO prompts."""
        if self.trajectories is not None:
            return self.trajectories.grpo
        return self.domains[domain].problems.grpo

    def disjoint_from(self, domain: str) -> list[str]:
        """The suites with which a domain's training data may share no question."""
        if self.trajectories is not None:
            return self.trajectories.disjoint_from
        return self.domains[domain].problems.disjoint_from

    def disjoint_key(self, domain: str) -> str:
        """The key of the configuration for these."""
        if self.trajectories is not None:
            return "trajectories.disjoint_from"
        return f"domains.{domain}.problems.disjoint_from"

    def left_to_contamination(self, domain: str) -> list[str]:
        """The suites that a domain's training data are not kept apart from, only checked for."""
        return [suite for suite in self.suites if suite not in self.disjoint_from(domain)]

    @property
    def verification(self) -> Verification:
        """How trajectories and evaluations are judged."""
        return Verification(
            **self.found_by.model_dump(), timeout_s=self.verdict_timeout_s, leniency=self.leniency
        )

    @property
    def found_by(self) -> Extraction:
        """Where the answers of responses are found, in every stage."""
        return Extraction(extraction=self.extraction, extraction_pattern=self.extraction_pattern)

    # --- what each stage is told ------------------------------------------------------------------

    @property
    def generation(self) -> GenerateSettings:
        """Settings of the teacher's trajectories; there must be a teacher."""
        assert self.sampling is not None
        return GenerateSettings(prompt=self.asked_of_teacher, sampling=self.sampling)

    @property
    def importing(self) -> ImportSettings:
        """Settings of reading the user's own trajectories, which there must be."""
        assert self.trajectories is not None
        own = self.trajectories
        # What a preset says, the other settings say by now.
        given = {key: getattr(own, key) for key in HowRead.model_fields if key != "preset"}
        if own.fields.reasoning is not None:
            given["thought"] = self.asked_of_teacher.thought
        return ImportSettings(**given, limit=own.limit, grpo=own.grpo)

    @property
    def verdicts(self) -> VerdictSettings:
        """Settings of judging trajectories."""
        return VerdictSettings(
            verification=self.verification,
            thought=self.asked_of_teacher.thought,
            answer_type_field="answer_type",
        )

    def arm_selection(self, seed: int) -> ArmSettings:
        """Settings of drawing one replicate's selections."""
        return ArmSettings(selection=self.selection, seed=seed)

    def further_selection(self, trajectories: FurtherSelection, seed: int) -> SelectSettings:
        """Settings of drawing one of `further_selections` for one replicate."""
        aside = {key: getattr(self.selection, key) for key in HeldOut.model_fields}
        return SelectSettings(trajectories=trajectories, **aside, seed=seed)

    def objective_in(self, domain: str, name: str) -> ObjectiveChoice:
        """An objective with the settings that it has in a domain."""
        differing = self.domains[domain].objectives.get(name, {}) if domain in self.domains else {}
        general = self.objectives[name]
        return ObjectiveChoice(objective=general.objective, **(general.settings | differing))

    def sft_run(self, domain: str, arm: str, seed: int) -> SftSettings:
        """Settings of one run of SFT."""
        return SftSettings(
            prompt=self.asked_in_sft,
            objective=self.objective_in(domain, self.arms[arm].objective),
            sft=self.sft,
            verification=self.verification,
            seed=seed,
        )

    def grpo_run(self, seed: int) -> GrpoSettings:
        """Settings of one run of GRPO, which the experiment must have."""
        assert self.grpo is not None
        return GrpoSettings(prompt=self.prompt, extraction=self.found_by, grpo=self.grpo, seed=seed)

    def pass_rate_run(self, seed: int) -> PassRateSettings:
        """Settings of measuring how often GRPO's starting model solves each problem, where that is asked."""
        run = self.grpo_run(seed)
        decoding = {key: getattr(run.grpo, key) for key in ("temperature", "top_p", "top_k", "min_p")}
        return PassRateSettings(
            prompt=self.prompt,
            verification=run.verification,
            decoding=Decoding(
                engine="vllm" if run.grpo.vllm else "transformers",
                max_tokens=run.grpo.max_tokens,
                **decoding,
            ),
            rollouts=run.grpo.pass_rate_rollouts,
            seed=seed,
        )

    def answering_run(self, seed: int) -> AnswerSettings:
        """Settings of asking a model the suites' questions."""
        return AnswerSettings(prompt=self.prompt, evaluation=self.evaluation, seed=seed)

    def evaluation_run(self, seed: int) -> EvaluationSettings:
        """Settings of one evaluation."""
        return EvaluationSettings(
            prompt=self.prompt, verification=self.verification, evaluation=self.evaluation, seed=seed
        )
