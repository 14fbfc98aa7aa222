"""config: what is a valid experiment, and what is said of one that is not."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from glow import config
from glow.config.grpo import GrpoProblems, PolicyLoss, RolloutSampling
from glow.config.options import flags
from glow.errors import UserError
from glow.experiment import load, read

ROOT = Path(__file__).resolve().parents[3]
HASH = "0123456789abcdef0123456789abcdef01234567"

MINIMAL: dict[str, Any] = {
    "name": "small",
    "seeds": [0, 1],
    "student": {"pretrain": {"role": "base", "families": ["reversal"]}},
    "teacher": {"pretrain": {"role": "teacher", "families": ["reversal"]}},
    "domains": {"lists": {"problems": {"families": ["reversal"], "train": 10, "grpo": 4}}},
    "sampling": {"max_tokens": 32},
    "sft": {"epochs": 2},
    "grpo": {"steps": 2, "max_tokens": 32},
    "suites": {"reversal": {"families": ["reversal"], "domain": "lists"}},
    "evaluation": {"max_tokens": 32},
}


def changed(**changes: Any) -> dict[str, Any]:
    """The minimal document with dotted keys set (`None` removes one)."""
    document = copy.deepcopy(MINIMAL)
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        section = document
        for parent in parents:
            section = section[parent]
        if value is None:
            del section[last]
        else:
            section[last] = value
    return document


def refusal(document: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(document, "some.yaml")
    return str(caught.value)


SHIPPED = [
    *sorted(file for file in (ROOT / "config").glob("*.yaml") if file.name != "reported.yaml"),
    *sorted((ROOT / "tests" / "workflow").glob("*.yaml")),
]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_shipped_configuration_is_valid(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    document = config.extended(yaml.safe_load(file.read_text()), str(file))
    named = [Path(path) for path in _paths(document)]
    if absent := [str(path) for path in named if not path.exists()]:
        pytest.skip(f"names data outside the repository: {absent[0]}")
    experiment = read(file)
    assert experiment.name


def _paths(value: Any) -> list[str]:
    """Every string in the document that is a relative path out of the repository."""
    if isinstance(value, dict):
        return [path for item in value.values() for path in _paths(item)]
    if isinstance(value, list):
        return [path for item in value for path in _paths(item)]
    return [value] if isinstance(value, str) and value.startswith("../") else []


def test_defaults_are_the_studys() -> None:
    experiment = load(MINIMAL, "some.yaml")
    assert list(experiment.arms) == ["positive", "negative", "mixed", "all", "glow", "glow_released"]
    assert experiment.objectives["plain"].settings == {}
    assert experiment.objectives["glow"].settings == {"alpha": 1.0, "beta": 10.0, "clamp": None}
    assert experiment.objectives["glow_released"].settings["clamp"] == [0.5, 5.0]
    assert experiment.domain_names == ["lists"]
    assert experiment.grpo_problems("lists") == 4
    assert experiment.verification == config.Verification(
        extraction="strict", timeout_s=3.0, leniency="allow"
    )


def test_grpo_starts_from_every_model_with_every_seed_unless_it_says_which() -> None:
    every = load(MINIMAL, "some.yaml")
    assert every.initialisations == ["base", *every.arms]
    assert every.grpo_seeds == [0, 1]
    some = load(changed(grpo__initialisations=["glow", "base"], grpo__seeds=[1]), "some.yaml")
    assert (some.initialisations, some.grpo_seeds) == (["base", "glow"], [1])
    none = load(changed(grpo=None), "some.yaml")
    assert (none.initialisations, none.grpo_seeds) == ([], [])


def test_what_grpo_starts_from_and_how_often_is_no_part_of_a_run() -> None:
    every = load(MINIMAL, "some.yaml")
    some = load(changed(grpo__initialisations=["glow"], grpo__seeds=[1]), "some.yaml")
    one, other = every.grpo_run(1), some.grpo_run(1)
    assert one.decisive() == other.decisive()
    assert one.model_dump(mode="json") == other.model_dump(mode="json")
    assert flags(one) == flags(other)


def test_rollouts_are_judged_more_strictly_than_trajectories() -> None:
    found = {"extraction": "pattern", "extraction_pattern": "is (.)"}
    experiment = load(changed(**found, leniency="allow", verdict_timeout_s=5.0), "some.yaml")
    assert experiment.verification == config.Verification(**found, timeout_s=5.0, leniency="allow")
    assert experiment.grpo is not None
    settings = config.GrpoSettings(extraction=experiment.found_by, grpo=experiment.grpo, seed=0)
    assert settings.verification == config.Verification(**found, timeout_s=1.0, leniency="refuse")
    own = changed(grpo__leniency="allow", grpo__verdict_timeout_s=0.5)
    grpo = load(own, "some.yaml").grpo
    assert grpo is not None
    settings = config.GrpoSettings(grpo=grpo, seed=0)
    assert settings.verification == config.Verification(timeout_s=0.5, leniency="allow")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sead": [1]}, "some.yaml: sead: unknown key; did you mean 'seeds'?"),
        ({"sft__epoch": 2}, "some.yaml: sft.epoch: unknown key; did you mean 'epochs'?"),
        (
            {"domains__lists__problems__trian": 3},
            "some.yaml: domains.lists.problems.trian: unknown key; did you mean 'train'?",
        ),
        ({"suites__reversal__zzz": 3}, "some.yaml: suites.reversal.zzz: unknown key; known here: families"),
        ({"name": None}, "some.yaml: name: missing; add it"),
        ({"evaluation__max_tokens": None}, "some.yaml: evaluation.max_tokens: missing; add it"),
        ({"sft__epochs": "many"}, "some.yaml: sft.epochs: input should be a valid integer"),
        ({"sft__epochs": 0}, "some.yaml: sft.epochs: input should be greater than 0, found 0"),
        (
            {"sft__precision": "fp8"},
            "some.yaml: sft.precision: input should be 'fp32' or 'bf16', found 'fp8'",
        ),
        ({"seeds": [1, 1]}, "some.yaml: seeds: seeds must be distinct"),
        ({"extraction": "field"}, "some.yaml: extraction: input should be 'strict', 'lenient', 'pattern' or"),
        (
            {"extraction": "pattern"},
            "some.yaml: extraction_pattern: extraction: pattern and extraction_pattern go together; give bo",
        ),
        (
            {"extraction_pattern": "(.)"},
            "some.yaml: extraction_pattern: extraction: pattern and extraction_p",
        ),
        (
            {"extraction": "pattern", "extraction_pattern": "("},
            "some.yaml: extraction_pattern: '(' is no regular expression: missing ), unterminated subpattern",
        ),
        (
            {"extraction": "pattern", "extraction_pattern": "(a)(b)"},
            "some.yaml: extraction_pattern: '(a)(b)' has 2 groups; it needs one, around the answer",
        ),
        ({"leniency": "forbid"}, "some.yaml: leniency: input should be 'allow' or 'refuse', found 'forbid'"),
        ({"seeds": []}, "some.yaml: seeds: list should have at least 1 item"),
        ({"teacher": None}, "some.yaml: domains need a teacher and sampling"),
        ({"teacher": "scratch"}, "teacher: a model from scratch is untrained"),
        ({"domains": None}, "give either domains (with teacher and sampling) or trajectories"),
        (
            {"suites__reversal__families": ["reversl"]},
            "some.yaml: suites.reversal.families: 'reversl' is unknown; did you mean 'reversal'?",
        ),
        (
            {"suites__reversal__domain": "list"},
            "suites.reversal.domain: 'list' is unknown; did you mean 'lists'?",
        ),
        ({"domains__lists__problems__grpo": 0}, "grpo: domain 'lists' keeps no GRPO prompts"),
        (
            {"grpo__initialisations": ["base", "glow_relased"]},
            "some.yaml: grpo.initialisations: 'glow_relased' is unknown; did you mean 'glow_released'?",
        ),
        ({"grpo__initialisations": ["glow", "glow"]}, "some.yaml: grpo.initialisations: one is named twice"),
        ({"grpo__initialisations": []}, "some.yaml: grpo.initialisations: an empty list; remove it for all"),
        ({"grpo__seeds": []}, "some.yaml: grpo.seeds: an empty list; remove it for all, or set `grpo: null`"),
        ({"grpo__seeds": [1, 2]}, "some.yaml: grpo.seeds: 2 is not one of `seeds` (0, 1); add it there or r"),
        (
            {"sft__quantization": "nf4"},
            "some.yaml: sft: quantization nf4 trains adapters over weights that it holds: set lora too",
        ),
        ({"sft__lora": {"target_modules": "linear"}}, "sft.lora.target_modules: give all-linear, or a list"),
        ({"sft__lora": {"target_modules": []}}, "sft.lora.target_modules: an empty list; give all-linear"),
        (
            {"sft__lora": {"rank": 4}, "grpo__lora": {}},
            "some.yaml: grpo.lora.rank: GRPO trains the adapters of sft on, so it must be that of sft.lora",
        ),
        ({"sft__lora": {}, "grpo__kl": 0.1}, "some.yaml: grpo.kl: GRPO starts from adapters; set grpo.lora"),
        ({"grpo__seeds": [1, 1]}, "some.yaml: grpo.seeds: one is named twice"),
        ({"grpo__warmup_steps": 0.5}, "some.yaml: grpo.warmup_steps: input should be a valid integer"),
        ({"grpo__adam_beta2": 1}, "some.yaml: grpo.adam_beta2: input should be less than 1, found 1"),
        (
            {"domains__lists__problems__disjoint_from": ["booleans"]},
            "domains.lists.problems.disjoint_from: 'booleans' is unknown",
        ),
        ({"arms": {"glow": {"trajectories": "all", "objective": "glo"}}}, "did you mean 'glow'?"),
        ({"arms": {"base": {"trajectories": "all", "objective": "plain"}}}, "arms.base: `base` is the name"),
        ({"arms": {"a/b": {"trajectories": "all", "objective": "plain"}}}, "name 'a/b': begin with a letter"),
        (
            {"arms": {"a": {"trajectories": "paired", "objective": "plain"}}},
            "arms.a.trajectories: input should be 'positive', 'negative', 'mixed', 'all', 'positive_all', "
            "'negative_all', 'positive_paired', 'negative_paired' or 'all_paired', found 'paired'",
        ),
        (
            {
                "sampling__samples": 1,
                "arms": {
                    "positive": {"trajectories": "positive_all", "objective": "plain"},
                    "pairs": {"trajectories": "negative_paired", "objective": "plain"},
                },
            },
            "some.yaml: arms.pairs.trajectories: negative_paired takes questions with right and wrong "
            "responses, and each is asked once; set sampling.samples to 2 or more",
        ),
    ],
)
def test_a_mistake_is_named_with_its_mend(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(changed(**changes))


def arms(*selections: str, objective: str = "plain") -> dict[str, Any]:
    """Arms on selections, each called by its own with an `x` before it."""
    return {f"x{name}": {"trajectories": name, "objective": objective} for name in selections}


@pytest.mark.parametrize(
    ("given", "reference"),
    [
        (arms("positive_all", "positive_paired", "all", "positive"), "xpositive"),
        (arms("positive_paired", "all", "positive_all"), "xpositive_all"),
        (arms("negative_paired", "all_paired", "positive_paired"), "xpositive_paired"),
        (arms("positive", objective="glow") | arms("positive_all"), "xpositive_all"),
        ({"b": arms("positive")["xpositive"], "a": arms("positive")["xpositive"]}, "b"),
        (arms("negative", "mixed", "all", "negative_all", "negative_paired", "all_paired"), None),
        (arms("positive", "positive_all", "positive_paired", objective="glow"), None),
    ],
    ids=["positive", "every positive", "pairs", "weighted positives", "the first", "none", "none is plain"],
)
def test_the_reference_is_plain_training_on_positives_in_a_fixed_order_of_selections(
    given: dict[str, Any], reference: str | None
) -> None:
    assert load(changed(arms=given), "some.yaml").reference_arm == reference


def test_the_further_selections_are_those_of_arms_in_one_order() -> None:
    assert load(MINIMAL, "some.yaml").further_selections == []
    given = {**arms("all_paired", "positive", "positive_all"), "again": arms("all_paired")["xall_paired"]}
    experiment = load(changed(arms=given), "some.yaml")
    assert experiment.further_selections == ["positive_all", "all_paired"]


FILE = "from glow.training.objectives import Objective\nhard = Objective()\nother = 1\n"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"objective": "glow", "clamp": [2, 1]},
            "clamp: the bounds must satisfy 0 <= low <= high, found [2.0",
        ),
        ({"objective": "glow", "beta": -1}, "beta: input should be greater than or equal to 0, found -1"),
        ({"objective": "glow", "alpha": "much"}, "alpha: input should be a valid number"),
        ({"objective": "glow", "alfa": 1}, "alfa: 'alfa' is unknown; did you mean 'alpha'?"),
        ({"objektive": "glow"}, "objektive: the objective 'plain' has no settings; remove 'objektive'"),
        (
            {"objective": "glow", "objektive": 1},
            "objektive: 'objektive' is unknown; did you mean 'objective'?",
        ),
        ({"alpha": 1}, "alpha: the objective 'plain' has no settings; remove 'alpha'"),
        ({"objective": "glo"}, "objective: 'glo' is unknown; did you mean 'glow'?"),
        (
            {"objective": "adam"},
            "objective: 'adam' is unknown; known: plain, sft, glow, glow_one_plus, ",
        ),
        ({"objective": "mine.py:soft"}, "mine.py: 'soft' is not there; objectives there: hard"),
        (
            {"objective": "mine.py:other"},
            "mine.py: 'other' is not an Objective but int; objectives there: hard",
        ),
        ({"objective": "mine.py:hard", "beta": 1}, "beta: the objective 'mine.py:hard' has no settings"),
        ({"objective": "none.py:hard"}, "none.py: no such file"),
        ({"objective": "broken.py:hard"}, "broken.py: ModuleNotFoundError: No module named 'no_such'"),
        (
            {"objective": "no_such.place:hard"},
            "no_such.place: ModuleNotFoundError: No module named 'no_such'",
        ),
        (
            {"objective": "json:loads"},
            "json: 'loads' is not an Objective but function; objectives there: none",
        ),
    ],
)
def test_a_mistake_in_an_objective_is_named_with_its_key(
    choice: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE)
    Path("broken.py").write_text("import no_such")
    arms = {"one": {"trajectories": "all", "objective": "one"}}
    said = refusal(changed(objectives={"one": choice}, arms=arms))
    assert said.startswith("some.yaml: objectives.one.")
    assert message in said
    assert "\n" not in said


TWO = {name: {"problems": {"families": ["reversal"], "train": 10, "grpo": 4}} for name in ("lists", "more")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arm": "glwo"}, "contrasts.0.arm: 'glwo' is unknown; did you mean 'glow'?"),
        ({"over": "nothing"}, "contrasts.0.over: 'nothing' is unknown; known: base, positive, negative"),
        ({"over": "glow"}, "contrasts.0.over: 'glow' is the arm itself; choose another"),
        ({"scope": "oodd"}, "contrasts.0.scope: 'oodd' is unknown; did you mean 'ood'?"),
        (
            {"scope": "suite:reversal"},
            "contrasts.0.scope: 'suite:reversal' is unknown; known: in_domain, ood",
        ),
        ({"domain": "list"}, "contrasts.0.domain: 'list' is unknown; did you mean 'lists'?"),
        ({"arms": "glow"}, "contrasts.0.arms: unknown key; did you mean 'arm'?"),
        ({"scope": None}, "contrasts.0.scope: nothing is given; give it a value, or remove the key"),
    ],
)
def test_a_mistake_in_a_contrast_is_named(changes: dict[str, Any], message: str) -> None:
    contrast = {"arm": "glow", "over": "all", "scope": "ood"} | changes
    suites = MINIMAL["suites"] | {"sorting": {"families": ["sorting"]}}
    assert f"some.yaml: {message}" in refusal(changed(contrasts=[contrast], suites=suites))


def test_a_scope_that_has_no_suite_is_unknown() -> None:
    stated = [{"arm": "glow", "over": "all", "scope": "ood"}]
    said = refusal(changed(contrasts=stated))
    assert said == "some.yaml: contrasts.0.scope: 'ood' is unknown; known: in_domain"


def test_a_contrast_is_stated_once_in_whichever_direction() -> None:
    first = {"arm": "glow", "over": "all", "scope": "in_domain"}
    again = {"arm": "all", "over": "glow", "scope": "in_domain", "domain": "lists"}
    said = refusal(changed(contrasts=[first, again]))
    assert "contrasts.1: the same two arms are compared above already; remove it" in said


def test_a_contrast_names_its_domain_where_there_are_several() -> None:
    contrast = {"arm": "glow", "over": "base", "scope": "ood"}
    said = refusal(changed(contrasts=[contrast], domains=TWO))
    assert "contrasts.0.domain: missing; choose one of lists, more" in said
    experiment = load(changed(contrasts=[contrast | {"domain": "more"}], domains=TWO), "some.yaml")
    assert experiment.contrasts == [config.Contrast(arm="glow", over="base", scope="ood", domain="more")]


def test_only_held_out_questions_are_answered_by_epoch() -> None:
    sft = MINIMAL["sft"] | {"epoch_questions": 9}
    said = "some.yaml: sft.epoch_questions: 9, and selection.held_out sets {} questions aside; raise that or "
    for aside in (0, 8):
        assert refusal(changed(sft=sft, selection={"held_out": aside})) == said.format(aside) + "lower this"
    experiment = load(changed(sft=sft, selection={"held_out": 9, "held_out_seed": 4}), "some.yaml")
    assert experiment.sft_run(experiment.domain_names[0], "glow", 0).sft.epoch_questions == 9
    told = experiment.further_selection("positive_all", 2)
    assert told == config.SelectSettings(trajectories="positive_all", held_out=9, held_out_seed=4, seed=2)


@pytest.mark.parametrize("margin", [0, -1, "two"])
def test_a_margin_is_a_number_above_zero(margin: Any) -> None:
    assert refusal(changed(margin=margin)).startswith("some.yaml: margin: input should be")


def test_margin_and_contrasts_are_told_to_no_stage() -> None:
    stated = [{"arm": "glow", "over": "all", "scope": "in_domain"}]
    with_them, without = (
        load(changed(**extra), "some.yaml") for extra in ({"margin": 2.0, "contrasts": stated}, {})
    )
    for told in (
        lambda experiment: experiment.sft_run(experiment.domain_names[0], "glow", 0),
        lambda experiment: experiment.grpo_run(0),
        lambda experiment: experiment.evaluation_run(0),
        lambda experiment: experiment.generation,
        lambda experiment: experiment.verdicts,
        lambda experiment: experiment.arm_selection(0),
    ):
        assert told(with_them) == told(without)


OWN = """from glow.training.objectives import *

slow = Objective("slow GLOW", GlowSettings, sample_weights=glow, uses_history=True, average="tokens")
steep = Objective("steep GLOW", GlowSettings, sample_weights=glow, uses_history=True, token_weights=dft)
slow_mean = Objective(settings=ReplaySettings, replayed_weights=glow_mean, average="tokens")
"""


def controlled(control: dict[str, Any], arm: dict[str, Any]) -> dict[str, Any]:
    """A document with the arms all, glow, released, slow, steep, and two of the objective control."""
    Path("mine.py").write_text(OWN)
    objectives: dict[str, Any] = {
        "plain": {"objective": "plain"},
        "glow": {"objective": "glow"},
        "released": {"objective": "glow", "clamp": [0.5, 5]},
        "slow": {"objective": "mine.py:slow"},
        "steep": {"objective": "mine.py:steep"},
        "control": {"objective": "glow_mean", **control},
    }
    weighted = {name: name for name in ("glow", "released", "slow", "steep")}
    names = {"all": "plain", **weighted, "one": "control", "two": "control"}
    arms = {name: {"trajectories": "all", "objective": objective} for name, objective in names.items()}
    arms["one"] |= arm
    return changed(objectives=objectives, arms=arms)


@pytest.mark.parametrize(
    "control", [{}, {"of": "released"}, {"of": "slow", "objective": "mine.py:slow_mean"}]
)
def test_a_control_replays_an_arm_of_the_same_trajectories(
    control: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    choice = load(controlled(control, {}), "some.yaml").objectives["control"]
    assert choice.settings == {"of": control.get("of", "glow")}


@pytest.mark.parametrize(
    ("of", "trajectories", "messages"),
    [
        ("glo", "all", ["objectives.control.of: no such arm: 'glo' is unknown; did you mean 'glow'?"]),
        ("all", "all", ["objectives.control.of: the arm 'all' (plain SFT) has no weights of its own that"]),
        (
            "one",
            "all",
            ["objectives.control.of: the arm 'one' (mean weights, of = one) has no weights"],
        ),
        (
            "glow",
            "positive",
            [
                "arms.one.trajectories: 'positive', and the arm 'glow', whose weights this arm replays, "
                "trains on 'all': train both on the same"
            ],
        ),
        (
            "all",
            "mixed",
            ["arms.one.trajectories: 'mixed', and the arm 'all'", "objectives.control.of: the arm 'all' ("],
        ),
        (
            "slow",
            "all",
            [
                "objectives.control.of: the arm 'slow' (slow GLOW, alpha = 1, beta = 10, no clamp) averages "
                "otherwise, or weights tokens otherwise, than 'glow_mean': declare a control of your own"
            ],
        ),
        ("steep", "all", ["objectives.control.of: the arm 'steep' (steep GLOW, alpha = 1, beta = 10, no"]),
    ],
)
def test_a_control_of_an_arm_that_cannot_have_one_is_refused_once(
    of: str, trajectories: str, messages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(controlled({"of": of}, {"trajectories": trajectories})).splitlines()
    assert len(said) == len(messages)
    for line, message in zip(said, messages, strict=True):
        assert line.startswith(f"some.yaml: {message}")


def test_of_a_control_whose_arm_has_a_mistake_that_alone_is_told() -> None:
    objectives = {"glow": {"objective": "glow", "beta": -1}, "control": {"objective": "glow_mean"}}
    arms = {name: {"trajectories": "all", "objective": name} for name in objectives}
    assert refusal(changed(objectives=objectives, arms=arms)).splitlines() == [
        "some.yaml: objectives.glow.beta: input should be greater than or equal to 0, found -1"
    ]


def test_each_mistake_has_a_line() -> None:
    lines = refusal(changed(sft__epoch=2, sft__epochs=0)).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("some.yaml: sft.epoch") for line in lines)


def test_a_document_that_is_no_mapping_is_refused() -> None:
    assert refusal(["name"]) == "some.yaml: expected a mapping of keys, found list"


def test_a_missing_and_a_malformed_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such configuration file"):
        read(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [1\nseeds: 2\n")
    with pytest.raises(UserError, match=r"broken\.yaml:2: not valid YAML"):
        read(broken)


# --- models -------------------------------------------------------------------------------------


def test_a_model_is_written_in_four_ways(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert config.Model.model_validate("scratch").scratch == config.Scratch()
    assert config.Model.model_validate(str(tmp_path)).path == tmp_path
    pinned = config.Hub(hub="Qwen/Qwen2.5-7B", revision=HASH)
    assert config.Model.model_validate(f"Qwen/Qwen2.5-7B@{HASH}").hub == pinned
    assert config.Model.model_validate({"hub": "Qwen/Qwen2.5-7B", "revision": HASH}).hub == pinned
    assert not pinned.trust_remote_code
    flat = {"hub": "Qwen/Qwen2.5-7B", "revision": HASH, "trust_remote_code": True}
    assert config.Model.model_validate(flat).hub == config.Hub(**flat)


def test_only_a_hub_model_at_its_commit_can_be_trusted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    own = {"path": str(tmp_path), "trust_remote_code": True}
    assert "student.trust_remote_code: unknown key" in refusal(changed(student=own))
    floating = {"hub": "Qwen/Qwen2.5-7B", "trust_remote_code": True}
    assert "revision: missing" in refusal(changed(student=floating))


# --- prompts ------------------------------------------------------------------------------------


def test_the_teachers_prompt_is_the_prompt_but_for_what_it_names() -> None:
    prompt = {"system": "Be right.", "chat_template": "qwen3", "chat_template_kwargs": {"a": 1}}
    given = changed(prompt=prompt, teacher_prompt={"system": None, "chat_template_kwargs": {"b": 2}})
    asked = load(given, "some.yaml").asked_of_teacher
    assert asked == config.Prompt(chat_template="qwen3", chat_template_kwargs={"b": 2})
    assert load(changed(prompt=prompt), "some.yaml").asked_of_teacher == config.Prompt(**prompt)


def test_a_teachers_prompt_without_a_teacher_is_refused(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}")
    own = changed(domains=None, teacher=None, sampling=None, suites__reversal__domain=None)
    own |= {"trajectories": {"files": [str(rows)], "domain": "maths", "grpo": 8}, "teacher_prompt": {}}
    assert refusal(own) == "some.yaml: teacher_prompt: no teacher is asked here; remove it"


@pytest.mark.parametrize(
    ("key", "prompt", "message"),
    [
        (
            "prompt",
            {"chat_template": "qwen3_trainin"},
            "no chat template is named 'qwen3_trainin'; did you mean",
        ),
        ("teacher_prompt", {"chat_template": "no/such.jinja"}, "no/such.jinja: cannot be read"),
    ],
)
def test_a_chat_template_that_is_not_there_is_named(key: str, prompt: dict[str, Any], message: str) -> None:
    assert f"some.yaml: {key}.chat_template: {message}" in refusal(changed(**{key: prompt}))


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "enable-thinking", "a b", ""])
def test_a_variable_that_a_template_cannot_have_is_refused(name: str) -> None:
    said = refusal(changed(prompt={"chat_template_kwargs": {name: True}}))
    assert f"prompt.chat_template_kwargs: {name!r} cannot be set" in said


def test_a_path_that_is_no_model_is_refused(tmp_path: Path) -> None:
    assert f"student: '{tmp_path}' is not a model" in refusal(changed(student=str(tmp_path)))


def test_a_hub_model_without_a_pinned_commit_is_refused() -> None:
    assert "student" in refusal(changed(student="Qwen/Qwen2.5-7B@main"))
    assert "revision: missing" in refusal(changed(student={"hub": "Qwen/Qwen2.5-7B"}))


def test_a_model_has_one_source() -> None:
    both = {"scratch": {}, "pretrain": {"role": "base", "families": ["reversal"]}}
    assert "student: give exactly one of pretrain, scratch, hub" in refusal(changed(student=both))


# --- data ---------------------------------------------------------------------------------------


def test_problems_have_one_source() -> None:
    two = {"families": ["reversal"], "hub_dataset": "a/b", "revision": HASH, "train": 3, "grpo": 1}
    assert "exactly one of families, file, hub_dataset" in refusal(changed(domains__lists__problems=two))


def test_a_hub_data_set_needs_its_commit() -> None:
    floating = {"hub_dataset": "a/b", "train": 3, "grpo": 1}
    assert "hub_dataset and revision" in refusal(changed(domains__lists__problems=floating))


def test_own_trajectories_stand_in_place_of_domains(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("")
    document = changed(domains=None, teacher=None, sampling=None, grpo=None, suites__reversal__domain=None)
    document["trajectories"] = {"files": [str(rows)], "domain": "mine"}
    experiment = load(document, "own.yaml")
    assert experiment.domain_names == ["mine"]
    assert experiment.grpo_problems("mine") == 0
    document["trajectories"]["files"] = [str(tmp_path / "none.jsonl")]
    assert "none.jsonl': no such file" in refusal(document)


def test_parts_of_a_step_have_left_the_configuration() -> None:
    """A file of before says 4 x 8 of one device; what it meant is named."""
    assert (
        "sft: gradient_accumulation: batch_size counts the trajectories of a whole optimiser step; write "
        "batch_size: 32 (4 x 8, times the devices, if there were several), and remove this"
    ) in refusal(changed(sft__batch_size=4, sft__gradient_accumulation=8))
    assert "grpo: gradient_accumulation: a step is prompts x generations rollouts" in refusal(
        changed(grpo__gradient_accumulation=2)
    )


def test_what_is_decisive_is_all_but_the_neutral_settings() -> None:
    own = config.GrpoSettings(seed=1, grpo=config.Grpo(steps=2, max_tokens=4))
    everything = own.model_dump(mode="json")
    for key in ("checkpoints", "gradient_checkpointing"):
        del everything["grpo"][key]
    for key in ("engine", "tracking", "hardware"):
        del everything[key]
    later = [config.Weights, PolicyLoss, RolloutSampling, GrpoProblems]  # at their defaults
    for key in (key for section in later for key in section.model_fields):
        del everything["grpo"][key]
    assert own.decisive() == everything
    decoded = config.Evaluation(max_tokens=4, batch_size=7)
    assert decoded.decisive() == config.Evaluation(max_tokens=4, batch_size=8).decisive()
    assert "batch_size" in config.Sft().decisive()


def test_a_later_setting_is_decisive_unless_it_has_its_default() -> None:
    lora = config.Sft(lora={"rank": 4}, optimizer="adafactor").decisive()
    assert lora.keys() - config.Sft().decisive().keys() == {"lora", "optimizer"}
    assert lora["lora"]["rank"] == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"sft__lora": {"rank": 4, "merge": True}, "grpo__lora": {}, "grpo__kl": 0.1},
        {"sft__lora": {"rank": 4}, "grpo__lora": {"rank": 4, "dropout": 0.1}, "grpo__kl": 0.1},
        {"sft__lora": {"rank": 4}, "grpo__lora": {}, "grpo__initialisations": ["base"]},
        {"sft__lora": {}, "grpo__kl": 0.0},
        {"grpo__lora": {}, "grpo__kl": 0.1},
    ],
)
def test_adapters_of_grpo_that_can_be(changes: dict[str, Any]) -> None:
    load(changed(**changes), "some.yaml")
