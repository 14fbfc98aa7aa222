"""worlds: a number draws anew what all seeds share, and nothing else."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_config import MINIMAL, changed, refusal

from glow import config
from glow.config import drawn_seeds
from glow.config.worlds import _reseeded
from glow.experiment import load, read

ROOT = Path(__file__).resolve().parents[3]

SEEDS = {
    "student.pretrain.seed": 7,
    "teacher.pretrain.seed": 8,
    "domains.lists.problems.seed": 0,
    "sampling.seed": 0,
    "suites.reversal.seed": 1,
}
"""Those of `document`, the last three by default."""


def document(**more: Any) -> dict[str, Any]:
    return changed(student__pretrain__seed=7, teacher__pretrain__seed=8) | more


def derived(world: int, seed: int) -> int:
    """The first 32 bits of the hash of this text, as a number."""
    return int(hashlib.sha256(f'["world", {world}, {seed}]'.encode()).hexdigest()[:8], 16)


def test_without_a_number_the_seeds_are_those_of_the_file() -> None:
    assert drawn_seeds(load(document(), "some.yaml")) == SEEDS


def test_a_number_draws_everything_anew() -> None:
    own = load(document(world=2), "some.yaml")
    assert drawn_seeds(own) == {key: derived(2, seed) for key, seed in SEEDS.items()}
    assert own.student.pretrain is not None
    assert own.generation.sampling.seed == own.domains["lists"].problems.seed == derived(2, 0)
    assert own.name == "small-world-2"
    assert (own.seeds, own.world) == ([0, 1], 2)


@given(st.integers(1, 2**20), st.integers(1, 2**20), st.integers(0, 2**32))
def test_two_worlds_share_no_seed(one: int, other: int, seed: int) -> None:
    section = config.Sampling(max_tokens=1, seed=seed)
    found = [_reseeded(section, world).seed for world in (one, other)]
    assert (one == other) == (found[0] == found[1])
    assert _reseeded(section.model_copy(update={"seed": seed + 1}), one).seed != found[0]


def test_nothing_but_seeds_and_name_is_another() -> None:
    plain, own = (load(document(**more), "some.yaml").model_dump(mode="json") for more in ({}, {"world": 3}))
    plain["name"] = own["name"]
    for key, seed in SEEDS.items():
        *above, last = key.split(".")
        section: Any = plain
        for part in above:
            section = section[part]
        assert section[last] == seed
        section[last] = derived(3, seed)
    assert plain == own


def test_the_dump_of_a_world_is_the_same_experiment() -> None:
    own = load(document(world=3), "some.yaml")
    again = load(own.model_dump(mode="json", exclude_none=True), "dump")
    assert again.model_dump() == own.model_dump()


def test_what_is_given_stays_as_it_is(tmp_path: Path) -> None:
    """A model of one's own, and all questions of a task; of another task a hundred are drawn."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    rows = str(ROOT / "examples" / "math500_stand_in.jsonl")
    suites = {
        "math500": {"file": rows},
        "some": {"task": "math500", "file": rows, "problems": 3},
        "reversal": {"families": ["reversal"], "domain": "lists"},
    }
    own = load(document(student=str(model), suites=suites, world=1), "some.yaml")
    assert own.student == config.Model(path=model)
    assert own.suites["math500"].seed == 1
    assert own.suites["some"].seed == own.suites["reversal"].seed == derived(1, 1)
    assert set(drawn_seeds(own)) == {
        "teacher.pretrain.seed",
        "domains.lists.problems.seed",
        "sampling.seed",
        "suites.some.seed",
        "suites.reversal.seed",
    }


def test_a_model_from_scratch_is_drawn_anew() -> None:
    own_data = {
        key: MINIMAL[key] for key in ("name", "seeds", "sft", "suites", "evaluation") if key != "suites"
    }
    own_data |= {
        "student": "scratch",
        "suites": {"reversal": {"families": ["reversal"]}},
        "trajectories": {"files": [str(ROOT / "examples" / "trajectories.jsonl")]},
        "world": 4,
    }
    assert drawn_seeds(load(own_data, "some.yaml")) == {
        "student.scratch.seed": derived(4, 0),
        "suites.reversal.seed": derived(4, 1),
    }


@pytest.mark.parametrize("world", [0, -1])
def test_a_world_is_a_number_above_zero(world: int) -> None:
    assert (
        refusal(document(world=world)) == f"some.yaml: world: input should be greater than 0, found {world}"
    )


# --- the miniature at length ----------------------------------------------------------------------


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> tuple[config.Experiment, config.Experiment]:
    """The miniature, and the same at length."""
    monkeypatch.chdir(ROOT)
    miniature, at_length = (read(Path(f"config/{name}.yaml")) for name in ("miniature", "miniature_long"))
    return miniature, at_length


def test_at_length_the_miniature_has_the_same_world_and_training(
    shipped: tuple[config.Experiment, config.Experiment],
) -> None:
    miniature, at_length = (own.model_dump(mode="json") for own in shipped)
    assert at_length["sampling"].pop("samples") > miniature["sampling"].pop("samples")
    assert at_length["evaluation"].pop("samples") > miniature["evaluation"].pop("samples")
    for own in (miniature, at_length):
        for key in ("name", "seeds", "objectives", "arms", "contamination"):
            del own[key]
    assert at_length == miniature


def test_at_length_the_miniature_has_its_arms_and_starts_among_others(
    shipped: tuple[config.Experiment, config.Experiment],
) -> None:
    miniature, at_length = shipped
    assert list(at_length.arms)[: len(miniature.arms)] == list(miniature.arms)
    for name, arm in miniature.arms.items():
        own = at_length.arms[name]
        assert own.trajectories == arm.trajectories
        assert at_length.objectives[own.objective] == miniature.objectives[arm.objective]
    if miniature.grpo is not None and miniature.grpo.initialisations is not None:
        assert set(miniature.initialisations) <= set(at_length.initialisations)
    assert at_length.reference_arm == miniature.reference_arm


def test_at_length_there_is_every_control(shipped: tuple[config.Experiment, config.Experiment]) -> None:
    _, at_length = shipped
    used = {
        (arm.trajectories, at_length.objectives[arm.objective].objective) for arm in at_length.arms.values()
    }
    plain = {"positive", "negative", "mixed", "all", "positive_all", "positive_paired", "negative_paired"}
    assert {(trajectories, "plain") for trajectories in (*plain, "all_paired")} <= used
    assert {("all", objective) for objective in ("glow", "glow_permuted", "glow_mean", "sft")} <= used
    assert ("positive", "sft") in used
