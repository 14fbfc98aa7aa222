"""Arms on selections that not every study has: what tables, findings and figures make of them."""

from pathlib import Path

import pytest
from fabricated import World, document
from pytest import approx

from glow.errors import UserError
from glow.files.manifest import manifest_path
from glow.reporting import dynamics
from glow.reporting.agreement import refuse_other_settings
from glow.reporting.captions import figure_names
from glow.reporting.findings import find
from glow.reporting.results import Run
from glow.reporting.training_tables import data_table

ARMS = {
    "positive": {"trajectories": "positive", "objective": "plain"},
    "every_right": {"trajectories": "positive_all", "objective": "plain"},
    "all": {"trajectories": "all", "objective": "plain"},
    "glow_pairs": {"trajectories": "all_paired", "objective": "glow"},
    "pairs": {"trajectories": "all_paired", "objective": "plain"},
    "glow": {"trajectories": "all", "objective": "glow"},
}


class Paired(World):
    """Three of four questions have a right and a wrong trajectory, and a fifth has neither."""

    def correct(self, run: Run, suite: str) -> list[bool]:
        return [index < 5 + run.seed for index in range(10)]

    def trajectories(self, domain: str) -> list[dict]:
        verdicts = {"p-0": "cw", "p-1": "ccc", "p-2": "wcw", "p-3": "wc", "p-4": "u"}
        words = {"c": "correct", "w": "wrong", "u": "unparsed"}
        ids = {"c": iter([0, 1, 10, 11, 12, 13]), "w": iter([2, 3, 20, 21, 22]), "u": iter([30])}
        first = super().trajectories(domain)[0]
        return [
            {
                **first,
                "trajectory_id": f"t-{next(ids[letter])}",
                "problem_id": problem,
                "verdict": words[letter],
            }
            for problem, letters in verdicts.items()
            for letter in letters
        ]


@pytest.fixture
def paired(tmp_path: Path) -> World:
    return Paired(tmp_path, document(arms=ARMS)).write()


def test_further_selections_and_questions_with_both_are_counted(paired: World) -> None:
    rows = data_table(paired.results).frame.set_index(["group", "item"])
    assert rows.loc["selection"]["n"].to_dict() == {
        "positive": 2, "negative": 2, "mixed": 2, "all": 6, "positive_all": 3, "all_paired": 3,
    }  # fmt: skip
    assert rows.loc["questions"]["n"].to_dict() == {"all": 5, "with correct and wrong": 3}
    share = rows.loc[("questions", "with correct and wrong")]
    # 3 of 5, each question once: sqrt(0.6 * 0.4 / 4)
    assert (share["share_mean"], share["share_se"]) == (60, approx(24.4949, abs=1e-4))


def test_tables_rest_on_further_selections_and_refuse_those_of_another_seed(paired: World) -> None:
    names = [file.name for file in paired.results.inputs("tables") if file.parent.name == "seed-1"]
    assert {"positive_all.jsonl", "all_paired.jsonl"} <= set(names)
    assert not {"negative_all.jsonl", "positive_paired.jsonl"} & set(names)
    refuse_other_settings(paired.results)
    manifest = manifest_path(paired.results.selection_file("arithmetic", 1, "all_paired"))
    manifest.write_text(manifest.read_text().replace('"seed": 1', '"seed": 7'))
    with pytest.raises(UserError, match="seed was 7, is 1"):
        refuse_other_settings(paired.results)


def test_arms_on_positives_are_none_with_wrong_answers(paired: World) -> None:
    told = {found.headline: found.detail for found in find(paired.results)}
    (negatives,) = (
        detail for headline, detail in told.items() if "SFT on right and wrong answers" in headline
    )
    assert ": all 0.0; pairs 0.0. The paper" in negatives
    (entropy,) = (detail for headline, detail in told.items() if "policy entropy" in headline)
    assert "every_right" not in entropy


def test_plain_training_on_the_same_data_has_the_same_selection(paired: World) -> None:
    told = {found.headline: found.detail + found.more for found in find(paired.results)}
    (glow,) = (detail for headline, detail in told.items() if "OOD accuracy of GLOW (glow_pairs)" in headline)
    assert "Difference from plain SFT on the same data (pairs): glow_pairs 0.0." in glow
    assert dynamics.both_signs(paired.results.experiment) == ["all", "glow_pairs", "pairs", "glow"]
    loss = next(detail for headline, detail in told.items() if "loss of negatives" in headline)
    assert "pairs +0.750" in loss


def test_pairs_alone_have_a_figure_of_their_losses(paired: World) -> None:
    assert "loss_dynamics" in figure_names(paired.results.experiment)
    for selection, drawn in (("all_paired", True), ("negative_paired", False), ("positive_all", False)):
        arms = {"a": {"trajectories": selection, "objective": "plain"}}
        experiment = World(paired.root / selection, document(arms=arms)).results.experiment
        assert ("loss_dynamics" in figure_names(experiment)) is drawn
