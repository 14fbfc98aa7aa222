"""What GRPO did: by initialisation and averaged over them, over the seeds of GRPO."""

from pathlib import Path

import numpy as np
import pytest
from fabricated import World, document
from pytest import approx

from glow.reporting import grpo
from glow.reporting.results import Run
from glow.reporting.scopes import IN_DOMAIN, OOD
from glow.reporting.statistics import crossed

T1 = 12.706205  # 97.5 % of Student's t with one degree of freedom
T9 = 2.262157  # with nine
DOMAIN = "arithmetic"


def of_some(**chosen: object) -> dict:
    """A configuration of three seeds, with GRPO from only some models or with only some seeds."""
    return document(seeds=[0, 1, 2], grpo={"steps": 20, "max_tokens": 64, **chosen})


# --- accuracy -------------------------------------------------------------------------------------


def test_grpo_change_is_paired_by_question_and_seed(fabricated: World) -> None:
    # Seven of ten questions go from wrong to right in both seeds: mean 0.7, variance
    # (7 * 0.3^2 + 3 * 0.7^2) / 9 = 0.2333, error sqrt(0.02333) = 0.15275; seeds add nothing.
    found = grpo.changes(fabricated.results)["arithmetic", "base", IN_DOMAIN]
    change = found.difference
    assert (change.mean, change.n, change.questions) == (approx(70), 2, 10)
    assert change.low == approx(70 - 15.2753 * T9, abs=1e-2)
    assert found.sign == 0  # two seeds that tie are no proof that seeds do not differ


def test_grpo_change_of_many_seeds_is_told_from_none(many: World) -> None:
    found = grpo.changes(many.results)["arithmetic", "base", IN_DOMAIN]
    # t = 70 / 15.2753 with nine degrees of freedom: p = 0.0013, times at most twelve
    assert found.difference.p == approx(0.00132, abs=1e-5)
    assert found.sign == 1


def test_grpo_seeds_that_differ(fabricated: World) -> None:
    # positive 6 -> 9 and 8 -> 10: questions 7, 8, 10 change in one seed (50), question 9 in both (100).
    # Questions: variance 1250 / 10 = 125. Seeds: 30 and 20, variance 25. The rest: off by 45 on 7 and 8
    # (+, -), by 55 on 10 (-, +) and by 5 elsewhere: (4 * 45^2 + 2 * 55^2 + 14 * 5^2) / 9 / 20 = 80.56 > 25.
    found = grpo.changes(fabricated.results)["arithmetic", "positive", IN_DOMAIN]
    change = found.difference
    assert (change.mean, change.error) == (approx(25), approx(125**0.5))
    assert change.low == approx(25 - 5 * T1, abs=1e-4)  # t over the seeds is longer
    assert found.sign == 0


def test_grpo_suites_weigh_alike(fabricated: World) -> None:
    # negative, OOD: lists 4 -> 4 and 4 -> 4 (0), choice 5 -> 5 and 6 -> 5 (-0.5 on one question of ten: -5)
    change = grpo.changes(fabricated.results)["arithmetic", "negative", OOD].difference
    assert (change.mean, change.questions) == (approx(-2.5), 20)


def test_accuracy_before_is_over_the_seeds_of_grpo(tmp_path: Path) -> None:
    results = World(tmp_path, of_some(seeds=[1])).write().results
    # positive with seed 1: 8 of 10 before, 10 of 10 after
    before, after = (
        grpo.accuracy(results, kind, DOMAIN, ["positive"], IN_DOMAIN) for kind in ("sft", "grpo")
    )
    assert before is not None
    assert after is not None
    assert (before.mean, before.n, after.mean, after.n) == (approx(80), 1, approx(100), 1)
    change = grpo.changes(results)[DOMAIN, "positive", IN_DOMAIN]
    assert (change.difference.mean, change.difference.n, change.sign) == (approx(20), 1, 0)


def test_accuracy_of_several_is_their_average_question_by_question(fabricated: World) -> None:
    # Of the ten arithmetic problems, the first are right: base 1 (both seeds), positive 6 and 8.
    found = grpo.accuracy(fabricated.results, "sft", DOMAIN, ["base", "positive"], IN_DOMAIN)
    assert found is not None
    assert (found.by_seed, found.questions) == ((approx(35), approx(45)), 10)
    right = np.array([[1] + [0.5] * 5 + [0] * 4, [1] + [0.5] * 7 + [0] * 2])
    assert found == crossed([100 * right])


def test_no_suite_no_accuracy(tmp_path: Path) -> None:
    results = World(tmp_path, document(suites={"lists": {"families": ["sorting"]}})).write().results
    assert grpo.accuracy(results, "grpo", DOMAIN, ["base"], IN_DOMAIN) is None
    assert set(grpo.pooled_changes(results)) == {(DOMAIN, OOD)}


def test_the_pooled_change_weighs_initialisations_alike(fabricated: World) -> None:
    """Six initialisations; in-domain right before -> after, by seed:

    base 1 -> 8, 1 -> 8; positive 6 -> 9, 8 -> 10; negative 5 -> 6 twice; all 6 -> 7, 8 -> 9;
    glow 7 -> 8, 9 -> 10; glow_released 6 -> 7, 8 -> 9.
    """
    pooled = grpo.pooled_changes(fabricated.results)
    change = pooled[DOMAIN, IN_DOMAIN].difference
    # 7 + 3 + 1 + 1 + 1 + 1 = 14 and 7 + 2 + 1 + 1 + 1 + 1 = 13 of 6 x 10
    assert change.by_seed == (approx(1400 / 60), approx(1300 / 60))
    assert (change.n, change.questions) == (2, 10)
    by_seed = [
        # how many of the six initialisations gained each of the ten questions
        [0, 1, 1, 1, 1, 2, 4, 3, 1, 0],
        [0, 1, 1, 1, 1, 2, 1, 1, 3, 2],
    ]
    expected = crossed([100 * np.array(by_seed) / 6])
    assert (change.mean, change.error, change.p) == tuple(
        map(approx, (expected.mean, expected.error, expected.p))
    )
    assert change.low == approx(change.mean - T1 * (100 / 60) / 2)  # few seeds: t over their two means
    assert set(pooled) == {(DOMAIN, IN_DOMAIN), (DOMAIN, OOD)}  # a family of its own
    smaller, _ = sorted(pooled.values(), key=lambda found: found.difference.p)
    assert smaller.p_holm == approx(min(1, 2 * smaller.difference.p))


def test_pooled_over_one_initialisation_is_its_change(tmp_path: Path) -> None:
    results = World(tmp_path, of_some(initialisations=["glow"])).write().results
    pooled, own = grpo.pooled_changes(results), grpo.changes(results)
    assert set(own) == {(DOMAIN, "glow", IN_DOMAIN), (DOMAIN, "glow", OOD)}
    assert all(pooled[DOMAIN, scope] == own[DOMAIN, "glow", scope] for scope in (IN_DOMAIN, OOD))


# --- rollouts -------------------------------------------------------------------------------------


class Uneven(World):
    """The reward from `base` is lower by 0.04, and rises four times as fast with seed 1."""

    def grpo_log(self, run: Run) -> list[dict]:
        if run.name != "base":
            return super().grpo_log(run)
        speed = 0.04 if run.seed == 1 else 0.01
        return [row | {"reward": 0.01 + speed * row["step"]} for row in super().grpo_log(run)]


def test_the_ends_of_the_reward(fabricated: World) -> None:
    # 20 steps, so two at each end: 0.06, 0.07 and 0.07, 0.09; 0.24, 0.25 and 0.43, 0.45
    found = grpo.reward(fabricated.results, DOMAIN, ["glow"])
    assert (found.first.mean, found.last.mean) == (approx((0.065 + 0.08) / 2), approx((0.245 + 0.44) / 2))
    # rises of 0.18 and 0.36, paired by seed: 0.27 ± 0.09
    assert (found.rise.mean, found.rise.error) == (approx(0.27), approx(0.09))
    assert found.rise.low == approx(0.27 - T1 * 0.09)


def test_the_reward_of_several_is_their_average_seed_by_seed(tmp_path: Path) -> None:
    results = Uneven(tmp_path).write().results
    # base: 0.025 -> 0.205 and 0.07 -> 0.79; glow: 0.065 -> 0.245 and 0.08 -> 0.44
    found = grpo.reward(results, DOMAIN, ["base", "glow"])
    assert (found.first.mean, found.last.mean) == (approx((0.045 + 0.075) / 2), approx((0.225 + 0.615) / 2))
    assert (found.rise.mean, found.rise.error, found.rise.n) == (approx(0.36), approx(0.18), 2)


def test_one_seed_of_grpo_has_a_rise_and_no_interval(tmp_path: Path) -> None:
    results = World(tmp_path, of_some(seeds=[1])).write().results
    rise = grpo.reward(results, DOMAIN, results.initialisations).rise
    assert (rise.mean, rise.n, rise.bounds) == (approx(0.36), 1, None)


def test_unanimous_prompts_at_first_and_in_all_steps(fabricated: World) -> None:
    # By step 0.4 + 0.01 a step, 0.1 more with seed 1: the first two 0.415 and 0.515, all 0.505 and 0.605
    first, whole = grpo.unanimous(fabricated.results, DOMAIN, ["glow"])
    assert (first.mean, first.error) == (approx(46.5), approx(5))
    assert (whole.mean, whole.error) == (approx(55.5), approx(5))


class Silent(World):
    """GRPO from `all` has no signal in 18 of 20 steps with seed 1, from `glow` in 8 with both seeds."""

    def grpo_log(self, run: Run) -> list[dict]:
        silent = {("all", 1): 18, ("glow", 0): 8, ("glow", 1): 8}.get((run.name, run.seed), 0)
        return [
            row | {"unanimous_ratio": 1.0 if row["step"] <= silent else 0.5} for row in super().grpo_log(run)
        ]


def test_steps_with_signal(tmp_path: Path) -> None:
    results = Silent(tmp_path).write().results
    assert [grpo.lacks_signal(results, DOMAIN, name) for name in ("all", "glow", "base")] == [
        True, False, False,
    ]  # fmt: skip
    # all: 20 and 2 of 20 steps; glow: 12 and 12; by seed the two have 80 % and 35 %
    alone, both = (grpo.steps_with_signal(results, DOMAIN, names) for names in (["all"], ["all", "glow"]))
    assert (alone.mean, alone.error) == (approx(55), approx(45))
    assert (both.mean, both.error) == (approx(57.5), approx(22.5))


@pytest.mark.parametrize(("seeds", "spread"), [([0, 1], True), ([1], False)])
def test_a_curve_is_smoothed_and_has_an_error_over_several_seeds(
    tmp_path: Path, seeds: list[int], spread: bool
) -> None:
    results = World(tmp_path, of_some(seeds=seeds)).write().results
    curve = grpo.curve(results, DOMAIN, "glow", "reward")
    assert list(curve.mean.index) == list(range(1, 21))
    # A window of two steps: itself and the one before. Seed 0 has 0.11 and 0.12 at steps 6 and 7, seed 1
    # has 0.17 and 0.19.
    assert curve.mean[7] == approx((0.115 + 0.18) / 2 if spread else 0.18)
    assert (curve.low is not None) == spread
    if curve.low is not None:
        assert (curve.low[7], curve.high[7]) == (approx(0.115), approx(0.18))


def test_the_band_of_many_seeds_is_a_standard_error(many: World) -> None:
    curve = grpo.curve(many.results, DOMAIN, "glow", "reward")
    # at step 7, seed s has 0.05 + 0.01 * 6.5 * (1 + s): eight values 0.065 apart
    error = 0.065 * (((8**2 - 1) / 12) * 8 / 7 / 8) ** 0.5
    assert curve.mean[7] == approx(0.05 + 0.065 * 4.5)
    assert (curve.low[7], curve.high[7]) == (approx(curve.mean[7] - error), approx(curve.mean[7] + error))


@pytest.mark.parametrize("seeds", [[2, 0], [0, 2]])
def test_the_order_of_seeds_in_the_configuration_means_nothing(tmp_path: Path, seeds: list[int]) -> None:
    results = World(tmp_path, of_some(seeds=seeds)).write().results
    frame = grpo.by_step(results, DOMAIN, "glow", "reward")
    assert list(frame.columns) == [0, 2]
    assert [run.seed for run in results.runs("grpo")][:2] == [0, 2]
