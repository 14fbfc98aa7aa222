"""A plan as text and as CSV: one row a stage and student, ranges where what it rests on is one."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

from glow.files.atomic import atomic_path
from glow.files.inert import csv_cell
from glow.planning.plan import Plan, Row, Span
from glow.planning.resources import SAMPLING_RULES, TRAINING_RULES

HOUR = 3600.0
_ON_CORES = "on cores"
"""What jobs without a GPU are called together, beside jobs with one."""

_DATA = {
    "generate": ("tokens",),
    "sft": ("tokens", "right", "decided", "both"),
    "grpo": ("rollouts",),
    "pass_rates": ("rollouts",),
    "answer": ("answers", "endless"),
    "evaluate": ("answers", "endless"),
}
"""The assumptions that the hours of a stage rest on, by the beginnings of their names."""

_MEASURED_UP_TO, _MEASURED_ON_CORES = 1.6e9, 1e6
"""Parameters of the largest models that were timed: in training on a GPU (an H200), and on a core."""


def text_of(plan: Plan) -> str:
    """The plan as it is printed."""
    notes = "\n".join(filter(None, (_disk(plan), _beyond(plan), _unasked(plan), _rests_on(plan))))
    parts = [_heading(plan), _table(plan), notes]
    return "\n\n".join(filter(None, parts))


def _heading(plan: Plan) -> str:
    experiment = plan.question.experiment
    students = len(experiment.students) or 1
    named = f"{students} students" if students > 1 else "one student"
    return (
        f"{experiment.name}, {named}, on {plan.machine.text}: {duration(plan.wall)} from start to end, "
        f"{_work(plan, plan.whole)} {'CPU time' if plan.machine.device.is_cpu else 'GPU-hours'}\n"
        f"by {_said(plan, data_of)} data and {_said(plan, speed_of)} speeds; the longest chain of jobs: "
        f'{duration(plan.critical)} (docs/cluster.md, "What it costs")'
    )


def _said(plan: Plan, of: Callable[[Plan, Row], str]) -> str:
    """What the hours of jobs that hold a model rest on: `assumed`, `found`, or `partly measured`."""
    rests = {of(plan, row) for row in plan.rows if row.fit is not None} - {"stated"}
    better = sorted(rests - {"assumed"})
    if not better:
        return "assumed"
    return f"partly {better[0]}" if "assumed" in rests else better[0]


def _work(plan: Plan, work: Span) -> str:
    """GPU-hours, or seconds of cores as people say them."""
    return duration(work) if plan.machine.device.is_cpu else hours(work)


_HEADINGS = (
    "stage",
    "student",
    "jobs",
    "hours",
    "longest job",
    "when",
    "a job has",
    "device",
    "host",
    "disk",
    "data, speed",
)


def _table(plan: Plan) -> str:
    shown = [row for row in plan.rows if row.gpus or plan.machine.device.is_cpu]
    others = [row for row in plan.rows if row not in shown]
    named = bool(plan.question.experiment.students)
    lines = [_line(plan, row) for row in shown] + ([_cores(others)] if others else [])
    left_out = {*(() if named else ("student",)), *(("device",) if plan.machine.device.is_cpu else ())}
    keys = [key for key in _HEADINGS if key not in left_out]
    work = "CPU time" if plan.machine.device.is_cpu else "GPU-hours"
    headings = [work if key == "hours" else key for key in keys]
    right = {"jobs", "hours", "longest job", "device", "host", "disk"}
    alignment = ["right" if key in right else "left" for key in keys]
    rows = [[line.get(key, "") for key in keys] for line in lines]
    return tabulate(rows, headings, colalign=alignment, disable_numparse=True)


def _line(plan: Plan, row: Row) -> dict[str, str]:
    fit, is_cpu = row.fit, plan.machine.device.is_cpu
    line = {
        "stage": row.rule,
        "student": row.student,
        "jobs": f"{row.jobs:,}",
        "hours": _work(plan, row.work),
        "longest job": duration(row.longest),
        "when": _when(plan, row),
        "disk": size(row.kept),
    }
    if fit is None:
        return line
    on = f"{row.gpus} GPU{'s' if row.gpus > 1 else ''}" if not is_cpu else ""
    on += f" on {fit.nodes} nodes" if fit.nodes > 1 else ""
    line["a job has"] = ", ".join(filter(None, (on, fit.words)))
    if not is_cpu:
        line["device"] = f"{fit.device.total / 1e9:,.3g} GB"
    line["host"] = f"{_host(plan, row) / 1e9:,.3g} GB"
    line["data, speed"] = f"{data_of(plan, row)}, {speed_of(plan, row)}"
    return line


def _cores(rows: list[Row]) -> dict[str, str]:
    """All jobs without a GPU as one line."""
    longest = max(rows, key=lambda row: row.longest.high)
    return {
        "stage": _ON_CORES,
        "jobs": f"{sum(row.jobs for row in rows):,}",
        "longest job": f"{duration(longest.longest)} ({longest.rule})",
        "disk": size(sum((row.kept for row in rows), Span(0, 0))),
    }


def data_of(plan: Plan, row: Row) -> str:
    """Whether the data that a stage's hours rest on are stated, assumed, or found in results."""
    begin = _DATA.get(row.rule)
    if begin is None:
        return "stated"
    assumed = any(name.partition(".")[0] in begin for name in plan.used)
    return "assumed" if assumed else "found"


def speed_of(plan: Plan, row: Row) -> str:
    """Whether a benchmark measured the speed of a stage, at the size of its model."""
    if row.rule not in (*TRAINING_RULES, *SAMPLING_RULES):
        return "assumed"
    if not row.gpus:
        return "measured" if row.parameters <= _MEASURED_ON_CORES else "assumed"
    small = row.parameters <= _MEASURED_UP_TO and plan.machine.device.name == "h200"
    return "measured" if small and row.rule == "sft" else "assumed"


def _disk(plan: Plan) -> str:
    most = max(plan.live.low, plan.live.high)
    jobs = f"{plan.training} training jobs at a time, each with up to 3 checkpoints"
    return f"disk: {size(plan.kept)} stay, and up to {size(Span(most, most))} more while jobs run ({jobs})"


def _unasked(plan: Plan) -> str:
    """The stages that need more of the host's memory than they ask for, which only a cluster minds."""
    over: dict[str, dict[str, int]] = {}
    for row in plan.rows:
        if row.setting is None or row.fit is None or _host(plan, row) <= row.setting["mem_mb"] * 1e6:
            continue
        needed = -(-_host(plan, row) // 10**9) * 1000
        over[row.rule] = {"mem_mb": max(needed, over.get(row.rule, {}).get("mem_mb", 0))}
    if not over:
        return ""
    said = plan.question.profile.said(over)
    return f"more memory than mem_mb asks for, which SLURM would not let pass: {said}"


def _host(plan: Plan, row: Row) -> int:
    """Bytes of the host's memory that a job needs; on a CPU the model is in it too."""
    assert row.fit is not None
    return row.fit.host.total + (row.fit.device.total if plan.machine.device.is_cpu else 0)


def _beyond(plan: Plan) -> str:
    """The stages whose jobs may run into their limit: they go on after it, but that is to be known."""
    over = [
        f"{row.rule}{f' of {row.student}' if row.student else ''}: {row.limit_h:.0f} h"
        for row in plan.rows
        if row.limit_h is not None and row.longest.high > row.limit_h * HOUR
    ]
    if not over:
        return ""
    return (
        f"longer than their limit (runtime), after which they are queued again and go on: {'; '.join(over)}"
    )


def _rests_on(plan: Plan) -> str:
    lines = []
    if plan.found:
        lines.append(f"read from {plan.question.results}: {'; '.join(plan.found)}")
    lines += [
        f"{plan.question.results} was made with another configuration: {words}" for words in plan.changed
    ]
    said = [f"{name} {number.text}" for name, number in plan.used.items()]
    if said:
        lines.append(f"assumed (--assume KEY=VALUE or KEY=LOW..HIGH says otherwise): {'; '.join(said)}")
    return "\n".join(lines)


# --- numbers as people read them ----------------------------------------------------------------------


def hours(seconds: Span) -> str:
    """`0.31`, `4,180 to 6,500`: three figures."""
    return _range(f"{_three(seconds.low / HOUR)}", f"{_three(seconds.high / HOUR)}")


def _three(value: float) -> str:
    if value >= 1000:
        digits = 10 ** (len(str(int(value))) - 3)
        return f"{round(value / digits) * digits:,}"
    return f"{value:.3g}"


_UNITS = (("days", 86400.0), ("h", HOUR), ("min", 60.0), ("s", 1.0))


def _unit(seconds: float) -> tuple[str, float]:
    """The largest unit of which there are two or more, or a second."""
    return next((one for one in _UNITS if seconds >= 2 * one[1]), _UNITS[-1])


def duration(seconds: Span) -> str:
    """`12 s`, `18 min`, `31 to 48 h`, `20 to 53 days`."""
    unit, length = _unit(seconds.high)
    return f"{_range(_two(seconds.low / length), _two(seconds.high / length))} {unit}"


def _two(value: float) -> str:
    """`0.31`, `4.2`, `31`, `210`: two figures, or whole."""
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def size(bytes_: Span) -> str:
    """`80 MB`, `12.2 to 12.6 TB`; nothing for less than 50 kB."""
    if bytes_.high < 5e4:
        return ""
    unit, length = next(
        one for one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)) if bytes_.high >= one[1] or one[0] == "MB"
    )
    return f"{_range(f'{bytes_.low / length:,.3g}', f'{bytes_.high / length:,.3g}')} {unit}"


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _when(plan: Plan, row: Row) -> str:
    """From the first start to the last end, where what is assumed is at its low end: `2 to 14 days`."""
    unit, length = _unit(plan.wall.low)
    return f"{_two(row.starts.low / length)} to {_two(row.ends.low / length)} {unit}"


# --- CSV ----------------------------------------------------------------------------------------------

COLUMNS = (
    "stage",
    "student",
    "jobs",
    "device_hours_low",
    "device_hours_high",
    "job_hours_low",
    "job_hours_high",
    "starts_h_low",
    "starts_h_high",
    "ends_h_low",
    "ends_h_high",
    "gpus",
    "nodes",
    "spread",
    "device_bytes",
    "host_bytes",
    "mem_mb",
    "kept_bytes_low",
    "kept_bytes_high",
    "live_bytes_low",
    "live_bytes_high",
    "data",
    "speed",
)
"""Hours are of GPUs, and of cores where a job has none; `live_bytes` is what the largest job has on the disk
while it runs."""


def csv_rows(plan: Plan) -> Iterator[dict[str, Any]]:
    """One row a stage and student, and a last one for all."""
    for row in plan.rows:
        fit = row.fit
        yield {
            "stage": row.rule,
            "student": row.student,
            "jobs": row.jobs,
            **_ends("device_hours", row.work, HOUR),
            **_ends("job_hours", row.longest, HOUR),
            **_ends("starts_h", row.starts, HOUR),
            **_ends("ends_h", row.ends, HOUR),
            "gpus": row.gpus,
            "nodes": fit.nodes if fit is not None else 1,
            "spread": fit.words if fit is not None else "",
            "device_bytes": fit.device.total if fit is not None else "",
            "host_bytes": fit.host.total if fit is not None else "",
            "mem_mb": (row.setting or {}).get("mem_mb", ""),
            **_ends("kept_bytes", row.kept),
            **_ends("live_bytes", row.live),
            "data": data_of(plan, row),
            "speed": speed_of(plan, row),
        }
    yield {
        "stage": "all",
        "jobs": sum(row.jobs for row in plan.rows),
        **_ends("device_hours", plan.whole, HOUR),
        **_ends("ends_h", plan.wall, HOUR),
        **_ends("kept_bytes", plan.kept),
        **_ends("live_bytes", plan.live),
    }


def _ends(name: str, span: Span, unit: float = 1.0) -> dict[str, float]:
    return {f"{name}_low": float(f"{span.low / unit:.6g}"), f"{name}_high": float(f"{span.high / unit:.6g}")}


def write_csv(path: Path, rows: Iterable[dict[str, Any]], columns: Iterable[str] = COLUMNS) -> None:
    """Write rows with these columns; what a row lacks is left empty."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
