"""The rows that stages pass to one another: keys of each kind, ids, and the check when they are read.

Training data goes from Problem to Trajectory to Judged; evaluations write Sample. Rows may have further keys,
which are kept.
"""

import hashlib
import json
from collections.abc import Collection, Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, TypeVar, cast, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from glow.errors import UserError, abbreviated
from glow.files.jsonl import Record, read_numbered_jsonl

Verdict = Literal["correct", "wrong", "unparsed", "truncated", "timeout", "error"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""All verdicts. Only `correct` makes a positive and only `wrong` a negative."""

ResponseType = Literal["chain", "bare", "unparsed", "truncated"]
"""What a response consists of (`glow.verifier.response_types`)."""

AnswerType = Literal[
    "number", "expression", "relation", "interval", "set", "tuple", "list", "matrix", "complex",
    "text", "date", "time", "choice", "boolean", "brackets",
]  # fmt: skip
"""The kinds of a gold answer."""
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)

AnswerPlace = Literal["box", "phrase", "pattern", "field", "last_number"]
"""Where the answer of a response was found: in it, or in a field of its row."""
ANSWER_PLACES: tuple[AnswerPlace, ...] = get_args(AnswerPlace)
FOUND_IN: dict[AnswerPlace, str] = {
    "box": "boxes", "phrase": "phrases", "pattern": "the pattern", "field": "a field of the rows",
    "last_number": "the last number",
}  # fmt: skip
"""The same in words."""
Leniency = Literal["percent sign", "half of the day", "base left out", "decimal comma", "not worked out"]
"""What was overlooked in an answer that is right for some: an exam would not accept it (docs/verdicts.md)."""
LENIENCIES: tuple[Leniency, ...] = get_args(Leniency)

SuiteFormat = Literal["boxed", "choice"]
"""How a question is answered: in a box that the model writes, or by the likeliest of its choices."""

FinishReason = Literal["stop", "length", "interrupted"]
"""Why a response ended: at a stop token, at the token limit, or by something else before its end."""


class GoldFacts(TypedDict, total=False):
    """Optional facts about a gold answer besides its text: its type, and the texts of its choices."""

    answer_type: AnswerType | None
    choices: list[str]


class Asked(GoldFacts):
    """A question with its gold answer. `stem`: the question before its choices, where these follow it."""

    question: str
    answer: str
    stem: NotRequired[str]


class Problem(Asked):
    """A question to be answered, in training or in a suite (`glow.data.problem_rows.problem`).

    `family`: its topic, for human readers; a user's own rows may have `subject` or `task` instead.
    `prompt`: the raw text that a choice's letter is scored after. `instruction`: False where the prompt's
    instruction is left out. `scorer`, `scorer_data`: what judges in place of the verifier.
    """

    problem_id: str
    source: NotRequired[str]
    family: NotRequired[str | None]
    subject: NotRequired[str | None]
    task: NotRequired[str | None]
    format: NotRequired[SuiteFormat]
    solution: NotRequired[str]
    prompt: NotRequired[str]
    instruction: NotRequired[bool]
    scorer: NotRequired[str]
    scorer_data: NotRequired[dict[str, Any]]


class PassRate(TypedDict):
    """How often a model solves a problem: `correct` of `rollouts`, and how many of these were cut off."""

    question: str
    rollouts: int
    correct: int
    truncated: int
    pass_rate: float


class Trajectory(Asked):
    """A response to a problem, sampled or imported; counts and finish reason are null where unknown.

    `thought_open`: the prompt had opened a thought, which the response goes on with (absent: it had not).
    `stated`: the answer that the response states, as the users' rows have it (absent: it is to be extracted).
    """

    trajectory_id: str
    problem_id: str
    family: str | None
    response: str
    generator: str
    seed: int
    sample_index: int
    finish_reason: FinishReason | None
    thought_open: NotRequired[bool]
    stated: NotRequired[str]
    prompt_tokens: int | None
    response_tokens: int | None
    label: NotRequired[bool | None]


class Judged(Trajectory):
    """A trajectory with its verdict, the answer as extracted, where that stood, and the reason.

    `leniency`: what was overlooked, in rows where anything was.
    """

    verdict: Verdict
    extracted: str | None
    extracted_from: AnswerPlace | None
    reason: str
    leniency: NotRequired[Leniency]


class Attempt(Asked):
    """Which answer to which question of a suite; it can be judged again without the suite."""

    suite: str
    problem_id: str
    family: str | None
    sample_index: int
    format: SuiteFormat
    scorer: NotRequired[str | None]
    scorer_data: NotRequired[dict[str, Any]]


class Sample(Attempt):
    """A judged answer in the archive of an evaluation; keys that only sampled answers have may be absent.

    `entropy`: mean policy entropy over the response's tokens and, where it was reached, the end of the
    turn; null where it was not scored. `entropy_tenths`: sums over each tenth of the tokens alone;
    `entropy_end`: the value at the end of the turn, null where that was not reached; archives of earlier
    versions have neither. `type` is not archived: it follows from the response when that is read.
    """

    verdict: Verdict
    extracted: str | None
    reason: str
    correct: bool
    leniency: NotRequired[Leniency]
    response: NotRequired[str]
    extracted_from: NotRequired[AnswerPlace | None]
    finish_reason: NotRequired[FinishReason | None]
    thought_open: NotRequired[bool]
    response_tokens: NotRequired[int | None]
    entropy: NotRequired[float | None]
    entropy_tenths: NotRequired[list[float]]
    entropy_end: NotRequired[float | None]
    answer_class: NotRequired[int | None]
    type: NotRequired[ResponseType]
    loglikelihoods: NotRequired[list[float]]


class ScoredRow(TypedDict):
    """The part of a `Sample` that scores are computed from; small, however long its response.

    `type`: what its response consists of, which follows from it when an archive is read; absent without one.
    """

    suite: str
    problem_id: str
    sample_index: int
    format: SuiteFormat
    verdict: Verdict
    scorer: NotRequired[str | None]
    leniency: NotRequired[Leniency]
    extracted_from: NotRequired[AnswerPlace | None]
    finish_reason: NotRequired[FinishReason | None]
    response_tokens: NotRequired[int | None]
    entropy: NotRequired[float | None]
    entropy_tenths: NotRequired[list[float]]
    entropy_end: NotRequired[float | None]
    answer_class: NotRequired[int | None]
    type: NotRequired[ResponseType]


class ArchivedRow(ScoredRow):
    """The same as it is read, with the response from which its type follows."""

    response: NotRequired[str]
    extracted: NotRequired[str | None]


# --- reading ------------------------------------------------------------------------------------

RowKind = TypeVar("RowKind", Asked, Problem, PassRate, Trajectory, Judged, Sample, ScoredRow, ArchivedRow)

_MEND = {
    "Asked": "fix or remove the row: each needs a question and an answer",
    "Problem": "fix or remove the row, or give the output of `glow problems` or `glow suite`",
    "Trajectory": "fix or remove the row, or give the output of `glow generate` or `glow import`",
    "Judged": "give the output of `glow verify` or `glow arms`",
    "Sample": "give the samples.jsonl.gz of an evaluation",
    "ScoredRow": "give the samples.jsonl.gz of an evaluation",
    "ArchivedRow": "give the samples.jsonl.gz of an evaluation",
}
"""What to do about a row that is not of the kind."""


def read_records(
    path: Path, kind: type[RowKind], keys: Collection[str] | None = None
) -> Iterator[tuple[str, RowKind]]:
    """The rows of a JSON Lines file, each with its place (file:line), as rows of `kind`.

    Args:
        keys: those to check; the others are kept unchecked. None: all of the kind's keys are checked, and
            any other is dropped.

    Raises:
        UserError: the file is missing or malformed, or a row is not of that kind.
    """
    names = _types(cast(Hashable, kind))
    for number, record in read_numbered_jsonl(path):
        place = f"{path}:{number}"
        _check(record, kind, names if keys is None else keys, place)
        kept = record if keys is not None else {name: record[name] for name in names if name in record}
        yield place, cast(RowKind, kept)


def _check(record: Record, kind: type[RowKind], keys: Collection[str], place: str) -> None:
    """Refuse a record in which a key is missing though required, or has a value of the wrong type."""
    required: frozenset[str] = vars(kind)["__required_keys__"]
    for key in keys:
        if key not in record:
            if key in required:
                raise UserError(f"{place}: no key {key!r}; {_MEND[kind.__name__]}")
            continue
        try:
            _types(cast(Hashable, kind))[key].validate_python(record[key], strict=True)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise UserError(
                f"{place}: {key!r}: {message[0].lower()}{message[1:]}, found "
                f"{abbreviated(record[key])}; {_MEND[kind.__name__]}"
            ) from None


@cache
def _types(kind: Hashable) -> dict[str, TypeAdapter[Any]]:
    return {key: TypeAdapter(hint) for key, hint in get_type_hints(kind).items()}


# --- ids ----------------------------------------------------------------------------------------


def content_id(prefix: str, *parts: str | int) -> str:
    """An id that depends on content alone: `prefix-` and 16 hex digits of a SHA-256.

    Parts are JSON-encoded as a list first, so `("ab", "c")` and `("a", "bc")` differ.
    """
    encoded = json.dumps(parts, ensure_ascii=True).encode()
    return f"{prefix}-{hashlib.sha256(encoded).hexdigest()[:16]}"


def problem_id(source: str, question: str) -> str:
    """The id of a problem, from its source and its question."""
    return content_id("p", source, question)


def trajectory_id(problem: str, generator: str, seed: int, sample_index: int, text: str) -> str:
    """The id of one sampled response to the problem with id `problem`."""
    return content_id("t", problem, generator, seed, sample_index, text)
