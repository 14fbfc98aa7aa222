"""LoRA through the stages: what is saved, what it is worth, and how runs go on from it."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import grpo_runs
import pandas as pd
import pytest
import torch
from grpo_runs import KillAt
from peft import PeftModel
from safetensors.torch import load_file
from test_sft import SETTINGS as SFT
from test_sft import trajectories
from transformers import AutoModelForCausalLM

from glow.cli import main
from glow.config import Decoding, Lora, ObjectiveChoice, Prompt, Sft, SftSettings
from glow.errors import UserError
from glow.files.hashing import hash_path
from glow.models.adapters import adapter_base, with_base
from glow.models.engines import load_engine
from glow.models.load import load_network, load_tokenizer, require_model, stop_ids
from glow.models.sampling import Request
from glow.training import sft as stage
from glow.training.sft import fine_tune

LORA = Lora(rank=4, alpha=8, dropout=0.1)
GLOW = ObjectiveChoice(objective="glow", alpha=1.0, beta=10.0)


def train(data: Path, model: Path, output: Path, kill_at: int | None = None, **settings: Any) -> None:
    """A run of SFT, or what is left of it; killed at the end of a step if `kill_at` is one."""
    sft = Sft.model_validate(SFT.model_dump() | settings)
    original = stage._trainer

    def made(*arguments: Any) -> Any:
        trainer = original(*arguments)
        if kill_at is not None:
            trainer.add_callback(KillAt(kill_at))
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_trainer", made)
        fine_tune(data, data, model, output, SftSettings(objective=GLOW, sft=sft, seed=0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A base and data, with the runs `adapter` and, merged, `whole`, of the same settings."""
    folder = tmp_path_factory.mktemp("lora")
    shutil.copytree(tiny_model, folder / "base")
    data = trajectories(folder / "data.jsonl", 10)
    before = hash_path(folder / "base")
    train(data, folder / "base", folder / "adapter", lora=LORA)
    train(data, folder / "base", folder / "whole", lora=LORA.model_copy(update={"merge": True}))
    assert hash_path(folder / "base") == before
    return folder


def logits(network: Any) -> torch.Tensor:
    ids = torch.arange(10, 70).reshape(3, 20)
    with torch.no_grad():
        found: torch.Tensor = network.eval()(input_ids=ids).logits
    return found


def test_an_adapter_is_saved_alone_with_what_a_model_directory_has_beside_weights(folder: Path) -> None:
    found = {path.name for path in (folder / "adapter/model").iterdir()}
    assert found == {
        *("adapter_config.json", "adapter_model.safetensors", "base.json", "README.md"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"),
    }
    config = json.loads((folder / "adapter/model/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 8, 0.1)
    layers = {name.rpartition(".")[2] for name in config["target_modules"]}
    assert layers == {
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    }
    assert config["target_modules"] == sorted(config["target_modules"])
    size = sum(path.stat().st_size for path in (folder / "adapter/model").glob("*.safetensors"))
    # Width 32, 2 layers; each adapter has rank x (inputs + outputs) weights.
    values = load_file(folder / "adapter/model/adapter_model.safetensors")
    shapes = [tuple(values[name].shape) for name in values if "layers.0.self_attn.q_proj" in name]
    assert sorted(shapes) == [(4, 32), (32, 4)]
    assert size < (folder / "whole/model/model.safetensors").stat().st_size / 4


def test_base_and_adapter_are_the_merged_model(folder: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    untrained = logits(base)
    by_peft = logits(PeftModel.from_pretrained(base, folder / "adapter/model"))
    whole = logits(AutoModelForCausalLM.from_pretrained(folder / "whole/model", dtype=torch.float32))
    torch.testing.assert_close(by_peft, whole, atol=1e-5, rtol=0)
    assert (whole - untrained).abs().max() > 0.01
    own = logits(load_network(folder / "adapter/model", torch.float32))
    assert torch.equal(own, whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_is_loaded_as_the_merged_model_to_the_last_bit(folder: Path, dtype: torch.dtype) -> None:
    one, other = (load_network(folder / name / "model", dtype).state_dict() for name in ("adapter", "whole"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert {values.dtype for values in one.values()} == {dtype}


def test_all_weights_of_a_loaded_adapter_train(folder: Path) -> None:
    network = load_network(folder / "adapter/model", torch.float32)
    assert all(weight.requires_grad for weight in network.parameters())


def test_both_answer_alike(folder: Path) -> None:
    texts = []
    for name in ("adapter", "whole"):
        engine = load_engine(folder / name / "model", Decoding(max_tokens=12), Prompt())
        requests = [Request([{"role": "user", "content": f"{n} plus 1 ?"}], (0, n)) for n in range(6)]
        texts.append([answer.text for answer in engine.generate(requests)])
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


def test_weights_and_losses_are_recorded_as_of_a_whole_model(folder: Path) -> None:
    history = pd.read_parquet(folder / "adapter/history.parquet")
    assert history.groupby("epoch").size().to_dict() == {1: 10, 2: 10, 3: 10}
    later = history[history["epoch"] > 1]
    expected = 1 - 1 / (1 + (-10 * later["gain"]).map(lambda x: 2.718281828459045**x))
    assert (later["weight"] - expected).abs().max() < 1e-5
    pd.testing.assert_frame_equal(history, pd.read_parquet(folder / "whole/history.parquet"))


@pytest.mark.parametrize("settings", [{"lora": LORA}, {"optimizer": "adafactor"}])
def test_a_killed_run_ends_in_the_same_bits(folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    run = folder / "killed"
    shutil.rmtree(run, ignore_errors=True)
    whole = folder / "adapter"
    if "lora" not in settings:
        whole = folder / "not-killed"
        train(folder / "data.jsonl", folder / "base", whole, **settings)
    with pytest.raises(KeyboardInterrupt):
        train(folder / "data.jsonl", folder / "base", run, kill_at=5, **settings)
    train(folder / "data.jsonl", folder / "base", run, **settings)
    assert json.loads((run / "manifest.json").read_text())["facts"]["resumed_from"] == "checkpoint-3"
    assert hash_path(run / "model") == hash_path(whole / "model")
    assert (run / "history.parquet").read_bytes() == (whole / "history.parquet").read_bytes()


def test_another_dropout_is_another_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lora in (LORA, LORA.model_copy(update={"dropout": 0.2})):
        with pytest.raises(KeyboardInterrupt):
            train(folder / "data.jsonl", folder / "base", tmp_path / "run", kill_at=5, lora=lora)
    assert "of another run (sft.lora.dropout was 0.1, is 0.2; " in capsys.readouterr().out


# --- the base -------------------------------------------------------------------------------------


def moved(folder: Path, tmp_path: Path) -> Path:
    """A copy of base and adapter somewhere else."""
    for name in ("base", "adapter"):
        shutil.copytree(folder / name, tmp_path / name)
    return tmp_path / "adapter/model"


def test_the_base_is_found_from_any_folder_and_after_both_were_moved(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = moved(folder, tmp_path)
    for place in (tmp_path, adapter, Path("/")):
        monkeypatch.chdir(place)
        found = adapter_base(Path(os.path.relpath(adapter)))
        assert found is not None
        assert found.resolve() == tmp_path / "base"
    assert with_base(adapter) == [adapter, tmp_path / "base"]
    assert with_base(tmp_path / "base") == [tmp_path / "base"]


def test_an_adapter_without_its_base_is_refused_with_where_it_was_looked_for(
    folder: Path, tmp_path: Path
) -> None:
    adapter = moved(folder, tmp_path)
    shutil.rmtree(tmp_path / "base")
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text().replace(str(folder / "base"), "gone/base"))
    for ask in (require_model, load_tokenizer, lambda model: load_network(model, torch.float32)):
        with pytest.raises(UserError, match=re.escape(f"no model in {tmp_path / 'base'}, gone/base")):
            ask(adapter)


def test_another_base_than_that_of_the_training_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = moved(folder, tmp_path)
    shutil.copy(folder / "whole/model/model.safetensors", tmp_path / "base/model.safetensors")
    with pytest.raises(UserError, match="base is not the model that this adapter was trained on"):
        adapter_base(adapter)


def test_an_adapter_of_another_maker_is_read_with_its_bases_tokenizer(folder: Path, tmp_path: Path) -> None:
    adapter = moved(folder, tmp_path)
    for path in adapter.iterdir():
        if not path.name.startswith("adapter"):
            path.unlink()
    own = load_network(adapter, torch.float32)
    assert torch.equal(logits(own), logits(load_network(folder / "whole/model", torch.float32)))
    tokenizer = load_tokenizer(adapter)
    assert stop_ids(tokenizer, adapter) == stop_ids(load_tokenizer(folder / "base"), folder / "base")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "only LoRA adapters are read"),
        ({"peft_type": "NONE"}, "cannot be read as an adapter"),
        ({"target_modules": ["nowhere"]}, "cannot be read as an adapter"),
    ],
)
def test_odd_adapters_are_refused(folder: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    adapter = moved(folder, tmp_path)
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=message):
        load_network(adapter, torch.float32)


def test_a_torn_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = moved(folder, tmp_path)
    (adapter / "adapter_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="cannot be read as an adapter"):
        load_network(adapter, torch.float32)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        load_network(adapter, torch.float32)
    (adapter / "adapter_config.json").write_text("[1]")
    with pytest.raises(UserError, match="must be a JSON object"):
        load_network(adapter, torch.float32)


def test_what_an_adapter_depends_on_is_its_base_too(folder: Path, tmp_path: Path) -> None:
    """In manifests both stand, and the adapter's own files hold the hash of the base."""
    inputs = json.loads((folder / "adapter/manifest.json").read_text())["inputs"]
    assert inputs[str(folder / "base")] == hash_path(folder / "base")
    noted = json.loads((folder / "adapter/model/base.json").read_text())
    assert noted == {"path": "../../base", "sha256": hash_path(folder / "base")}


# --- merging, and going on ------------------------------------------------------------------------


def test_merged_by_hand_it_is_the_model_that_was_saved_merged(folder: Path, tmp_path: Path) -> None:
    arguments = ["merge-adapter", "--model", str(folder / "adapter/model"), "--output", str(tmp_path / "one")]
    assert main(arguments) == 0
    assert hash_path(tmp_path / "one") == hash_path(folder / "whole/model")
    card = (tmp_path / "one/README.md").read_text()
    assert "library_name: transformers" in card
    arguments[-1] = str(tmp_path / "half")
    assert main([*arguments, "--dtype", "bfloat16"]) == 0
    assert {x.dtype for x in load_file(tmp_path / "half/model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == "bfloat16"


def test_a_whole_model_cannot_be_merged(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = str(folder / "base")
    assert main(["merge-adapter", "--model", base, "--output", str(tmp_path / "out")]) == 2
    assert "no adapter here" in capsys.readouterr().err


def test_sft_from_an_adapter_trains_it_on_and_stays_on_its_base(folder: Path, tmp_path: Path) -> None:
    train(folder / "data.jsonl", folder / "adapter/model", tmp_path / "on", lora=LORA)
    base = adapter_base(tmp_path / "on/model")
    assert base is not None
    assert base.resolve() == folder / "base"
    before, after = (
        load_file(path / "model/adapter_model.safetensors") for path in (folder / "adapter", tmp_path / "on")
    )
    assert before.keys() == after.keys()
    change = max(float((before[name] - after[name]).abs().max()) for name in before)
    assert 0 < change < 0.05  # 9 steps of at most 1e-3 each; a new adapter would begin elsewhere


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"rank": 8}, "an adapter with rank 4, and lora.rank asks for 8"),
        ({"alpha": 9}, "an adapter with alpha 8, and lora.alpha asks for 9"),
        ({"target_modules": ["q_proj"]}, "lora.target_modules asks for ..q_proj"),
    ],
)
def test_an_adapter_is_not_trained_on_as_another(
    folder: Path, tmp_path: Path, lora: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(
            folder / "data.jsonl",
            folder / "adapter/model",
            tmp_path / "on",
            lora=LORA.model_copy(update=lora),
        )


@pytest.mark.parametrize("name", ["q_prj", "lm_head"])
def test_layers_that_can_have_no_adapter_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"no layer '{name}' that can have an adapter; it has down_proj, "):
        train(folder / "data.jsonl", folder / "base", tmp_path / "on", lora=Lora(target_modules=[name]))


def test_without_lora_an_adapter_is_where_all_weights_start(folder: Path, tmp_path: Path) -> None:
    settings = {"learning_rate": 1e-9, "epochs": 1}
    train(folder / "data.jsonl", folder / "adapter/model", tmp_path / "all", **settings)
    one, other = (
        load_file(path / "model/model.safetensors") for path in (tmp_path / "all", folder / "whole")
    )
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], atol=1e-7, rtol=0)


# --- GRPO -----------------------------------------------------------------------------------------

ON = Lora(rank=4, alpha=8)


@pytest.fixture
def runs(problems: Path, folder: Path, letters: None) -> grpo_runs.Runs:
    return grpo_runs.Runs(problems, folder / "adapter/model")


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_grpo_trains_an_adapter_on_and_resumes_to_the_last_bit(
    runs: grpo_runs.Runs, folder: Path, tmp_path: Path, kl: float
) -> None:
    """With kl TRL keeps the adapter that it was given as the reference, beside the one that trains."""
    settings = grpo_runs.SETTINGS.model_copy(update={"lora": ON, "kl": kl})
    runs.train(tmp_path / "whole", settings)
    runs.train_killed(5, tmp_path / "killed", settings)
    runs.train(tmp_path / "killed", settings)
    assert grpo_runs.resumed_from(tmp_path / "killed") == "checkpoint-4"
    assert (tmp_path / "killed/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()
    assert hash_path(tmp_path / "killed/model") == hash_path(tmp_path / "whole/model")
    base = adapter_base(tmp_path / "whole/model")
    assert base is not None
    assert base.resolve() == folder / "base"
    assert not (tmp_path / "whole/model/ref").exists()


def test_grpo_of_all_weights_starts_from_the_merged_model(
    runs: grpo_runs.Runs, folder: Path, tmp_path: Path
) -> None:
    runs.train(tmp_path / "one")
    grpo_runs.Runs(runs.problems, folder / "whole/model").train(tmp_path / "other")
    assert grpo_runs.same(grpo_runs.weights(tmp_path / "one"), grpo_runs.weights(tmp_path / "other"))


def test_a_penalty_to_an_adapter_needs_adapters(runs: grpo_runs.Runs, tmp_path: Path) -> None:
    settings = grpo_runs.SETTINGS.model_copy(update={"kl": 0.1})
    with pytest.raises(UserError, match=r"grpo\.kl: the initialisation .* is an adapter: set grpo.lora"):
        runs.train(tmp_path / "run", settings)


# --- packages and number formats ------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"optimizer": "adamw_8bit"}, {"quantization": "nf4", "lora": LORA}])
def test_a_missing_package_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr("glow.config.packages.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)
    with pytest.raises(UserError, match=r"sft\.\w+ \w+: bitsandbytes is not installed"):
        train(tmp_path / "no data", tmp_path / "no model", tmp_path / "run", **settings)


@pytest.mark.extra("bitsandbytes")
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw_8bit"},
        {"lora": LORA, "quantization": "nf4", "optimizer": "paged_adamw_8bit"},
        {"lora": LORA, "quantization": "nf4", "precision": "bf16"},
    ],
)
def test_eight_and_four_bits_resume_to_the_last_bit(
    folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    train(folder / "data.jsonl", folder / "base", tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        train(folder / "data.jsonl", folder / "base", tmp_path / "killed", kill_at=5, **settings)
    train(folder / "data.jsonl", folder / "base", tmp_path / "killed", **settings)
    assert hash_path(tmp_path / "killed/model") == hash_path(tmp_path / "whole/model")
    for file in (tmp_path / "whole/model").glob("adapter_model.safetensors"):
        assert {values.dtype for values in load_file(file).values()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        ({"precision": "bf16"}, torch.bfloat16),
        ({"precision": "bf16", "saved_dtype": "float32"}, torch.float32),
        ({"precision": "fp32", "saved_dtype": "bfloat16"}, torch.bfloat16),
    ],
)
def test_a_whole_model_is_saved_in_the_format_asked_for(
    folder: Path, tmp_path: Path, settings: dict[str, Any], dtype: torch.dtype
) -> None:
    train(folder / "data.jsonl", folder / "base", tmp_path / "run", epochs=1, **settings)
    model = tmp_path / "run/model"
    assert {values.dtype for values in load_file(model / "model.safetensors").values()} == {dtype}
    assert json.loads((model / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    loaded = AutoModelForCausalLM.from_pretrained(model)
    assert loaded.dtype == dtype


def test_half_the_bytes_are_the_same_weights_rounded(folder: Path, tmp_path: Path) -> None:
    saved = {}
    for name in ("float32", "bfloat16"):
        train(folder / "data.jsonl", folder / "base", tmp_path / name, epochs=1, saved_dtype=name)
        saved[name] = load_file(tmp_path / name / "model/model.safetensors")
    assert saved["float32"].keys() == saved["bfloat16"].keys()  # a tied head is written once in both
    for name, values in saved["float32"].items():
        assert torch.equal(values.to(torch.bfloat16), saved["bfloat16"][name])
