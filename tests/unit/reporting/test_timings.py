import os
from datetime import timedelta
from pathlib import Path

import pytest
from fabricated import START, World, document

from glow.errors import UserError
from glow.files.frozen import LAYOUT
from glow.files.jsonl import write_jsonl
from glow.files.runs import note_run, runs_started
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


def jobs(world: World, *idle: int) -> None:
    """One job of ten seconds after the other, each so long after the one before."""
    for place, seconds in enumerate(idle):
        world.write_manifest(world.root / f"job-{place}", "sft", seconds=10, idle=seconds)


def began(world: World, *seconds: float) -> None:
    """Runs that began so long after the first job of the tree did."""
    starts = [(START + timedelta(seconds=own)).isoformat() for own in seconds]
    write_jsonl(world.root / "runs.jsonl", [{"started": start} for start in starts])


def measured(world: World, path: str, seconds: float, ended: float) -> None:
    """A benchmark file of a job that ended so long after the first of the tree began."""
    world.benchmark(path, seconds, 100)
    at = START.timestamp() + ended
    os.utime(world.root / "benchmarks" / path, (at, at))


def test_span_of_one_run(empty: World) -> None:
    jobs(empty, 0, 2, 2)
    began(empty, -8)
    span = whole_span(empty.root)
    (run,) = span.runs
    assert (run.wall_s, run.idle_s, run.longest_pause_s, run.jobs) == (34, 4, 2, 3)
    assert span.text == "one run, first start to last finish: 34.0 s"
    assert span.note == ""


def test_one_run_stays_one_however_long_it_stood_still(empty: World) -> None:
    jobs(empty, 0, 3600, 200)
    began(empty, 0)
    span = whole_span(empty.root)
    assert span.text == "one run, first start to last finish: 1 h 3 min"  # 3,830 s
    assert span.note == (
        "no job is known of for 1 h 3 min of it, 1 h 0 min at a time: jobs waited in a queue, or the machine "
        "stood still"
    )


def test_a_job_without_a_manifest_is_no_pause(empty: World) -> None:
    jobs(empty, 0, 600)  # the second begins at 610
    began(empty, 0)
    measured(empty, "generate/a/shard-0.tsv", 590.0, ended=605)
    (run,) = whole_span(empty.root).runs
    assert (run.idle_s, run.longest_pause_s) == (10, 5)
    assert whole_span(empty.root).note == ""


def test_benchmarks_that_were_copied_later_fill_nothing(empty: World) -> None:
    jobs(empty, 0, 600)
    empty.benchmark("generate/a.tsv", 1e9, 100)  # now, and it would reach back to the year 1995
    (run,) = whole_span(empty.root).runs
    assert (run.wall_s, run.idle_s) == (620, 600)


def test_a_run_that_was_killed_and_started_again_at_once_is_two(empty: World) -> None:
    jobs(empty, 0, 5, 5)
    began(empty, -1, 29)  # the third job begins at 30 and ends at 40
    span = whole_span(empty.root)
    assert span.text == (
        "2 runs: 25.0 s (2 jobs, from 2026-01-02 03:00 UTC); 10.0 s (1 job, from 2026-01-02 03:00 UTC); "
        "together 35.0 s"
    )
    assert span.note == ""


def test_days_between_two_runs_are_no_time_of_either(empty: World) -> None:
    jobs(empty, 0, 86400)
    began(empty, 0, 86410)
    span = whole_span(empty.root)
    assert span.wall_s == 20
    assert span.note == ""


def test_runs_that_left_nothing_are_not_counted(empty: World) -> None:
    jobs(empty, 0, 5)
    began(empty, -900, -600, -1, 40)
    assert whole_span(empty.root).text.startswith("one run, ")


def test_many_runs_are_not_told_one_by_one(empty: World) -> None:
    jobs(empty, *[0] * 6)
    began(empty, *range(0, 60, 10))
    text = whole_span(empty.root).text
    assert text.startswith("6 runs: 10.0 s (1 job")
    assert text.endswith("; ...; together 1 min 0 s")
    assert text.count("1 job,") == 4


def test_a_job_of_the_second_in_which_its_run_began_is_of_it(empty: World) -> None:
    empty.write_manifest(empty.root / "quick", "suite", seconds=0)
    began(empty, -100, 0)
    assert len(whole_span(empty.root).runs) == 1
    note_run(empty.root)
    assert runs_started(empty.root)[1] == START
    assert all(start.microsecond == 0 for start in runs_started(empty.root))


def test_without_notes_a_long_pause_may_be_several_runs(empty: World) -> None:
    jobs(empty, 0, 3600)
    span = whole_span(empty.root)
    assert span.text == "first start to last finish: 1 h 0 min"
    assert span.note.startswith("no job is known of for 1 h 0 min of it")
    assert span.note.endswith(
        ": there were several runs, or jobs waited in a queue, or the machine stood still"
    )


def test_jobs_side_by_side_leave_no_pause(empty: World) -> None:
    empty.write_manifest(empty.root / "long", "sft", seconds=1000)
    empty.write_manifest(empty.root / "inside", "sft", seconds=10, idle=-900)
    empty.write_manifest(empty.root / "after", "sft", seconds=10, idle=885)
    (run,) = whole_span(empty.root).runs
    assert (run.wall_s, run.idle_s) == (1005, 0)


def test_jobs_from_two_commits_are_told(empty: World) -> None:
    jobs(empty, 0, 0)
    file = empty.root / "job-1.manifest.json"
    file.write_text(file.read_text().replace("c0ffee", "decaf"))
    assert whole_span(empty.root).note == "the jobs ran from 2 git commits"


def test_damaged_notes_of_runs_are_refused(empty: World) -> None:
    jobs(empty, 0)
    (empty.root / "runs.jsonl").write_text('{"began": 1}\n')
    with pytest.raises(UserError, match=r"runs\.jsonl: not the starts of runs"):
        whole_span(empty.root)


def test_printed(empty: World, capsys: pytest.CaptureFixture[str]) -> None:
    empty.write_manifest(empty.root / "a", "sft", seconds=90)
    empty.benchmark("sft/a.tsv", 90.0, 1234.5)
    empty.benchmark("evaluate/a.tsv", 30.0, 900)
    (empty.root / "experiment.json").write_text("{}")
    (empty.root / "layout").write_text(f"{LAYOUT}\n")
    print_timings(empty.root)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["sft", "1", "1", "min", "30", "s", "3", "min", "0", "s", "1,234"]
    assert lines[4].split()[:5] == ["all", "stages", "2", "2", "min"]
    assert lines[-1] == "first start to last finish: 1 min 30 s"
    assert len({len(line) for line in lines[:5]}) == 1


def test_nothing_to_time(tmp_path: Path) -> None:
    (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(UserError, match="no benchmarks and no manifests"):
        print_timings(tmp_path)


def test_what_is_no_folder_of_a_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "experiment.json").write_text("{}")
    for root, said in (
        (tmp_path / "nowhere", "nowhere: no such folder"),
        (tmp_path / "study" / "experiment.json", "is a file; give the folder results/<name>"),
        (tmp_path, r"no study was run here \(experiment\.json is missing\)"),
    ):
        with pytest.raises(UserError, match=said):
            print_timings(root)


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
