from pathlib import Path

import pytest
from fabricated import World, document
from pytest import approx

from glow.errors import UserError
from glow.reporting.timings import duration, print_timings, stage_timings, whole_span


@pytest.fixture
def empty(tmp_path: Path) -> World:
    """A tree without any result."""
    return World(tmp_path, document())


def test_benchmarks_are_summed_by_stage(empty: World) -> None:
    empty.benchmark("pretrain/base.tsv", 100.0, 700.5)
    empty.benchmark("sft/arithmetic/glow/seed-0.tsv", 30.0, 900)
    empty.benchmark("sft/arithmetic/glow/seed-1.tsv", 20.5, 1100)
    empty.benchmark("tables.tsv", 2.0, "NA")
    timings = stage_timings(empty.root).set_index("stage")
    assert timings.loc["sft"].to_dict() == {"jobs": 2, "wall_s": 50.5, "cpu_s": 101.0, "max_rss_mb": 1100}
    assert timings.loc["pretrain", "max_rss_mb"] == 700.5
    assert timings.loc["tables"].isna().sum() == 1


def test_cpu_time_and_memory_are_what_benchmarks_or_manifests_saw_most_of(empty: World) -> None:
    """A benchmark of the tree has twice its seconds as CPU time."""
    for seed in (0, 1):
        empty.benchmark(f"sft/arithmetic/glow/seed-{seed}.tsv", 7.5, 600)
        used = {"cpu_s": 20.0 + seed, "max_rss_mb": 700.0 + seed}
        empty.write_manifest(empty.root / f"sft-{seed}", "sft", used=used)
    empty.benchmark("evaluate/base.tsv", 6.0, 900)
    empty.write_manifest(empty.root / "evaluation", "evaluate", used={"cpu_s": 11.5, "max_rss_mb": 800.0})
    empty.benchmark("arms/seed-0.tsv", 0.4, "NA")
    empty.write_manifest(empty.root / "arms", "arms")  # as earlier versions wrote them
    empty.benchmark("answer/shard-0-of-2.tsv", 3.0, 500)
    timings = stage_timings(empty.root).set_index("stage")
    assert timings.loc["sft", ["wall_s", "cpu_s", "max_rss_mb"]].tolist() == [15, 41, 701]
    assert timings.loc["evaluate", ["cpu_s", "max_rss_mb"]].tolist() == [12, 900]
    assert timings.loc["answer", ["cpu_s", "max_rss_mb"]].tolist() == [6, 500]
    assert timings.loc["arms", "max_rss_mb"] != timings.loc["arms", "max_rss_mb"]  # NaN
    assert list(timings["jobs"]) == [2, 1, 1, 1]


def test_unmeasured_benchmarks_are_unknown(empty: World) -> None:
    file = empty.root / "benchmarks/arms/a.tsv"
    file.parent.mkdir(parents=True)
    file.write_text("s\th:m:s\tmax_rss\tcpu_time\n0.1\t0:00:00\t-\t-\n")
    row = stage_timings(empty.root).iloc[0]
    assert row["wall_s"] == 0.1
    assert row[["cpu_s", "max_rss_mb"]].isna().all()


def test_without_benchmarks_manifests_serve(empty: World) -> None:
    empty.write_manifest(empty.root / "a", "sft", seconds=10, used={"cpu_s": 12.5, "max_rss_mb": 400.0})
    empty.write_manifest(empty.root / "b", "sft", seconds=5, used={"cpu_s": 7.5, "max_rss_mb": 500.0})
    row = stage_timings(empty.root).iloc[0]
    assert row.tolist() == ["sft", 2, 15, 20, 500]


def test_span_of_one_run(empty: World) -> None:
    for name in ("a", "b", "c"):
        empty.write_manifest(empty.root / name, "sft", seconds=10, idle=2)
    span = whole_span(empty.root)
    assert (span.wall_s, span.busy_s, span.longest_pause_s) == (approx(34), approx(30), approx(2))
    assert span.note == ""


def test_a_long_pause_is_told(empty: World) -> None:
    empty.write_manifest(empty.root / "a", "sft", seconds=10)
    empty.write_manifest(empty.root / "b", "sft", seconds=10, idle=3600)
    assert (
        "no job ran for 1 h 0 min in between, so these results come from several runs"
        in whole_span(empty.root).note
    )


def test_jobs_side_by_side_leave_no_pause(empty: World) -> None:
    empty.write_manifest(empty.root / "long", "sft", seconds=1000)
    empty.write_manifest(empty.root / "inside", "sft", seconds=10, idle=-900)
    empty.write_manifest(empty.root / "after", "sft", seconds=10, idle=885)
    span = whole_span(empty.root)
    assert (span.wall_s, span.busy_s) == (approx(1005), approx(1005))


def test_printed(empty: World, capsys: pytest.CaptureFixture[str]) -> None:
    empty.write_manifest(empty.root / "a", "sft", seconds=90)
    empty.benchmark("sft/a.tsv", 90.0, 1234.5)
    empty.benchmark("evaluate/a.tsv", 30.0, 900)
    print_timings(empty.root)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["sft", "1", "1", "min", "30", "s", "3", "min", "0", "s", "1,234"]
    assert lines[4].split()[:5] == ["all", "stages", "2", "2", "min"]
    assert lines[-1] == "first start to last finish: 1 min 30 s, with a job running for 1 min 30 s"
    assert len({len(line) for line in lines[:5]}) == 1


def test_nothing_to_time(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no benchmarks and no manifests"):
        print_timings(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (59.96, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7440, "2 h 4 min"),
        (3599.7, "1 h 0 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
