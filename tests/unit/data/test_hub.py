"""Rows of hub data sets: from a hub on this machine, and from a copy of its files."""

import io
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet
from standin_hub import COMMIT, Fault, StandIn, listed

from glow.data import columns as reading
from glow.data.hub import HubSplit
from glow.errors import UserError
from glow.files.jsonl import Record

NAME = "org/wide"
CARD = """---
configs:
- config_name: default
  data_files:
  - split: cot
    path: data/cot-*
  - split: tir
    path: data/tir-*
---
"""
FOOTER = 2**16
"""What pyarrow reads of a file's end at least."""


def packed(table: pyarrow.Table, rows_a_group: int = 100) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(table, stream, row_group_size=rows_a_group, use_dictionary=False, compression="NONE")
    return stream.getvalue()


def wide(first: int, count: int) -> pyarrow.Table:
    """Rows with a question, a long solution, and an answer."""
    numbers = range(first, first + count)
    return pyarrow.table(
        {
            "problem": [f"What is {number} + 1?" for number in numbers],
            "generated_solution": [f"{number} " * 500 for number in numbers],
            "expected_answer": [str(number + 1) for number in numbers],
        }
    )


PARTS = {"data/cot-00000-of-00002.parquet": (0, 250), "data/cot-00001-of-00002.parquet": (250, 50)}
FILES = {
    "README.md": CARD.encode(),
    "data/tir-00000-of-00001.parquet": packed(wide(9000, 3)),
    **{path: packed(wide(*part)) for path, part in PARTS.items()},
}
COLUMNS = ("problem", "expected_answer", "solution")


@pytest.fixture
def hub(hub: StandIn) -> StandIn:
    hub.files[f"datasets/{NAME}"] = dict(FILES)
    return hub


def split(**changed: Any) -> HubSplit:
    arguments = {"dataset": NAME, "revision": COMMIT, "config": None, "split": "cot", "columns": COLUMNS}
    return HubSplit(**(arguments | changed))


def records(found: HubSplit) -> list[Record]:
    return [row.record for row in found.rows()]


def refusal(found: HubSplit) -> list[str]:
    with pytest.raises(UserError) as raised:
        list(found.rows())
    return str(raised.value).split("\n")


def with_files(hub: StandIn, name: str, files: dict[str, bytes]) -> None:
    hub.files[f"datasets/{name}"] = files


# --- Parquet, by column ---------------------------------------------------------------------------


def test_rows_come_in_the_order_of_the_files_with_their_numbers(hub: StandIn) -> None:
    rows = list(split().rows())
    assert [row.place for row in rows] == [f"org/wide/default/cot:{number}" for number in range(1, 301)]
    assert [row.record for row in rows] == [
        {"problem": f"What is {number} + 1?", "expected_answer": str(number + 1)} for number in range(300)
    ]


def test_they_are_those_of_load_dataset(hub: StandIn, tmp_path: Path) -> None:
    whole = datasets.load_dataset(NAME, split="cot", revision=COMMIT, cache_dir=str(tmp_path))
    expected = [{key: row[key] for key in ("problem", "expected_answer")} for row in whole]
    assert records(split()) == expected


def test_of_a_wide_file_only_the_named_columns_are_transferred(hub: StandIn) -> None:
    list(split().rows())
    assert len(FILES["data/cot-00000-of-00002.parquet"]) > 7 * FOOTER
    for path in PARTS:
        content = FILES[path]
        metadata = parquet.ParquetFile(io.BytesIO(content)).metadata
        chunks = {
            (chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size - 1)
            for group in range(metadata.num_row_groups)
            for column in (0, 2)
            for chunk in [metadata.row_group(group).column(column)]
        }
        end = (max(len(content) - FOOTER, 0), len(content) - 1)
        assert sorted(hub.spans(path)) == sorted([*chunks, end])
    assert not hub.spans("tir-00000-of-00001.parquet")
    assert not [r for r in hub.requests if r.method == "GET" and r.path.endswith(".parquet") and not r.span]


def test_what_was_read_is_noted(hub: StandIn) -> None:
    found = split()
    list(found.rows())
    assert found.facts == {
        "split": "org/wide/default/cot",
        "revision": COMMIT,
        "endpoint": hub.endpoint,
        "rows": 300,
        "bytes": sum(
            parquet.ParquetFile(io.BytesIO(FILES[path]))
            .metadata.row_group(group)
            .column(column)
            .total_compressed_size
            for path, groups in zip(PARTS, (3, 1), strict=True)
            for group in range(groups)
            for column in (0, 2)
        ),
        "files": [
            {"path": path, "size": len(FILES[path]), "sha256": listed(path, FILES[path])["lfs"]["oid"]}
            for path in PARTS
        ],
    }


def test_little_is_held_in_memory_and_the_order_stays(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no room to read ahead, row groups are read one by one."""
    expected = records(split())
    monkeypatch.setattr(reading, "AHEAD_BYTES", 1)
    assert records(split()) == expected
    monkeypatch.setattr(reading, "READERS", 1)
    assert records(split()) == expected


def test_nested_values_and_a_column_that_only_some_files_have(hub: StandIn) -> None:
    first = pyarrow.table(
        {"q": ["a", "b"], "choices": [["x", "y"], []], "kwargs": [[{"n": 1}], [{"n": None}]]}
    )
    second = pyarrow.table({"q": ["c"], "choices": [["z"]]})
    files = {"train-00000-of-00002.parquet": packed(first), "train-00001-of-00002.parquet": packed(second)}
    with_files(hub, "org/nested", files)
    found = split(dataset="org/nested", split="train", columns=["q", "choices", "kwargs"])
    assert records(found) == [
        {"q": "a", "choices": ["x", "y"], "kwargs": [{"n": 1}]},
        {"q": "b", "choices": [], "kwargs": [{"n": None}]},
        {"q": "c", "choices": ["z"]},
    ]


def test_rows_without_any_named_column_are_still_rows(hub: StandIn) -> None:
    assert records(split(split="tir", columns=["absent"])) == [{}] * 3


def test_types_that_the_card_states_hold(hub: StandIn) -> None:
    card = (
        "---\ndataset_info:\n  features:\n  - name: q\n    dtype: string\n  - name: answer\n    dtype:\n"
        "      class_label:\n        names:\n          '0': A\n          '1': B\n  splits:\n  - name: test\n"
        "configs:\n- config_name: default\n  data_files:\n  - split: test\n    path: t.parquet\n---\n"
    )
    table = pyarrow.table({"q": [1, 2], "answer": pyarrow.array([0, 1], pyarrow.int8())})
    with_files(hub, "org/typed", {"README.md": card.encode(), "t.parquet": packed(table)})
    found = split(dataset="org/typed", split="test", columns=["q", "answer"])
    assert records(found) == [{"q": "1", "answer": 0}, {"q": "2", "answer": 1}]


def test_configurations_have_files_of_their_own(hub: StandIn) -> None:
    files = {f"{name}/test-00000-of-00001.parquet": packed(wide(9 * n, 1)) for n, name in enumerate("ab")}
    config = "- config_name: {0}\n  data_files:\n  - split: test\n    path: {0}/test-*\n"
    card = "---\nconfigs:\n" + config.format("a") + config.format("b") + "---\n"
    with_files(hub, "org/many", {"README.md": card.encode(), **files})
    (row,) = split(dataset="org/many", config="b", split="test").rows()
    assert row.place == "org/many/b/test:1"
    assert row.record["problem"] == "What is 9 + 1?"
    assert "BuilderConfig 'c' not found" in refusal(split(dataset="org/many", config="c", split="test"))[0]


# --- other files ----------------------------------------------------------------------------------


def test_a_data_set_without_parquet_is_read_whole(hub: StandIn) -> None:
    rows = [{"question": f"{number}?", "answer": number, "extra": "x"} for number in range(5)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    with_files(hub, "org/lines", {"test.jsonl": lines})
    found = split(dataset="org/lines", split="test", columns=["question"])
    assert records(found) == rows
    blob = listed("test.jsonl", lines)["oid"]
    assert found.facts["files"] == [{"path": "test.jsonl", "size": len(lines), "git_blob": blob}]
    assert found.facts["rows"] == 5


def test_a_part_of_a_split_may_be_named(hub: StandIn) -> None:
    found = split(split="cot[:2]+tir")
    assert [row["problem"] for row in records(found)] == [
        "What is 0 + 1?", "What is 1 + 1?", "What is 9000 + 1?", "What is 9001 + 1?", "What is 9002 + 1?"
    ]  # fmt: skip


def test_scripts_are_refused(hub: StandIn) -> None:
    with_files(hub, "org/script", {"script.py": b"print(1)", "README.md": b""})
    assert "scripts are no longer supported" in refusal(split(dataset="org/script"))[0]


# --- what fails -----------------------------------------------------------------------------------


def test_a_busy_hub_is_waited_for_amid_a_file(hub: StandIn, slept: list[float]) -> None:
    expected = records(split())
    hub.fail("GET .*cot-00001", Fault(429, {"Retry-After": "9"}), Fault(503), Fault(500))
    assert records(split()) == expected
    assert 10 in slept  # huggingface_hub adds a second


def test_a_long_outage_amid_a_file_is_waited_for_too(hub: StandIn, slept: list[float]) -> None:
    """Longer than huggingface_hub waits by itself (6 tries)."""
    expected = records(split())
    hub.fail("GET .*cot-00001", *[Fault(503)] * 20)
    assert records(split()) == expected
    assert len(slept) == 20


def test_a_list_that_fails_is_asked_for_again(hub: StandIn, slept: list[float]) -> None:
    hub.fail("GET /api/datasets", Fault(500), Fault(504))
    assert len(records(split())) == 300
    assert slept[:2] == [2, 4]


@pytest.mark.parametrize("pattern", [r"HEAD .*README\.md", r"HEAD .*wide\.py", r"GET .*\.parquet"])
def test_terms_that_are_not_accepted_end_it_in_two_lines(
    pattern: str, hub: StandIn, slept: list[float]
) -> None:
    hub.always(pattern, Fault(403, {"X-Error-Code": "GatedRepo"}))
    assert refusal(split()) == [
        "org/wide@0123456789ab: its terms have to be accepted first, at https://huggingface.co/datasets/org/wide",
        "Then log in with `hf auth login` (or set HF_TOKEN) and start again; "
        'or give the rows as a local copy (docs/cluster.md, "Fetching").',
    ]
    assert slept == []


def test_a_data_set_that_is_not_there_is_not_asked_for_again(hub: StandIn, slept: list[float]) -> None:
    lines = refusal(split(dataset="org/absent"))
    assert lines[0] == (
        "org/absent@0123456789ab: there is no such data set, or it is private (HTTP 404): "
        "https://huggingface.co/datasets/org/absent"
    )
    assert len(lines) == 2
    assert slept == []


def test_a_commit_that_is_not_there_is_named(hub: StandIn, slept: list[float]) -> None:
    assert "the hub has no such commit" in refusal(split(revision="f" * 40))[0]
    assert slept == []


def test_a_split_that_is_not_there_is_refused_before_anything_is_read(hub: StandIn) -> None:
    lines = refusal(split(split="train"))
    assert lines[0] == (
        "hub data set org/wide (default, train) at 01234567 cannot be read: there is no split 'train', "
        "only cot, tir"
    )
    assert not hub.spans(".parquet")


@pytest.mark.parametrize("variable", ["hub", "datasets"])
def test_offline_nothing_is_asked(
    variable: str, hub: StandIn, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    from huggingface_hub import constants

    place = constants if variable == "hub" else datasets.config
    monkeypatch.setattr(place, "HF_HUB_OFFLINE", True)
    lines = refusal(split())
    assert "the environment says not to use the network (HF_HUB_OFFLINE)" in lines[0]
    assert len(lines) == 2
    assert hub.requests == [] and slept == []


def test_a_damaged_file_is_named_as_such(hub: StandIn) -> None:
    hub.files[f"datasets/{NAME}"]["data/cot-00001-of-00002.parquet"] = b"not Parquet" * 1000
    lines = refusal(split())
    assert lines[0].startswith("hub data set org/wide (default, cot) at 01234567 cannot be read: ")
    assert len(lines) == 2


# --- copies ---------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files, as `hf download --local-dir` leaves them."""
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def test_a_copy_of_the_files_gives_the_same_rows(
    hub: StandIn, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(split().rows())
    hub.requests.clear()
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    found = split(folder=copy)
    assert list(found.rows()) == expected
    assert hub.requests == []
    assert found.facts["folder"] == str(copy)
    assert found.facts["files"] == [
        {"path": path, "size": len(FILES[path]), "sha256": listed(path, FILES[path])["lfs"]["oid"]}
        for path in PARTS
    ]


def test_a_copy_may_lack_the_card_and_other_splits(copy: Path) -> None:
    (copy / "README.md").unlink()
    (copy / "data" / "tir-00000-of-00001.parquet").unlink()
    assert len(records(split(folder=copy))) == 300


def test_a_copy_of_other_files_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"q": 1}\n{"q": 2}\n')
    assert records(split(folder=tmp_path, split="test")) == [{"q": 1}, {"q": 2}]


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    assert refusal(split(folder=tmp_path))[0].startswith(
        f"{tmp_path} (default, cot) at 01234567 cannot be read"
    )
