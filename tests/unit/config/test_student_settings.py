"""Several students: what differs for one, what all share, and what is refused by its key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from glow.config import drawn_seeds
from glow.errors import UserError
from glow.experiment import in_words, load

FILE = Path(__file__).parents[2] / "workflow" / "two_students.yaml"
TWO = yaml.safe_load(FILE.read_text("utf-8")) | {"seeds": [0, 1]}
TWO["students"]["large"]["seeds"] = [0]


def two(**changes: Any) -> dict[str, Any]:
    """The configuration of two students, with other keys at the top."""
    return TWO | changes


def with_large(**changes: Any) -> dict[str, Any]:
    """The same, with other keys of the student `large`."""
    return two(students=TWO["students"] | {"large": TWO["students"]["large"] | changes})


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(UserError) as refused:
        load(document, "some.yaml")
    return str(refused.value)


def test_a_student_differs_in_what_stands_below_its_name() -> None:
    experiment = load(TWO, "some.yaml")
    studies = experiment.studies
    assert list(studies) == ["small", "large"]
    small, large = studies.values()
    assert large.base == experiment.students["large"].model != small.base
    assert (small.sft.epochs, small.sft.batch_size) == (2, 16)
    assert (large.sft.epochs, large.sft.batch_size) == (1, 8)
    assert large.sft.learning_rate == small.sft.learning_rate == 1e-3
    assert (small.seeds, large.seeds) == ([0, 1], [0])
    assert small.grpo == experiment.grpo is not None
    assert large.grpo is None
    assert large.grpo_seeds == large.initialisations == []
    assert large.students == {}


def test_all_learn_from_the_same_trajectories() -> None:
    prompt = {"system": "Another.", "chat_template": "plain", "thought": ["<a>", "</a>"]}
    experiment = load(with_large(prompt=prompt), "some.yaml")
    small, large = experiment.studies.values()
    assert large.prompt.system == "Another."
    assert small.prompt.system is None
    assert experiment.generation.prompt == small.prompt
    for told in (
        lambda own: own.verdicts,
        lambda own: own.arm_selection(0),
        lambda own: own.contamination,
        lambda own: own.domains,
        lambda own: own.generation,
    ):
        assert told(large) == told(experiment) == told(small)


def test_one_student_is_as_short_to_write_as_ever() -> None:
    document = {key: value for key, value in TWO.items() if key != "students"}
    experiment = load(document | {"student": TWO["students"]["small"]}, "some.yaml")
    assert experiment.studies == {"": experiment}
    short = load(with_large(), "some.yaml").students["large"].model
    assert load(two(students={"a": "Qwen/Qwen2.5-7B@" + "0" * 40}), "some.yaml").students["a"].model.hub
    written = two(students={"large": {"model": {"pretrain": TWO["students"]["large"]["pretrain"]}}})
    assert load(written, "some.yaml").students["large"].model == short


def test_what_names_arms_and_seeds_follows_those_of_the_student() -> None:
    stated = [
        {"arm": "glow", "over": "positive", "scope": "ood", "domain": "logic"},
        {"arm": "positive", "over": "base", "scope": "ood", "domain": "logic"},
    ]
    document = with_large(arms=["positive"], grpo={"steps": 7}) | {"contrasts": stated}
    large = load(document, "some.yaml").of("large")
    assert list(large.arms) == ["positive"]
    assert [contrast.arm for contrast in large.contrasts] == ["positive"]
    assert large.grpo is None  # It starts from `glow` alone, which this student has not.
    starts = with_large(arms=["positive"], grpo={"initialisations": ["base"], "steps": 7})
    found = load(starts, "some.yaml").of("large")
    assert found.initialisations == ["base"]
    assert found.grpo is not None
    assert found.grpo.steps == 7
    assert found.grpo.prompts == 4


def test_an_overlay_takes_a_student_away() -> None:
    experiment = load(two(students=TWO["students"] | {"large": None}), "some.yaml")
    assert list(experiment.studies) == ["small"]


def test_a_null_that_takes_nothing_away_but_for_its_case_is_refused() -> None:
    said = refusal(two(students=TWO["students"] | {"Large": None}))
    assert said == "some.yaml: students: Large: null takes no student away; did you mean 'large'?"
    assert list(load(two(students=TWO["students"] | {"other": None}), "some.yaml").students) == [
        "small",
        "large",
    ]


def test_a_name_that_yaml_reads_as_a_number_has_to_be_quoted() -> None:
    said = refusal(two(students=TWO["students"] | {1: TWO["students"]["small"]}))
    assert said == "some.yaml: students: the name 1 is no text: write it in quotes, '1'"


def test_students_of_the_same_model_are_said_to_be() -> None:
    """At one commit: another commit is another model."""
    first, other = (f"a/b@{digit * 40}" for digit in "01")
    own = {
        name: {key: value for key, value in student.items() if key not in ("pretrain", "scratch", "model")}
        for name, student in TWO["students"].items()
    }
    for second, is_same in ((first, True), (other, False)):
        students = {"small": own["small"] | {"model": first}, "large": own["large"] | {"model": second}}
        words = in_words(load(two(students=students), "some.yaml"))
        assert (f"small and large are the same model, {first}: what differs" in words) is is_same


def test_what_is_taught_has_its_own_prompt() -> None:
    small = load(TWO, "some.yaml").of("small")
    assert small.sft_run("logic", "glow", 0).prompt.system == "You are taught."
    assert small.evaluation_run(0).prompt.system is None
    assert small.grpo_run(0).prompt.system is None
    assert small.generation.prompt.system is None


def test_beta_is_of_the_domain() -> None:
    small = load(TWO, "some.yaml").of("small")
    betas = {domain: small.sft_run(domain, "glow", 0).objective.settings["beta"] for domain in small.domains}
    assert betas == {"logic": 10.0, "lists": 5.0}
    assert small.sft_run("lists", "positive", 0).objective.settings == {}


def test_a_world_draws_every_students_model_anew() -> None:
    first, other = load(TWO, "some.yaml"), load(two(world=2), "some.yaml")
    assert {"students.small.pretrain.seed", "students.large.pretrain.seed"} <= drawn_seeds(first).keys()
    for key, seed in drawn_seeds(other).items():
        assert seed != drawn_seeds(first)[key]
    assert other.of("large").base == other.students["large"].model


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (two(student="scratch"), "give either student (one model) or students (several, by name), not both"),
        ({key: TWO[key] for key in TWO if key != "students"}, "student: missing; add it, or students"),
        (with_large(sft={"epochz": 3}), "students.large.sft.epochz: unknown key; did you mean 'epochs'?"),
        (with_large(sft={"epochs": 0}), "students.large.sft.epochs: input should be greater than 0, found 0"),
        (with_large(arms=["glows"]), "students.large.arms: 'glows' is unknown; did you mean 'glow'?"),
        (with_large(model="scratch"), "students.large: a model, and pretrain beside it: put all"),
        (with_large(arms=[]), "students.large.arms: name some, each once; remove it for all"),
        (with_large(seeds=[3]), "students.large.seeds: '3' is unknown; known: 0, 1"),
        (with_large(domains={}), "students.large.domains: unknown key; known here: model, prompt"),
        (with_large(grpo={"eval_steps": 1}), "students.large.grpo.eval_steps: GRPO is evaluated while it"),
        (with_large(prompt={"chat_template": "x"}), "students.large.prompt.chat_template: "),
        (with_large(arms=["glow"]), "students.large.arms: without 'positive', with which tables compare"),
        (two(students={"..": "scratch"}), "students: name '..': begin with a letter"),
        (two(students={"a": "scratch", "A": "scratch"}), "students: names 'a' and 'A' differ in case alone"),
        (two(students={"a b": "scratch"}), "students: name 'a b': begin with a letter"),
        (
            two(grpo=None, students={"a": {"scratch": {}, "grpo": {"steps": 1}}}),
            "students.a.grpo: there is no",
        ),
        (
            two(domains=TWO["domains"] | {"lists": TWO["domains"]["lists"] | {"objectives": {"glov": {}}}}),
            "domains.lists.objectives.glov: 'glov' is unknown; did you mean 'glow'?",
        ),
        (
            two(
                domains=TWO["domains"]
                | {"lists": TWO["domains"]["lists"] | {"objectives": {"glow": {"betta": 1}}}}
            ),
            "domains.lists.objectives.glow.betta: 'betta' is unknown; did you mean 'beta'?",
        ),
        (
            two(
                domains=TWO["domains"]
                | {"lists": TWO["domains"]["lists"] | {"objectives": {"glow": {"objective": "plain"}}}}
            ),
            "domains.lists.objectives.glow.objective: a domain changes settings alone; remove it",
        ),
    ],
)
def test_a_mistake_is_named_by_its_key(document: dict[str, Any], said: str) -> None:
    assert refusal(document).startswith(f"some.yaml: {said}")
