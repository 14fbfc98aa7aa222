"""Findings on training: the descent of losses, policy entropy and weights, as made-up results have them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from fabricated import World, document, named
from pytest import approx

from glow.files.jsonl import read_jsonl, write_jsonl
from glow.reporting.cells import MINUS
from glow.reporting.finding_words import Badge
from glow.reporting.findings import find
from glow.reporting.policy_entropy import changes
from glow.reporting.power import Sources
from glow.reporting.results import Run
from glow.reporting.scopes import IN_DOMAIN


def test_an_undecided_entropy_is_in_percent_of_a_ratio(fabricated: World) -> None:
    # Logarithms of 1.5 and 1.25, with no variance over questions: an ordinary t with one degree of freedom.
    log = [math.log(1.5), math.log(1.25)]
    least = 100 * math.expm1(Sources.of_seeds(np.var(log, ddof=1)).detectable(2))
    detail = named(find(fabricated.results), "The policy entropy").detail
    for scope in ("in-domain", "out of domain"):
        assert f"a true rise {scope} of {least:.1f} % would be found" in detail
    # 0.25 / 0.2 and 0.25 / 0.4, on average a fall, which counts by its logarithm
    log = [math.log(1.25), math.log(0.625)]
    fall = changes(fabricated.results)["arithmetic", "all", IN_DOMAIN]
    assert fall.difference.mean < 0
    assert fall.detectable == approx(100 * math.expm1(Sources.of_seeds(np.var(log, ddof=1)).detectable(2)))
    assert fall.seeds_needed() == Sources.of_seeds(np.var(log, ddof=1)).seeds_needed(abs(np.mean(log)))


def test_an_undecided_loss_has_seeds_alone(tmp_path: Path) -> None:
    class Uncertain(World):
        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            steeper = (frame["verdict"] == "wrong") * (-0.5) * run.seed * frame["epoch"]
            return frame.assign(loss=frame["loss"] + steeper)

    detail = named(find(Uncertain(tmp_path).write().results), "The training loss of negatives").detail
    # Slopes -0.125 and -0.25 differ by 0.125, with the other seed by -0.375: a standard deviation of 0.35355
    least = Sources.of_seeds(0.125).detectable(2)
    assert f"With these seeds, a true difference of {least:.3f} nats per epoch would be found" in detail


def test_a_loss_that_stays_higher_is_no_slower_descent(tmp_path: Path) -> None:
    class Parallel(World):
        """The loss of negatives falls by 0.6 from 2.0; that of positives, by seed, by 0.5 and 0.4."""

        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            wrong = frame["verdict"] == "wrong"
            loss = frame["loss"] + 0.05 * run.seed * (frame["epoch"] - 1)
            return frame.assign(loss=loss.where(~wrong, 2.3 - 0.3 * frame["epoch"]))

    loss = named(find(Parallel(tmp_path).write().results), "The training loss")
    # slopes -0.3 against -0.25 and -0.2: -0.05 and -0.10 by seed, so -0.075 ± 0.025 * 12.7
    assert loss.headline.endswith("neither clearly faster nor clearly more slowly than that of positives")
    assert loss.badge.standing == "undecided"
    assert f"all {MINUS}0.075 [{MINUS}0.393, +0.243]" in loss.detail
    assert "in the last epoch: on chains matched by length: all +0." in loss.more


def test_a_loss_that_falls_faster_is_the_opposite(tmp_path: Path) -> None:
    class Fast(World):
        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            return frame.assign(loss=frame["loss"].where(frame["verdict"] == "correct", 4.0 - frame["epoch"]))

    loss = named(find(Fast(tmp_path).write().results), "The training loss")
    assert loss.headline == "The training loss of negatives (all) falls faster than that of positives"
    assert loss.badge.standing == "not as published"


class Halved(World):
    """The loss of positives falls by half in an epoch, from 1; that of negatives to `LEFT` of it, from 2."""

    LEFT = 0.5

    def history(self, run: Run) -> pd.DataFrame:
        frame = super().history(run)
        done, is_wrong = frame["epoch"] - 1, frame["verdict"] == "wrong"
        left = self.LEFT + 0.001 * run.seed
        return frame.assign(loss=np.where(is_wrong, 2.0 * left**done, 0.5**done))


def test_a_loss_that_is_higher_and_falls_as_fast_in_percent_decides_nothing(tmp_path: Path) -> None:
    loss = named(find(Halved(tmp_path).write().results), "How fast the training loss")
    assert loss.headline == (
        "How fast the training loss of negatives (all) falls depends on the scale: in nats faster than that "
        "of positives, in percent neither clearly faster nor clearly more slowly than it"
    )
    assert loss.badge.standing == "undecided"


def test_opposite_directions_on_two_scales_depend_on_the_scale(tmp_path: Path) -> None:
    class Slower(Halved):
        """2, 1.2 and 0.72 fall by 0.64 an epoch and by 40 %; 1, 0.5 and 0.25 by 0.375 and by 50 %."""

        LEFT = 0.6

    loss = named(find(Slower(tmp_path).write().results), "How fast the training loss")
    assert loss.headline.endswith("in nats faster than that of positives, in percent more slowly than it")
    assert loss.badge.standing == "depends on the scale"


def test_arms_that_differ_from_the_first_are_named(tmp_path: Path) -> None:
    class Glow(Halved):
        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            is_slow = (frame["verdict"] == "wrong") & (run.name != "glow")
            return frame.assign(loss=frame["loss"].where(~is_slow, 2.0 * 0.4 ** (frame["epoch"] - 1)))

    loss = named(find(Glow(tmp_path).write().results), "The training loss")
    assert loss.headline == (
        "The training loss of negatives (all) falls faster than that of positives; not so on both scales in "
        "glow"
    )
    assert loss.badge.standing == "not as published"


def test_bare_negatives_leave_the_descent_undecided(tmp_path: Path) -> None:
    class Bare(World):
        def trajectories(self, domain: str) -> list[dict]:
            bare = {"response": r"\boxed{1}", "extracted": "1"}
            return [row | (bare if row["verdict"] == "wrong" else {}) for row in super().trajectories(domain)]

    loss = named(find(Bare(tmp_path).write().results), "Whether the loss")
    assert loss.badge.standing == "undecided"
    assert "on all trajectories: all +0.125" in loss.more
    assert "on chains" not in loss.more


class Form(World):
    """`negative` has bare answers with a higher entropy than `positive`, and chains with a lower one."""

    def response(self, run: Run, question: int) -> str:
        is_bare = run.name == "negative" and question % 2
        return r"\boxed{1}" if is_bare else super().response(run, question)

    def entropy(self, run: Run) -> float:
        return 0.5 if run.name == "negative" else 0.25

    def parts(self, run: Run, question: int) -> dict:
        is_chain = run.name == "negative" and question % 2 == 0
        return {"entropy_tenths": [0.6 + 0.01 * run.seed if is_chain else 0.75] * 10, "entropy_end": None}


def test_the_entropy_of_chains_decides_and_that_of_all_stands_beside_it(tmp_path: Path) -> None:
    found = named(find(Form(tmp_path, document(seeds=list(range(8)))).write().results), "The policy entropy")
    # 0.2 nats and a little more by seed, against 0.25; but 0.5 on all tokens
    assert found.headline == (
        "The policy entropy on chains, against that of positive-only SFT: in-domain, lower for 1 of 4 arms "
        "with negatives (negative); out of domain, lower for 1 of 4 arms with negatives (negative)"
    )
    # which arm the published change is of is not known, and the others have no change
    assert found.badge == Badge(
        "undecided",
        "policy entropy on chains, negative, all, glow, glow_released against positive, in-domain and out of "
        "domain",
    )
    assert f"without the end of the turn: in-domain: negative {MINUS}15." in found.detail
    assert "On all responses with their ends: in-domain: negative +100.0" in found.more


def test_entropy_is_as_published_where_all_arms_with_negatives_agree(tmp_path: Path) -> None:
    class Higher(Form):
        def parts(self, run: Run, question: int) -> dict:
            higher = run.name not in ("positive", "base")
            return {"entropy_tenths": [0.8 + 0.01 * run.seed if higher else 0.75] * 10, "entropy_end": None}

    found = named(
        find(Higher(tmp_path, document(seeds=list(range(8)))).write().results), "The policy entropy"
    )
    assert (
        found.headline.count("higher for 4 of 4 arms with negatives (negative, all, glow, glow_released)")
        == 2
    )
    assert found.badge.standing == "as published"
    # the base has the entropy of the reference, and all arms but the reference have more
    assert "in-domain, base 0.0, and the means of 0 of 5 trained arms lie below the base's" in found.detail


class Scoped(World):
    """All others have twice the entropy of `positive` in-domain, and `outside` times it out of domain, now a
    little more and now a little less by seed."""

    outside = 1.0

    def write_evaluation(self, run: Run) -> None:
        super().write_evaluation(run)
        path = self.results.evaluation(run) / "samples.jsonl.gz"
        rows = []
        for row in read_jsonl(path):
            factor = 1.0 + 0.01 * run.seed
            if run.name != "positive":
                factor *= 2.0 if row["suite"] == "arithmetic" else self.outside
                factor += 0.01 * (-1) ** run.seed
            rows.append(row | {"entropy_tenths": [0.75 * factor] * 10})
        write_jsonl(path, rows)


def test_entropy_that_rises_in_domain_alone_depends_on_the_suites(tmp_path: Path) -> None:
    content = document(seeds=list(range(8)), grpo=None)
    found = named(find(Scoped(tmp_path, content).write().results), "The policy entropy")
    assert "in-domain, higher for 4 of 4 arms with negatives" in found.headline
    assert "and for the base; out of domain" in found.headline
    assert found.badge.standing == "depends on the suites"


def test_entropy_that_rises_in_both_scopes_is_as_published(tmp_path: Path) -> None:
    class Both(Scoped):
        outside = 1.5

    content = document(seeds=list(range(8)), grpo=None)
    found = named(find(Both(tmp_path, content).write().results), "The policy entropy")
    assert found.badge.standing == "as published"


def test_entropy_that_was_archived_by_an_earlier_version_decides_nothing(tmp_path: Path) -> None:
    class Older(Form):
        def entropy(self, run: Run) -> float:
            return super().entropy(run) + 0.01 * run.seed * (run.name == "negative")

        def parts(self, run: Run, question: int) -> dict:
            return {}

    found = named(find(Older(tmp_path, document(seeds=list(range(8)))).write().results), "The policy entropy")
    assert found.headline.startswith(
        "The policy entropy, against that of positive-only SFT: in-domain, higher for 1 of 4 arms with "
        "negatives (negative)"
    )
    assert found.badge.standing == "undecided"
    assert "What part of it is due to the form of answers cannot be told here." in found.detail


def test_constant_weights_are_called_so(tmp_path: Path) -> None:
    class Clamped(World):
        def history(self, run: Run) -> pd.DataFrame:
            return super().history(run).assign(weight=0.5)

    findings = find(Clamped(tmp_path).write().results)
    assert named(findings, "GLOW's weights (glow_released)").headline.endswith("are the same for all samples")
    assert (
        "100.0 % of samples at the lower bound 0.5"
        in named(findings, "GLOW's weights (glow_released)").detail
    )


def test_weights_that_hardly_differ_are_called_so(tmp_path: Path) -> None:
    """Weights of 0.5 and 0.6: (4 * 0.55)² / (4 * 2 * (0.25 + 0.36)) = 0.9918."""

    class Nearly(World):
        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            return frame.assign(weight=np.where(frame.index % 2, 0.5, 0.6))

    found = named(find(Nearly(tmp_path).write().results), "GLOW's weights (glow)")
    assert found.headline == "GLOW's weights (glow) hardly differ between samples"
    assert "all weights are equal: 99.2 % in epoch 2, 99.2 to 99.2 % in later ones." in found.detail


def test_weights_that_differ_in_one_epoch_are_said_to_do_so_there(tmp_path: Path) -> None:
    """In epoch 2 half are 0.1 and half 0.5: (4 * 0.3)² / (4 * 2 * (0.01 + 0.25)) = 0.6923."""

    class Once(World):
        def history(self, run: Run) -> pd.DataFrame:
            frame = super().history(run)
            is_low = (frame["epoch"] == 2) & (frame.index % 2 == 0)
            return frame.assign(weight=np.where(is_low, 0.1, 0.5))

    found = named(find(Once(tmp_path).write().results), "GLOW's weights (glow)")
    assert (
        found.headline == "GLOW's weights (glow) differ between samples in epoch 2, and hardly in the others"
    )
    assert "69.2 % in epoch 2, 100.0 to 100.0 % in later ones" in found.detail
    assert "2: 69.2 % (mean weight 0.300, s.d. 0.200); 3: 100.0 %" in found.more
