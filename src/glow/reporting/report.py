"""The report: one self-contained HTML page for a reader, bound from tables, figures and manifests.

Figures are embedded and nothing is loaded from elsewhere. Everything but the last section (times and
environment) is the same from the same results. `findings` writes the sentences about the numbers, `examples`
chose the examples, `layout` says how tables stand on the page, and report.css how everything looks.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from glow.config import Experiment
from glow.files.atomic import atomic_path
from glow.files.manifest import Manifest
from glow.reporting import layout, measures, planned, timings, trajectories
from glow.reporting.captions import Caption, caption, figure_names, student_text
from glow.reporting.cells import Table
from glow.reporting.examples import read_examples
from glow.reporting.findings import find
from glow.reporting.grpo_settings import grpo_settings
from glow.reporting.palette import arm_colours
from glow.reporting.results import BASE, Results, read_manifests
from glow.reporting.tables import read_tables
from glow.training.objectives import arm_objectives

SECTIONS = {
    "gates": ("Gates", ["tables/gates"]),
    "data": (
        "Data",
        ["tables/suites", "tables/data", "figures/response_types", "tables/steps", "tables/contamination"],
    ),
    "accuracy": ("Accuracy", ["figures/main", "tables/main", "figures/suites", "tables/chance"]),
    "tests": ("Tests, and what they can show", ["tables/contrasts", "tables/comparisons", "tables/variance"]),
    "published": ("Compared with published figures", ["tables/published", "tables/published_cells"]),
    "grpo": ("GRPO", ["tables/grpo", "figures/grpo_curves"]),
    "entropy": (
        "Policy entropy",
        ["figures/entropy", "tables/entropy", "figures/entropy_positions", "tables/entropy_positions"],
    ),
    "samples": ("Samples: pass@k, votes, lengths", ["figures/pass_at_k", "tables/samples"]),
    "dynamics": (
        "Training dynamics",
        ["figures/loss_dynamics", "tables/losses", "figures/epochs", "tables/epochs", "figures/sft_curves"],
    ),
    "weights": ("GLOW's weights", ["figures/weights", "tables/weights", "tables/gains"]),
}
"""Id -> title and contents; what an experiment does not have is left out."""
FIRST = ("gates", "data")
"""These sections stand before arms, examples and findings: first what numbers are worth, then the numbers."""
LINES_OF_CHAINS = "Dashed lines are the means of chains of thought alone."
"""Said of the figure of losses where it has such lines."""
PLAN = "plan.csv"
"""What the study was planned to cost beside what it took."""
FOLDED = 700
"""Texts of models that are longer are folded away."""


@dataclass(frozen=True)
class FigurePart:
    """A figure as the page shows it: its caption and the picture as a data URI."""

    name: str
    caption: Caption
    source: str


def write_report(experiment: Experiment, root: Path, student: str = "") -> None:
    """Write R/report.html, R/plan.csv beside it, and their manifest.

    Args:
        experiment: the configuration, of one student.
        root: its results, R, with R/tables and R/figures.
        student: its name, where there are several: all of these are then below R/students/<student>.

    Raises:
        UserError: a table, a figure or a result is missing, or a result changed after they were made; the
            message names the file.
    """
    manifest = Manifest("report")
    results = Results(experiment, root, student)
    results.refuse_outdated("tables")
    results.refuse_outdated("figures")
    sections, comparison = _sections(results), planned.compared(results)
    planned.write_comparison(comparison, results.home / PLAN)
    page = template("report.html.j2").render(
        experiment=experiment,
        name=" · ".join(filter(None, (experiment.name, student))),
        is_one_of_several=bool(student),
        arms=_arms(experiment),
        colours=arm_colours(experiment),
        examples=read_examples(results),
        folded=FOLDED,
        student=student_text(experiment),
        findings=find(results),
        smallest_suite=measures.smallest_suite(results),
        first=[section for section in sections if section["id"] in FIRST],
        sections=[section for section in sections if section["id"] not in FIRST],
        layout=layout,
        configuration=yaml.safe_dump(
            _configuration(experiment), sort_keys=False, allow_unicode=True, width=100
        ),
        timing_headings=timings.TIMING_HEADINGS,
        planned_headings=planned.HEADINGS,
        planned=comparison,
        **_provenance(root),
    )
    with atomic_path(results.report) as partial:
        partial.write_text(page, encoding="utf-8")
    figures = [results.figure(name) for name in figure_names(experiment)]
    inputs = [results.tables_file, results.examples_file, *figures, *results.inputs("figures")]
    manifest.write(results.report, results.settings, inputs)
    print(f"report: {results.report} ({results.report.stat().st_size / 1e6:.1f} MB, self-contained)")


def template(name: str) -> Template:
    """A page's template, by its path in this folder."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["table"] = lambda part: isinstance(part, Table)
    return environment.get_template(name)


# --- contents -------------------------------------------------------------------------------------


def _sections(results: Results) -> list[dict[str, Any]]:
    """Id, title, settings in words, and figures and tables of each section, in order."""
    parts: dict[str, FigurePart | Table] = {f"tables/{table.name}": table for table in read_tables(results)}
    for name in figure_names(results.experiment):
        parts[f"figures/{name}"] = _figure(results, name)
    sections = [
        {
            "id": key,
            "title": title,
            "settings": grpo_settings(results.experiment.grpo)
            if key == "grpo" and results.experiment.grpo is not None
            else "",
            "parts": [parts[name] for name in names if name in parts],
        }
        for key, (title, names) in SECTIONS.items()
    ]
    return [section for section in sections if section["parts"]]


def _figure(results: Results, name: str) -> FigurePart:
    # As an image, not inline: ids inside one SVG cannot clash with those of another.
    encoded = base64.b64encode(results.figure(name).read_bytes()).decode("ascii")
    text = caption("figures", name, results.experiment)
    if name == "loss_dynamics" and trajectories.has_lines_of_chains(results):
        text = replace(text, shows=f"{text.shows} {LINES_OF_CHAINS}")
    return FigurePart(name, text, f"data:image/svg+xml;base64,{encoded}")


def _arms(experiment: Experiment) -> list[dict[str, str]]:
    """Name, colour, trajectories and objective of the base and of every arm, in words."""
    rows, domains = [], {name: arm_objectives(experiment, name) for name in experiment.domain_names}
    for name, colour in arm_colours(experiment).items():
        if name == BASE:
            trajectories, objective = "none", "the student before fine-tuning"
        else:
            arm = experiment.arms[name]
            said = {domain: str(own[name]) for domain, own in domains.items()}
            trajectories, objective = arm.trajectories, next(iter(said.values()))
            if len(set(said.values())) > 1:
                objective = "; ".join(f"{text} (in {domain})" for domain, text in said.items())
        rows.append({"name": name, "colour": colour, "trajectories": trajectories, "objective": objective})
    return rows


def _configuration(experiment: Experiment) -> dict[str, Any]:
    """The experiment as a configuration file would give it; settings that are None are left out, but one."""
    document = _without_none(experiment.model_dump(mode="json"))
    for name, suite in experiment.suites.items():
        for key, said in (("domain", suite.domain), ("group", suite.group)):
            if said is not None or suite.families is None:  # of a task, None is a choice too
                document["suites"][name][key] = said
    for key in ("initialisations", "seeds") if experiment.grpo else ():
        if (chosen := getattr(experiment.grpo, key)) is not None:
            document["grpo"][key] = chosen
    return document


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value


# --- times and environment ------------------------------------------------------------------------


def _provenance(root: Path) -> dict[str, Any]:
    manifests = read_manifests(root)
    return {
        "timing_rows": timings.timing_rows(timings.stage_timings(root)),
        "span": timings.whole_span(root),
        "environment": _environment(manifests),
    }


def _environment(manifests: pd.DataFrame) -> dict[str, str]:
    """What the jobs ran on and with; several values mean that jobs differed."""
    packages = {
        f"{name} {version}" for versions in manifests["packages"] for name, version in versions.items()
    }
    return {
        "git commit": _distinct_values(manifests["git_commit"].fillna("not a git checkout")),
        "host": _distinct_values(manifests["host"]),
        "device": _distinct_values(manifests["device"]),
        "Python": _distinct_values(manifests["python"]),
        "packages": _distinct_values(packages),
        "manifests": str(len(manifests)),
    }


def _distinct_values(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))
