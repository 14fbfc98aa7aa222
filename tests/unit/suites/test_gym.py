"""Problems of reasoning-gym: fresh by seed, the same in every process, scored without running text."""

import inspect
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from glow.config import Suite
from glow.errors import UserError
from glow.files.jsonl import read_jsonl
from glow.suites.files import write_suite

pytest.importorskip("reasoning_gym", reason="the extra `gym` is not installed: pip install 'glow-sft[gym]'")

from reasoning_gym.factory import DATASETS

from glow.suites import gym

pytestmark = pytest.mark.extra("gym")

EXECUTES = re.compile(r"\b(eval|exec|compile|parse_expr|sympify|literal_eval|subprocess|os\.system)\(")


def test_twelve_families_at_three_levels() -> None:
    rows = gym.draw(None, 1)
    assert Counter(row["family"] for row in rows) == {
        f"{family}/{level}": 10 for family in gym.RECIPE for level in ("easy", "medium", "hard")
    }
    assert len(gym.RECIPE) == 12
    assert len({row["problem_id"] for row in rows}) == 360


def test_its_own_answers_are_right_and_others_are_not() -> None:
    rows = [json.loads(json.dumps(row)) for row in gym.draw(None, 2)]
    assert all(gym.gym_score(row["answer"], row) == 1 for row in rows)
    assert sum(gym.gym_score("no such answer", row) == 1 for row in rows) == 0


def test_another_seed_gives_other_problems() -> None:
    first, second = (gym.draw(360, seed) for seed in (1, 2))
    shared = {row["question"] for row in first} & {row["question"] for row in second}
    # Small families meet by chance (caesar_cipher/easy has 135 problems): docs/suites.md says how often.
    assert len(shared) < 10
    assert not any(row["family"] == "count_primes/easy" for row in first if row["question"] in shared)


def test_the_easy_primes_are_many() -> None:
    largest = gym.RECIPE["count_primes"][0]["max_n"]
    assert largest * (largest + 1) // 2 > 10_000  # Every interval of 1 to `largest` is a problem.


def test_any_number_is_spread_evenly() -> None:
    shares = Counter(row["family"] for row in gym.draw(40, 1)).values()
    assert sorted(shares) == [1] * 32 + [2] * 4
    assert [row["problem_id"] for row in gym.draw(36, 1)] == [
        row["problem_id"] for row in gym.draw(72, 1)[::2]
    ]


def test_every_process_draws_the_same() -> None:
    """Whatever order sets and hashes have there."""
    command = "from glow.suites.gym import draw; print(hash(0), *[r['problem_id'] for r in draw(72, 7)])"
    shown = {
        subprocess.run(
            [sys.executable, "-c", command],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(shown) == 1


@pytest.mark.parametrize("family", gym.RECIPE)
def test_no_scorer_executes_what_it_is_given(family: str) -> None:
    cls, _ = DATASETS[family]
    methods = [cls.score_answer, *(m for name, m in vars(cls).items() if "normal" in name or "parse" in name)]
    for method in methods:
        assert not EXECUTES.search(inspect.getsource(inspect.unwrap(getattr(method, "__func__", method))))


def test_a_suite_file(tmp_path: Path) -> None:
    write_suite("gym", Suite(problems=36, seed=3), tmp_path / "gym.jsonl")
    rows = list(read_jsonl(tmp_path / "gym.jsonl"))
    assert {(row["format"], row["scorer"]) for row in rows} == {("boxed", "gym")}
    manifest = json.loads((tmp_path / "gym.jsonl.manifest.json").read_text())
    assert manifest["facts"]["source"].startswith("reasoning-gym 0.")
    assert manifest["facts"]["task_version"] == 1.0


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(UserError, match=r"EXTRAS=gym, or pip install -c constraints.txt -e '\.\[gym\]'"):
        gym.draw(1, 1)
