"""What is minimised: each objective's function by hand, and what the named ones are made of."""

import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from glow.config import Section
from glow.training.objectives import OBJECTIVES, GlowSettings, choose, dft, glow, objectives_help


def test_plain_counts_everything_alike() -> None:
    plain = OBJECTIVES["plain"]
    assert plain.sample_weights is None
    assert plain.token_weights is None
    assert not plain.uses_history


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


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("plain", {}, "plain SFT"),
        ("dft", {}, "DFT"),
        ("glow", {}, "GLOW, alpha = 1, beta = 10, no clamp"),
        ("glow", {"beta": 0, "clamp": (0.5, 5)}, "GLOW, alpha = 1, beta = 0, clamped to [0.5, 5]"),
    ],
)
def test_an_objective_is_told_with_its_settings(name: str, given: dict[str, Any], words: str) -> None:
    assert str(choose(name, given)) == words


def test_the_help_has_every_objective_with_its_settings() -> None:
    shown = objectives_help()
    assert re.findall(r"^  (\w+) ", shown, re.MULTILINE) == [*OBJECTIVES, "or"]
    for default in ("alpha=1.0", "beta=10.0", "clamp="):
        assert default in shown
