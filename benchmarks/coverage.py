"""How often intervals hold the true value, and how often tests err and detect: by simulation.

    python benchmarks/coverage.py        # two to three minutes on one core; writes results/coverage.{md,json}
    python benchmarks/coverage.py --simulations 200     # a look, in a tenth of that

Answers to 300 questions are drawn for models whose true accuracy is known: questions differ in difficulty,
seeds of an arm differ by a given standard deviation, an arm's effect differs by question, each answer is
right or wrong by chance. Over 2,000 simulated experiments each, it is measured

- how often the 95 % intervals of a mean, and of a paired difference of 5 points, hold the true value, for
  `glow.reporting.statistics` and for two methods that are often seen: a t over seed means, and an error over
  questions alone;
- how often Holm's correction lets any of six arms that equal the reference differ from it;
- how often the smallest detectable difference of `glow.reporting.power` is detected where it is the true one
  (80 % are promised), and how far apart the estimates of it are that single experiments give;
- how often two arms are called equivalent whose true difference is the margin, and is none;
- how often a stated order of three tests rejects anything that is true.
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

from glow.reporting.power import Sources
from glow.reporting.statistics import crossed, crossed_with_variance, estimate, fixed_sequence, holm

RESULTS = Path(__file__).resolve().parent / "results"
QUESTIONS, SIMULATIONS, ARMS = 300, 2000, 6
SEEDS = (2, 3, 5, 8)
SPREADS = ((0.0, 1), (1.0, 1), (2.0, 1), (4.0, 1), (2.0, 4))
"""Standard deviation between the seeds of an arm, in points of accuracy; samples a question."""
EFFECT = 0.05
MEAN = 0.5
DIFFICULTY, OWN = 0.3, 0.1
"""How far a question's chance lies from the mean at most, for all arms and for one arm alone."""
DETECTING = ((3, 1.0, 4), (3, 2.0, 1), (5, 2.0, 1), (8, 0.0, 1), (8, 2.0, 1), (8, 4.0, 1), (20, 2.0, 1))
"""Seeds, points between them, samples. With two seeds, more is detectable only than accuracies can differ."""
PLUGGED = 100
"""How many experiments of a design also estimate what is detectable, which takes longer."""
MARGIN = 0.06
ORDERED = 3

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
    own = effect + random.uniform(-OWN, OWN, difficulty.size)
    chance = difficulty + own + spread * random.standard_normal((seeds, 1))
    return random.binomial(samples, chance.clip(0, 1)) / samples


def drawn_difficulty(random: np.random.Generator) -> np.ndarray:
    """The chance that each question is answered right, (questions,)."""
    return random.uniform(MEAN - DIFFICULTY, MEAN + DIFFICULTY, QUESTIONS)


def true_sources(points: float, samples: int) -> Sources:
    """Where the variance of a paired difference of two arms comes from, as `answers` draws them."""
    seeds, own = (points / 100) ** 2, OWN**2 / 3
    decided = MEAN * (1 - MEAN) - DIFFICULTY**2 / 3 - own - seeds  # the mean of chance * (1 - chance)
    degrees = np.array([QUESTIONS - 1.0])
    return Sources(
        2 * seeds, np.array([2 * own / QUESTIONS]), np.array([2 * decided / samples / QUESTIONS]), degrees
    )


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
        difficulty = drawn_difficulty(random)
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
        difficulty = drawn_difficulty(random)
        reference, *arms = (
            answers(random, difficulty, 0.0, seeds, points / 100, samples) for _ in range(1 + ARMS)
        )
        corrected = holm([crossed([arm - reference]).p for arm in arms])
        erred += min(corrected) < 0.05
    return 100 * erred / simulations


def pair(random: np.random.Generator, effect: float, seeds: int, points: float, samples: int) -> np.ndarray:
    """Paired differences (seeds, questions) of two arms; `effect` is divided between them."""
    difficulty = drawn_difficulty(random)
    worse, better = (
        answers(random, difficulty, half, seeds, points / 100, samples) for half in (-effect / 2, effect / 2)
    )
    return better - worse


def detection(seeds: int, points: float, samples: int, simulations: int = SIMULATIONS) -> dict[str, float]:
    """What is detectable, in points; percent of experiments that detect it; and how large single experiments
    estimate it to be, as shares of the truth."""
    random = np.random.default_rng([seeds, int(points), samples, 80])
    least, detected, estimated = true_sources(points, samples).detectable(seeds), 0, []
    for place in range(simulations):
        found, variance = crossed_with_variance([pair(random, least, seeds, points, samples)])
        detected += found.p < 0.05
        if place < PLUGGED:
            estimated.append(Sources.of(variance).detectable(seeds) / least)
    low, middle, high = np.quantile(estimated, [0.1, 0.5, 0.9])
    return {
        "detectable": 100 * least,
        "detected": 100 * detected / simulations,
        "low": low,
        "middle": middle,
        "high": high,
    }


def equivalence(seeds: int, points: float, samples: int, simulations: int = SIMULATIONS) -> dict[str, float]:
    """Percent of experiments that call two arms equivalent, which differ by the margin or not at all."""
    random, called = np.random.default_rng([seeds, int(points), samples, 90]), {}
    for what, effect in (("at the margin", MARGIN), ("alike", 0.0)):
        found = 0
        for _ in range(simulations):
            difference, variance = crossed_with_variance([pair(random, effect, seeds, points, samples)])
            found += variance.equivalence_p(difference.mean, MARGIN) < 0.05
        called[what] = 100 * found / simulations
    return called


def false_in_order(
    seeds: int, points: float, samples: int, simulations: int = SIMULATIONS
) -> dict[str, float]:
    """Percent of experiments in which a stated order of tests rejects anything that is true: where all is,
    and where the first difference is one of 10 points."""
    random, erred = np.random.default_rng([seeds, int(points), samples, ORDERED]), {}
    for what, first in (("none differs", 0.0), ("the first differs", 0.1)):
        found = 0
        for _ in range(simulations):
            difficulty = drawn_difficulty(random)
            reference, *arms = (
                answers(random, difficulty, effect, seeds, points / 100, samples)
                for effect in (0.0, first, *[0.0] * (ORDERED - 1))
            )
            rejected = [p < 0.05 for p in fixed_sequence([crossed([arm - reference]).p for arm in arms])]
            found += any(rejected[1:] if first else rejected)
        erred[what] = 100 * found / simulations
    return erred


# --- results --------------------------------------------------------------------------------------


def lines(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table of numbers."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---:"] * len(head), *rows))


def design(row: dict) -> list[str]:
    """Seeds, points between seeds, and samples of a row."""
    return [f"{row['seeds']}", f"{row['points']:g}", f"{row['samples']}"]


DESIGN = ["seeds", "points between seeds", "samples"]


def table(document: dict) -> str:
    """The results as a Markdown page."""
    columns = list(product(SHOWN, INTERVALS))
    intervals = lines(
        [*DESIGN, *(f"{what}: {name}" for what, name in columns), "any false star"],
        [
            [*design(row), *(f"{row[what][name]:.1f}" for what, name in columns), f"{row['false_stars']:.1f}"]
            for row in document["rows"]
        ],
    )
    detected = lines(
        [*DESIGN, "detectable, points", "detected", "estimates: 10 %", "median", "90 %"],
        [
            [
                *design(row), f"{row['detectable']:.1f}", f"{row['detected']:.1f}",
                *(f"{row[key]:.2f}" for key in ("low", "middle", "high")),
            ]
            for row in document["detection"]
        ],
    )  # fmt: skip
    equivalent = lines(
        [
            *DESIGN,
            "equivalent, at the margin",
            "equivalent, alike",
            "false in order, none differs",
            "the first differs",
        ],
        [
            [
                *design(row),
                *(f"{value:.1f}" for key in ("equivalence", "order") for value in row[key].values()),
            ]
            for row in document["decisions"]
        ],
    )
    simulations = document["simulations"]
    error = 100 * math.sqrt(0.05 * 0.95 / simulations)
    return f"""# Coverage of 95 % intervals, and errors and power of tests, in percent

{QUESTIONS} questions, {simulations:,} simulated experiments a row: a coverage of 95 has a standard error of
{error:.1f}. *crossed* is what the tables show (two-way variance, Satterthwaite's degrees of freedom; below 8
seeds not shorter than *seeds*), *seeds* a t over seed means, *questions* an error over questions alone. The
last column is how often any of {ARMS} arms that equal the reference is starred after Holm's correction, of
which 5 are allowed.

{intervals}

## Smallest detectable differences

A difference as large as the one that is called detectable should be detected in 80 % of experiments. It is
computed from the true variances. Single experiments estimate it from their own: the last columns are
quantiles of their estimates over the true one, of {min(PLUGGED, simulations)} experiments a row.

{detected}

## Equivalence, and tests in a stated order

Two arms whose true difference is the margin ({100 * MARGIN:g} points) may be called equivalent in 5 % of
experiments; the next column is how often two are that do not differ. The last two are how often a stated
order of {ORDERED} tests rejects what is true, of which 5 are allowed: where no arm differs, and where the
first does by 10 points.

{equivalent}

Remade by `python benchmarks/coverage.py`.
"""


def parser() -> argparse.ArgumentParser:
    own = new_parser(__doc__)
    own.add_argument("--simulations", type=int, default=SIMULATIONS, help="simulated experiments a row")
    return own


def main() -> None:
    """Simulate every design and write the results."""
    simulations = parser().parse_args().simulations
    rows, detected, decisions = [], [], []
    for seeds, (points, samples) in product(SEEDS, SPREADS):
        row = {"seeds": seeds, "points": points, "samples": samples}
        row |= coverage(seeds, points, samples, simulations)
        row["false_stars"] = false_stars(seeds, points, samples, simulations)
        rows.append(row)
        print(*row.values(), flush=True)
    for seeds, points, samples in DETECTING:
        row = {"seeds": seeds, "points": points, "samples": samples}
        detected.append(row | detection(seeds, points, samples, simulations))
        decided = {
            "equivalence": equivalence(seeds, points, samples, simulations),
            "order": false_in_order(seeds, points, samples, simulations),
        }
        decisions.append(row | decided)
        print(*detected[-1].values(), *decided.values(), flush=True)
    RESULTS.mkdir(exist_ok=True)
    document = {
        "questions": QUESTIONS, "simulations": simulations, "arms": ARMS, "margin": MARGIN, "rows": rows,
        "detection": detected, "decisions": decisions,
    }  # fmt: skip
    (RESULTS / "coverage.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "coverage.md").write_text(table(document), encoding="utf-8")
    print(f"wrote {RESULTS}/coverage.{{md,json}}")


if __name__ == "__main__":
    main()
