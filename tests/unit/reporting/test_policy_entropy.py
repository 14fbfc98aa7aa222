"""Policy entropy, its changes, and both by scope, against values by hand."""

import math
from pathlib import Path

from fabricated import World, document
from pytest import approx

from glow.files.jsonl import read_jsonl, write_jsonl
from glow.reporting import policy_entropy
from glow.reporting.results import Run
from glow.reporting.scopes import IN_DOMAIN, OOD
from glow.reporting.statistics import holm

T1 = 12.706205  # 97.5 % of Student's t with one degree of freedom


class Apart(World):
    """Entropies of `negative` are 1.5 or 1.25 times those of `positive` by seed in-domain, and the same out
    of domain; responses out of domain are three times as long."""

    def write_evaluation(self, run: Run) -> None:
        super().write_evaluation(run)
        path = self.results.evaluation(run) / "samples.jsonl.gz"
        inside = 0.2 * (1.5, 1.25)[run.seed % 2] if run.name == "negative" else 0.2
        rows = [
            row
            | (
                {"entropy": inside}
                if row["suite"] == "arithmetic"
                else {"entropy": 0.6, "response_tokens": 90}
            )
            for row in read_jsonl(path)
        ]
        write_jsonl(path, rows)


def test_a_change_in_domain_is_not_diluted_by_suites_where_there_is_none(tmp_path: Path) -> None:
    results = Apart(tmp_path).write().results
    found = policy_entropy.changes(results)
    log, error = math.log(1.875) / 2, math.log(1.2) / 2
    inside, outside = (found["arithmetic", "negative", scope].difference for scope in (IN_DOMAIN, OOD))
    assert (inside.mean, inside.by_seed) == (approx(100 * math.expm1(log)), (approx(50), approx(25)))
    assert inside.high == approx(100 * math.expm1(log + T1 * error), rel=1e-4)
    assert (outside.mean, outside.error, outside.p) == (approx(0), None, 1)
    # Over all suites: 10 questions of 30 tokens in-domain, 20 of 90 out of domain. Nats by seed are
    # 300 * 0.3 + 1800 * 0.6 = 1170 and 300 * 0.25 + 1080 = 1155, against 1140.
    overall = policy_entropy.overall_change(results, "arithmetic", "negative")
    assert overall.by_seed == (approx(100 * (1170 / 1140 - 1)), approx(100 * (1155 / 1140 - 1)))
    levels = [
        policy_entropy.level(results, "arithmetic", "negative", scope=scope).by_seed
        for scope in (IN_DOMAIN, OOD, policy_entropy.ALL)
    ]
    assert levels == [
        (approx(0.3), approx(0.25)), (approx(0.6),) * 2, (approx(1170 / 2100), approx(1155 / 2100)),
    ]  # fmt: skip


def test_both_scopes_are_one_family_and_all_suites_are_in_none(many: World) -> None:
    found = policy_entropy.changes(many.results)
    assert len(found) == 5 * 2  # the base and four arms, in-domain and out of domain
    assert policy_entropy.ALL not in {scope for _, _, scope in found}
    tested = {key: one for key, one in found.items() if one.p_holm is not None}
    assert [one.p_holm for one in tested.values()] == approx(
        holm([one.difference.p for one in tested.values()])
    )


def test_one_scope_alone_is_all_suites(tmp_path: Path) -> None:
    results = World(tmp_path, document(suites={"lists": {"families": ["sorting"]}})).results
    assert policy_entropy.scopes_present(results.experiment, "arithmetic") == [OOD]


def test_chains_are_counted_by_scope(fabricated: World) -> None:
    counts = [
        policy_entropy.chains_scored(fabricated.results, "arithmetic", "glow", scope)
        for scope in policy_entropy.scopes_present(fabricated.results.experiment, "arithmetic")
    ]
    assert counts == [20, 40, 60]


def test_entropy_change_is_relative_and_paired(fabricated: World) -> None:
    # 0.3 / 0.2 and 0.5 / 0.4: ratios 1.5 and 1.25, whose geometric mean is sqrt(1.875); the same on every
    # question, so that seeds are all that varies: the logarithm's error is log(1.5 / 1.25) / 2.
    change = policy_entropy.overall_change(fabricated.results, "arithmetic", "negative")
    log, error = math.log(1.875) / 2, math.log(1.2) / 2
    assert (change.mean, change.error) == (approx(100 * math.expm1(log)), approx(100 * math.exp(log) * error))
    assert change.by_seed == (approx(50), approx(25))
    assert change.low == approx(100 * math.expm1(log - T1 * error), rel=1e-4)
    assert change.high == approx(100 * math.expm1(log + T1 * error), rel=1e-4)


def test_entropy_weighs_tokens_and_varies_over_questions(tmp_path: Path) -> None:
    class Lengths(World):
        def tokens(self, run: Run, question: int) -> int:
            return 10 if question % 2 else 30

        def write_evaluation(self, run: Run) -> None:
            super().write_evaluation(run)
            path = self.results.evaluation(run) / "samples.jsonl.gz"
            rows = list(read_jsonl(path))
            write_jsonl(
                path, [row | {"entropy": 0.1 if row["response_tokens"] == 10 else 0.3} for row in rows]
            )

    results = Lengths(tmp_path, document(seeds=[0])).write().results
    # (30 * 0.3 + 10 * 0.1) / 40 = 0.25 by tokens; parts of questions: (9 - 7.5) / 20 and (1 - 2.5) / 20, so
    # 0.325 and 0.175 on fifteen questions each: variance within a suite of ten 10/9 * 0.075^2.
    found = policy_entropy.level(results, "arithmetic", "glow")
    assert found.mean == approx(0.25)
    assert found.error == approx((10 / 9 * 0.075**2 / 30) ** 0.5)
    same = policy_entropy.overall_change(results, "arithmetic", "glow")
    assert (same.mean, same.error, same.p) == (approx(0), None, 1)  # paired: all arms vary alike


class Chains(World):
    """Two seeds; in `glow`, every response of seed 0 and of the first question of each suite is a chain."""

    def response(self, run: Run, question: int) -> str:
        is_chain = run.name != "glow" or run.seed == 0 or question == 0
        return super().response(run, question) if is_chain else r"\boxed{1}"

    def parts(self, run: Run, question: int) -> dict:
        return {"entropy_tenths": [0.1 * (question + 1)] * 10, "entropy_end": None}


def test_entropy_of_chains_has_what_every_seed_has_of_them(tmp_path: Path) -> None:
    results = Chains(tmp_path).write().results
    found = policy_entropy.level(results, "arithmetic", "glow", policy_entropy.CHAINS)
    # Questions 1 to 10 have 1 to 10 nats in 30 tokens: seed 0 has all, seed 1 the first alone.
    assert found.by_seed == (approx(5.5 / 30), approx(1 / 30))
    assert (found.n, found.questions) == (2, 30)
    positive = policy_entropy.level(results, "arithmetic", "positive", policy_entropy.CHAINS)
    assert positive.by_seed == (approx(5.5 / 30),) * 2
    # Parts of questions in the mean, by seed: 1 .. 10 less 5.5, over 30; and nothing for the first alone.
    # Question means: 5.5 / 30 or 1 / 30 with half of these; their variance is 9.1667 / 4 / 900.
    questions = 9.1666667 / 4 / 900 * 10 / 9 * 0.9 / 30  # three suites of ten, each a third
    seeds = ((5.5 - 1) / 30) ** 2 / 4
    rest = questions  # what is left in each seed is the other half
    assert found.error == approx((questions + seeds - rest) ** 0.5, rel=1e-6)


def test_change_of_chains_is_paired(tmp_path: Path) -> None:
    class Twice(Chains):
        def parts(self, run: Run, question: int) -> dict:
            factor = {"negative": 2.0, "all": 1.5 + run.seed}.get(run.name, 1.0)
            tenths = super().parts(run, question)["entropy_tenths"]
            return {"entropy_tenths": [factor * nats for nats in tenths], "entropy_end": None}

    results = Twice(tmp_path).write().results
    twice, more = (
        policy_entropy.overall_change(results, "arithmetic", arm, policy_entropy.CHAINS)
        for arm in ("negative", "all")
    )
    assert (twice.mean, twice.error) == (approx(100), None)  # on every question alike
    # 1.5 and 2.5 by seed: the geometric mean is sqrt(3.75)
    assert (more.mean, more.by_seed) == (approx(100 * (3.75**0.5 - 1)), (approx(50), approx(150)))
    assert policy_entropy.overall_change(results, "arithmetic", "positive") is None


def test_tenths_average_to_the_whole(tmp_path: Path) -> None:
    class Rising(World):
        def parts(self, run: Run, question: int) -> dict:
            return {"entropy_tenths": [0.3 * tenth for tenth in range(10)], "entropy_end": 9.0}

    results = Rising(tmp_path).write().results
    tenths = [
        policy_entropy.level(results, "arithmetic", "glow", tenth).mean
        for tenth in policy_entropy.CHAIN_TENTHS
    ]
    assert tenths == approx([0.1 * tenth for tenth in range(10)])  # one with no entropy at all among them
    whole = policy_entropy.level(results, "arithmetic", "glow", policy_entropy.CHAINS)
    assert whole.mean == approx(sum(tenths) / 10)


def test_without_any_chain_there_is_no_entropy_of_chains(tmp_path: Path) -> None:
    class Silent(World):
        def response(self, run: Run, question: int) -> str:
            return r"\boxed{1}" if run.name == "glow" else super().response(run, question)

    results = Silent(tmp_path).write().results
    assert policy_entropy.level(results, "arithmetic", "glow", policy_entropy.CHAINS) is None
    assert policy_entropy.level(results, "arithmetic", "glow", policy_entropy.WITHOUT_END).mean == approx(
        0.25
    )
    assert policy_entropy.overall_change(results, "arithmetic", "glow", policy_entropy.CHAINS) is None
    assert policy_entropy.chains_scored(results, "arithmetic", "glow") == 0


def test_one_archive_of_an_earlier_version_lacks_what_the_others_have(tmp_path: Path) -> None:
    class Mixed(World):
        def parts(self, run: Run, question: int) -> dict:
            return {} if (run.name, run.seed) == ("glow", 1) else super().parts(run, question)

    results = Mixed(tmp_path).write().results
    for over in (policy_entropy.WITHOUT_END, policy_entropy.CHAINS, *policy_entropy.CHAIN_TENTHS):
        assert policy_entropy.level(results, "arithmetic", "glow", over) is None
        assert policy_entropy.level(results, "arithmetic", "all", over).mean == approx(0.25)
    assert policy_entropy.level(results, "arithmetic", "glow").mean == approx(0.25)
    assert not policy_entropy.is_divided(results)
    assert policy_entropy.chains_scored(results, "arithmetic", "glow") is None
    assert policy_entropy.chains_scored(results, "arithmetic", "all") == 60


def test_entropy_that_was_not_scored(tmp_path: Path) -> None:
    class Silent(World):
        def entropy(self, run: object) -> None:
            return None

    world = Silent(tmp_path).write()
    assert policy_entropy.level(world.results, "arithmetic", "glow") is None
    assert policy_entropy.changes(world.results) == {}
