"""planning.activations: what autograd keeps, what a step takes at its peak, and what an H200 had."""

import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from transformers import Qwen2Config, Qwen2ForCausalLM
from trl.trainer.utils import add_fused_lm_head

from glow.planning.activations import Batch, Format, between_layers, kept_in_layer, peak, stream
from glow.planning.shapes import Shape, of_hub
from glow.training.head import use_chunked_head

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
WORDS = 512


def shape(layers: int, width: int = 256, inner: int = 1024, heads: int = 4, kv_heads: int = 2) -> Shape:
    return Shape(
        layers, width, inner, heads, kv_heads, width // heads, WORDS, tied=False, context=4096, qkv_bias=True
    )


def network(of: Shape, numbers: Format, *, recomputes: bool = False, rank: int = 0) -> Any:
    """A Qwen2 of that shape; below adapters and for 16 bits its weights are bfloat16."""
    config = Qwen2Config(
        vocab_size=WORDS,
        hidden_size=of.width,
        intermediate_size=of.inner,
        num_hidden_layers=of.layers,
        num_attention_heads=of.heads,
        num_key_value_heads=of.kv_heads,
        attn_implementation="sdpa",
        tie_word_embeddings=False,
    )
    made: Any = Qwen2ForCausalLM(config).to(torch.bfloat16 if numbers == "16" else torch.float32)
    if rank:
        made = get_peft_model(made, LoraConfig(r=rank, target_modules="all-linear"))
        for weights in made.parameters():
            if weights.requires_grad:
                weights.data = weights.data.float()
    if recomputes:
        made.enable_input_require_grads()
        made.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return made.train()


def kept(of: Shape, batch: Batch) -> int:
    """Bytes that autograd keeps of a forward pass, without weights."""
    made = network(of, batch.numbers, recomputes=batch.recomputes, rank=batch.rank)
    own = {weights.untyped_storage().data_ptr() for weights in made.parameters()}
    seen: dict[int, tuple[int, Any]] = {}

    def pack(values: torch.Tensor) -> torch.Tensor:
        storage = values.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes(), values
        return values

    backbone = made.base_model.model.model if batch.rank else made.model
    mixed = batch.numbers == "autocast" or bool(batch.rank)
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda values: values),
        torch.autocast("cpu", torch.bfloat16, enabled=mixed),
    ):
        backbone(input_ids=torch.randint(WORDS, (batch.rows, batch.length)), use_cache=False)
    return sum(size for size, _ in seen.values())


@pytest.mark.parametrize("numbers", ["16", "autocast", "32"])
@pytest.mark.parametrize(
    ("width", "inner", "heads", "kv_heads"), [(256, 1024, 4, 2), (256, 2048, 4, 4), (512, 1024, 8, 2)]
)
def test_a_layer_keeps_what_autograd_keeps(
    numbers: Format, width: int, inner: int, heads: int, kv_heads: int
) -> None:
    one, more = (shape(layers, width, inner, heads, kv_heads) for layers in (1, 2))
    batch = Batch(rows=1, length=512, numbers=numbers, recomputes=False, accumulates=False)
    found = kept(more, batch) - kept(one, batch)
    copies = 2 * one.layer_matrices if numbers == "autocast" else 0  # counted apart, as they are made anew
    assert kept_in_layer(one, batch) == pytest.approx(found - copies, rel=0.01)


def test_adapters_keep_a_little_more() -> None:
    batch = Batch(rows=1, length=512, numbers="16", recomputes=False, accumulates=False, rank=16)
    found = kept(shape(2), batch) - kept(shape(1), batch)
    assert kept_in_layer(shape(1), batch) == pytest.approx(found, rel=0.02)


@pytest.mark.parametrize(("numbers", "rank"), [("16", 0), ("autocast", 0), ("32", 0), ("16", 8)])
def test_a_layer_that_is_computed_again_keeps_its_input_alone(numbers: Format, rank: int) -> None:
    batch = Batch(rows=2, length=256, numbers=numbers, recomputes=True, accumulates=False, rank=rank)
    assert kept(shape(3), batch) - kept(shape(2), batch) == stream(shape(1), batch)
    assert between_layers(shape(3), batch) == 3 * stream(shape(1), batch)


class Allocations(TorchDispatchMode):
    """Counts the bytes of all tensors that are made under it and still there, but for those of before."""

    def __init__(self, before: list[torch.Tensor]) -> None:
        super().__init__()
        self.now = self.most = 0
        self.before = {values.untyped_storage()._cdata for values in before}
        self.seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._count, made)
        return made

    def _count(self, values: torch.Tensor) -> None:
        storage = values.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.before or (key in self.seen and self.seen[key]() is not None):
            return
        self.now += size
        self.most = max(self.most, self.now)

        def gone(_: Any) -> None:
            self.now -= size
            del self.seen[key]

        self.seen[key] = weakref.ref(storage, gone)


def peak_of_a_step(of: Shape, batch: Batch) -> int:
    """Bytes that a step holds at its peak on a CPU, gradients of the step before included, weights not."""
    made = network(of, batch.numbers, recomputes=batch.recomputes)
    add_fused_lm_head(made)
    use_chunked_head(made)
    ids = torch.randint(WORDS, (batch.rows, batch.length))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=batch.numbers == "autocast"):
            loss = made(input_ids=ids, labels=ids, fused_lm_head=True).loss
        loss.backward()

    weights = list(made.parameters())
    gradients: list[torch.Tensor] = []
    if batch.accumulates:
        step()
        gradients = [own.grad for own in weights if own.grad is not None]
    held = sum(own.untyped_storage().nbytes() for own in gradients)
    with Allocations([*weights, *gradients, ids]) as counted:
        step()
    return held + counted.most


@pytest.mark.parametrize("numbers", ["16", "autocast", "32"])
@pytest.mark.parametrize("accumulates", [False, True])
def test_a_step_takes_what_it_takes_at_its_peak(numbers: Format, accumulates: bool) -> None:
    """Nothing is underestimated by more than a fiftieth, nor overestimated by more than a seventh."""
    of = shape(6, width=512, inner=2048, heads=8, kv_heads=4)
    batch = Batch(rows=1, length=768, numbers=numbers, recomputes=True, accumulates=accumulates)
    gradients = (2 if numbers == "16" else 4) * of.parameters
    expected = peak(of, batch, gradients, on_cpu=True)
    assert 0.98 < expected / peak_of_a_step(of, batch) < 1.15


@pytest.mark.parametrize("size", ["0.5B", "1.5B"])
def test_the_peak_on_an_h200_is_what_was_measured(size: str) -> None:
    """benchmarks/memory.py: weights, gradients and Adam in bf16, 8 x 4,096 tokens, recomputed."""
    of = of_hub(f"Qwen/Qwen2.5-{size}")
    assert of is not None
    found = json.loads((RESULTS / f"memory-qwen2.5-{size.lower()}-nvidia-h200.json").read_text())["bytes"][
        "glow"
    ]
    batch = Batch(rows=8, length=4096, numbers="16", recomputes=True, accumulates=False)
    expected = 4 * of.parameters + peak(of, batch, 2 * of.parameters)
    assert expected == pytest.approx(found["peak"] - found["before"], rel=0.005)


@pytest.mark.parametrize(
    ("size", "case", "rows"), [("0.5B", "full", 8), ("0.5B", "single-32k", 1), ("1.5B", "full", 8)]
)
def test_without_recomputation_too(size: str, case: str, rows: int) -> None:
    """benchmarks/throughput.py: the same in rows of 4,096 tokens, or one of 32,768."""
    of = of_hub(f"Qwen/Qwen2.5-{size}")
    assert of is not None
    found = json.loads((RESULTS / f"throughput-qwen2.5-{size.lower()}-nvidia-h200.json").read_text())[case]
    batch = Batch(rows=rows, length=32768 // rows, numbers="16", recomputes=False, accumulates=False)
    expected = 6 * of.parameters + peak(of, batch, 2 * of.parameters)
    assert expected == pytest.approx(found["peak_bytes"], rel=0.015)


BATCHES = st.builds(
    Batch,
    rows=st.integers(1, 16),
    length=st.integers(1, 2**15),
    numbers=st.sampled_from(["16", "autocast", "32"]),
    recomputes=st.booleans(),
    accumulates=st.booleans(),
    eager=st.booleans(),
    rank=st.sampled_from([0, 8, 64]),
)


@given(BATCHES, st.integers(0, 2**40))
@settings(max_examples=200)
def test_more_never_takes_less(batch: Batch, gradients: int) -> None:
    of = shape(8)
    taken = peak(of, batch, gradients)
    changed = {
        "rows": batch.rows + 1,
        "length": batch.length + 1,
        "recomputes": False,
        "accumulates": True,
        "eager": True,
    }
    for key, value in changed.items():
        assert peak(of, Batch(**{**batch.__dict__, key: value}), gradients) >= taken, key
    assert peak(of, batch, gradients + 1) >= taken
