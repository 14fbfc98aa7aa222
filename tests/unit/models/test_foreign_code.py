"""Code of a model's own: refused in every stage, whatever stands on standard input, unless it is trusted."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.dynamic_module_utils
from transformers import AutoModelForCausalLM

from glow import cli
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.models.foreign_code import refuse_foreign_code
from glow.models.load import load_network, load_tokenizer

CODE = """
from pathlib import Path
from transformers import Qwen2Config, Qwen2ForCausalLM

Path({trace!r}).write_text("the code ran")


class OwnConfig(Qwen2Config):
    model_type = "own"


class OwnForCausalLM(Qwen2ForCausalLM):
    config_class = OwnConfig
"""

AUTO_MAP = {"AutoConfig": "own_model.OwnConfig", "AutoModelForCausalLM": "own_model.OwnForCausalLM"}


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A file that is there when the model's code ran."""
    return tmp_path / "trace"


@pytest.fixture
def own(model: Path, trace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It, with code of its own that transformers does not know; and someone who says yes to anything."""
    (model / "own_model.py").write_text(CODE.format(trace=str(trace)))
    configured(model, "config.json", auto_map=AUTO_MAP, model_type="own", architectures=["OwnForCausalLM"])
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(model.parent / "modules"))
    monkeypatch.syspath_prepend(model.parent / "modules")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    return model


def configured(model: Path, name: str, **settings: Any) -> None:
    file = model / name
    document = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(document | settings))


def command(stage: str, model: Path, folder: Path) -> list[str]:
    """A stage on that model, with data of two questions."""
    rows = [
        {
            "problem_id": f"p-{n}", "question": f"Add {n} to 1.", "answer": str(n + 1), "family": "f",
            "format": "boxed", "trajectory_id": f"t-{n}", "response": f"\\boxed{{{n + 1}}}",
            "verdict": "correct",
        }
        for n in range(2)
    ]  # fmt: skip
    file = folder / "rows.jsonl"
    write_jsonl(file, rows)
    options = {
        "generate": ["--problems", file, "--output", folder / "out.jsonl", "--max-tokens=4", "--samples=1"],
        "sft": [
            "--data", file, "--all", file, "--output", folder / "run", "--seed=0", "--precision=fp32",
            "--epochs=1", "--max-length=200",
        ],
        "grpo": [
            "--problems", file, "--output", folder / "grpo", "--seed=0", "--steps=1", "--max-tokens=4",
            "--prompts=2", "--generations=2", "--precision=fp32",
        ],
        "evaluate": [
            "--suites", file, "--output", folder / "scores", "--seed=0", "--max-tokens=4",
            "--entropy-samples=0",
        ],
    }  # fmt: skip
    return [stage, "--model", str(model), *map(str, options[stage])]


STAGES = ("generate", "sft", "grpo", "evaluate")


@pytest.mark.parametrize("stage", STAGES)
def test_a_yes_on_standard_input_runs_nothing(
    stage: str, own: Path, trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command(stage, own, tmp_path)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 2
    assert "config.json: auto_map names code in the model's directory ('own_model.Own" in said[0]
    assert "trust_remote_code: true" in said[1] and "--trust-remote-code" in said[1]
    assert not trace.exists()


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_is_trusted_runs(stage: str, own: Path, trace: Path, tmp_path: Path) -> None:
    assert cli.main([*command(stage, own, tmp_path), "--trust-remote-code"]) == 0
    assert trace.read_text() == "the code ran"


def test_a_trained_model_still_has_its_code(own: Path, trace: Path, tmp_path: Path) -> None:
    assert cli.main([*command("sft", own, tmp_path), "--trust-remote-code"]) == 0
    trained = tmp_path / "run" / "model"
    assert (trained / "own_model.py").is_file()
    assert cli.main(command("evaluate", trained, tmp_path)) == 2
    assert cli.main([*command("evaluate", trained, tmp_path), "--trust-remote-code"]) == 0
    assert len(list(read_jsonl(tmp_path / "scores" / "samples.jsonl.gz"))) == 2


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("config.json", {"auto_map": {"AutoModel": "evil.Evil"}}),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "evil.Evil"}}}),
        ("tokenizer_config.json", {"auto_map": ["evil.Evil", None]}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "evil.Evil"}}),
        ("config.4.0.0.json", {"auto_map": {"AutoConfig": "evil.Evil"}}),
    ],
)
def test_code_is_seen_wherever_it_is_named(file: str, settings: dict[str, Any], model: Path) -> None:
    configured(model, file, **settings)
    with pytest.raises(
        UserError, match=rf"{file}: auto_map names code in the model's directory \('evil.Evil'\)"
    ):
        load_tokenizer(model)
    with pytest.raises(UserError, match="auto_map names code"):
        load_network(model, torch.float32)
    refuse_foreign_code(model, True)


@pytest.mark.parametrize("is_trusted", [False, True])
def test_code_of_another_repository_is_refused_always(is_trusted: bool, model: Path) -> None:
    configured(model, "config.json", auto_map={"AutoModelForCausalLM": "other/repo--modeling.Model"})
    with pytest.raises(UserError, match="auto_map names code of another repository") as refused:
        load_network(model, torch.float32, trust_remote_code=is_trusted)
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"attn_implementation": "evil/kernel"},
        {"_attn_implementation": "evil/kernel@main:function"},
        {"attn_implementation": "paged|evil/kernel"},
        {"attn_implementation": {"": "sdpa", "text_config": "evil/kernel"}},
        {"text_config": {"attn_implementation": "evil/kernel"}},
        {"experts_implementation": "evil/kernel"},
    ],
)
@pytest.mark.parametrize("is_trusted", [False, True])
def test_a_kernel_of_the_hub_is_refused_always(
    settings: dict[str, Any], is_trusted: bool, model: Path
) -> None:
    configured(model, "config.json", **settings)
    with pytest.raises(UserError, match="names a kernel of the Hugging Face hub") as refused:
        load_network(model, torch.float32, trust_remote_code=is_trusted)
    assert len(str(refused.value).splitlines()) == 2


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The package `kernels`, as far as transformers knows; the kernels that it was asked for."""
    asked: list[str] = []

    def get_kernel(name: str, **others: Any) -> None:
        asked.append(name)
        raise FileNotFoundError(name)

    for module in ("glow.models.foreign_code", "transformers.modeling_utils"):
        monkeypatch.setattr(f"{module}.is_kernels_available", lambda: True)
    monkeypatch.setattr("transformers.integrations.hub_kernels.is_kernels_available", lambda: True)
    monkeypatch.setattr("transformers.integrations.hub_kernels.get_kernel", get_kernel)
    return asked


@pytest.mark.parametrize(
    "settings",
    [
        {"attn_implementation": "flash_attention_2"},
        {"_attn_implementation": "flash_attention_3"},
        {"attn_implementation": "paged|flash_attention_2"},
        {"attn_implementation": {"": "flash_attention_4"}},
    ],
)
def test_no_kernel_is_fetched_for_flash_attention(
    settings: dict[str, Any], model: Path, kernels: list[str]
) -> None:
    configured(model, "config.json", **settings)
    with pytest.raises(UserError, match="with the package `kernels` installed") as refused:
        load_network(model, torch.float32)
    assert len(str(refused.value).splitlines()) == 2
    assert kernels == []
    with pytest.raises(ImportError, match="FlashAttention"):  # what is refused does ask for one
        AutoModelForCausalLM.from_pretrained(model, local_files_only=True)
    assert len(kernels) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"experts_implementation": "sonicmoe"},
        {"text_config": {"experts_implementation": "deepgemm"}},
        {"quantization_config": {"quant_method": "mxfp4"}},
        {"text_config": {"quantization_config": {"quant_method": "fp8"}}},
        {"model_type": "rwkv"},
    ],
)
def test_nor_for_experts_or_quantized_weights(
    settings: dict[str, Any], model: Path, kernels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(model, "config.json", **settings)
    with pytest.raises(UserError, match="with the package `kernels` installed") as refused:
        refuse_foreign_code(model, True)
    assert len(str(refused.value).splitlines()) == 2
    monkeypatch.setattr("glow.models.foreign_code.is_kernels_available", lambda: False)
    refuse_foreign_code(model, False)


def test_with_that_package_an_ordinary_model_is_loaded(model: Path, kernels: list[str]) -> None:
    configured(model, "config.json", attn_implementation="sdpa", experts_implementation="eager")
    load_network(model, torch.float32)
    assert kernels == []


def test_a_folder_named_like_a_configuration_is_named(model: Path) -> None:
    (model / "x_config.json").mkdir()
    with pytest.raises(UserError, match=r"x_config.json: cannot be read: Is a directory; mend or remove it"):
        refuse_foreign_code(model, False)


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_a_configuration_that_is_nested_too_deeply_is_named(depth: int, model: Path) -> None:
    (model / "x_config.json").write_text("[" * depth + '"text"' + "]" * depth)
    with pytest.raises(UserError, match=r"x_config.json: nested too deeply to be read; mend or remove it"):
        refuse_foreign_code(model, False)


def test_an_implementation_of_transformers_own_is_none_of_that(model: Path) -> None:
    configured(model, "config.json", attn_implementation="eager")
    assert load_network(model, torch.float32).config._attn_implementation == "eager"
