"""How far a run is, from Snakemake's log records: jobs and stages done, time left, what runs."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

_TARGETS = ("all", "total")
"""Of the counts by rule: what is no stage."""

_UNTIMED_SHOWN = 3


@dataclass(frozen=True)
class Running:
    """A job at work: its rule, what it makes, and when it started (seconds of the clock)."""

    rule: str
    what: str
    started: float


class Status:
    """What a run has done and has left.

    Args:
        clock: seconds, which only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._name = ""
        self._asked: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._failed: set[int] = set()
        self._seconds: dict[str, float] = {}
        self._running: dict[int, Running] = {}
        self._begun: float | None = None

    def note(self, event: LogEvent | None, record: Mapping[str, Any]) -> bool:
        """Take note of a record; whether a job has ended by it."""
        match event:
            case LogEvent.WORKFLOW_STARTED:
                self._name = _name(record.get("configfiles"))
            case LogEvent.RUN_INFO:
                counts = {rule: count for rule, count in record["stats"].items() if rule not in _TARGETS}
                self._asked = Counter(counts)
            case LogEvent.JOB_INFO if record["rule_name"] not in _TARGETS:
                now = self._clock()
                self._begun = now if self._begun is None else self._begun
                job = Running(record["rule_name"], _what(record["rule_name"], record["wildcards"]), now)
                self._running[record["jobid"]] = job
                self._failed.discard(record["jobid"])  # it is tried again
            case LogEvent.JOB_FINISHED:
                if (ended := self._running.pop(record["job_id"], None)) is not None:
                    self._done[ended.rule] += 1
                    took = self._clock() - ended.started
                    self._seconds[ended.rule] = self._seconds.get(ended.rule, 0.0) + took
                    return True
            case LogEvent.JOB_ERROR:
                if self._running.pop(record["jobid"], None) is not None:
                    self._failed.add(record["jobid"])
                    return True
        return False

    def label(self, record: Mapping[str, Any]) -> str:
        """Which job a record is about, in words."""
        job = self._running.get(record["jobid"])
        return f"{job.rule} {job.what}".strip() if job is not None else str(record["rule_name"])

    @property
    def total(self) -> int:
        """All jobs of the run."""
        return self._asked.total()

    @property
    def is_done(self) -> bool:
        """Whether all jobs have ended well."""
        return self.total > 0 and self._done.total() >= self.total

    def line(self) -> str:
        """All of it in one line."""
        stages = sum(self._done[rule] >= count for rule, count in self._asked.items())
        parts = [f"{self._done.total()} of {self.total} jobs, {stages} of {len(self._asked)} stages done"]
        if self._failed:
            parts.append(f"{len(self._failed)} failed")
        if self._begun is not None:
            parts.append(f"{_duration(self._clock() - self._begun)} so far")
        if not self.is_done:
            parts += [self._left(), self._now()]
        return f"{self._name}: " * bool(self._name) + " | ".join(filter(None, parts))

    def _left(self) -> str:
        """The time left, were all jobs of a rule alike; rules of which none has ended are named."""
        if self._begun is None:
            return ""
        now = self._clock()
        at_work = Counter(job.rule for job in self._running.values())
        timed = {rule: self._seconds[rule] / count for rule, count in self._done.items()}
        waiting = sum(
            mean * max(0, self._asked[rule] - self._done[rule] - at_work[rule])
            for rule, mean in timed.items()
        )
        running = sum(
            max(0.0, timed[job.rule] - (now - job.started))
            for job in self._running.values()
            if job.rule in timed
        )
        busy = sum(self._seconds.values()) + sum(now - job.started for job in self._running.values())
        at_once = max(1.0, busy / max(1e-9, now - self._begun))
        untimed = [rule for rule in self._asked if rule not in timed]
        if not timed:
            return ""
        left = f"about {_duration((waiting + running) / at_once)} left"
        if not untimed:
            return left
        more = f" and {len(untimed) - _UNTIMED_SHOWN} more" if len(untimed) > _UNTIMED_SHOWN else ""
        return f"{left} without {', '.join(untimed[:_UNTIMED_SHOWN])}{more}, not timed yet"

    def _now(self) -> str:
        now = self._clock()
        shown = [
            f"{job.rule} {self._done[job.rule] + 1}/{self._asked[job.rule]} {job.what}".strip()
            + f" ({_duration(now - job.started)})"
            for job in self._running.values()
        ]
        return f"now {', '.join(shown)}" if shown else ""


def _name(files: Any) -> str:
    """The configuration's name, of the first file that Snakemake was given."""
    listed = files if isinstance(files, list | tuple) else str(files or "").split(",")
    first = str(listed[0]).strip() if listed else ""
    return Path(first).stem


def _what(rule: str, wildcards: Mapping[str, Any]) -> str:
    """What a job makes: the values of its wildcards, as in the path of its log."""
    values = {name: str(value).strip("/") for name, value in wildcards.items()}
    if "seed" in values:
        values["seed"] = f"seed-{values['seed']}"
    return "/".join(filter(None, values.values()))


def _duration(seconds: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 3 h 05."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02}"
