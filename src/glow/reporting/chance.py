"""Chance: what a suite gives to a model that knows no question, and accuracies with that taken off.

The chance of a suite is the accuracy of the best answer that is the same for all questions of a family (a
subset of the suite, such as a task of BBH): of multiple choice the most frequent letter, elsewhere the most
frequent gold answer. It is chosen with the gold answers in hand, so it is an upper bound of what guessing
gives, and well above it in small families: of 15 questions with four letters, the most frequent one has some
40 %. A family whose gold answers all differ gives nothing: no answer is frequent there.
Suites without gold answers, which a program checks (IFEval), have no chance that is known; it counts as 0.

An accuracy above chance is (accuracy - chance) / (1 - chance): 0 for such a model and 100 % for one that is
always right. It is Cohen's kappa (1960) with chance in place of the agreement that is expected.
"""

from collections import Counter

from glow.evaluation.metrics import JUDGES_WHOLE_RESPONSES
from glow.files.records import Problem
from glow.reporting import measures
from glow.reporting.results import Results
from glow.reporting.statistics import Estimate, crossed

ROUNDED = 9
"""Decimals to which an accuracy and chance are compared: both are sums that floats round."""


def constant_answer_accuracy(problems: list[Problem]) -> float | None:
    """The share right of the best constant answer by family; None where there are no gold answers."""
    families: dict[str | None, Counter[str]] = {}
    for problem in problems:
        if problem.get("scorer") in JUDGES_WHOLE_RESPONSES:
            return None
        family = problem.get("family") or problem.get("subject") or problem.get("task")
        families.setdefault(family, Counter())[problem["answer"].strip()] += 1
    right = [max(answers.values()) for answers in families.values()]
    return sum(count for count in right if count > 1) / len(problems)


def chance(results: Results, suite: str) -> float | None:
    """The chance of a suite, from 0 to 1; None where it has no gold answers."""
    place = ("chance", suite)
    if place not in results.measured:
        results.measured[place] = constant_answer_accuracy(results.problems(suite))
    found: float | None = results.measured[place]
    return found


def mean_chance(results: Results, domain: str, column: str) -> float | None:
    """The chance of a column in percent, the mean over its suites; None where none of them has any."""
    suites = measures.column_suites(results.experiment, domain, column)
    found = [chance(results, suite) for suite in suites]
    if all(value is None for value in found):
        return None
    return 100 * sum(value or 0.0 for value in found) / len(found)


def over_chance(results: Results, domain: str, arm: str, suite: str) -> float | None:
    """Points of accuracy by which an arm is over the chance of a suite (below it where they are negative).

    None where the suite has no chance that is known.
    """
    column = f"suite:{suite}"
    level, accuracy = mean_chance(results, domain, column), measures.mean(results, "sft", domain, arm, column)
    if level is None or accuracy is None:
        return None
    return round(accuracy.mean - level, ROUNDED)


def above_chance(
    results: Results, domain: str, arm: str, column: str, over: str | None = None
) -> Estimate | None:
    """Accuracy above chance in percent, or its paired difference from another arm, over a column's suites.

    Chance is a constant of the questions, without error. None where there is no suite, or one has no wrong
    constant answer (chance 1).
    """
    suites = measures.column_suites(results.experiment, domain, column)
    levels = [chance(results, suite) or 0.0 for suite in suites]
    if not suites or max(levels) == 1:
        return None
    right = measures.answers(results, "sft", domain, arm)
    other = measures.answers(results, "sft", domain, over) if over is not None else None
    return crossed(
        [
            100
            * (right[suite].to_numpy() - (level if other is None else other[suite].to_numpy()))
            / (1 - level)
            for suite, level in zip(suites, levels, strict=True)
        ]
    )
