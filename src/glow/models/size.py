"""How large a saved model is, and of which architecture: read from its files, without loading it."""

import json
from pathlib import Path

from glow.errors import UserError
from glow.models.adapters import adapter_base
from glow.models.weight_files import numbers_in, weight_files


def parameters(model: Path) -> int:
    """How many parameters a model has, weights that are tied counted once; of an adapter, those of its base.

    Args:
        model: its directory, with weights in safetensors.

    Raises:
        UserError: there are no such weights, or they cannot be read.
    """
    whole = adapter_base(model) or model
    files = weight_files(whole)
    if not files:
        raise UserError(f"{whole}: no weights in safetensors; make or fetch the model again")
    return numbers_in(files)


def architecture(model: Path) -> str:
    """The kind of network, as transformers calls it (qwen2, llama); of an adapter, that of its base.

    Raises:
        UserError: its config.json is missing or names none.
    """
    file = (adapter_base(model) or model) / "config.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: names no model_type ({type(error).__name__})") from None
