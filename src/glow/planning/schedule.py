"""How long a study takes on a number of nodes: its jobs started one by one, as early as there is room.

List scheduling: whenever a job ends, those that wait for nothing are looked at in turn, the one with the
longest way to the end first, and each that finds room is started. A job of one node takes GPUs of the node
with the least room that is enough; one of several nodes takes as many on each. The result lies between the
critical path, or the whole work divided by all devices, whichever is longer, and less than both together
(Graham 1966, for jobs of one device). Queues of a cluster are not in it.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glow.planning.jobs import Job


@dataclass(frozen=True)
class Load:
    """What a job takes.

    Attributes:
        seconds: from its start to its end.
        each: devices on each of `nodes` nodes; 0 for none.
        limited: what it takes of limits that hold over all jobs (`training`).
        live: bytes on the disk while it runs.
    """

    seconds: float
    each: int = 0
    nodes: int = 1
    limited: tuple[str, ...] = ()
    live: int = 0


@dataclass(frozen=True)
class Schedule:
    """When jobs run.

    Attributes:
        spans: first second and last, by job.
        critical: seconds of the longest chain of jobs.
        live: most bytes that running jobs have on the disk at a time.
        most: most jobs at a time that take a limit, by limit.
    """

    spans: dict[str, tuple[float, float]]
    critical: float
    live: int
    most: dict[str, int]

    @property
    def wall(self) -> float:
        """Seconds from the first start to the last end."""
        return max((end for _, end in self.spans.values()), default=0.0)


def scheduled(
    jobs: Sequence[Job],
    loads: Mapping[str, Load],
    nodes: int,
    per_node: int,
    limits: Mapping[str, int],
    together: int | None = None,
) -> Schedule:
    """Start jobs as early as they find room.

    Args:
        loads: by job; each fits on the nodes.
        limits: of what jobs take together, by name.
        together: jobs that run at a time at most; None for any number.
    """
    ways = _ways(jobs, loads)
    waiting = {job.key: len(job.after) for job in jobs}
    followers: dict[str, list[str]] = {job.key: [] for job in jobs}
    for job in jobs:
        for before in job.after:
            followers[before].append(job.key)
    ready = sorted((-ways[key], key) for key, count in waiting.items() if not count)
    cluster = _Cluster(loads, [per_node] * nodes, limits, together)
    while ready or cluster.running:
        started = cluster.start([key for _, key in ready])
        ready = [entry for entry in ready if entry[1] not in started]
        for follower in followers[cluster.finish()]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append((-ways[follower], follower))
        ready.sort()
    critical = max(ways.values(), default=0.0)
    return Schedule(cluster.spans, critical, cluster.most_live, cluster.most)


class _Cluster:
    """Nodes at work: what is free on each, what runs, and the most that was taken at a time.

    Attributes:
        running: jobs that run now, each with its end.
        spans, most, most_live: as in `Schedule`.
    """

    def __init__(
        self, loads: Mapping[str, Load], free: list[int], limits: Mapping[str, int], together: int | None
    ) -> None:
        self._loads, self._free, self._limits, self._together = loads, free, limits, together
        self._places: dict[str, list[int]] = {}
        self._used = dict.fromkeys(("training", *limits), 0)
        self._now, self._live = 0.0, 0
        self.running: list[tuple[float, str]] = []
        self.spans: dict[str, tuple[float, float]] = {}
        self.most, self.most_live = dict(self._used), 0

    def start(self, ready: Sequence[str]) -> set[str]:
        """Start those that find room now, the first ones first; returns them."""
        started: set[str] = set()
        refused: set[tuple[int, int, tuple[str, ...]]] = set()
        for key in ready:
            load = self._loads[key]
            kind = (load.each, load.nodes, load.limited)
            if kind in refused:  # one that takes as much found no room
                continue
            places = self._room(load)
            if places is None:
                refused.add(kind)
                continue
            self._take(key, places)
            started.add(key)
        return started

    def finish(self) -> str:
        """Go on to the end of the job that ends first; returns it."""
        assert self.running, "a job that fits nowhere"
        self._now, key = heapq.heappop(self.running)
        ended = self._loads[key]
        for place in self._places.pop(key):
            self._free[place] += ended.each
        for name in ended.limited:
            self._used[name] -= 1
        self._live -= ended.live
        return key

    def _room(self, load: Load) -> list[int] | None:
        """The nodes that a job would take; None where there is no room now."""
        if self._together is not None and len(self.running) >= self._together:
            return None
        if any(self._used[name] >= self._limits[name] for name in load.limited if name in self._limits):
            return None
        if not load.each:
            return []
        roomy = sorted((room, place) for place, room in enumerate(self._free) if room >= load.each)
        return [place for _, place in roomy[: load.nodes]] if len(roomy) >= load.nodes else None

    def _take(self, key: str, places: list[int]) -> None:
        load, end = self._loads[key], self._now + self._loads[key].seconds
        for place in places:
            self._free[place] -= load.each
        for name in load.limited:
            self._used[name] += 1
            self.most[name] = max(self.most[name], self._used[name])
        self._live += load.live
        self.most_live = max(self.most_live, self._live)
        self._places[key], self.spans[key] = places, (self._now, end)
        heapq.heappush(self.running, (end, key))


def _ways(jobs: Sequence[Job], loads: Mapping[str, Load]) -> dict[str, float]:
    """Seconds from the start of each job to the end of the study, along the longest chain after it."""
    ways = {job.key: loads[job.key].seconds for job in jobs}
    for job in reversed(_in_order(jobs)):
        for before in job.after:
            ways[before] = max(ways[before], loads[before].seconds + ways[job.key])
    return ways


def _in_order(jobs: Sequence[Job]) -> list[Job]:
    """Jobs after those that they wait for."""
    by_key, done, order = {job.key: job for job in jobs}, set(), []
    for job in jobs:
        stack = [job]
        while stack:
            top = stack[-1]
            missing = [by_key[key] for key in top.after if key not in done]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if top.key not in done:
                done.add(top.key)
                order.append(top)
    return order
