"""Samples that are too long: refused, left out or cut, on sets of known lengths."""

import numpy as np
import pytest
from datasets import Dataset

from glow.errors import UserError
from glow.training.lengths import LengthLimit, lengths
from glow.training.samples import ROW


def tokenised(sizes: list[int]) -> Dataset:
    """Rows of these sizes, of which only the last token is learnt."""
    ids = [list(range(size)) for size in sizes]
    labels = [[-100] * (size - 1) + [size - 1] for size in sizes]
    return Dataset.from_dict({"input_ids": ids, "labels": labels, ROW: list(range(len(sizes)))})


def refuse(limit: LengthLimit, sizes: list[int]) -> None:
    rows = tokenised(sizes)
    limit.refuse(rows, limit.longer(rows), [f"s{n}" for n in range(len(sizes))])


def test_what_is_longer() -> None:
    rows = tokenised([3, 5, 6, 5])
    assert lengths(rows).tolist() == [3, 5, 6, 5]
    assert LengthLimit(5).longer(rows).tolist() == [False, False, True, False]
    assert not LengthLimit(None).longer(rows).any()


def test_one_in_a_hundred_may_be_left_out() -> None:
    refuse(LengthLimit(5), [5] * 99 + [9])
    with pytest.raises(
        UserError, match=r"2 of 100 samples \(2.0%\) are longer than max_length 5, .* allows 0.01"
    ):
        refuse(LengthLimit(5), [5] * 98 + [9, 7])
    refuse(LengthLimit(5, largest_share=0.02), [5] * 98 + [9, 7])
    with pytest.raises(UserError, match=r"1 of 100 samples .* max_length 5: 's99' \(9\)"):
        refuse(LengthLimit(5, "refuse"), [5] * 99 + [9])
    refuse(LengthLimit(5, "cut"), [9] * 10)


def test_the_length_that_would_hold_99_in_100() -> None:
    """Of lengths 1 to 200 that is 198: it leaves out two of them, which the default allows."""
    sizes = list(range(1, 201))
    with pytest.raises(UserError) as error:
        refuse(LengthLimit(100), sizes)
    assert "Set max_length to 198, which holds 99 % of all samples (200 holds all)" in str(error.value)
    assert "'s100' (101), 's101' (102), 's102' (103), ...\n" in str(error.value)
    refuse(LengthLimit(198), sizes)


def test_a_cut_keeps_the_beginning_or_the_end() -> None:
    rows = tokenised([6, 3])
    assert LengthLimit(4, "cut").cut(rows)["input_ids"][:] == [[0, 1, 2, 3], [0, 1, 2]]
    kept = LengthLimit(4, "cut", keep_end=True).cut(rows)
    assert kept["input_ids"][:] == [[2, 3, 4, 5], [0, 1, 2]]
    assert kept["labels"][:] == [[-100, -100, -100, 5], [-100, -100, 2]]


def test_evaluation_rows_do_not_vanish_in_silence(recwarn: pytest.WarningsRecorder) -> None:
    assert len(LengthLimit(9).cut_evaluation(tokenised([6, 3]), "eval")) == 2
    assert not recwarn
    with pytest.warns(
        UserWarning, match="'eval': 2 of 3 rows .* max_length 4 and are cut; 2 have no response"
    ):
        assert LengthLimit(4).cut_evaluation(tokenised([6, 3, 7]), "eval")["input_ids"][:] == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"too_long": "shorten"}, "'shorten' is none of refuse, drop, cut"),
        ({"largest_share": 2}, "between 0 and 1"),
    ],
)
def test_settings_out_of_bounds(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LengthLimit(5, **settings)  # type: ignore[arg-type]


def test_no_rows() -> None:
    assert lengths(tokenised([])).dtype == np.int64
