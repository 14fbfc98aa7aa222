"""Adapters (LoRA, by PEFT): directories that hold only what a model has learnt on top of another, its base.

An adapter stands wherever a model directory does. It is loaded as a whole model: its base, with the adapter
added to the weights. Where the base is stands in the adapter's own folder, as seen from there: so results may
be copied or moved together, and read from any folder.

Torch is imported where a network is made whole: what only asks how large a model is does without.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glow.errors import UserError
from glow.files.hashing import hash_path
from glow.files.jsonl import write_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ADAPTER_FILE = "adapter_config.json"
"""PEFT's settings of an adapter, by which a directory is known as one."""

BASE_FILE = "base.json"
"""Beside it: the base as seen from the adapter (`path`), and its hash. Adapters of other makers have none."""


def adapter_base(model: Path) -> Path | None:
    """The directory of the model that an adapter was trained on; None if `model` is no adapter.

    Raises:
        UserError: that model is not there, is another one than the adapter was trained on, or the adapter's
            files cannot be read.
    """
    if not (model / ADAPTER_FILE).is_file():
        return None
    named = str(_read(model / ADAPTER_FILE).get("base_model_name_or_path") or "")
    noted = _read(model / BASE_FILE) if (model / BASE_FILE).is_file() else {}
    places = [model / str(noted["path"])] if "path" in noted else []
    places += [Path(named), model / named] if named else []
    found = next((place for place in places if (place / "config.json").is_file()), None)
    if found is None:
        looked = ", ".join(dict.fromkeys(str(Path(os.path.normpath(place))) for place in places)) or "nowhere"
        raise UserError(
            f"{model}: an adapter without its base: no model in {looked}; put it back there, or give a "
            "merged model (lora.merge: true, or glow merge-adapter while the base is there)"
        )
    if "sha256" in noted and hash_path(found) != noted["sha256"]:
        raise UserError(
            f"{model}: {os.path.normpath(found)} is not the model that this adapter was trained on, or has "
            "changed since: restore it, or train the adapter again"
        )
    return Path(os.path.normpath(found))


def with_base(model: Path) -> list[Path]:
    """What a model consists of, for identities and manifests: its directory, and that of an adapter's base.

    Raises:
        UserError: as `adapter_base`.
    """
    base = adapter_base(model)
    return [model] if base is None else [model, base]


def hub_origin(model: Path) -> tuple[str, str] | None:
    """The name on the hub and the revision of a model that `glow fetch` downloaded; None for any other."""
    manifest = model / "manifest.json"
    settings = _read(manifest).get("settings") if manifest.is_file() else None
    if not isinstance(settings, dict) or not {"hub", "revision"} <= settings.keys():
        return None
    return settings["hub"], settings["revision"]


def note_base(adapter: Path, base: Path, place: Path) -> None:
    """Write into a saved adapter which model it was trained on.

    Equal adapters get equal bytes: PEFT writes its sets in any order.

    Args:
        adapter: where it is now.
        place: where it will be: from there the base is looked for.
    """
    settings = _read(adapter / ADAPTER_FILE)
    origin = hub_origin(base)
    settings["base_model_name_or_path"] = str(base) if origin is None else origin[0]
    settings["revision"] = None if origin is None else origin[1]
    for key, value in settings.items():
        if isinstance(value, list):
            settings[key] = sorted(value)
    write_json(adapter / ADAPTER_FILE, settings)
    path = os.path.relpath(base.resolve(), place.resolve())
    write_json(adapter / BASE_FILE, {"path": path, "sha256": hash_path(base)})


def merged(network: PreTrainedModel, adapter: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The base of an adapter with the adapter added to its weights, in `dtype`.

    Sums are made in float32 whatever the dtypes, so that an adapter that is loaded here and the model that
    was saved merged are the same to the last bit.

    Raises:
        UserError: it is no LoRA adapter of this network.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = attached(network, adapter, trains=False)
    for layer in adapted.modules():
        if isinstance(layer, BaseTunerLayer):
            base = layer.get_base_layer()
            base.to(torch.float32)
            layer.merge()
            base.to(dtype)
    whole: Any = adapted.unload()
    whole.requires_grad_(True)  # PEFT has frozen the base
    found: PreTrainedModel = whole.to(dtype)
    return found


def attached(network: PreTrainedModel, adapter: Path, *, trains: bool, dropout: float | None = None) -> Any:
    """The base of an adapter with the adapter on it, a `peft.PeftModel`.

    Args:
        trains: whether the adapter's weights are to be trained on.
        dropout: of the adapter, if not that which it was trained with.

    Raises:
        UserError: it is no LoRA adapter of this network.
    """
    from peft import LoraConfig, PeftConfig, PeftModel

    try:
        config = PeftConfig.from_pretrained(str(adapter), local_files_only=True)
    except Exception as error:  # as transformers', PEFT's errors of odd files are of any kind
        raise _no_adapter(adapter, error) from error
    if not isinstance(config, LoraConfig):
        raise UserError(f"{adapter}: an adapter of kind {config.peft_type}; only LoRA adapters are read here")
    if not (adapter / "adapter_model.safetensors").is_file():
        raise UserError(f"{adapter}: no adapter_model.safetensors (pickled adapters are not read)")
    config.inference_mode = not trains
    if dropout is not None:
        config.lora_dropout = dropout
    try:
        return PeftModel.from_pretrained(
            network, str(adapter), config=config, is_trainable=trains, local_files_only=True
        )
    except Exception as error:
        raise _no_adapter(adapter, error) from error


def _no_adapter(adapter: Path, error: Exception) -> UserError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return UserError(f"{adapter}: cannot be read as an adapter of its base: {reason[:300]}")


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: cannot be read ({error}); mend or remove it") from None
    if not isinstance(document, dict):
        raise UserError(f"{file}: must be a JSON object; mend or remove it")
    return document
