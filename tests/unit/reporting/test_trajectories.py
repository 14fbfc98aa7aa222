"""Questions with both verdicts and the gap between types of response, against values by hand."""

import pandas as pd
import pytest
from pytest import approx

from glow.reporting.trajectories import largest_type_gap, share_with_both, with_both_verdicts


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
