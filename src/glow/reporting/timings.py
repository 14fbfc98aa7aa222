"""Where the time and the memory of a finished experiment went, by stage, and how many runs it took.

From Snakemake's benchmark files (R/benchmarks/<rule>/...tsv), from the manifests, and from R/runs.jsonl,
which says when each run began. Measuring speed against peers is the business of benchmarks/, not of this.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from glow.errors import UserError
from glow.files.frozen import refuse_other_layout, study_file
from glow.files.runs import runs_started
from glow.reporting.results import read_manifests

COLUMNS = ("stage", "jobs", "wall_s", "cpu_s", "max_rss_mb")
LONG_PAUSE_S = 120.0
"""A longer time of which no job is known is mentioned."""
TOLD_RUNS = 4
"""So many runs are told one by one."""

Interval = tuple[float, float]
"""From when to when something ran, in seconds since 1970."""


@dataclass(frozen=True)
class RunSpan:
    """One run of the experiment, from the jobs whose results are still there.

    Attributes:
        started, finished: first start and last finish, seconds since 1970.
        idle_s: seconds in between of which no job is known.
        longest_pause_s: the longest of these gaps, seconds.
        jobs: how many manifests it left.
    """

    started: float
    finished: float
    idle_s: float
    longest_pause_s: float
    jobs: int

    @property
    def wall_s(self) -> float:
        """First start to last finish, seconds."""
        return self.finished - self.started

    @property
    def text(self) -> str:
        """`11 min 22 s (70 jobs, from 2026-01-02 03:00 UTC)`."""
        from_when = pd.Timestamp(self.started, unit="s").strftime("%Y-%m-%d %H:%M")
        jobs = f"{self.jobs} job{'s' if self.jobs > 1 else ''}"
        return f"{duration(self.wall_s)} ({jobs}, from {from_when} UTC)"


@dataclass(frozen=True)
class Span:
    """The whole experiment.

    Attributes:
        runs: the runs that made the results, the earliest first; all jobs count as one run's where no starts
            of runs were noted.
        noted: whether they were.
        commits: how many git commits the jobs ran from.
    """

    runs: tuple[RunSpan, ...]
    noted: bool
    commits: int

    @property
    def wall_s(self) -> float:
        """First start to last finish, seconds, summed over runs."""
        return sum(run.wall_s for run in self.runs)

    @property
    def text(self) -> str:
        """How many runs there were, and how long they took."""
        if len(self.runs) == 1:
            # Without notes of runs nobody knows how many there were.
            how_many = "one run, " if self.noted else ""
            return f"{how_many}first start to last finish: {duration(self.wall_s)}"
        told = [run.text for run in self.runs[:TOLD_RUNS]]
        if len(self.runs) > TOLD_RUNS:
            told.append("...")
        return f"{len(self.runs)} runs: {'; '.join(told)}; together {duration(self.wall_s)}"

    @property
    def note(self) -> str:
        """What else to know of the wall time; empty where there is nothing."""
        notes = []
        longest = max(run.longest_pause_s for run in self.runs)
        if longest > LONG_PAUSE_S:
            why = "jobs waited in a queue, or the machine stood still"
            if not self.noted:
                why = f"there were several runs, or {why}"
            idle = duration(sum(run.idle_s for run in self.runs))
            notes.append(f"no job is known of for {idle} of it, {duration(longest)} at a time: {why}")
        if self.commits > 1:
            notes.append(f"the jobs ran from {self.commits} git commits")
        return "; ".join(notes)


def stage_timings(root: Path) -> pd.DataFrame:
    """One row per stage, in the order in which they were first done: see COLUMNS.

    Seconds are summed over jobs, memory is the largest job's. Without benchmark files (stages run by hand)
    the manifests serve alone, whose wall times begin after the imports.

    CPU time and memory are the larger of what manifests and benchmark files say, as both can miss some:
    Snakemake looks at a job twice a second for the first 15 seconds, and then only every 30. A manifest tells
    all until it was written; some stages leave none.
    """
    noted = _from_manifests(root)
    files = sorted((root / "benchmarks").rglob("*.tsv"), key=lambda file: file.stat().st_mtime)
    if not files:
        return noted
    jobs = pd.concat([_read_benchmark(file, root / "benchmarks") for file in files], ignore_index=True)
    measured = _by_stage(jobs)
    for column in ("cpu_s", "max_rss_mb"):
        by_manifest = measured["stage"].map(noted.set_index("stage")[column])
        measured[column] = pd.concat([measured[column], by_manifest], axis=1).max(axis=1)
    return measured


def _by_stage(jobs: pd.DataFrame) -> pd.DataFrame:
    stages = jobs.groupby("stage", sort=False)
    return stages.agg(
        jobs=("wall_s", "size"),
        wall_s=("wall_s", "sum"),
        cpu_s=("cpu_s", lambda seconds: seconds.sum(min_count=1)),
        max_rss_mb=("max_rss_mb", "max"),
    ).reset_index()


def student_timings(root: Path, student: str) -> pd.DataFrame:
    """The same as `stage_timings`, from benchmark files alone, of the jobs of one student and those of all.

    Args:
        student: its name; empty for one student alone.
    """
    folder = root / "benchmarks"
    files = [file for file in sorted(folder.rglob("*.tsv")) if _whose(file, folder) in ("", student)]
    jobs = [_read_benchmark(file, folder) for file in files]
    return _by_stage(pd.concat(jobs, ignore_index=True)) if jobs else pd.DataFrame(columns=list(COLUMNS))


def _whose(file: Path, folder: Path) -> str:
    """The student of a benchmark file, by its path: <rule>/students/<student>/...; empty for a job of all."""
    parts = file.relative_to(folder).parts
    return parts[2] if len(parts) > 3 and parts[1] == "students" else ""


def _read_benchmark(file: Path, folder: Path) -> pd.DataFrame:
    """One row per repeat; a job too short for Snakemake to sample has no memory and CPU figures."""
    measured = pd.read_csv(file, sep="\t", na_values=["-", "NA"])
    stage = file.relative_to(folder).parts[0].removesuffix(".tsv")
    numbers = {"wall_s": "s", "cpu_s": "cpu_time", "max_rss_mb": "max_rss"}
    return pd.DataFrame({"stage": stage, **{to: measured[key].astype(float) for to, key in numbers.items()}})


def _from_manifests(root: Path) -> pd.DataFrame:
    jobs = read_manifests(root).sort_values("started", kind="stable")
    return _by_stage(jobs[["stage", "wall_s", "cpu_s", "max_rss_mb"]])


def whole_span(root: Path) -> Span | None:
    """The experiment from first start to last finish, run by run; None without manifests.

    Raises:
        UserError: R/runs.jsonl is damaged.
    """
    jobs = read_manifests(root)
    if jobs.empty:
        return None
    starts, measured = runs_started(root), list(_measured_intervals(root))
    by_run: dict[int, list[Interval]] = {}
    for started, finished in zip(jobs["started"], jobs["finished"], strict=True):
        by_run.setdefault(_run_of(started, starts), []).append((started.timestamp(), finished.timestamp()))
    runs = tuple(_run_span(intervals, measured) for _, intervals in sorted(by_run.items()))
    return Span(runs, bool(starts), jobs["git_commit"].nunique())


def _run_of(job: datetime, starts: list[datetime]) -> int:
    """Which run a job is of: the last that had begun when it began. 0 is before all that were noted."""
    return sum(start <= job for start in starts)


def _run_span(jobs: list[Interval], measured: Iterable[Interval]) -> RunSpan:
    """A run by the manifests of its jobs; gaps between these are filled by what Snakemake measured."""
    started, finished = min(start for start, _ in jobs), max(end for _, end in jobs)
    # A copy of the files may have other times than they had: then those after the end fill nothing.
    inside = [(start, end) for start, end in measured if start < finished and started < end <= finished]
    pauses, reached = [0.0], started
    for start, end in sorted([*jobs, *inside]):
        pauses.append(max(0.0, start - reached))
        reached = max(reached, end)
    return RunSpan(started, finished, sum(pauses), max(pauses), len(jobs))


def _measured_intervals(root: Path) -> Iterator[Interval]:
    """When jobs ran, by their benchmark files: imports count, and jobs that leave no manifest."""
    for file in (root / "benchmarks").rglob("*.tsv"):
        ended = file.stat().st_mtime
        yield ended - float(_read_benchmark(file, root / "benchmarks")["wall_s"].sum()), ended


def duration(seconds: float) -> str:
    """Seconds as people say them: `8.2 s`, `3 min 5 s`, `2 h 4 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def timing_rows(timings: pd.DataFrame) -> list[list[str]]:
    """The rows of `stage_timings` as people read them, with a sum at the end."""
    totals = ("all stages", timings["jobs"].sum(), timings["wall_s"].sum(), timings["cpu_s"].sum(min_count=1))
    lines = [*timings.itertuples(index=False), (*totals, timings["max_rss_mb"].max())]
    return [
        [
            stage,
            str(jobs),
            duration(wall),
            "—" if pd.isna(cpu) else duration(cpu),
            "—" if pd.isna(memory) else f"{memory:,.0f}",
        ]
        for stage, jobs, wall, cpu, memory in lines
    ]


TIMING_HEADINGS = ["stage", "jobs", "wall time, summed", "CPU time", "peak memory, MB"]


def print_timings(root: Path) -> None:
    """Print time and peak memory by stage, and the wall time of the whole.

    Args:
        root: the results, R.

    Raises:
        UserError: `root` is no folder of a study, there are neither benchmark files nor manifests below it,
            or another version of glow made them.
    """
    if not root.exists():
        raise UserError(f"{root}: no such folder; give results/<name>")
    if not root.is_dir():
        raise UserError(f"{root}: is a file; give the folder results/<name>")
    study_file(root)
    refuse_other_layout(root)
    timings = stage_timings(root)
    span = whole_span(root)
    if timings.empty or span is None:
        raise UserError(f"{root}: no benchmarks and no manifests; give the results of a finished experiment")
    alignment = ("left", *["right"] * (len(TIMING_HEADINGS) - 1))
    print(tabulate(timing_rows(timings), TIMING_HEADINGS, colalign=alignment, disable_numparse=True))
    print(f"\n{span.text}")
    if span.note:
        print(f"note: {span.note}")
