"""What a GlowTrainer is given: lists become data sets with all their keys, and arguments get names."""

import re

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from glow.errors import UserError
from glow.training.given import as_dataset, as_datasets, further_arguments, refuse_mixed
from glow.training.samples import sample_ids

ROWS = [{"prompt": "1 + 1 =", "completion": " 2"}, {"prompt": "2 + 2 =", "completion": " 4"}]


def test_a_list_has_the_keys_of_all_rows() -> None:
    """`Dataset.from_list` looks at the first row alone, and ids that begin later would be lost."""
    found = as_dataset([ROWS[0], {**ROWS[1], "id": "b"}], "train_dataset")
    assert found.column_names == ["prompt", "completion", "id"]
    with pytest.raises(UserError, match=r"row 0 of the training set has the id None \(column id\)"):
        sample_ids(found, "id", "id")


def test_what_is_no_list_stays_as_it_is() -> None:
    rows = Dataset.from_list(ROWS)
    assert as_dataset(rows, "train_dataset") is rows
    assert as_dataset(None, "train_dataset") is None
    assert as_datasets("a name", "eval_dataset") == "a name"


def test_evaluation_sets_may_be_lists_by_name() -> None:
    found = as_datasets({"one": ROWS, "two": Dataset.from_list(ROWS[:1])}, "eval_dataset")
    assert {name: len(rows) for name, rows in found.items()} == {"one": 2, "two": 1}
    assert type(as_datasets(DatasetDict({"one": Dataset.from_list(ROWS)}), "eval_dataset")) is DatasetDict


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "eval_dataset has no rows: leave it out"),
        ({"hard": []}, "eval_dataset 'hard' has no rows"),
        (
            [Dataset.from_list(ROWS)],
            "eval_dataset: entry 0 of the list is a Dataset, not a dictionary .* by name",
        ),
        ([*ROWS, "3 + 3 ="], "eval_dataset: entry 2 of the list is a str"),
        (
            [{**ROWS[0], "id": 7}, ROWS[1], {**ROWS[1], "id": "b"}],
            re.escape("row 2 has the id 'b' (str), and row 0 7 (int): give all the same type"),
        ),
        (
            [{"prompt": "1"}, {"prompt": [{"role": "user", "content": "1"}]}],
            r"row 1 has the prompt \[.*\] \(list\), and row 0 '1' \(str\)",
        ),
        (
            [
                {"messages": [{"role": "user", "content": "1"}]},
                {"messages": [{"role": "user", "content": 1}]},
            ],
            "eval_dataset: a key has values of several types in the rows' lists",
        ),
    ],
)
def test_mistakes_in_a_list_are_named(rows: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_datasets(rows, "eval_dataset")


@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), max_size=6))
def test_a_column_is_refused_exactly_if_its_kinds_differ(values: list[object]) -> None:
    kinds = {
        "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)
        for value in values
        if value is not None
    }
    if len(kinds) > 1:
        with pytest.raises(UserError, match="give all the same type"):
            refuse_mixed(values, "", "id")
    else:
        refuse_mixed(values, "", "id")


def test_numbers_and_lists_of_numpy_share_a_column_with_those_of_python() -> None:
    refuse_mixed([1, np.int64(2), 3.5, np.float32(4), None], "", "score")
    refuse_mixed([[1], (2,), np.zeros(3)], "", "input_ids")
    refuse_mixed(["a", np.str_("b")], "", "id")


def test_arguments_by_position_get_the_names_that_trl_gives_them() -> None:
    metrics, callback = len, object()
    assert further_arguments([None, metrics], {"callbacks": [callback]}) == {
        "compute_loss_func": None,
        "compute_metrics": metrics,
        "callbacks": [callback],
    }
    with pytest.raises(TypeError, match="multiple values for argument 'compute_metrics'"):
        further_arguments([None, metrics], {"compute_metrics": metrics})
    with pytest.raises(TypeError, match="tokenizer"):
        further_arguments([], {"tokenizer": None})
