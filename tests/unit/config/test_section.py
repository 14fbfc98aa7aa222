"""section: numbers that are none, names that lead out of the results, and what is said of wrong types."""

import math
from datetime import date
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_config import MINIMAL, changed, refusal
from transformers import get_scheduler

from glow.config.section import LARGEST_SEED
from glow.config.training import SftSchedule
from glow.experiment import load

OWN = {key: value for key, value in MINIMAL.items() if key not in ("domains", "teacher", "sampling", "grpo")}
ARM = {"trajectories": "positive", "objective": "plain"}
GLOW_ARMS = {"arms": {"positive": ARM, "glow": ARM | {"objective": "glow"}}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [True, False]}, "seeds: a number is wanted, found true"),
        ({"seeds": [0, False]}, "seeds: a number is wanted, found false"),
        ({"sft__epochs": True}, "sft.epochs: a number is wanted, found true"),
        ({"sft__learning_rate": True}, "sft.learning_rate: a number is wanted, found true"),
        ({"selection": {"size": True}}, "selection.size: a number is wanted, found true"),
        ({"grpo__seeds": [True]}, "grpo.seeds: a number is wanted, found true"),
        (
            {"objectives": {"plain": {}, "glow": {"objective": "glow", "clamp": [True, 2]}}, **GLOW_ARMS},
            "objectives.glow.clamp: a number",
        ),
        ({"sft__learning_rate": math.inf}, "sft.learning_rate: input should be a finite number, found inf"),
        (
            {"sft__learning_rate": "1e400"},
            "sft.learning_rate: input should be a finite number, found '1e400'",
        ),
        ({"evaluation__temperature": math.nan}, "evaluation.temperature: input should be"),
        (
            {"objectives": {"plain": {}, "glow": {"objective": "glow", "alpha": math.inf}}, **GLOW_ARMS},
            "objectives.glow.alpha: input",
        ),
        ({"sft__epochs": 10**9}, "sft.epochs: input should be less than or equal to 1000000"),
        (
            {"sft__batch_size": 10**20},
            "sft.batch_size: 100000000000000000000 is too large a number; lower it",
        ),
        ({"seeds": [int("9" * 40)]}, "seeds.0: input should be less than or equal to 4294967295"),
        ({"seeds": [LARGEST_SEED + 1]}, "seeds.0: input should be less than or equal to 4294967295"),
        ({"sampling__seed": 2**40}, "sampling.seed: input should be less than or equal to 4294967295"),
        ({"sft__scheduler": "cosin"}, "sft.scheduler: input should be 'cosine', 'linear', 'constant'"),
        ({"name": False}, "name: input should be a valid string, found False; YAML reads no, off or fal"),
        ({"name": 2026}, "name: input should be a valid string, found 2026; write it in quotes: '2026'"),
        ({"name": date(2026, 1, 2)}, "2026, 1, 2); write it in quotes: '2026-01-02'"),
        ({"prompt": {"chat_template_kwargs": {"day": date(2026, 1, 2)}}}, "write it in quotes: '2026-01-02'"),
        ({"evaluation": []}, "evaluation: keys with values are wanted, found []"),
        ({"sft": "yes"}, "sft: keys with values are wanted, found 'yes'"),
        (
            {"domains__lists__problems__disjoint_from": "a"},
            "input should be a valid list, found 'a'; write [a]",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_said_with_its_mend(changes: dict[str, Any], said: str) -> None:
    lines = refusal(changed(**changes)).splitlines()
    assert any(line.startswith("some.yaml: ") and said in line for line in lines), lines


def test_a_section_without_keys_is_asked_for() -> None:
    assert refusal(MINIMAL | {"evaluation": None}) == (
        "some.yaml: evaluation: nothing is given; give it a value, or remove the key"
    )


def test_the_largest_seed_is_one_and_true_is_still_one_for_a_switch() -> None:
    found = load(changed(seeds=[0, LARGEST_SEED], sft__gradient_checkpointing=True), "some.yaml")
    assert (found.seeds, found.sft.gradient_checkpointing) == ([0, LARGEST_SEED], True)


@pytest.mark.parametrize(
    "name", ["..", ".", "...", "-rf", "--force", ".hidden", "a/b", "", "a b", "a\n", "x" * 101]
)
@pytest.mark.parametrize("key", ["name", "domain", "suite", "arm", "student", "trajectories"])
def test_a_name_that_leads_out_of_the_results_or_looks_like_an_option_is_refused(key: str, name: str) -> None:
    documents: dict[str, dict[str, Any]] = {
        "name": MINIMAL | {"name": name},
        "domain": MINIMAL | {"domains": {name: MINIMAL["domains"]["lists"]}},
        "suite": MINIMAL | {"suites": {name: {"families": ["reversal"]}}},
        "arm": MINIMAL | {"arms": {"positive": ARM, name: ARM}},
        "student": OWN | {"student": None, "students": {name: "scratch"}},
        "trajectories": OWN | {"trajectories": {"files": [__file__], "domain": name}},
    }
    assert "begin with a letter, a digit or '_'" in refusal(documents[key])


@given(
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*", fullmatch=True).filter(
        lambda n: len(n) < 100
    )
)
def test_any_other_name_of_letters_digits_dots_and_single_dashes_is_taken(name: str) -> None:
    found = load(MINIMAL | {"name": name, "arms": {"positive": ARM, name: ARM}}, "some.yaml")
    assert found.name == name


def test_each_schedule_that_may_be_named_makes_one_without_further_settings() -> None:
    from torch import nn, optim

    for name in get_args(SftSchedule):
        optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
        schedule = get_scheduler(name, optimizer, num_warmup_steps=2, num_training_steps=10)
        rates = []
        for _ in range(10):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        assert all(0 <= rate <= 1 for rate in rates)
        assert max(rates) > 0.9
