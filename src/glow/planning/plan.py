"""The plan of a study: jobs, hours, memory and disk by stage and student, and the wall time on so many nodes.

What a study finds out only when it runs may be a range; then all is worked out twice, at both ends.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from glow.errors import UserError
from glow.planning.constants import Device, Number
from glow.planning.costs import Cost, Setup, cost_of
from glow.planning.fit import Fit, Machine
from glow.planning.kinds import ENDS, Kind, Kinds, Question
from glow.planning.names import STAGES
from glow.planning.resources import TRAINING_RULES
from glow.planning.schedule import Load, Schedule, scheduled
from glow.planning.sizes import End


@dataclass(frozen=True)
class Span:
    """A number at both ends of what is assumed."""

    low: float
    high: float

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Row:
    """The jobs of one stage and student that sit alike on their hardware.

    Attributes:
        jobs: how many.
        work: seconds of all of them, each times its GPUs (or cores, where it has none).
        longest: seconds of the longest of them.
        starts, ends: seconds from the start of the study to the first start and the last end.
        kept, live: bytes on the disk: what they leave, and what the largest has there while it runs.
        parameters: of the model that they run; 0 where they run none.
        setting: what a job asks for; `fit` how it sits on that; None of jobs that hold no model.
    """

    student: str
    rule: str
    jobs: int
    work: Span
    longest: Span
    starts: Span
    ends: Span
    kept: Span
    live: Span
    parameters: int
    setting: Mapping[str, Any] | None
    fit: Fit | None

    @property
    def gpus(self) -> int:
        """GPUs of a job."""
        return self.fit.gpus if self.fit is not None else 0

    @property
    def limit_h(self) -> float | None:
        """Hours after which a job is stopped; None where that is not planned."""
        return None if self.setting is None else self.setting["runtime"] / 60


@dataclass(frozen=True)
class Plan:
    """A study, planned.

    Attributes:
        rows: by stage, then student.
        wall: seconds from the first start to the last end; `critical` of the longest chain.
        kept, live: bytes on the disk at the end, and on top at most while jobs run.
        training: training jobs at a time, at most.
        used: the assumptions that went in; `found`: what was read from results, in words.
        changed: what of the results was made with other settings, and what was taken of that, in words.
    """

    question: Question
    rows: list[Row]
    wall: Span
    critical: Span
    kept: Span
    live: Span
    training: int
    used: dict[str, Number]
    found: list[str]
    changed: list[str]

    @property
    def machine(self) -> Machine:
        """What it was planned for."""
        return self.question.machine

    def work(self, rows: Iterable[Row]) -> Span:
        """Seconds times GPUs of some rows; those without GPUs are left out, unless the device is a CPU."""
        counted = (row.work for row in rows if row.gpus or self.machine.device.is_cpu)
        return sum(counted, Span(0, 0))

    @property
    def whole(self) -> Span:
        """Seconds times GPUs of the study."""
        return self.work(self.rows)


def planned(question: Question) -> Plan:
    """The plan of a study.

    Raises:
        UserError: something does not fit; names the nearest setting that does. Or as `Kinds`.
    """
    kinds = Kinds(question)
    if refused := kinds.refused():
        raise UserError(refused)
    return _Planner(kinds).plan()


def estimated(question: Question) -> Plan:
    """The plan of a study that has run: what fits is not asked.

    Raises:
        UserError: as `Kinds`.
    """
    return _Planner(Kinds(question)).plan()


class _Planner:
    """Plans one study."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds, self.question = kinds, kinds.question

    def plan(self) -> Plan:
        costs = {end: {kind.job.key: self._cost(kind, end) for kind in self.kinds.all} for end in ENDS}
        schedules = {end: self._schedule(costs[end]) for end in ENDS}
        rows = self._rows(costs, schedules)
        used = {name for sizes in self.kinds.sizes.values() for name in sizes.used}
        low, high = schedules["low"], schedules["high"]
        return Plan(
            question=self.question,
            rows=rows,
            wall=Span(low.wall, high.wall),
            critical=Span(low.critical, high.critical),
            kept=sum((row.kept for row in rows), Span(0, 0)),
            live=Span(low.live, high.live),
            training=high.most["training"],
            used={name: self.question.assumed[name] for name in sorted(used)},
            found=self._found(),
            changed=list(dict.fromkeys(words for one in self.kinds.known.values() for words in one.changed)),
        )

    def _cost(self, kind: Kind, end: End) -> Cost:
        machine_device = self.question.machine.device
        on_cpu = machine_device.is_cpu or kind.setting is None or not kind.setting.get("gpu")
        device = Device("cpu", machine_device.memory) if on_cpu else machine_device
        setup = Setup(
            own=self.kinds.own(kind.job),
            sizes=self.kinds.sizes_for(kind.job, end),
            shape=kind.shape,
            device=device,
            setting=kind.setting or {},
            fit=kind.fit,
        )
        return cost_of(kind.job, setup)

    def _schedule(self, costs: Mapping[str, Cost]) -> Schedule:
        machine = self.question.machine
        loads: dict[str, Load] = {}
        for kind in self.kinds.all:
            cost, fit = costs[kind.job.key], kind.fit
            nodes = fit.nodes if fit is not None else 1
            each = fit.gpus // nodes if fit is not None else 0
            if machine.device.is_cpu:
                each = min(cost.threads, machine.per_node)
            limited = ("training",) if kind.job.rule in TRAINING_RULES else ()
            load = Load(cost.seconds, each, nodes, limited, cost.live)
            loads |= dict.fromkeys((job.key for job in kind.jobs), load)
        profile = self.question.profile
        return scheduled(
            self.kinds.jobs, loads, machine.nodes, machine.per_node, profile.limits, profile.jobs
        )

    def _rows(self, costs: Mapping[End, Mapping[str, Cost]], schedules: Mapping[End, Schedule]) -> list[Row]:
        grouped: dict[tuple[str, str, str], list[Kind]] = {}
        for kind in self.kinds.all:
            alike = json.dumps(
                [kind.setting, kind.fit.words if kind.fit else ""], sort_keys=True, default=str
            )
            grouped.setdefault((kind.job.rule, kind.job.student, alike), []).append(kind)
        names = list(self.kinds.studies)
        rows = [self._row(kinds, costs, schedules) for kinds in grouped.values()]
        order = {rule: place for place, rule in enumerate(STAGES)}
        return sorted(
            rows, key=lambda row: (order[row.rule], names.index(row.student) if row.student in names else -1)
        )

    def _row(
        self,
        kinds: list[Kind],
        costs: Mapping[End, Mapping[str, Cost]],
        schedules: Mapping[End, Schedule],
    ) -> Row:
        first = kinds[0]
        devices = max(1, first.fit.gpus if first.fit is not None else 0)
        keys = [job.key for kind in kinds for job in kind.jobs]
        each: dict[End, list[tuple[Cost, int]]] = {
            end: [(costs[end][kind.job.key], len(kind.jobs)) for kind in kinds] for end in ENDS
        }
        spans = {end: [schedules[end].spans[key] for key in keys] for end in ENDS}
        return Row(
            student=first.job.student,
            rule=first.job.rule,
            jobs=len(keys),
            work=_both(lambda end: devices * sum(cost.seconds * number for cost, number in each[end])),
            longest=_both(lambda end: max(cost.seconds for cost, _ in each[end])),
            starts=_both(lambda end: min(start for start, _ in spans[end])),
            ends=_both(lambda end: max(ended for _, ended in spans[end])),
            kept=_both(lambda end: sum(cost.kept * number for cost, number in each[end])),
            live=_both(lambda end: max(cost.live for cost, _ in each[end])),
            parameters=first.shape.parameters if first.shape is not None else 0,
            setting=first.setting,
            fit=max((kind.fit for kind in kinds if kind.fit), key=lambda fit: fit.host.total, default=None),
        )

    def _found(self) -> list[str]:
        """What was read from results, in words."""
        one = next(iter(self.kinds.known.values()))
        said = []
        for domain, own in one.domains.items():
            said += [f"tokens of a response ({domain}): {own.tokens:,.0f}"] if own.tokens else []
            if own.right is not None and own.wrong is not None:
                said.append(f"right and wrong ({domain}): {own.right:.1%} and {own.wrong:.1%}")
        said += [f"tokens of an answer: {one.answers:,.0f}"] if one.answers else []
        said += [f"tokens of a rollout: {one.rollouts:,.0f}"] if one.rollouts else []
        return said


def _both(of: Any) -> Span:
    """A number at each end."""
    return Span(float(of("low")), float(of("high")))
