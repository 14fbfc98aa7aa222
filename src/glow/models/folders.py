"""Whether a folder has a model that can run here, by the names of its files and by its small ones.

Nothing is loaded: transformers would make up what is missing (weights, a tokenizer without words), make a
language model of an encoder, or fail with errors that say little.
"""

import json
from pathlib import Path
from typing import Any

from transformers import __version__ as transformers_version
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from glow.errors import UserError, abbreviated

_TOKENIZERS = ("tokenizer.json", "*.model", "*.model.*", "vocab.*", "tekken.json", "*.tiktoken", "*.spm")
"""What a tokenizer's words are in, by the names of the files."""

_DECODERS = ("gpt_neox", "gpt_neox_japanese")
"""Decoders whose configurations say that they are none."""

_OTHER_FORMS = {"*.gguf": "GGUF", "*.bin": "pickled", "*.pt": "pickled", "*.pth": "pickled", "*.h5": "HDF5"}


def refuse_no_model(folder: Path) -> None:
    """Refuse what is no folder of a causal language model that transformers knows.

    Raises:
        UserError: there is no config.json, and what is there instead; it cannot be read; or its architecture
            is unknown, or no decoder.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}: no model here (no config.json{_instead(folder)}); give a directory of a Hugging Face "
            "checkpoint"
        )
    settings = _settings(folder)
    kind = settings.get("model_type")
    if any("auto_map" in part for part in (settings, settings.get("text_config") or {})):
        return  # of code of its own, which is refused or trusted elsewhere
    if not isinstance(kind, str) or not kind:
        raise _unfit(folder, "its config.json names no model_type")
    if kind not in CONFIG_MAPPING_NAMES:
        raise _unfit(
            folder,
            f"transformers {transformers_version} knows no architecture {abbreviated(kind, 40)}; if a newer "
            "release does, the model cannot run here yet",
        )
    if isinstance(settings.get("text_config"), dict):
        return  # of which the language model is taken (`glow.models.text_part`)
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or _is_no_decoder(kind, settings):
        named = ", ".join(map(str, settings.get("architectures") or [])) or kind
        raise _unfit(folder, f"{named} does not write text from left to right; give a model that does")


def refuse_no_tokenizer(folder: Path) -> None:
    """Refuse a model directory without the words of a tokenizer.

    Raises:
        UserError: there is none.
    """
    if not any(file for pattern in _TOKENIZERS for file in folder.glob(pattern)):
        raise UserError(
            f"{folder}: no tokenizer here (no tokenizer.json, tokenizer.model or vocab.json); copy the files "
            "of the model's tokenizer into it"
        )


def refuse_other_words(folder: Path, words: int) -> None:
    """Refuse a model directory whose tokenizer has more words than the network has embeddings.

    Args:
        words: of the tokenizer's own vocabulary, without tokens that were added later, which some models
            never use.

    Raises:
        UserError: it has.
    """
    settings = _settings(folder)
    size = settings.get("vocab_size", (settings.get("text_config") or {}).get("vocab_size"))
    if isinstance(size, int) and words > size:
        raise UserError(
            f"{folder}: the tokenizer has {words:,} words and the network {size:,}: these are files of two "
            "models; fetch or copy it again"
        )


def other_weights(folder: Path) -> str:
    """What other weights than safetensors a folder has, in words; empty without any."""
    forms = {form for pattern, form in _OTHER_FORMS.items() if any(folder.glob(pattern))}
    return ", ".join(sorted(forms))


def _instead(folder: Path) -> str:
    """What is there instead of a model, to be said after `no config.json`."""
    if not folder.exists():
        return ": no such folder"
    if not folder.is_dir():
        return ": it is a file"
    below = sorted(file.parent for file in folder.glob("*/config.json"))[:1]
    below += sorted(file.parent for file in folder.glob("snapshots/*/config.json"))[:1]  # the hub's cache
    if below:
        return f", but {below[0]} has one"
    others = other_weights(folder)
    return f"; {others} weights are not read" if others else "" if any(folder.iterdir()) else ": it is empty"


def _settings(folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unfit(folder, f"its config.json is no JSON ({error})") from None
    if not isinstance(settings, dict):
        raise _unfit(folder, "its config.json is no JSON object")
    return settings


def _is_no_decoder(kind: str, settings: dict[str, Any]) -> bool:
    """Whether models of this kind read text in both directions, as they are configured here."""
    try:
        config = CONFIG_MAPPING[kind].from_dict(settings)
    except Exception:  # odd settings of any kind, which loading will name
        return False
    if getattr(config, "is_encoder_decoder", False):
        return True
    return getattr(config, "is_decoder", None) is False and kind not in _DECODERS


def _unfit(folder: Path, reason: str) -> UserError:
    return UserError(f"{folder}: cannot be read as a causal language model: {reason}")
