"""Attention by name: what cannot run here is refused before a model is loaded."""

from pathlib import Path

import pytest
import torch

from glow.errors import UserError
from glow.models.load import load_network


def test_the_name_reaches_the_model(tiny_model: Path) -> None:
    for name in ("sdpa", "eager"):
        network = load_network(tiny_model, torch.float32, attention=name)
        assert network.config._attn_implementation == name


@pytest.mark.parametrize(
    ("name", "has_package", "has_device", "message"),
    [
        ("flash", True, True, "'flash' is none of sdpa, flash_attention_2, flex_attention, eager"),
        ("flash_attention_2", False, True, "needs the package flash-attn"),
        ("flash_attention_2", True, False, "flash_attention_2 needs a CUDA device"),
        ("flex_attention", True, False, "flex_attention trains on an accelerator only"),
    ],
)
def test_what_is_missing_is_named(
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    has_package: bool,
    has_device: bool,
    message: str,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: object() if has_package else None)
    for asked in ("torch.cuda.is_available", "torch.accelerator.is_available"):
        monkeypatch.setattr(asked, lambda: has_device)
    with pytest.raises(UserError, match=message):
        load_network(tiny_model, torch.float32, attention=name)
