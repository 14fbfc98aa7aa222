"""planning.schedule: jobs as early as there is room, between the bounds that hold for any schedule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glow.planning.jobs import Job
from glow.planning.schedule import Load, scheduled


def job(key: str, *after: str) -> Job:
    return Job("sft", key, after)


def test_jobs_wait_for_others_and_for_room() -> None:
    """Two GPUs; a of 3 s and b of 2 s on one each; c of 4 s on both, after a; d of 1 s on one, after b."""
    jobs = [job("a"), job("b"), job("c", "a"), job("d", "b")]
    loads = {"a": Load(3, 1), "b": Load(2, 1), "c": Load(4, 2), "d": Load(1, 1)}
    found = scheduled(jobs, loads, nodes=1, per_node=2, limits={})
    assert found.spans == {"a": (0, 3), "b": (0, 2), "d": (2, 3), "c": (3, 7)}
    assert (found.wall, found.critical) == (7, 7)


def test_the_longest_way_goes_first() -> None:
    """One GPU: b is shorter than a, but 10 s come after it."""
    jobs = [job("a"), job("b"), job("c", "b")]
    loads = {"a": Load(5, 1), "b": Load(1, 1), "c": Load(10)}
    assert scheduled(jobs, loads, 1, 1, {}).spans == {"b": (0, 1), "a": (1, 6), "c": (1, 11)}


def test_a_job_of_two_nodes_takes_as_many_gpus_on_each() -> None:
    jobs = [job("wide"), job("a"), job("b")]
    loads = {"wide": Load(2, 8, 2), "a": Load(1, 1), "b": Load(1, 1)}
    assert scheduled(jobs, loads, 2, 8, {}).wall == 3
    assert scheduled(jobs, loads, 3, 8, {}).wall == 2


def test_a_job_of_one_node_takes_the_fullest_that_has_room() -> None:
    """So that a whole node is left for the one that wants it."""
    jobs = [job("a"), job("b", "a"), job("whole", "a")]
    loads = {"a": Load(1, 1), "b": Load(9, 1), "whole": Load(5, 2)}
    # a and then b are on one node; the other is free at once.
    assert scheduled(jobs, loads, 2, 2, {}).spans["whole"] == (1, 6)


def test_limits_hold_over_all_jobs() -> None:
    jobs = [job(name) for name in "abcd"]
    loads = {name: Load(1, 1, limited=("training",), live=10) for name in "abcd"}
    free = scheduled(jobs, loads, 1, 8, {})
    assert (free.wall, free.live, free.most["training"]) == (1, 40, 4)
    bound = scheduled(jobs, loads, 1, 8, {"training": 2})
    assert (bound.wall, bound.live, bound.most["training"]) == (2, 20, 2)
    assert scheduled(jobs, loads, 1, 8, {}, together=1).wall == 4


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[Job], dict[str, Load]]:
    """Jobs that wait for some of those before them."""
    jobs, loads = [], {}
    for place in range(draw(st.integers(1, 12))):
        after = draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set()
        jobs.append(job(str(place), *map(str, sorted(after))))
        loads[str(place)] = Load(draw(st.integers(0, 50)), draw(st.integers(0, 4)), draw(st.integers(1, 2)))
    return jobs, loads


@given(studies(), st.integers(2, 4))
@settings(max_examples=300)
def test_a_schedule_keeps_its_bounds(study: tuple[list[Job], dict[str, Load]], nodes: int) -> None:
    jobs, loads = study
    found = scheduled(jobs, loads, nodes, 4, {})
    assert found.spans.keys() == loads.keys()
    work = sum(load.seconds * load.each * load.nodes for load in loads.values())
    assert found.wall >= found.critical
    assert found.wall >= work / (4 * nodes) - 1e-9
    assert found.wall <= sum(load.seconds for load in loads.values())
    for own in jobs:
        assert all(found.spans[before][1] <= found.spans[own.key][0] for before in own.after)
    for moment in {start for start, _ in found.spans.values()}:
        live = [loads[key] for key, (start, end) in found.spans.items() if start <= moment < end]
        assert sum(load.each * load.nodes for load in live) <= 4 * nodes


def test_a_job_that_fits_nowhere_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="fits nowhere"):
        scheduled([job("a")], {"a": Load(1, 9)}, 1, 8, {})
