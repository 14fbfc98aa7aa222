"""Whether what an arm gains grows with the size of the student.

Students share data, seeds and questions, so their gains are compared by seed and question. With x_k = log2 of
the parameters of student k, and its gains g_k(seed, question) over positive-only training, the slope of the
least-squares line is a weighted sum of gains,

    slope(seed, question) = sum over k of  c_k * g_k(seed, question),
    c_k = (x_k - mean x) / sum over j of (x_j - mean x)^2,

in points for each doubling of the parameters. Its mean, interval and test are those of any other difference
(`statistics.crossed`). Students of another architecture differ in more than in size, and have a slope of
their own.

Nothing here formats or writes. Accuracies are in percent, their differences in percentage points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glow.config import Experiment
from glow.errors import UserError
from glow.reporting import measures
from glow.reporting.measures import Comparison
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import mean_columns
from glow.reporting.statistics import Estimate, Floats
from glow.reporting.students.network import network


@dataclass(frozen=True)
class Student:
    """A student of a finished study.

    Attributes:
        parameters: how many its model has.
        architecture: of which kind that is (qwen2, llama).
    """

    name: str
    results: Results
    parameters: int
    architecture: str


def read_students(experiment: Experiment, root: Path) -> list[Student]:
    """The students of a study, the smallest first.

    Args:
        experiment: the configuration of the whole.
        root: its results, R.

    Raises:
        UserError: there is one student alone, the tables of one are missing or outdated, or a model of which
            nothing is recorded is no longer there.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; run this where Snakemake ran, or give --results")
    if not experiment.students:
        raise UserError(f"{root}: the study has one student, which is compared with no other: see its report")
    found = []
    for name, own in experiment.studies.items():
        results = Results(own, root, name)
        results.refuse_outdated("tables")
        model = network(results)
        found.append(Student(name, results, model.parameters, model.architecture))
    return sorted(found, key=lambda student: student.parameters)


def arms_of_several(students: Sequence[Student]) -> list[str]:
    """The arms that two students or more have, beside those that each is compared with."""
    every = [BASE, *dict.fromkeys(arm for student in students for arm in student.results.experiment.arms)]
    return [arm for arm in every if sum(_has(student, arm) for student in students) > 1]


def _has(student: Student, arm: str) -> bool:
    experiment = student.results.experiment
    reference = experiment.reference_arm
    return reference is not None and arm != reference and (arm == BASE or arm in experiment.arms)


def gain(student: Student, domain: str, arm: str, column: str) -> Estimate | None:
    """What an arm of a student gains over positive-only training; None where it has no such arm."""
    return measures.gain(student.results, domain, arm, column) if _has(student, arm) else None


Key = tuple[str, str, str, str]
"""Training domain, arm, mean over suites, architecture."""


def slopes(students: Sequence[Student]) -> dict[Key, Comparison]:
    """How gains grow with each doubling of the parameters, by `Key`; one family of tests.

    They are over the seeds that all students of an architecture with the arm have. There are none where these
    are all of one size, or have no seed in common.
    """
    strata = {}
    for kind in dict.fromkeys(student.architecture for student in students):
        for arm in arms_of_several(students):
            own = [student for student in students if student.architecture == kind and _has(student, arm)]
            seeds = common_seeds(own)
            if len({student.parameters for student in own}) < 2 or not seeds:
                continue
            for domain in own[0].results.experiment.domain_names:
                for column in mean_columns(own[0].results.experiment, domain):
                    strata[domain, arm, column, kind] = (_slope(own, domain, arm, column, seeds), None)
    return measures.compare(strata)


def line_weights(sizes: Sequence[int]) -> Floats:
    """What each student's gain counts in the slope of the line through all, by log2 of their parameters."""
    x = np.log2(np.asarray(sizes, dtype=np.float64))
    away = x - x.mean()
    weights: Floats = away / (away**2).sum()
    return weights


def common_seeds(students: Sequence[Student]) -> list[int]:
    """The seeds that all of these students have."""
    every = [student.results.experiment.seeds for student in students]
    return [seed for seed in every[0] if all(seed in seeds for seeds in every)] if every else []


def _slope(
    students: Sequence[Student], domain: str, arm: str, column: str, seeds: Sequence[int]
) -> list[Floats]:
    """The slope by suite: (seeds, questions)."""
    weights = line_weights([student.parameters for student in students])
    gained = [_gains(student, domain, arm, column, seeds) for student in students]
    return [
        np.asarray(sum(weight * own for weight, own in zip(weights, suite, strict=True)))
        for suite in zip(*gained, strict=True)
    ]


def _gains(student: Student, domain: str, arm: str, column: str, seeds: Sequence[int]) -> list[Floats]:
    """Points gained over positive-only training, by suite: (seeds, questions)."""
    results = student.results
    reference = results.experiment.reference_arm
    assert reference is not None, "`_has` says that there is one"
    places = [results.experiment.seeds.index(seed) for seed in seeds]
    strata = measures.paired_differences(results, domain, column, ("sft", reference), ("sft", arm))
    return [suite[places] for suite in strata]
