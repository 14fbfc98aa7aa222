"""reporting.planned: the plan of a study beside what its jobs took, in the report and as CSV."""

import csv
from pathlib import Path

import pytest
from fabricated import World, document
from test_report import report

from glow.planning.plan import Span
from glow.reporting.planned import COLUMNS, compared
from glow.reporting.timings import student_timings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("planned"), document()).write()


def test_planned_and_measured_stand_side_by_side(world: World) -> None:
    world.benchmark("sft/arithmetic/glow/seed-0.tsv", 30.0, 900)
    world.benchmark("sft/arithmetic/glow/seed-1.tsv", 20.5, 1100)
    comparison = compared(world.results)
    rows = {row["stage"]: row for row in comparison.rows}
    sft = rows["sft"]
    assert (sft["measured_s"], sft["measured_cpu_s"], sft["measured_memory_mb"]) == (50.5, 101.0, 1100)
    assert 0 < sft["planned_low_s"] <= sft["planned_high_s"]
    assert sft["jobs"] == len(world.results.runs("sft"))
    assert "measured_s" not in rows["grpo"] if "grpo" in rows else True
    total = rows["all stages"]
    parts = [row for name, row in rows.items() if name != "all stages"]
    assert total["planned_low_s"] == pytest.approx(sum(row["planned_low_s"] for row in parts))
    assert total["measured_s"] == 50.5
    shown = {line[0]: line for line in comparison.shown}
    assert shown["sft"][4] == "50.5 s"
    assert shown["sft"][6] == "1,100"
    assert shown["suite"][4] == "—"


def test_what_a_run_did_not_find_stays_a_range(tmp_path: Path) -> None:
    """Its manifests note no tokens: how long responses are is still assumed, from 0.4 to 0.6 of the most."""
    world = World(tmp_path, document()).write()
    (world.root / "trajectories" / "arithmetic.jsonl.gz.manifest.json").unlink()
    comparison = compared(world.results)
    rows = {row["stage"]: row for row in comparison.rows}
    for stage in ("generate", "sft", "all stages"):
        low, high = (rows[stage][f"planned_with_its_data_{end}_s"] for end in ("low", "high"))
        assert 0 < low < high
    (shown,) = (line[3] for line in comparison.shown if line[0] == "generate")
    ends = (rows["generate"][f"planned_with_its_data_{end}_s"] for end in ("low", "high"))
    assert shown == " to ".join(f"{end:.1f} s" for end in ends)
    assert shown in report(world)


def test_the_report_has_the_table_and_a_file_beside_it(world: World) -> None:
    page = report(world)
    assert "What it was planned to cost" in page
    assert "planned with its own data" in page
    rows = list(csv.DictReader((world.results.home / "plan.csv").open()))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["stage"] for row in rows] == [row["stage"] for row in compared(world.results).rows]


def test_of_jobs_on_gpus_none_is_compared(tmp_path: Path) -> None:
    world = World(tmp_path, document()).write()
    file = world.root / "odd" / "manifest.json"
    file.parent.mkdir()
    manifest = next(world.root.rglob("manifest.json")).read_text()
    file.write_text(manifest.replace('"device": "cpu"', '"device": "cuda:0"'))
    comparison = compared(world.results)
    assert comparison.rows == []
    assert "Jobs ran on GPUs" in comparison.note


def test_times_of_a_student_are_its_own_and_those_of_all(world: World, tmp_path: Path) -> None:
    own = World(tmp_path, document())
    own.benchmark("verify/arithmetic.tsv", 1.0, 10)
    own.benchmark("sft/students/a/arithmetic/glow/seed-0.tsv", 2.0, 10)
    own.benchmark("sft/students/b/arithmetic/glow/seed-0.tsv", 4.0, 10)
    own.benchmark("tables/students/a/tables.tsv", 8.0, 10)
    seconds = student_timings(own.root, "a").set_index("stage")["wall_s"].to_dict()
    assert seconds == {"verify": 1.0, "sft": 2.0, "tables": 8.0}
    assert student_timings(tmp_path / "none", "a").empty


def test_a_span_adds_up() -> None:
    assert Span(1, 2) + Span(3, 5) == Span(4, 7)
