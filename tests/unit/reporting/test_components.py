from pathlib import Path

import numpy as np
import pytest
from fabricated import World, document
from pytest import approx
from test_power import TABLE
from test_tables import Sampled

from glow.evaluation.metrics import rescore
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.reporting.components import Components, components, crossed_components
from glow.reporting.results import Run
from glow.reporting.scopes import IN_DOMAIN, OOD


def test_by_hand() -> None:
    found = crossed_components([TABLE])
    assert found is not None
    # Mean squares: seeds 13.5, questions 6.5, rest 1.5. Of one value: rest 1.5, questions (6.5 - 1.5) / 2,
    # seeds (13.5 - 1.5) / 3; of a seed's mean over three questions: rest 0.5, questions 5 / 6, seeds 4.
    assert found.sources == {"seeds": approx(4), "questions": approx(5 / 6), "rest": approx(0.5)}
    assert found.of_one == (approx(4), approx(2.5), approx(1.5))
    assert found.correlation == approx(0.5)


def test_two_suites_weigh_alike_and_share_seeds() -> None:
    # The same answers twice: seeds as for one suite; a quarter of questions and rest from each of two. Seeds'
    # rest then cancels less than one takes off: 4.5 - 2 * 0.5 / 4.
    found = crossed_components([TABLE, TABLE])
    assert found is not None
    assert found.sources == {"seeds": approx(4.25), "questions": approx(5 / 12), "rest": approx(0.25)}
    assert found.of_one == (approx(4), approx(2.5), approx(1.5))


def test_estimates_are_unbiased_and_not_cut_off_at_zero() -> None:
    random, found = np.random.default_rng(5), []
    for _ in range(400):
        values = random.standard_normal((3, 1)) + 3 * random.standard_normal(40)
        parts = crossed_components([values + 4 * random.standard_normal((3, 40))])
        assert parts is not None
        found.append(parts.of_one)
    assert np.mean(found, axis=0) == approx([1, 9, 16], rel=0.1)
    assert min(seeds for seeds, _, _ in found) < 0


def test_decoding_is_taken_out_of_the_rest() -> None:
    found = crossed_components([TABLE], decoding=[0.9])
    assert found is not None
    assert (found.rest, found.decoding) == (approx(0.5 - 0.3), approx(0.3))
    assert found.of_one[2] == approx(1.5)


def test_a_negative_estimate_counts_as_zero_in_the_correlation() -> None:
    assert Components(0, 0, 0, None, (-1.0, 3.0, 1.0)).correlation == 0
    assert Components(0, 0, 0, None, (1.0, -3.0, 1.0)).correlation == approx(0.5)
    assert Components(0, 0, 0, None, (-1.0, 0.0, 0.0)).correlation is None


def test_a_suite_of_one_question_has_no_components() -> None:
    assert crossed_components([np.array([[1.0], [2.0]])]) is None


def test_arms_are_averaged(fabricated: World) -> None:
    found = components(fabricated.results, "arithmetic", IN_DOMAIN, "gain")
    assert found is not None
    # Right of ten, by seed: positive 6 and 8, negative 5 and 5, glow 7 and 9, the other two as positive. So
    # negative loses question 6 in both seeds, and 7 and 8 in the second.
    values = np.zeros((2, 10))
    values[:, 5] = values[1, 6:8] = -100
    negative = crossed_components([values])
    # glow gains question 7 in the first seed and question 9 in the second.
    values = np.zeros((2, 10))
    values[0, 6] = values[1, 8] = 100
    glow = crossed_components([values])
    assert negative is not None
    assert glow is not None
    assert found.seeds == approx((negative.seeds + glow.seeds) / 4)
    assert found.rest == approx((negative.rest + glow.rest) / 4)
    assert found.decoding is None


def test_several_samples_tell_decoding_from_the_rest(tmp_path: Path) -> None:
    world = Sampled(tmp_path, document(grpo=None, evaluation={"max_tokens": 64, "samples": 4})).write()
    accuracy, gain = (components(world.results, "arithmetic", OOD, of) for of in ("accuracy", "gain"))
    assert accuracy is not None
    assert gain is not None
    # Shares right 1/2, 1/4 and 0 of four: 0.25 / 3, 0.1875 / 3 and 0; their mean over three questions, and a
    # quarter of that for each of two suites.
    by_suite = 100**2 * (0.25 / 3 + 0.1875 / 3) / 3
    assert accuracy.decoding == approx(2 * by_suite / 3 / 4)
    assert gain.decoding == approx(2 * accuracy.decoding)  # of both arms


@pytest.mark.parametrize(
    ("scored", "known"), [({"choice"}, True), ({"lists"}, True), ({"lists", "choice"}, False)]
)
def test_likelihoods_draw_no_answers(tmp_path: Path, scored: set[str], known: bool) -> None:
    class Scored(Sampled):
        """Some suites have one answer a question and no tokens."""

        def write_evaluation(self, run: Run) -> None:
            super().write_evaluation(run)
            path = self.results.evaluation(run) / "samples.jsonl.gz"
            rows = [row for row in read_jsonl(path) if row["suite"] not in scored or row["sample_index"] == 0]
            rows = [row | {"response_tokens": None} if row["suite"] in scored else row for row in rows]
            write_jsonl(path, rows)
            rescore(path, path.with_name("scores.json"))

    content = document(grpo=None, evaluation={"max_tokens": 64, "samples": 4})
    found = components(Scored(tmp_path, content).write().results, "arithmetic", OOD, "accuracy")
    assert found is not None
    by_suite = 100**2 * (0.25 / 3 + 0.1875 / 3) / 3  # as above, of one suite only
    assert found.decoding == (approx(by_suite / 3 / 4) if known else None)


def test_one_seed_or_no_reference_has_none(tmp_path: Path, fabricated: World) -> None:
    one = World(tmp_path / "one", document(seeds=[0])).write()
    assert components(one.results, "arithmetic", OOD, "accuracy") is None
    arms = {"glow": {"trajectories": "all", "objective": "glow"}}
    alone = World(tmp_path / "alone", document(arms=arms, grpo=None)).write()
    assert components(alone.results, "arithmetic", OOD, "gain") is None
    assert components(alone.results, "arithmetic", OOD, "accuracy") is not None


@pytest.mark.parametrize("of", ["accuracy", "gain"])
def test_a_scope_without_suites_has_none(tmp_path: Path, of: str) -> None:
    results = World(tmp_path, document(suites={"lists": {"families": ["sorting"]}})).write().results
    assert components(results, "arithmetic", IN_DOMAIN, of) is None
