"""What makes two runs the same, and how a difference is worded: the same words for every stage."""

from pathlib import Path

import pytest

from glow.files.same_run import Identity, difference, read_identity, run_identity, write_identity

SETTINGS = {"seed": 1, "sft": {"epochs": 2, "clamp": (0.5, 5.0)}, "peft": {}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("{}\n")
    return path


def test_settings_are_flat_and_inputs_are_hashed(data: Path) -> None:
    assert run_identity(SETTINGS, [data]) == {
        "seed": 1,
        "sft.epochs": 2,
        "sft.clamp": [0.5, 5.0],
        "peft": {},
        # printf '{}\n' | sha256sum
        "input 1 (data.jsonl)": "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356",
    }


def test_an_identity_survives_its_file(tmp_path: Path, data: Path) -> None:
    identity = run_identity(SETTINGS | {"rate": 1e-5, "bound": float("inf")}, [data])
    assert read_identity(tmp_path) is None
    write_identity(tmp_path, identity)
    assert read_identity(tmp_path) == identity


def test_what_is_left_out_makes_no_difference() -> None:
    one, other = ({"sft": {"epochs": 2, "checkpoints": number}} for number in (1, 9))
    assert run_identity(one, leave_out=["sft.checkpoints"]) == run_identity(
        other, leave_out=["sft.checkpoints"]
    )
    assert run_identity(one) != run_identity(other)


def test_where_an_input_stands_does_not_matter(tmp_path: Path, data: Path) -> None:
    moved = tmp_path / "elsewhere" / data.name
    moved.parent.mkdir()
    moved.write_bytes(data.read_bytes())
    assert run_identity({}, [data]) == run_identity({}, [moved])


def test_objects_count_as_the_same_text_in_every_process() -> None:
    found = run_identity(
        {"modules": {"v_proj", "q_proj", "o_proj"}, "function": run_identity, "at": Path("a")}
    )
    assert found == {
        "modules": "['o_proj', 'q_proj', 'v_proj']",
        "function": "<function run_identity>",
        "at": "a",
    }


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        ({"seed": 1}, {"seed": 1}, ""),
        ({"rate": 1}, {"rate": 1.0}, ""),
        ({"sft.epochs": 2}, {"sft.epochs": 3}, "sft.epochs was 2, is 3"),
        ({}, {"kl": None}, "kl was unset, is None"),
        ({"kl": 0.1}, {}, "kl was 0.1, is unset"),
        ({"input 1 (a.jsonl)": "0" * 64}, {"input 1 (a.jsonl)": "1" * 64}, "input 1 (a.jsonl) has changed"),
        ({"text": "x" * 99}, {"text": ""}, f"text was '{'x' * 56}..., is ''"),
        ({}, dict.fromkeys("dcba", 1), "d was unset, is 1; c was unset, is 1; b was unset, is 1; and 1 more"),
        (None, {"seed": 1}, "without a record of its settings"),
    ],
)
def test_a_difference_in_words(found: Identity | None, wanted: Identity, words: str) -> None:
    assert difference(found, wanted) == words
