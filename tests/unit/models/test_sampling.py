"""Engines: the same samples whatever the batch, against independent references; and vLLM's mapping."""

import os
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from glow.config import Decoding, Prompt
from glow.config.models import EngineName
from glow.errors import UserError
from glow.models import load, truncation
from glow.models.engines import load_engine
from glow.models.sampling import Completion, Request, choose_tokens, uniforms

QUESTIONS = [
    "How many?",
    "Ann has 12 pens, buys 5, loses 3. How many pens now?",
    "1 + 1",
    "Start at p = 4. Turn left, then right, then left again, and go on for 3 steps. Where are you now?",
    "?",
    "List: 5 3 9 1. Sort it.",
    "true and false or true",
]


def requests(samples: int = 2) -> list[Request]:
    return [
        Request([{"role": "user", "content": question}], (7, f"p-{number}", index))
        for number, question in enumerate(QUESTIONS)
        for index in range(samples)
    ]


def sampled(model: Path, asked: list[Request], **settings: float) -> list[Completion]:
    engine = load_engine(model, Decoding(**{"max_tokens": 12, **settings}), Prompt())
    completions = engine.generate(asked)
    engine.close()
    return completions


# --- choosing a token ---------------------------------------------------------------------------


def choice(probabilities: list[float], uniform: float, temperature: float = 1.0, top_p: float = 1.0) -> int:
    logits = torch.tensor([probabilities], dtype=torch.float64).log()
    return int(choose_tokens(logits, temperature, top_p, torch.tensor([uniform], dtype=torch.float64)))


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.01, 0), (0.19, 0), (0.21, 1), (0.69, 1), (0.71, 2), (0.99, 2)]
)
def test_inverse_cdf_in_the_order_of_the_vocabulary(uniform: float, token: int) -> None:
    assert choice([0.2, 0.5, 0.3], uniform) == token


@pytest.mark.parametrize(
    ("top_p", "uniform", "token"),
    # Masses .5 .3 .2 (tokens 1 2 0). Top 0.4: token 1 alone. Top 0.7: tokens 1 and 2, at 5/8 and 3/8.
    [(0.4, 0.01, 1), (0.4, 0.99, 1), (0.7, 0.01, 1), (0.7, 0.62, 1), (0.7, 0.63, 2), (0.9, 0.19, 0)],
)
def test_nucleus_is_the_smallest_set_with_the_mass(top_p: float, uniform: float, token: int) -> None:
    assert choice([0.2, 0.5, 0.3], uniform, top_p=top_p) == token


@pytest.mark.parametrize("sharpness", [0.0, 0.03, 4.0])
@pytest.mark.parametrize("top_p", [0.3, 0.95, 0.99])
def test_the_nucleus_of_a_large_vocabulary_is_that_of_a_whole_sort(sharpness: float, top_p: float) -> None:
    """Of 656 tokens: almost all in it, more than are looked at first, or a few; never two equally likely."""
    draw = torch.Generator().manual_seed(0)
    logits = sharpness * torch.randn(8, 656, generator=draw) + 1e-4 * torch.randperm(656, generator=draw)
    probabilities = torch.softmax(logits.double(), -1)
    ordered, order = probabilities.sort(-1, descending=True)
    outside = torch.zeros_like(probabilities, dtype=torch.bool)
    outside.scatter_(-1, order, ordered.cumsum(-1) - ordered >= top_p)
    found = truncation._outside_nucleus(probabilities, top_p)
    assert torch.equal(found, outside)
    assert 0 < outside.sum() < outside.numel()


@pytest.mark.parametrize(("uniform", "token"), [(0.65, 0), (0.68, 1)])
def test_temperature_two_takes_the_square_root_of_the_odds(uniform: float, token: int) -> None:
    assert choice([0.8, 0.2], uniform, temperature=2.0) == token  # sqrt(4) : 1 = 2/3 : 1/3


def test_temperature_zero_takes_the_most_probable() -> None:
    assert choice([0.2, 0.5, 0.3], 0.999, temperature=0.0) == 1


@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=8).filter(lambda w: sum(w) > 1e-3),
    uniform=st.floats(0.5 / 2**32, 1 - 0.5 / 2**32),
    top_p=st.floats(0.01, 1),
)
def test_a_token_without_mass_is_never_chosen(weights: list[float], uniform: float, top_p: float) -> None:
    total = sum(weights)
    probabilities = [weight / total for weight in weights]
    assert probabilities[choice(probabilities, uniform, top_p=top_p)] > 0


# --- randomness ---------------------------------------------------------------------------------


def test_uniforms_belong_to_the_key() -> None:
    stream = uniforms((0, "p-1", 0), 5)
    assert stream.tolist() == uniforms((0, "p-1", 0), 9)[:5].tolist()
    others = [uniforms(key, 5).tolist() for key in [(1, "p-1", 0), (0, "p-2", 0), (0, "p-1", 1)]]
    assert len({tuple(other) for other in [stream.tolist(), *others]}) == 4


def test_uniforms_never_change() -> None:
    """A change of these values changes every sample of every experiment."""
    assert np.round(uniforms((0, "p-1", 0), 4), 6).tolist() == FIXED_UNIFORMS


FIXED_UNIFORMS = [0.947556, 0.900833, 0.077003, 0.289789]


def test_uniforms_are_uniform() -> None:
    stream = np.concatenate([uniforms((0, f"p-{number}", 0), 50) for number in range(200)])
    assert stream.min() > 0 and stream.max() < 1
    # 10,000 draws: each tenth holds 1,000, give or take four standard deviations of 30.
    assert all(abs(count - 1000) < 120 for count in np.histogram(stream, 10, (0, 1))[0])


# --- decoding -----------------------------------------------------------------------------------


def reference(model: Path, request: Request, temperature: float, top_p: float, count: int) -> list[int]:
    """Sample one request alone: no cache, no padding, plain Python for the nucleus and the CDF."""
    network, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    text = tokenizer.apply_chat_template(request.messages, add_generation_prompt=True, tokenize=False)
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    ids: list[int] = []
    for uniform in uniforms(request.key, count):
        with torch.inference_mode():
            logits = network(torch.tensor([prompt + ids])).logits[0, -1].double().numpy()
        weights = np.exp((logits - logits.max()) / temperature)
        weights /= weights.sum()
        mass, nucleus = 0.0, []
        for token in sorted(range(len(weights)), key=lambda token: -weights[token]):
            nucleus.append(token)
            mass += weights[token]
            if mass >= top_p:
                break
        target = uniform * mass
        for token in sorted(nucleus):
            target -= weights[token]
            if target < 0:
                break
        if token == tokenizer.eos_token_id:
            return ids
        ids.append(token)
    return ids


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_matches_sampling_one_token_at_a_time(tiny_model: Path, top_p: float) -> None:
    asked = requests(samples=1)
    got = sampled(tiny_model, asked, temperature=1.3, top_p=top_p)
    expected = [reference(tiny_model, request, 1.3, top_p, 12) for request in asked]
    assert [completion.token_ids for completion in got] == expected


def other_architectures(tokenizer_of: Path, directory: Path) -> dict[str, Path]:
    """Random models beside Qwen2's plain layers: grouped keys, sliding windows, another family."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    size = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.5,
    }
    sliding = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    torch.manual_seed(0)
    networks = {
        "qwen2-grouped": Qwen2ForCausalLM(Qwen2Config(**size)),
        "qwen2-sliding": Qwen2ForCausalLM(Qwen2Config(**size, **sliding)),
        "llama": LlamaForCausalLM(LlamaConfig(**size)),
    }
    for name, network in networks.items():
        network.save_pretrained(directory / name)
        tokenizer.save_pretrained(directory / name)
    return {name: directory / name for name in networks}


def test_greedy_is_that_of_generate_for_other_architectures(tiny_model: Path, tmp_path: Path) -> None:
    for name, model in other_architectures(tiny_model, tmp_path).items():
        network, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
        for completion, request in zip(sampled(model, requests(1), temperature=0), requests(1), strict=True):
            prompt = torch.tensor([load.prompt_ids(tokenizer, request.messages)])
            full = network.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12,
                eos_token_id=load.stop_ids(tokenizer, model), pad_token_id=0,
            )  # fmt: skip
            expected = full[0, prompt.shape[1] :].tolist()
            stopped = [tokenizer.eos_token_id] if completion.finish_reason == "stop" else []
            assert completion.token_ids + stopped == expected, name
            assert completion.prompt_tokens == prompt.shape[1]


def test_batch_size_and_order_change_nothing(tiny_model: Path) -> None:
    asked = requests()
    expected = sampled(tiny_model, asked, batch_size=64)
    for batch_size in (1, 3):
        assert sampled(tiny_model, asked, batch_size=batch_size) == expected
    assert sampled(tiny_model, asked[::-1], batch_size=4)[::-1] == expected
    assert sampled(tiny_model, asked[3:5], batch_size=64) == expected[3:5]
    assert len({completion.text for completion in expected}) > len(asked) / 2


def ending_at(model: Path, directory: Path, token: int) -> Path:
    """A copy of the model that ends at another token too, so that responses end at different lengths."""
    network, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    network.generation_config.eos_token_id = [token, tokenizer.eos_token_id]
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_rows_that_end_early_leave_the_batch_and_lose_their_stop_token(
    tiny_model: Path, tmp_path: Path
) -> None:
    asked = requests(samples=4)
    long = sampled(tiny_model, asked, max_tokens=30)
    # The most common token, so that most rows end, at all kinds of places.
    tokens = [token for completion in long for token in completion.token_ids]
    stop = max(set(tokens), key=tokens.count)
    short = sampled(ending_at(tiny_model, tmp_path, stop), asked, max_tokens=30)
    for before, after in zip(long, short, strict=True):
        if stop in before.token_ids:
            assert after.token_ids == before.token_ids[: before.token_ids.index(stop)]
            assert after.finish_reason == "stop"
        else:
            assert after.token_ids == before.token_ids
    assert len({len(completion.token_ids) for completion in short}) > 5


def test_length_is_the_finish_reason_when_tokens_run_out(tiny_model: Path) -> None:
    completions = sampled(tiny_model, requests(), max_tokens=3, temperature=1.5)
    assert {len(c.token_ids) for c in completions if c.finish_reason == "length"} == {3}
    assert all(len(c.token_ids) < 3 for c in completions if c.finish_reason == "stop")


def test_on_done_tells_each_completion_once(tiny_model: Path) -> None:
    told: dict[int, Completion] = {}
    engine = load_engine(tiny_model, Decoding(max_tokens=6, batch_size=4), Prompt())
    completions = engine.generate(requests(), lambda index, completion: told.update({index: completion}))
    assert [told[index] for index in range(len(told))] == completions


def test_context_bounds_the_response(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer, asked = AutoTokenizer.from_pretrained(tiny_model), requests(samples=1)[:3]
    lengths = [len(load.prompt_ids(tokenizer, request.messages)) for request in asked]
    network = AutoModelForCausalLM.from_pretrained(tiny_model)
    network.config.max_position_embeddings = context = max(lengths)
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    completions = sampled(tmp_path, asked, max_tokens=10_000, temperature=0)
    for length, completion in zip(lengths, completions, strict=True):
        assert len(completion.token_ids) <= context - length
        assert completion.finish_reason == "stop" or len(completion.token_ids) == context - length
    longest = completions[lengths.index(context)]
    assert (longest.text, longest.token_ids, longest.finish_reason) == ("", [], "length")
    assert f"1 of 3 prompts fill the context of {context} tokens" in capsys.readouterr().err


def test_no_requests_no_completions(tiny_model: Path) -> None:
    assert sampled(tiny_model, []) == []


# --- models -------------------------------------------------------------------------------------


def test_turns_end_as_the_template_says(tiny_model: Path, tmp_path: Path) -> None:
    """Qwen2.5's base models name <|endoftext|> as their end, but their template ends turns otherwise."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(tmp_path)
    assert end != tokenizer.eos_token_id
    assert load.turn_end(tokenizer) == end
    assert load.stop_ids(tokenizer, tmp_path) == sorted([end, tokenizer.eos_token_id])


def test_a_path_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no model here \(no config.json: no such folder\)"):
        load_engine(tmp_path / "nowhere", Decoding(max_tokens=1), Prompt())


def test_a_model_without_a_chat_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((tiny_model / "config.json").read_text())
    with pytest.raises(UserError, match="its tokenizer has no chat template"):
        load_engine(tmp_path, Decoding(max_tokens=1), Prompt())


def test_a_model_without_weights_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((tiny_model / "config.json").read_text())
    with pytest.raises(UserError, match="no safetensors weights"):
        load_engine(tmp_path, Decoding(max_tokens=1), Prompt())


def test_a_template_that_refuses_the_prompt_is_named(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(
        UserError, match=r"refuses the prompt: System role not supported; change prompt\.system"
    ):
        load.prompt_ids(tokenizer, [{"role": "system", "content": "Be right."}])


@pytest.mark.parametrize("name", ["transformers", "vllm"])
def test_a_completion_says_that_its_prompt_opened_a_thought(
    name: EngineName, tiny_model: Path, fake_vllm: None
) -> None:
    for template, is_open in (("deepseek_r1_distill", True), ("qwen3", False)):
        engine = load_engine(tiny_model, Decoding(engine=name, max_tokens=1), Prompt(chat_template=template))
        assert {completion.thought_open for completion in engine.generate(requests())} == {is_open}
        engine.close()
    marks = Prompt(chat_template="deepseek_r1_distill", thought=("<a>", "</a>"))
    engine = load_engine(tiny_model, Decoding(engine=name, max_tokens=1), marks)
    assert {completion.thought_open for completion in engine.generate(requests())} == {False}


# --- vLLM ---------------------------------------------------------------------------------------

FakeParameters = namedtuple(
    "FakeParameters", "temperature top_p top_k min_p stop max_tokens seed stop_token_ids detokenize"
)


class FakeLLM:
    """Answers each prompt with its own tokens: ended by a stop token when the prompt is short."""

    def __init__(self, **options: object) -> None:
        self.options = options
        self.stopped = False
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=self._shutdown))

    def _shutdown(self) -> None:
        self.stopped = True

    def generate(
        self, prompts: list[dict], parameters: list[FakeParameters], use_tqdm: bool, lora_request: object
    ) -> list[SimpleNamespace]:
        self.parameters = parameters
        outputs = []
        for prompt, setting in zip(prompts, parameters, strict=True):
            ids = prompt["prompt_token_ids"][: setting.max_tokens]
            if len(ids) < setting.max_tokens:
                ids = [*ids, setting.stop_token_ids[0]]
            outputs.append(SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids, finish_reason="?")]))
        return outputs


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(LLM=FakeLLM, SamplingParams=FakeParameters, TokensPrompt=dict)
    monkeypatch.setitem(sys.modules, "vllm", module)


def test_vllm_requests_and_responses_are_mapped(tiny_model: Path, fake_vllm: None) -> None:
    """What this covers: our side of the interface, against a stand-in that we wrote ourselves.

    Prompts as token ids, parameters per request, order kept over chunks sorted by length, the stop
    token taken off. It does not show that vLLM accepts these calls or what it samples.
    """
    engine = load_engine(
        tiny_model, Decoding(engine="vllm", max_tokens=25, temperature=0.6, top_p=0.95), Prompt()
    )
    asked = requests()
    completions = engine.generate(asked)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    for request, completion in zip(asked, completions, strict=True):
        prompt = load.prompt_ids(tokenizer, request.messages)
        assert completion.token_ids == prompt[:25]
        assert completion.prompt_tokens == len(prompt)
        assert completion.finish_reason == ("stop" if len(prompt) < 25 else "length")
        assert completion.text == tokenizer.decode(completion.token_ids, skip_special_tokens=True)
    assert {c.finish_reason for c in completions} == {"stop", "length"}
    parameters = engine._llm.parameters
    assert {(p.temperature, p.top_p, p.max_tokens, p.detokenize) for p in parameters} == {
        (0.6, 0.95, 25, False)
    }
    assert len({p.seed for p in parameters}) == len(asked)
    assert all(0 <= p.seed < 2**63 for p in parameters)
    assert engine._llm.options["model"] == str(tiny_model)
    assert engine._llm.options["trust_remote_code"] is False


@pytest.mark.parametrize(("given", "used"), [(None, "2"), ("40", "40")])
def test_vllm_takes_little_of_a_machines_memory_unless_told(
    tiny_model: Path, fake_vllm: None, monkeypatch: pytest.MonkeyPatch, given: str | None, used: str
) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    if given is not None:
        monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", given)
    load_engine(tiny_model, Decoding(engine="vllm", max_tokens=5), Prompt())
    assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == used


def test_vllm_seeds_do_not_depend_on_the_order(tiny_model: Path, fake_vllm: None) -> None:
    """Our side only: that the same sample is given the same seed, wherever it stands."""
    engine = load_engine(tiny_model, Decoding(engine="vllm", max_tokens=5), Prompt())
    seeds = []
    for asked in (requests(), requests()[::-1], requests()[2:3]):
        engine.generate(asked)
        order = sorted(range(len(asked)), key=lambda i: (-len(engine._rendered(asked)[i][0]), i))
        seeds.append({asked[i].key: p.seed for i, p in zip(order, engine._llm.parameters, strict=True)})
    assert seeds[0] == seeds[1]
    assert seeds[2].items() <= seeds[0].items()


def test_vllm_is_stopped_on_close(tiny_model: Path, fake_vllm: None) -> None:
    engine = load_engine(tiny_model, Decoding(engine="vllm", max_tokens=5), Prompt())
    llm = engine._llm
    engine.close()
    assert llm.stopped


def test_without_vllm_the_message_says_how_to_get_it(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    said = r"engine vllm: vLLM is not installed .*: make setup EXTRAS=vllm, or pip install -c constraints.txt"
    with pytest.raises(UserError, match=said):
        load_engine(tiny_model, Decoding(engine="vllm", max_tokens=5), Prompt())
