"""overlap: hand-made copies, properties, and real sets whose overlap is known."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.data import overlap
from glow.data.overlap import SuiteIndex, scan
from glow.data.wording import read_suites, words
from glow.errors import UserError
from glow.files.jsonl import Record, write_jsonl
from glow.files.user_rows import read_rows

LONG = "A train leaves Aachen at nine and reaches Basel at noon; how many hours does it take to arrive?"
SHORT = "What is 2 + 3?"
MIDDLING = "Compute the product (a + b)^2 * c ="


@dataclass(frozen=True)
class Held:
    """What training rows hold of a suite, question by question: nothing is 0, False and ""."""

    covered: list[int]
    exact: list[bool]
    row: list[str]
    rows: int
    words: int


Overlap = Callable[..., Held]


@pytest.fixture
def found(tmp_path: Path) -> Overlap:
    """What training rows hold of a suite of questions, each a text or a whole row."""

    def of(suite: list[str | Record], training: list[str | Record], ngram: int = 13) -> Held:
        return scanned(tmp_path, suite, training, ngram)

    return of


def scanned(folder: Path, suite: list[str | Record], training: list[str | Record], ngram: int = 13) -> Held:
    for name, rows in (("suite", suite), ("training", training)):
        records = [row if isinstance(row, dict) else {"question": row} for row in rows]
        write_jsonl(folder / f"{name}.jsonl", records)
    index = SuiteIndex(read_suites([folder / "suite.jsonl"]), ngram)
    got, numbers = scan(folder / "training.jsonl", index), range(len(suite))
    return Held(
        [got.covered.get(number, 0) for number in numbers],
        [number in got.exact for number in numbers],
        [got.row.get(number, "") for number in numbers],
        got.rows,
        got.words,
    )


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What IS it?", "what is  it"),
        ("well-known “word”", 'well known "word"'),
        ("x = -1", "x=-1"),
        ("x − 1", "x - 1"),  # noqa: RUF001
        ("ﬁne", "fine"),
        ("$x$ is one", "x is one."),
    ],
)
def test_what_counts_as_the_same_words(one: str, other: str) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("p + 1", "p - 1"),
        ("x < 2", "x > 2"),
        ("( ) [", "( ] ["),
        ("1.5", "15"),
        ("ab", "a b"),
        ("2*3", "2+3"),
    ],
)
def test_what_counts_as_other_words(one: str, other: str) -> None:
    assert words(one) != words(other)


def test_symbols_stay_with_the_word_after_them() -> None:
    assert words("If x >= 2 then (a + b)^2 = ?") == ["if", "x", ">=2", "then", "(a", "+b", ")^2", "="]


# --- by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "covered"), [(12, 0), (13, 13), (14, 14), (17, 17)])
def test_a_shared_run_of_thirteen_words_is_found_and_of_twelve_is_not(
    found: Overlap, length: int, covered: int
) -> None:
    run = " ".join(words(LONG)[2 : 2 + length])
    assert found([LONG], [f"Alpha beta gamma {run} delta."]).covered == [covered]


def test_a_copy_is_found_whatever_stands_around_it(found: Overlap) -> None:
    thirteen = " ".join(words(LONG)[:13])
    for copy in (f"**{thirteen}**", f"({thirteen})", f"<q>{thirteen}</q>", f"> {thirteen} = ?"):
        assert found([thirteen], [copy]).covered == [13]


def test_words_covered_twice_count_once_and_only_in_one_text(found: Overlap) -> None:
    """Runs of 4: words 0-5 are one run of 6; 10-13 and 14-17 are two in another text."""
    held = words(LONG)
    one, other = " ".join(held[:6]), " ".join(held[10:14]) + " x " + " ".join(held[14:18])
    assert found([LONG], [one], 4).covered == [6]
    assert found([LONG], [other], 4).covered == [8]
    both = found([LONG], [{"id": "a", "question": one}, {"id": "b", "question": other}], 4)
    assert (both.covered, both.row) == ([8], ["b"])


def test_texts_do_not_run_into_each_other(found: Overlap) -> None:
    held = words(LONG)
    assert found([LONG], [" ".join(held[:10]), " ".join(held[10:])]).covered == [0]
    assert found([LONG], [{"a": " ".join(held[:10]), "b": " ".join(held[10:])}]).covered == [0]


def test_ties_go_to_the_row_whose_id_has_the_least_hash(found: Overlap) -> None:
    """Whatever the order of the rows, and for a long and a short question alike."""
    rows: list[str | Record] = [
        {"id": f"t-{number}", "text": f"{number}: {LONG} {MIDDLING}"} for number in range(20)
    ]
    first = min((row["id"] for row in rows if isinstance(row, dict)), key=overlap._order)
    for order in (rows, rows[::-1]):
        assert found([LONG, MIDDLING], order).row == [first, first]


def test_the_shortest_questions_are_compared_whole(found: Overlap) -> None:
    assert found([SHORT], ["what is 2+3"]).exact == [True]
    assert found([SHORT], ["So what is 2 + 3?"]).exact == [False]
    assert found([SHORT], ["What is 2 - 3?"]).exact == [False]


def chat(question: str) -> Record:
    asked = f"Question: {question}\nPlease reason step by step, and put your answer in \\boxed{{}}."
    return {
        "id": "c",
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "7"}],
    }


@pytest.mark.parametrize(
    ("asked", "training", "copied"),
    [
        (MIDDLING, MIDDLING, True),
        (MIDDLING, "**Compute the product\n$(a+b)^2*c=$**", True),
        (MIDDLING, "Compute the product (a - b)^2 * c =", False),
        (MIDDLING, "Compute the product (a + b)^2 * d =", False),
        ("What is the value of x?", "What is the value of $x$?", True),
        ("What is the value of x?", "What is the value of $x^2$?", False),
        ("What is the value of x?", "What is the value of $x + (2y)$?", False),
        ("What is the value of x?", "What is the value of the x?", False),
        ("What is one more?", "What is one more?", False),
        ("What is one and one?", "What is one and one?", True),
    ],
)
def test_a_question_shorter_than_an_ngram_is_found_inside_a_longer_text(
    found: Overlap, asked: str, training: str, copied: bool
) -> None:
    got = found([asked], [chat(training)])
    assert got.covered == [len(words(asked)) - asked.endswith("=") if copied else 0]
    assert not any(got.exact)


def test_which_questions_are_compared_whole_only(tmp_path: Path) -> None:
    suite: list[Record] = [{"question": text} for text in (LONG, MIDDLING, SHORT)]
    write_jsonl(tmp_path / "s.jsonl", [*suite, {"question": "Osteoclasts", "choices": ["eat", "make"]}])
    index = SuiteIndex(read_suites([tmp_path / "s.jsonl"]), 13)
    assert index.whole_only == [False, False, True, False]


def test_every_text_of_a_row_is_read(found: Overlap) -> None:
    chat = {"messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "3"}]}
    assert found([LONG], [chat]).exact == [True]
    assert found([LONG], [{"question": "?", "response": f"We are asked: {LONG} Three."}]).covered == [19]


CAPITAL = {"id": "q", "question": "The capital of France is", "choices": ["Rome", "Paris", "Bonn", "Oslo"]}


@pytest.mark.parametrize(
    ("training", "whole"),
    [
        (CAPITAL, True),
        (CAPITAL | {"choices": ["Oslo", "Bonn", "Paris", "Rome"]}, True),
        (CAPITAL | {"choices": ["Oslo", "Bonn", "Paris", "Rome", "Kyiv", "Riga"]}, True),
        (CAPITAL | {"choices": ["Lyon", "Nice", "Paris", "Lille"]}, False),
        ({"question": "The capital of France is"}, True),
        ({"question": "The capital of France is\nA. Rome\nB. Paris\nC. Bonn\nD. Oslo"}, True),
        ({"question": "The capital of France is\n(A) Rome\n(B) Paris\n(C) Bonn\n(D) Oslo",
          "stem": "The capital of France is"}, True),
        ({"question": "The capital of Spain is"}, False),
    ],
)  # fmt: skip
def test_multiple_choice(found: Overlap, training: Record, whole: bool) -> None:
    assert found([CAPITAL], [training]).exact == [whole]
    boxed = {
        "id": "q",
        "question": "The capital of France is\nA. Rome\nB. Paris\nC. Bonn\nD. Oslo",
        "stem": "The capital of France is",
    }
    assert found([boxed], [training]).exact == [whole]


LETTERED = "A. Rome\nB. Paris\nC. Bonn\nD. Oslo"
CELLS = {"id": "c", "question": "Osteoclasts", "choices": ["eat bone", "make bone", "are bone", "do nothing"]}


@pytest.mark.parametrize(
    ("suite", "training", "copied"),
    [
        (CAPITAL, f"The capital of France is\n{LETTERED}", True),
        (CAPITAL, "The capital of France is\n(1) Oslo\n(2) Paris", True),
        (CAPITAL, "The capital of France is (Paris), not Lyon.", False),
        (CAPITAL, "The capital of France is", False),
        (CAPITAL, LETTERED, False),
        (CAPITAL, f"{LETTERED}\nThe capital of France is", False),
        (CAPITAL, f"The capital of Spain is\n{LETTERED}", False),
        (CAPITAL, "The capital of France is" + " far" * 1000 + LETTERED, False),
        (CELLS, "Osteoclasts\nA. eat bone\nB. make bone\nC. are bone\nD. do nothing", True),
        (CELLS, "Osteoclasts:\n(A) Eat bone\n(B) Make bone\n(C) Are bone\n(D) Do nothing", True),
        (CELLS, "Osteoclasts\nA. eat bone\nB. make bone\nC. are bone\nD. do nothings", False),
        (CELLS, "Osteoclasts eat bone, make bone, are bone, do nothing", False),
        (CELLS, "A. eat bone\nB. make bone\nC. are bone\nD. do nothing", False),
    ],
)
def test_a_short_question_with_choices_is_found_inside_a_longer_text_with_them(
    found: Overlap, suite: Record, training: str, copied: bool
) -> None:
    length = len(words(suite["question"]))
    assert found([suite], [chat(training)]).covered == [length if copied else 0]


def test_questions_of_one_wording_are_told_apart_by_their_choices(found: Overlap) -> None:
    suite: list[str | Record] = [
        {"question": "Which of these is a fruit?", "choices": [f"{name} {kind}" for kind in ("one", "two")]}
        for name in ("apple", "brick", "cloud")
    ]
    training = chat("Which of these is a fruit?\nA. brick one\nB. brick two")
    assert found(suite, [training]).covered == [0, 6, 0]


def test_rows_are_named_by_their_id_or_their_place(found: Overlap) -> None:
    assert found([SHORT], ["x", SHORT]).row[0].endswith("training.jsonl:2")
    assert found([SHORT], [{"question": SHORT, "problem_id": "p-7"}]).row == ["p-7"]
    assert found([SHORT], [{"question": SHORT, "problem_id": "p-7", "trajectory_id": "t-1"}]).row == ["t-1"]


def test_malformed_input_is_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "empty.jsonl", [])
    write_jsonl(tmp_path / "bad.jsonl", [{"question": "a"}, {"text": "b"}])
    with pytest.raises(UserError, match=r"empty.jsonl: no rows"):
        read_suites([tmp_path / "empty.jsonl"])
    with pytest.raises(UserError, match=r"bad.jsonl:2: no key 'question'"):
        read_suites([tmp_path / "bad.jsonl"])


def test_a_suite_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"question": "q"}])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^a.jsonl: this suite is given twice"):
        read_suites([tmp_path / "a.jsonl", Path("a.jsonl")])


def test_suites_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_jsonl(tmp_path / folder / "test.jsonl", [{"question": "q"}])
    write_jsonl(tmp_path / "other.jsonl", [{"question": "q"}])
    paths = [tmp_path / "a" / "test.jsonl", tmp_path / "b" / "test.jsonl", tmp_path / "other.jsonl"]
    assert [question.suite for question in read_suites(paths)] == [str(paths[0]), str(paths[1]), "other"]


# --- properties ---------------------------------------------------------------------------------

WORDS = st.sampled_from([*"abcdef", "xy", "12"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), min_size=1, max_size=6)
N = 3


def reference(suite: list[str], training: list[str]) -> list[int]:
    """Words of each question in 3-grams that one training text holds: sets and loops, no hashes."""
    covered = []
    for question in suite:
        asked, most = question.split(), 0
        for text in training:
            held = text.split()
            grams = {tuple(held[at : at + N]) for at in range(len(held) - N + 1)}
            places: set[int] = set()
            for at in range(len(asked) - N + 1):
                if tuple(asked[at : at + N]) in grams:
                    places.update(range(at, at + N))
            most = max(most, len(asked) if held == asked else len(places))
        covered.append(most)
    return covered


@given(suite=TEXTS, training=TEXTS)
def test_as_the_reference_says(
    tmp_path_factory: pytest.TempPathFactory, suite: list[str], training: list[str]
) -> None:
    got = scanned(tmp_path_factory.mktemp("r"), list(suite), list(training), N)
    assert got.covered == reference(suite, training)
    assert got.exact == [question in training for question in suite]


@given(suite=TEXTS, training=TEXTS)
def test_short_questions_as_the_reference_says(
    tmp_path_factory: pytest.TempPathFactory, suite: list[str], training: list[str]
) -> None:
    """No n-gram is as long as these: from 2 words all of a question has to be held."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "SHORTEST", 2)
        got = scanned(tmp_path_factory.mktemp("s"), list(suite), list(training), 13)
    assert got.covered == [
        len(question.split())
        * any(question == text or (" " in question and f" {question} " in f" {text} ") for text in training)
        for question in suite
    ]


@given(suite=TEXTS, training=TEXTS, data=st.data())
def test_the_order_of_the_rows_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, suite: list[str], training: list[str], data: st.DataObject
) -> None:
    rows: list[str | Record] = [{"id": f"t-{place}", "text": text} for place, text in enumerate(training)]
    shuffled = data.draw(st.permutations(rows))
    one = scanned(tmp_path_factory.mktemp("o"), list(suite), rows, N)
    assert one == scanned(tmp_path_factory.mktemp("o"), list(suite), list(shuffled), N)


@given(
    question=st.lists(st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True), min_size=13, max_size=40),
    before=st.text(max_size=30),
    after=st.text(max_size=30),
    shout=st.booleans(),
)
def test_an_inserted_copy_is_always_found(
    tmp_path_factory: pytest.TempPathFactory, question: list[str], before: str, after: str, shout: bool
) -> None:
    asked = " ".join(question)
    copy = asked.upper() if shout else asked
    training = [{"response": f"{before} {copy} {after}"}]
    got = scanned(tmp_path_factory.mktemp("c"), [asked], training)
    assert got.covered == [len(question)]


@given(
    suite=st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=20).map(" ".join), min_size=1),
    training=st.lists(st.lists(st.sampled_from("xyz"), min_size=1, max_size=20).map(" ".join), min_size=1),
)
def test_disjoint_vocabularies_never_overlap(
    tmp_path_factory: pytest.TempPathFactory, suite: list[str], training: list[str]
) -> None:
    got = scanned(tmp_path_factory.mktemp("d"), list(suite), list(training), N)
    assert not any(got.covered) and not any(got.exact)


# --- real sets ----------------------------------------------------------------------------------


def question_and_choices(row: Record) -> str:
    return json.dumps([row["question"], row["choices"]])


@pytest.fixture(scope="module")
def mmlu(shared_data: Path) -> SuiteIndex:
    return SuiteIndex(read_suites([shared_data / "mmlu" / "test.jsonl.gz"]), 13)


@pytest.mark.parametrize(("split", "identical", "found"), [("val", 27, 31), ("dev", 5, 6)])
def test_mmlus_other_splits_share_rows_with_its_test(
    shared_data: Path, mmlu: SuiteIndex, split: str, identical: int, found: int
) -> None:
    """Those found beyond the identical ones differ in case, spaces, or one or two of the choices."""
    test = {question_and_choices(row) for _, row in read_rows(shared_data / "mmlu" / "test.jsonl.gz")}
    rows = [row for _, row in read_rows(shared_data / "mmlu" / f"{split}.jsonl.gz")]
    same = [row["id"] for row in rows if question_and_choices(row) in test]
    ours = [row["id"] for row in rows if mmlu.equal_choice(row)]
    assert len(same) == identical
    assert len(ours) == found
    assert set(same) <= set(ours)


def test_mmlu_pro_is_made_of_mmlu(shared_data: Path, mmlu: SuiteIndex) -> None:
    """Its publisher's flag says of 6,809 rows that their question is one of MMLU's test."""
    rows = [row for _, row in read_rows(shared_data / "mmlu_pro" / "test.jsonl.gz")]
    flagged = {row["id"] for row in rows if row["question_in_mmlu_test"]}
    ours = {row["id"] for row in rows if mmlu.equal_choice(row)}
    assert len(flagged) == 6809
    assert ours <= flagged
    assert len(ours) == 6798


def test_math_500_is_not_in_maths_training_split_but_five_are_in_answers_on_its_test(
    shared_data: Path,
) -> None:
    index = SuiteIndex(read_suites([shared_data / "math500" / "test.jsonl.gz"]), 13)
    assert not scan(shared_data / "math_train" / "train.jsonl.gz", index).exact
    answers = shared_data / "traj_math_qwen_cot100" / "test.jsonl.gz"
    flagged = {row["question"] for _, row in read_rows(answers) if row["question_in_math500"]}
    assert {index.questions[number].stem for number in scan(answers, index).exact} == flagged
    assert len(flagged) == 5


@pytest.mark.parametrize(
    ("file", "choices", "missed"),
    [
        ("math500/test.jsonl.gz", False,
         ["Simplify $\\sqrt{242}$.", "Evaluate $\\log_264$.", "Compute $\\dbinom{31}{28}$."]),
        ("mmlu/test.jsonl.gz", True, ["In python 3, which of the following is floor division?"]),
    ],
)  # fmt: skip
def test_chats_that_ask_all_questions_are_found(
    shared_data: Path, tmp_path: Path, file: str, choices: bool, missed: list[str]
) -> None:
    """But for three of fewer than five words, and one whose choices are operators."""
    rows = [row for _, row in read_rows(shared_data / file)]
    asked = [
        "\n".join([row["question"], *map("{}. {}".format, "ABCD", row["choices"] if choices else [])])
        for row in rows
    ]
    write_jsonl(tmp_path / "chats.jsonl", map(chat, asked))
    index = SuiteIndex(read_suites([shared_data / file]), 13)
    got = scan(tmp_path / "chats.jsonl", index)
    assert [
        row["question"]
        for number, row in enumerate(rows)
        if got.covered.get(number, 0) < 0.8 * index.lengths[number]
    ] == missed


def test_no_short_question_of_another_set_is_found_in_maths_solutions(shared_data: Path) -> None:
    """What is found of those below 13 words is whole: a few of MMLU's are MATH's."""
    suites = [shared_data / name / "test.jsonl.gz" for name in ("math500", "minerva", "mmlu")]
    index = SuiteIndex(read_suites(suites), 13)
    got = scan(shared_data / "math_train" / "train.jsonl.gz", index)
    short = {number for number in got.covered if index.lengths[number] < 13}
    assert short <= got.exact
    assert len(short) == 7
