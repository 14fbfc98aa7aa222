"""Which problems GRPO trains on: those set aside, and those that are too hard or too easy."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from grpo_runs import SETTINGS, LetterVerifier, Runs, is_the_whole
from hypothesis import given
from hypothesis import strategies as st

from glow.config import Decoding, Grpo, GrpoSettings, PassRateSettings, Prompt
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.training import grpo as stage
from glow.training import pass_rates
from glow.training.grpo_problems import choose_problems
from glow.verifier.verify import Item

RATES = {"a": 0.0, "b": 1.0, "c": 0.5, "d": 0.125, "e": 0.875}
FILTERED = SETTINGS.model_copy(update={"prompts": 1, "pass_rate_rollouts": 8})


def write_questions(path: Path, questions: Sequence[str]) -> Path:
    write_jsonl(path, ({"question": question, "answer": "1"} for question in questions))
    return path


def write_rates(path: Path) -> Path:
    write_jsonl(path, ({"question": question, "pass_rate": rate} for question, rate in RATES.items()))
    return path


def questions_of(rows: Sequence[Any]) -> list[str]:
    return [row["question"] for row in rows]


@given(st.lists(st.text("abcdef", min_size=1), min_size=4, unique=True), st.integers(0, 3), st.randoms())
def test_what_is_set_aside_depends_on_the_questions_and_the_seed_alone(
    tmp_path_factory: pytest.TempPathFactory, questions: list[str], count: int, random: Any
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    grpo = SETTINGS.model_copy(update={"prompts": 1, "eval_steps": 1, "eval_problems": count})
    chosen = choose_problems(write_questions(folder / "one.jsonl", questions), grpo, 0, None)
    aside = questions_of(chosen.set_aside)
    assert sorted([*aside, *questions_of(chosen.trained_on)]) == sorted(questions)
    assert questions_of(chosen.trained_on) == [own for own in questions if own not in aside]
    random.shuffle(questions)
    again = choose_problems(write_questions(folder / "two.jsonl", questions), grpo, 0, None)
    assert questions_of(again.set_aside) == aside
    fewer = grpo.model_copy(update={"eval_problems": max(0, count - 1)})
    shorter = choose_problems(folder / "two.jsonl", fewer, 0, None)
    assert questions_of(shorter.set_aside) == aside[: max(0, count - 1)]


def test_another_seed_sets_others_aside_and_no_row_of_a_question_is_trained_on(tmp_path: Path) -> None:
    path = write_questions(tmp_path / "problems.jsonl", [*"abcdefgh", *"abcdefgh"])
    grpo = SETTINGS.model_copy(update={"eval_steps": 1, "eval_problems": 3})
    drawn = set()
    for seed in range(4):
        chosen = choose_problems(path, grpo, seed, None)
        aside = questions_of(chosen.set_aside)
        assert len(set(aside)) == 3
        assert len(chosen.trained_on) == 10 and not set(aside) & set(questions_of(chosen.trained_on))
        drawn.add(tuple(sorted(aside)))
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("bounds", "kept", "too_hard", "too_easy"),
    [
        ({}, ["c", "d", "e"], 1, 1),
        ({"min_pass_rate": 0.0}, ["a", "c", "d", "e"], 0, 1),
        ({"max_pass_rate": 1.0}, ["b", "c", "d", "e"], 1, 0),
        ({"min_pass_rate": 0.125, "max_pass_rate": 0.5}, ["c", "d"], 1, 2),
        ({"min_pass_rate": 0.2, "max_pass_rate": 0.8}, ["c"], 2, 2),
    ],
)
def test_problems_within_the_bounds_are_kept_and_the_others_counted(
    bounds: dict[str, float], kept: list[str], too_hard: int, too_easy: int, tmp_path: Path
) -> None:
    path, rates = write_questions(tmp_path / "problems.jsonl", "abcde"), write_rates(tmp_path / "rates.jsonl")
    chosen = choose_problems(path, FILTERED.model_copy(update=bounds), 0, rates)
    assert questions_of(chosen.trained_on) == kept
    assert chosen.facts["pass_rates"] == {
        "measured": 5,
        "too_hard": too_hard,
        "too_easy": too_easy,
        "never_solved": 1,
        "always_solved": 1,
    }


def test_too_few_that_are_left_are_told_with_why(tmp_path: Path) -> None:
    path, rates = write_questions(tmp_path / "problems.jsonl", "abcde"), write_rates(tmp_path / "rates.jsonl")
    grpo = FILTERED.model_copy(update={"prompts": 4, "eval_steps": 1, "eval_problems": 1})
    words = (
        r"5 problem.*, of which 1 are set aside for evaluation and \d are too hard or too easy, but a step"
    )
    with pytest.raises(UserError, match=words):
        choose_problems(path, grpo, 0, rates)
    write_questions(path, "abcdef")
    with pytest.raises(UserError, match="no pass rate for 'f'"):
        choose_problems(path, FILTERED, 0, rates)


# --- the stage that measures pass rates -----------------------------------------------------------

MEASURED = PassRateSettings(
    prompt=Prompt(instruction="Go."), decoding=Decoding(max_tokens=12, batch_size=4), rollouts=4, seed=3
)


@pytest.fixture
def letters_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (stage, pass_rates):
        monkeypatch.setattr(module, "Verifier", LetterVerifier)


def test_pass_rates_are_the_verifiers_share_and_a_killed_run_samples_the_rest_alone(
    problems: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Item] = []

    class Noting(LetterVerifier):
        def is_right(self, item: Item) -> bool:
            judged.append(item)
            return super().is_right(item)

    monkeypatch.setattr(pass_rates, "Verifier", Noting)
    pass_rates.measure(problems, tiny_model, tmp_path / "rates.jsonl", MEASURED)
    rows = list(read_jsonl(tmp_path / "rates.jsonl"))
    assert questions_of(rows) == questions_of(list(read_jsonl(problems)))
    assert len(judged) == 20
    for place, row in enumerate(rows):
        own = judged[4 * place : 4 * place + 4]
        right = sum(item.response.count("e") > 2 for item in own)
        assert (row["rollouts"], row["correct"], row["pass_rate"]) == (4, right, right / 4)
        assert row["truncated"] == sum(item.finish_reason == "length" for item in own)
    assert len({row["pass_rate"] for row in rows}) > 1

    kept: list[int] = []
    original = pass_rates.KeptRows.append

    def torn(self: Any, row: Any) -> None:
        if len(kept) == 7:
            raise KeyboardInterrupt
        kept.append(1)
        original(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(pass_rates.KeptRows, "append", torn)
        with pytest.raises(KeyboardInterrupt):
            pass_rates.measure(problems, tiny_model, tmp_path / "again.jsonl", MEASURED)
    assert not (tmp_path / "again.jsonl").exists()
    pass_rates.measure(problems, tiny_model, tmp_path / "again.jsonl", MEASURED)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "rates.jsonl").read_bytes()
    facts = json.loads((tmp_path / "again.jsonl.manifest.json").read_text())["facts"]
    assert facts["resumed"] == 7
    assert facts["never_solved"] == sum(row["pass_rate"] == 0 for row in rows)
    assert not list(tmp_path.glob("*partial*"))


def test_more_rollouts_begin_with_fewer_and_another_seed_draws_others(
    problems: Path, tiny_model: Path, tmp_path: Path, letters_everywhere: None
) -> None:
    def rates(name: str, **changes: Any) -> list[int]:
        settings = MEASURED.model_copy(update={"rollouts": 8, **changes})
        pass_rates.measure(problems, tiny_model, tmp_path / name, settings)
        return [row["correct"] for row in read_jsonl(tmp_path / name)]

    first = rates("one.jsonl")
    assert rates("two.jsonl") == first
    assert rates("three.jsonl", seed=4) != first
    assert all(few <= many for few, many in zip(rates("four.jsonl", rollouts=4), first, strict=True))


def test_a_run_trains_on_what_the_filter_leaves_and_resumes_to_the_same_bits(
    problems: Path, tiny_model: Path, tmp_path: Path, letters_everywhere: None
) -> None:
    rates = tmp_path / "rates.jsonl"
    questions = questions_of(list(read_jsonl(problems)))
    measured = [0.0, 0.5, 1.0, 0.25, 0.75]
    write_jsonl(
        rates, ({"question": own, "pass_rate": rate} for own, rate in zip(questions, measured, strict=True))
    )
    grpo = FILTERED.model_copy(update={"eval_steps": 2, "eval_problems": 1})

    class FilteredRuns(Runs):
        def train(self, output: Path, settings: Grpo = grpo, **prompt: Any) -> None:
            whole = GrpoSettings(prompt=Prompt(instruction="Go."), grpo=settings, seed=3)
            stage.train(self.problems, self.model, output, whole, pass_rates=rates)

    runs = FilteredRuns(problems, tiny_model)
    runs.train(tmp_path / "whole")
    runs.train_killed(3, tmp_path / "resumed", grpo)
    runs.train(tmp_path / "resumed")
    assert is_the_whole(tmp_path / "resumed", tmp_path / "whole")
    for run in ("whole", "resumed"):
        assert len(list(read_jsonl(tmp_path / run / "evaluations.jsonl"))) == 4
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    assert str(rates) in manifest["inputs"]
    (aside,) = choose_problems(problems, grpo, 3, rates).set_aside
    left = {own: rate for own, rate in zip(questions, measured, strict=True) if own != aside["question"]}
    assert manifest["facts"]["pass_rates"] == {
        "measured": 4,
        "too_hard": sum(rate == 0 for rate in left.values()),
        "too_easy": sum(rate == 1 for rate in left.values()),
        "never_solved": sum(rate == 0 for rate in left.values()),
        "always_solved": sum(rate == 1 for rate in left.values()),
    }


def test_pass_rates_go_with_their_setting(problems: Path, tiny_model: Path, tmp_path: Path) -> None:
    settings = GrpoSettings(grpo=FILTERED, seed=3)
    with pytest.raises(UserError, match=r"pass_rate_rollouts.*go together"):
        stage.train(problems, tiny_model, tmp_path / "run", settings)
    with pytest.raises(UserError, match=r"pass_rate_rollouts.*go together"):
        plain = GrpoSettings(grpo=SETTINGS, seed=3)
        stage.train(
            problems, tiny_model, tmp_path / "run", plain, pass_rates=write_rates(tmp_path / "r.jsonl")
        )
