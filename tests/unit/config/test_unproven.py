"""What a training may run on: what was never shown to be the same in shares is refused by its names."""

import pytest

from glow.config import Lora, Sft, Sharding, refuse_unproven
from glow.errors import UserError


@pytest.mark.parametrize("sharding", ["fsdp2", "zero2", "zero3"])
@pytest.mark.parametrize("optimizer", ["adafactor", "adamw_8bit", "paged_adamw_8bit"])
def test_other_optimisers_than_adamw_are_for_whole_states(sharding: Sharding, optimizer: str) -> None:
    settings = Sft(optimizer=optimizer)
    refuse_unproven(settings, "ddp")
    with pytest.raises(
        UserError, match=f"sharding {sharding} with optimizer {optimizer}: .*use sharding ddp"
    ):
        refuse_unproven(settings, sharding)


def test_four_bits_are_not_cut_into_shares() -> None:
    settings = Sft(lora=Lora(), quantization="nf4")
    refuse_unproven(settings, "ddp")
    refuse_unproven(Sft(lora=Lora()), "zero3")
    with pytest.raises(UserError, match="sharding zero3 with quantization nf4"):
        refuse_unproven(settings, "zero3")
