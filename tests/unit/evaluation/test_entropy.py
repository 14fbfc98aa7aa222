"""Which responses are scored for policy entropy, and how each is divided."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from glow.evaluation.entropy import spread, tenth_sums


def test_tenths_of_whole_tokens() -> None:
    entropies = np.arange(20, dtype=np.float32)  # 0 + 1, 2 + 3, and so on
    assert tenth_sums(entropies) == [1, 5, 9, 13, 17, 21, 25, 29, 33, 37]


def test_a_token_on_a_boundary_is_shared_in_proportion() -> None:
    # Four tokens: each covers two and a half tenths, and so 0.4 of it lies in a whole one.
    shares = tenth_sums(np.array([10.0, 20.0, 30.0, 40.0]))
    assert shares == approx([4, 4, 2 + 4, 8, 8, 12, 12, 6 + 8, 16, 16])
    assert tenth_sums(np.array([5.0])) == approx([0.5] * 10)
    assert tenth_sums(np.array([])) == [0] * 10


def shared_out(entropies: list[float]) -> list[float]:
    """The same by going through every token and tenth, in units of a tenth of a token."""
    sums = [0.0] * 10
    for token, entropy in enumerate(entropies):
        for tenth in range(10):
            start, end = max(10 * token, len(entropies) * tenth), len(entropies) * (tenth + 1)
            sums[tenth] += max(0, min(10 * token + 10, end) - start) / 10 * entropy
    return sums


@given(st.lists(st.floats(0, 12, width=32), max_size=60))
def test_all_tenths_have_a_tenth_of_the_tokens(entropies: list[float]) -> None:
    found = tenth_sums(np.array(entropies, dtype=np.float32))
    assert found == approx(shared_out(entropies), abs=1e-9)
    assert sum(found) == approx(sum(entropies), abs=1e-9)
    assert tenth_sums(np.ones(len(entropies))) == approx([len(entropies) / 10] * 10)


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
