"""Which responses are scored for policy entropy."""

from hypothesis import given
from hypothesis import strategies as st

from glow.evaluation.entropy import spread


def test_shares_are_even_and_evenly_spaced() -> None:
    assert spread({"a": 10, "b": 4}, 5) == {"a": [0, 3, 6], "b": [0, 2]}


def test_a_small_suite_gives_all_it_has() -> None:
    assert spread({"a": 1, "b": 100, "c": 2}, 6) == {"a": [0], "b": [0, 50], "c": [0, 1]}


def test_none_wanted_or_none_there() -> None:
    assert spread({"a": 3}, 0) == {"a": []}
    assert spread({}, 5) == {}


@given(sizes=st.dictionaries(st.text(max_size=3), st.integers(1, 50), max_size=6), wanted=st.integers(0, 200))
def test_places_exist_and_differ(sizes: dict[str, int], wanted: int) -> None:
    chosen = spread(sizes, wanted)
    assert chosen.keys() == sizes.keys()
    assert sum(map(len, chosen.values())) <= wanted
    for suite, places in chosen.items():
        assert places == sorted(set(places))
        assert all(0 <= place < sizes[suite] for place in places)
        assert len(places) >= min(sizes[suite], wanted // len(sizes))
