"""What a study that has begun knows of its own data, from manifests, scores and logs: nothing else is read.

What is not there yet is None, and is assumed instead (`glow.planning.sizes`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glow.config import Experiment
from glow.files.frozen import student_prefix
from glow.files.jsonl import read_json, read_jsonl


@dataclass(frozen=True)
class FoundDomain:
    """What is known of a domain's trajectories.

    Attributes:
        tokens: mean of a response.
        right, wrong: how many, before any question is set aside.
        selections: sizes of what arms train on, means over seeds.
    """

    trajectories: int | None = None
    tokens: float | None = None
    right: int | None = None
    wrong: int | None = None
    selections: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What is known of a study, for one of its students.

    Attributes:
        answers: mean tokens of a sampled answer, over all suites and models.
        rollouts: mean tokens of GRPO's.
    """

    domains: dict[str, FoundDomain]
    answers: float | None = None
    rollouts: float | None = None


def nothing(experiment: Experiment) -> Found:
    """What is known before a study runs."""
    return Found({domain: FoundDomain() for domain in experiment.domain_names})


def look(experiment: Experiment, results: Path, student: str) -> Found:
    """What is known from a study's results, some of which may be there.

    Args:
        results: results/<name>.
        student: its name; empty for one student alone.
    """
    home = results / student_prefix(student)
    scores = [read_json(file) for file in sorted(home.glob("evaluation/**/scores.json"))]
    suites = [suite for score in scores for suite in score["suites"].values()]
    sampled = [suite for suite in suites if suite.get("mean_tokens") is not None]
    lengths = [
        row["completion_length"]
        for file in sorted(home.glob("grpo/*/*/seed-*/log.jsonl"))
        for row in read_jsonl(file)
        if "completion_length" in row
    ]
    return Found(
        {domain: _domain(results, domain) for domain in experiment.domain_names},
        _mean([(suite["mean_tokens"], suite["samples"]) for suite in sampled]),
        _mean([(length, 1) for length in lengths]),
    )


def _domain(results: Path, domain: str) -> FoundDomain:
    sampled = _facts(results / "trajectories" / f"{domain}.jsonl.gz.manifest.json")
    verdicts = _facts(results / "verdicts" / f"{domain}.jsonl.gz.manifest.json")
    judged = verdicts.get("verdicts", {})
    number = sampled.get("trajectories") or verdicts.get("rows")
    tokens = sampled.get("tokens")
    return FoundDomain(
        trajectories=number,
        tokens=tokens / number if tokens and number else None,
        right=judged.get("correct"),
        wrong=judged.get("wrong"),
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
