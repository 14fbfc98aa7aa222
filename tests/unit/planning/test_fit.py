"""planning.engines, fit, nearest: what does not fit is refused with its numbers, and the nearest setting that
does."""

from dataclasses import asdict
from typing import Any

import pytest
from five import nodes, paper, seven
from hypothesis import given, settings
from hypothesis import strategies as st

from glow.config import EngineHardware, Experiment
from glow.planning.constants import Device, device
from glow.planning.engines import engine_room, loop_need, scoring_need, vllm_room
from glow.planning.fit import Fit, Machine, Subject, fitted
from glow.planning.nearest import nearest
from glow.planning.resources import asked
from glow.planning.shapes import Shape, of_hub

FIVE = paper()
SEVEN = seven()
H100 = device("h100")


def shape_of(student: str) -> Shape:
    model = FIVE.students[student].model
    assert model.hub is not None
    found = of_hub(model.hub.hub)
    assert found is not None
    return found


def subject(rule: str, student: str = "qwen2.5-7b", own: Experiment | None = None) -> Subject:
    return Subject(rule, own or FIVE.of(student), shape_of(student))


def setting(rule: str, **given: Any) -> dict[str, Any]:
    return asdict(asked(rule, SEVEN.base)) | given


def fit(rule: str, machine: Machine, student: str = "qwen2.5-7b", **given: Any) -> Fit:
    return fitted(subject(rule, student), setting(rule, **given), machine)


# --- vLLM --------------------------------------------------------------------------------------------


def test_the_room_of_vllm_by_hand() -> None:
    """The 7B on an H100 of 84.93 GB, of which vLLM takes 92 %: 78.14 GB. Weights in 16 bits are 15.23 GB, 4
    GB are kept for all else. The 58.91 GB that are left hold 57,344 bytes of keys and values a token: 1.027
    million tokens, 25 times the longest sequence of 32,768 and 8,192 for its prompt."""
    room = engine_room(shape_of("qwen2.5-7b"), H100, EngineHardware(), 32768)
    assert room.longest == 40_960
    assert room.tokens == int((0.92 * H100.memory - 2 * 7_615_616_512 - 4e9) / 57_344) == 1_027_258
    assert room.sequences == 25
    assert room.need.parts["weights"] == 15_231_233_024


def test_several_gpus_share_weights_and_keys_but_no_head() -> None:
    shape = shape_of("qwen2.5-7b")
    one, two, seven_gpus = (vllm_room(shape, H100, 0.9, number, 1000) for number in (1, 2, 7))
    assert two.need.parts["weights"] * 2 == one.need.parts["weights"]
    assert two.tokens > 2 * one.tokens
    # Seven GPUs and four heads of keys: each head is on some GPU whole.
    assert seven_gpus.need.parts["cache of one sequence"] == 1000 * 57_344 // 4


def test_a_context_is_no_longer_than_the_models() -> None:
    assert engine_room(shape_of("qwen2.5-3b"), H100, EngineHardware(), 32768).longest == 32_768
    assert (
        engine_room(shape_of("qwen2.5-7b"), H100, EngineHardware(max_model_len=9000), 32768).longest == 9000
    )


def test_rows_of_our_loop_and_scored_responses() -> None:
    shape = shape_of("qwen2.5-7b")
    assert loop_need(shape, 8, 1000, H100).parts["weights"] == 2 * 7_615_616_512
    assert (
        loop_need(shape, 16, 1000, H100).parts["cache"] == 2 * loop_need(shape, 8, 1000, H100).parts["cache"]
    )
    on_cpu = loop_need(shape, 8, 1000, Device("cpu", 2**40))
    assert on_cpu.parts["weights"] == 4 * 7_615_616_512  # float32
    assert scoring_need(shape, 33_792, H100).parts["cache"] == 57_344 * 33_792
    assert scoring_need(shape, 100, H100).parts["cache"] == 57_344 * 2**14


# --- what does not fit ---------------------------------------------------------------------------------


def test_a_7b_whole_on_one_gpu_is_refused_with_its_numbers() -> None:
    (why,) = fit("sft", nodes(1)).misfits
    assert why == (
        "156 GB on each GPU (weights 30.5, gradients 30.5, optimiser 60.9, activations 33, libraries 1.5 GB),"
        " and the h100 has 85"
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"gpu": 16, "nodes": 2}, "asks for 2 nodes, and there is one"),
        ({"gpu": 16, "sharding": "fsdp2"}, "asks for 16 GPUs of a node, which has 8"),
        ({"gpu": 7, "sharding": "fsdp2"}, "32 examples a step cannot be dealt evenly to 7 devices"),
        ({"gpu": 9, "nodes": 2}, "give the GPUs of all nodes together"),
        ({"gpu": 1, "offload": True}, "there are no shares to offload"),
        ({"gpu": 8, "sharding": "zero2", "mem_mb": 200_000}, "of the host's memory, and mem_mb is 200000"),
    ],
)
def test_what_cannot_run_is_refused(given: dict[str, Any], why: str) -> None:
    assert why in "; ".join(fit("sft", nodes(1), **given).misfits)


def test_vllm_that_spreads_over_no_divisor_of_the_heads_is_refused() -> None:
    """The 7B has 28 heads."""
    assert fit("evaluate", nodes(1), gpu=4).misfits == []
    assert fit("evaluate", nodes(1), gpu=8).misfits == [
        "tensor_parallel 8 does not divide the 28 heads of the model"
    ]
    wide = fit("grpo", nodes(1), gpu=8, sharding="fsdp2", vllm_tensor_parallel_size=8)
    assert "has to divide the 8 devices and the 28 heads" in wide.misfits[0]


def test_vllm_without_room_for_one_sequence_is_refused() -> None:
    (why,) = fit("evaluate", nodes(1), "qwen2.5-32b").misfits
    assert why.startswith("vLLM has room for 32,")
    assert "max_model_len makes it keep room for 40,960" in why


def test_vllm_beside_training_takes_its_share_or_its_turn() -> None:
    given = {"gpu": 8, "sharding": "fsdp2", "vllm_max_model_length": 10_240}
    beside = fit("grpo", nodes(1), **given)
    assert beside.misfits == []
    assert beside.device.parts["vLLM"] == round(0.3 * H100.memory)
    by_turns = fit("grpo", nodes(1), **given, vllm_enable_sleep_mode="true")
    assert by_turns.device.total == beside.device.total - beside.device.parts["activations"]
    small = fit("grpo", nodes(1), **given, vllm_gpu_memory_utilization=20)
    assert "vllm_max_model_length makes it keep room for 10,240" in small.misfits[0]


def test_a_job_without_gpus_is_bounded_by_what_it_asks_for() -> None:
    miniature = Shape(3, 96, 288, 3, 3, 32, 656, tied=True, context=1024)
    own = SEVEN.model_copy(update={"sft": SEVEN.sft.model_copy(update={"max_length": 256, "batch_size": 16})})
    one = fitted(Subject("sft", own, miniature), setting("sft", gpu=0, micro_batch=0, mem_mb=3000), nodes(1))
    assert (one.misfits, one.gpus) == ([], 0)
    assert "libraries" not in "".join(name for name, size in one.device.parts.items() if size)
    less = fitted(Subject("sft", own, miniature), setting("sft", gpu=0, micro_batch=0, mem_mb=500), nodes(1))
    assert "and mem_mb is 500" in less.misfits[0]


# --- the nearest ---------------------------------------------------------------------------------------


def found(rule: str, machine: Machine, student: str = "qwen2.5-7b", **given: Any) -> dict[str, Any]:
    change = nearest(subject(rule, student), setting(rule, **given), machine)
    assert change is not None
    assert change.fit.misfits == []
    return change.changed


def test_what_fits_is_its_own_nearest() -> None:
    assert found("sft", nodes(1), gpu=8, sharding="fsdp2") == {}


def test_the_nearest_of_a_7b_is_shares_on_four_gpus() -> None:
    """On two 30.5 + 30.5 GB of state and what 32,000 tokens take are more than 85."""
    assert found("sft", nodes(1)) == {"sharding": "fsdp2", "gpu": 4}


def test_sharding_is_nearer_than_gpus_and_gpus_are_nearer_than_the_rest() -> None:
    assert found("sft", nodes(1), gpu=8) == {"sharding": "fsdp2"}
    assert found("sft", nodes(1), gpu=2, sharding="fsdp2") == {"gpu": 4}
    # Sixteen rows on one device of eight: more GPUs have fewer rows each.
    assert found("sft", nodes(1), gpu=8, sharding="fsdp2", micro_batch=4) == {"micro_batch": 2}
    assert "offload" in found("sft", nodes(1, per_node=2))


def test_more_nodes_are_named_where_these_do_not_do() -> None:
    changed = found("sft", nodes(1, "a100-40"), "qwen2.5-14b", gpu=8, sharding="fsdp2")
    assert changed.keys() <= {"offload", "gpu", "nodes", "mem_mb", "sharding"}
    four = found("sft", nodes(4), "qwen2.5-32b", gpu=8, sharding="fsdp2")
    assert {key: four[key] for key in ("gpu", "nodes")} == {"gpu": 32, "nodes": 4}


def test_the_hosts_memory_is_raised_with_it() -> None:
    changed = found("sft", nodes(4), "qwen2.5-32b")
    needed = fit("sft", nodes(4), "qwen2.5-32b", **{**changed, "mem_mb": None}).host.total
    assert needed <= changed["mem_mb"] * 1e6 < needed + 8.1e9


def test_vllm_beside_training_is_spread_or_shortened() -> None:
    assert found("grpo", nodes(1), gpu=4, sharding="fsdp2") == {"vllm_max_model_length": 10240}
    changed = found("grpo", nodes(4), "qwen2.5-32b", gpu=32, nodes=4, sharding="fsdp2")
    assert changed["vllm_tensor_parallel_size"] in (4, 8)


def test_an_evaluation_takes_more_gpus() -> None:
    assert found("evaluate", nodes(1), "qwen2.5-32b") == {"gpu": 2}


def test_where_nothing_fits_there_is_none() -> None:
    assert nearest(subject("sft", "qwen2.5-32b"), setting("sft"), nodes(1, "l4", 1)) is None


@given(
    st.sampled_from(["sft", "grpo", "evaluate"]),
    st.sampled_from(list(FIVE.students)),
    st.sampled_from(["h100", "h200", "a100-40", "l40s"]),
    st.sampled_from(["ddp", "fsdp2", "zero3"]),
    st.sampled_from([1, 2, 8]),
)
@settings(max_examples=40, deadline=None)
def test_the_nearest_fits_and_nothing_nearer_does(
    rule: str, student: str, gpu: str, sharding: str, number: int
) -> None:
    machine, own = nodes(1, gpu), setting(rule, gpu=number, sharding=sharding)
    change = nearest(subject(rule, student), own, machine)
    if change is None:
        return
    wide = nodes(max(1, change.fit.nodes), gpu)
    assert fitted(subject(rule, student), own | change.changed, wide).misfits == []
    # Whatever it changes is needed: with one part as it was, the job does not fit.
    for key in change.changed.keys() - {"nodes", "gpu"}:
        fewer = {name: value for name, value in change.changed.items() if name != key}
        assert fitted(subject(rule, student), own | fewer, wide).misfits, key
