"""Metrics of a model from its archive of judged answers: accuracy, pass@k, maj@k, lengths and policy entropy.

Every metric is computed for each question first (`QuestionResult`) and then averaged. scores.json and the
tables both start from these questions, which standard errors need. The input is the rows of samples.jsonl.gz
and nothing else: no model and no verifier. The evaluation stage and `glow rescore` call the same
`archive_scores`. Verdicts, and which answers are equal, were decided before (`glow.verifier.verify`).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, fsum, nan
from pathlib import Path
from statistics import median
from typing import Any, cast

from glow.config import Prompt
from glow.errors import UserError
from glow.files.jsonl import Record, write_json
from glow.files.records import ArchivedRow, ScoredRow, read_records
from glow.verifier.response_types import response_type
from glow.verifier.thoughts import Thought

NO_VOTE = -1
"""`answer_class` of a sample that states no answer."""
JUDGES_WHOLE_RESPONSES = frozenset({"ifeval"})
"""Scorers that read no answer out of a response."""
TENTHS = 10
"""Into how many parts of equal length a response is cut (`glow.evaluation.entropy.tenth_sums`)."""
_THOUGHT = Prompt().thought


@dataclass(frozen=True)
class QuestionResult:
    """One question as a model answered it.

    Attributes:
        suite, problem_id: which question.
        samples: how many responses it got.
        correct: share of them that are right.
        truncated, unparsed, unjudged: shares with that verdict (unjudged: timeout or error).
        bare, chain: shares whose response is of that type (`glow.verifier.response_types`).
        lenient: share of them in whose answer something is overlooked (`records.Leniency`).
        pass_at, maj_at: k -> estimate, for the k of `sample_counts`; empty for a question that
            was not answered by sampling (multiple choice by likelihood). `maj_at` is empty too where a
            scorer judges whole responses (IFEval): there is no answer to vote on.
        tokens: mean length of its responses in tokens, none dropped; None without sampled responses.
        entropy: policy entropy summed over scored tokens, in nats.
        entropy_tokens: how many tokens were scored.
        parts: the same without the ends of turns; all NaN where a row does not say it, as in archives of
            earlier versions.
    """

    suite: str
    problem_id: str
    samples: int
    correct: float
    truncated: float
    unparsed: float
    unjudged: float
    bare: float
    chain: float
    lenient: float
    pass_at: dict[int, float]
    maj_at: dict[int, float]
    tokens: float | None
    entropy: float
    entropy_tokens: int
    parts: "EntropyParts"


@dataclass(frozen=True)
class EntropyParts:
    """The policy entropy of some scored responses without the ends of their turns, in sums over tokens.

    Attributes:
        inner, inner_tokens: of all scored responses, in nats; and how many tokens.
        chain, chain_tokens, chains: of those with a chain; and how many responses these are.
        chain_tenths: of these too, by tenth of the response, each of which has a tenth of the tokens.
    """

    inner: float
    inner_tokens: float
    chain: float
    chain_tokens: float
    chains: float
    chain_tenths: tuple[float, ...]


# --- estimators -----------------------------------------------------------------------------------


def sample_counts(samples: int) -> list[int]:
    """The values of k for pass@k and maj@k: 1, 2, 4, ... and `samples` itself."""
    return sorted({1 << power for power in range(samples.bit_length())} | {samples})


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of the chance that at least one of `k` samples is right.

    1 - C(n - c, k) / C(n, k), the share of k-subsets that hold a right one (Chen et al. 2021, "Evaluating
    Large Language Models Trained on Code", equation 1), in whole numbers up to the last division.
    """
    return 1 - comb(samples - correct, k) / comb(samples, k)


def maj_at_k(votes: Sequence[int], correct: Sequence[bool], k: int) -> float:
    """Chance that the most frequent answer among `k` of the samples, drawn without replacement, is right.

    Exact over all subsets, not sampled. Answers that tie for the most votes share the win evenly. Samples
    without an answer (`NO_VOTE`) never win, and a subset of nothing but them is wrong. If the members of a
    class were not all judged alike (equality within a tolerance is not transitive), the class counts as right
    by the share of its members that are.

    Args:
        votes: the answer class of each sample.
        correct: whether each sample is right.
        k: size of the vote.
    """
    sizes = Counter(vote for vote in votes if vote != NO_VOTE)
    right = Counter(vote for vote, good in zip(votes, correct, strict=True) if good and vote != NO_VOTE)
    silent = len(votes) - sizes.total()
    won = 0.0
    for vote, hits in right.items():
        others = tuple(sorted(size for other, size in sizes.items() if other != vote))
        won += hits / sizes[vote] * _win_share(sizes[vote], others, silent, k)
    return won


@lru_cache(maxsize=65536)
def _win_share(own: int, others: tuple[int, ...], silent: int, k: int) -> float:
    """Expected share of the win of a class of `own` samples, over the k-subsets of all samples."""
    won = 0.0
    for votes in range(1, min(own, k) + 1):
        ways = _ways(others, silent, votes, k - votes)
        won += comb(own, votes) * fsum(count / (1 + ties) for ties, count in ways.items())
    return won / comb(own + sum(others) + silent, k)


def _ways(others: tuple[int, ...], silent: int, votes: int, places: int) -> dict[int, int]:
    """Ways to fill `places` from the other samples, no class having more than `votes`: ties -> ways."""
    filled: dict[tuple[int, int], int] = {
        (taken, 0): comb(silent, taken) for taken in range(min(silent, places) + 1)
    }
    for size in others:
        grown: dict[tuple[int, int], int] = defaultdict(int)
        for (taken, ties), count in filled.items():
            for more in range(min(size, votes, places - taken) + 1):
                grown[taken + more, ties + (more == votes)] += count * comb(size, more)
        filled = grown
    return {ties: count for (taken, ties), count in filled.items() if taken == places}


# --- questions ------------------------------------------------------------------------------------


def questions(rows: Iterable[ScoredRow], archive: Path) -> list[QuestionResult]:
    """The questions of an archive, in its order; `archive` names it in messages.

    Raises:
        UserError: questions of one suite have different numbers of samples, or a row of several samples
            has no `answer_class`.
    """
    grouped: dict[tuple[str, str], list[ScoredRow]] = {}
    for row in rows:
        grouped.setdefault((row["suite"], row["problem_id"]), []).append(row)
    found = [_question(suite, problem, own, archive) for (suite, problem), own in grouped.items()]
    sizes: dict[str, int] = {}
    for question in found:
        if question.samples != sizes.setdefault(question.suite, question.samples):
            raise UserError(
                f"{archive}: suite {question.suite!r}: question {question.problem_id!r} has "
                f"{question.samples} samples, but the first question has {sizes[question.suite]}; evaluate "
                "this model again"
            )
    return found


def _question(suite: str, problem_id: str, rows: list[ScoredRow], archive: Path) -> QuestionResult:
    n = len(rows)
    verdicts = Counter(row["verdict"] for row in rows)
    types = Counter(row.get("type") for row in rows)
    correct = [row["verdict"] == "correct" for row in rows]
    lengths = _lengths(rows)
    scored = [(mean, _scored_tokens(row)) for row in rows if (mean := row.get("entropy")) is not None]
    ks = sample_counts(n) if lengths else []
    votes = _votes(rows, f"{archive}: question {problem_id!r} of suite {suite!r}") if ks else []
    votable_ks = [] if rows[0].get("scorer") in JUDGES_WHOLE_RESPONSES else ks
    return QuestionResult(
        suite,
        problem_id,
        samples=n,
        correct=sum(correct) / n,
        truncated=verdicts["truncated"] / n,
        unparsed=verdicts["unparsed"] / n,
        unjudged=(verdicts["timeout"] + verdicts["error"]) / n,
        bare=types["bare"] / n,
        chain=types["chain"] / n,
        lenient=sum(row.get("leniency") is not None for row in rows) / n,
        pass_at={k: pass_at_k(n, sum(correct), k) for k in ks},
        maj_at={k: maj_at_k(votes, correct, k) for k in votable_ks},
        tokens=sum(lengths) / n if lengths else None,
        entropy=fsum(mean * tokens for mean, tokens in scored),
        entropy_tokens=sum(tokens for _, tokens in scored),
        parts=_entropy_parts([row for row in rows if row.get("entropy") is not None]),
    )


def _entropy_parts(rows: list[ScoredRow]) -> EntropyParts:
    """The parts of rows whose entropy was scored."""
    tenths = [row.get("entropy_tenths") for row in rows]
    if None in tenths:
        return EntropyParts(nan, nan, nan, nan, nan, (nan,) * TENTHS)
    sums = [sums or [] for sums in tenths]
    tokens = [row.get("response_tokens") or 0 for row in rows]
    chains = [place for place, row in enumerate(rows) if row.get("type") == "chain"]
    return EntropyParts(
        inner=fsum(fsum(own) for own in sums),
        inner_tokens=sum(tokens),
        chain=fsum(fsum(sums[place]) for place in chains),
        chain_tokens=sum(tokens[place] for place in chains),
        chains=len(chains),
        chain_tenths=tuple(fsum(sums[place][tenth] for place in chains) for tenth in range(TENTHS)),
    )


def _lengths(rows: list[ScoredRow]) -> list[int]:
    """Tokens of each sampled response."""
    return [tokens for row in rows if (tokens := row.get("response_tokens")) is not None]


def _votes(rows: list[ScoredRow], place: str) -> list[int]:
    if len(rows) == 1:  # one vote wins whatever it is called
        return [0]
    votes = [vote for row in rows if (vote := row.get("answer_class")) is not None]
    if len(votes) < len(rows):
        raise UserError(f"{place}: several samples without `answer_class`; evaluate this model again")
    return votes


def _scored_tokens(row: ScoredRow) -> int:
    """Number of tokens whose entropy was scored: the response's, and the end of the turn if reached."""
    tokens = row.get("response_tokens")
    assert tokens is not None  # `read_scored_rows` refuses an entropy without them.
    return tokens + (row.get("finish_reason") != "length")


# --- scores ---------------------------------------------------------------------------------------


def accuracy(correct: Collection[float]) -> float:
    """The accuracy of a suite: the mean over its questions of the share of right samples, from 0 to 1."""
    return fsum(correct) / len(correct)


def archive_scores(rows: Iterable[ScoredRow], archive: Path) -> dict[str, Any]:
    """What scores.json holds, from the rows of samples.jsonl.gz.

    `suites`: for each its format, `n` questions, `samples` in all, `accuracy`, `pass_at` and `maj_at`
    (k -> mean over questions), the shares of responses that are `truncated`, `unparsed` or `unjudged`, of
    those in whose answer something is overlooked (`lenient`) and of answers read `from_phrases` (lenient
    extraction), `mean_tokens` and `median_tokens` of its responses.
    `entropy`: the token-weighted mean policy entropy in nats over all scored responses, with their number
    and that of their tokens; None where none was scored.
    """
    rows = list(rows)
    by_suite: dict[str, list[QuestionResult]] = {}
    for question in questions(rows, archive):
        by_suite.setdefault(question.suite, []).append(question)
    own_rows: dict[str, list[ScoredRow]] = {name: [] for name in by_suite}
    for row in rows:
        own_rows[row["suite"]].append(row)
    return {
        "suites": {name: _suite(found, own_rows[name]) for name, found in by_suite.items()},
        "entropy": _entropy(rows, list(by_suite.values())),
    }


def _suite(found: list[QuestionResult], rows: list[ScoredRow]) -> Record:
    def mean(values: Iterable[float]) -> float:
        return fsum(values) / len(found)

    lengths = _lengths(rows)
    return {
        "format": rows[0]["format"],
        "n": len(found),
        "samples": len(rows),
        "accuracy": accuracy([question.correct for question in found]),
        "pass_at": {str(k): mean(question.pass_at[k] for question in found) for k in found[0].pass_at},
        "maj_at": {str(k): mean(question.maj_at[k] for question in found) for k in found[0].maj_at},
        "truncated": mean(question.truncated for question in found),
        "unparsed": mean(question.unparsed for question in found),
        "unjudged": mean(question.unjudged for question in found),
        "lenient": mean(question.lenient for question in found),
        "from_phrases": sum(row.get("extracted_from") == "phrase" for row in rows) / len(rows),
        "mean_tokens": sum(lengths) / len(lengths) if lengths else None,
        "median_tokens": median(lengths) if lengths else None,
    }


def _entropy(rows: list[ScoredRow], suites: list[list[QuestionResult]]) -> Record | None:
    everything = [question for found in suites for question in found]
    tokens = sum(question.entropy_tokens for question in everything)
    if tokens == 0:
        return None
    responses = sum(row.get("entropy") is not None for row in rows)
    return {
        "mean": fsum(question.entropy for question in everything) / tokens,
        "responses": responses,
        "tokens": tokens,
    }


def read_scored_rows(archive: Path, thought: Thought = _THOUGHT) -> list[ScoredRow]:
    """The rows of an archive (samples.jsonl.gz), without their questions and responses, but with their types.

    Args:
        thought: the marks of a thought, which types depend on and scores do not.

    Raises:
        UserError: the archive is missing or empty, has a sample twice, or has a row that is not a sample.
    """
    rows: list[ScoredRow] = []
    seen = set()
    for place, row in read_records(archive, ArchivedRow):
        if row.get("entropy") is not None and row.get("response_tokens") is None:
            raise UserError(f"{place}: an entropy without response_tokens; evaluate this model again")
        if len(row.get("entropy_tenths", range(TENTHS))) != TENTHS:
            raise UserError(f"{place}: 'entropy_tenths' must be {TENTHS} numbers; evaluate this model again")
        identity = (row["suite"], row["problem_id"], row["sample_index"])
        if identity in seen:
            raise UserError(f"{place}: a second sample {row['sample_index']} of the same question")
        seen.add(identity)
        rows.append(_with_type(row, thought))
    if not rows:
        raise UserError(f"{archive}: no samples; evaluate this model again")
    return rows


def _with_type(row: ArchivedRow, thought: Thought) -> ScoredRow:
    """The row with its response's type in place of the response."""
    kept: Record = {key: value for key, value in row.items() if key not in ("response", "extracted", "type")}
    if "response" in row:
        kept["type"] = response_type(row["response"], row["verdict"], row.get("extracted"), thought)
    return cast(ScoredRow, kept)


def rescore(samples: Path, output: Path) -> None:
    """Write the scores of an archive (samples.jsonl.gz) to `output`, equal to the evaluation's scores.json.

    Raises:
        UserError: the archive is missing or empty, would be overwritten, has a sample twice, or has a row
            that is not an archived sample.
    """
    if output.resolve() == samples.resolve():
        raise UserError(f"--output {output}: this is the archive itself; give another file")
    rows = read_scored_rows(samples)
    scores = archive_scores(rows, samples)
    write_json(output, scores)
    print(f"{output}: {len(rows)} answers to {len(scores['suites'])} suites, rescored from {samples}")
