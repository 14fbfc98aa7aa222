from pathlib import Path

import pandas as pd
from fabricated import World, document

from glow.reporting.cells import MINUS
from glow.reporting.findings import Finding, find
from glow.reporting.results import Run


def named(findings: list[Finding], start: str) -> Finding:
    return next(finding for finding in findings if finding.headline.startswith(start))


def test_a_mean_whose_interval_holds_zero_decides_nothing(fabricated: World) -> None:
    glow = named(find(fabricated.results), "The OOD accuracy of GLOW (glow)")
    assert glow.headline == (
        "The OOD accuracy of GLOW (glow) is not clearly different from that of positive-only SFT "
        "(on average it is higher)"
    )
    assert glow.standing == "undecided"
    assert f"glow +17.5 [{MINUS}14.3, +49.3]" in glow.detail
    assert "Difference from plain SFT on the same data (all): glow +12.5" in glow.detail


def test_the_claimed_direction_is_recognised(fabricated: World) -> None:
    loss = named(find(fabricated.results), "The final training loss")
    assert loss.headline == "The final training loss of negatives (all) is higher than that of positives"
    assert loss.standing == "as claimed"
    assert "all +0.750 [+0.750, +0.750]" in loss.detail


def test_the_opposite_direction_is_said(tmp_path: Path) -> None:
    class Harmful(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            right = 2 if run.name.startswith("glow") else 6
            return [index < right for index in range(10)]

    many = document(seeds=list(range(8)))
    findings = find(Harmful(tmp_path, many).write().results)
    glow = named(findings, "The OOD accuracy of GLOW (glow)")
    assert glow.headline == "The OOD accuracy of GLOW (glow) is lower than that of positive-only SFT"
    assert glow.standing == "opposite of the claim"
    negatives = named(findings, "The OOD accuracy of plain SFT with wrong answers (negative)")
    assert negatives.headline.endswith("(negative) is equal to that of positive-only SFT")
    assert negatives.standing == "undecided"


def test_one_seed_is_undecided(tmp_path: Path) -> None:
    findings = find(World(tmp_path, document(seeds=[0])).write().results)
    glow = named(findings, "The OOD accuracy of GLOW (glow)")
    assert glow.standing == "undecided"
    # 5 of 20 and 3 of 10 questions more: an interval over questions alone decides nothing
    assert "glow +15.0 [" in glow.detail


def test_grpo_counts_what_rose(fabricated: World, many: World) -> None:
    few = named(find(fabricated.results), "GRPO")
    assert few.headline == "GRPO did not measurably raise in-domain accuracy from any of 6 starting models"
    grpo = named(find(many.results), "GRPO")
    assert grpo.headline == "GRPO measurably raised in-domain accuracy from 1 of 6 starting models (base)"
    assert "base +70.0 [+35.4, +104.6]*" in grpo.detail


def test_grpo_is_averaged_over_what_it_started_from(many: World, tmp_path: Path) -> None:
    # Seeds are even or odd: 14 and 13 of 60 more (test_grpo_measures)
    assert " Averaged over them +22.5 [" in named(find(many.results), "GRPO").detail
    chosen = {"steps": 20, "max_tokens": 64, "initialisations": ["glow"], "seeds": [1]}
    one = named(find(World(tmp_path, document(grpo=chosen)).write().results), "GRPO")
    assert one.headline.endswith("from any of 1 starting models")
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


def test_in_domain_best(fabricated: World) -> None:
    best = named(find(fabricated.results), "In-domain")
    assert best.headline == "In-domain, the mean accuracy is highest for glow"
    # One question of ten differs, in each seed another: question means 10, 10 of 100 / 2.
    assert "glow +10.0 [" in best.detail
    assert best.standing is None


def test_constant_weights_are_called_so(tmp_path: Path) -> None:
    class Clamped(World):
        def history(self, run: Run) -> pd.DataFrame:
            return super().history(run).assign(weight=0.5)

    findings = find(Clamped(tmp_path).write().results)
    assert named(findings, "GLOW's weights (glow_released)").headline.endswith("same for nearly all samples")
    assert (
        "100.0 % of samples at the lower bound 0.5"
        in named(findings, "GLOW's weights (glow_released)").detail
    )


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
