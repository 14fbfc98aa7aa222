"""How large a saved model is, and of which architecture: read from its files, without loading it."""

import json
import math
from pathlib import Path

from safetensors import SafetensorError, safe_open

from glow.errors import UserError
from glow.models.adapters import adapter_base


def parameters(model: Path) -> int:
    """How many parameters a model has, weights that are tied counted once; of an adapter, those of its base.

    Args:
        model: its directory, with weights in safetensors.

    Raises:
        UserError: there are no such weights, or they cannot be read.
    """
    whole = adapter_base(model) or model
    files = sorted(whole.glob("*.safetensors"))
    if not files:
        raise UserError(f"{whole}: no weights in safetensors; make or fetch the model again")
    return sum(map(_in_file, files))


def _in_file(file: Path) -> int:
    try:
        with safe_open(file, framework="numpy") as weights:
            return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file}: cannot be read ({error}); make or fetch the model again") from None


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
