"""planning.shapes: parameters from shapes, as published and as transformers counts them."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from glow.config import Model
from glow.errors import UserError
from glow.miniature.tokenizer import build_tokenizer
from glow.models.size import parameters
from glow.planning.shapes import WORDS_MADE_HERE, Shape, known_ids, of_folder, of_hub, shape_of

SHAPES = yaml.safe_load((Path(__file__).parents[3] / "src/glow/planning/shapes.yaml").read_text())
SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 128}  # fmt: skip


@pytest.mark.parametrize("name", known_ids())
def test_a_shape_has_as_many_parameters_as_were_published(name: str) -> None:
    shape = of_hub(name)
    assert shape is not None
    assert shape.parameters == SHAPES[name]["parameters"]


@pytest.mark.parametrize("name", known_ids())
def test_a_shape_has_as_many_parameters_as_transformers_makes_of_it(name: str) -> None:
    document = {key: value for key, value in SHAPES[name].items() if key != "parameters"}
    config = AutoConfig.for_model(document.pop("model_type"), **document)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    shape = of_hub(name)
    assert shape is not None
    assert sum(weights.numel() for weights in network.parameters()) == shape.parameters
    layer = network.model.layers[0]
    assert sum(weights.numel() for weights in layer.parameters()) == shape.layer_parameters
    matrices = [module.weight.numel() for module in network.modules() if isinstance(module, torch.nn.Linear)]
    assert sum(matrices) == shape.multiplied


def test_the_7b_by_hand() -> None:
    """d = 3584, 28 heads and 4 of keys, each of 128: queries and output 2 x 3584 x 3584 = 25,690,112, keys
    and values 2 x 3584 x 512 = 3,670,016, the inner layer 3 x 3584 x 18944 = 203,685,888: 233,046,016 a
    layer."""
    seven = of_hub("Qwen/Qwen2.5-7B")
    assert seven is not None
    assert seven.layer_matrices == 233_046_016
    # Biases 3584 + 2 x 512, two norms of 3584: 11,776 more.
    assert seven.layer_parameters == 233_057_792
    # 152,064 words x 3584, looked up at one end and multiplied by at the other.
    assert seven.embedding == 544_997_376
    assert seven.multiplied == 28 * 233_046_016 + 544_997_376 == 7_070_285_824
    assert seven.parameters == 28 * 233_057_792 + 2 * 544_997_376 + 3584 == 7_615_616_512
    # Keys and values of a token: 28 layers x 2 x 512 numbers of two bytes.
    assert seven.cache_bytes == 57_344


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama", "gemma3_text"])
def test_a_model_on_disk_has_the_parameters_that_its_files_have(tmp_path: Path, kind: str) -> None:
    config = AutoConfig.for_model(kind, **SMALL, head_dim=16, tie_word_embeddings=True)
    network = AutoModelForCausalLM.from_config(config)
    network.save_pretrained(str(tmp_path))
    shape = of_folder(tmp_path)
    assert shape.parameters == sum(weights.numel() for weights in network.parameters())
    counted = Shape(**{**shape.__dict__, "counted": None})
    assert counted.parameters == shape.parameters  # by formula too
    assert (shape.layers, shape.width, shape.kv_width, shape.tied) == (3, 64, 32, True)


def test_weights_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    """As a download that was broken off leaves them: half a file, or its first three bytes."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **SMALL}))
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(10, 10), "b": torch.zeros(3)}, file)
    assert of_folder(tmp_path).parameters == parameters(tmp_path) == 103
    whole = file.read_bytes()
    for part in (whole[: len(whole) // 2], whole[:3]):
        file.write_bytes(part)
        with pytest.raises(UserError, match=r"model.safetensors: cannot be read .*fetch the model again"):
            of_folder(tmp_path)


def test_a_model_that_is_made_here_has_the_shape_that_it_is_made_in(tmp_path: Path) -> None:
    assert len(build_tokenizer()) == WORDS_MADE_HERE
    miniature = Model.model_validate({"pretrain": {"role": "base", "families": ["sums"]}})
    assert shape_of(miniature, tmp_path, "student").parameters == 423_936  # as its manifest says
    scratch = Model.model_validate(
        {"scratch": {"vocabulary": 300, "hidden_size": 32, "layers": 1, "heads": 2}}
    )
    # 300 x 32 words; 4 x 32 x 32 + 3 x 32 x 96 in the layer, 3 x 32 biases, 2 x 32 norms; the last norm.
    assert shape_of(scratch, tmp_path, "student").parameters == 9600 + 13_312 + 96 + 64 + 32


def test_a_hub_model_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    model = Model.model_validate("some/model@" + "0" * 40)
    said = r"students.x: the shape of some/model is not known.*glow fetch --hub some/model.*config.json"
    with pytest.raises(UserError, match=said):
        shape_of(model, tmp_path / "base", "students.x")
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text(json.dumps({"model_type": "llama", **SMALL}))
    assert shape_of(model, tmp_path / "base", "student").layers == 3


def test_what_cannot_be_planned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mixture of experts"):
        Shape.of_config({"model_type": "qwen3_moe", "num_experts": 8, **SMALL}, "config.json")
    with pytest.raises(UserError, match="has no 'hidden_size'"):
        Shape.of_config({"num_attention_heads": 2}, "config.json")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config.json: cannot be read.*its base"):
        of_folder(tmp_path)


def test_adapters_have_a_rank_of_each_side() -> None:
    shape = of_hub("Qwen/Qwen2.5-7B")
    assert shape is not None
    # q: 3584 + 3584; v: 3584 + 512; of 28 layers, at rank 16.
    assert shape.adapter_parameters(16, ["q_proj", "v_proj"]) == 28 * 16 * (7168 + 4096)
    sides = 7168 + 2 * 4096 + 7168 + 3 * (3584 + 18944)
    assert shape.adapter_parameters(16, "all-linear") == 28 * 16 * sides == 40_370_176
