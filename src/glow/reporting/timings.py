"""Where the time and the memory of a finished experiment went, by stage.

From Snakemake's benchmark files (R/benchmarks/<rule>/...tsv), and from the manifests for the wall
time of the whole. Measuring speed against peers is the business of benchmarks/, not of this.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from glow.errors import UserError
from glow.files.frozen import refuse_other_layout
from glow.reporting.results import read_manifests

COLUMNS = ("stage", "jobs", "wall_s", "cpu_s", "max_rss_mb")
LONG_PAUSE_S = 120.0
"""The report mentions a longer time without any job, as from several runs or a wait in a queue."""


@dataclass(frozen=True)
class Span:
    """The whole experiment, from its manifests.

    Attributes:
        wall_s: first start to last finish, seconds.
        busy_s: seconds of it in which at least one job ran.
        longest_pause_s: longest time in between without a job, seconds.
        commits: how many git commits the jobs ran from.
    """

    wall_s: float
    busy_s: float
    longest_pause_s: float
    commits: int

    @property
    def note(self) -> str:
        """Why the wall time may not be that of one run; empty where it is."""
        notes = []
        if self.longest_pause_s > LONG_PAUSE_S:
            notes.append(
                f"no job ran for {duration(self.longest_pause_s)} in between, so these results come from "
                "several runs, or jobs waited in a queue"
            )
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
    """The experiment from first start to last finish; None without manifests."""
    jobs = read_manifests(root).sort_values("started", kind="stable")
    if jobs.empty:
        return None
    # A job that starts after everything before it has finished follows a pause.
    finished = jobs["finished"].cummax()
    pauses = (jobs["started"] - finished.shift()).dt.total_seconds().clip(lower=0).fillna(0)
    wall = (finished.iloc[-1] - jobs["started"].iloc[0]).total_seconds()
    return Span(wall, wall - pauses.sum(), pauses.max(), jobs["git_commit"].nunique())


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
        UserError: there are neither benchmark files nor manifests below `root`, or another version of glow
            made them.
    """
    refuse_other_layout(root)
    timings = stage_timings(root)
    span = whole_span(root)
    if timings.empty or span is None:
        raise UserError(f"{root}: no benchmarks and no manifests; give the results of a finished experiment")
    alignment = ("left", *["right"] * (len(TIMING_HEADINGS) - 1))
    print(tabulate(timing_rows(timings), TIMING_HEADINGS, colalign=alignment, disable_numparse=True))
    wall, busy = duration(span.wall_s), duration(span.busy_s)
    print(f"\nfirst start to last finish: {wall}, with a job running for {busy}")
    if span.note:
        print(f"note: {span.note}")
