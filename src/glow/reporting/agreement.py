"""Whether results were made with the settings that the configuration has: tables of others would be false.

Every stage notes its settings in a manifest. Before tables are made, each manifest below R that they rest on
is compared with what the configuration says, setting by setting. A setting that changes no number is not
compared (`glow.config.section.Neutral`), nor one that this version of glow does not know.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from glow.config import ObjectiveChoice, Section, SftSettings
from glow.errors import UserError
from glow.files.jsonl import read_json
from glow.files.manifest import manifest_path
from glow.files.same_run import difference, run_identity
from glow.reporting.results import Results
from glow.training.objectives import ChosenObjective, arm_objectives

SHOWN = 4
"""How many differences a message names, each with the first manifest that has it."""

Expected = Iterator[tuple[Path, Section]]
"""Manifests, and the settings that each should have."""


def refuse_other_settings(results: Results) -> None:
    """Refuse results that were made with other settings than the configuration has.

    Raises:
        UserError: says what differs, and in which manifests; or a manifest is missing.
    """
    _refuse(
        (*_measured(results), *_below(results)),
        "run Snakemake with this configuration, which makes them again; or restore the configuration",
    )


def refuse_unrecorded(results: Results, manifests: set[Path]) -> None:
    """Refuse those of `manifests` that differ: of their results Snakemake has no record to compare.

    Raises:
        UserError: says what differs, and in which of them.
    """
    expected = (*_measured(results), *_below(results))
    _refuse(
        [(file, section) for file, section in expected if file in manifests],
        "Snakemake has no record of how these were made: delete them, and what they belong to is made "
        "again; or restore the configuration",
    )


def _refuse(expected: Iterable[tuple[Path, Section]], what_to_do: str) -> None:
    found: dict[str, list[Path]] = {}
    for file, section in expected:
        if change := difference(_noted(file, section), _decisive(section)):
            found.setdefault(change, []).append(file)
    if found:
        number = sum(map(len, found.values()))
        lines = [f"{change}: {_named(files)}" for change, files in found.items()]
        raise UserError(
            "\n  ".join(
                [
                    f"{number} manifest(s) with other settings than the configuration has:",
                    *lines[:SHOWN],
                    *(["..."] if len(lines) > SHOWN else []),
                    what_to_do,
                ]
            )
        )


def _named(files: list[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


def _decisive(section: Section) -> dict[str, Any]:
    return run_identity(section.decisive())


def _noted(manifest: Path, section: Section) -> dict[str, Any]:
    """The settings in a manifest that the section has, and on which numbers depend."""
    settings = read_json(manifest).get("settings")
    return run_identity(_known(settings, section) if isinstance(settings, dict) else {})


def _known(settings: Mapping[str, Any], section: Section) -> dict[str, Any]:
    if section.model_extra is not None:  # an objective, all of whose settings count
        return dict(settings)
    fields = type(section).model_fields
    known = {
        key: value
        for key, value in settings.items()
        if key in fields and not fields[key].exclude and not section.neutral(key, value)
    }
    for key, value in known.items():
        if isinstance(inner := getattr(section, key), Section) and isinstance(value, dict):
            known[key] = _known(value, inner)
    return known


# --- what each manifest should say ----------------------------------------------------------------


def _measured(results: Results) -> Expected:
    """Of what tables read: these manifests must be there."""
    experiment = results.experiment
    objectives = {domain: arm_objectives(experiment, domain) for domain in experiment.domain_names}
    for run in results.models:
        yield results.evaluation(run) / "manifest.json", experiment.evaluation_run(run.seed)
    for run in results.runs("sft"):
        assert run.domain is not None, "what SFT trains is of a domain"
        yield (
            results.training(run) / "manifest.json",
            _with_objective(
                experiment.sft_run(run.domain, run.name, run.seed), objectives[run.domain][run.name]
            ),
        )
    for run in results.runs("grpo"):
        yield results.training(run) / "manifest.json", experiment.grpo_run(run.seed)
    for domain in experiment.domain_names:
        yield manifest_path(results.verdicts_file(domain)), experiment.verdicts
        yield manifest_path(results.contamination_file(domain).parent), experiment.contamination
        for seed in experiment.seeds:
            arms = results.selection_file(domain, seed, "all").parent
            yield arms / "manifest.json", experiment.arm_selection(seed)
            for name in experiment.further_selections:
                file = results.selection_file(domain, seed, name)
                yield manifest_path(file), experiment.further_selection(name, seed)


def _with_objective(settings: SftSettings, objective: ChosenObjective) -> SftSettings:
    """The settings with the objective as a manifest notes it: its defaults, and the hash of its code."""
    noted = ObjectiveChoice.model_validate(objective.identity)
    return settings.model_copy(update={"objective": noted})


def _below(results: Results) -> Expected:
    """Of what that was made of, as far as it is still there: large files may have been removed since."""
    experiment, root = results.experiment, results.root
    expected: list[tuple[Path, Section]] = []
    for domain in experiment.domain_names:
        sampled = experiment.generation if experiment.trajectories is None else experiment.importing
        expected.append((manifest_path(root / "trajectories" / f"{domain}.jsonl.gz"), sampled))
    for name, drawn in experiment.domains.items():
        expected.append((manifest_path(root / "problems" / name / "train.jsonl"), drawn.problems))
    for name, suite in experiment.suites.items():
        expected.append((manifest_path(root / "suites" / f"{name}.jsonl"), suite))
    places = (
        (results.home / "models" / "base", experiment.base),
        (root / "models" / "teacher", experiment.teacher),
    )
    for place, model in places:
        made = model and (model.pretrain or model.scratch or model.hub)
        if made:
            expected.append((place / "manifest.json", made))
    return (pair for pair in expected if pair[0].is_file())
