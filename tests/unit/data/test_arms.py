"""Selections: sizes, halves, pairs, seeds, and refusals that say what was found and needed."""

import hashlib
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glow.config import (
    PAIRED,
    ArmSettings,
    FurtherSelection,
    ImportSettings,
    Selection,
    SelectSettings,
    VerdictSettings,
)
from glow.data.arms import write_arms, write_selection
from glow.data.own_data import import_trajectories
from glow.data.verdicts import verify_files
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


# --- further selections ---------------------------------------------------------------------------

FURTHER = get_args(FurtherSelection)


def answers(**questions: str) -> list[Record]:
    """Rows of questions: `a="ccw"` is a question with two correct trajectories, a-0 and a-1, and a wrong one.

    u is an unparsed one.
    """
    verdicts = {"c": "correct", "w": "wrong", "u": "unparsed"}
    return [
        {"trajectory_id": f"{question}-{place}", "problem_id": question, "verdict": verdicts[letter]}
        for question, letters in questions.items()
        for place, letter in enumerate(letters)
    ]


def select(folder: Path, rows: list[Record], name: FurtherSelection, seed: int = 0) -> list[Record]:
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "verdicts.jsonl", rows)
    output = folder / f"{name}.jsonl"
    write_selection(folder / "verdicts.jsonl", output, SelectSettings(trajectories=name, seed=seed))
    return list(read_jsonl(output))


def select_all(folder: Path, rows: list[Record], seed: int = 0) -> dict[str, list[Record]]:
    return {name: select(folder, rows, name, seed) for name in FURTHER}


def ids(rows: list[Record]) -> list[str]:
    return [row["trajectory_id"] for row in rows]


def by_hash(names: list[str], purpose: str, seed: int) -> list[str]:
    """The seeded order, written out: by the SHA-256 of a JSON list."""
    return sorted(
        names, key=lambda name: hashlib.sha256(f'["{purpose}", {seed}, "{name}"]'.encode()).digest()
    )


MANY = answers(a="ccw", b="cwwwu", c="cc", d="w", e="uc", f="ccwww")
"""a has one pair, b one, f two; c, d and e have none. 8 are correct, 8 are wrong."""


@pytest.mark.parametrize("seed", range(4))
def test_further_selections_by_hand(tmp_path: Path, seed: int) -> None:
    drawn = select_all(tmp_path, MANY, seed)
    correct = ["a-0", "a-1", "b-0", "c-0", "c-1", "e-1", "f-0", "f-1"]
    wrong = ["a-2", "b-1", "b-2", "b-3", "d-0", "f-2", "f-3", "f-4"]
    assert ids(drawn["positive_all"]) == by_hash(correct, "order", seed)
    assert ids(drawn["negative_all"]) == by_hash(wrong, "order", seed)
    # The rarer kind is whole; of the other as many, the first by hash.
    positives = [by_hash(["a-0", "a-1"], "draw", seed)[0], "b-0", "f-0", "f-1"]
    negatives = ["a-2", by_hash(["b-1", "b-2", "b-3"], "draw", seed)[0]]
    negatives += by_hash(["f-2", "f-3", "f-4"], "draw", seed)[:2]
    assert ids(drawn["positive_paired"]) == by_hash(positives, "order", seed)
    assert ids(drawn["negative_paired"]) == by_hash(negatives, "order", seed)
    assert ids(drawn["all_paired"]) == by_hash([*positives, *negatives], "order", seed)


def test_the_manifest_and_the_screen_say_what_a_selection_was_made_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    select_all(tmp_path, MANY)
    paired = json.loads((tmp_path / "all_paired.jsonl.manifest.json").read_text())
    assert paired["stage"] == "select"
    nothing = {"held_out": 0, "held_out_seed": 0}
    assert paired["settings"] == {"trajectories": "all_paired", "seed": 0, **nothing}
    assert paired["facts"] == {
        "found": {"positive": 8, "negative": 8},
        "questions": {"found": 6, "with_both": 3},
        "written": 8,
    }
    every = json.loads((tmp_path / "positive_all.jsonl.manifest.json").read_text())
    assert every["facts"] == {"found": {"positive": 8, "negative": 8}, "written": 8}
    shown = capsys.readouterr().out
    assert "all_paired.jsonl: 8 all_paired (from 8 correct, 8 wrong; 3 of 6 questions have both)\n" in shown
    assert "positive_all.jsonl: 8 positive_all (from 8 correct, 8 wrong)\n" in shown


def test_further_selections_lie_beside_the_others_and_change_none(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "verdicts.jsonl", MANY)
    write_arms(tmp_path / "verdicts.jsonl", tmp_path, ArmSettings(seed=3))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    drawn = select_all(tmp_path, MANY, seed=3)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    every = ids(list(read_jsonl(tmp_path / "all.jsonl")))
    for rows in drawn.values():  # parts of `all`, in its order
        assert ids(rows) == [name for name in every if name in ids(rows)]


@st.composite
def studies(draw: st.DrawFn) -> list[Record]:
    """Rows of up to five questions with two pairs or more, in any order."""
    letters = st.text("cwu", max_size=6)
    rows = answers(**{name: draw(letters) for name in "abcde"})
    assume(sum(pairs_of(rows).values()) >= 2)
    return draw(st.permutations(rows))


def pairs_of(rows: list[Record]) -> Counter[str]:
    """How many pairs each question has, counted one by one."""
    found = Counter((row["problem_id"], row["verdict"]) for row in rows)
    return +Counter({name: min(found[name, "correct"], found[name, "wrong"]) for name in "abcde"})


@settings(max_examples=25, deadline=None)
@given(rows=studies(), seed=st.integers(0, 3))
def test_pairs_have_the_same_questions_each_as_often(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record], seed: int
) -> None:
    drawn = select_all(tmp_path_factory.mktemp("pairs"), rows, seed)
    for name, verdict in (("positive", "correct"), ("negative", "wrong")):
        paired, every = drawn[f"{name}_paired"], drawn[f"{name}_all"]
        assert {row["verdict"] for row in paired} == {verdict}
        assert Counter(row["problem_id"] for row in paired) == pairs_of(rows)
        assert sorted(ids(every)) == sorted(ids([row for row in rows if row["verdict"] == verdict]))
        assert set(ids(paired)) <= set(ids(every))
    both = [*ids(drawn["positive_paired"]), *ids(drawn["negative_paired"])]
    assert sorted(ids(drawn["all_paired"])) == sorted(both)


@settings(max_examples=25, deadline=None)
@given(rows=studies(), seed=st.integers(0, 3), data=st.data())
def test_further_selections_depend_on_ids_and_not_on_other_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record], seed: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    drawn = select_all(folder, rows, seed)
    assert select_all(folder, data.draw(st.permutations(rows)), seed) == drawn
    left_out = data.draw(st.sampled_from(rows))
    others = [row for row in rows if row is not left_out]
    assume(sum(pairs_of(others).values()) >= 2)
    assume({"correct", "wrong"} <= {row["verdict"] for row in others})
    for name, after in select_all(folder, others, seed).items():
        before = drawn[name]
        assert [row for row in after if row in before] == [row for row in before if row in after]
        of_others = [row for row in after if row["problem_id"] != left_out["problem_id"]]
        assert of_others == [row for row in before if row["problem_id"] != left_out["problem_id"]]
        # Another may take the place of the one that is left out, and with it one of the other kind may go.
        assert len([row for row in before if row not in after]) <= (1 if name != "all_paired" else 2)


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (answers(a="cc", b="ww", c="cu", d="uw"), "0 of 4 questions have both"),
        (answers(a="cww", b="cc", c="w"), "1 of 3 questions have both"),
        ([], "0 of 0 questions have both"),
    ],
)
def test_too_few_pairs_are_refused_with_what_to_do(
    tmp_path: Path, rows: list[Record], found: str, name: FurtherSelection
) -> None:
    with pytest.raises(UserError) as caught:
        select(tmp_path, rows, name)
    assert str(caught.value) == (
        f"{tmp_path}/verdicts.jsonl: {found} correct and wrong trajectories, but {name} needs at least 2 "
        "pairs of them; sample more responses to each problem (sampling.samples), import more rows of the "
        "same questions, or train no arm on a paired selection"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["verdicts.jsonl"]


def test_two_pairs_are_enough_wherever_they_are(tmp_path: Path) -> None:
    assert ids(select(tmp_path, answers(a="cwcw", b="cc"), "positive_paired")) == by_hash(
        ["a-0", "a-2"], "order", 0
    )
    assert len(select(tmp_path, answers(a="cw", b="wc"), "all_paired")) == 4


def test_too_few_of_a_kind_are_refused_with_what_the_others_are(tmp_path: Path) -> None:
    rows = answers(a="cwwwu")
    assert len(select(tmp_path, rows, "negative_all")) == 3
    with pytest.raises(UserError) as caught:
        select(tmp_path, rows, "positive_all")
    first, second, *_ = str(caught.value).splitlines()
    assert (
        "found 1 correct, 3 wrong, but positive_all needs at least 2 of its kind; sample or import" in first
    )
    assert second.startswith("  of 5 trajectories are 20.0% unparsed")


def test_rows_without_a_problem_have_no_pairs(tmp_path: Path) -> None:
    rows = verdict_rows(2, 2)
    assert len(select(tmp_path, rows, "positive_all")) == 2
    with pytest.raises(UserError, match=r"verdicts.jsonl:1: no key 'problem_id'; give the output of"):
        select(tmp_path, rows, "positive_paired")


def test_own_rows_are_paired_by_their_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users' rows need no id: rows with one question are responses to one problem."""
    given = {("1 + 1", "2"): "23", ("2 + 2", "4"): "4", ("3 + 3", "6"): "678"}
    own = [
        {"question": question, "answer": answer, "response": f"\\boxed{{{stated}}}"}
        for (question, answer), responses in given.items()
        for stated in responses
    ]
    write_jsonl(tmp_path / "own.jsonl", own)
    trajectories, grpo, verdicts = (tmp_path / f"{name}.jsonl" for name in ("t", "grpo", "verdicts"))
    import_trajectories([tmp_path / "own.jsonl"], [], trajectories, grpo, ImportSettings())
    verify_files([trajectories], verdicts, VerdictSettings(), workers=1)
    answered = {("1 + 1", "2"), ("3 + 3", "6")}, {("1 + 1", "3"), ("3 + 3", "7"), ("3 + 3", "8")}
    for name, possible in zip(("positive_paired", "negative_paired"), answered, strict=True):
        write_selection(verdicts, tmp_path / name, SelectSettings(trajectories=name, seed=0))
        drawn = [(row["question"], row["extracted"]) for row in read_jsonl(tmp_path / name)]
        assert set(drawn) <= possible
        assert sorted(question for question, _ in drawn) == ["1 + 1", "3 + 3"]


# --- held-out questions ---------------------------------------------------------------------------


def hold_out(folder: Path, rows: list[Record], count: int, seed: int = 0, draw: int = 0) -> None:
    """All selections of the rows, in `folder`, with `count` questions set aside."""
    write_jsonl(verdicts := folder / "verdicts.jsonl", rows)
    aside = {"held_out": count, "held_out_seed": draw}
    write_arms(verdicts, folder, ArmSettings(selection=Selection(**aside), seed=seed))
    for name in FURTHER:
        write_selection(
            verdicts, folder / f"{name}.jsonl", SelectSettings(trajectories=name, **aside, seed=seed)
        )


def in_file(folder: Path, name: str) -> list[Record]:
    return list(read_jsonl(folder / f"{name}.jsonl"))


def test_held_out_questions_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """g has neither a right nor a wrong trajectory, so it is no question of any arm, and not drawn."""
    rows = [*MANY, *answers(g="uu")]
    hold_out(tmp_path, rows, 2, seed=1, draw=5)
    first, second = by_hash([*"abcdef"], "held out", 5)[:2]
    judged = {row["trajectory_id"]: row for row in rows if row["verdict"] != "unparsed"}
    expected = [
        name
        for question in (first, second)
        for name in by_hash([name for name in judged if name.startswith(question)], "order", 5)
    ]
    assert ids(in_file(tmp_path, "held_out")) == expected
    left = [name for name in judged if name[0] not in (first, second)]
    assert ids(in_file(tmp_path, "all")) == by_hash(left, "order", 1)
    held = Counter(judged[name]["verdict"] for name in expected)
    facts = {"questions": 2, "positive": held["correct"], "negative": held["wrong"]}
    for name in ("manifest.json", "positive_all.jsonl.manifest.json"):
        assert json.loads((tmp_path / name).read_text())["facts"]["held_out"] == facts
    said = f"; held out: {len(expected)} trajectories of 2 questions"
    assert capsys.readouterr().out.count(said) == 1 + len(FURTHER)


def test_without_held_out_questions_there_is_no_such_file_and_no_id_is_needed(tmp_path: Path) -> None:
    draw(tmp_path, verdict_rows(4, 4))
    assert not (tmp_path / "arms" / "held_out.jsonl").exists()
    assert "held_out" not in json.loads((tmp_path / "arms" / "manifest.json").read_text())["facts"]


@settings(max_examples=25, deadline=None)
@given(rows=studies(), seeds=st.tuples(st.integers(0, 3), st.integers(0, 3)), data=st.data())
def test_held_out_questions_are_in_no_selection_and_the_same_for_every_seed(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record], seeds: tuple[int, int], data: st.DataObject
) -> None:
    decided = [row for row in rows if row["verdict"] in ("correct", "wrong")]
    questions = {row["problem_id"] for row in decided}
    assume(len(questions) > 1)
    count = data.draw(st.integers(1, len(questions) - 1))
    folders = [tmp_path_factory.mktemp("held") for _ in seeds]
    try:
        for folder, seed, own in zip(folders, seeds, (rows, data.draw(st.permutations(rows))), strict=True):
            hold_out(folder, own, count, seed)
    except UserError:  # too few are left for some selection
        assume(False)
    held = [(folder / "held_out.jsonl").read_bytes() for folder in folders]
    assert held[0] == held[1]
    aside = in_file(folders[0], "held_out")
    drawn = {row["problem_id"] for row in aside}
    assert len(drawn) == count
    assert sorted(map(str, aside)) == sorted(str(row) for row in decided if row["problem_id"] in drawn)
    for folder in folders:
        for name in (*ARMS, *FURTHER):
            assert not drawn & {row["problem_id"] for row in in_file(folder, name)}
        assert len(in_file(folder, "all")) == len(decided) - len(aside)


def test_more_held_out_questions_begin_with_fewer(tmp_path: Path) -> None:
    rows = answers(**{f"q{number}": "cw" for number in range(12)})
    held = []
    for count in (3, 5):
        (folder := tmp_path / str(count)).mkdir()
        hold_out(folder, rows, count)
        held.append(ids(in_file(folder, "held_out")))
    assert held[1][: len(held[0])] == held[0]
    (other := tmp_path / "other").mkdir()
    hold_out(other, rows, 3, draw=1)
    assert ids(in_file(other, "held_out")) != held[0]


@pytest.mark.parametrize("count", [6, 9])
def test_all_questions_cannot_be_held_out(tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError) as caught:
        hold_out(tmp_path, [*MANY, *answers(g="uu")], count)
    first, *_ = str(caught.value).splitlines()
    assert first == (
        f"{tmp_path}/verdicts.jsonl: 6 questions have a right or a wrong trajectory, and selection.held_out "
        f"{count} would leave none to train on: lower it; or sample or import more, or look at the verdicts "
        "and their reasons"
    )


def test_what_is_too_little_beside_held_out_questions_is_refused_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"at least 2 of its kind; .*; held out: \d+ trajectories of 5 questions"
    ):
        hold_out(tmp_path, MANY, 5)


def test_held_out_questions_need_an_id_of_each_row_s_problem(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"verdicts\.jsonl:1: no key 'problem_id'"):
        hold_out(tmp_path, verdict_rows(4, 4), 1)
