"""The experiment: all sections together, and what they must agree on.

The section classes are the single source of truth: `glow.config.documents` validates a configuration with
them, and `glow.config.options` makes the command line's options from them. Nothing here says how many threads
or GPUs a stage gets: that is for rule resources and profiles.
"""

import re
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from glow.config.data import (
    PAIRED,
    POSITIVES_ONLY,
    Contamination,
    Domain,
    Extraction,
    ExtractionMode,
    FurtherSelection,
    HeldOut,
    Leniency,
    OwnTrajectories,
    Sampling,
    Selection,
    Verification,
    with_one_group,
)
from glow.config.evaluation import Evaluation, Suite
from glow.config.models import Decoding, Model, Prompt
from glow.config.reporting import Contrast, Gates
from glow.config.section import Section, existing, existing_folder, unknown
from glow.config.stages import (
    AnswerSettings,
    ArmSettings,
    EvaluationSettings,
    GenerateSettings,
    GrpoSettings,
    ImportSettings,
    PassRateSettings,
    SelectSettings,
    SftSettings,
    VerdictSettings,
)
from glow.config.training import DEFAULT_ARMS, DEFAULT_OBJECTIVES, Arm, Grpo, ObjectiveChoice, Sft
from glow.config.weights import refuse_unmatched_adapters

_NAME = re.compile(r"[A-Za-z0-9_.]+(-[A-Za-z0-9_.]+)*")


class Experiment(Section):
    """One experiment: everything that changes a number, and nothing else."""

    name: str = Field(description="results go to results/<name>", pattern=r"^[A-Za-z0-9_.-]+$")
    seeds: list[int] = Field(description="replicates: data draw, order and sampling", min_length=1)
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
    student: Model
    teacher: Model | None = None
    prompt: Prompt = Prompt()
    teacher_prompt: Prompt | None = Field(None, description="what of `prompt` differs for the teacher")
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

    @field_validator("domains", "arms", "suites")
    @classmethod
    def _plain_names(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            if not _NAME.fullmatch(name):
                raise ValueError(f"name {name!r}: use letters, digits, '_', '.' and single '-'")
        return named

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.domains) == (self.trajectories is not None):
            raise ValueError(
                "give either domains (with teacher and sampling) or trajectories (your own files)"
            )
        if self.domains and (self.teacher is None or self.sampling is None):
            raise ValueError("domains need a teacher and sampling")
        if self.teacher_prompt is not None and not self.domains:
            raise ValueError("teacher_prompt: no teacher is asked here; remove it")
        if self.teacher is not None and self.teacher.scratch is not None:
            raise ValueError("teacher: a model from scratch is untrained and cannot teach; choose another")
        if self.student.pretrain is not None and self.student.pretrain.continues is not None:
            raise ValueError("student.pretrain.continues: the student is what others go on from; remove it")
        if self.teacher is not None and self.teacher.pretrain is not None:
            trunk = self.student.pretrain
            if self.teacher.pretrain.continues and (
                trunk is None or trunk.shape != self.teacher.pretrain.shape
            ):
                raise ValueError(
                    "teacher.pretrain.continues: the student must be pretrained too, with the same "
                    "hidden_size, layers and heads"
                )
        for name, arm in self.arms.items():
            if arm.objective not in self.objectives:
                raise ValueError(f"arms.{name}.objective: {unknown(arm.objective, self.objectives)}")
        if "base" in self.arms:
            raise ValueError("arms.base: `base` is the name of the student before training; choose another")
        return self

    @model_validator(mode="after")
    def _pairs_can_be(self) -> Self:
        if self.trajectories is None and self.sampling is not None and self.sampling.samples == 1:
            for name, arm in self.arms.items():
                if arm.trajectories in PAIRED:
                    raise ValueError(
                        f"arms.{name}.trajectories: {arm.trajectories} takes questions with right and wrong "
                        "responses, and each is asked once; set sampling.samples to 2 or more"
                    )
        return self

    @model_validator(mode="after")
    def _held_out_can_be_asked(self) -> Self:
        asked, aside = self.sft.epoch_questions, self.selection.held_out
        if asked > aside:
            raise ValueError(
                f"sft.epoch_questions: {asked}, and selection.held_out sets {aside} questions aside; raise "
                "that or lower this"
            )
        return self

    @model_validator(mode="after")
    def _domains_fit(self) -> Self:
        for name, suite in self.suites.items():
            if suite.domain is not None and suite.domain not in self.domain_names:
                raise ValueError(f"suites.{name}.domain: {unknown(suite.domain, self.domain_names)}")
        for domain in self.domain_names:
            if self.grpo is not None and not self.grpo_problems(domain):
                raise ValueError(
                    f"grpo: domain {domain!r} keeps no GRPO prompts; set its `grpo` number of problems"
                )
            if self.grpo is not None and self.grpo.eval_problems:
                kept, needed = self.grpo_problems(domain), self.grpo.eval_problems + self.grpo.prompts
                if kept < needed:
                    raise ValueError(
                        f"grpo.eval_problems: with those of a step, {needed} problems are needed, and domain "
                        f"{domain!r} keeps {kept} for GRPO; lower it, or raise its `grpo` number of problems"
                    )
        return self

    @model_validator(mode="after")
    def _contrasts_fit(self) -> Self:
        known, seen = ["base", *self.arms], set()
        for place, contrast in enumerate(self.contrasts):
            key = f"contrasts.{place}"
            for side, name in (("arm", contrast.arm), ("over", contrast.over)):
                if name not in known:
                    raise ValueError(f"{key}.{side}: {unknown(name, known)}")
            if contrast.arm == contrast.over:
                raise ValueError(f"{key}.over: {contrast.over!r} is the arm itself; choose another")
            if contrast.domain is None and len(self.domain_names) > 1:
                raise ValueError(f"{key}.domain: missing; choose one of {', '.join(self.domain_names)}")
            if contrast.domain is not None and contrast.domain not in self.domain_names:
                raise ValueError(f"{key}.domain: {unknown(contrast.domain, self.domain_names)}")
            domain = contrast.domain or self.domain_names[0]
            tested = (domain, frozenset({contrast.arm, contrast.over}), contrast.scope)
            if tested in seen:
                raise ValueError(f"{key}: the same two arms are compared above already; remove it")
            seen.add(tested)
        return self

    @model_validator(mode="after")
    def _adapters_fit(self) -> Self:
        if self.grpo is not None and any(name != "base" for name in self.initialisations):
            refuse_unmatched_adapters(self.sft, self.grpo, self.grpo.kl)
        return self

    @model_validator(mode="after")
    def _grpo_fits(self) -> Self:
        if self.grpo is None:
            return self
        models = ["base", *self.arms]
        for name in self.grpo.initialisations or ():
            if name not in models:
                raise ValueError(f"grpo.initialisations: {unknown(name, models)}")
        for seed in self.grpo.seeds or ():
            if seed not in self.seeds:
                known = ", ".join(map(str, self.seeds))
                raise ValueError(
                    f"grpo.seeds: {seed} is not one of `seeds` ({known}); add it there or remove it"
                )
        return self

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
        if self.teacher_prompt is None:
            return self.prompt
        given = self.teacher_prompt.model_fields_set
        return self.prompt.model_copy(update={key: getattr(self.teacher_prompt, key) for key in given})

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
        return ImportSettings(fields=own.fields, limit=own.limit, grpo=own.grpo)

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

    def sft_run(self, arm: str, seed: int) -> SftSettings:
        """Settings of one run of SFT."""
        objective = self.objectives[self.arms[arm].objective]
        return SftSettings(
            prompt=self.prompt,
            objective=objective,
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
