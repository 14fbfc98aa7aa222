"""The language model of a multimodal checkpoint says what the whole one does, and is a text model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from glow.config import Grpo
from glow.errors import UserError
from glow.models.load import load_network
from glow.training.grpo import _refuse_no_reference

TEXT: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "vocab_size": 90,
}
SIGHT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
SIGHT |= {"image_size": 28, "patch_size": 14}
QWEN_SIGHT = {"hidden_size": 8, "out_hidden_size": 16, "intermediate_size": 8, "depth": 1, "num_heads": 2}


def rotating(*sections: int) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": list(sections)}}


MULTIMODAL: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "gemma3": (TEXT | {"sliding_window": 16}, SIGHT, "gemma3_text"),
    "mistral3": (TEXT | {"model_type": "mistral"}, SIGHT | {"model_type": "pixtral"}, "mistral"),
    "qwen2_5_vl": (TEXT | rotating(1, 1, 2), QWEN_SIGHT, "qwen2"),
    "qwen3_vl": (TEXT | rotating(2, 1, 1), QWEN_SIGHT | {"deepstack_visual_indexes": [0]}, "qwen3"),
}


def multimodal(kind: str, folder: Path) -> Any:
    """A tiny one with random weights, saved to the folder."""
    text, sight, _ = MULTIMODAL[kind]
    further = {"mm_tokens_per_image": 4} if kind == "gemma3" else {}
    config = AutoConfig.for_model(kind, text_config=text, vision_config=sight, **further)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    for weight in network.parameters():
        if weight.dim() > 1:
            weight.data *= 5
    network.save_pretrained(folder)
    return network.eval()


@pytest.mark.parametrize("kind", MULTIMODAL)
@torch.no_grad()
def test_the_text_part_says_what_the_whole_does(kind: str, tmp_path: Path) -> None:
    whole, text = multimodal(kind, tmp_path), load_network(tmp_path, torch.float32).eval()
    ids = torch.tensor([list(range(5, 40))])
    torch.testing.assert_close(text(input_ids=ids).logits, whole(input_ids=ids).logits)
    text.save_pretrained(tmp_path / "text")
    assert json.loads((tmp_path / "text/config.json").read_text())["model_type"] == MULTIMODAL[kind][2]
    again = load_network(tmp_path / "text", torch.float32).eval()
    assert torch.equal(again(input_ids=ids).logits, text(input_ids=ids).logits)


def test_a_text_part_that_cannot_be_loaded_alone_is_refused(tmp_path: Path) -> None:
    document = {"model_type": "mllama", "text_config": {"hidden_size": 8}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(
        UserError, match=r"multimodal model \(mllama\) whose text part .* load alone"
    ) as refused:
        load_network(tmp_path, torch.float32)
    assert str(refused.value).startswith(f"{tmp_path}: ")


def test_no_reference_is_read_from_a_multimodal_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gemma3", "text_config": {"hidden_size": 8}}')
    with pytest.raises(UserError, match="is a multimodal model, of which no reference can be read"):
        _refuse_no_reference(tmp_path, Grpo(steps=1, max_tokens=2, kl=0.1))
    _refuse_no_reference(tmp_path, Grpo(steps=1, max_tokens=2, kl=0.0))
