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
from glow.errors import UserError
from glow.miniature.families import FAMILIES
from glow.models.templates import template_text
from glow.suites.tasks import resolved
from glow.training.objectives import choose


def read(path: Path, *overlays: Path) -> Experiment:
    """Load and check a YAML configuration file; overlays are merged into it in turn, as Snakemake does.

    Raises:
        UserError: a file is missing, is not YAML, breaks the schema, or has a name that is none; the message
            names the key.
    """
    return load(*config.read_document(path, *overlays))


def load(document: Any, source: str) -> Experiment:
    """Check a configuration that is already parsed; `source` names it in messages.

    Suites come back with what their task files say (local files, training domain, group), objectives with
    all their settings.

    Raises:
        UserError: one line a mistake, each naming its key and what to do.
    """
    experiment = config.load(document, source)
    mistakes = [
        *_unknown_families(experiment),
        *_unknown_templates(experiment),
        *_unknown_suites(experiment),
    ]
    objectives: dict[str, ObjectiveChoice] = {}
    for name, choice in experiment.objectives.items():
        try:
            chosen = choose(choice.objective, choice.settings, f"objectives.{name}.")
            settings = chosen.settings.model_dump(mode="json")
            objectives[name] = ObjectiveChoice(objective=choice.objective, **settings)
        except UserError as error:
            mistakes += str(error).splitlines()
    suites: dict[str, Suite] = {}
    for name, suite in experiment.suites.items():
        try:
            suites[name] = resolved(name, suite, experiment.data_dir, experiment.domain_names)
        except UserError as error:
            mistakes.append(f"suites.{name}: {error}")
    if mistakes:
        raise UserError("\n".join(f"{source}: {mistake}" for mistake in mistakes))
    return experiment.model_copy(update={"objectives": objectives, "suites": suites})


def _unknown_templates(experiment: Experiment) -> Iterator[str]:
    for key, prompt in (("prompt", experiment.prompt), ("teacher_prompt", experiment.teacher_prompt)):
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


def _unknown_families(experiment: Experiment) -> Iterator[str]:
    named: dict[str, list[str] | None] = {}
    for role, model in (("student", experiment.student), ("teacher", experiment.teacher)):
        if model is not None and model.pretrain is not None:
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
