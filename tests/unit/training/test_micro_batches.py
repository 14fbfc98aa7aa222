"""How a step is dealt to devices and cut to fit them: every example once, in parts as large as allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.config import TrainingHardware
from glow.errors import UserError
from glow.training.micro_batches import Cut, cut


@pytest.mark.parametrize(
    ("examples", "devices", "limit", "expected"),
    [
        (8, 1, None, Cut(8, 1)),
        (8, 2, None, Cut(4, 1)),
        (8, 2, 3, Cut(2, 2)),  # 3 does not divide a share of 4
        (8, 2, 9, Cut(4, 1)),
        (7, 1, 3, Cut(1, 7)),
        (32, 4, 4, Cut(4, 2)),
    ],
)
def test_a_step_is_cut(
    monkeypatch: pytest.MonkeyPatch, examples: int, devices: int, limit: int | None, expected: Cut
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(devices))
    assert cut(examples, TrainingHardware(micro_batch=limit), "sft.batch_size") == expected


@given(share=st.integers(1, 500), devices=st.integers(1, 64), limit=st.integers(1, 600))
def test_the_parts_make_the_step_and_none_is_above_the_limit(share: int, devices: int, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", str(devices))
        found = cut(share * devices, TrainingHardware(micro_batch=limit), "sft.batch_size")
    assert found.micro_batch * found.parts == share
    assert found.micro_batch <= limit
    larger = range(found.micro_batch + 1, min(limit, share) + 1)
    assert all(share % size for size in larger)


@pytest.mark.parametrize(
    ("examples", "devices", "message"),
    [
        (6, 4, "sft.batch_size: 6 examples a step cannot be dealt evenly to 4 devices; use 4 or 8,"),
        (3, 8, "sft.batch_size: 3 examples a step cannot be dealt evenly to 8 devices; use 8,"),
    ],
)
def test_an_uneven_deal_is_refused(
    monkeypatch: pytest.MonkeyPatch, examples: int, devices: int, message: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(devices))
    with pytest.raises(UserError) as refused:
        cut(examples, TrainingHardware(), "sft.batch_size")
    assert str(refused.value).startswith(message)
