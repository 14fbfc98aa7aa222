import math
from pathlib import Path

import numpy as np
import pandas as pd
from fabricated import World, document

from glow.reporting.cells import MINUS
from glow.reporting.findings import Badge, Finding, find
from glow.reporting.measures import entropy_changes, gains
from glow.reporting.power import Sources
from glow.reporting.results import Run
from glow.reporting.scopes import OOD


def named(findings: list[Finding], start: str) -> Finding:
    return next(finding for finding in findings if finding.headline.startswith(start))


def test_a_mean_whose_interval_holds_zero_decides_nothing(fabricated: World) -> None:
    glow = named(find(fabricated.results), "The OOD accuracy of GLOW (glow)")
    assert glow.headline == "The OOD accuracy of GLOW (glow) cannot be told from that of positive-only SFT"
    assert glow.badge == Badge("undecided", "glow against positive, OOD mean")
    assert f"glow +17.5 [{MINUS}14.3, +49.3]" in glow.detail
    assert "Difference from plain SFT on the same data (all): glow +12.5" in glow.detail


def test_an_undecided_difference_says_what_would_be_found(fabricated: World, many: World) -> None:
    for world in (fabricated, many):
        detail = named(find(world.results), "The OOD accuracy of GLOW (glow)").detail
        found = gains(world.results)["arithmetic", "glow", OOD]
        assert found.detectable is not None
        assert (
            f"With these seeds and questions, a true difference of {found.detectable:.1f} points would be "
            "found with a chance of 80 %; for one as large as the one seen, "
        ) in detail
    few = gains(fabricated.results)["arithmetic", "glow", OOD].seeds_needed()
    assert (
        f"{few} seeds would be needed." in named(find(fabricated.results), "The OOD accuracy of GLOW").detail
    )
    assert "more than 1,000 seeds would be needed." in detail


def test_what_is_decided_or_rests_on_one_seed_says_no_such_thing(many: World, tmp_path: Path) -> None:
    entropy = named(find(many.results), "The policy entropy")
    assert "negative +" in entropy.detail
    one = find(World(tmp_path, document(seeds=[0])).write().results)
    for finding in (entropy, *one):
        assert "would be found" not in finding.detail
        assert "true changes" not in finding.detail


def test_an_undecided_entropy_is_in_percent_of_a_ratio(fabricated: World) -> None:
    # Logarithms of 1.5 and 1.25, with no variance over questions: an ordinary t with one degree of freedom.
    log = [math.log(1.5), math.log(1.25)]
    least = 100 * math.expm1(Sources.of_seeds(np.var(log, ddof=1)).detectable(2))
    detail = named(find(fabricated.results), "The policy entropy").detail
    assert f"a true rise of {least:.1f} % would be found" in detail
    # 0.25 / 0.2 and 0.25 / 0.4, on average a fall, which counts by its logarithm
    log = [math.log(1.25), math.log(0.625)]
    fall = entropy_changes(fabricated.results)["arithmetic", "all"]
    assert fall.difference.mean < 0
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


def test_what_is_equivalent_is_said(tmp_path: Path) -> None:
    class Alike(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            right = [place < 100 for place in range(200)]
            right[100 + run.seed] = run.name != "positive"
            return right

    for margin, is_said in ((2.0, True), (0.1, False)):
        content = document(seeds=list(range(8)), margin=margin, grpo=None)
        findings = find(Alike(tmp_path / str(margin), content).write().results)
        detail = named(findings, "The OOD accuracy of GLOW (glow)").detail
        assert ("It is shown to lie within ±2 points (p <0.001)." in detail) is is_said


def test_what_was_stated_comes_first(tmp_path: Path) -> None:
    stated = [
        {"arm": "glow", "over": "all", "scope": "ood"},
        {"arm": "negative", "over": "positive", "scope": "ood"},
    ]
    findings = find(World(tmp_path, document(seeds=list(range(8)), contrasts=stated)).write().results)
    assert findings[0].headline == "Of the differences stated beforehand, 1 of 2 can be told from none"
    assert "glow against all, OOD mean: +12.5 [+1.8, +23.2] (no difference: rejected)" in findings[0].detail
    assert "positive, OOD mean: +2.5 [" in findings[0].detail
    assert findings[0].detail.endswith("(no difference: not rejected).")
    # and the comparison with plain SFT on the same data, which is not corrected elsewhere, has its star
    assert "(all): glow +12.5 [+1.8, +23.2]*" in findings[1].detail


def test_the_claimed_direction_is_recognised(fabricated: World) -> None:
    loss = named(find(fabricated.results), "The training loss")
    assert loss.headline == "The training loss of negatives (all) falls more slowly than that of positives"
    assert loss.badge == Badge(
        "as published", "slopes of negatives and positives, chains of equal lengths, arm all"
    )
    assert "on chains matched by length: all +0.125 [+0.125, +0.125]; glow" in loss.detail
    slope, level = loss.more.split("in the last epoch:")
    assert "on chains matched by length: all +0.125 [+0.125, +0.125]; glow" in slope
    assert "on all trajectories: all +0.750 [+0.750, +0.750]" in level


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
        "The policy entropy on chains is lower for 1 of 4 arms with negatives (negative) than after "
        "positive-only SFT"
    )
    # which arm the published change is of is not known, and the others have no change
    assert found.badge == Badge(
        "undecided", "policy entropy on chains, negative, all, glow, glow_released against positive"
    )
    chains, everything = found.detail.split("on all responses with their ends: ")
    assert f"without the end of the turn: negative {MINUS}15." in chains
    assert "negative +100.0" in everything


def test_entropy_is_as_published_where_all_arms_with_negatives_agree(tmp_path: Path) -> None:
    class Higher(Form):
        def parts(self, run: Run, question: int) -> dict:
            higher = run.name not in ("positive", "base")
            return {"entropy_tenths": [0.8 + 0.01 * run.seed if higher else 0.75] * 10, "entropy_end": None}

    found = named(
        find(Higher(tmp_path, document(seeds=list(range(8)))).write().results), "The policy entropy"
    )
    assert "higher for 4 of 4 arms with negatives (negative, all, glow, glow_released)" in found.headline
    assert found.badge.standing == "as published"


def test_entropy_that_was_archived_by_an_earlier_version_decides_nothing(tmp_path: Path) -> None:
    class Older(Form):
        def entropy(self, run: Run) -> float:
            return super().entropy(run) + 0.01 * run.seed * (run.name == "negative")

        def parts(self, run: Run, question: int) -> dict:
            return {}

    found = named(find(Older(tmp_path, document(seeds=list(range(8)))).write().results), "The policy entropy")
    assert found.headline.startswith("The policy entropy is higher for 1 of 4 arms with negatives (negative)")
    assert found.badge.standing == "undecided"
    assert "What part of it is due to the form of answers cannot be told here." in found.detail


def test_the_opposite_direction_is_said(tmp_path: Path) -> None:
    class Harmful(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            right = 2 if run.name.startswith("glow") else 6
            return [index < right for index in range(10)]

    many = document(seeds=list(range(8)))
    findings = find(Harmful(tmp_path, many).write().results)
    glow = named(findings, "The OOD accuracy of GLOW (glow)")
    assert glow.headline == "The OOD accuracy of GLOW (glow) is lower than that of positive-only SFT"
    assert glow.badge.standing == "not as published"
    for negatives in (
        named(findings, "The OOD accuracy of SFT on wrong answers alone (negative)"),
        named(findings, "The OOD accuracy of SFT on right and wrong answers (all)"),
    ):
        assert negatives.headline.endswith(
            "cannot be told from that of positive-only SFT: the means are equal"
        )
        assert negatives.badge.standing == "undecided"


def test_one_seed_is_undecided(tmp_path: Path) -> None:
    stated = [{"arm": "glow", "over": "all", "scope": "ood"}]
    findings = find(World(tmp_path, document(seeds=[0], contrasts=stated)).write().results)
    *inferred, glow_weights, released_weights, grpo = findings
    for found in (*inferred, grpo):
        assert found.headline.startswith("One seed: not decided whether ")
        assert found.badge is None or found.badge.standing == "undecided"
    assert len(inferred) == 7
    # 5 of 20 and 3 of 10 questions more: an interval over questions alone decides nothing
    assert "glow +15.0 [" in named(findings, "One seed: not decided whether the OOD accuracy of GLOW").detail
    for weights in (glow_weights, released_weights):
        assert weights.headline.startswith("In the one run, ")


def test_negatives_alone_and_beside_positives_are_two_claims(fabricated: World) -> None:
    findings = find(fabricated.results)
    alone = named(findings, "The OOD accuracy of SFT on wrong answers alone")
    beside = named(findings, "The OOD accuracy of SFT on right and wrong answers")
    assert alone.badge.contrast == "negative against positive, OOD mean"
    assert beside.badge.contrast == "all against positive, OOD mean"
    # all: 45 and 55 against 40 and 50
    assert "all +5.0 [" in beside.detail
    assert "negative" not in beside.detail


def test_grpo_counts_what_rose(fabricated: World, many: World) -> None:
    few = named(find(fabricated.results), "GRPO")
    assert few.headline == ("GRPO measurably raised in-domain accuracy on average over 6 starting models")
    grpo = named(find(many.results), "GRPO")
    assert grpo.headline == "GRPO measurably raised in-domain accuracy from 1 of 6 starting models (base)"
    assert "base +70.0 [+35.4, +104.6]*" in grpo.detail


def test_grpo_is_averaged_over_what_it_started_from(many: World, tmp_path: Path) -> None:
    # Seeds are even or odd: 14 and 13 of 60 more (test_grpo_measures)
    assert " Averaged over them +22.5 [" in named(find(many.results), "GRPO").detail
    chosen = {"steps": 20, "max_tokens": 64, "initialisations": ["glow"], "seeds": [1]}
    one = find(World(tmp_path, document(grpo=chosen)).write().results)[-1]
    assert one.headline == "One seed: not decided whether GRPO raises in-domain accuracy"
    assert "Averaged" not in one.detail
    assert one.detail.endswith(
        " GRPO ran with one seed: these intervals are over questions only, and decide nothing."
    )
    assert "one seed" not in named(find(many.results), "GRPO").detail


def test_grpo_without_signal_is_said(fabricated: World, tmp_path: Path) -> None:
    class Silent(World):
        def grpo_log(self, run: Run) -> list[dict]:
            taught = run.name not in ("base", "glow")
            return [row | {"unanimous_ratio": 0.5 if taught else 1.0} for row in super().grpo_log(run)]

    detail = named(find(Silent(tmp_path).write().results), "GRPO").detail
    assert detail.endswith(". From base, glow, GRPO had nothing to learn from in most steps of a run.")
    assert "nothing to learn" not in named(find(fabricated.results), "GRPO").detail


def test_in_domain_names_what_differs_and_no_highest_mean(fabricated: World, many: World) -> None:
    few, eight = (named(find(world.results), "In-domain") for world in (fabricated, many))
    assert few.headline == "In-domain, no accuracy can be told from that of positive-only SFT"
    # One question of ten differs, in each seed another: question means 10, 10 of 100 / 2.
    assert "glow +10.0 [" in few.detail
    assert few.badge is None
    assert eight.headline == "In-domain, the accuracy is lower for base than after positive-only SFT"


def test_arms_that_all_fail_are_a_tie_and_no_headline(tmp_path: Path) -> None:
    class Hopeless(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            return [False] * 10

    findings = find(Hopeless(tmp_path, document(seeds=list(range(8)))).write().results)
    assert (
        named(findings, "In-domain").headline
        == "In-domain, no accuracy can be told from that of positive-only SFT"
    )
    assert named(findings, "The OOD accuracy of GLOW").headline.endswith(": the means are equal")
    assert named(findings, "GRPO").headline.startswith("GRPO did not measurably change in-domain accuracy")


def test_without_plain_positives_nothing_is_compared_in_domain(tmp_path: Path) -> None:
    arms = {"all": {"trajectories": "all", "objective": "plain"}}
    found = find(World(tmp_path, document(arms=arms, grpo=None)).write().results)
    assert "In-domain, there is no plain training on positives alone to compare with" in [
        one.headline for one in found
    ]


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


def test_weights_that_are_the_same_but_for_a_few_are_called_nearly_so(tmp_path: Path) -> None:
    class Nearly(World):
        def history(self, run: Run) -> pd.DataFrame:
            frame = pd.concat([super().history(run)] * 25, ignore_index=True)
            return frame.assign(weight=np.where(frame.index == len(frame) - 1, 0.7, 0.5))

    findings = find(Nearly(tmp_path).write().results)
    assert named(findings, "GLOW's weights (glow_released)").headline.endswith("same for nearly all samples")


def test_domains_are_named_where_there_are_several(tmp_path: Path) -> None:
    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    content = document(domains={"arithmetic": problems, "other": problems}, seeds=[0])
    headlines = [finding.headline for finding in find(World(tmp_path, content).write().results)]
    assert all(headline.startswith(("arithmetic: ", "other: ")) for headline in headlines)


def test_an_experiment_of_one_arm_has_little_to_say(tmp_path: Path) -> None:
    arms = {"positive": {"trajectories": "positive", "objective": "plain"}}
    suites = {"lists": {"families": ["sorting"]}}
    results = World(tmp_path, document(arms=arms, suites=suites, grpo=None)).write().results
    assert find(results) == []
