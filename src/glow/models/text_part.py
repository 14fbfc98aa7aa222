"""The language model inside a multimodal checkpoint, which is loaded without what sees or hears.

What is trained of it is saved as the text model that it is (gemma3_text, qwen2), so that it is one for all
who read it. If weights of the text model should not be found in a checkpoint, `glow.models.load` refuses it.
"""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from glow.errors import UserError

_AS_TEXT = {
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe_text": "qwen3_moe",
}
"""Text models that have no class with an output layer of their own. In a text the three positions of their
rotations are the same, so that they are plain rotations."""

_PLACES = {
    r"^model\.language_model\.": "model.",
    r"^language_model\.model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""Where the weights of a text model are in checkpoints of larger ones, and where in its own."""


def is_multimodal(model: Path) -> bool:
    """Whether a directory has a language model inside a larger one, by its config.json."""
    settings = json.loads((model / "config.json").read_text(encoding="utf-8"))
    text = settings.get("text_config")
    return isinstance(text, dict) and bool(text) and "auto_map" not in settings


def text_part(model: Path) -> dict[str, Any]:
    """What `from_pretrained` is told to load the language model of a multimodal directory; nothing of others.

    Raises:
        UserError: transformers has no class for the text model.
    """
    if not is_multimodal(model):
        return {}
    whole = AutoConfig.from_pretrained(model, local_files_only=True)
    text = whole.get_text_config()
    kind = _AS_TEXT.get(text.model_type, text.model_type)
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UserError(
            f"{model}: a multimodal model ({whole.model_type}) whose text part ({kind}) transformers cannot "
            "load alone; give a text model"
        )
    config = text if kind == text.model_type else _plain(text, kind)
    config.tie_word_embeddings = bool(getattr(whole, "tie_word_embeddings", False))
    return {"config": config, "key_mapping": _PLACES}


def _plain(text: PreTrainedConfig, kind: str) -> PreTrainedConfig:
    """The settings of a text model as those of its plain counterpart."""
    settings = text.to_dict()
    del settings["model_type"]
    rotation = {key: value for key, value in settings["rope_parameters"].items() if "mrope" not in key}
    if rotation.get("rope_type") == "mrope":
        rotation["rope_type"] = "default"
    config: PreTrainedConfig = AutoConfig.for_model(kind, **settings | {"rope_parameters": rotation})
    return config
