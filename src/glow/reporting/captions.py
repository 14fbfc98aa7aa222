"""Which tables and figures an experiment has, and the caption of each (from captions.yaml).

Nothing heavy is imported here, as the workflow asks for file names. What the tables and figures hold is in
`tables` and `figures`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from glow.config import BOTH_SIGNS, Experiment
from glow.reporting.conventions import FEW_SEEDS, POWER, few
from glow.reporting.scopes import SCOPES, domains_with_steps, mean_columns_present, suites_with_steps
from glow.training.objectives import arm_objectives

TABLE_SUFFIXES = ("csv", "md", "tex")
FIGURE_SUFFIXES = ("png", "svg")
PRINTED_SEEDS = 5
LONGEST = 280
"""So many characters of a caption stand in sight: three lines."""
OF_GRPO = ("grpo", "grpo_curves")
"""The table and the figure that are over the seeds of GRPO."""


@dataclass(frozen=True)
class Caption:
    """The text beside a table or figure: what it shows, unit and n; and, folded away, how to read it."""

    title: str
    shows: str
    unit: str
    n: str
    read: str

    @property
    def short(self) -> str:
        """What stands in sight: at most `LONGEST` characters."""
        return f"{self.shows} Unit: {self.unit} n: {self.n}"


def table_names(experiment: Experiment) -> list[str]:
    """The tables of an experiment, in the order of the report."""
    present = {
        "gates": True,
        "main": True,
        "contrasts": bool(experiment.contrasts),
        "comparisons": experiment.reference_arm is not None,
        "chance": True,
        "variance": len(experiment.seeds) > 1,
        "published": experiment.reported is not None,
        "published_cells": experiment.reported is not None and experiment.reference_arm is not None,
        "grpo": experiment.grpo is not None,
        "samples": _has_samples(experiment),
        "steps": bool(suites_with_steps(experiment) or domains_with_steps(experiment)),
        "entropy": experiment.evaluation.entropy_samples > 0,
        "entropy_positions": experiment.evaluation.entropy_samples > 0,
        "losses": _has_both_signs(experiment),
        "epochs": experiment.selection.held_out > 0,
        "weights": _has_weights(experiment),
        "gains": _has_weights(experiment),
        "suites": True,
        "data": True,
        "contamination": True,
    }
    return [name for name, there in present.items() if there]


def figure_names(experiment: Experiment) -> list[str]:
    """The figures of an experiment, in the order of the report."""
    present = {
        "response_types": True,
        "main": True,
        "suites": True,
        "pass_at_k": _has_samples(experiment) and experiment.evaluation.samples > 1,
        "grpo_curves": experiment.grpo is not None,
        "entropy": experiment.evaluation.entropy_samples > 0,
        "entropy_positions": experiment.evaluation.entropy_samples > 0,
        "loss_dynamics": _has_both_signs(experiment),
        "epochs": experiment.selection.held_out > 0,
        "weights": _has_weights(experiment),
        "sft_curves": True,
    }
    return [name for name, there in present.items() if there]


def _has_samples(experiment: Experiment) -> bool:
    """Whether some suite is answered by sampling, and not by the likelihood of its choices."""
    return any(suite.format != "choice" for suite in experiment.suites.values())


def _has_both_signs(experiment: Experiment) -> bool:
    return any(arm.trajectories in BOTH_SIGNS for arm in experiment.arms.values())


def _has_weights(experiment: Experiment) -> bool:
    arms = arm_objectives(experiment, experiment.domain_names[0])  # Domains differ in settings alone.
    return any(chosen.entry.uses_history for chosen in arms.values())


def student_text(experiment: Experiment) -> str:
    """What the student is, in a few words; a hub or local model is given by name."""
    student = experiment.base
    if small := student.pretrain or student.scratch:
        start = "pretrained" if student.pretrain else "trained"
        return f"a {small.layers}-layer Qwen2 model of width {small.hidden_size}, {start} from scratch"
    return f"{student.hub.hub} at {student.hub.revision[:7]}" if student.hub else str(student.path)


def caption(kind: Literal["tables", "figures"], name: str, experiment: Experiment) -> Caption:
    """The caption of a table or figure, filled with what the configuration says (seeds, suites)."""
    facts = _facts(experiment, experiment.grpo_seeds if name in OF_GRPO else experiment.seeds)
    texts = _captions()[kind][name].items()
    return Caption(**{part: " ".join(text.format(**facts).split()) for part, text in texts})


@cache
def _captions() -> dict[str, dict[str, dict[str, str]]]:
    return yaml.safe_load(Path(__file__).with_name("captions.yaml").read_text(encoding="utf-8"))


def _seeds_text(seeds: list[int]) -> str:
    named = f" ({', '.join(map(str, seeds))})" if len(seeds) <= PRINTED_SEEDS else ""
    return f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}{named}"


def _facts(experiment: Experiment, seeds: list[int]) -> dict[str, str]:
    count = "one seed" if len(seeds) == 1 else "few seeds" if few(len(seeds)) else "many seeds"
    inside = [name for name, suite in experiment.suites.items() if suite.domain]
    several = len(experiment.domain_names) > 1
    named_inside = [
        f"{name} (domain {experiment.suites[name].domain})" if several else name for name in inside
    ]
    return {
        "ngram": str(experiment.contamination.ngram),
        "coverage": f"{experiment.contamination.coverage:.0%}",
        "threshold": f"{100 * experiment.contamination.threshold:g} %",
        "seeds": _seeds_text(seeds),
        "after_grpo": ""
        if experiment.grpo_seeds in ([], seeds)
        else f" ({_seeds_text(experiment.grpo_seeds)} for those after GRPO)",
        **{
            key: text.format(few=FEW_SEEDS, power=f"{100 * POWER:g} %")
            for key, text in _captions()["words"][count].items()
        },
        "in_domain": f"in-domain, ID: {', '.join(named_inside)}" if inside else "no suite is in-domain",
        "groups": ", and over each group of OOD suites"
        if set(mean_columns_present(experiment)) - set(SCOPES)
        else "",
        **_parts(experiment),
        "student": student_text(experiment),
        "entropy_samples": str(experiment.evaluation.entropy_samples),
        "samples": str(experiment.evaluation.samples),
        "temperature": f"{experiment.evaluation.temperature:g}",
    }


def _parts(experiment: Experiment) -> dict[str, str]:
    """What only some experiments have in their captions."""
    parts, margin = _captions()["parts"], experiment.margin
    samples = "several" if experiment.evaluation.samples > 1 else "one"
    return {
        **{key: text if experiment.contrasts else "" for key, text in parts["contrasts"].items()},
        **{
            key: ""
            if margin is None or (key == "for_margin" and len(experiment.seeds) == 1)
            else text.format(margin=f"{margin:g}")
            for key, text in parts["margin"].items()
        },
        "held_out": parts["held out"]["held_out"] if experiment.selection.held_out else "",
        "decoding": parts["samples"][samples] if _has_samples(experiment) else "",
        "fixed": parts["fixed"]["teacher" if experiment.domains else "own data"],
    }
