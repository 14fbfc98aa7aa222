"""Findings on accuracy: what was stated beforehand, out of domain, in-domain and after GRPO."""

from pathlib import Path

from fabricated import World, document, named

from glow.reporting.cells import MINUS
from glow.reporting.finding_words import Badge
from glow.reporting.findings import find
from glow.reporting.measures import gains
from glow.reporting.results import Run
from glow.reporting.scopes import OOD


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
            "found with a chance of 80 %. "
        ) in detail
        assert "one seen" not in detail


def test_what_is_decided_or_rests_on_one_seed_says_no_such_thing(many: World, tmp_path: Path) -> None:
    entropy = named(find(many.results), "The policy entropy")
    assert "negative +" in entropy.detail
    one = find(World(tmp_path, document(seeds=[0])).write().results)
    for finding in (entropy, *one):
        assert "would be found" not in finding.detail
        assert "true changes" not in finding.detail


def test_what_is_equivalent_is_said(tmp_path: Path) -> None:
    class Alike(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            right = [place < 100 for place in range(200)]
            right[100 + run.seed] = run.name != "positive"
            return right

    for margin, is_said in ((2.0, True), (0.1, False)):
        content = document(seeds=list(range(8)), margin=margin, grpo=None)
        findings = find(Alike(tmp_path / str(margin), content).write().results)
        found = named(findings, "The OOD accuracy of GLOW (glow)")
        assert ("It is shown to lie within ±2 points (p <0.001)." in found.detail) is is_said
        # one question of 200 more for every seed: small, and a direction
        assert found.badge == Badge("as published", "glow against positive, OOD mean")


def test_what_is_equivalent_and_has_no_direction_is_small_and_not_undecided(tmp_path: Path) -> None:
    class Alike(World):
        """One question of 200 more than `positive`, for the first seed alone."""

        def correct(self, run: Run, suite: str) -> list[bool]:
            right = [place < 100 for place in range(200)]
            right[100] = run.name != "positive" and run.seed == 0
            return right

    contrast = "glow against positive, OOD mean"
    small = Badge("shown to be small", f"{contrast}: within ±2 points, and no direction")
    for margin, badge in ((2.0, small), (0.01, Badge("undecided", contrast))):
        content = document(seeds=list(range(8)), margin=margin, grpo=None)
        findings = find(Alike(tmp_path / str(margin), content).write().results)
        assert named(findings, "The OOD accuracy of GLOW (glow)").badge == badge


def test_what_was_stated_comes_first(tmp_path: Path) -> None:
    stated = [
        {"arm": "glow", "over": "all", "scope": "ood"},
        {"arm": "negative", "over": "positive", "scope": "ood"},
    ]
    findings = find(World(tmp_path, document(seeds=list(range(8)), contrasts=stated)).write().results)
    assert findings[0].headline == "Of 2 differences stated beforehand, 1 was shown"
    assert "glow against all, OOD mean: +12.5 [+1.8, +23.2] (significant)" in findings[0].detail
    assert "positive, OOD mean: +2.5 [" in findings[0].detail
    assert findings[0].detail.endswith("(not significant).")
    # and the comparison with plain SFT on the same data, which is not corrected elsewhere, has its star
    assert "(all): glow +12.5 [+1.8, +23.2]*" in findings[1].detail


def test_what_was_stated_is_said_in_plain_words(tmp_path: Path) -> None:
    # The second, +12.5, is significant by itself: but it stands after one that is not.
    stated = [
        {"arm": "negative", "over": "positive", "scope": "ood"},
        {"arm": "glow", "over": "all", "scope": "ood"},
    ]
    content = document(seeds=list(range(8)), grpo=None)
    for count, headline in (
        (2, "Neither difference stated beforehand was shown"),
        (1, "The difference stated beforehand was not shown"),
    ):
        world = World(tmp_path / str(count), content | {"contrasts": stated[:count]}).write()
        first = find(world.results)[0]
        assert first.headline == headline
        assert "] (not significant)" in first.detail
        assert ("(not tested, as one before it was not significant)." in first.detail) is (count == 2)


def test_the_base_is_compared_out_of_domain(tmp_path: Path) -> None:
    class Unlearnt(World):
        """Out of domain the base has 7 of 10 right, `glow` 8, and every other arm 3."""

        def correct(self, run: Run, suite: str) -> list[bool]:
            right = {"base": 7, "glow": 8}.get(run.name, 3)
            return [index < right for index in range(10)]

    content = document(seeds=list(range(8)), grpo=None)
    base = named(find(Unlearnt(tmp_path, content).write().results), "The OOD accuracy of the base")
    assert base.headline.endswith("of the base, before any SFT, is higher than that of positive-only SFT")
    assert "in points: base +40.0 [" in base.detail
    assert "]*." in base.detail
    assert "in percent: base 70.0; positive 30.0; negative 30.0; all 30.0; glow 80.0; " in base.detail
    assert "The means of 1 of 5 trained arms lie above the base's. Only positive is tested" in base.detail
    assert base.badge is None


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
