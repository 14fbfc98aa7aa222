"""Findings as a whole: claimed and opposite directions, one seed, several domains."""

from pathlib import Path

from fabricated import World, document, named

from glow.reporting.finding_words import Badge
from glow.reporting.findings import find
from glow.reporting.results import Run


def test_the_claimed_direction_is_recognised(fabricated: World) -> None:
    loss = named(find(fabricated.results), "The training loss")
    assert loss.headline == "The training loss of negatives (all) falls more slowly than that of positives"
    assert loss.badge == Badge(
        "as published",
        "slopes of negatives and positives in nats and in percent, chains of equal lengths, arm all",
    )
    assert "on chains matched by length: all +0.125 [+0.125, +0.125]; glow" in loss.detail
    # right by the root of 0.5, wrong by that of 1.25 / 1.5: -29.29 and -8.71 % an epoch
    assert "no further to fall: all +20.58 [+20.58, +20.58]; glow" in loss.detail
    slope, level = loss.more.split("in the last epoch:")
    assert "on chains matched by length: all +0.125 [+0.125, +0.125]; glow" in slope
    assert "on all trajectories: all +0.750 [+0.750, +0.750]" in level


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
    assert len(inferred) == 8
    # 5 of 20 and 3 of 10 questions more: an interval over questions alone decides nothing
    assert "glow +15.0 [" in named(findings, "One seed: not decided whether the OOD accuracy of GLOW").detail
    for weights in (glow_weights, released_weights):
        assert weights.headline.startswith("In the one run, ")


def test_domains_are_named_where_there_are_several(tmp_path: Path) -> None:
    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    content = document(domains={"arithmetic": problems, "other": problems}, seeds=[0])
    headlines = [finding.headline for finding in find(World(tmp_path, content).write().results)]
    assert all(headline.startswith(("arithmetic: ", "other: ")) for headline in headlines)


def test_an_experiment_of_one_arm_has_little_to_say(tmp_path: Path) -> None:
    arms = {"positive": {"trajectories": "positive", "objective": "plain"}}
    suites = {"lists": {"families": ["sorting"]}}
    results = World(tmp_path, document(arms=arms, suites=suites, grpo=None)).write().results
    assert [found.headline for found in find(results)] == [
        "The OOD accuracy of the base, before any SFT, cannot be told from that of positive-only SFT: the "
        "means are equal"
    ]
