"""The four selections: sizes, halves, seeds, and refusals that say what was found and needed."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glow.config import ArmSettings, Selection
from glow.data.arms import write_arms
from glow.errors import UserError
from glow.files.jsonl import Record, read_jsonl, write_jsonl

ARMS = ("positive", "negative", "mixed", "all")


def verdict_rows(correct: int, wrong: int, other: int = 0) -> list[Record]:
    verdicts = (
        ["correct"] * correct + ["wrong"] * wrong + ["unparsed", "truncated", "timeout", "error"] * other
    )
    return [
        {"trajectory_id": f"t-{number}", "verdict": verdict, "response": f"r{number}"}
        for number, verdict in enumerate(verdicts)
    ]


def draw(
    folder: Path, rows: list[Record], seed: int = 0, size: int | str = "auto"
) -> dict[str, list[Record]]:
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "verdicts.jsonl", rows)
    write_arms(
        folder / "verdicts.jsonl", folder / "arms", ArmSettings(selection=Selection(size=size), seed=seed)
    )
    return {name: list(read_jsonl(folder / "arms" / f"{name}.jsonl")) for name in ARMS}


def count(rows: list[Record], verdict: str) -> int:
    return sum(row["verdict"] == verdict for row in rows)


def test_sizes_and_halves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = draw(tmp_path, verdict_rows(correct=7, wrong=9, other=2))
    # The largest even size that 7 correct and 9 wrong fill is 6; all holds the 16, and nothing undecided.
    assert {name: len(rows) for name, rows in arms.items()} == {
        "positive": 6, "negative": 6, "mixed": 6, "all": 16,
    }  # fmt: skip
    assert count(arms["positive"], "correct") == 6
    assert count(arms["negative"], "wrong") == 6
    assert (count(arms["mixed"], "correct"), count(arms["mixed"], "wrong")) == (3, 3)
    assert (count(arms["all"], "correct"), count(arms["all"], "wrong")) == (7, 9)
    manifest = json.loads((tmp_path / "arms" / "manifest.json").read_text())
    assert manifest["facts"]["found"] == {"positive": 7, "negative": 9}
    assert manifest["facts"]["written"] == {"positive": 6, "negative": 6, "mixed": 6, "all": 16}
    assert "6 positive, 6 negative, 6 mixed, 16 all" in capsys.readouterr().out


def test_a_given_size_is_made_even(tmp_path: Path) -> None:
    arms = draw(tmp_path, verdict_rows(10, 10), size=5)
    assert [len(arms[name]) for name in ARMS] == [4, 4, 4, 20]


def test_rows_are_written_whole(tmp_path: Path) -> None:
    rows = verdict_rows(2, 2)
    assert sorted(draw(tmp_path, rows)["all"], key=lambda row: row["trajectory_id"]) == rows


def test_the_seed_decides_and_the_order_of_rows_does_not(tmp_path: Path) -> None:
    rows = verdict_rows(40, 50)
    first = draw(tmp_path / "a", rows, seed=3)
    assert draw(tmp_path / "b", rows[::-1], seed=3) == first
    other = draw(tmp_path / "c", rows, seed=4)
    assert other["all"] != first["all"]
    assert sorted(map(str, other["all"])) == sorted(map(str, first["all"]))
    assert {row["trajectory_id"] for row in other["negative"]} != {
        row["trajectory_id"] for row in first["negative"]
    }


def test_rows_are_shuffled(tmp_path: Path) -> None:
    mixed = draw(tmp_path, verdict_rows(40, 40))["mixed"]
    verdicts = [row["verdict"] for row in mixed]
    assert sum(one != other for one, other in pairwise(verdicts)) > 10


@settings(max_examples=20, deadline=None)
@given(correct=st.integers(2, 12), wrong=st.integers(2, 12), seed=st.integers(0, 5))
def test_mixed_shares_its_halves_with_the_others(
    tmp_path_factory: pytest.TempPathFactory, correct: int, wrong: int, seed: int
) -> None:
    """mixed is drawn from the same trajectories that positive and negative hold."""
    arms = draw(tmp_path_factory.mktemp("arms"), verdict_rows(correct, wrong), seed)
    drawn = {name: {row["trajectory_id"] for row in rows} for name, rows in arms.items()}
    assert drawn["mixed"] <= drawn["positive"] | drawn["negative"] <= drawn["all"]
    assert (
        len(drawn["positive"])
        == len(drawn["negative"])
        == len(drawn["mixed"])
        == min(correct, wrong) // 2 * 2
    )


@pytest.mark.parametrize(
    ("correct", "wrong", "size", "message"),
    [
        (0, 9, "auto", "found 0 correct and 9 wrong trajectories, but each arm needs at least 2"),
        (9, 0, "auto", "found 9 correct and 0 wrong"),
        (1, 9, "auto", "found 1 correct and 9 wrong"),
        (5, 9, 8, "found 5 correct and 9 wrong trajectories, but selection.size 8 needs 8 of each"),
    ],
)
def test_what_cannot_be_filled_is_refused(
    tmp_path: Path, correct: int, wrong: int, size: int | str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        draw(tmp_path, verdict_rows(correct, wrong), size=size)
    assert not (tmp_path / "arms").exists()


def test_a_refusal_says_what_the_others_are_and_how_the_unparsed_end(tmp_path: Path) -> None:
    rows = verdict_rows(correct=1, wrong=0, other=2)  # twice unparsed, truncated, timeout and error
    rows[1]["response"] = "x" * 100 + "\nFINAL >> 42"
    with pytest.raises(UserError) as caught:
        draw(tmp_path, [*rows, *({**rows[1], "trajectory_id": f"t-{k}"} for k in range(9, 20))])
    first, *others = str(caught.value).splitlines()
    assert "found 1 correct and 0 wrong trajectories, but each arm needs at least 2 of its kind" in first
    assert others == [
        "  of 20 trajectories are 65.0% unparsed, 10.0% truncated, 10.0% timeout, 10.0% error; unparsed ones "
        "end in",
        "    '" + "x" * 68 + r"\nFINAL >> 42'",
        "    'r5'",
        "    '" + "x" * 68 + r"\nFINAL >> 42'",
        "  try another `extraction` (lenient, last_number, or pattern with extraction_pattern), or name the "
        "key that holds the answer as trajectories.fields.stated",
    ]


def test_two_rows_with_one_id_are_refused(tmp_path: Path) -> None:
    rows = verdict_rows(3, 3)
    with pytest.raises(UserError, match="share trajectory_id 't-0'"):
        draw(tmp_path, [*rows, rows[0]])


def test_rows_without_verdicts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"verdicts.jsonl:1: no key 'verdict'; give the output of `glow verify`"
    ):
        draw(tmp_path, [{"trajectory_id": "t-1"}])
