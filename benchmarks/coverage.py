"""How often intervals hold the true value, and how often corrected tests err: by simulation.

    python benchmarks/coverage.py        # one to two minutes on one core; writes results/coverage.{md,json}

Answers to 300 questions are drawn for models whose true accuracy is known: questions differ in difficulty,
seeds of an arm differ by a given standard deviation, an arm's effect differs by question, each answer is
right or wrong by chance. Three things are measured over 2,000 simulated experiments each, for the intervals
of `glow.reporting.statistics` and for two that are often seen, a t over seed means and an error over
questions alone: coverage of the 95 % interval of a mean, the same of a paired difference of 5 points between
two arms, and how often Holm's correction lets any of six arms that equal the reference differ from it.
"""

import argparse
import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from options import new_parser
from scipy.stats import t as student

from glow.reporting.statistics import crossed, estimate, holm

RESULTS = Path(__file__).resolve().parent / "results"
QUESTIONS, SIMULATIONS, ARMS = 300, 2000, 6
SEEDS = (2, 3, 5, 8)
SPREADS = ((0.0, 1), (1.0, 1), (2.0, 1), (4.0, 1), (2.0, 4))
"""Standard deviation between the seeds of an arm, in points of accuracy; samples a question."""
EFFECT = 0.05
MEAN = 0.5

Interval = tuple[float, float]


def answers(
    random: np.random.Generator,
    difficulty: np.ndarray,
    effect: float,
    seeds: int,
    spread: float,
    samples: int,
) -> np.ndarray:
    """Shares right (seeds, questions) of an arm's models that are `effect` better than `difficulty` says."""
    own = effect + random.uniform(-0.1, 0.1, difficulty.size)
    chance = difficulty + own + spread * random.standard_normal((seeds, 1))
    return random.binomial(samples, chance.clip(0, 1)) / samples


def over_questions(values: np.ndarray) -> Interval:
    """The interval from question means alone: as if these seeds were all there are."""
    means = values.mean(axis=0)
    reach = student.ppf(0.975, means.size - 1) * means.std(ddof=1) / math.sqrt(means.size)
    return means.mean() - reach, means.mean() + reach


def over_seeds(values: np.ndarray) -> Interval:
    """The t interval over seed means: as if these questions were all there are."""
    found = estimate(values.mean(axis=1))
    return found.low, found.high


def over_both(values: np.ndarray) -> Interval:
    """The interval of `crossed`: the one that the tables show."""
    found = crossed([values])
    return found.low, found.high


INTERVALS: dict[str, Callable[[np.ndarray], Interval]] = {
    "crossed": over_both,
    "seeds": over_seeds,
    "questions": over_questions,
}
SHOWN = ("mean", "difference")
"""The quantities that every interval is tried on."""


def coverage(seeds: int, points: float, samples: int, simulations: int = SIMULATIONS) -> dict[str, dict]:
    """Percent of intervals that hold the true value: quantity -> interval -> percent."""
    random = np.random.default_rng([seeds, int(points), samples])
    held = {what: dict.fromkeys(INTERVALS, 0) for what in SHOWN}
    for _ in range(simulations):
        difficulty = random.uniform(0.2, 0.8, QUESTIONS)
        base, better = (
            answers(random, difficulty, effect, seeds, points / 100, samples) for effect in (0.0, EFFECT)
        )
        for what, values, truth in (("mean", base, MEAN), ("difference", better - base, EFFECT)):
            for name, interval in INTERVALS.items():
                low, high = interval(values)
                held[what][name] += low <= truth <= high
    return {what: {name: 100 * n / simulations for name, n in row.items()} for what, row in held.items()}


def false_stars(seeds: int, points: float, samples: int, simulations: int = SIMULATIONS) -> float:
    """Percent of experiments in which any of `ARMS` arms that equal the reference is told from it."""
    random = np.random.default_rng([seeds, int(points), samples, ARMS])
    erred = 0
    for _ in range(simulations):
        difficulty = random.uniform(0.2, 0.8, QUESTIONS)
        reference, *arms = (
            answers(random, difficulty, 0.0, seeds, points / 100, samples) for _ in range(1 + ARMS)
        )
        corrected = holm([crossed([arm - reference]).p for arm in arms])
        erred += min(corrected) < 0.05
    return 100 * erred / simulations


def table(rows: list[dict]) -> str:
    """The results as a Markdown page."""
    columns = list(product(SHOWN, INTERVALS))
    head = ["seeds", "points between seeds", "samples", *(f"{what}: {name}" for what, name in columns)]
    lines = [[*head, "any false star"], ["---:"] * (len(head) + 1)]
    for row in rows:
        held = [f"{row[what][name]:.1f}" for what, name in columns]
        lines.append(
            [f"{row['seeds']}", f"{row['points']:g}", f"{row['samples']}", *held, f"{row['false_stars']:.1f}"]
        )
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"""# Coverage of 95 % intervals, and errors of corrected tests, in percent

{QUESTIONS} questions, {SIMULATIONS:,} simulated experiments a row: a coverage of 95 has a standard error of
0.5. *crossed* is what the tables show (two-way variance, Satterthwaite's degrees of freedom; below 8 seeds
not shorter than *seeds*), *seeds* a t over seed means, *questions* an error over questions alone. The last
column is how often any of {ARMS} arms that equal the reference is starred after Holm's correction, of which 5
are allowed.

{body}

Remade by `python benchmarks/coverage.py`.
"""


def parser() -> argparse.ArgumentParser:
    return new_parser(__doc__)


def main() -> None:
    """Simulate every design and write the results."""
    parser().parse_args()
    rows = []
    for seeds, (points, samples) in product(SEEDS, SPREADS):
        row = {"seeds": seeds, "points": points, "samples": samples}
        row |= coverage(seeds, points, samples)
        row["false_stars"] = false_stars(seeds, points, samples)
        rows.append(row)
        shown = {what: row[what]["crossed"] for what in SHOWN}
        print(seeds, points, samples, shown, row["false_stars"], flush=True)
    RESULTS.mkdir(exist_ok=True)
    document = {"questions": QUESTIONS, "simulations": SIMULATIONS, "arms": ARMS, "rows": rows}
    (RESULTS / "coverage.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "coverage.md").write_text(table(rows), encoding="utf-8")
    print(f"wrote {RESULTS}/coverage.{{md,json}}")


if __name__ == "__main__":
    main()
