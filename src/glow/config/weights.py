"""Settings of what SFT and GRPO share: which weights train, by which optimiser, and how they are kept.

All of them change numbers, so they are the configuration's. On how many devices the weights are, and where,
changes none.
"""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from glow.config.section import Added, Section

SavedDtype = Literal["float32", "bfloat16"]

ALL_LINEAR = "all-linear"
"""All linear layers but the output layer (PEFT's name)."""


class Lora(Section):
    """Low-rank adapters (LoRA, arXiv 2106.09685), by PEFT, in place of training all weights."""

    rank: int = Field(16, description="rank of the adapters' matrices", gt=0)
    alpha: float = Field(32.0, description="scale of the adapters: they count alpha / rank times", gt=0)
    dropout: float = Field(
        0.0, description="share of an adapter's inputs that dropout leaves out", ge=0, lt=1
    )
    target_modules: str | list[str] = Field(
        ALL_LINEAR, description="layers that get adapters: all-linear, or a list of names such as q_proj"
    )
    merge: bool = Field(
        False, description="save a whole model, with the adapters added to its weights, and not the adapters"
    )

    @field_validator("target_modules")
    @classmethod
    def _names(cls, modules: str | list[str]) -> str | list[str]:
        if isinstance(modules, str) and modules != ALL_LINEAR:
            raise ValueError(f"give {ALL_LINEAR}, or a list of names of layers: [q_proj, v_proj]")
        if modules == []:
            raise ValueError(f"an empty list; give {ALL_LINEAR}, or remove it")
        return modules


class Weights(Section):
    """Which weights are trained, by which optimiser, and how they are kept."""

    optimizer: Added[
        Literal["adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "adafactor"]
    ] = Field(
        "adamw_torch_fused",
        description="optimiser (transformers' names): adamw_8bit and paged_adamw_8bit keep AdamW's state in "
        "8 bits (bitsandbytes), adafactor keeps less of it",
    )
    lora: Added[Lora | None] = Field(
        None, description="train adapters of low rank, and not all weights (default: all weights)"
    )
    quantization: Added[Literal["nf4"] | None] = Field(
        None, description="hold the weights below the adapters in 4 bits (nf4: QLoRA, bitsandbytes)"
    )
    saved_dtype: Added[SavedDtype | None] = Field(
        None,
        description="number format of a whole model that is saved (default: that of precision); adapters are "
        "saved as they train",
    )

    @model_validator(mode="after")
    def _has_adapters(self) -> Self:
        if self.quantization is not None and self.lora is None:
            raise ValueError(
                f"quantization {self.quantization} trains adapters over weights that it holds: set lora too "
                "(lora: {})"
            )
        return self

    @property
    def needing_bitsandbytes(self) -> list[str]:
        """The settings, with their values, that bitsandbytes does."""
        eight_bits = [f"optimizer {self.optimizer}"] if "8bit" in self.optimizer else []
        return eight_bits + ([f"quantization {self.quantization}"] if self.quantization is not None else [])

    @property
    def saves_adapters(self) -> bool:
        """Whether what is saved are adapters, which need the model below them."""
        return self.lora is not None and not self.lora.merge


def refuse_unmatched_adapters(before: Weights, after: Weights, kl: float) -> None:
    """Refuse GRPO that cannot go on from the adapters of SFT, before anything is trained.

    Args:
        before: settings of SFT.
        after: settings of GRPO from its models.
        kl: weight of the penalty to what GRPO starts from.

    Raises:
        ValueError: says which setting to change.
    """
    if before.lora is None or before.lora.merge:
        return
    if after.lora is None and kl > 0:
        raise ValueError(
            "grpo.kl: GRPO starts from adapters; set grpo.lora to train them on, or sft.lora.merge: true to "
            "train all weights"
        )
    for key in ("rank", "alpha", "target_modules") if after.lora is not None else ():
        if getattr(before.lora, key) != getattr(after.lora, key):
            raise ValueError(
                f"grpo.lora.{key}: GRPO trains the adapters of sft on, so it must be that of sft.lora; or "
                "set sft.lora.merge: true, for new adapters"
            )
