"""Folders that are no model, or a torn or foreign one: each stage says so in two lines, before any work."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    MambaConfig,
    MambaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from glow.config import (
    Evaluation,
    EvaluationSettings,
    GenerateSettings,
    Grpo,
    GrpoSettings,
    ObjectiveChoice,
    Sampling,
    Sft,
    SftSettings,
)
from glow.data.generate import generate
from glow.errors import UserError
from glow.evaluation.evaluate import evaluate
from glow.files.jsonl import write_jsonl
from glow.models.load import load_network, load_tokenizer
from glow.training import grpo
from glow.training.sft import fine_tune


def configure(model: Path, **settings: Any) -> None:
    document = json.loads((model / "config.json").read_text()) | settings
    (model / "config.json").write_text(json.dumps(document))


def no_config(model: Path) -> None:
    (model / "config.json").unlink()


def empty(model: Path) -> None:
    shutil.rmtree(model)
    model.mkdir()


def nowhere(model: Path) -> None:
    shutil.rmtree(model)


def a_file(model: Path) -> None:
    shutil.rmtree(model)
    model.write_text("weights")


def one_above(model: Path) -> None:
    shutil.move(model, model.with_name("below"))
    model.mkdir()
    shutil.move(model.with_name("below"), model / "model")


def pickled(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"pickle")


def gguf(model: Path) -> None:
    empty(model)
    (model / "model.gguf").write_bytes(b"GGUF")


def torn(model: Path) -> None:
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[:-100])


def a_layer_less(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


def no_tokenizer(model: Path) -> None:
    for file in model.glob("*token*"):
        file.unlink()


def no_words(model: Path) -> None:
    (model / "tokenizer.json").unlink()


def words_of_another(model: Path) -> None:
    words = json.loads((model / "tokenizer.json").read_text())
    known = words["model"]["vocab"]
    first = max(known.values()) + 10_000
    known |= {f"further-{number}": first + number for number in range(10_000)}
    (model / "tokenizer.json").write_text(json.dumps(words))


def unknown(model: Path) -> None:
    configure(model, model_type="nosuch", architectures=["NoSuchForCausalLM"])


def no_kind(model: Path) -> None:
    (model / "config.json").write_text("{}")


def no_json(model: Path) -> None:
    (model / "config.json").write_bytes(b"\xff{")


def an_encoder(model: Path) -> None:
    config = BertConfig(
        vocab_size=600, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    BertForMaskedLM(config).save_pretrained(model)


def an_encoder_with_a_decoder(model: Path) -> None:
    config = T5Config(vocab_size=600, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(model)


def an_adapter(model: Path) -> None:
    empty(model)
    settings = {"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen2.5-7B", "r": 4}
    (model / "adapter_config.json").write_text(json.dumps(settings))


UNFIT = "cannot be read as a causal language model: "

FAULTS: dict[Callable[[Path], None], str] = {
    no_config: r"no model here \(no config.json\); give a directory",
    empty: r"no model here \(no config.json: it is empty\); give a directory",
    nowhere: r"no model here \(no config.json: no such folder\); give a directory",
    a_file: r"no model here \(no config.json: it is a file\); give a directory",
    one_above: r"no model here \(no config.json, but .*/model/model has one\); give a directory",
    gguf: r"no model here \(no config.json; GGUF weights are not read\)",
    pickled: r"no safetensors weights \(pickled weights are not read\); convert them",
    torn: UNFIT + "SafetensorError: ",
    a_layer_less: "1 weights of its architecture are not in its files .*up_proj.*would be random",
    no_tokenizer: r"no tokenizer here \(no tokenizer.json, tokenizer.model or vocab.json\)",
    no_words: r"no tokenizer here \(no tokenizer.json",
    words_of_another: r"the tokenizer has 1\d,\d+ words and the network \d+: these are files of two models",
    unknown: UNFIT + "transformers .* knows no architecture 'nosuch'",
    no_kind: UNFIT + "its config.json names no model_type",
    no_json: UNFIT + "its config.json is no JSON",
    an_encoder: UNFIT + "BertForMaskedLM does not write text from left to right",
    an_encoder_with_a_decoder: UNFIT + "T5ForConditionalGeneration does not write text from left to right",
    an_adapter: "an adapter without its base: no model in Qwen/Qwen2.5-7B",
}


def stages(folder: Path, model: Path) -> list[Callable[[], object]]:
    """The stages that read a model, on little data."""
    data, problems, suite = folder / "data.jsonl", folder / "problems.jsonl", folder / "sums.jsonl"
    said = {"trajectory_id": "t", "question": "1 + 1?", "response": "\\boxed{2}", "verdict": "correct"}
    rows = [{"problem_id": f"p-{n}", "question": f"{n} + 1?", "answer": str(n + 1)} for n in range(2)]
    write_jsonl(data, [said])
    write_jsonl(problems, rows)
    write_jsonl(suite, [row | {"format": "boxed"} for row in rows])
    sft = SftSettings(objective=ObjectiveChoice(objective="plain"), sft=Sft(precision="fp32"), seed=0)
    rl = GrpoSettings(grpo=Grpo(steps=1, prompts=2, generations=2, max_tokens=2, precision="fp32"), seed=0)
    sampled = GenerateSettings(sampling=Sampling(samples=1, max_tokens=2, seed=0))
    asked = EvaluationSettings(evaluation=Evaluation(max_tokens=2, entropy_samples=0), seed=0)
    out = folder / "out"
    return [
        lambda: generate(problems, model, out / "sampled.jsonl", sampled, shard=0, shards=1),
        lambda: fine_tune(data, data, model, out / "sft", sft),
        lambda: grpo.train(problems, model, out / "grpo", rl),
        lambda: evaluate(model, [suite], out / "scores", asked),
    ]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_folder_that_is_no_model_is_refused_by_every_stage(
    fault: Callable[[Path], None], tiny_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    fault(model)
    for stage in stages(tmp_path, model):
        with pytest.raises(UserError, match=FAULTS[fault]) as refused:
            stage()
        assert str(refused.value).startswith(str(model))
        assert len(str(refused.value).splitlines()) <= 2


def test_a_model_that_remembers_no_keys_and_values_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """Sampling would go on from the last token alone, without a word."""
    config = MambaConfig(vocab_size=len(load_tokenizer(tiny_model)), hidden_size=8, num_hidden_layers=1)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="mamba remembers no keys and values"):
        load_network(tmp_path, torch.float32)
