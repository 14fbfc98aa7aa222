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
    free, used = [per_node] * nodes, dict.fromkeys(limits, 0)
    running: list[tuple[float, str]] = []
    spans: dict[str, tuple[float, float]] = {}
    places: dict[str, list[int]] = {}
    now, live, most_live, most = 0.0, 0, 0, dict.fromkeys(("training", *limits), 0)
    while ready or running:
        refused: set[tuple[int, int, tuple[str, ...]]] = set()
        for entry in list(ready):
            key = entry[1]
            load = loads[key]
            kind = (load.each, load.nodes, load.limited)
            if kind in refused:
                continue
            found = _place(load, free, used, limits)
            if found is None or (together is not None and len(running) >= together):
                refused.add(kind)
                continue
            ready.remove(entry)
            for place in found:
                free[place] -= load.each
            for name in load.limited:
                used[name] = used.get(name, 0) + 1
                most[name] = max(most[name], used[name])
            live += load.live
            most_live, places[key] = max(most_live, live), found
            spans[key] = (now, now + load.seconds)
            heapq.heappush(running, (now + load.seconds, key))
        assert running, "a job that fits nowhere"
        now, key = heapq.heappop(running)
        ended = loads[key]
        for place in places[key]:
            free[place] += ended.each
        for name in ended.limited:
            used[name] -= 1
        live -= ended.live
        for follower in followers[key]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, (-ways[follower], follower))
        ready.sort()
    return Schedule(spans, max(ways.values(), default=0.0), most_live, most)


def _place(
    load: Load, free: list[int], used: Mapping[str, int], limits: Mapping[str, int]
) -> list[int] | None:
    """The nodes that a job would take; None where there is no room now."""
    if any(used.get(name, 0) >= limits[name] for name in load.limited if name in limits):
        return None
    if not load.each:
        return []
    roomy = sorted((room, place) for place, room in enumerate(free) if room >= load.each)
    return [place for _, place in roomy[: load.nodes]] if len(roomy) >= load.nodes else None


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
