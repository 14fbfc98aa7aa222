"""The per-sample history: one file an epoch, read back in order, moved as a whole."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from glow.training.history import begin_history, copy_history, read_history, write_page
from glow.training.ledger import Page

NAN = math.nan


def page(epoch: int, loss: list[float]) -> Page:
    values = torch.tensor(loss)
    return Page(epoch, values, torch.where(values.isnan(), NAN, 0.5), values - 1, 2 * values)


def test_epochs_are_read_back_in_order_without_the_unseen(tmp_path: Path) -> None:
    write_page(tmp_path, page(1, [3.0, NAN]), ["a", "b"])
    write_page(tmp_path, page(0, [1.0, 2.0]), ["a", "b"])
    expected = pd.DataFrame(
        {
            "epoch": pd.array([1, 1, 2], dtype="int32"),
            "sample_id": ["a", "b", "a"],
            "loss": pd.array([1.0, 2.0, 3.0], dtype="float32"),
            "gain": pd.array([0.0, 1.0, 2.0], dtype="float32"),
            "weight": pd.array([0.5, 0.5, 0.5], dtype="float32"),
            "step": pd.array([2, 4, 6], dtype="int32"),
        }
    )
    pd.testing.assert_frame_equal(read_history(tmp_path), expected, check_dtype=False)
    assert read_history(tmp_path).dtypes.drop("sample_id").astype(str).to_dict() == {
        "epoch": "int32", "loss": "float32", "gain": "float32", "weight": "float32", "step": "int32",
    }  # fmt: skip


def test_before_the_first_epoch_there_are_no_rows_but_the_columns(tmp_path: Path) -> None:
    empty = read_history(tmp_path / "history")
    write_page(tmp_path, page(0, [1.0]), ["a"])
    one = read_history(tmp_path)
    assert len(empty) == 0
    assert list(empty.columns) == list(one.columns)
    numbers = ["epoch", "loss", "gain", "weight", "step"]
    assert empty[numbers].dtypes.tolist() == one[numbers].dtypes.tolist()


def test_a_run_that_begins_leaves_those_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = tmp_path / "history"
    begin_history(history, None)
    assert not list(tmp_path.iterdir())
    for epoch in (4, 5):
        write_page(history, page(epoch, [1.0]), ["a"])
        begin_history(history, None)
    files = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.parquet")}
    assert files == {"history-1/epoch-00005.parquet", "history-2/epoch-00006.parquet"}
    assert f"{history}: of an earlier run; kept as history-2" in capsys.readouterr().out


def test_a_run_that_goes_on_has_the_pages_of_its_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of its own checkpoint; one of another folder leaves the history that stands here."""
    write_page(tmp_path / "checkpoint-4" / "history", page(0, [1.0]), ["a"])
    for epoch in (0, 1):
        write_page(tmp_path / "history", page(epoch, [2.0]), ["a"])
    begin_history(tmp_path / "history", tmp_path / "checkpoint-4")
    assert read_history(tmp_path / "history")["loss"].tolist() == [1.0]
    assert capsys.readouterr().out == ""
    other = tmp_path / "other"
    write_page(other / "history", page(0, [3.0]), ["a"])
    begin_history(other / "history", tmp_path / "checkpoint-4")
    assert read_history(other / "history")["loss"].tolist() == [1.0]
    assert read_history(other / "history-1")["loss"].tolist() == [3.0]


def test_a_copy_holds_what_the_source_holds_and_nothing_else(tmp_path: Path) -> None:
    write_page(tmp_path / "run", page(0, [1.0]), range(1))
    write_page(tmp_path / "run", page(1, [1.0]), range(1))
    write_page(tmp_path / "old", page(7, [1.0]), range(1))
    copy_history(tmp_path / "run", tmp_path / "old")
    assert sorted(file.name for file in (tmp_path / "old").iterdir()) == [
        "epoch-00001.parquet",
        "epoch-00002.parquet",
    ]
    copy_history(tmp_path / "nothing", tmp_path / "old")
    assert not (tmp_path / "old").exists()
    copy_history(None, tmp_path / "run")
    assert not (tmp_path / "run").exists()
