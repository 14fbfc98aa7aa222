"""Which tables and figures an experiment has, and the caption of each (from captions.yaml).

Light on purpose: the workflow asks it for file names. What the tables and figures hold is in
`tables` and `figures`.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from glow.config import Experiment
from glow.reporting.conventions import FEW_SEEDS
from glow.reporting.scopes import SCOPES, mean_columns_present

TABLE_SUFFIXES = ("csv", "md", "tex")
FIGURE_SUFFIXES = ("png", "svg")
PRINTED_SEEDS = 5
STAR = (
    "A star marks what differs from its reference after Holm's correction over {family}: at most about 5 % "
    "chance of any false star among {them}."
)
NO_STAR = "One seed cannot tell an arm from chance in training, so that nothing is starred."


class Caption(BaseModel):
    """What stands with a table or figure: what it shows, how to read it, its unit and its n."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    shows: str
    read: str
    unit: str
    n: str

    @property
    def text(self) -> str:
        """Everything but the title, as one paragraph."""
        return f"{self.shows} {self.read} Unit: {self.unit} n: {self.n}"


def table_names(experiment: Experiment) -> list[str]:
    """The tables of an experiment, in the order of the report."""
    present = {
        "main": True,
        "comparisons": experiment.reference_arm is not None,
        "published": experiment.reported is not None,
        "grpo": experiment.grpo is not None,
        "samples": any(suite.format != "choice" for suite in experiment.suites.values()),
        "entropy": experiment.evaluation.entropy_samples > 0,
        "weights": _trains_with_glow(experiment),
        "data": True,
        "contamination": True,
    }
    return [name for name, there in present.items() if there]


def figure_names(experiment: Experiment) -> list[str]:
    """The figures of an experiment, in the order of the report."""
    present = {
        "main": True,
        "suites": True,
        "grpo_curves": experiment.grpo is not None,
        "entropy": experiment.evaluation.entropy_samples > 0,
        "loss_dynamics": any(arm.trajectories == "all" for arm in experiment.arms.values()),
        "weights": _trains_with_glow(experiment),
        "sft_curves": True,
    }
    return [name for name, there in present.items() if there]


def _trains_with_glow(experiment: Experiment) -> bool:
    return any(experiment.objectives[arm.objective].objective == "glow" for arm in experiment.arms.values())


def student_text(experiment: Experiment) -> str:
    """What the student is, in a few words; a hub or local model is given by name."""
    student = experiment.student
    if small := student.pretrain or student.scratch:
        start = "pretrained" if student.pretrain else "trained"
        return f"a {small.layers}-layer Qwen2 model of width {small.hidden_size}, {start} from scratch"
    return f"{student.hub.hub} at {student.hub.revision[:7]}" if student.hub else str(student.path)


def caption(kind: Literal["tables", "figures"], name: str, experiment: Experiment) -> Caption:
    """The caption of a table or figure, filled with what the configuration says (seeds, suites)."""
    facts = _facts(experiment)
    return Caption.model_validate(
        {part: " ".join(text.format(**facts).split()) for part, text in _captions()[kind][name].items()}
    )


@cache
def _captions() -> dict[str, dict[str, dict[str, str]]]:
    return yaml.safe_load(Path(__file__).with_name("captions.yaml").read_text(encoding="utf-8"))


def _facts(experiment: Experiment) -> dict[str, str]:
    seeds = experiment.seeds
    named = f" ({', '.join(map(str, seeds))})" if len(seeds) <= PRINTED_SEEDS else ""
    inside = [name for name, suite in experiment.suites.items() if suite.domain]
    several = len(experiment.domain_names) > 1
    named_inside = [
        f"{name} (domain {experiment.suites[name].domain})" if several else name for name in inside
    ]
    return {
        "ngram": str(experiment.contamination.ngram),
        "coverage": f"{experiment.contamination.coverage:.0%}",
        "threshold": f"{100 * experiment.contamination.threshold:g} %",
        "seeds": f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}{named}",
        "error": (
            "over questions and seeds"
            if len(seeds) > 1
            else "over questions alone (there is one seed, and what other seeds would give is not known)"
        )
        + "; absent where all answers are alike",
        "over": " over questions and seeds" if len(seeds) > 1 else " over questions alone (one seed)",
        "star": STAR.format(family="all comparisons shown here", them="them") if len(seeds) > 1 else NO_STAR,
        "star_main": STAR.format(
            family="all gains, and on its own over all suites' cells", them="either of the two"
        )
        if len(seeds) > 1
        else NO_STAR,
        "few_t": (
            f" and, with fewer than {FEW_SEEDS} seeds, is not shorter than the t interval over seed means"
            if 1 < len(seeds) < FEW_SEEDS
            else ""
        ),
        "few_p": " (the larger of the two, likewise)" if 1 < len(seeds) < FEW_SEEDS else "",
        "in_domain": f"in-domain, ID: {', '.join(named_inside)}" if inside else "no suite is in-domain",
        "groups": ", and over each group of OOD suites"
        if set(mean_columns_present(experiment)) - set(SCOPES)
        else "",
        "student": student_text(experiment),
        "entropy_samples": str(experiment.evaluation.entropy_samples),
        "samples": str(experiment.evaluation.samples),
        "temperature": f"{experiment.evaluation.temperature:g}",
    }
