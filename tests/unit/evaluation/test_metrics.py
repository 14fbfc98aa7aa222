"""What an archive of judged answers says, against hand-worked cases and enumeration."""

import itertools
import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from glow import cli
from glow.errors import UserError
from glow.evaluation.metrics import (
    accuracy,
    archive_scores,
    maj_at_k,
    pass_at_k,
    questions,
    read_scored_rows,
    rescore,
    sample_counts,
)
from glow.files.jsonl import Record, write_jsonl

ARCHIVE = Path("samples.jsonl.gz")


def sample(suite: str, problem: str, verdict: str, **more: object) -> Record:
    row = {
        "suite": suite, "problem_id": problem, "sample_index": 0, "format": "boxed", "verdict": verdict,
        "correct": verdict == "correct", "finish_reason": "stop", "response_tokens": 4, "entropy": None,
    }  # fmt: skip
    return row | more


# --- pass@k and maj@k -----------------------------------------------------------------------------


def test_sample_counts() -> None:
    counts = [sample_counts(samples) for samples in (1, 2, 7, 8)]
    assert counts == [[1], [1, 2], [1, 2, 4, 7], [1, 2, 4, 8]]


def test_pass_at_k_by_hand() -> None:
    # 5 samples, 2 right: pairs without a right one 3 of 10, triples 1 of 10, quadruples none
    assert [pass_at_k(5, 2, k) for k in (1, 2, 3, 4)] == [approx(0.4), approx(0.7), approx(0.9), 1.0]
    assert (pass_at_k(5, 0, 5), pass_at_k(5, 5, 1)) == (0.0, 1.0)


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n: int, data: st.DataObject) -> None:
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations(range(n), k))
    assert pass_at_k(n, correct, k) == approx(sum(min(subset) < correct for subset in subsets) / len(subsets))


def test_maj_at_k_by_hand() -> None:
    # Answers a, a, b, of which a is right: a wins the three; of pairs, aa wins and two tie.
    assert maj_at_k([0, 0, 1], [True, True, False], 3) == 1
    assert maj_at_k([0, 0, 1], [True, True, False], 2) == approx((1 + 0.5 + 0.5) / 3)
    assert maj_at_k([0, 0, 1], [True, True, False], 1) == approx(2 / 3)


def test_ties_share_the_win() -> None:
    assert maj_at_k([0, 1, 2], [False, True, False], 3) == approx(1 / 3)
    assert maj_at_k([0, 0, 1, 1], [False, False, True, True], 4) == approx(1 / 2)


def test_what_states_no_answer_never_wins() -> None:
    # Three silent samples do not outvote one right answer, and alone they win nothing.
    assert maj_at_k([-1, -1, -1, 0], [False, False, False, True], 4) == 1
    assert maj_at_k([-1, -1, -1, 0], [False, False, False, True], 2) == approx(1 / 2)
    assert maj_at_k([-1, -1], [False, False], 2) == 0


def test_a_class_judged_in_two_ways_counts_by_its_share() -> None:
    assert maj_at_k([0, 0, 0, 1], [True, True, False, False], 4) == approx(2 / 3)


def enumerated(votes: list[int], correct: list[bool], k: int) -> float:
    """maj@k by going through every subset."""
    total, subsets = 0.0, list(itertools.combinations(range(len(votes)), k))
    share = {
        vote: sum(good for own, good in zip(votes, correct, strict=True) if own == vote) / votes.count(vote)
        for vote in votes
    }
    for subset in subsets:
        counts = Counter(votes[place] for place in subset if votes[place] >= 0)
        winners = [vote for vote, count in counts.items() if count == max(counts.values())]
        total += sum(share[vote] for vote in winners) / max(1, len(winners))
    return total / len(subsets)


@given(st.lists(st.tuples(st.integers(-1, 3), st.booleans()), min_size=1, max_size=8), st.data())
def test_maj_at_k_is_that_of_all_subsets(rows: list[tuple[int, bool]], data: st.DataObject) -> None:
    votes = [vote for vote, _ in rows]
    correct = [good and vote >= 0 for vote, good in rows]
    k = data.draw(st.integers(1, len(rows)))
    assert maj_at_k(votes, correct, k) == approx(enumerated(votes, correct, k))


def test_many_samples_are_exact_too() -> None:
    # 128 samples, half of them right and alike, the others all different: with 64 drawn the right answer
    # wins but where it is drawn at most once; none of the others is ever more frequent.
    votes = [0] * 64 + list(range(1, 65))
    correct = [vote == 0 for vote in votes]
    none, one = math.comb(64, 64), 64 * math.comb(64, 63)
    expected = 1 - (none + one * (1 - 1 / 64)) / math.comb(128, 64)
    assert maj_at_k(votes, correct, 64) == approx(expected, rel=1e-12)


# --- scores ---------------------------------------------------------------------------------------


def test_accuracy_is_the_mean_over_questions() -> None:
    assert accuracy([1.0, 0.25, 0.0, 0.25]) == 0.375


ROWS = [
    sample("sums", "p-1", "correct", answer_class=0, response_tokens=10, entropy=0.5),
    sample("sums", "p-1", "wrong", sample_index=1, answer_class=1, response_tokens=2),
    sample("sums", "p-2", "unparsed", answer_class=-1, response_tokens=0, entropy=0.2),
    sample("sums", "p-2", "truncated", sample_index=1, answer_class=-1, response_tokens=12, entropy=1.0)
    | {"finish_reason": "length"},
    {"suite": "pick", "problem_id": "c-1", "sample_index": 0, "format": "choice", "verdict": "correct"},
]  # fmt: skip


def test_scores_by_hand() -> None:
    found = archive_scores(ROWS, ARCHIVE)
    assert found["suites"]["sums"] == {
        "format": "boxed",
        "n": 2,
        "samples": 4,
        "accuracy": 0.25,
        "pass_at": {"1": 0.25, "2": 0.5},
        "maj_at": {"1": 0.25, "2": 0.25},  # right and wrong tie; nothing
        "truncated": 0.25,
        "unparsed": 0.25,
        "unjudged": 0.0,
        "lenient": 0.0,
        "from_phrases": 0.0,
        "mean_tokens": 6.0,  # the empty and the truncated response count
        "median_tokens": 6.0,
    }
    assert found["suites"]["pick"] == {
        "format": "choice", "n": 1, "samples": 1, "accuracy": 1.0, "pass_at": {}, "maj_at": {},
        "truncated": 0.0, "unparsed": 0.0, "unjudged": 0.0, "lenient": 0.0, "from_phrases": 0.0,
        "mean_tokens": None, "median_tokens": None,
    }  # fmt: skip
    lenient = [row | ({"leniency": "percent sign"} if row["verdict"] == "correct" else {}) for row in ROWS]
    assert archive_scores(lenient, ARCHIVE)["suites"]["sums"]["lenient"] == 0.25
    # Tokens with their ends, where those were reached: 11 of 0.5, 1 of 0.2, 12 of 1.0
    assert found["entropy"] == {"mean": approx((5.5 + 0.2 + 12) / 24), "responses": 3, "tokens": 24}


def test_nothing_scored_no_entropy() -> None:
    assert archive_scores(ROWS[1:2], ARCHIVE)["entropy"] is None


def test_one_sample_needs_no_classes() -> None:
    (found,) = questions([sample("sums", "p-1", "correct")], ARCHIVE)
    assert (found.pass_at, found.maj_at) == ({1: 1.0}, {1: 1.0})
    (found,) = questions([sample("sums", "p-1", "unparsed")], ARCHIVE)
    assert found.maj_at == {1: 0.0}


@pytest.mark.parametrize("verdicts", [("correct", "wrong"), ("truncated", "truncated"), ("correct",)])
def test_responses_judged_as_a_whole_cannot_vote(verdicts: tuple[str, ...]) -> None:
    rows = [sample("follow", "p-1", verdict, answer_class=-1, scorer="ifeval") for verdict in verdicts]
    found = archive_scores(rows, ARCHIVE)["suites"]["follow"]
    assert found["maj_at"] == {}
    assert set(found["pass_at"]) == {str(k) for k in sample_counts(len(verdicts))}


def test_timeouts_and_errors_are_counted() -> None:
    rows = [
        sample("sums", f"p-{place}", verdict) for place, verdict in enumerate(("timeout", "error", "wrong"))
    ]
    assert archive_scores(rows, ARCHIVE)["suites"]["sums"]["unjudged"] == approx(2 / 3)


def test_several_samples_without_classes_are_refused() -> None:
    with pytest.raises(UserError, match="'p-1' of suite 'sums': several samples without `answer_class`"):
        archive_scores([sample("sums", "p-1", "wrong")] * 2, ARCHIVE)


def test_unequal_numbers_of_samples_are_refused() -> None:
    rows = [*ROWS[:2], sample("sums", "p-3", "wrong")]
    with pytest.raises(UserError, match="question 'p-3' has 1 samples, but the first question has 2"):
        archive_scores(rows, ARCHIVE)


# --- types, and entropy without what they decide ----------------------------------------------------


def divided(first: float) -> Record:
    """Tenths of `first`, `first + 1` and so on, ten tokens and an end of 7 nats."""
    tenths = [first + tenth for tenth in range(10)]
    return {
        "entropy": (sum(tenths) + 7) / 11,
        "entropy_tenths": tenths,
        "entropy_end": 7.0,
        "response_tokens": 10,
    }


SAID = [
    sample("sums", "p-1", "wrong", response="2 + 3 = \\boxed{4}", extracted="4", **divided(0.0)),
    sample("sums", "p-2", "wrong", response="\\boxed{4}", extracted="4", **divided(1.0)),
    sample("sums", "p-3", "unparsed", response="Four.", extracted=None, **divided(2.0)),
    sample("sums", "p-4", "wrong", response="<hm> </hm> \\boxed{4}", extracted="4"),
    sample("sums", "p-5", "wrong"),
    {"suite": "pick", "problem_id": "c-1", "sample_index": 0, "format": "choice", "verdict": "correct"},
]


def test_types_follow_from_the_responses_when_they_are_read(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "samples.jsonl.gz", SAID)
    for thought, marked in ((("<think>", "</think>"), "chain"), (("<hm>", "</hm>"), "bare")):
        rows = read_scored_rows(tmp_path / "samples.jsonl.gz", thought)
        types = [row.get("type") for row in rows]
        assert types == ["chain", "bare", "unparsed", marked, None, None]
        assert not any("response" in row or "extracted" in row for row in rows)
    found = questions(rows, ARCHIVE)
    assert [(question.bare, question.chain) for question in found[:4]] == [(0, 1), (1, 0), (0, 0), (1, 0)]


def test_entropy_is_summed_without_ends_and_over_chains(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "samples.jsonl.gz", SAID)
    chain, bare, silent, other, *_ = questions(read_scored_rows(tmp_path / "samples.jsonl.gz"), ARCHIVE)
    # 0 + 1 + ... + 9, and 10 or 20 more
    inner = [(own.parts.inner, own.parts.inner_tokens) for own in (chain, bare, silent, other)]
    assert inner == [(45, 10), (55, 10), (65, 10), (0, 0)]
    assert (chain.entropy, chain.entropy_tokens) == (approx(45 + 7), 11)
    chains = [
        (own.parts.chain, own.parts.chain_tokens, own.parts.chains) for own in (chain, bare, silent, other)
    ]
    assert chains == [(45, 10, 1), (0, 0, 0), (0, 0, 0), (0, 0, 0)]
    assert chain.parts.chain_tenths == tuple(range(10))
    assert bare.parts.chain_tenths == (0,) * 10


def test_samples_of_a_question_add_up(tmp_path: Path) -> None:
    rows = [
        row | {"problem_id": "p-1", "sample_index": place, "answer_class": 0}
        for place, row in enumerate(SAID[:4])
    ]
    write_jsonl(tmp_path / "samples.jsonl.gz", [*rows[:2], rows[3], rows[0] | {"sample_index": 4}])
    (found,) = questions(read_scored_rows(tmp_path / "samples.jsonl.gz"), ARCHIVE)
    assert (found.bare, found.chain) == (0.25, 0.75)  # of the third, the marks are no thought's
    assert (found.parts.inner, found.parts.inner_tokens) == (145, 30)
    assert (found.parts.chain, found.parts.chain_tokens, found.parts.chains) == (90, 20, 2)
    assert found.parts.chain_tenths == tuple(2 * tenth for tenth in range(10))


def test_archives_of_earlier_versions_are_read_and_lack_the_parts(tmp_path: Path) -> None:
    older = [{key: value for key, value in row.items() if not key.startswith("entropy_")} for row in SAID]
    write_jsonl(tmp_path / "samples.jsonl.gz", older)
    chain, _, _, other, *_ = questions(read_scored_rows(tmp_path / "samples.jsonl.gz"), ARCHIVE)
    assert (chain.chain, chain.entropy) == (1, approx(52))
    assert all(map(math.isnan, (chain.parts.inner, chain.parts.chain_tokens, *chain.parts.chain_tenths)))
    assert (other.parts.inner, other.parts.chains) == (0, 0)  # was not scored, and so lacks nothing
    assert archive_scores(older, ARCHIVE) == archive_scores(SAID, ARCHIVE)


# --- rescore --------------------------------------------------------------------------------------


def test_rescore_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, output = tmp_path / "samples.jsonl.gz", tmp_path / "scores.json"
    write_jsonl(archive, ROWS)
    assert cli.main(["rescore", "--samples", str(archive), "--output", str(output)]) == 0
    assert json.loads(output.read_text()) == archive_scores(ROWS, ARCHIVE)
    assert "5 answers to 2 suites" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no samples"),
        ([ROWS[0], {"suite": "x"}], ":2: no key 'problem_id'; give the samples.jsonl.gz"),
        ([ROWS[0] | {"response_tokens": "7"}], ":1: 'response_tokens': input should be a valid integer"),
        ([ROWS[0] | {"response_tokens": None}], ":1: .*an entropy without response_tokens"),
        ([ROWS[0] | {"entropy": "x"}], ":1: 'entropy': input should be a valid number"),
        ([ROWS[0] | {"entropy_tenths": [0.1]}], ":1: 'entropy_tenths' must be 10 numbers; evaluate this"),
        ([ROWS[0] | {"entropy_tenths": "x"}], ":1: 'entropy_tenths': input should be a valid list"),
        ([ROWS[0] | {"response": 3}], ":1: 'response': input should be a valid string"),
        ([ROWS[0] | {"suite": ["a"]}], ":1: 'suite': input should be a valid string"),
        ([ROWS[0] | {"verdict": "right"}], ":1: 'verdict': input should be 'correct', 'wrong', "),
        ([ROWS[0], ROWS[1], ROWS[0]], ":3: a second sample 0 of the same question"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, rows: list[Record], message: str) -> None:
    archive = tmp_path / "samples.jsonl.gz"
    write_jsonl(archive, rows)
    with pytest.raises(UserError, match=message):
        rescore(archive, tmp_path / "scores.json")
    assert not (tmp_path / "scores.json").exists()


def test_an_archive_is_not_overwritten_by_its_scores(tmp_path: Path) -> None:
    archive = tmp_path / "samples.jsonl.gz"
    write_jsonl(archive, ROWS)
    with pytest.raises(UserError, match="this is the archive itself"):
        rescore(archive, tmp_path / "." / "samples.jsonl.gz")
