"""How much data a study has: trajectories, what arms train on, answers, rollouts; in numbers and tokens.

Some of it the configuration says. The rest a study finds out when it runs: it is assumed (`constants.yaml`),
or read from results that are there (`glow.planning.found`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

from glow.config import PAIRED, Domain, Experiment, Suite
from glow.files.jsonl import numbered_records
from glow.files.unpacked import kind_of
from glow.planning.constants import Number, constant, questions
from glow.planning.found import Found, FoundDomain
from glow.planning.lengths import Lengths
from glow.suites.tasks import task_of

End = Literal["low", "high"]
"""Which end of an assumption that is a range."""

_LOOKED_AT = 2000
"""So many of a user's own rows are read to estimate the others."""
_SUITE_PROBLEMS = 200
"""Problems of a made-up suite that does not say (`glow.suites.files`)."""


@dataclass(frozen=True)
class DomainSizes:
    """Of one training domain.

    Attributes:
        prompt, longest_prompt: tokens of a prompt, and of the longest.
        lengths: of the trajectories.
        selections: trajectories in each selection that arms may train on.
        held_out: trajectories that none trains on.
    """

    prompt: float
    longest_prompt: float
    lengths: Lengths
    trajectories: int
    selections: dict[str, int]
    held_out: int


@dataclass(frozen=True)
class SuiteSizes:
    """Of one suite: how many questions, and whether choices are scored or answers sampled."""

    questions: int
    scored: bool
    prompt: float
    lengths: Lengths


@dataclass(frozen=True)
class Sizes:
    """Of a study, for one student, at one end of what is assumed.

    Attributes:
        rollouts: lengths of GRPO's, by domain; none without GRPO.
        used: the assumptions that went in, by name.
    """

    domains: dict[str, DomainSizes]
    suites: dict[str, SuiteSizes]
    rollouts: dict[str, Lengths]
    used: frozenset[str]

    @property
    def answers(self) -> int:
        """Questions that are answered by sampling."""
        return sum(suite.questions for suite in self.suites.values() if not suite.scored)


class _Assumed:
    """The assumptions at one end, noting which are used."""

    def __init__(self, numbers: Mapping[str, Number], end: End) -> None:
        self._numbers, self._end = numbers, end
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> float:
        self.used.add(name)
        return self.unnoted(name)

    def unnoted(self, name: str) -> float:
        """An assumption, of which it is not known yet whether anything rests on it."""
        value: float = getattr(self._numbers[name], self._end)
        return value

    def of(self, what: str, domain: str) -> float:
        """The assumption for a domain, or that for any other."""
        return self[f"{what}.{domain}" if f"{what}.{domain}" in self._numbers else f"{what}.other"]


def sizes_of(experiment: Experiment, found: Found, numbers: Mapping[str, Number], end: End) -> Sizes:
    """The sizes of a study of one student.

    Args:
        found: what is known from its results.
        numbers: the assumptions.
        end: which end of those that are ranges.
    """
    assumed = _Assumed(numbers, end)
    domains = {
        name: _domain(experiment, name, found.domains[name], assumed) for name in experiment.domain_names
    }
    suites = {
        name: _suite(experiment, name, suite, found, assumed) for name, suite in experiment.suites.items()
    }
    rollouts = (
        {name: _rollouts(experiment, name, found, assumed) for name in domains} if experiment.grpo else {}
    )
    return Sizes(domains, suites, rollouts, frozenset(assumed.used))


# --- trajectories -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Trajectories before anything is selected: questions, rows, and what is known of the rows.

    Attributes:
        right, wrong: shares of the rows.
    """

    questions: float
    rows: float
    tokens: float
    right: float
    wrong: float


def _domain(experiment: Experiment, name: str, found: FoundDomain, assumed: _Assumed) -> DomainSizes:
    own = experiment.domains.get(name)
    rows = _sampled(experiment, name, own, found, assumed) if own else _brought(experiment, found, assumed)
    right, wrong = (round(rows.rows * share) for share in (rows.right, rows.wrong))
    aside = min(1.0, experiment.selection.held_out / rows.questions)
    sizes = _selections(
        experiment, (1 - aside) * right, (1 - aside) * wrong, (1 - aside) * rows.questions, assumed
    )
    sizes |= {selection: round(size) for selection, size in found.selections.items()}
    if set(experiment.further_selections).intersection(PAIRED) - found.selections.keys():
        assumed.used.add("both")
    kind = ".made_up" if _made_up(own) else ""
    return DomainSizes(
        prompt=assumed[f"prompt{kind}"],
        longest_prompt=assumed[f"prompt.longest{kind}"],
        lengths=Lengths(((1.0, rows.tokens),), assumed["spread"], _most_tokens(experiment)),
        trajectories=round(rows.rows),
        selections=sizes,
        held_out=round(aside * (right + wrong)),
    )


def _most_tokens(experiment: Experiment) -> float:
    """Of a trajectory: the teacher ends there, or what trains leaves longer ones out."""
    return experiment.sampling.max_tokens if experiment.sampling else experiment.sft.max_length


def _made_up(domain: Domain | None) -> bool:
    return domain is not None and domain.problems.families is not None


def _sampled(experiment: Experiment, name: str, own: Domain, found: FoundDomain, assumed: _Assumed) -> _Rows:
    """The teacher's."""
    assert experiment.sampling is not None
    sampling, asked = experiment.sampling, own.problems.train
    tokens = found.tokens
    if tokens is None and _made_up(own):
        tokens = assumed["tokens.made_up"] * sampling.max_tokens
    elif tokens is None:
        thinks = experiment.asked_of_teacher.chat_template_kwargs.get("enable_thinking", True)
        expected = assumed.of("tokens", name) if thinks else assumed["tokens.without_thought"]
        tokens = min(expected, sampling.max_tokens)
    right, wrong = found.right, found.wrong
    if right is None or wrong is None:
        decided = 1.0 if _made_up(own) else assumed["decided"]
        right, wrong = _shares(decided, assumed.of("right", name))
    return _Rows(asked, found.trajectories or asked * sampling.samples, tokens, right, wrong)


def _shares(decided: float, right: float) -> tuple[float, float]:
    """The shares of right and of wrong rows, from that of decided ones and that of right ones among them."""
    return decided * right, decided * (1 - right)


def _brought(experiment: Experiment, found: FoundDomain, assumed: _Assumed) -> _Rows:
    """The user's own, of which the first rows are looked at."""
    own = experiment.trajectories
    assert own is not None
    rows, characters, labelled = 0.0, 0.0, None
    for file in own.files:
        seen = _look_at(file, own.fields.response, own.fields.label)
        rows, characters, labelled = rows + seen.rows, characters + seen.rows * seen.characters, seen.right
    number = found.trajectories or (min(rows, own.limit) if own.limit else rows)
    tokens = characters / rows / constant("bytes_per_token") if characters else assumed["tokens.other"]
    right, wrong = found.right, found.wrong
    if right is None or wrong is None:
        right, wrong = _shares(assumed["decided"], assumed["right.other"] if labelled is None else labelled)
    return _Rows(max(1.0, number / 2), number, found.tokens or tokens, right, wrong)


@dataclass(frozen=True)
class _Seen:
    """A file of rows: about how many, mean characters of a response, and the share with a true label."""

    rows: float
    characters: float
    right: float | None


def _look_at(file: Path, response: str, label: str | None) -> _Seen:
    if kind_of(file) == "Parquet":
        from pyarrow.parquet import ParquetFile

        return _Seen(ParquetFile(file).metadata.num_rows, 0.0, None)
    with file.open("rb") as raw:
        rows = [record for _, record in islice(numbered_records(raw, file), _LOOKED_AT)]
        # Of a packed file a little more has been read than was asked for, which rounds the number down.
        share = raw.tell() / max(1, file.stat().st_size)
    number = len(rows) if len(rows) < _LOOKED_AT else len(rows) / share
    characters = sum(len(str(row.get(response, ""))) for row in rows) / max(1, len(rows))
    labels = [bool(row[label]) for row in rows if label and row.get(label) is not None]
    return _Seen(number, characters, sum(labels) / len(labels) if labels else None)


def _selections(
    experiment: Experiment, right: float, wrong: float, asked: float, assumed: _Assumed
) -> dict[str, int]:
    """Sizes of all selections, as `glow.data.arms` draws them, those that only another student has too."""
    size = experiment.selection.size
    common = min(right, wrong) // 2 * 2 if size == "auto" else size // 2 * 2
    sizes = {"positive": common, "negative": common, "mixed": common, "all": right + wrong}
    sizes |= {"positive_all": right, "negative_all": wrong}
    of_each = max(1.0, (experiment.sampling.samples if experiment.sampling else 2) / 3)
    pairs = min(right, wrong, assumed.unnoted("both") * asked * of_each)
    sizes |= {"positive_paired": pairs, "negative_paired": pairs, "all_paired": 2 * pairs}
    return {name: round(size) for name, size in sizes.items()}


# --- answers ----------------------------------------------------------------------------------------


def _suite(experiment: Experiment, name: str, suite: Suite, found: Found, assumed: _Assumed) -> SuiteSizes:
    made_up, limit = suite.families is not None, experiment.evaluation.max_tokens
    scored = is_scored(name, suite)
    if scored and not made_up:
        lengths, prompt = Lengths(((1.0, 0.0),), 0.0), assumed["choices"]
    else:
        lengths = _answers(experiment, made_up, limit, found, assumed)
        prompt = assumed["prompt.made_up" if made_up else "prompt"]
    return SuiteSizes(_questions(name, suite, assumed), scored, prompt, lengths)


def is_scored(name: str, suite: Suite) -> bool:
    """Whether a suite's choices are scored, and no answers are sampled."""
    if suite.format is not None or suite.families is not None:
        return suite.format == "choice"
    return _written(name, suite.model_dump_json(exclude_unset=True)) == "choice"


@cache
def _written(name: str, suite: str) -> str:
    """The format that a task file says: asked for every student and setting, and read once."""
    return task_of(name, Suite.model_validate_json(suite)).format


def _answers(experiment: Experiment, made_up: bool, limit: int, found: Found, assumed: _Assumed) -> Lengths:
    spread = assumed["spread"]
    if found.answers is not None:
        return Lengths(((1.0, found.answers),), spread, limit)
    if made_up or experiment.base.pretrain is not None or experiment.base.scratch is not None:
        return Lengths(((1.0, assumed["answers.made_up"] * limit),), spread, limit)
    endless = assumed["endless"]
    return Lengths(((1 - endless, min(assumed["answers"], limit)), (endless, limit)), spread, limit)


def _questions(name: str, suite: Suite, assumed: _Assumed) -> int:
    if suite.problems is not None:
        return suite.problems
    if suite.families is not None:
        return _SUITE_PROBLEMS
    if suite.hub_dataset is not None or suite.lm_eval is not None:
        return round(assumed["questions"])
    known = questions(suite.task or name)
    if suite.file is not None and (known is None or suite.file.suffix != ".parquet"):
        return round(_look_at(suite.file, "", None).rows)
    return known or 0


def _rollouts(experiment: Experiment, domain: str, found: Found, assumed: _Assumed) -> Lengths:
    assert experiment.grpo is not None
    limit, spread = experiment.grpo.max_tokens, assumed["spread"]
    if found.rollouts is not None:
        return Lengths(((1.0, found.rollouts),), spread, limit)
    small = experiment.base.pretrain is not None or experiment.base.scratch is not None
    if _made_up(experiment.domains.get(domain)) or small:
        return Lengths(((1.0, assumed["rollouts.made_up"] * limit),), spread, limit)
    return Lengths(((1.0, min(assumed["rollouts"], limit)),), spread, limit)
