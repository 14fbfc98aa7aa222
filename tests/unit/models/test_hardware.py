"""What an engine runs on: what vLLM is told, and what is refused, against a stand-in that we wrote."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoTokenizer

from glow.config import AnswerSettings, Decoding, EngineHardware, Evaluation, Prompt
from glow.errors import UserError
from glow.evaluation.lm_eval_model import GlowModel
from glow.models import load
from glow.models.adapters import adapter_base
from glow.models.engines import load_engine
from glow.models.sampling import Request

VLLM = Decoding(engine="vllm", max_tokens=20, stop=["so", "\n"], top_k=5, min_p=0.1)


class Recorder:
    """Notes how it is made and asked, and answers with one token."""

    made: list[dict[str, Any]]
    asked: list[dict[str, Any]]

    def __init__(self, **options: Any) -> None:
        self.made.append(options)

    def generate(self, prompts: list[Any], parameters: list[Any], **options: Any) -> list[SimpleNamespace]:
        self.asked.append({"parameters": parameters, **options})
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=[5])]) for _ in prompts]


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    Recorder.made, Recorder.asked = [], []
    module = SimpleNamespace(LLM=Recorder, SamplingParams=SimpleNamespace, TokensPrompt=dict)
    monkeypatch.setitem(sys.modules, "vllm", module)
    request = SimpleNamespace(LoRARequest=lambda *given: given)
    monkeypatch.setitem(sys.modules, "vllm.lora.request", request)
    monkeypatch.setitem(sys.modules, "vllm.lora", SimpleNamespace(request=request))
    return Recorder


def question(words: int = 1) -> Request:
    return Request([{"role": "user", "content": "1 + " * words}], (0, "p", 0))


def test_vllm_is_told_nothing_that_is_not_set(tiny_model: Path, vllm: type[Recorder]) -> None:
    load_engine(tiny_model, VLLM, Prompt())
    (made,) = vllm.made
    assert (made["tensor_parallel_size"], made["enforce_eager"]) == (1, False)
    assert not made.keys() & {"gpu_memory_utilization", "enable_lora", "max_lora_rank"}
    assert made["max_model_len"] == min(load.context_size(load.load_model(tiny_model)[0].config), 8212)


def test_vllm_is_told_what_is_set(tiny_model: Path, vllm: type[Recorder]) -> None:
    hardware = EngineHardware(tensor_parallel=4, gpu_memory_percent=85, max_model_len=100, enforce_eager=True)
    load_engine(tiny_model, VLLM, Prompt(), hardware).generate([question()])
    (made,), (asked,) = vllm.made, vllm.asked
    wanted = {"tensor_parallel_size": 4, "gpu_memory_utilization": 0.85, "max_model_len": 100,
              "enforce_eager": True}  # fmt: skip
    assert {key: made[key] for key in wanted} == wanted
    (parameters,) = asked["parameters"]
    assert (parameters.top_k, parameters.min_p, parameters.stop) == (5, 0.1, ["so", "\n"])
    assert parameters.detokenize  # or vLLM would see no text to find a stop string in
    assert asked["lora_request"] is None


def test_what_does_not_fit_into_max_model_len_is_refused_and_not_cut(
    tiny_model: Path, vllm: type[Recorder]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    length = len(load.prompt_ids(tokenizer, question(10).messages))
    fits = load_engine(tiny_model, VLLM, Prompt(), EngineHardware(max_model_len=length + 20))
    fits.generate([question(1), question(10)])
    (one, other) = vllm.asked[0]["parameters"]
    assert (one.max_tokens, other.max_tokens) == (20, 20)
    engine = load_engine(tiny_model, VLLM, Prompt(), EngineHardware(max_model_len=length + 19))
    with pytest.raises(
        UserError, match=rf"take {length + 20} tokens, and max_model_len is {length + 19}; raise"
    ):
        engine.generate([question(1), question(10)])
    assert len(vllm.asked) == 1


def test_more_devices_than_there_are_are_refused(
    tiny_model: Path, vllm: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    load_engine(tiny_model, VLLM, Prompt(), EngineHardware(tensor_parallel=2))
    with pytest.raises(UserError, match=r"tensor_parallel 3, and 2 GPU\(s\) are here"):
        load_engine(tiny_model, VLLM, Prompt(), EngineHardware(tensor_parallel=3))


def test_the_transformers_engine_takes_one_device(tiny_model: Path) -> None:
    decoding = Decoding(max_tokens=1)
    with pytest.raises(UserError, match="engine transformers runs on one device, and 2 are given to it"):
        load_engine(tiny_model, decoding, Prompt(), EngineHardware(tensor_parallel=2))
    load_engine(tiny_model, decoding, Prompt(), EngineHardware(max_model_len=1, enforce_eager=True)).close()


def test_lm_eval_takes_it_as_arguments_of_the_model(tiny_model: Path, vllm: type[Recorder]) -> None:
    asked = GlowModel(str(tiny_model), "vllm", tensor_parallel=2, gpu_memory_percent=50)
    asked.tested.sample([question()], VLLM, lambda place, completion: None)
    assert vllm.made[0]["tensor_parallel_size"] == 2
    assert vllm.made[0]["gpu_memory_utilization"] == 0.5
    with pytest.raises(UserError, match="--model_args tensor_parallel: Input should be greater than 0"):
        GlowModel(str(tiny_model), "vllm", tensor_parallel=0)


def test_hardware_is_no_part_of_what_numbers_depend_on() -> None:
    plain = AnswerSettings(evaluation=Evaluation(max_tokens=5), seed=0)
    other = plain.model_copy(update={"hardware": EngineHardware(tensor_parallel=8)})
    assert plain.decisive() == other.decisive()
    assert "hardware" not in plain.decisive()


def test_settings_of_the_decoding_are_unless_they_have_their_defaults() -> None:
    """So results of a version without them are those of this one, and are not made again."""
    plain = Decoding(max_tokens=5).decisive()
    assert not {"top_k", "min_p", "stop"} & plain.keys()
    for key, value in {"top_k": 3, "min_p": 0.1, "stop": ["x"]}.items():
        assert Decoding(max_tokens=5, **{key: value}).decisive() == plain | {key: value}


@pytest.mark.parametrize(
    "wrong", [{"gpu_memory_percent": 0.9}, {"gpu_memory_percent": 101}, {"tensor_parallel": 0}]
)
def test_hardware_out_of_bounds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        EngineHardware(**wrong)


# --- adapters -----------------------------------------------------------------------------------


def adapter(folder: Path, base: Path, **settings: Any) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(base) if base.is_dir() else None
    folder.mkdir()
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    written = {"base_model_name_or_path": str(base), "r": 4, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(written))
    return folder


def test_vllm_runs_an_adapter_beside_its_base(tiny_model: Path, tmp_path: Path, vllm: type[Recorder]) -> None:
    folder = adapter(tmp_path / "adapter", tiny_model)
    assert adapter_base(folder) == tiny_model
    assert adapter_base(tiny_model) is None
    load_engine(folder, VLLM, Prompt()).generate([question()])
    (made,), (asked,) = vllm.made, vllm.asked
    assert made["model"] == str(tiny_model)
    assert made["tokenizer"] == str(folder)
    assert (made["enable_lora"], made["max_lora_rank"]) == (True, 8)
    assert asked["lora_request"] == ("adapter", 1, str(folder))


@pytest.mark.parametrize(("rank", "pattern", "room"), [(1, {}, 1), (8, {"q_proj": 17}, 32), (300, {}, 320)])
def test_vllm_makes_room_for_the_largest_rank(
    rank: int, pattern: dict[str, int], room: int, tiny_model: Path, tmp_path: Path, vllm: type[Recorder]
) -> None:
    load_engine(adapter(tmp_path / "a", tiny_model, r=rank, rank_pattern=pattern), VLLM, Prompt())
    assert vllm.made[0]["max_lora_rank"] == room


def test_a_rank_that_vllm_does_not_know_is_refused(
    tiny_model: Path, tmp_path: Path, vllm: type[Recorder]
) -> None:
    with pytest.raises(UserError, match="an adapter of rank 513; vLLM takes 512 at most; merge it"):
        load_engine(adapter(tmp_path / "a", tiny_model, r=513), VLLM, Prompt())


def test_an_adapter_without_its_base_is_refused(tmp_path: Path, vllm: type[Recorder]) -> None:
    with pytest.raises(UserError, match=r"an adapter without its base: no model in .*nowhere"):
        load_engine(adapter(tmp_path / "a", tmp_path / "nowhere"), VLLM, Prompt())
