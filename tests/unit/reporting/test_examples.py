"""The examples of the report: which are shown, what is marked in them, and what becomes of wild texts."""

import unicodedata
from pathlib import Path

import pytest
from fabricated import World, document
from hypothesis import given
from hypothesis import strategies as st

from glow.errors import UserError
from glow.files.hashing import keyed_order
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.miniature.families import FAMILIES
from glow.miniature.steps import SLIPS as ALL_SLIPS
from glow.reporting.examples import (
    KEY,
    LONGEST,
    SLIPS,
    Example,
    Response,
    clean,
    collect_examples,
    cut,
    read_examples,
)
from glow.reporting.results import Run
from glow.reporting.tables import write_tables

QUESTION = "Gus has 23 eggs: p-2, q+9, r-6. How many eggs now?"
RIGHT = "Let us see: p:23-2=21, q:21+9=30, r:30-6=24. Hence \\boxed{24}"
SLIPPED = "Let us see: p:23-2=21, q:21+9=31, r:31-6=25. Hence \\boxed{25}"


class Procedural(World):
    """Real questions of the family ledger: right and wrong chains of p-1, and answers of all arms."""

    def trajectories(self, domain: str) -> list[dict]:
        rows = super().trajectories(domain)
        asked = {"question": QUESTION, "answer": "24", "family": "ledger", "problem_id": "p-1"}
        rows[2] |= asked | {"response": RIGHT, "extracted": "24"}
        rows[4] |= asked | {"response": SLIPPED, "extracted": "25"}
        return rows

    def write_evaluation(self, run: Run) -> None:
        super().write_evaluation(run)
        path = self.results.evaluation(run) / "samples.jsonl.gz"
        answered = {"response": SLIPPED, "extracted": "25"}
        write_jsonl(
            path, (row | (answered if row["suite"] == "arithmetic" else {}) for row in read_jsonl(path))
        )

    def _write_suites(self) -> None:
        super()._write_suites()
        file = self.results.suite_file("arithmetic")
        asked = {"question": QUESTION, "answer": "24", "family": "ledger"}
        write_jsonl(file, [row | asked for row in read_jsonl(file)])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    return collect_examples(Procedural(tmp_path_factory.mktemp("procedural")).write().results)


def test_a_right_and_a_wrong_trajectory_of_one_question_with_the_slip_marked(shown: list[Example]) -> None:
    pair = shown[0]
    assert pair.title == "A right and a wrong trajectory"
    assert (pair.question, pair.answer) == (QUESTION, "24")
    assert "of 1 question(s) with right and wrong trajectories" in pair.rule
    assert pair.rule.endswith("The first wrong step is marked, where there is one.")
    assert pair.responses == [
        Response("positive", "correct", "chain", RIGHT),
        Response(
            "negative", "wrong", "chain", "Let us see: p:23-2=21, ", "q:21+9=31",
            ", r:31-6=25. Hence \\boxed{25}", "a result that does not follow",
        ),
    ]  # fmt: skip


def test_every_arm_answers_one_question_in_domain_and_one_out_of_domain(shown: list[Example]) -> None:
    _, inside, outside = shown
    assert inside.title == "What each arm answers, in-domain (arithmetic)"
    assert outside.title == "What each arm answers, out of domain (lists)"
    for example in (inside, outside):
        left_out = " (multiple choice is left out)" * (example is outside)
        assert f"of 10 question(s){left_out} the first; and of each model of seed 0" in example.rule
        assert [response.label for response in example.responses] == [
            "base", "positive", "negative", "all", "glow", "glow_released",
        ]  # fmt: skip
    assert {response.marked for response in inside.responses} == {"q:21+9=31"}
    # lists are of a procedural family too, but its questions here are of another form
    assert {response.marked for response in outside.responses} == {""}
    assert "marked" not in outside.rule


def test_the_question_is_the_first_by_hash_and_not_by_place(fabricated: World) -> None:
    names = [f"lists/p-{place}" for place in range(10)]
    first = keyed_order(names, str, KEY)[0]
    assert first != names[0]
    place = int(first.rpartition("-")[2])
    *_, outside = collect_examples(fabricated.results)
    (asked,) = (one for one in fabricated.results.problems("lists") if one["problem_id"] == f"p-{place}")
    assert outside.question == asked["question"]
    # lists: base is right on the first 4 questions, glow on the first 5 (CORRECT, seed 0)
    verdicts = {response.label: response.verdict for response in outside.responses}
    assert verdicts["base"] == ("correct" if place < 4 else "wrong")
    assert verdicts["glow"] == ("correct" if place < 5 else "wrong")


def test_without_a_question_that_has_both_there_are_two_questions(fabricated: World) -> None:
    right, wrong, *_ = collect_examples(fabricated.results)
    assert (right.title, wrong.title) == ("A right trajectory", "A wrong trajectory")
    assert [response.verdict for response in (*right.responses, *wrong.responses)] == ["correct", "wrong"]
    said = "The first wrong step is marked, where there is one."
    assert right.rule == f"Chosen by a hash: the first of all positives with a chain of thought. {said}"
    rows = {row["trajectory_id"]: row for row in fabricated.trajectories("arithmetic")}
    names = [name for name, row in rows.items() if row["verdict"] == "correct"]
    first = rows[keyed_order(names, str, KEY)[0]]
    assert right.question == first["question"]
    (response,) = right.responses
    assert (response.label, response.verdict, response.type) == ("positive", "correct", "chain")
    assert response.before + response.marked + response.after == first["response"]


def test_bare_answers_are_no_examples_of_trajectories(tmp_path: Path) -> None:
    class Bare(World):
        def trajectories(self, domain: str) -> list[dict]:
            bare = {"response": r"\boxed{1}", "extracted": "1"}
            return [row | (bare if row["verdict"] == "wrong" else {}) for row in super().trajectories(domain)]

    titles = [example.title for example in collect_examples(Bare(tmp_path).write().results)]
    assert titles[:2] == ["A right trajectory", "What each arm answers, in-domain (arithmetic)"]


def test_suites_that_are_answered_by_likelihood_give_no_example(tmp_path: Path) -> None:
    content = document(grpo=None)
    del content["suites"]["lists"]
    titles = [example.title for example in collect_examples(World(tmp_path, content).write().results)]
    assert titles[2:] == ["What each arm answers, in-domain (arithmetic)"]


def test_domains_are_named_where_there_are_several(tmp_path: Path) -> None:
    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    content = document(domains={"arithmetic": problems, "other": problems}, seeds=[0], grpo=None)
    titles = [example.title for example in collect_examples(World(tmp_path, content).write().results)]
    assert titles[0] == "arithmetic: A right trajectory"
    assert titles[-1].startswith("other: What each arm answers, out of domain (")


def test_an_end_that_does_not_follow_is_marked(tmp_path: Path) -> None:
    class End(Procedural):
        def trajectories(self, domain: str) -> list[dict]:
            rows = super().trajectories(domain)
            rows[4] |= {"response": RIGHT.replace("{24}", "{42}"), "extracted": "42"}
            return rows

    negative = collect_examples(End(tmp_path).write().results)[0].responses[1]
    assert (negative.marked, negative.after) == ("Hence \\boxed{42}", "")
    assert negative.slip == "not the answer that the steps lead to"


def test_a_family_of_the_same_name_in_other_hands_is_not_judged(tmp_path: Path) -> None:
    own = {"trajectories": {"files": ["examples/trajectories.jsonl"], "grpo": 5}}
    without = dict.fromkeys(("domains", "teacher", "sampling"))
    suites = {"lists": {"families": ["sorting"]}}
    world = World(tmp_path, document(**own, **without, suites=suites, grpo=None))
    rows = [row | {"family": "ledger", "question": QUESTION} for row in world.trajectories("own")]
    world.trajectories = lambda domain: rows
    for example in collect_examples(world.write().results):
        assert not any(response.marked for response in example.responses)


def test_the_examples_are_kept_with_the_tables(world: World) -> None:
    write_tables(world.results.experiment, world.root)
    assert read_examples(world.results) == collect_examples(world.results)
    world.results.examples_file.write_text('[{"title": "other"}]')
    with pytest.raises(UserError, match=r"examples\.json: not as this version of glow writes it"):
        read_examples(world.results)


def test_an_archive_that_lost_a_row_is_named(world: World) -> None:
    archive = world.results.evaluation(Run("sft", "arithmetic", "glow", 0)) / "samples.jsonl.gz"
    write_jsonl(archive, [])
    with pytest.raises(UserError, match=rf"{archive}: lacks 1 row\(s\) that the tables count"):
        collect_examples(world.results)


def test_a_wrong_label_is_named_with_the_right_one(tmp_path: Path) -> None:
    class Mislabelled(Procedural):
        def trajectories(self, domain: str) -> list[dict]:
            rows = super().trajectories(domain)
            rows[4] |= {"response": SLIPPED.replace("q:21+9=31, r", "r:21+9=30, q")}
            return rows

    pair, *_ = collect_examples(Mislabelled(tmp_path).write().results)
    negative = pair.responses[1]
    assert (negative.marked, negative.slip) == ("r:21+9=30", "labelled “r”, should be “q”")


def test_every_slip_has_words() -> None:
    assert set(SLIPS) == set(ALL_SLIPS)
    assert "ledger" in FAMILIES


# --- wild texts -----------------------------------------------------------------------------------


@given(st.text(st.characters(codec=None), max_size=200))
def test_texts_of_models_are_fit_for_a_page(text: str) -> None:
    found = clean(text)
    found.encode("utf-8")  # a lone surrogate would not do
    assert not {
        character
        for character in found
        if unicodedata.category(character) == "Cc" and character not in "\n\t"
    }
    assert clean(found) == found


def test_what_turns_the_text_around_it_is_taken_out() -> None:
    assert clean("a\u202eb\u2066c\x00d\r\ne") == "a\ufffdb\ufffdc\ufffdd\ne"
    assert clean("\u0928\u094d\u200d") == "\u0928\u094d\u200d"  # a joiner, which scripts need


@given(st.text(max_size=60), st.integers(3, 40))
def test_long_texts_are_cut_in_the_middle(text: str, longest: int) -> None:
    found = cut(text, longest)
    if len(text) <= longest:
        assert found == text
        return
    head, note, tail = found[: longest * 2 // 3], found.split("[…")[-1], found[-(longest // 3) :]
    assert text.startswith(head)
    assert text.endswith(tail)
    assert f"{len(text) - len(head) - len(tail)} characters left out …]" in note


def test_a_response_of_a_real_model_is_cut(tmp_path: Path) -> None:
    class Long(World):
        def response(self, run: Run, question: int) -> str:
            return "We try. " + "<script>alert(1)</script> " * 400 + "\\boxed{1}"

    shown = collect_examples(Long(tmp_path, document(grpo=None)).write().results)[-1].responses[0]
    assert shown.before.startswith("We try. <script>")  # it is escaped where it is shown
    assert "characters left out" in shown.before
    assert shown.length < LONGEST + 60
