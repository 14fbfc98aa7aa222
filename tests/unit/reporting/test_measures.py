from pathlib import Path

import numpy as np
import pytest
from fabricated import World, document
from pytest import approx
from scipy import stats

from glow.errors import UserError
from glow.reporting import measures, policy_entropy
from glow.reporting.results import Run
from glow.reporting.scopes import IN_DOMAIN, OOD, group_suites, mean_columns_present, scope_suites

T1 = 12.706205  # 97.5 % of Student's t with one degree of freedom


def test_scopes(fabricated: World) -> None:
    scopes = scope_suites(fabricated.results.experiment, "arithmetic")
    assert scopes == {IN_DOMAIN: ["arithmetic"], OOD: ["lists", "choice"]}


def test_each_domain_is_ood_for_the_other(tmp_path: Path) -> None:
    domains = {name: {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}} for name in ("a", "b")}
    suites = {name: {"families": ["ledger"], "domain": name} for name in ("a", "b")}
    world = World(tmp_path, document(domains=domains, suites=suites))
    assert scope_suites(world.results.experiment, "b") == {IN_DOMAIN: ["b"], OOD: ["a"]}


def grouped(tmp_path: Path, **groups: str | None) -> World:
    """The fabricated world, with groups for its suites."""
    suites = {name: suite | {"group": groups.get(name)} for name, suite in document()["suites"].items()}
    return World(tmp_path, document(suites=suites)).write()


def test_groups_part_the_suites_out_of_domain(tmp_path: Path) -> None:
    results = grouped(tmp_path, lists="general", choice="other", arithmetic="maths").results
    assert group_suites(results.experiment, "arithmetic") == {
        "ood_general": ["lists"], "ood_other": ["choice"],
    }  # fmt: skip
    assert mean_columns_present(results.experiment) == [IN_DOMAIN, OOD, "ood_general", "ood_other"]
    # glow against positive on lists alone: 5 - 3 and 6 - 5 of ten
    gains = measures.gains(results)
    assert gains["arithmetic", "glow", "ood_general"].difference.mean == approx(15)
    assert gains["arithmetic", "glow", OOD].difference.mean == approx(17.5)
    assert len(gains) == 5 * 4  # the base and four arms, in one family


def test_one_group_is_the_whole_and_no_group_has_no_column(tmp_path: Path) -> None:
    alike = grouped(tmp_path / "a", lists="general", choice="general").results
    assert mean_columns_present(alike.experiment) == [IN_DOMAIN, OOD]
    partly = grouped(tmp_path / "b", lists="general").results
    assert mean_columns_present(partly.experiment) == [IN_DOMAIN, OOD, "ood_general"]


def test_accuracy_in_percent_by_seed(fabricated: World) -> None:
    columns = ("suite:lists", IN_DOMAIN, OOD)
    lists, inside, ood = (
        measures.mean(fabricated.results, "sft", "arithmetic", "glow", column).by_seed for column in columns
    )
    assert lists == (approx(50), approx(60))
    assert inside == (approx(70), approx(90))
    assert ood == (approx(55), approx(70))  # (50 + 60) / 2, (60 + 80) / 2


def test_gain_is_paired_by_question_and_seed(fabricated: World) -> None:
    # glow 55 and 70 against positive 40 and 50: +15 and +20
    gain = measures.gain(fabricated.results, "arithmetic", "glow", OOD)
    assert (gain.mean, gain.n, gain.questions) == (approx(17.5), 2, 20)
    # Question means: lists 50, 50, 50 and seven zeros, choice 100, 50, 50 and seven zeros: variances
    # (7500 - 2250) / 9 = 583.33 and (15000 - 4000) / 9 = 1222.22, over 10 questions and 4 (two suites'
    # mean). The rest is more than the seeds' 6.25, which then add nothing.
    assert gain.error == approx(((583.3333 + 1222.2222) / 40) ** 0.5)
    assert gain.low == approx(17.5 - 2.5 * T1, abs=1e-4)  # with two seeds, not shorter than t over them


def test_gain_in_percent_is_the_ratio_of_the_means(fabricated: World) -> None:
    """glow 55 and 70 against positive 40 and 50: 62.5 / 45 - 1, which is no mean of 37.5 and 40 %."""
    gain = measures.gain_in_percent(fabricated.results, "arithmetic", "glow", OOD)
    assert (gain.mean, gain.n, gain.questions) == (approx(350 / 9), 2, 20)
    # A right answer of glow is 1 / 0.625 = 1.6, one of positive 1 / 0.45 = 2.2222. By question, over seeds:
    lists = [1.6 - 2.2222] * 3 + [1.6 - 1.1111] * 2 + [0.8] + [0] * 4
    choice = [1.6 - 2.2222] * 5 + [1.6] + [0.8] * 2 + [0] * 2
    variances = [np.var(suite, ddof=1) / 10 / 4 for suite in (lists, choice)]  # 0.00633 and 0.01604
    error = sum(variances) ** 0.5
    assert gain.error == approx(100 * 62.5 / 45 * error, rel=1e-4)
    # 15.1 degrees of freedom: t = 2.130, which reaches further than 12.7 times the 0.0089 of the seeds
    freedom = sum(variances) ** 2 / sum(variance**2 / 9 for variance in variances)
    reach = stats.t.ppf(0.975, freedom) * error
    assert gain.low == approx(100 * (62.5 / 45 * np.exp(-reach) - 1), rel=1e-3)
    assert gain.high == approx(100 * (62.5 / 45 * np.exp(reach) - 1), rel=1e-3)


def test_nothing_is_a_percentage_of_none_right(tmp_path: Path) -> None:
    class NoneRight(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            return [run.name == "glow"] * 10

    results = NoneRight(tmp_path).write().results
    assert measures.gain_in_percent(results, "arithmetic", "glow", OOD) is None
    assert measures.gain_in_percent(results, "arithmetic", "negative", OOD) is None
    assert measures.gain_in_percent(results, "arithmetic", "glow", "ood_general") is None


def test_gain_over_another_arm(fabricated: World) -> None:
    # glow 55 and 70 against all (40 + 50) / 2 = 45 and (50 + 60) / 2 = 55
    gain = measures.gain(fabricated.results, "arithmetic", "glow", OOD, over="all")
    assert gain.mean == approx(12.5)


def test_no_reference_arm_no_gain(tmp_path: Path) -> None:
    arms = {"glow": {"trajectories": "all", "objective": "glow"}}
    world = World(tmp_path, document(arms=arms, grpo=None)).write()
    assert world.results.experiment.reference_arm is None
    assert measures.gain(world.results, "arithmetic", "glow", OOD) is None
    assert measures.gains(world.results) == {}
    assert policy_entropy.changes(world.results) == {}
    assert policy_entropy.overall_change(world.results, "arithmetic", "glow") is None


def test_gains_are_one_family(fabricated: World) -> None:
    found = measures.gains(fabricated.results)
    # the base and four arms, in-domain and OOD
    assert len(found) == 10
    assert {arm for _, arm, _ in found} == {"base", "negative", "all", "glow", "glow_released"}
    by_p = sorted(found.values(), key=lambda comparison: comparison.difference.p)
    assert by_p[0].p_holm == approx(min(1, 10 * by_p[0].difference.p))
    assert by_p[1].p_holm == approx(min(1, max(by_p[0].p_holm, 9 * by_p[1].difference.p)))
    suites = measures.gains(fabricated.results, suites=True)
    assert len(suites) == 15


def test_one_seed_has_no_sign(tmp_path: Path) -> None:
    class Clear(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            return [(run.name == "glow") == (place > 0) for place in range(20)]

    results = Clear(tmp_path, document(seeds=[0])).write().results
    found = measures.gains(results)["arithmetic", "glow", OOD]
    assert found.p_holm < 1e-6
    assert (found.sign, found.difference.over_seeds) == (0, False)


def test_mean_is_over_seeds_and_questions(fabricated: World) -> None:
    # glow on lists: five and six of ten right. Seed means 50 and 60: variance of the mean 50 / 2 = 25.
    found = measures.mean(fabricated.results, "sft", "arithmetic", "glow", "suite:lists")
    assert (found.mean, found.n, found.questions) == (approx(55), 2, 10)
    # question means: five of 100, one of 50, four of 0 (mean 55): squares 5 * 45^2 + 5^2 + 4 * 55^2 = 22250,
    # / 9 / 10 = 247.22. The rest: on question 6 it is -45 and 45, on the others 5 and -5:
    # (2 * 45^2 + 18 * 5^2) / 9 / 20 = 25, which is all that the seeds' 25 holds: so questions alone.
    assert found.error == approx(247.2222**0.5)


def test_mean_of_what_was_not_sampled(fabricated: World) -> None:
    several, tokens = measures.Quantity("pass@2"), measures.Quantity("tokens", scale=1)
    assert measures.mean(fabricated.results, "sft", "arithmetic", "glow", "suite:lists", several) is None
    found = measures.mean(fabricated.results, "sft", "arithmetic", "glow", OOD, tokens)
    assert (found.mean, found.error) == (30, None)  # all alike: nothing to estimate an error from


def test_grpo_on_other_questions_is_refused(world: World) -> None:
    run = world.results.run("grpo", "arithmetic", "glow", 1)
    path = world.results.evaluation(run) / "samples.jsonl.gz"
    world.correct = lambda run, suite: [True] * 9
    world.write_evaluation(run)
    with pytest.raises(UserError, match=f"{path.parent.name}/samples.jsonl.gz: its questions are not those"):
        world.results.collect()
