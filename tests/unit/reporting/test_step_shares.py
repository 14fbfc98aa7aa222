"""Steps of trajectories and of answers, from chains written by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricated import World, document, stated
from pytest import approx
from written_chains import BARE, EARLY, SOUND, TWICE, Chains

from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.reporting import steps
from glow.reporting.cells import MINUS
from glow.reporting.results import Run
from glow.reporting.scopes import IN_DOMAIN, OOD
from glow.reporting.statistics import crossed
from glow.reporting.steps_table import steps_table
from glow.reporting.tables import write_tables

DOMAIN = "arithmetic"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = Chains(tmp_path_factory.mktemp("chains")).write()
    steps.collect_chains(made.results)
    return made


def test_answers_of_the_base(world: World) -> None:
    found = steps.of_answers(world.results, "sft", DOMAIN, "base", IN_DOMAIN)
    assert found is not None
    assert found.chains == 18
    # 26 steps by seed: 15 + 6 + 2 + 3. Of them 15 + 4 + 2 + 2 hold, or one more.
    assert found.valid.by_seed == (approx(100 * 23 / 26), approx(100 * 24 / 26))
    # of nine chains, the five, the early one and the last with seed 1
    assert found.sound.by_seed == (approx(100 * 6 / 9), approx(100 * 7 / 9))
    # 1/3 twice, 1 for the early one, and 0 for the slip of sign with seed 0
    assert found.before.by_seed == (approx(100 * (5 / 3) / 4), approx(100 * (5 / 3) / 3))
    assert list(found.slips.items()) == [("calculation", 4), ("early", 2), ("sign", 1)]


def test_the_error_of_a_share_is_that_of_a_ratio_of_sums(world: World) -> None:
    found = steps.of_answers(world.results, "sft", DOMAIN, "base", IN_DOMAIN)
    valid = np.array([[3] * 5 + [2, 2, 2, 0, last] for last in (2, 3)])
    written = np.array([[3] * 5 + [3, 3, 2, 0, 3]] * 2)
    share = valid.sum(axis=1) / written.sum(axis=1)
    linear = share[:, None] + (valid - share[:, None] * written) / written.mean(axis=1)[:, None]
    expected = crossed([100 * linear])
    assert (found.valid.error, found.valid.low) == (approx(expected.error), approx(expected.low))
    assert (found.valid.n, found.valid.questions) == (2, 10)


def test_models_without_a_chain_have_no_shares(world: World) -> None:
    found = steps.of_answers(world.results, "sft", DOMAIN, "negative", IN_DOMAIN)
    assert found == steps.Steps(0, None, None, None, {})


def test_right_and_wrong_trajectories(world: World) -> None:
    right, wrong = (steps.of_trajectories(world.results, DOMAIN, verdict) for verdict in ("correct", "wrong"))
    # p-0: 6 of 6, p-1: 4 of 6: 100 and 66.7 %, so 83.3 ± 16.7; sound 100 and 50 %
    assert (right.chains, right.valid.mean, right.valid.error) == (4, approx(250 / 3), approx(50 / 3))
    assert (right.sound.mean, right.sound.error) == (approx(75), approx(25))
    assert (right.before.mean, right.slips) == (approx(100 / 3), {"calculation": 1})
    # equal counts in the order of SLIPS; one problem has no error
    assert list(wrong.slips.items()) == [("sign", 1), ("calculation", 1)]
    assert (wrong.chains, wrong.valid.mean, wrong.valid.error) == (2, approx(200 / 3), None)
    assert (wrong.sound.mean, wrong.before.mean) == (0, approx(100 / 6))


def test_problems_weigh_by_their_steps(tmp_path: Path) -> None:
    class Uneven(Chains):
        def trajectories(self, domain: str) -> list[dict]:
            """Right: p-0 has 2 steps that hold; p-1 has 3, of which 2 do not."""
            texts = {0: EARLY, 1: BARE, 2: TWICE, 3: BARE}
            rows = super().trajectories(domain)
            return [row | {"response": texts[place], "extracted": stated(texts[place])}
                    for place, row in enumerate(rows[:4])]  # fmt: skip

    results = Uneven(tmp_path, document(seeds=[0], grpo=None)).write().results
    steps.collect_chains(results)
    right = steps.of_trajectories(results, DOMAIN, "correct")
    # 3 of 5. Parts: (2 - 0.6 * 2) / 2.5 = 0.32 and (1 - 0.6 * 3) / 2.5 = -0.32: s.d. 0.4525, over sqrt 2
    assert (right.chains, right.valid.mean, right.valid.error) == (2, approx(60), approx(32))
    assert (right.sound.mean, right.before.mean) == (approx(50), approx(100 * (1 + 1 / 3) / 2))


def test_a_chain_without_a_step_is_not_sound_and_has_no_place(tmp_path: Path) -> None:
    class Talks(World):
        def response(self, run: Run, question: int) -> str:
            return SOUND if question else r"I cannot. \boxed{3}" if run.seed else r"I will \boxed{3}"

    results = Talks(tmp_path).write().results
    steps.collect_chains(results)
    found = steps.of_answers(results, "sft", DOMAIN, "all", IN_DOMAIN)
    # seed 0: no step; seed 1: the step "I cannot", which is none of a ledger
    assert found.valid.by_seed == (approx(100), approx(100 * 27 / 28))
    assert found.sound.by_seed == (approx(90), approx(90))
    assert found.before is None  # no chain of seed 0 has both a step and a slip
    assert found.slips == {"early": 1, "form": 1}


def test_what_has_no_steps_is_left_out(tmp_path: Path) -> None:
    suites = {"mmlu": {"task": "mmlu"}, "choice": {"families": ["sorting"], "format": "choice"}}
    problems = {"file": str(tmp_path / "own.jsonl"), "train": 10, "grpo": 5}
    (tmp_path / "own.jsonl").write_text("")

    class Others(World):
        def correct(self, run: Run, suite: str) -> list[bool]:
            return [True, False]

    content = document(suites=suites, domains={DOMAIN: {"problems": problems}})
    results = Others(tmp_path / "r", content).write().results
    assert steps.collect_chains(results).empty
    assert steps.of_trajectories(results, DOMAIN, "correct") is None
    assert steps.of_answers(results, "sft", DOMAIN, "base", OOD) is None
    write_tables(results.experiment, results.root)
    assert not (results.tables / "steps.csv").exists()
    assert not results.chains_file.exists()


def test_a_question_of_another_version_is_refused(world: World, tmp_path: Path) -> None:
    made = Chains(tmp_path, document(seeds=[0], grpo=None)).write()
    file = made.results.verdicts_file(DOMAIN)
    write_jsonl(file, [row | {"question": "What now?"} for row in read_jsonl(file)])
    message = r"verdicts/arithmetic\.jsonl\.gz:1: 'What now\?' is no question of the family 'ledger' in this"
    with pytest.raises(UserError, match=message):
        steps.collect_chains(made.results)
    write_jsonl(file, [row | {"family": "odd"} for row in read_jsonl(file)])
    with pytest.raises(UserError, match="is no question of the family 'odd'"):
        steps.collect_chains(made.results)


# --- the file and the table -----------------------------------------------------------------------


def test_chains_are_kept_and_read_again(world: World) -> None:
    write_tables(world.results.experiment, world.root)
    kept = pd.read_parquet(world.results.chains_file)
    assert list(kept) == list(steps.COLUMNS)
    pd.testing.assert_frame_equal(kept, steps.chains(world.results), check_dtype=False)
    # six of eight trajectories; of each model's 20 answers 18, but 0 of `negative`
    assert (kept["kind"] == steps.TRAJECTORY).sum() == 6
    assert (kept["kind"] != steps.TRAJECTORY).sum() == 2 * 10 * 18
    (wrong,) = kept[(kept["kind"] == steps.TRAJECTORY) & (kept["slip"] == "sign")].to_dict("records")
    assert (wrong["trajectory_id"], wrong["verdict"], wrong["problem_id"]) == ("t-3", "wrong", "p-2")
    assert (wrong["steps"], wrong["valid_steps"], wrong["first_slip"]) == (3, 2, 0)
    fresh = World(world.root).results
    again = steps.of_answers(fresh, "sft", DOMAIN, "base", IN_DOMAIN)
    assert again == steps.of_answers(world.results, "sft", DOMAIN, "base", IN_DOMAIN)


def test_without_tables_chains_are_missed(tmp_path: Path) -> None:
    results = Chains(tmp_path, document(seeds=[0], grpo=None)).write().results
    with pytest.raises(UserError, match=r"chains\.parquet: no such file; run `glow tables`"):
        steps.chains(results)


def test_the_table(world: World) -> None:
    table = steps_table(world.results)
    headings, *rows = [[cell.replace(MINUS, "-") for cell in line] for line in table.lines]
    cells = {(row[0], row[1]): dict(zip(headings, row, strict=True)) for row in rows}
    assert list(cells)[:4] == [
        ("teacher", "right trajectories"), ("teacher", "wrong trajectories"), ("base", "ID"),
        ("positive", "ID"),
    ]  # fmt: skip
    assert cells["teacher", "right trajectories"]["Valid steps %"] == "83.3 ± 211.8"  # 16.67 * 12.706
    assert cells["teacher", "wrong trajectories"]["First errors"] == "sign 1, calculation 1"
    assert (cells["teacher", "wrong trajectories"]["n"], cells["base", "ID"]["n"]) == ("—", "2")
    assert cells["base", "ID"]["First errors"] == "calculation 4, early 2, sign 1"
    assert [cells["negative", "ID"][key] for key in headings[4:]] == ["—"] * 4
    assert ("GRPO from base", "ID") in cells
    # the OOD suites are sorted lists, of which no such step is one; the choices have no chain
    assert cells["base", "OOD"]["Valid steps %"].startswith("0.0")
    assert cells["base", "OOD"]["First errors"] == "step 18"
    assert len(rows) == 2 + 2 * (6 + 6)
    frame = table.frame.set_index(["of", "over"]).loc[("base", "ID")]
    assert (frame["slips_calculation"], frame["slips_late"], frame["valid_mean"]) == (4, 0, approx(2350 / 26))
    assert len(table.caption.short) <= 280  # three lines
    assert "a step is valid if it must follow" in table.caption.shows.lower()


def test_groups_stand_in_place_of_all_ood_suites(tmp_path: Path) -> None:
    suites = document()["suites"]
    suites["lists"]["group"], suites["choice"]["group"] = "near", "far"
    results = Chains(tmp_path, document(suites=suites, seeds=[0], grpo=None)).write().results
    steps.collect_chains(results)
    over = [row["over"].text for row in steps_table(results).rows]
    assert list(dict.fromkeys(over)) == ["right trajectories", "wrong trajectories", "ID", "OOD near"]
