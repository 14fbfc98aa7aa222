"""planning.plan, printing: the paper's five students, accepted and refused; hours and disk by hand."""

import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from five import PROFILE, ROOT, STUDENTS, nodes, paper

from glow.config import Experiment
from glow.errors import UserError
from glow.experiment import load, read
from glow.files.frozen import freeze
from glow.planning.constants import Device, assumed, constant
from glow.planning.fit import Machine
from glow.planning.kinds import Kinds, Question, question_of
from glow.planning.plan import Plan, Row, Span, estimated, planned
from glow.planning.printing import (
    COLUMNS,
    csv_rows,
    data_of,
    duration,
    hours,
    size,
    speed_of,
    text_of,
    write_csv,
)
from glow.planning.resources import NO_PROFILE, Profile, read_profile

FIVE = paper()
CPU = Machine(Device("cpu", 25 * 10**9), 1, 2)


def question(machine: Machine, profile: Profile, *said: str, experiment: Experiment = FIVE) -> Question:
    return Question(experiment, machine, profile, None, assumed(list(said)))


@pytest.fixture(scope="module")
def whole() -> Plan:
    """All five on sixteen nodes of eight H100s, as profiles/paper has it."""
    return planned(question(nodes(16), read_profile(PROFILE, [])))


@pytest.fixture(scope="module")
def miniature() -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return planned(question_of(read(ROOT / "config" / "miniature.yaml"), CPU))


def row(plan: Plan, rule: str, student: str = "") -> Row:
    (found,) = (row for row in plan.rows if (row.rule, row.student) == (rule, student))
    return found


# --- the paper -----------------------------------------------------------------------------------------


def test_the_profile_of_the_paper_fits_all_five_students(whole: Plan) -> None:
    on = {
        student: (row(whole, "sft", student).gpus, row(whole, "sft", student).fit.nodes)  # type: ignore[union-attr]
        for student in STUDENTS
    }
    assert on == {
        "qwen2.5-3b": (8, 1),
        "qwen2.5-7b": (8, 1),
        "qwen2.5-14b": (16, 2),
        "qwen2.5-32b": (32, 4),
        "llama3.1-8b": (8, 1),
    }
    for own in whole.rows:
        if own.gpus:
            assert own.fit is not None
            assert own.fit.device.total < 0.97 * whole.machine.device.memory, (own.rule, own.student)
            assert own.setting is not None
            assert own.fit.host.total < own.setting["mem_mb"] * 1e6
    assert {own.rule for own in whole.rows if own.gpus} == {"generate", "sft", "grpo", "evaluate"}


def test_the_numbers_that_the_profile_gives_as_reasons_are_those_of_the_plan(whole: Plan) -> None:
    text = PROFILE.joinpath("config.yaml").read_text().replace("\n  #", "")
    of_sft = [row(whole, "sft", student) for student in ("qwen2.5-3b", "qwen2.5-7b", "llama3.1-8b", *BIG)]
    devices = [f"{own.fit.device.total / 1e9:.0f}" for own in of_sft if own.fit]
    assert f"{', '.join(devices[:-1])} and {devices[-1]} of 85 GB" in text
    hosts = [f"{own.fit.host.total / 1e9:.0f}" for own in of_sft if own.fit]
    assert f"{', '.join(hosts[:-1])} and {hosts[-1]} GB" in text
    beside = sorted(own.fit.device.total / 1e9 for own in whole.rows if own.rule == "grpo" and own.fit)
    assert f"{beside[0]:.0f} to {beside[-1]:.0f} GB together" in text


BIG = ("qwen2.5-14b", "qwen2.5-32b")


def test_on_one_gpu_all_five_are_refused_with_the_nearest_that_fits() -> None:
    started = time.process_time()
    with pytest.raises(UserError) as refused:
        planned(question(nodes(1, per_node=1), NO_PROFILE))
    *lines, last = str(refused.value).splitlines()
    assert last.startswith("a resource of a rule holds for all students; for qwen2.5-")
    for student in STUDENTS:
        if student != "qwen2.5-3b":
            assert any(line.startswith(f"sft of {student}: ") for line in lines)
        assert any(line.startswith(f"grpo of {student}: ") for line in lines)
    assert all("nearest that fits" in line or "no setting fits" in line for line in lines[1::2])
    assert len(lines) == 2 * len(lines[::2])
    assert time.process_time() - started < 5


def test_the_profile_is_refused_on_one_gpu_and_says_so() -> None:
    refusals = Kinds(question(nodes(1, per_node=1), read_profile(PROFILE, []))).refusals()
    assert len(refusals) == 2 * 5 + 2  # evaluations of the two that are spread too
    assert refusals[0].startswith(
        "sft of qwen2.5-3b: asks for 8 GPUs of a node, which has 1\n  nearest that fits"
    )


def test_the_hours_of_the_papers_tables(whole: Plan) -> None:
    """Its own arithmetic: samples x epochs x tokens x operations of a token, by what a GPU reaches. For the
    7B 4,100 to 6,400 hours, for five students 35,000 to 55,000, had all been on one node each, no checkpoint
    been written, and no device waited for another. With waits: the longest of 8 samples, by simulation."""
    draws = np.random.default_rng(0).gamma(1 / 0.36, 0.36, (200_000, 8))
    found = {student: row(whole, "sft", student).work for student in STUDENTS}
    weights = {"qwen2.5-7b": (7.070e9, 28 * 3584)}
    for student, (multiplied, layers_by_width) in weights.items():
        totals, waits = [], []
        for end, tokens in (("low", (8000, 2000)), ("high", (12_000, 3000))):
            seconds = waited = 0.0
            for mean, small in zip(tokens, (9000, 7200), strict=True):
                drawn = 200 + np.minimum(draws * mean, 30_000)
                work = 6 * multiplied * drawn + 6 * layers_by_width * drawn**2
                waits.append(float(work.max(axis=1).mean() / work.mean()))
                samples = 3 * (3 * small + 4 * 36_000) * 20  # three seeds; three small arms, four of all
                length = 200 + mean
                square = length**2 + 0.36 * mean**2
                one = samples * (6 * multiplied * length + 6 * layers_by_width * square)
                seconds, waited = seconds + one, waited + one * waits[-1]
            totals.append(seconds / (9.89e14 * 0.467 * 0.75))
            around = 42 * 8 * (120 + (15.23e9 + 20 * 91.4e9 + 15.23e9) / 2e9)
            taken = waited / (9.89e14 * 0.467 * 0.75) + around
            assert getattr(found[student], end) == pytest.approx(taken, rel=0.03)
        assert [round(total / 3600, -2) for total in totals] == [4100, 6400]
        assert waits == pytest.approx([2.1, 1.95] * 2, abs=0.1)


def test_the_evaluations_of_the_7b(whole: Plan) -> None:
    """93 models, 33,644 answers each: some 600 to 4,400 GPU-hours."""
    own = row(whole, "evaluate", "qwen2.5-7b")
    assert own.jobs == 93
    assert 550 < own.work.low / 3600 < 800
    assert 4000 < own.work.high / 3600 < 4700


def test_the_disk_of_the_7b_by_hand(whole: Plan) -> None:
    """90 final models of 15.23 GB each: 1.37 TB in bfloat16 (2.7 in float32). A checkpoint has 12 bytes a
    weight, 91.4 GB: two are 183 GB, and three while one is written 274."""
    kept = row(whole, "sft", "qwen2.5-7b").kept.low + row(whole, "grpo", "qwen2.5-7b").kept.low
    assert kept == pytest.approx(90 * 2 * 7_615_616_512, rel=1e-6)
    assert round(kept / 1e12, 2) == 1.37
    live = row(whole, "grpo", "qwen2.5-7b").live.low
    assert live == 3 * 12 * 7_615_616_512
    assert round(live * 2 / 3 / 1e9) == 183
    # Arms' tokens lie beside: 24 bytes each.
    assert row(whole, "sft", "qwen2.5-7b").live.low == live + 24 * 36_000 * 8200


def test_limits_of_the_profile_bound_the_disk_and_stretch_the_time(whole: Plan) -> None:
    assert whole.training == 8
    free = planned(question(nodes(16), read_profile(PROFILE, []), experiment=FIVE))
    assert free.live == whole.live
    wide = read_profile(PROFILE, [])
    unbounded = planned(question(nodes(16), Profile(wide.of_rules, {}, None)))
    assert unbounded.training > 8
    assert max(unbounded.live.low, unbounded.live.high) > max(whole.live.low, whole.live.high)


def test_more_nodes_take_no_longer_and_cost_the_same(whole: Plan) -> None:
    four = planned(question(nodes(4), read_profile(PROFILE, [])))
    assert four.wall.low > whole.wall.low
    assert four.whole.low == pytest.approx(whole.whole.low)
    assert four.wall.low >= four.whole.low / 32
    assert whole.wall.low >= whole.critical.low


def test_what_is_said_narrows_a_range() -> None:
    said = ["tokens.math=9000", "tokens.mmlu=2500", "answers=3000", "endless=0.1", "rollouts=3000"]
    plan = planned(question(nodes(16), read_profile(PROFILE, []), *said))
    assert plan.whole.low == plan.whole.high
    assert "tokens.math 9,000" in text_of(plan)


# --- what is printed ------------------------------------------------------------------------------------


def test_the_text_has_a_row_a_stage_and_student(whole: Plan) -> None:
    text = text_of(whole)
    assert text.startswith("paper, 5 students, on 16 nodes of 8 h100 (85 GB each): ")
    (line,) = (line for line in text.splitlines() if line.startswith("sft       qwen2.5-32b"))
    assert "42  56,200 to 81,500" in line
    assert "32 GPUs on 4 nodes, fsdp2, micro-batch 1" in line
    assert line.endswith("assumed, assumed")
    assert "8 training jobs at a time, each with up to 3 checkpoints" in text
    assert "tokens.math 8,000 to 12,000" in text
    assert "evaluate of qwen2.5-7b: 24 h" in text  # longer than its limit
    assert max(map(len, text.splitlines()[:22])) < 200


def test_the_csv_has_the_same_rows(whole: Plan, tmp_path: Path) -> None:
    file = tmp_path / "plan.csv"
    write_csv(file, csv_rows(whole))
    rows = list(csv.DictReader(file.open()))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == len(whole.rows) + 1
    (own,) = (one for one in rows if (one["stage"], one["student"]) == ("sft", "qwen2.5-7b"))
    assert float(own["device_hours_low"]) * 3600 == pytest.approx(
        row(whole, "sft", "qwen2.5-7b").work.low, rel=1e-5
    )
    assert (own["gpus"], own["nodes"], own["mem_mb"]) == ("8", "1", "180000")
    assert rows[-1]["stage"] == "all"
    assert int(rows[-1]["jobs"]) == sum(one.jobs for one in whole.rows)


def test_numbers_are_marked_as_measured_or_assumed(whole: Plan, miniature: Plan) -> None:
    assert data_of(whole, row(whole, "sft", "qwen2.5-7b")) == "assumed"
    assert speed_of(whole, row(whole, "sft", "qwen2.5-7b")) == "assumed"
    assert speed_of(miniature, row(miniature, "sft")) == "measured"
    assert data_of(miniature, row(miniature, "pretrain")) == "stated"
    one = read(ROOT / "config" / "one_gpu.yaml")
    on_h200 = planned(question_of(one, nodes(1, "h200", 1)))
    assert speed_of(on_h200, row(on_h200, "sft")) == "measured"  # 0.5B: benchmarks/throughput.py
    assert speed_of(on_h200, row(on_h200, "evaluate")) == "assumed"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (hours(Span(4_180_912 * 3.6, 6_496_000 * 3.6)), "4,180 to 6,500"),
        (hours(Span(1116, 1116)), "0.31"),
        (duration(Span(31 * 60, 31 * 60)), "31 min"),
        (duration(Span(20 * 86400, 210 * 86400)), "20 to 210 days"),
        (duration(Span(0.4, 0.4)), "0.4 s"),
        (size(Span(12.236e12, 12.6e12)), "12.2 to 12.6 TB"),
        (size(Span(0, 4e4)), ""),
    ],
)
def test_numbers_as_people_read_them(shown: str, expected: str) -> None:
    assert shown == expected


# --- the miniature ----------------------------------------------------------------------------------------


def test_the_miniature_on_two_cores(miniature: Plan) -> None:
    """It took 17 minutes on an idle machine, and 22 beside others."""
    assert {own.gpus for own in miniature.rows} == {0}
    assert 15 < miniature.wall.low / 60 < miniature.wall.high / 60 < 25
    text = text_of(miniature)
    assert "CPU time" in text
    assert "device" not in text.splitlines()[3]
    steps = 8 * (3 * -(-450 // 16) + 3 * -(-900 // 16))
    assert row(miniature, "sft").work.low > 5 * steps * constant("cpu_train_step_s")
    assert row(miniature, "sft").jobs == 30


def test_what_was_found_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "trajectories" / "arithmetic.jsonl.gz.manifest.json"
    file.parent.mkdir()
    file.write_text('{"facts": {"trajectories": 1000, "tokens": 52807}}')
    plan = planned(question_of(read(ROOT / "config" / "miniature.yaml"), CPU, tmp_path))
    assert plan.found == ["tokens of a response (arithmetic): 53"]
    assert "tokens of a response (arithmetic): 53" in text_of(plan)
    assert "tokens.made_up" not in plan.used


@pytest.mark.parametrize(
    ("selection", "written", "rests_on"),
    [
        ("positive_all", {}, "found"),
        ("all_paired", {}, "assumed"),  # nobody knows yet which questions have both
        ("all_paired", {"arms/arithmetic/seed-0/all_paired.jsonl": {"written": 90}}, "found"),
    ],
)
def test_pairs_rest_on_an_assumption_until_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selection: str, written: dict[str, Any], rests_on: str
) -> None:
    monkeypatch.chdir(ROOT)
    document = yaml.safe_load((ROOT / "config" / "miniature.yaml").read_text())
    document["arms"] = {
        "positive": {"trajectories": "positive", "objective": "plain"},
        "other": {"trajectories": selection, "objective": "plain"},
    }
    document["grpo"]["initialisations"] = ["base", "positive"]
    document["contrasts"] = []
    freeze(tmp_path, document)
    judged = {"correct": 400, "wrong": 500}
    of_data = {
        "trajectories/arithmetic.jsonl.gz": {"trajectories": 1000, "tokens": 52807},
        "verdicts/arithmetic.jsonl.gz": {"rows": 1000, "verdicts": judged},
    }
    for name, facts in (of_data | written).items():
        file = tmp_path / f"{name}.manifest.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"facts": facts}))
    plan = estimated(question_of(load(document, "x"), CPU, tmp_path))
    assert data_of(plan, row(plan, "sft")) == rests_on


def test_a_selection_that_the_first_student_lacks_is_planned() -> None:
    """One job draws it for all students, whichever has the arm."""
    arms = {
        "positive": {"trajectories": "positive", "objective": "plain"},
        "pairs": {"trajectories": "all_paired", "objective": "plain"},
    }
    first, second = list(STUDENTS)[:2]
    students = {first: {"model": STUDENTS[first], "arms": ["positive"]}, second: STUDENTS[second]}
    own = paper(students=students, arms=arms, contrasts=[], grpo=None)
    plan = estimated(question(nodes(4), NO_PROFILE, experiment=own))
    assert row(plan, "select").work.low > 0
    assert "both" in plan.used


def test_a_study_that_has_run_is_estimated_whatever_fits() -> None:
    tight = question_of(read(ROOT / "config" / "one_gpu.yaml"), nodes(1, "l4", 1))
    assert estimated(tight).whole.low > 0


# --- what the page says --------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "cluster.md").read_text()


def test_the_table_of_the_page_is_that_of_the_plan(whole: Plan) -> None:
    for student in STUDENTS:
        sft, grpo, evaluate = (row(whole, rule, student) for rule in ("sft", "grpo", "evaluate"))
        assert sft.fit is not None and grpo.fit is not None and evaluate.fit is not None
        on = f"{sft.gpus} on {sft.fit.nodes} node{'s' if sft.fit.nodes > 1 else ''}"
        held = ", ".join(f"{own.fit.device.total / 1e9:.0f}" for own in (sft, grpo, evaluate) if own.fit)
        cells = [student, *(hours(own.work) for own in (sft, grpo, evaluate)), on, held]
        cells += [size(sft.kept + grpo.kept), size(Span(grpo.live.low, grpo.live.low))]
        assert f"| {' | '.join(cells)} |" in PAGE
    assert f"it would take {duration(whole.wall)}." in PAGE


def test_the_refusal_of_the_page_is_what_is_said() -> None:
    said = Kinds(question(nodes(1), NO_PROFILE)).refusals()
    (refusal,) = (one for one in said if one.startswith("sft of qwen2.5-7b"))
    assert refusal in PAGE


def test_on_this_machine_its_memory_is_the_bound_and_what_slurm_minds_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hub model of 0.5B on two cores: 16 bytes a weight are 8 GB, and its rules ask for 128."""
    monkeypatch.chdir(ROOT)
    one = read(ROOT / "config" / "one_gpu.yaml")
    large = Machine(Device("cpu", 64 * 10**9), 1, 2)
    assert Kinds(question_of(one, large)).refusals() == []
    small = Machine(Device("cpu", 6 * 10**9), 1, 2)
    assert "GB of memory, and this machine has 6" in Kinds(question_of(one, small)).refusals()[0]
    little = planned(question(large, read_profile(None, ["sft:mem_mb=3000"]), experiment=one))
    assert "which SLURM would not let pass: after the same --set-resources, sft:mem_mb=" in text_of(little)
    assert speed_of(little, row(little, "sft")) == "assumed"  # of a model of that size no core was timed
