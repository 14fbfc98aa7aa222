"""Model directories that are odd: each is named in one or two lines, and no pickle is read."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from glow.config import Prompt
from glow.errors import UserError
from glow.models.load import load_network, load_tokenizer, prompt_ids, stop_ids


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def refused(model: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as error:
        load_network(model, torch.float32)
    assert str(error.value).startswith(f"{model}: ")
    assert len(str(error.value).splitlines()) <= 2


@pytest.mark.parametrize("is_beside_safetensors", [False, True])
def test_no_pickle_is_read(is_beside_safetensors: bool, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = AutoModelForCausalLM.from_pretrained(model)
    (model / "model.safetensors").unlink()
    torch.save(network.state_dict(), model / "pytorch_model.bin")
    monkeypatch.setattr("torch.load", None)
    if is_beside_safetensors:
        (model / "other.safetensors").touch()
        refused(model, "cannot be read as a causal language model: OSError: .*model.safetensors")
    else:
        refused(model, r"no safetensors weights \(pickled weights are not read\); convert them:\npython -c")
        with pytest.raises(UserError) as error:
            load_network(model, torch.float32)
        monkeypatch.undo()
        command = str(error.value).splitlines()[1].replace("python", sys.executable, 1)
        subprocess.run(command, shell=True, check=True, timeout=300)
        assert load_network(model, torch.float32).num_parameters() == network.num_parameters()


def test_weights_that_are_junk(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"junk" * 100)
    refused(model, "cannot be read as a causal language model: SafetensorError: ")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"vocab_size": 7}, "RuntimeError"),  # the weights have other shapes
        ({"hidden_size": "8"}, "StrictDataclassFieldValidationError"),
        ({"num_attention_heads": 0}, "ZeroDivisionError"),
        ({"quantization_config": 3}, "AttributeError"),
    ],
)
def test_a_configuration_that_is_not_of_the_weights(
    settings: dict[str, Any], error: str, model: Path
) -> None:
    document = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(document | settings))
    refused(model, f"cannot be read as a causal language model: {error}: ")


@pytest.mark.parametrize("text", ["[]", "3", "{"])
def test_a_configuration_that_is_no_json_object(text: str, model: Path) -> None:
    (model / "config.json").write_text(text)
    refused(model, "cannot be read as a causal language model: ")
    with pytest.raises(UserError, match="cannot be read as a causal language model: "):
        load_tokenizer(model)


def test_a_tokenizer_that_is_none(model: Path) -> None:
    document = json.loads((model / "tokenizer.json").read_text())
    document["model"]["type"] = "None"
    (model / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="cannot be read as a causal language model: Exception: data did not"):
        load_tokenizer(model)


def test_a_tokenizer_that_needs_sentencepiece_names_the_package(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.model").write_bytes(b"\x00")
    settings = {"tokenizer_class": "LlamaTokenizer", "eos_token": "</s>"}
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match=r"SentencePiece is not installed .*make setup EXTRAS=sentencepiece"):
        load_tokenizer(model)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "cannot be read .*; mend or remove it"),
        (b"\xff", "cannot be read .*; mend or remove it"),
        (b"[" * 100_000, "cannot be read .*; mend or remove it"),
        (b"[]", "must be a JSON object; mend or remove it"),
        (b'{"eos_token_id": "x"}', "eos_token_id is 'x'; it must be a token's number, or a list"),
        (b'{"eos_token_id": [1, "x"]}', r"eos_token_id is \[1, 'x'\]; it must be a token's number"),
    ],
)
def test_generation_settings_that_cannot_be_read(content: bytes, message: str, model: Path) -> None:
    tokenizer = load_tokenizer(model)
    (model / "generation_config.json").write_bytes(content)
    with pytest.raises(UserError, match=f"generation_config.json: {message}"):
        stop_ids(tokenizer, model)


@pytest.mark.parametrize(
    ("named", "stops"), [(5, {5}), ([5, 6], {5, 6}), (None, set()), ([], set())], ids=str
)
def test_generation_settings_name_tokens_that_end_a_response(
    named: Any, stops: set[int], model: Path
) -> None:
    tokenizer = load_tokenizer(model)
    (model / "generation_config.json").unlink()
    own = set(stop_ids(tokenizer, model))
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": named}))
    assert set(stop_ids(tokenizer, model)) == own | stops


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ messages[0]['content'] + 1 }}", "TypeError: can only concatenate str"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{% for n in range(10 ** 20) %}{% endfor %}", "OverflowError: "),
    ],
)
def test_a_template_that_fails(template: str, error: str, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text(template)
    tokenizer = load_tokenizer(model, Prompt(chat_template=str(file)))
    with pytest.raises(UserError, match=f"chat template refuses the prompt: {error}"):
        prompt_ids(tokenizer, [{"role": "user", "content": "a question"}])
