"""The chunked head against hand-made values, float64 autograd and TRL's head."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM
from trl.trainer.utils import add_fused_lm_head

from glow.training import head
from glow.training.head import use_chunked_head

chunked_log_probs = head._ChunkedLogProbs.apply

TOKENS, WIDTH, VOCABULARY = 23, 7, 31
CHUNKED = ("one chunk", "many chunks", "one token a chunk")


@pytest.fixture(params=CHUNKED)
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A byte budget for all tokens, for five float32 tokens (the last chunk is short), for less than one."""
    if request.param != "one chunk":
        rows = 5 if request.param == "many chunks" else 0
        monkeypatch.setattr(head, "CHUNK_BYTES", rows * VOCABULARY * 4)
    return request.param


def random_inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, weight, targets, and a weight a token for the loss."""
    draw = torch.Generator().manual_seed(0)
    sizes = [(TOKENS, WIDTH), (VOCABULARY, WIDTH)]
    hidden, weight = (
        torch.randn(size, generator=draw, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes
    )
    target = torch.randint(VOCABULARY, (TOKENS,), generator=draw)
    return hidden, weight, target, torch.rand(TOKENS, generator=draw, dtype=torch.float64)


def reference(hidden: Tensor, weight: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same by torch, in float64, with whole logits."""
    logits = torch.nn.functional.linear(hidden.double(), weight.double())
    log_p = logits.log_softmax(dim=1)
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    return log_p.gather(1, target[:, None])[:, 0], entropy, logits.argmax(dim=1) == target


def gradients(
    function: Callable[..., tuple[Tensor, Tensor, Tensor]],
    inputs: tuple[Tensor, Tensor, Tensor],
    share: Tensor,
) -> tuple[Tensor, ...]:
    log_prob = function(*inputs)[0]
    wanted = [x for x in inputs[:2] if x.requires_grad]
    return torch.autograd.grad((log_prob * share).sum(), wanted)


def test_by_hand() -> None:
    # logits: (0, 0), then (log 3, 0): p = (1/2, 1/2), then (3/4, 1/4)
    hidden = torch.tensor([[0.0], [math.log(3)]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    log_prob, entropy, is_top1 = chunked_log_probs(hidden, weight, torch.tensor([1, 1]))
    assert log_prob.tolist() == pytest.approx([-math.log(2), -math.log(4)], rel=1e-14)
    # H(3/4, 1/4) = log 4 - (3/4) log 3
    assert entropy.tolist() == pytest.approx([math.log(2), math.log(4) - 0.75 * math.log(3)], rel=1e-14)
    assert is_top1.tolist() == [True, False]  # of two equals none is likelier
    log_prob.sum().backward()
    # d log p(1) / d logit 0 = -p(0), and only logit 0 depends on hidden
    assert hidden.grad.flatten().tolist() == pytest.approx([-0.5, -0.75], rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torch(chunked: str, dtype: torch.dtype) -> None:
    *inputs, share = random_inputs(dtype)
    tolerance = {"rtol": 2e-6, "atol": 2e-6} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    ours, expected = chunked_log_probs(*inputs), reference(*inputs)
    assert ours[0].dtype == ours[1].dtype == dtype
    torch.testing.assert_close(ours[0].double(), expected[0], **tolerance)
    torch.testing.assert_close(ours[1].double(), expected[1], **tolerance)
    assert ours[2].tolist() == expected[2].tolist()
    for mine, theirs in zip(
        gradients(chunked_log_probs, inputs, share), gradients(reference, inputs, share), strict=True
    ):
        torch.testing.assert_close(mine.to(dtype), theirs.to(dtype), **tolerance)


def test_gradcheck(chunked: str) -> None:
    hidden, weight, target, _ = random_inputs()
    torch.autograd.gradcheck(
        lambda *inputs: chunked_log_probs(*inputs, target[:6])[0], (hidden[:6], weight), fast_mode=True
    )


def test_only_the_log_probability_has_a_gradient() -> None:
    *inputs, _ = random_inputs()
    log_prob, entropy, is_top1 = chunked_log_probs(*inputs)
    assert [x.requires_grad for x in (log_prob, entropy, is_top1)] == [True, False, False]


def test_no_buffer_is_larger_than_the_budget(chunked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = []
    original = head._chunks

    def noting(*args: object) -> object:
        for part, logits in original(*args):
            longest.append(len(logits))
            yield part, logits

    monkeypatch.setattr(head, "_chunks", noting)
    *inputs, _ = random_inputs(torch.float32)
    chunked_log_probs(*inputs)[0].sum().backward()
    chunks = {"one chunk": [23], "many chunks": [5, 5, 5, 5, 3], "one token a chunk": [1] * 23}[chunked]
    assert longest == chunks * 2  # forward and backward


def test_of_equals_each_is_the_likeliest() -> None:
    weight = torch.tensor([[0.0], [1.0], [1.0], [0.5]])
    hidden = torch.ones(4, 1)
    assert chunked_log_probs(hidden, weight, torch.arange(4))[2].tolist() == [False, True, True, False]


def test_frozen_weight_gets_no_gradient(chunked: str) -> None:
    hidden, weight, target, share = random_inputs()
    for inputs in ((hidden, weight.detach(), target), (hidden.detach(), weight, target)):
        (mine,) = gradients(chunked_log_probs, inputs, share)
        torch.testing.assert_close(mine, gradients(reference, inputs, share)[0])


def test_autocast_projects_in_bf16_and_keeps_float32_results(chunked: str) -> None:
    *inputs, share = random_inputs(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        log_prob, entropy, _ = chunked_log_probs(*inputs)
    expected = reference(*inputs)
    assert log_prob.dtype == entropy.dtype == torch.float32
    # bf16 keeps 8 bits: logits of up to 8 are off by up to 2^-6, which a softmax passes on
    torch.testing.assert_close(log_prob.double(), expected[0], rtol=0, atol=0.1)
    torch.testing.assert_close(entropy.double(), expected[1], rtol=0, atol=0.1)
    assert not torch.equal(log_prob, chunked_log_probs(*inputs)[0])
    mine = torch.autograd.grad((log_prob * share).sum(), inputs[:2])
    for ours, theirs in zip(mine, gradients(reference, inputs, share), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


def test_bf16_weights_get_bf16_gradients() -> None:
    *inputs, share = random_inputs(torch.bfloat16)
    log_prob = chunked_log_probs(*inputs)[0]
    assert log_prob.dtype == torch.float32
    for ours, theirs in zip(
        torch.autograd.grad((log_prob * share).sum(), inputs[:2]),
        gradients(reference, inputs, share),
        strict=True,
    ):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


def test_no_tokens_is_a_differentiable_nothing() -> None:
    hidden, weight, target, _ = random_inputs()
    log_prob, entropy, is_top1 = chunked_log_probs(hidden[:0], weight, target[:0])
    assert log_prob.shape == entropy.shape == is_top1.shape == (0,)
    log_prob.sum().backward()
    assert (weight.grad == 0).all() and (hidden.grad == 0).all()


# --- in a model ---------------------------------------------------------------------------------


def tiny_qwen2(temperature: float = 1.0, **settings: object) -> Qwen2ForCausalLM:
    """A random Qwen2 that has been through TRL's add_fused_lm_head."""
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.5,
        **settings,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Qwen2ForCausalLM(config)
    add_fused_lm_head(model, temperature, outputs=("log_probs", "entropy", "is_top1"))
    return model


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Two right-padded sequences whose first tokens are a prompt."""
    ids = torch.randint(VOCABULARY, (2, 12), generator=torch.Generator().manual_seed(2))
    attention = torch.ones_like(ids)
    attention[1, 8:] = 0
    labels = ids.masked_fill(attention == 0, -100)
    labels[:, :4] = -100
    return {"input_ids": ids, "attention_mask": attention, "labels": labels}


def compare(ours: Qwen2ForCausalLM, theirs: Qwen2ForCausalLM, inputs: dict[str, Tensor]) -> None:
    """Both heads' outputs, and the gradients of a weighted loss."""
    mine, expected = ours(**inputs, fused_lm_head=True), theirs(**inputs, fused_lm_head=True)
    assert list(mine.keys()) == list(expected.keys())
    for name in ("loss", "log_probs", "entropy"):
        torch.testing.assert_close(mine[name], expected[name], rtol=1e-5, atol=1e-6)
    for name in ("is_top1", "label_mask"):
        assert torch.equal(mine[name], expected[name])
    for outputs in (mine, expected):
        share = torch.linspace(0, 1, outputs.log_probs.numel()).view_as(outputs.log_probs)
        (outputs.log_probs * share).sum().backward()
    for (name, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (parameter.grad is None) == (other.grad is None), name
        if parameter.grad is not None:
            difference = (parameter.grad - other.grad).norm()
            assert difference <= 1e-5 * other.grad.norm(), name


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("call", ["plain", "num_items", "nothing_labelled"])
def test_equals_trl(chunked: str, batch: dict[str, Tensor], tied: bool, call: str) -> None:
    ours = tiny_qwen2(tie_word_embeddings=tied)
    theirs = tiny_qwen2(tie_word_embeddings=tied)
    assert use_chunked_head(ours)
    if call == "num_items":
        batch["num_items_in_batch"] = torch.tensor(5)
    if call == "nothing_labelled":
        batch["labels"][:] = -100
    compare(ours, theirs, batch)


@pytest.mark.parametrize("temperature", [0.6, 1.7])
def test_equals_trl_at_another_temperature(batch: dict[str, Tensor], temperature: float) -> None:
    ours, theirs = tiny_qwen2(), tiny_qwen2(temperature)
    use_chunked_head(ours, temperature)
    compare(ours, theirs, batch)


def test_equals_trl_with_gradient_checkpointing(batch: dict[str, Tensor]) -> None:
    ours, theirs = tiny_qwen2(), tiny_qwen2()
    use_chunked_head(ours)
    ours.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    ours.train()
    compare(ours, theirs.train(), batch)


def test_equals_trl_under_peft(batch: dict[str, Tensor]) -> None:
    adapted = [
        get_peft_model(tiny_qwen2(), LoraConfig(target_modules=["q_proj"], init_lora_weights=False, r=2))
        for _ in range(2)
    ]
    adapted[1].load_state_dict(copy.deepcopy(adapted[0].state_dict()))
    assert use_chunked_head(adapted[0].get_base_model())
    compare(*adapted, batch)


def test_other_calls_and_generation_are_unchanged(batch: dict[str, Tensor]) -> None:
    ours, theirs = tiny_qwen2(), tiny_qwen2()
    use_chunked_head(ours)
    mine, expected = ours(**batch), theirs(**batch)
    assert torch.equal(mine.logits, expected.logits) and torch.equal(mine.loss, expected.loss)
    prompt = {"input_ids": batch["input_ids"][:, :4], "attention_mask": batch["attention_mask"][:, :4]}
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(ours.generate(**prompt, **settings), theirs.generate(**prompt, **settings))
    with pytest.raises(ValueError, match="model_kwargs"):  # a mistyped argument is still found
        ours.generate(**prompt, **settings, misspelt=1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("final_logit_softcapping", 30.0),
        ("logit_scale", 0.5),
        ("output_multiplier", 2.0),
        ("lm_head_multiplier", 2.0),
        ("logits_scaling", 8.0),
        ("output_router_logits", False),
    ],
)
def test_models_whose_head_is_not_plain_keep_trls(setting: str, value: float | bool) -> None:
    model = tiny_qwen2()
    setattr(model.config, setting, value)
    before = model.forward
    assert not use_chunked_head(model)
    assert model.forward == before


def test_a_model_whose_head_has_a_bias_keeps_trls() -> None:
    model = tiny_qwen2()
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(VOCABULARY))
    before = model.forward
    assert not use_chunked_head(model)
    assert model.forward == before
