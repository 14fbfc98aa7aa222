"""What a study that has begun knows of its own data, from manifests, scores and logs.

What is not there yet is None, and is assumed instead (`glow.planning.sizes`). So is what was made with
settings that have changed since (`glow.planning.made_with`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glow.config import Experiment
from glow.files.frozen import student_prefix
from glow.files.jsonl import read_json, read_jsonl
from glow.planning.made_with import Part, changed_in, changed_of_student


@dataclass(frozen=True)
class FoundDomain:
    """What is known of a domain's trajectories.

    Attributes:
        tokens: mean of a response.
        right, wrong: shares of trajectories, before any question is set aside.
        selections: sizes of what arms train on, means over seeds.
    """

    trajectories: int | None = None
    tokens: float | None = None
    right: float | None = None
    wrong: float | None = None
    selections: dict[str, float] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """What is known, in words."""
        known = {
            "the number of trajectories": self.trajectories is not None,
            "tokens of a response": self.tokens is not None,
            "shares of right and wrong": self.right is not None,
            "sizes of selections": bool(self.selections),
        }
        return [name for name, is_known in known.items() if is_known]


@dataclass(frozen=True)
class Found:
    """What is known of a study, for one of its students.

    Attributes:
        answers: mean tokens of a sampled answer, over all suites and models.
        rollouts: mean tokens of GRPO's.
        changed: what of the results was made with other settings than are planned, and what was taken of it.
    """

    domains: dict[str, FoundDomain]
    answers: float | None = None
    rollouts: float | None = None
    changed: tuple[str, ...] = ()


def nothing(experiment: Experiment) -> Found:
    """What is known before a study runs."""
    return Found({domain: FoundDomain() for domain in experiment.domain_names})


def look(experiment: Experiment, results: Path, student: str, made: Experiment | None) -> Found:
    """What is known from a study's results, some of which may be there.

    Args:
        results: results/<name>.
        student: its name; empty for one student alone.
        made: the configuration that they were made with, of all students; None where nobody knows it.
    """
    home = results / student_prefix(student)
    studies = {} if made is None else made.studies
    own = studies.get(student)
    of_data = own or next(iter(studies.values()), None)  # of a new student the data are those of the others
    said: list[str] = []
    domains = {}
    for domain in experiment.domain_names:
        domains[domain], words = _domain(results, domain, changed_in(domain, of_data, experiment))
        said += words
    lengths: dict[Part, float | None] = {"answers": _answers(home), "rollouts": _rollouts(home)}
    for part, change in changed_of_student(own, experiment).items():
        if lengths[part] is not None:
            lengths[part] = None
            said.append(f"{part}{f' of {student}' if student else ''}: {change}: their length is assumed")
    return Found(domains, lengths["answers"], lengths["rollouts"], tuple(said))


def _answers(home: Path) -> float | None:
    scores = [read_json(file) for file in sorted(home.glob("evaluation/**/scores.json"))]
    suites = [suite for score in scores for suite in score["suites"].values()]
    sampled = [suite for suite in suites if suite.get("mean_tokens") is not None]
    return _mean([(suite["mean_tokens"], suite["samples"]) for suite in sampled])


def _rollouts(home: Path) -> float | None:
    lengths = [
        row["completion_length"]
        for file in sorted(home.glob("grpo/*/*/seed-*/log.jsonl"))
        for row in read_jsonl(file)
        if "completion_length" in row
    ]
    return _mean([(length, 1) for length in lengths])


def _domain(results: Path, domain: str, changed: Mapping[Part, str]) -> tuple[FoundDomain, list[str]]:
    """What results say that is still so, and what is to be said where that is not all."""
    there = _there(results, domain)
    holds = _holding(there, changed)
    if not changed or there == FoundDomain():
        return holds, []
    taken = f"taken from there: {', '.join(holds.words)}" if holds.words else "nothing is taken from there"
    scaled = "; numbers follow from the configuration" if holds.trajectories is None else ""
    return holds, [f"{domain}: {'; '.join(dict.fromkeys(changed.values()))}: {taken}{scaled}"]


def _holding(there: FoundDomain, changed: Iterable[Part]) -> FoundDomain:
    """What still is evidence, where some settings have changed."""
    other = set(changed)
    if "responses" in other:
        return FoundDomain()
    judged = "verdicts" not in other
    return FoundDomain(
        trajectories=there.trajectories if "numbers" not in other else None,
        tokens=there.tokens,
        right=there.right if judged else None,
        wrong=there.wrong if judged else None,
        selections={} if other else there.selections,
    )


def _there(results: Path, domain: str) -> FoundDomain:
    sampled = _facts(results / "trajectories" / f"{domain}.jsonl.gz.manifest.json")
    verdicts = _facts(results / "verdicts" / f"{domain}.jsonl.gz.manifest.json")
    judged, rows = verdicts.get("verdicts", {}), verdicts.get("rows")
    number = sampled.get("trajectories") or rows
    tokens = sampled.get("tokens")
    return FoundDomain(
        trajectories=number,
        tokens=tokens / number if tokens and number else None,
        right=judged["correct"] / rows if rows else None,
        wrong=judged["wrong"] / rows if rows else None,
        selections=_selections(results / "arms" / domain),
    )


def _selections(arms: Path) -> dict[str, float]:
    sizes: dict[str, list[tuple[float, int]]] = {}
    for name, size in _written(arms):
        sizes.setdefault(name, []).append((size, 1))
    return {name: _mean(own) or 0.0 for name, own in sizes.items()}


def _written(arms: Path) -> Iterator[tuple[str, float]]:
    for file in arms.glob("seed-*/manifest.json"):
        yield from _facts(file).get("written", {}).items()
    for file in arms.glob("seed-*/*.jsonl.manifest.json"):
        yield file.name.removesuffix(".jsonl.manifest.json"), _facts(file).get("written", 0)


def _facts(manifest: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(manifest).get("facts", {}) if manifest.is_file() else {}
    return found


def _mean(values: list[tuple[float, int]]) -> float | None:
    """The mean of (value, how many) pairs; None for none."""
    number = sum(count for _, count in values)
    return sum(value * count for value, count in values) / number if number else None
