"""The steps of chains of thought: which hold, and where chains first go wrong.

`glow.miniature.steps` judges one response to a question of a procedural family. Here are the chains of a
study, of its trajectories and of its models' answers, read once (R/tables/chains.parquet), and what they come
to. Responses that are bare, truncated or unparsed have no whole chain and are left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glow.errors import UserError
from glow.files.jsonl import present_file
from glow.files.records import Judged, Sample, Verdict, read_records
from glow.miniature.families import FAMILIES
from glow.miniature.steps import SLIPS, Slip, read_chain
from glow.reporting.measures import column_suites, linear_parts, suite_strata
from glow.reporting.results import KEYS, RUN_COLUMNS, SCORE_FILES, Kind, Results
from glow.reporting.scopes import domains_with_steps, suites_with_steps
from glow.reporting.statistics import Estimate, clustered, crossed
from glow.verifier.response_types import response_type
from glow.verifier.thoughts import Thought

TRAJECTORY = "trajectory"
"""What a chain of the training data has in the column `kind`, in which others have that of their model."""
COLUMNS = {
    "kind": f"{TRAJECTORY}, or of answers the model's: base, sft or grpo",
    "domain": "training domain; empty for the base",
    "name": "what made it: teacher, base, an arm, or for grpo the model that it started from",
    "seed": "seed of sampling, or of training",
    "suite": "name of the suite; empty for trajectories",
    "problem_id": "the question",
    "sample_index": "which of the responses to it",
    "trajectory_id": "the trajectory; empty for answers",
    "verdict": "of the response",
    "steps": "how many steps it has",
    "valid_steps": "how many of them hold",
    "first_slip": "place of the first slip, from 0, or of the answer where all steps hold; missing for none",
    "slip": "its kind (glow.miniature.steps); missing for none",
}
"""What R/tables/chains.parquet has of each chain."""

Row = tuple[str | int | None, ...]


# --- reading --------------------------------------------------------------------------------------


def collect_chains(results: Results) -> pd.DataFrame:
    """Read the chains of all trajectories and answers whose steps are known, for `chains`; see `COLUMNS`.

    Raises:
        UserError: a file is missing or malformed, or has a question that is none of its family.
    """
    rows = [*_of_domains(results), *_of_models(results)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"first_slip": "float64", "slip": "object"})
    results.measured["chains"] = frame
    return frame


def chains(results: Results) -> pd.DataFrame:
    """What `collect_chains` read.

    Raises:
        UserError: R/tables/chains.parquet is missing, and `collect_chains` was not called.
    """
    if "chains" not in results.measured:
        results.measured["chains"] = pd.read_parquet(present_file(results.chains_file, "`glow tables`"))
    frame: pd.DataFrame = results.measured["chains"]
    return frame


def _of_domains(results: Results) -> Iterator[Row]:
    keys = ("problem_id", "trajectory_id", "sample_index", "seed", "family", "question", "response")
    for domain in domains_with_steps(results.experiment):
        file = results.verdicts_file(domain)
        for place, row in read_records(file, Judged, (*keys, "verdict", "extracted")):
            if (read := _read(row, place, results.experiment.verdicts.thought)) is not None:
                made = (TRAJECTORY, domain, "teacher", row["seed"])
                which = ("", row["problem_id"], row["sample_index"], row["trajectory_id"])
                yield (*made, *which, row["verdict"], *read)


def _of_models(results: Results) -> Iterator[Row]:
    suites = suites_with_steps(results.experiment)
    keys = ("suite", "problem_id", "sample_index", "family", "question", "response", "verdict", "extracted")
    for run in results.models if suites else ():
        for place, row in read_records(results.evaluation(run) / SCORE_FILES[1], Sample, keys):
            if row["suite"] not in suites or "response" not in row:
                continue
            if (read := _read(row, place, results.experiment.prompt.thought)) is not None:
                which = (row["suite"], row["problem_id"], row["sample_index"], "")
                yield (*run.key, *which, row["verdict"], *read)


def _read(row: Judged | Sample, place: str, thought: Thought) -> Row | None:
    """How many steps a response has and how many hold, and place and kind of its first slip; None for a
    response without a chain."""
    response, answer = row["response"], row["extracted"]
    if response_type(response, row["verdict"], answer, thought) != "chain":
        return None
    family = FAMILIES.get(row["family"] or "")
    try:
        if family is None:
            raise ValueError
        chain = read_chain(family, row["question"], response, answer)
    except ValueError:
        raise UserError(
            f"{place}: {row['question']!r} is no question of the family {row['family']!r} in this version of "
            "glow; choose another `name:` and run the study again"
        ) from None
    return len(chain.steps), sum(chain.valid), chain.first, chain.slip


# --- what they come to ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Steps:
    """The steps of some chains; shares are in percent, and None where there is nothing to divide by.

    Attributes:
        chains: how many there are, over all seeds.
        valid: share of steps that hold, of all steps together.
        sound: share of chains in which all steps hold; one without a step is not counted as such.
        before: share of a chain's steps that stand before its first slip, the mean over chains that have a
            step and a slip: 0 where the first step slips, 100 where none but the answer does.
        slips: kind of the first slip -> chains, the most frequent first; kinds without any are left out.
    """

    chains: int
    valid: Estimate | None
    sound: Estimate | None
    before: Estimate | None
    slips: dict[Slip, int]


SHARES = {
    "valid": ("valid_steps", "steps"),
    "sound": ("is_sound", "is_chain"),
    "before": ("before", "slipped"),
}
"""Field of `Steps` -> the two sums over chains whose ratio it is."""


def of_trajectories(results: Results, domain: str, verdict: Verdict) -> Steps | None:
    """The chains of a domain's trajectories with that verdict; errors are over problems.

    None where the steps of the domain are not known.
    """
    if domain not in domains_with_steps(results.experiment):
        return None
    frame = chains(results)
    is_own = (frame["kind"] == TRAJECTORY) & (frame["domain"] == domain) & (frame["verdict"] == verdict)
    own = _with_parts(frame[is_own])
    return _steps(own, {field: _clustered_ratio(own, *parts) for field, parts in SHARES.items()})


def of_answers(results: Results, kind: Kind, domain: str, name: str, column: str) -> Steps | None:
    """The chains of a model's answers to a column's suites; errors are over seeds and questions.

    Suites whose steps are not known are left out; None where no suite is left.
    """
    experiment = results.experiment
    suites = [
        suite for suite in column_suites(experiment, domain, column) if suite in suites_with_steps(experiment)
    ]
    if not suites:
        return None
    runs = [results.run(kind, domain, name, seed) for seed in results.seeds(kind)]
    frame = chains(results)
    is_own = frame["suite"].isin(suites)
    for key, value in zip(RUN_COLUMNS[:3], runs[0].key, strict=False):
        is_own &= frame[key] == value
    own = _with_parts(frame[is_own])
    answered = results.questions(runs[0]).index
    asked = answered[answered.get_level_values("suite").isin(suites)]
    summed = own.groupby(["seed", *KEYS])[[part for parts in SHARES.values() for part in parts]].sum()

    def by_seed(part: str) -> pd.DataFrame:
        """(seeds, questions); 0 where a question got no chain."""
        table = summed[part].unstack("seed")
        return table.reindex(index=asked, columns=results.seeds(kind)).fillna(0.0).T

    shares = {field: _crossed_ratio(by_seed(part), by_seed(whole)) for field, (part, whole) in SHARES.items()}
    return _steps(own, shares)


def _with_parts(own: pd.DataFrame) -> pd.DataFrame:
    """The chains with the parts of `SHARES`."""
    slipped = own["slip"].notna() & (own["steps"] > 0)
    return own.assign(
        is_chain=1.0,
        is_sound=((own["steps"] > 0) & (own["valid_steps"] == own["steps"])).astype(float),
        slipped=slipped.astype(float),
        before=(own["first_slip"] / own["steps"]).where(slipped, 0.0),
    )


def _steps(own: pd.DataFrame, shares: dict[str, Estimate | None]) -> Steps:
    return Steps(len(own), **shares, slips=slip_counts(own["slip"].dropna()))


def slip_counts(slips: Iterable[Slip]) -> dict[Slip, int]:
    """Kind -> how often, the most frequent first and equal ones in the order of `SLIPS`."""
    counts = pd.Series(list(slips), dtype="object").value_counts().to_dict()
    return {
        kind: counts[kind] for kind in sorted(SLIPS, key=lambda kind: -counts.get(kind, 0)) if kind in counts
    }


def _clustered_ratio(own: pd.DataFrame, part: str, whole: str) -> Estimate | None:
    """A ratio of sums over chains in percent, its error from the draw of problems."""
    counted = own[own[whole] > 0]
    if counted.empty:
        return None
    size = counted[whole].to_numpy(int)
    each = 100 * counted[part].to_numpy(float) / size
    return clustered(np.repeat(each, size), np.repeat(counted["problem_id"].to_numpy(), size))


def _crossed_ratio(part: pd.DataFrame, whole: pd.DataFrame) -> Estimate | None:
    """A ratio of sums over questions in percent, over seeds; None where a seed has nothing to divide by."""
    if not (whole.sum(axis="columns") > 0).all():
        return None
    by_seed, departures = linear_parts(100 * part, whole)
    return crossed(*suite_strata(departures.add(by_seed, axis="index")))
