import pytest
from fabricated import World
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.reporting.chance import above_chance, chance, constant_answer_accuracy, mean_chance
from glow.reporting.scopes import IN_DOMAIN, OOD


def problems(*answers: tuple[str | None, str]) -> list[dict]:
    """Problems of (family, gold answer)."""
    return [{"family": family, "answer": answer} for family, answer in answers]


def test_the_best_letter_of_each_family() -> None:
    # A twice of three, and B three times of four: 5 of 7
    drawn = [("history", letter) for letter in "AAB"] + [("law", letter) for letter in "BBBA"]
    assert constant_answer_accuracy(problems(*drawn)) == approx(5 / 7)


def test_a_suite_without_families_is_one() -> None:
    assert constant_answer_accuracy(problems((None, "yes"), (None, " yes "), (None, "no"))) == approx(2 / 3)


def test_answers_that_all_differ_are_no_chance() -> None:
    assert constant_answer_accuracy(problems(*((None, str(number)) for number in range(50)))) == 0
    assert constant_answer_accuracy(problems(("a", "1"), ("b", "1"))) == 0  # one question a family


def test_a_subject_or_task_is_a_family_too() -> None:
    rows = [{"subject": "a", "answer": "1"}, {"subject": "a", "answer": "1"}, {"task": "b", "answer": "2"}]
    assert constant_answer_accuracy(rows) == approx(2 / 3)


def test_what_a_program_checks_has_no_chance() -> None:
    assert constant_answer_accuracy([{"answer": "", "scorer": "ifeval"}] * 3) is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ABCD")), min_size=1, max_size=40))
def test_no_constant_answer_by_family_is_better(rows: list[tuple[str, str]]) -> None:
    best = constant_answer_accuracy(problems(*rows))
    tried = [
        sum(answer == guess[family] for family, answer in rows) / len(rows)
        for guess in ({"a": a, "b": b} for a in "ABCD" for b in "ABCD")
    ]
    assert best is not None
    assert best <= max(tried) + 1e-12
    # Short of it by at most the families in which no answer occurs twice, one question each.
    assert best >= max(tried) - 2 / len(rows) - 1e-12


def test_chance_of_suites_and_means(fabricated: World) -> None:
    results = fabricated.results
    # four of ten golds are 1; of the letters five are C; all others differ
    assert [chance(results, suite) for suite in ("lists", "choice", "arithmetic")] == [0.4, 0.5, 0]
    assert mean_chance(results, "arithmetic", OOD) == approx(45)
    assert mean_chance(results, "arithmetic", IN_DOMAIN) == 0


def test_accuracy_above_chance_is_suite_by_suite(fabricated: World) -> None:
    # glow: lists 50 and 60 -> (50 - 40) / 60, (60 - 40) / 60; choice 60 and 80 -> 10 / 50 and 30 / 50
    found = above_chance(fabricated.results, "arithmetic", "glow", OOD)
    assert found is not None
    assert found.by_seed == (approx((100 / 6 + 20) / 2), approx((200 / 6 + 60) / 2))
    gain = above_chance(fabricated.results, "arithmetic", "glow", OOD, over="positive")
    assert gain is not None
    # positive: lists 30 and 50, choice 50 and 50
    assert gain.mean == approx(((20 + 10) / 2 / 0.6 + (10 + 30) / 2 / 0.5) / 2)
    assert above_chance(fabricated.results, "arithmetic", "glow", "ood_general") is None


def test_nothing_is_above_a_chance_of_one(world: World) -> None:
    file = world.results.suite_file("lists")
    write_jsonl(file, [row | {"answer": "same"} for row in read_jsonl(file)])
    assert chance(world.results, "lists") == 1
    assert above_chance(world.results, "arithmetic", "glow", OOD) is None
    assert above_chance(world.results, "arithmetic", "glow", IN_DOMAIN) is not None


def test_a_suite_of_other_questions_is_refused(world: World) -> None:
    file = world.results.suite_file("lists")
    write_jsonl(file, list(read_jsonl(file))[1:])
    with pytest.raises(UserError, match=r"suites/lists\.jsonl: its questions are not those that the models"):
        chance(world.results, "lists")


def test_a_missing_suite_is_named(world: World) -> None:
    world.results.suite_file("lists").unlink()
    with pytest.raises(UserError, match=r"suites/lists\.jsonl: no such file; run"):
        chance(world.results, "lists")
