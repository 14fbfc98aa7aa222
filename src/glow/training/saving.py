"""The form in which a stage leaves its model: whole, in a number format; as an adapter; or merged.

When and where it is written is `glow.training.callbacks`' business.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, Trainer

from glow.config import Grpo, SavedDtype, Sft
from glow.errors import UserError
from glow.files.atomic import atomic_folder
from glow.files.jsonl import write_json
from glow.files.manifest import Manifest
from glow.models.adapters import ADAPTER_FILE, BASE_FILE, adapter_base, note_base, with_base
from glow.models.load import load_network, load_tokenizer
from glow.training.adapters import underlying
from glow.training.card import CARD, mark_merged


@dataclass(frozen=True)
class SavedForm:
    """How a model is saved.

    Attributes:
        dtype: of a whole model.
        base: the model that the run started from; if that is an adapter, the one below it.
        merge: whether adapters are added to the base.
        trust_remote_code: whether code in the base's directory may run, where it is read again to be merged.
    """

    dtype: torch.dtype
    base: Path
    merge: bool = False
    trust_remote_code: bool = False


def saved_form(model: Path, settings: Sft | Grpo, *, trust_remote_code: bool = False) -> SavedForm:
    """The form that `settings` asks for, of a run that started from `model`."""
    by_precision: SavedDtype = "bfloat16" if settings.precision == "bf16" else "float32"
    dtype: torch.dtype = getattr(torch, settings.saved_dtype or by_precision)
    merge = settings.lora is not None and settings.lora.merge
    return SavedForm(dtype, adapter_base(model) or model, merge, trust_remote_code)


def write_model(
    trainer: Trainer, folder: Path, place: Path, form: SavedForm, state: Mapping[str, Tensor] | None = None
) -> None:
    """Write what a trainer has trained, with its tokenizer and generation settings, to `folder`.

    Args:
        folder: where it is written, an existing folder; nothing else is in it.
        place: where it will stand: an adapter notes from there where its base is.
        state: all weights by name, gathered from the processes that hold them; None: those of the model.
    """
    network: Any = trainer.accelerator.unwrap_model(trainer.model)
    tokenizer = trainer.processing_class
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    if not isinstance(network, PeftModel):
        _write_whole(network, tokenizer, folder, form.base, form.dtype, state)
        return
    # GRPO keeps a second adapter as its reference, which is not what was trained.
    network.save_pretrained(
        str(folder), selected_adapters=["default"], save_embedding_layers=False, state_dict=state
    )
    (folder / CARD).unlink(missing_ok=True)  # PEFT's, which says nothing of the training
    underlying(network).generation_config.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    _restore(folder, form.base)
    note_base(folder, form.base, folder if form.merge else place)
    if form.merge:
        _merge_in_place(folder, form)


def _write_whole(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    base: Path,
    dtype: torch.dtype,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    network.save_pretrained(
        str(folder), state_dict=_cast(network.state_dict() if state is None else state, dtype)
    )
    tokenizer.save_pretrained(str(folder))
    _restore(folder, base)
    # transformers writes the dtype of the network there, which is that of the training.
    settings = _configuration(folder / "config.json")
    name = str(dtype).removeprefix("torch.")
    if settings.get("dtype") != name:
        write_json(folder / "config.json", _with_dtype(settings, name))


def _cast(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights in `dtype`; tied ones stay one tensor, so that they are written once."""
    done: dict[tuple[int, torch.Size], Tensor] = {}
    cast = {}
    for name, values in state.items():
        key = (values.data_ptr(), values.shape)
        if key not in done:
            done[key] = values.to(dtype) if values.is_floating_point() else values
        cast[name] = done[key]
    return cast


def _restore(folder: Path, base: Path) -> None:
    """Undo in saved configurations what trainers set for their own steps.

    They turn the cache off, which every other use wants, and the logits of routers on, which no cache bears;
    and where the tokenizer has no token that begins a text, they remove the model's.

    Args:
        base: the model that the run started from.
    """
    of_base = _configuration(base / "config.json")
    of_base |= of_base.get("text_config") or {}
    for name in ("config.json", "generation_config.json"):
        settings = _configuration(folder / name)
        given = of_base | _configuration(base / name)
        changes: dict[str, Any] = {}
        if settings.get("use_cache") is False:
            changes["use_cache"] = True
        if settings.get("output_router_logits"):
            changes["output_router_logits"] = False
        if settings.get("bos_token_id") is None and given.get("bos_token_id") is not None:
            changes["bos_token_id"] = given["bos_token_id"]
        if settings and changes:
            write_json(folder / name, settings | changes)


def _configuration(file: Path) -> dict[str, Any]:
    """A configuration of a model that has been loaded; nothing where there is no such file."""
    settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return settings


def _with_dtype(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """A configuration with another dtype, in the configurations inside it too."""
    changed = {
        key: _with_dtype(value, name) if isinstance(value, dict) else value for key, value in settings.items()
    }
    return changed | {"dtype": name} if "dtype" in changed else changed


# --- merging --------------------------------------------------------------------------------------


def merge_adapter(
    model: Path, output: Path, *, dtype: SavedDtype | None = None, trust_remote_code: bool = False
) -> None:
    """Write an adapter and its base as one whole model to the folder `output`.

    Args:
        model: directory of the adapter.
        dtype: number format of the weights; None for the base's own.

    Raises:
        UserError: `model` is no adapter, or its base is not there.
    """
    manifest = Manifest("merge-adapter")
    base = adapter_base(model)
    if base is None:
        raise UserError(f"{model}: no adapter here (no {ADAPTER_FILE}), so there is nothing to merge")
    number_format = dtype or _dtype_of(base)
    with atomic_folder(output) as partial:
        _write_merged(model, partial, getattr(torch, number_format), trust_remote_code)
        if (model / CARD).is_file():
            mark_merged(model / CARD, partial / CARD)
    manifest.write(output, {"dtype": number_format}, with_base(model))
    print(f"{output}: {model} added to {base}, in {number_format}")


def _dtype_of(model: Path) -> str:
    settings = json.loads((model / "config.json").read_text(encoding="utf-8"))
    found = settings.get("dtype") or settings.get("torch_dtype")
    return found if isinstance(getattr(torch, str(found), None), torch.dtype) else "float32"


def _write_merged(adapter: Path, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> None:
    whole = load_network(adapter, dtype, trust_remote_code=trust_remote_code)
    if (adapter / "generation_config.json").is_file():
        whole.generation_config = GenerationConfig.from_pretrained(str(adapter))
    tokenizer = load_tokenizer(adapter, trust_remote_code=trust_remote_code)
    _write_whole(whole, tokenizer, folder, with_base(adapter)[-1], dtype)


def _merge_in_place(folder: Path, form: SavedForm) -> None:
    """Put the whole model in place of the adapter in `folder`."""
    _write_merged(folder, folder, form.dtype, form.trust_remote_code)
    for name in (ADAPTER_FILE, BASE_FILE, "adapter_model.safetensors"):
        (folder / name).unlink()
