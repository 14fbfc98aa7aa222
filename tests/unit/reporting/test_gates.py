"""The acceptance gates: each passed, failed and at its threshold; left out where it cannot be measured."""

import copy
import json
import re
import sys
from pathlib import Path

import pytest
from fabricated import World, document
from pytest import approx
from test_report import report
from written_chains import BARE, CALCULATION, EARLY, SIGN, SOUND, Chains

from glow import cli
from glow.config import Gates
from glow.files.jsonl import read_jsonl, write_json, write_jsonl
from glow.reporting import steps
from glow.reporting.gates import Bound, Gate, gates
from glow.reporting.gates_table import FAILED, PLAIN, RED, gate_lines, gates_table
from glow.reporting.results import Results, Run
from glow.reporting.statistics import Estimate
from glow.reporting.tables import write_tables

NAMES = [
    "base: steps", "base: OOD", "base: each suite", "both verdicts", "response types", "lengths",
    "kinds of error", "SFT on positives", "GRPO: unanimous", "GRPO: reward", "GRPO: accuracy",
]  # fmt: skip


ASKED = {"slip_kinds": 2, "slip_chains": 1}


class Working(Chains):
    """A study in which all gates are passed, with thresholds that fit its size; eight seeds.

    The base gets nine of ten questions of each OOD suite; p-0 to p-3 have a right and a wrong trajectory, and
    p-4 and p-5 two right ones. Two prompts of ten are unanimous.
    """

    WRONG = (CALCULATION, SIGN, EARLY, CALCULATION)

    def __init__(self, root: Path, **changes: object) -> None:
        changes = {"seeds": list(range(8)), "gates": ASKED} | changes
        super().__init__(root, document(**changes))

    def correct(self, run: Run, suite: str) -> list[bool]:
        if run.kind == "base" and suite != "arithmetic":
            return [True] * 9 + [False]
        return super().correct(run, suite)

    def trajectories(self, domain: str) -> list[dict]:
        right = [SOUND] * 8
        judged = [(place % 6, "correct", text) for place, text in enumerate(right)]
        judged += [(place, "wrong", text) for place, text in enumerate(self.WRONG)]
        row = super().trajectories(domain)[0]
        return [
            row
            | {"trajectory_id": f"t-{place}", "problem_id": f"p-{problem}", "verdict": verdict}
            | {"response": text, "extracted": text.rpartition("{")[2].rstrip("}"), "response_tokens": 30}
            for place, (problem, verdict, text) in enumerate(judged)
        ]

    def grpo_log(self, run: Run) -> list[dict]:
        return [row | {"unanimous_ratio": 0.2} for row in super().grpo_log(run)]

    def write(self) -> "Working":
        super().write()
        steps.collect_chains(self.results)
        return self


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> World:
    return Working(tmp_path_factory.mktemp("working")).write()


def by_name(results: Results, **asked: float) -> dict[str, Gate]:
    """The gates of results by name, with other thresholds where some are given."""
    own = copy.copy(results)
    if asked:
        own.experiment = results.experiment.model_copy(update={"gates": Gates(**asked)})
    return {gate.name: gate for gate in gates(own)}


def passed(results: Results, name: str, **asked: float) -> bool:
    return by_name(results, **asked)[name].passed


def written(world: World) -> Results:
    """The results of a world, with its chains."""
    results = world.write().results
    steps.collect_chains(results)
    return results


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "below", "at", "over"),
    [
        ("at least", False, True, True),
        ("above", False, False, True),
        ("at most", True, True, False),
        ("under", True, False, False),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_bounds_behave_as_they_are_stated(
    bound: Bound, below: bool, at: bool, over: bool, whole: bool
) -> None:
    for value, expected in ((49.999, below), (50.0, at), (50.000000000001, at), (50.001, over)):
        measured = Estimate(60.0 if whole else value, 1.0, value, 70.0, 2)
        assert Gate("", "", "", bound, 50.0, "%", measured, whole).passed is expected


def test_an_interval_that_is_asked_for_and_missing_is_not_passed() -> None:
    measured = Estimate(60.0, None, None, None, 2)
    assert not Gate("", "", "", "above", 50.0, "points", measured, whole_interval=True).passed
    assert Gate("", "", "", "above", 50.0, "points", measured).passed


def test_a_study_that_works_passes_all(working: World) -> None:
    found = by_name(working.results)
    assert list(found) == NAMES
    assert [name for name, gate in found.items() if not gate.passed] == []


def test_base_steps(working: World, fabricated: World) -> None:
    # seed 0: 23 of 26 steps hold, the others: 24
    share = (23 + 7 * 24) / 8 / 26
    gate = by_name(working.results)["base: steps"]
    assert (gate.measured.mean, gate.threshold, gate.unit) == (approx(100 * share), 50, "%")
    assert passed(working.results, "base: steps", base_steps=share)
    assert not passed(working.results, "base: steps", base_steps=share + 1e-4)


def test_base_ood(working: World) -> None:
    gate = by_name(working.results)["base: OOD"]
    # lists (0.9 - 0.4) / 0.6 and choice (0.9 - 0.5) / 0.5; the variance of a mean of ten is 0.9 * 0.1 / 9
    assert (gate.measured.mean, gate.threshold) == (approx(100 * (5 / 6 + 0.8) / 2), 10)
    assert gate.measured.error == approx(100 * (0.01 / 0.36 + 0.01 / 0.25) ** 0.5 / 2)
    assert gate.measured.low > 50
    assert passed(working.results, "base: OOD", base_ood=gate.measured.low - 1e-3)
    assert not passed(working.results, "base: OOD", base_ood=gate.measured.low)
    assert not passed(working.results, "base: OOD", base_ood=gate.measured.mean - 1)  # not the mean alone


def test_base_in_each_suite(working: World, tmp_path: Path) -> None:
    gate = by_name(working.results)["base: each suite"]
    assert (gate.measured.mean, gate.threshold, gate.said, gate.passed) == (100, 100, "2 of 2", True)

    class AtChance(Working):
        """Three of ten right in lists, whose best constant answer gets four; five of choice, as chance."""

        def correct(self, run: Run, suite: str) -> list[bool]:
            count = {"lists": 3, "choice": 5}.get(suite)
            return super().correct(run, suite) if count is None else [place < count for place in range(10)]

    results = written(AtChance(tmp_path, seeds=[0], grpo=None))
    gate = by_name(results)["base: each suite"]
    assert (gate.measured.mean, gate.said, gate.passed) == (0, "0 of 2 (not lists, choice)", False)
    assert passed(results, "base: each suite", base_suites=0)
    (row,) = (row for row in gates_table(results).rows if row["gate"].text == "base: each suite")
    assert (row["threshold"].text, row["measured"].text) == ("at least 100 %", "0 of 2 (not lists, choice)")
    assert row["measured"].values["_mean"] == 0


def test_half_of_the_suites_are_enough_where_the_configuration_says_so(tmp_path: Path) -> None:
    class Half(Working):
        def correct(self, run: Run, suite: str) -> list[bool]:
            return [False] * 10 if suite == "choice" else super().correct(run, suite)

    results = written(Half(tmp_path, seeds=[0], grpo=None))
    assert by_name(results)["base: each suite"].said == "1 of 2 (not choice)"
    assert passed(results, "base: each suite", base_suites=0.5)
    assert not passed(results, "base: each suite", base_suites=0.51)


def test_lengths(tmp_path: Path) -> None:
    class Longer(Working):
        def trajectories(self, domain: str) -> list[dict]:
            rows = super().trajectories(domain)
            return [row | {"response_tokens": 36 if row["verdict"] == "wrong" else 30} for row in rows]

    results = written(Longer(tmp_path, seeds=[0], grpo=None))
    gate = by_name(results)["lengths"]
    assert (gate.measured.mean, gate.threshold, gate.passed) == (approx(20), 10, False)
    assert gate.note == "wrong 36.0, right 30.0 tokens"
    assert passed(results, "lengths", length_gap=20)
    assert not passed(results, "lengths", length_gap=19.9)


def test_both_verdicts(working: World) -> None:
    gate = by_name(working.results)["both verdicts"]
    assert (gate.measured.mean, gate.threshold) == (approx(400 / 6), 25)
    assert passed(working.results, "both verdicts", both_verdicts=4 / 6)
    assert not passed(working.results, "both verdicts", both_verdicts=0.667)


def test_response_types(tmp_path: Path) -> None:
    class Bare(Working):
        WRONG = (CALCULATION, SIGN, EARLY, CALCULATION, BARE)

    results = written(Bare(tmp_path, seeds=[0], grpo=None))
    gate = by_name(results)["response types"]
    # one wrong response of five is bare, and no right one
    assert (gate.measured.mean, gate.threshold, gate.note, gate.passed) == (approx(20), 10, "chain", False)
    assert passed(results, "response types", type_gap=20)
    assert not passed(results, "response types", type_gap=19.99)


def test_kinds_of_error(working: World) -> None:
    results = working.results
    gate = by_name(results, slip_kinds=3, slip_chains=1)["kinds of error"]
    assert (gate.measured.mean, gate.note, gate.passed) == (3, "calculation 2, sign 1, early 1", True)
    assert gate.asked == "kinds of first error with 1 negatives or more"
    assert not passed(results, "kinds of error", slip_kinds=4, slip_chains=1)
    assert passed(results, "kinds of error", slip_kinds=1, slip_chains=2)
    assert not passed(results, "kinds of error", slip_kinds=2, slip_chains=2)
    assert not passed(results, "kinds of error", slip_kinds=1, slip_chains=3)
    default = by_name(results, base_steps=0)["kinds of error"]
    assert (default.threshold, default.measured.mean, default.passed) == (4, 0, False)


def test_sft_on_positives(working: World, fabricated: World) -> None:
    gate = by_name(working.results)["SFT on positives"]
    # six and eight right in place of one, by seed
    assert (gate.measured.mean, gate.threshold) == (approx(60), 0)
    assert gate.asked == "in-domain accuracy that positive adds to the base"
    assert passed(working.results, "SFT on positives", positive_gain=gate.measured.low - 1e-3)
    assert not passed(working.results, "SFT on positives", positive_gain=gate.measured.low)
    steps.collect_chains(fabricated.results)
    two = by_name(fabricated.results)["SFT on positives"]
    assert (two.measured.mean, two.passed) == (approx(60), False)  # with two seeds the interval holds 0


def test_unanimous_prompts(working: World) -> None:
    gate = by_name(working.results)["GRPO: unanimous"]
    assert (gate.measured.mean, gate.threshold) == (approx(20), 40)
    starts = ("base", "positive", "negative", "all", "glow", "glow_released")
    assert gate.note == ", ".join(f"{name} 20.0" for name in starts)
    assert passed(working.results, "GRPO: unanimous", unanimous=0.201)
    assert not passed(working.results, "GRPO: unanimous", unanimous=0.2)


def test_the_reward_of_grpo(working: World, fabricated: World) -> None:
    gate = by_name(working.results)["GRPO: reward"]
    # by seed from 1.5 to 19.5 steps of 0.01, 0.02, ... 0.08
    assert gate.measured.mean == approx(0.18 * 4.5)
    assert gate.passed
    assert not passed(working.results, "GRPO: reward", reward_rise=gate.measured.low)
    assert passed(working.results, "GRPO: reward", reward_rise=gate.measured.low - 1e-6)
    steps.collect_chains(fabricated.results)
    assert not by_name(fabricated.results)["GRPO: reward"].passed  # 0.18 and 0.36


def test_the_accuracy_of_grpo(working: World, fabricated: World) -> None:
    steps.collect_chains(fabricated.results)
    gate = by_name(fabricated.results)["GRPO: accuracy"]
    # 14 and 13 more right of 60, over six starts and two seeds
    assert (gate.measured.mean, gate.passed) == (approx(22.5), True)
    assert passed(fabricated.results, "GRPO: accuracy", grpo_gain=11.8)
    assert not passed(fabricated.results, "GRPO: accuracy", grpo_gain=gate.measured.low)
    assert not passed(fabricated.results, "GRPO: accuracy", grpo_gain=12)


# --- what cannot be measured ----------------------------------------------------------------------


def test_without_grpo_its_gates_are_not_listed(tmp_path: Path) -> None:
    assert list(by_name(written(Working(tmp_path, seeds=[0], grpo=None)))) == NAMES[:-3]


def test_one_seed_of_grpo_has_no_interval_of_its_reward(tmp_path: Path) -> None:
    names = list(by_name(written(Working(tmp_path, seeds=[1]))))
    assert names == [name for name in NAMES if name != "GRPO: reward"]


def test_without_families_steps_are_not_asked_for(tmp_path: Path) -> None:
    suites = {"mmlu": {"task": "mmlu", "domain": "arithmetic"}, "lists": document()["suites"]["lists"]}
    (tmp_path / "own.jsonl").write_text("")
    problems = {"file": str(tmp_path / "own.jsonl"), "train": 10, "grpo": 5}

    class Others(Working):
        def correct(self, run: Run, suite: str) -> list[bool]:
            return [True] * (9 if run.kind == "base" else 10) + [False] * (run.kind == "base")

    changes = {"suites": suites, "domains": {"arithmetic": {"problems": problems}}, "seeds": [0, 1]}
    names = list(by_name(written(Others(tmp_path / "r", **changes))))
    assert names == [name for name in NAMES if name not in ("base: steps", "kinds of error")]


def test_without_an_in_domain_suite_or_positives_their_gates_are_not_listed(tmp_path: Path) -> None:
    suites = {"lists": {"families": ["sorting"]}, "choice": {"families": ["sorting"], "format": "choice"}}
    names = list(by_name(written(Working(tmp_path / "a", suites=suites, seeds=[0, 1]))))
    left_out = {"base: steps", "SFT on positives", "GRPO: accuracy"}
    assert names == [name for name in NAMES if name not in left_out]
    arms = {"all": {"trajectories": "all", "objective": "plain"}}
    names = list(by_name(written(Working(tmp_path / "b", arms=arms, seeds=[0, 1]))))
    assert names == [name for name in NAMES if name != "SFT on positives"]


def test_without_gold_answers_there_is_no_chance(tmp_path: Path) -> None:
    results = written(Working(tmp_path, seeds=[0], grpo=None))
    for suite in ("lists", "choice"):
        file = results.suite_file(suite)
        checked = {"scorer": "ifeval", "scorer_data": {"key": 0, "instruction_id_list": [], "kwargs": []}}
        write_jsonl(file, [row | checked for row in read_jsonl(file)])
    left_out = {"base: OOD", "base: each suite"}
    assert list(by_name(results)) == [name for name in NAMES[:-3] if name not in left_out]


def test_questions_that_were_asked_once_cannot_have_both_verdicts(tmp_path: Path) -> None:
    class Once(Working):
        def trajectories(self, domain: str) -> list[dict]:
            rows = super().trajectories(domain)
            return [row | {"problem_id": row["trajectory_id"]} for row in rows]

    names = list(by_name(written(Once(tmp_path, seeds=[0], grpo=None))))
    assert names == [name for name in NAMES[:-3] if name != "both verdicts"]


def test_without_wrong_trajectories_types_are_not_compared(tmp_path: Path) -> None:
    class Right(Working):
        WRONG = ()

        def history(self, run: Run):
            return super().history(run).query("verdict == 'correct'")

    found = by_name(written(Right(tmp_path, seeds=[0], grpo=None)))
    left_out = {"response types", "lengths"}
    assert list(found) == [name for name in NAMES[:-3] if name not in left_out]
    assert (found["both verdicts"].measured.mean, found["kinds of error"].measured.mean) == (0, 0)
    assert not found["both verdicts"].passed


def test_every_domain_has_gates_of_its_own(tmp_path: Path) -> None:
    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    domains = {"arithmetic": problems, "other": problems}
    results = written(Working(tmp_path, domains=domains, seeds=[0], grpo=None))
    found = [(gate.domain, gate.name) for gate in gates(results)]
    inside = {"base: steps", "SFT on positives"}  # no suite is in-domain for the other
    assert found == [("arithmetic", name) for name in NAMES[:-3]] + [
        ("other", name) for name in NAMES[:-3] if name not in inside
    ]
    assert gate_lines(gates_table(results))[0].startswith("gate passed: arithmetic: base: steps: ")


# --- what people see ------------------------------------------------------------------------------


def test_the_table(working: World) -> None:
    own = copy.copy(working.results)
    own.experiment = own.experiment.model_copy(update={"gates": Gates(slip_chains=2)})
    table = gates_table(own)
    rows = {row["gate"].text: row for row in table.rows}
    assert table.lines[0] == ["Gate", "What is measured", "Threshold", "Measured", "Passed"]
    failed = rows["kinds of error"]
    assert failed["threshold"].text == "at least 4 kinds"
    assert failed["measured"].text == "1 kind (calculation 2, sign 1, early 1)"
    assert failed["passed"].text == FAILED == "FAILED"
    assert all(cell.failed for cell in failed.values())
    good = rows["base: OOD"]
    assert good["threshold"].text == "interval above 10 points"
    assert re.fullmatch(r"\+81\.7 points \[\+\d\d\.\d, \+\d{3}\.\d\]", good["measured"].text)
    assert good["passed"].text == "passed"
    assert not any(cell.failed for cell in good.values())
    assert rows["GRPO: reward"]["threshold"].text == "interval above 0"
    frame = table.frame.set_index("gate")
    assert frame.loc["base: OOD", "measured_mean"] == approx(100 * (5 / 6 + 0.8) / 2)
    assert (frame.loc["base: OOD", "threshold"], frame.loc["base: OOD", "threshold_bound"]) == (10, "above")
    assert (frame.loc["kinds of error", "passed"], frame.loc["base: OOD", "passed"]) == ("FAILED", "passed")
    assert len(table.caption.short) <= 280  # three lines


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """What a command prints; it must end in code 0."""
    assert cli.main(list(words)) == 0
    return capsys.readouterr().out.splitlines()


def test_commands_print_the_gates_and_a_failed_one_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = Working(tmp_path, gates={"base_steps": 0.95, "slip_kinds": 3, "slip_chains": 1}, seeds=[0, 1])
    world.write()
    given = str(world.root / "experiment.json"), "--results", str(world.root)
    _, *lines, count = shown(capsys, "tables", *given)
    assert [re.match(r"gate (?:passed|FAILED): ([^:]+(?:: [\w ]+)?): ", line)[1] for line in lines] == NAMES
    assert re.fullmatch(r"gate FAILED: base: steps: 90\.4 % \[.*\]; asked: at least 95 %", lines[0])
    failed = [line for line in lines if line.startswith("gate FAILED: ")]
    assert count == f"{len(failed)} of 11 gates FAILED"
    assert 0 < len(failed) < 11
    assert shown(capsys, "gates", *given) == [*failed, count]


def test_when_all_are_passed_a_line_says_so(working: World, capsys: pytest.CaptureFixture[str]) -> None:
    write_tables(working.results.experiment, working.root)
    given = str(working.root / "experiment.json"), "--results", str(working.root)
    capsys.readouterr()
    assert shown(capsys, "gates", *given) == ["all 11 gates were passed"]


def test_where_no_gate_applies_a_line_says_so(working: World) -> None:
    table = gates_table(working.results)
    table.rows.clear()
    assert gate_lines(table) == ["no acceptance gate applies to this experiment"]


@pytest.mark.parametrize(
    ("terminal", "no_colour", "red"),
    [(True, None, True), (True, "", True), (True, "1", False), (False, None, False)],
)
def test_failed_gates_are_red_on_a_terminal(
    working: World, monkeypatch: pytest.MonkeyPatch, terminal: bool, no_colour: str | None, red: bool
) -> None:
    own = copy.copy(working.results)
    own.experiment = own.experiment.model_copy(update={"gates": Gates()})
    table = gates_table(own)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_colour is not None:
        monkeypatch.setenv("NO_COLOR", no_colour)
    lines = gate_lines(table)
    (failed,) = (line for line in lines if "gate FAILED: kinds of error" in line)
    assert (failed.startswith(RED), failed.endswith(PLAIN)) == (red, red)
    assert not any(RED in line for line in lines if line.startswith("gate passed"))


def test_tables_of_an_earlier_version_are_refused(
    working: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tables(working.results.experiment, working.root)
    tables = json.loads(working.results.tables_file.read_text())
    write_json(tmp_path / "tables" / "tables.json", [table for table in tables if table["name"] != "gates"])
    for name in ("layout", "experiment.json"):
        (tmp_path / name).write_text((working.root / name).read_text())
    given = str(working.root / "experiment.json"), "--results", str(tmp_path)
    assert cli.main(["gates", *given]) == 2
    assert "tables.json: not the tables of this version of glow; run `glow tables`" in capsys.readouterr().err


def test_a_failed_gate_is_red_in_the_report(tmp_path: Path) -> None:
    page = report(Working(tmp_path, gates={"slip_kinds": 4, "slip_chains": 1}, seeds=[0, 1]).write())
    assert re.search(r'<td class="text failed"[^>]*>FAILED</td>', page)
    assert re.search(r'<td class="text failed"[^>]*>kinds of error</td>', page)
    assert re.search(r'<td class="text"[^>]*>passed</td>', page)
    assert page.index('id="gates"') < page.index('id="accuracy"')
    assert re.search(r"td\.failed \{ color: var\(--failed\)", page)
