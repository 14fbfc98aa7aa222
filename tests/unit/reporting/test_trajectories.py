"""Questions with both verdicts, gaps between types and lengths of responses, against values by hand."""

import pandas as pd
import pytest
from pytest import approx

from glow.reporting.trajectories import (
    largest_type_gap,
    length_gap,
    share_with_both,
    with_both_verdicts,
)


def judged(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Trajectories of (problem, verdict, type)."""
    return pd.DataFrame(rows, columns=["problem_id", "verdict", "type"])


def test_problems_with_both_verdicts() -> None:
    frame = judged(
        ("a", "correct", "chain"), ("a", "wrong", "chain"),
        ("b", "correct", "chain"), ("b", "unparsed", "unparsed"),
        ("c", "wrong", "chain"), ("c", "wrong", "chain"),
        ("d", "truncated", "truncated"),
    )  # fmt: skip
    assert with_both_verdicts(frame).to_dict() == {"a": True, "b": False, "c": False, "d": False}
    share = share_with_both(frame)
    # one of four: sqrt(0.25 * 0.75 / 3) = 0.25
    assert (share.mean, share.error) == (approx(25), approx(25))
    assert share_with_both(frame[:0]) is None


def test_the_largest_gap_of_types_is_positive_and_has_an_error_over_problems() -> None:
    """Ten problems with a right chain and a wrong response each, of which the first is bare."""
    rows = [(f"p{place}", "correct", "chain") for place in range(10)]
    rows += [(f"p{place}", "wrong", "chain" if place else "bare") for place in range(10)]
    gap = largest_type_gap(judged(*rows))
    # 100 points on one problem of ten: s.d. 31.6, over sqrt 10
    assert (gap.type, gap.difference.mean, gap.difference.error) == ("chain", approx(10), approx(10))
    assert gap.difference.low < 0 < gap.difference.high


def test_problems_weigh_by_their_trajectories() -> None:
    frame = judged(
        ("a", "correct", "bare"), ("a", "correct", "bare"), ("a", "correct", "chain"),
        ("b", "correct", "chain"), ("b", "wrong", "chain"), ("c", "wrong", "chain"),
    )  # fmt: skip
    gap = largest_type_gap(frame)
    # bare: 2 of 4 right, 0 of 2 wrong. Parts by problem, of the right ones: a (2 - 1.5) / 4, b -0.5 / 4, each
    # times the three problems: 37.5, -37.5 and 0: s.d. 37.5, over sqrt 3
    assert (gap.difference.mean, gap.difference.error) == (approx(50), approx(37.5 / 3**0.5))


@pytest.mark.parametrize("verdict", ["correct", "wrong", "unparsed"])
def test_one_verdict_alone_has_no_gap(verdict: str) -> None:
    assert largest_type_gap(judged(("a", verdict, "chain"))) is None


def of_length(*rows: tuple[str, str, float | None, int]) -> pd.DataFrame:
    """Trajectories of (problem, verdict, tokens, characters)."""
    columns = ["problem_id", "verdict", "response_tokens", "characters"]
    return pd.DataFrame(rows, columns=columns).astype({"response_tokens": "float64"})


def test_lengths_differ_in_percent_of_the_right_ones() -> None:
    rows = [("a", "correct", 10, 1), ("b", "correct", 30, 1), ("a", "wrong", 20, 1), ("b", "wrong", 28, 1)]
    gap = length_gap(of_length(*rows, ("c", "truncated", 99, 1)))
    # 24 against 20. Off their means, in percent of 20: right -50 and +50, times 1.2 (their ratio); wrong ±20.
    # By problem (wrong less right, times two problems over two rows): a -20 + 60 = 40, b -40: s.d. 40 sqrt 2
    assert (gap.right, gap.wrong, gap.unit) == (20, 24, "tokens")
    assert (gap.difference.mean, gap.difference.error) == (approx(20), approx(40))


def test_shorter_wrong_ones_differ_as_much_and_characters_stand_in_for_unknown_tokens() -> None:
    gap = length_gap(of_length(("a", "correct", None, 40), ("b", "correct", 10, 60), ("c", "wrong", 10, 30)))
    assert (gap.difference.mean, gap.right, gap.wrong, gap.unit) == (approx(40), 50, 30, "characters")


def test_lengths_of_one_verdict_or_of_nothing_are_not_compared() -> None:
    assert length_gap(of_length(("a", "correct", 10, 1))) is None
    assert length_gap(of_length(("a", "wrong", 10, 1))) is None
    assert length_gap(of_length(("a", "correct", 0, 1), ("a", "wrong", 10, 1))) is None
