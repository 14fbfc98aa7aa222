"""Where the uncertainty of accuracies comes from: seeds, questions, and the rest, by scope.

    value[arm, seed, suite, question] = mean + seed effect + question effect + rest

The components are the variances of these in the mean that one seed gives over a scope, estimated for each arm
by the crossed random-effects ANOVA (`statistics.Variance` has its pieces) and averaged over arms, which makes
them less rough than those of one difference. Where questions have several samples, the variance of drawing
answers (decoding) is known too, and is taken out of the rest. Estimates are unbiased and may be negative.

Sources: Searle, Casella and McCulloch (1992), "Variance Components" (ANOVA estimates, negative ones,
intraclass correlation); Miller (2024), arXiv 2411.00640 (decoding as a source of its own).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from glow.reporting import measures
from glow.reporting.results import Results
from glow.reporting.statistics import Floats, variance_of

Of = Literal["accuracy", "gain"]


@dataclass(frozen=True)
class Components:
    """Variances in squared points; estimates, which may be negative.

    Attributes:
        seeds, questions, rest: of the mean that one seed gives over the suites, by where it comes from.
        decoding: the part of drawing answers, which `rest` is then without; None where it is not known.
        of_one: of a single question's value, from seeds, from questions, and from the rest with decoding.
    """

    seeds: float
    questions: float
    rest: float
    decoding: float | None
    of_one: tuple[float, float, float]

    @property
    def sources(self) -> dict[str, float]:
        """Source -> variance of the mean; decoding only where it is known."""
        known = {"seeds": self.seeds, "questions": self.questions, "rest": self.rest}
        return known if self.decoding is None else known | {"decoding": self.decoding}

    @property
    def correlation(self) -> float | None:
        """Intraclass correlation of seeds, with negative estimates as 0: the share that seeds have in the
        variance of a single question's value. None where nothing varies."""
        seeds, questions, rest = (max(0.0, variance) for variance in self.of_one)
        total = seeds + questions + rest
        return seeds / total if total > 0 else None


def components(results: Results, domain: str, scope: str, of: Of) -> Components | None:
    """The components of an accuracy or of a paired gain over the reference arm, averaged over trained arms.

    None where there are no two seeds, no suite, no arm, or a suite of one question.
    """
    experiment, reference = results.experiment, results.experiment.reference_arm
    suites = measures.column_suites(experiment, domain, scope)
    arms = [arm for arm in experiment.arms if of == "accuracy" or arm != reference]
    if not suites or not arms or len(experiment.seeds) < 2 or (of == "gain" and reference is None):
        return None
    found = []
    for arm in arms:
        both = [arm] if of == "accuracy" or reference is None else [arm, reference]
        right = [measures.answers(results, "sft", domain, name) for name in both]
        strata = [100 * _difference([own[suite].to_numpy() for own in right]) for suite in suites]
        found.append(crossed_components(strata, _decoding(results, domain, both, suites)))
    whole = [parts for parts in found if parts is not None]
    return _averaged(whole) if len(whole) == len(found) else None


def _difference(values: Sequence[Floats]) -> Floats:
    return values[0] if len(values) == 1 else values[0] - values[1]


def _decoding(
    results: Results, domain: str, arms: Sequence[str], suites: Sequence[str]
) -> list[float] | None:
    """By suite, the variance of a question's value from drawing its answers, in squared points.

    None where a suite's answers were drawn once, as nothing tells it from the rest then, or none were drawn.
    Likelihoods draw nothing. The variance of the share right of n answers is estimated as share * (1 - share)
    / (n - 1).
    """
    found, is_drawn = np.zeros(len(suites)), False
    for place, suite in enumerate(suites):
        for arm in arms:
            if suite not in measures.answers(results, "sft", domain, arm, "tokens"):
                continue
            right, samples = (
                measures.answers(results, "sft", domain, arm, key)[suite].to_numpy()
                for key in ("correct", "samples")
            )
            if samples.min() < 2:
                return None
            is_drawn = True
            found[place] += 100**2 * (right * (1 - right) / (samples - 1)).mean()
    return found.tolist() if is_drawn else None


def crossed_components(
    strata: Sequence[Floats], decoding: Sequence[float] | None = None
) -> Components | None:
    """The components of the mean over strata (suites) of equal weight; None where one has a single question.

    Args:
        strata: as for `statistics.crossed`, of two seeds or more.
        decoding: by stratum, the part of a value's variance that is from drawing answers.
    """
    variance = variance_of(strata)
    if variance is None:
        return None
    count, sizes = len(strata), np.array([stratum.shape[1] for stratum in strata])
    rest = variance.rest * variance.n * sizes * count**2
    questions = (variance.questions - variance.rest) * sizes * count**2
    seeds = np.array([stratum.mean(axis=1).var(ddof=1) for stratum in strata]) - rest / sizes
    drawn = None if decoding is None else float((np.array(decoding) / sizes).sum() / count**2)
    return Components(
        float(variance.seeds - variance.rest.sum()) * variance.n,
        float((variance.questions - variance.rest).sum()),
        float(variance.rest.sum()) * variance.n - (drawn or 0.0),
        drawn,
        (float(seeds.mean()), float(questions.mean()), float(rest.mean())),
    )


def _averaged(found: Sequence[Components]) -> Components:
    drawn = [parts.decoding for parts in found if parts.decoding is not None]
    seeds, questions, rest = np.mean([(own.seeds, own.questions, own.rest) for own in found], axis=0)
    of_one = np.mean([own.of_one for own in found], axis=0)
    decoding = float(np.mean(drawn)) if drawn else None
    return Components(
        float(seeds), float(questions), float(rest), decoding, (of_one[0], of_one[1], of_one[2])
    )
