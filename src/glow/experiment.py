"""Load an experiment from its configuration and check every name in it; commands and workflow call this.

`glow.config` knows what a configuration may say; problem families, evaluation tasks and objectives are
defined in rooms above it, and are looked up here. No deep-learning library is loaded, except by an
objective's own file or module.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glow import config
from glow.config import Experiment, ObjectiveChoice, Suite, unknown
from glow.config.packages import missing
from glow.errors import UserError
from glow.miniature.families import FAMILIES
from glow.models.templates import template_text
from glow.reporting.scopes import mean_columns
from glow.suites.tasks import function_names, resolved, task_document, task_of
from glow.training.objectives import ChosenObjective, choose


def read(path: Path, *overlays: Path, world: int | None = None) -> Experiment:
    """Load and check a YAML configuration file; overlays are merged into it in turn, as Snakemake does.

    Args:
        world: in place of the `world` that the files say.

    Raises:
        UserError: a file is missing, is not YAML, breaks the schema, or has a name that is none; the message
            names the key.
    """
    document, source = config.read_document(path, *overlays)
    if world is not None and isinstance(document, dict):
        document = document | {"world": world}
    return load(document, source)


def load(document: Any, source: str) -> Experiment:
    """Check a configuration that is already parsed; `source` names it in messages.

    Suites come back with what their task files say (local files, training domain, group), objectives with
    all their settings, seeds as the `world` has them.

    Raises:
        UserError: one line a mistake, each naming its key and what to do.
    """
    experiment = config.load(document, source)
    mistakes = [
        *_unknown_families(experiment),
        *_unknown_templates(experiment),
        *_unknown_suites(experiment),
    ]
    chosen: dict[str, ChosenObjective] = {}
    objectives: dict[str, ObjectiveChoice] = {}
    for name, choice in experiment.objectives.items():
        try:
            chosen[name] = choose(choice.objective, choice.settings, f"objectives.{name}.")
            settings = chosen[name].settings.model_dump(mode="json")
            objectives[name] = ObjectiveChoice(objective=choice.objective, **settings)
        except UserError as error:
            mistakes += str(error).splitlines()
    domains = dict(experiment.domains)
    for domain, own in experiment.domains.items():
        try:
            domains[domain] = own.model_copy(update={"objectives": _in_domain(experiment, domain)})
        except UserError as error:
            mistakes += str(error).splitlines()
    for name, study in experiment.studies.items():
        above = f"students.{name}: " if name else ""
        mistakes += [f"{above}{mistake}" for mistake in _impossible_replays(study, chosen)]
    suites: dict[str, Suite] = {}
    for name, suite in experiment.suites.items():
        try:
            suites[name] = resolved(name, suite, experiment.data_dir, experiment.domain_names)
        except UserError as error:
            mistakes.append(f"suites.{name}: {error}")
    looked_up = experiment.model_copy(update={"objectives": objectives, "domains": domains, "suites": suites})
    if not mistakes:  # Only now is it known which suites are in-domain.
        mistakes += _unknown_scopes(looked_up)
    if mistakes:
        raise UserError("\n".join(f"{source}: {mistake}" for mistake in dict.fromkeys(mistakes)))
    return looked_up


def _in_domain(experiment: Experiment, domain: str) -> dict[str, dict[str, Any]]:
    """The settings of objectives that differ in a domain, whole, as the objectives declare them.

    Raises:
        UserError: no such setting, or a value out of bounds; or one that decides which run is replayed.
    """
    found = {}
    for name in experiment.domains[domain].objectives:
        choice = experiment.objective_in(domain, name)
        key = f"domains.{domain}.objectives.{name}."
        if "of" in experiment.domains[domain].objectives[name]:
            raise UserError(f"{key}of: the arm that is replayed is the same in all domains; remove it")
        found[name] = choose(choice.objective, choice.settings, key).settings.model_dump(mode="json")
    return found


def in_words(experiment: Experiment) -> str:
    """What an experiment would run: its size, what arms train on, which suites are in-domain."""
    lines = [
        f"{experiment.name}: {_students_in_words(experiment)}{len(experiment.domain_names)} domain(s), "
        f"{len(experiment.arms)} arms, "
        f"{len(experiment.seeds)} seed(s), {len(experiment.suites)} suites, {_grpo_in_words(experiment)}; "
        f"report: results/{experiment.name}/report.html"
    ]
    lines += _same_models(experiment)
    used = dict.fromkeys(arm.trajectories for arm in experiment.arms.values())
    reference = experiment.reference_arm
    compared = "none trains plainly on positives alone, so tables compare none"
    if reference is not None:
        compared = f"tables compare them with {reference}"
    lines.append(f"arms train on {', '.join(used)}; {compared}")
    for domain in experiment.domain_names:
        if left := experiment.left_to_contamination(domain):
            lines.append(
                f"not kept apart from training questions, only checked for: {', '.join(left)}; "
                f"name them in {experiment.disjoint_key(domain)}"
            )
        inside = [name for name, suite in experiment.suites.items() if suite.domain == domain]
        lines.append(f"in-domain for {domain}: {', '.join(inside) or 'no suite'}")
    lines += _foreign_code(experiment)
    return "\n".join(lines)


def _students_in_words(experiment: Experiment) -> str:
    several = experiment.students
    return f"{len(several)} students ({', '.join(several)}), " if several else ""


def _same_models(experiment: Experiment) -> Iterator[str]:
    """A line for each model, at one commit or in one folder, that several students are."""
    named: dict[str, list[str]] = {}
    for name, student in experiment.students.items():
        hub, path = student.model.hub, student.model.path
        if hub is not None:
            named.setdefault(f"{hub.hub}@{hub.revision}", []).append(name)
        elif path is not None:
            named.setdefault(str(path), []).append(name)
    for model, names in named.items():
        if len(names) > 1:
            same = f"{' and '.join(names)} are the same model, {model}"
            yield f"{same}: what differs is how they are trained and asked"


def _grpo_in_words(experiment: Experiment) -> str:
    if experiment.grpo is None:
        return "no GRPO"
    part = f"from {len(experiment.initialisations)} models" if experiment.grpo.initialisations else ""
    seeds = f"with {len(experiment.grpo_seeds)} seed(s)" if experiment.grpo.seeds else ""
    return " ".join(filter(None, ("GRPO", part, seeds)))


def _foreign_code(experiment: Experiment) -> Iterator[str]:
    """A line for each task file of lm-eval that names functions: loading it runs their modules."""
    for name, suite in experiment.suites.items():
        if suite.lm_eval is not None and (functions := function_names(task_document(suite.lm_eval))):
            listed = ", ".join(dict.fromkeys(functions))
            yield f"suites.{name}: {suite.lm_eval} runs code that came with it: {listed}; read it before"


def missing_packages(experiment: Experiment) -> list[str]:
    """What the study needs and is not installed here, a line each, with the command that installs it."""
    said = [
        missing(package, needed_by)
        for study in experiment.studies.values()
        for needed_by, package in _needed_packages(study)
    ]
    return list(dict.fromkeys(line for line in said if line is not None))


def _needed_packages(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """The settings that need a package of `glow.config.packages`, each with its name."""
    if experiment.domains and experiment.sampling is not None and experiment.sampling.engine == "vllm":
        yield "sampling.engine", "vLLM"
    if experiment.grpo is not None and experiment.grpo.vllm:
        yield "grpo.vllm", "vLLM"
    if experiment.evaluation.engine == "vllm":
        yield "evaluation.engine", "vLLM"
    for section in (experiment.sft, experiment.grpo):
        for setting in section.needing_bitsandbytes if section is not None else ():
            yield f"{type(section).__name__.lower()}.{setting}", "bitsandbytes"
    scorers = {"ifeval": "lm-eval's IFEval checker", "gym": "reasoning-gym"}
    for name, suite in experiment.suites.items():
        if suite.families is None and (scorer := task_of(name, suite).scorer) in scorers:
            yield f"suites.{name}", scorers[scorer]


def _impossible_replays(experiment: Experiment, chosen: dict[str, ChosenObjective]) -> Iterator[str]:
    """Arms whose objective replays the weights of an arm that has none for their samples."""
    for name, arm in experiment.arms.items():
        control = chosen.get(arm.objective)
        if control is None or control.replayed_arm is None:
            continue
        key, of = f"objectives.{arm.objective}.of", control.replayed_arm
        if of not in experiment.arms:
            yield f"{key}: no such arm: {unknown(of, experiment.arms)}"
            continue
        replayed = experiment.arms[of]
        if replayed.trajectories != arm.trajectories:
            yield (
                f"arms.{name}.trajectories: {arm.trajectories!r}, and the arm {of!r}, whose weights this arm "
                f"replays, trains on {replayed.trajectories!r}: train both on the same"
            )
        if replayed.objective in chosen:
            yield from _no_control(control, f"{key}: the arm {of!r}", chosen[replayed.objective])


def _no_control(control: ChosenObjective, arm: str, replayed: ChosenObjective) -> Iterator[str]:
    """Why an objective is no control of an arm with the objective `replayed`."""
    if not replayed.entry.uses_history:
        yield (
            f"{arm} ({replayed}) has no weights of its own that compare with the epoch before; name an arm "
            "that has, such as one with GLOW"
        )
        return
    own, other = ((found.entry.average, found.entry.token_weights) for found in (control, replayed))
    if own != other:
        yield (
            f"{arm} ({replayed}) averages otherwise, or weights tokens otherwise, than {control.name!r}: "
            "declare a control of your own with its average and token_weights"
        )


def _unknown_templates(experiment: Experiment) -> Iterator[str]:
    prompts = {key: getattr(experiment, key) for key in ("prompt", "teacher_prompt", "sft_prompt")}
    for name in experiment.students:
        own = experiment.of(name)
        prompts |= {f"students.{name}.{key}": getattr(own, key) for key in ("prompt", "sft_prompt")}
    for key, prompt in prompts.items():
        if prompt is not None and prompt.chat_template is not None:
            try:
                template_text(prompt.chat_template)
            except UserError as error:
                yield f"{key}.chat_template: {error}"


def _unknown_suites(experiment: Experiment) -> Iterator[str]:
    for domain in experiment.domain_names:
        for name in experiment.disjoint_from(domain):
            if name not in experiment.suites:
                yield f"{experiment.disjoint_key(domain)}: {unknown(name, experiment.suites)}"


def _unknown_scopes(experiment: Experiment) -> Iterator[str]:
    for place, contrast in enumerate(experiment.contrasts):
        known = list(mean_columns(experiment, contrast.domain or experiment.domain_names[0]))
        if contrast.scope not in known:
            yield f"contrasts.{place}.scope: {unknown(contrast.scope, known)}"


def _unknown_families(experiment: Experiment) -> Iterator[str]:
    named: dict[str, list[str] | None] = {}
    for role, model in experiment.named_models.items():
        if model.pretrain is not None:
            for group, families in model.pretrain.families.items():
                named[f"{role}.pretrain.families.{group}"] = families
    for name, domain in experiment.domains.items():
        named[f"domains.{name}.problems.families"] = domain.problems.families
    for name, suite in experiment.suites.items():
        named[f"suites.{name}.families"] = suite.families
    for key, given in named.items():
        for family in given or ():
            if family not in FAMILIES:
                yield f"{key}: {unknown(family, FAMILIES)}"
