"""planning.compute: operations and seconds, by hand and by arithmetic of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from glow.config import Sft
from glow.planning.compute import (
    Decoder,
    Work,
    decoding_seconds,
    forward_operations,
    scoring_seconds,
    sequences,
    training_passes,
    training_seconds,
    waiting,
)
from glow.planning.constants import Device, device
from glow.planning.lengths import Lengths
from glow.planning.shapes import Shape, of_hub

H100, CPU = device("h100"), Device("cpu", 2**35)
SEVEN = of_hub("Qwen/Qwen2.5-7B")
assert SEVEN is not None
SMALL = Shape(3, 96, 288, 3, 3, 32, 656, tied=True, context=1024, qkv_bias=True)


def lengths(mean: float, spread: float = 0.0) -> Lengths:
    return Lengths(((1.0, mean),), spread)


def test_hours_of_one_arm_of_the_7b_by_hand() -> None:
    """36,000 samples of 200 + 8,000 tokens, 20 epochs: 5.904e9 tokens. Weights that a token is multiplied by:
    7.070e9 (test_shapes.py), 6 operations each: 4.242e10. Attention: 6 x 28 layers x 3,584 x 8,200 tokens =
    4.937e9. So 4.736e10 for each token, 2.796e20 in all. An H100 has 9.89e14 a second, of which 0.467 x 3/4,
    as activations are computed again: 3.464e14. That is 807,200 seconds, or 224 hours on one GPU."""
    shape, settings = SEVEN, Sft()
    mean, square = sequences(200, lengths(8000))
    assert (mean, square) == (8200, 8200**2)
    seen = 36_000 * 20
    work = Work(forward_operations(shape, seen * mean, seen * square), seen)
    assert training_passes(settings, recomputes=True) == 4
    seconds = training_seconds(shape, work, 4, H100, settings)
    tokens = 36_000 * 20 * 8200
    by_hand = tokens * (6 * 7.070e9 + 6 * 28 * 3584 * 8200) / (9.89e14 * 0.467 * 3 / 4)
    assert seconds == pytest.approx(by_hand, rel=1e-3)
    assert seconds / 3600 == pytest.approx(224, abs=1)


def test_lengths_that_differ_cost_more_attention_and_no_more_weights() -> None:
    """A half of 4,000 and a half of 12,000 tokens have a mean of 8,000, and of squares 8.0e7, where 6.4e7 is
    square."""
    two = Lengths(((0.5, 4000.0), (0.5, 12000.0)), 0.0)
    assert (two.mean, two.mean_square) == (8000, 8e7)
    # A token of the longer half, of which there are three times as many, has 6,000 before it, else 2,000.
    assert two.mean_place == pytest.approx(0.75 * 6000 + 0.25 * 2000)
    assert lengths(8000, 0.5).mean_square == 8000**2 * 1.25
    assert sequences(100, lengths(50)) == (150, 150**2)


def test_the_longest_of_some_is_that_of_a_gamma_distribution() -> None:
    """scipy's, at a spread of 0.6 (shape 2.78): the longest of 8 is 2.09 means, of 256 3.6."""
    of = gamma(1 / 0.36, scale=0.36)
    places = (np.arange(2000) + 0.5) / 2000
    for number in (1, 8, 32, 256):
        exact = float(of.ppf(places ** (1 / number)).mean())
        assert lengths(1000, 0.6).longest(number) == pytest.approx(1000 * exact, rel=0.02)
    assert lengths(1000).longest(256) == 1000
    assert Lengths(((1.0, 1000.0),), 0.6, most=2500).longest(256) == pytest.approx(2500, rel=0.01)
    # Of two in five that are endless, two draws have one in 1 - 0.6 x 0.6.
    two = Lengths(((0.6, 1000.0), (0.4, 8000.0)), 0.0)
    assert two.longest(2) == pytest.approx(0.64 * 8000 + 0.36 * 1000)


def test_devices_wait_for_the_longest_sample() -> None:
    """Halves of 10 and of 30 tokens, of whose work hardly any is attention: of two devices one has the longer
    in 3 of 4 steps, which are 1.25 means."""
    two = Lengths(((0.5, 10.0), (0.5, 30.0)), 0.0)
    assert waiting(SEVEN, 0, two, 1, 1) == 1
    assert waiting(SEVEN, 0, two, 1, 2) == pytest.approx(1.25, abs=0.001)
    # Sums of sixteen have a spread of an eighth; the larger of two normal ones has 0.564 of that more.
    assert waiting(SEVEN, 0, two, 16, 2) == pytest.approx(1 + 0.125 * 0.564, abs=0.01)
    assert waiting(SEVEN, 0, two, 1, 10**6) == pytest.approx(1.5, abs=0.01)
    assert waiting(SEVEN, 0, lengths(1000), 1, 8) == 1


def test_a_step_of_grpo_waits_for_the_longest_of_all_rollouts() -> None:
    """32 rollouts on each of 8 GPUs, with room for all: 256 of 2,000 tokens and a spread of 0.6, of at most
    8,192. The longest has 6,980 (by simulation); each of its steps reads 15.23 GB at 0.7 x 3.35e12 bytes
    a second, 6.5 ms, and the rest is below a tenth of that."""
    decoder = Decoder("vllm", H100, together=8)
    of = Lengths(((1.0, 2000.0),), 0.6, most=8192)
    assert of.longest(256) == pytest.approx(6980, rel=0.03)
    seconds = decoding_seconds(SEVEN, decoder, 32, 200, of)
    steps = 6980 * (2 * 7_615_616_512 / (0.7 * 3.35e12) + 28 * 5e-5)
    read = 32 * 2000 * (200 + 2000 * 1.36 / 2) * 57_344 / (0.7 * 3.35e12)
    assert seconds == pytest.approx(steps + read, rel=0.03)
    assert read < steps / 10


def test_passes() -> None:
    assert training_passes(Sft(), recomputes=False) == 3
    assert training_passes(Sft(lora={}), recomputes=False) == 2
    assert training_passes(Sft(lora={}), recomputes=True) == 3


def test_decoding_by_vllm_is_bound_by_memory() -> None:
    """The 7B on an H100 with room for 1e6 tokens: 256 rows of 200 + 500 tokens before the mean one. A step
    reads 15.23 GB of weights and 256 x 700 x 57,344 bytes = 10.28 GB, at 0.7 of 3.35e12 bytes a second: 10.88
    ms; and 28 x 50 microseconds. 25,600 responses of 1,000 tokens are 100,000 steps of 256: 1,228 seconds;
    prompts add 7."""
    decoder = Decoder("vllm", H100, rows=256, cache_room=1e6 * 57_344)
    seconds = decoding_seconds(SEVEN, decoder, 25_600, 200, lengths(1000))
    step = (2 * 7_615_616_512 + 256 * 700 * 57_344) / (0.7 * 3.35e12) + 28 * 5e-5
    assert step == pytest.approx(12.28e-3, rel=1e-3)
    prompts = 25_600 * (2 * 7_070_285_824 * 200 + 2 * 28 * 3584 * 200**2) / (9.89e14 * 0.467)
    assert seconds == pytest.approx(100_000 * step + prompts, rel=1e-6)
    assert prompts < 160


def test_too_little_room_makes_fewer_rows() -> None:
    roomy, tight = (Decoder("vllm", H100, cache_room=tokens * 57_344) for tokens in (1e6, 7000))
    slow, fast = (decoding_seconds(SEVEN, decoder, 1000, 200, lengths(1000)) for decoder in (tight, roomy))
    assert slow > 5 * fast


def test_without_vllm_a_layer_waits_for_its_launch() -> None:
    half = of_hub("Qwen/Qwen2.5-0.5B")
    assert half is not None
    decoder = Decoder("transformers", device("h200"), rows=128)
    seconds = decoding_seconds(half, decoder, 128, 45, Lengths(((1.0, 110.7),), 1.0, most=256))
    # As benchmarks/rollouts.py has it: 256 steps of 24 layers.
    assert seconds == pytest.approx(128 * 110.7 / 1076, rel=0.1)


def test_the_miniature_decodes_as_fast_as_it_was_measured() -> None:
    """benchmarks/rollouts.py: 128 rollouts of up to 96 tokens, 10,434 tokens a second on one core."""
    decoder = Decoder("transformers", CPU, rows=128)
    seconds = decoding_seconds(SMALL, decoder, 128, 45, Lengths(((1.0, 49.7),), 1.0, most=96))
    assert 128 * 49.7 / seconds == pytest.approx(10_434, rel=0.25)


def test_a_cpu_pays_for_a_step_and_for_its_tokens() -> None:
    one = training_seconds(SMALL, Work(forward_operations(SMALL, 1280, 1280 * 80), 1), 3, CPU, Sft())
    assert one == pytest.approx(0.00499 + 1280 * 5.95e-5, rel=0.03)
    two = training_seconds(SMALL, Work(forward_operations(SMALL, 1280, 1280 * 80), 2), 3, CPU, Sft())
    assert two - one == pytest.approx(0.00499, rel=1e-3)
    scored = scoring_seconds(SMALL, Work(forward_operations(SMALL, 5120, 5120 * 80), 1), CPU)
    assert scored == pytest.approx(5120 * 2.51e-5, rel=0.03)


@given(st.floats(1, 1e5), st.floats(1, 1e4), st.floats(0, 2), st.sampled_from(["vllm", "transformers"]))
def test_more_or_longer_responses_never_take_less(
    number: float, mean: float, spread: float, engine: str
) -> None:
    for of in (H100, CPU):
        decoder = Decoder(engine, of, cache_room=4e10)  # type: ignore[arg-type]
        taken = decoding_seconds(SEVEN, decoder, number, 200, lengths(mean, spread))
        assert taken > 0
        assert decoding_seconds(SEVEN, decoder, 2 * number, 200, lengths(mean, spread)) >= taken
        assert decoding_seconds(SEVEN, decoder, number, 200, lengths(2 * mean, spread)) >= taken
