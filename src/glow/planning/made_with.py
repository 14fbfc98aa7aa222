"""The configuration that results were made with, and of what they are evidence where it has changed since.

A mean or a share is evidence as long as all that decides it is the same: of the length of responses the
teacher, what it is asked and how it samples; of the share of right ones also how they are judged. A number is
one only where all that decides the number is the same too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from glow.config import Experiment, load
from glow.errors import UserError
from glow.files.frozen import frozen_file
from glow.files.jsonl import read_json
from glow.files.same_run import Identity, difference, run_identity

Part = Literal["responses", "verdicts", "numbers", "selections", "answers", "rollouts"]
"""What a study finds out: of a domain how long responses are, how many of them are right, how many there are,
and how many of them arms train on; of a student the lengths of its answers and rollouts."""

_OF_NUMBERS = (
    "sampling.samples",
    "sampling.seed",
    "sampling.engine",
    "problems.train",
    "problems.grpo",
    "problems.seed",
    "problems.data_dir",
    "trajectories.limit",
    "trajectories.grpo",
    "trajectories.disjoint_from",
)
"""What decides which and how many responses there are, and not what they are like."""

UNKNOWN = "experiment.json is missing or cannot be read"
"""What is said in place of changes, where nobody knows which configuration made results."""


def made_with(results: Path) -> Experiment | None:
    """The configuration that was frozen with results; None where there is none that can be read.

    Args:
        results: results/<name>.
    """
    file = frozen_file(results)
    try:
        return load(read_json(file), str(file))
    except UserError:
        return None


def changed_in(domain: str, made: Experiment | None, now: Experiment) -> dict[Part, str]:
    """What decides each part of a domain's data and has changed since its results were made, in words.

    Args:
        made: what they were made with.
        now: what is planned.
    """
    if made is None:
        return {"numbers": UNKNOWN, "selections": UNKNOWN}
    return _changed(_of_domain(made, domain), _of_domain(now, domain))


def changed_of_student(made: Experiment | None, now: Experiment) -> dict[Part, str]:
    """The same of a student's answers and rollouts; none where nobody knows what they were made with.

    Args:
        made, now: as above, of this student alone.
    """
    return {} if made is None else _changed(_of_student(made), _of_student(now))


def _changed(made: Mapping[Part, Identity], now: Mapping[Part, Identity]) -> dict[Part, str]:
    found = {part: difference(made[part], now[part]) for part in made}
    return {part: words for part, words in found.items() if words}


def _of_domain(experiment: Experiment, domain: str) -> dict[Part, Identity]:
    """All that decides each part of a domain's data."""
    responses = run_identity(_responses(experiment, domain))
    numbers = {key: responses.pop(key) for key in list(responses) if key.endswith(_OF_NUMBERS)}
    judging = ("extraction", "extraction_pattern", "leniency", "verdict_timeout_s")
    return {
        "responses": responses,
        "verdicts": {key: getattr(experiment, key) for key in judging},
        "numbers": numbers,
        "selections": run_identity({"selection": experiment.selection.decisive()}),
    }


def _responses(experiment: Experiment, domain: str) -> dict[str, Any]:
    """The settings of a domain's trajectories, under the keys of the configuration."""
    own = experiment.domains.get(domain)
    if own is None:
        brought = experiment.trajectories
        return {} if brought is None else {"trajectories": brought.decisive()}
    assert experiment.teacher is not None and experiment.sampling is not None
    settings = {
        "teacher": experiment.teacher.decisive(),
        "teacher_prompt": experiment.asked_of_teacher.decisive(),
        "sampling": experiment.sampling.decisive(),
        "domains": {domain: {"problems": own.problems.decisive()}},
    }
    if experiment.teacher.pretrain is not None and experiment.teacher.pretrain.continues:
        settings["student"] = experiment.base.decisive()
    return settings


def _of_student(experiment: Experiment) -> dict[Part, Identity]:
    """What decides how long answers and rollouts are, training apart."""
    asked = {"student": experiment.base.decisive(), "prompt": experiment.prompt.decisive()}
    sampled = ("max_tokens", "temperature", "top_p", "top_k", "min_p")
    evaluation = {key: getattr(experiment.evaluation, key) for key in sampled}
    grpo = {key: getattr(experiment.grpo, key) for key in sampled} if experiment.grpo is not None else {}
    return {
        "answers": run_identity(asked | {"evaluation": evaluation}),
        "rollouts": run_identity(asked | {"grpo": grpo}),
    }
