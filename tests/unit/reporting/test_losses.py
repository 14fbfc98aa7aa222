"""Level and descent of the loss, by type of trajectory and at equal lengths, against values by hand."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricated import World, document
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from glow.errors import UserError
from glow.reporting import dynamics, losses
from glow.reporting.results import Run

T1 = 12.706205  # 97.5 % of Student's t with one degree of freedom


class Bare(World):
    """The wrong trajectory t-2, whose loss is 1.5, 1.4 and 1.4, is a bare answer; seed 1 loses 0.1 more."""

    def trajectories(self, domain: str) -> list[dict]:
        bare = {"response": r"\boxed{1}", "extracted": "1", "response_tokens": 5}
        return [row | (bare if row["trajectory_id"] == "t-2" else {}) for row in super().trajectories(domain)]

    def history(self, run: Run) -> pd.DataFrame:
        frame = super().history(run)
        return frame.assign(loss=frame["loss"] + 0.1 * run.seed * (frame["epoch"] == 3))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> World:
    return Bare(tmp_path_factory.mktemp("bare")).write()


def test_all_trajectories(fabricated: World) -> None:
    found = losses.descents(fabricated.results, "arithmetic", "all")["all"]
    # right 1.0, 0.7, 0.5; wrong 1.5, 1.35, 1.25: slopes (0.5 - 1.0) / 2 and (1.25 - 1.5) / 2
    right, wrong = found.last
    assert (found.counts, right.mean, wrong.mean, right.n) == ((2, 2), approx(0.5), approx(1.25), 2)
    assert [slope.mean for slope in found.slopes] == [approx(-0.25), approx(-0.125)]
    assert (found.gap.mean, found.slope_gap.mean) == (approx(0.75), approx(0.125))
    # over three epochs the slope of the logarithms is half of the last less the first, as that of the means
    assert [slope.mean for slope in found.relative] == [
        approx(100 * (math.sqrt(0.5 / 1.0) - 1)), approx(100 * (math.sqrt(1.25 / 1.5) - 1)),
    ]  # fmt: skip
    assert found.relative_gap.mean == approx(100 * (math.sqrt(1.25 / 1.5) - math.sqrt(0.5)))


def test_what_starts_twice_as_high_falls_twice_as_fast_in_nats_alone(tmp_path: Path) -> None:
    class Double(World):
        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            left = 0.499 + 0.002 * run.seed
            wrong = 2.0 * left ** frame["epoch"]
            return frame.assign(loss=wrong.where(frame["verdict"] == "wrong", 0.5 ** frame["epoch"]))

    found = losses.descents(Double(tmp_path).write().results, "arithmetic", "all")["all"]
    # right 0.5, 0.25, 0.125, wrong the double: slopes -0.1875 and -0.375, and a half less each epoch, but for
    # 0.1 % more or less by seed
    assert (found.slope_gap.mean, found.slope_gap.sign) == (approx(-0.1875, rel=1e-3), -1)
    assert [slope.mean for slope in found.relative] == [approx(-50), approx(-50)]
    assert (found.relative_gap.mean, found.relative_gap.sign) == (approx(0, abs=1e-6), 0)
    assert found.relative_gap.high == approx(0.1 * T1, rel=1e-4)


def test_a_loss_of_nothing_has_no_percentages(tmp_path: Path) -> None:
    class Learnt(World):
        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            return frame.assign(loss=frame["loss"].where(frame["epoch"] < 3, 0.0))

    found = losses.descents(Learnt(tmp_path).write().results, "arithmetic", "all")["all"]
    assert (found.relative, found.relative_gap) == ((None, None), None)
    assert found.slope_gap is not None


def test_groups_by_type(bare: World) -> None:
    found = losses.descents(bare.results, "arithmetic", "all")
    assert list(found) == ["all", "chain", "bare", "chain, matched"]
    # Chains: right as before, and t-3 alone with 1.5, 1.3, 1.1 is wrong; 0.1 more at the end for seed 1.
    chains = found["chain"]
    assert (chains.counts, chains.gap.mean) == ((2, 1), approx(0.6))
    assert chains.last[1].mean == approx(1.15)
    # by seed (1.1 - 1.5) / 2 and (1.2 - 1.5) / 2
    assert chains.slopes[1].mean == approx(-0.175)
    assert chains.slopes[1].high == approx(-0.175 + 0.025 * T1, abs=1e-6)
    # the same 0.1 for both verdicts: no seed differs from the other
    assert (chains.slope_gap.mean, chains.slope_gap.error) == (approx(0.05), approx(0, abs=1e-7))
    # Of 60 tokens both verdicts have one chain: t-1 with 1.0, 0.6, 0.4, and t-3.
    matched = found["chain, matched"]
    assert (matched.counts, matched.gap.mean) == ((1, 1), approx(0.7))
    assert matched.slope_gap.mean == approx(-0.2 + 0.3)
    alone = found["bare"]
    assert (alone.counts, alone.last[0], alone.gap, alone.slope_gap) == ((0, 1), None, None, None)
    assert alone.slopes[1].mean == approx((-0.05 + 0) / 2)


def test_one_epoch_has_no_slope(tmp_path: Path) -> None:
    class Short(World):
        def history(self, run: Run) -> pd.DataFrame:
            return super().history(run).query("epoch == 1")

    found = losses.descents(Short(tmp_path).write().results, "arithmetic", "all")["all"]
    assert found.gap.mean == approx(0.5)
    assert (found.slopes, found.slope_gap) == ((None, None), None)


def test_a_seed_without_one_verdict_is_not_compared(tmp_path: Path) -> None:
    class Odd(World):
        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            return frame[frame["verdict"] == "correct"] if run.seed else frame

    found = losses.descents(Odd(tmp_path).write().results, "arithmetic", "all")["all"]
    assert (found.last[1], found.gap) == (None, None)
    assert found.last[0].mean == approx(0.5)


def test_trajectories_that_were_not_judged_are_refused(tmp_path: Path) -> None:
    class Others(World):
        def trajectories(self, domain: str) -> list[dict]:
            return [row | {"trajectory_id": "u"} for row in super().trajectories(domain)[:1]]

    results = Others(tmp_path).write().results
    message = (
        r"verdicts/arithmetic\.jsonl\.gz: no trajectory 't-0', on which arm 'all' was trained; train it again"
    )
    with pytest.raises(UserError, match=message):
        losses.descents(results, "arithmetic", "all")


def test_lengths_are_in_characters_where_tokens_were_not_counted(tmp_path: Path) -> None:
    class Imported(World):
        def trajectories(self, domain: str) -> list[dict]:
            return [row | {"response_tokens": None} for row in super().trajectories(domain)]

    results = Imported(tmp_path, document(seeds=[0])).write().results
    history = dynamics.histories(results, "arithmetic", "all")
    found = losses.with_types(results, "arithmetic", history).drop_duplicates("trajectory_id")
    assert found.set_index("trajectory_id")["length"].to_dict() == {
        "t-0": 60,
        "t-1": 120,
        "t-2": 60,
        "t-3": 120,
    }


# --- matching -------------------------------------------------------------------------------------


def history(rows: list[tuple[str, float, float]], epochs: int = 1, seeds: int = 1) -> pd.DataFrame:
    """(verdict, length, loss) of every trajectory, in each epoch and seed."""
    frames = [
        pd.DataFrame(rows, columns=["verdict", "length", "loss"]).assign(
            seed=seed, epoch=epoch + 1, type="chain"
        )
        for seed in range(seeds)
        for epoch in range(epochs)
    ]
    return pd.concat(frames, ignore_index=True)


SHORT_LOSSES = [
    *[("correct", 10, 2.0)] * 10, *[("correct", 30, 1.0)] * 10,
    *[("wrong", 10, 2.0)] * 20, *[("wrong", 30, 1.0)] * 10,
]  # fmt: skip
"""The loss depends on the length alone, and more of the wrong ones are short."""


def test_a_difference_that_comes_with_length_is_gone_when_lengths_match() -> None:
    # Twenty right ones, the rarer, are two bins of ten on average, cut at their median, 20. In the first are
    # ten right and twenty wrong, in the second ten of each.
    frame = history(SHORT_LOSSES, epochs=2, seeds=2)
    weights = losses.matching_weights(frame)
    by_kind = weights.groupby([frame["verdict"], frame["length"]]).unique().map(list)
    assert by_kind.to_dict() == {
        ("correct", 10): [1.0], ("correct", 30): [1.0], ("wrong", 10): [0.5], ("wrong", 30): [1.0],
    }  # fmt: skip
    plain, matched = (losses.curve(frame, group).loc[(1, 2)] for group in ("chain", "chain, matched"))
    assert (plain["correct"], plain["wrong"]) == (1.5, approx(50 / 30))
    assert (matched["correct"], matched["wrong"]) == (1.5, approx(1.5))


def test_lengths_that_one_verdict_alone_has_do_not_count() -> None:
    frame = history([*SHORT_LOSSES, *[("wrong", 500, 9.0)] * 20])
    weights = losses.matching_weights(frame)
    assert set(weights[frame["length"] == 500]) == {0.0}
    assert losses.curve(frame, "chain, matched").iloc[0]["wrong"] == approx(1.5)
    assert losses.curve(frame, "chain").iloc[0]["wrong"] > 4


def test_a_difference_at_equal_lengths_stays() -> None:
    frame = history(
        [(verdict, length, loss + (verdict == "wrong")) for verdict, length, loss in SHORT_LOSSES]
    )
    found = losses.curve(frame, "chain, matched").iloc[0]
    assert found["wrong"] - found["correct"] == approx(1)


def test_one_verdict_alone_matches_nothing() -> None:
    frame = history([("wrong", 10, 1.0)] * 3)
    assert losses.matching_weights(frame).tolist() == [0, 0, 0]
    assert losses.curve(frame, "chain, matched").empty


@given(
    st.lists(st.tuples(st.sampled_from(["correct", "wrong"]), st.integers(1, 200)), min_size=1, max_size=300),
    st.randoms(use_true_random=False),
)
def test_matched_verdicts_weigh_the_same_in_every_bin(rows: list[tuple[str, int]], random: object) -> None:
    """Against pairs counted one by one; whatever the order of the trajectories."""
    frame = history([(verdict, length, float(length)) for verdict, length in rows])
    weights = losses.matching_weights(frame)
    right, wrong = ([length for own, length in rows if own == verdict] for verdict in ("correct", "wrong"))
    least, most = (max(min(right), min(wrong)), min(max(right), max(wrong))) if right and wrong else (1, 0)
    shared = [[length for length in own if least <= length <= most] for own in (right, wrong)]
    rarer = min(shared, key=len)
    bins = max(1, min(10, len(rarer) // 10))
    cuts = sorted({float(np.quantile(rarer, k / bins)) for k in range(1, bins)})
    pairs = 0
    for low, high in zip([least - 1, *cuts], [*cuts, most], strict=True):
        within = (frame["length"] > low) & (frame["length"] <= high)
        own = [within & (frame["verdict"] == verdict) for verdict in ("correct", "wrong")]
        fewer = min(int(one.sum()) for one in own)
        pairs += fewer
        for one in own:
            assert weights[one].sum() == approx(fewer)
            assert weights[one].nunique() <= 1
    assert weights.sum() == approx(2 * pairs)
    order = list(frame.index)
    random.shuffle(order)
    assert losses.matching_weights(frame.loc[order]).sort_index().tolist() == weights.tolist()
