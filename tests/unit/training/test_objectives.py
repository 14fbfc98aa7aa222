"""What is minimised: each objective's function by hand, and what the named ones are made of."""

import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from glow.config import Section
from glow.training.objectives import (
    OBJECTIVES,
    GlowSettings,
    Objective,
    ReplaySettings,
    choose,
    dft,
    glow,
    glow_mean,
    glow_one_plus,
    objectives_help,
)


@pytest.mark.parametrize(("name", "average"), [("plain", "samples"), ("sft", "tokens")])
def test_plain_and_sft_count_everything_alike(name: str, average: str) -> None:
    chosen = OBJECTIVES[name]
    assert (chosen.sample_weights, chosen.token_weights, chosen.replayed_weights) == (None, None, None)
    assert not chosen.uses_history
    assert chosen.average == average


def test_what_the_paper_has_is_averaged_over_samples() -> None:
    assert {name for name, entry in OBJECTIVES.items() if entry.average == "tokens"} == {"sft"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"average": "token"}, "average: 'token' is none of samples, tokens"),
        ({"replayed_weights": glow_mean}, "settings must be a ReplaySettings"),
        (
            {"replayed_weights": glow_mean, "settings": ReplaySettings, "sample_weights": glow},
            "in place of sample_weights and uses_history: give one",
        ),
        (
            {"replayed_weights": glow_mean, "settings": ReplaySettings, "uses_history": True},
            "in place of sample_weights and uses_history: give one",
        ),
    ],
)
def test_an_objective_that_contradicts_itself_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Objective(**given)


@pytest.mark.parametrize(
    ("clamp", "expected"),
    [
        # gains 0, 0.5, -0.5 at alpha 2, beta 10: 2 / (1 + e^(10 gain)); no history counts 1
        (None, [1.0, 2 / (1 + math.exp(5)), 2 / (1 + math.exp(-5)), 1.0]),
        ((0.5, 1.5), [1.0, 0.5, 1.5, 1.0]),
    ],
)
def test_glow_reads_its_settings(clamp: tuple[float, float] | None, expected: list[float]) -> None:
    settings = GlowSettings(alpha=2.0, beta=10.0, clamp=clamp)
    previous, loss = torch.tensor([1.0, 1.5, 0.5, math.nan]), torch.ones(4)
    assert glow(previous, loss, settings).tolist() == pytest.approx(expected, rel=1e-6)
    assert OBJECTIVES["glow"].uses_history


def test_the_variant_in_a_comment_of_the_release_adds_one() -> None:
    settings = GlowSettings(alpha=2.0, beta=10.0)
    previous, loss = torch.tensor([1.0, 1.5, 0.5, math.nan]), torch.ones(4)
    expected = [2.0, 1 + 2 / (1 + math.exp(5)), 1 + 2 / (1 + math.exp(-5)), 1.0]
    assert glow_one_plus(previous, loss, settings).tolist() == pytest.approx(expected, rel=1e-6)
    assert OBJECTIVES["glow_one_plus"].uses_history


def test_dft_weighs_a_token_by_its_probability() -> None:
    log_prob = torch.tensor([0.25, 0.5]).log().requires_grad_()
    (dft(log_prob.detach(), Section()) * -log_prob).sum().backward()
    # d/d(log p) of -stop_gradient(p) log p is -p: rare tokens pull less than in plain SFT (-1).
    assert log_prob.grad.tolist() == pytest.approx([-0.25, -0.5])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_depend_on_the_sample_alone(name: str) -> None:
    """Else they would depend on how a step is cut into micro-batches."""
    settings = choose(name, {"alpha": 2.0, "clamp": (0.2, 1.8)} if name == "glow" else {}).settings
    previous, loss = torch.tensor([1.0, 1.5, 0.5, math.nan]), torch.tensor([0.9, 1.6, 0.4, 2.0])
    weigh, weigh_tokens = OBJECTIVES[name].sample_weights, OBJECTIVES[name].token_weights
    for k in range(4):
        if weigh:
            whole = weigh(previous, loss, settings)
            assert torch.equal(whole[k : k + 1], weigh(previous[k : k + 1], loss[k : k + 1], settings))
        if weigh_tokens:
            assert torch.equal(weigh_tokens(-loss, settings)[k], weigh_tokens(-loss[k], settings))


# An objective of somebody else's


OWN = """from glow.training.objectives import GlowSettings, Objective

def weights(previous_loss, loss, settings):
    return settings.alpha * loss / {divisor}

half = Objective(settings=GlowSettings, sample_weights=weights, uses_history=True)
"""


def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A folder to work in, with the file own.py."""
    folder.mkdir()
    (folder / "own.py").write_text(text)
    monkeypatch.chdir(folder)


def test_an_objective_in_a_file_or_module_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_folder(tmp_path / "a", monkeypatch, OWN.format(divisor=2))
    monkeypatch.syspath_prepend(tmp_path / "a")
    for name in ("own.py:half", "own:half"):
        chosen = choose(name, {"alpha": 3})
        assert chosen.entry.sample_weights is not None
        assert chosen.entry.sample_weights(None, torch.tensor([4.0]), chosen.settings).tolist() == [6.0]
        assert [file.resolve() for file in chosen.sources] == [(tmp_path / "a" / "own.py").resolve()]
        assert str(chosen) == "half, alpha = 3, beta = 10, no clamp"
    monkeypatch.delitem(sys.modules, "own")


def test_another_text_of_the_file_is_another_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = []
    for folder, divisor in (("a", 2), ("b", 2), ("c", 3)):
        in_folder(tmp_path / folder, monkeypatch, OWN.format(divisor=divisor))
        identities.append(choose("own.py:half", {}).identity)
    assert identities[0] == identities[1]
    assert {key for key in identities[0] if identities[0][key] != identities[2][key]} == {"source code"}


def test_a_function_from_another_file_counts_as_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_folder(tmp_path / "a", monkeypatch, OWN.format(divisor=2))
    Path("far.py").write_text("from own import half\n")
    monkeypatch.syspath_prepend(tmp_path / "a")
    assert sorted(file.name for file in choose("far.py:half", {}).sources) == ["far.py", "own.py"]
    monkeypatch.delitem(sys.modules, "own")


def test_our_own_objectives_are_their_name_and_settings() -> None:
    assert choose("glow", {"clamp": [0.5, 5]}).identity == {
        "objective": "glow", "alpha": 1.0, "beta": 10.0, "clamp": [0.5, 5.0],
    }  # fmt: skip
    assert choose("dft", {}).identity == {"objective": "dft"}
    assert choose("glow_mean", {"of": "a"}).identity == {"objective": "glow_mean", "of": "a"}


def test_a_control_names_the_arm_that_it_replays() -> None:
    assert choose("glow_permuted", {}).replayed_arm == "glow"
    assert choose("glow_mean", {"of": "slow"}).replayed_arm == "slow"
    assert choose("glow", {}).replayed_arm is None


def test_a_control_of_somebody_elses_counts_with_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_folder(
        tmp_path / "a",
        monkeypatch,
        "from other import most\nfrom glow.training.objectives import Objective, ReplaySettings\n"
        "top = Objective(settings=ReplaySettings, replayed_weights=most)\n",
    )
    Path("other.py").write_text("def most(weights, seed, epoch):\n    return weights\n")
    monkeypatch.syspath_prepend(tmp_path / "a")
    chosen = choose("own.py:top", {"of": "glow"})
    assert chosen.replayed_arm == "glow"
    assert sorted(file.name for file in chosen.sources) == ["other.py", "own.py"]
    monkeypatch.delitem(sys.modules, "other")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("plain", {}, "plain SFT"),
        ("dft", {}, "DFT"),
        ("sft", {}, "token-mean SFT"),
        ("glow_permuted", {"of": "slow"}, "permuted weights, of = slow"),
        ("glow", {}, "GLOW, alpha = 1, beta = 10, no clamp"),
        ("glow", {"beta": 0, "clamp": (0.5, 5)}, "GLOW, alpha = 1, beta = 0, clamped to [0.5, 5]"),
    ],
)
def test_an_objective_is_told_with_its_settings(name: str, given: dict[str, Any], words: str) -> None:
    assert str(choose(name, given)) == words


def test_the_help_has_every_objective_with_its_settings() -> None:
    shown = objectives_help()
    assert re.findall(r"^  (\w+) ", shown, re.MULTILINE) == [*OBJECTIVES, "or"]
    for default in ("alpha=1.0", "beta=10.0", "clamp=", "of=glow"):
        assert default in shown
    assert re.search(r"^  plain +plain SFT. All samples count alike.$", shown, re.MULTILINE)
    assert re.search(r"^  sft +token-mean SFT. All tokens count alike.$", shown, re.MULTILINE)
    assert re.search(r"^  glow_mean +mean weights. A control: the mean of", shown, re.MULTILINE)


def test_the_page_on_the_trainer_has_every_objective() -> None:
    page = (Path(__file__).parents[3] / "docs" / "trainer.md").read_text("utf-8")
    table = page.split("## Objectives")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)[: len(OBJECTIVES)] == [*OBJECTIVES]
