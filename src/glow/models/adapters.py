"""Adapters (LoRA, by PEFT): directories that hold only what a model has learnt on top of another."""

import json
from pathlib import Path

from glow.errors import UserError

ADAPTER_FILE = "adapter_config.json"
"""PEFT's settings of an adapter, by which a directory is known as one."""


def adapter_base(model: Path) -> Path | None:
    """The directory of the model that an adapter was trained on; None if `model` is no adapter.

    Raises:
        UserError: that model is not there.
    """
    if not (model / ADAPTER_FILE).is_file():
        return None
    base = Path(json.loads((model / ADAPTER_FILE).read_text("utf-8"))["base_model_name_or_path"])
    if not (base / "config.json").is_file():
        raise UserError(f"{model}: an adapter without its base: no model in {base}; put it back there")
    return base
