"""Code of a model's own: refused in every stage, whatever stands on standard input, unless it is trusted."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.dynamic_module_utils

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


def test_an_implementation_of_transformers_own_is_none_of_that(model: Path) -> None:
    configured(model, "config.json", attn_implementation="eager")
    assert load_network(model, torch.float32).config._attn_implementation == "eager"
