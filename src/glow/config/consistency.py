"""What the sections of an experiment must agree on; what disagrees is refused, with what to do about it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from glow.config.data import PAIRED
from glow.config.section import unknown
from glow.config.weights import refuse_unmatched_adapters

if TYPE_CHECKING:
    from glow.config.experiment import Experiment


def _unfit_data(experiment: "Experiment") -> None:
    if bool(experiment.domains) == (experiment.trajectories is not None):
        raise ValueError("give either domains (with teacher and sampling) or trajectories (your own files)")
    if experiment.domains and (experiment.teacher is None or experiment.sampling is None):
        raise ValueError("domains need a teacher and sampling")
    if experiment.teacher_prompt is not None and not experiment.domains:
        raise ValueError("teacher_prompt: no teacher is asked here; remove it")
    if experiment.teacher is not None and experiment.teacher.scratch is not None:
        raise ValueError("teacher: a model from scratch is untrained and cannot teach; choose another")
    for name, arm in experiment.arms.items():
        if arm.objective not in experiment.objectives:
            raise ValueError(f"arms.{name}.objective: {unknown(arm.objective, experiment.objectives)}")
    if "base" in experiment.arms:
        raise ValueError("arms.base: `base` is the name of the student before training; choose another")


def _unfit_models(experiment: "Experiment") -> None:
    if experiment.student is not None and experiment.students:
        raise ValueError("give either student (one model) or students (several, by name), not both")
    if experiment.student is None and not experiment.students:
        raise ValueError("student: missing; add it, or students (several, by name)")
    for key, model in experiment.named_models.items():
        if key != "teacher" and model.pretrain is not None and model.pretrain.continues is not None:
            raise ValueError(f"{key}.pretrain.continues: a student is what others go on from; remove it")
    taught = experiment.teacher.pretrain if experiment.teacher is not None else None
    if taught is None or not taught.continues:
        return
    trunk = None if experiment.student is None else experiment.student.pretrain
    if trunk is None or trunk.shape != taught.shape:
        raise ValueError(
            "teacher.pretrain.continues: there must be one student, pretrained too, with the same "
            "hidden_size, layers and heads"
        )


def _unfit_students(experiment: "Experiment") -> None:
    alike: dict[str, str] = {}
    for name, student in experiment.students.items():
        if (other := alike.setdefault(name.lower(), name)) != name:
            raise ValueError(f"students: names {other!r} and {name!r} differ in case alone; choose another")
        if experiment.trajectories is not None and "thought" in student.prompt:
            raise ValueError(
                f"students.{name}.prompt.thought: your trajectories are read with the same marks for all "
                "students; set prompt.thought"
            )


def _unknown_choices(experiment: "Experiment") -> None:
    for name, student in experiment.students.items():
        for key, chosen, known in (
            ("arms", student.arms, list(experiment.arms)),
            ("seeds", student.seeds, list(map(str, experiment.seeds))),
        ):
            for one in map(str, chosen or ()):
                if one not in known:
                    raise ValueError(f"students.{name}.{key}: {unknown(one, known)}")


def _other_evaluations(experiment: "Experiment") -> None:
    has = experiment.grpo is not None and experiment.grpo.eval_steps > 0
    for name, student in experiment.students.items():
        if student.grpo and "eval_steps" in student.grpo and bool(student.grpo["eval_steps"]) != has:
            raise ValueError(
                f"students.{name}.grpo.eval_steps: GRPO is evaluated while it trains for all students or for "
                "none; change grpo.eval_steps"
            )
        if student.grpo and experiment.grpo is None:
            raise ValueError(f"students.{name}.grpo: there is no `grpo` whose keys would differ; give one")


def _unknown_objectives(experiment: "Experiment") -> None:
    for domain, settings in experiment.domains.items():
        for name, differing in settings.objectives.items():
            key = f"domains.{domain}.objectives.{name}"
            if name not in experiment.objectives:
                raise ValueError(f"{key}: {unknown(name, experiment.objectives)}")
            if "objective" in differing:
                raise ValueError(f"{key}.objective: a domain changes settings alone; remove it")


def _no_pairs(experiment: "Experiment") -> None:
    sampling = experiment.sampling if experiment.trajectories is None else None
    if sampling is not None and sampling.samples == 1:
        for name, arm in experiment.arms.items():
            if arm.trajectories in PAIRED:
                raise ValueError(
                    f"arms.{name}.trajectories: {arm.trajectories} takes questions with right and wrong "
                    "responses, and each is asked once; set sampling.samples to 2 or more"
                )


def _nothing_to_ask(experiment: "Experiment") -> None:
    asked, aside = experiment.sft.epoch_questions, experiment.selection.held_out
    if asked > aside:
        raise ValueError(
            f"sft.epoch_questions: {asked}, and selection.held_out sets {aside} questions aside; raise "
            "that or lower this"
        )


def _unfit_domains(experiment: "Experiment") -> None:
    for name, suite in experiment.suites.items():
        if suite.domain is not None and suite.domain not in experiment.domain_names:
            raise ValueError(f"suites.{name}.domain: {unknown(suite.domain, experiment.domain_names)}")
    for domain in experiment.domain_names:
        if experiment.grpo is not None and not experiment.grpo_problems(domain):
            raise ValueError(
                f"grpo: domain {domain!r} keeps no GRPO prompts; set its `grpo` number of problems"
            )
        if experiment.grpo is not None and experiment.grpo.eval_problems:
            kept, needed = (
                experiment.grpo_problems(domain),
                experiment.grpo.eval_problems + experiment.grpo.prompts,
            )
            if kept < needed:
                raise ValueError(
                    f"grpo.eval_problems: with those of a step, {needed} problems are needed, and domain "
                    f"{domain!r} keeps {kept} for GRPO; lower it, or raise its `grpo` number of problems"
                )


def _unfit_contrasts(experiment: "Experiment") -> None:
    known, seen = ["base", *experiment.arms], set()
    for place, contrast in enumerate(experiment.contrasts):
        key = f"contrasts.{place}"
        for side, name in (("arm", contrast.arm), ("over", contrast.over)):
            if name not in known:
                raise ValueError(f"{key}.{side}: {unknown(name, known)}")
        if contrast.arm == contrast.over:
            raise ValueError(f"{key}.over: {contrast.over!r} is the arm itself; choose another")
        if contrast.domain is None and len(experiment.domain_names) > 1:
            raise ValueError(f"{key}.domain: missing; choose one of {', '.join(experiment.domain_names)}")
        if contrast.domain is not None and contrast.domain not in experiment.domain_names:
            raise ValueError(f"{key}.domain: {unknown(contrast.domain, experiment.domain_names)}")
        domain = contrast.domain or experiment.domain_names[0]
        tested = (domain, frozenset({contrast.arm, contrast.over}), contrast.scope)
        if tested in seen:
            raise ValueError(f"{key}: the same two arms are compared above already; remove it")
        seen.add(tested)


def _unfit_adapters(experiment: "Experiment") -> None:
    if experiment.grpo is not None and any(name != "base" for name in experiment.initialisations):
        refuse_unmatched_adapters(experiment.sft, experiment.grpo, experiment.grpo.kl)


def _unfit_grpo(experiment: "Experiment") -> None:
    if experiment.grpo is None:
        return
    models = ["base", *experiment.arms]
    for name in experiment.grpo.initialisations or ():
        if name not in models:
            raise ValueError(f"grpo.initialisations: {unknown(name, models)}")
    for seed in experiment.grpo.seeds or ():
        if seed not in experiment.seeds:
            known = ", ".join(map(str, experiment.seeds))
            raise ValueError(f"grpo.seeds: {seed} is not one of `seeds` ({known}); add it there or remove it")


REFUSALS: tuple[Callable[["Experiment"], None], ...] = (
    _unfit_data,
    _unfit_models,
    _unfit_students,
    _unknown_choices,
    _other_evaluations,
    _unknown_objectives,
    _no_pairs,
    _nothing_to_ask,
    _unfit_domains,
    _unfit_contrasts,
    _unfit_adapters,
    _unfit_grpo,
)
"""In this order; each raises a ValueError."""
