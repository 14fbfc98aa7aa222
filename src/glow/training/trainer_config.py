"""GlowConfig: the settings of a GlowTrainer, TRL's and the objective's.

For the trainer as a library. The study's own configuration is `glow.config`.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from transformers import PreTrainedModel, TrainingArguments
from trl import SFTConfig
from trl.trainer.utils import get_config_model_id

from glow.training.objectives import OBJECTIVES

DEFAULT_ID_COLUMN = "id"


@dataclass
class GlowConfig(SFTConfig):
    """TRL's SFTConfig plus the objective (`glow.training.weighting.glow_weights` explains alpha, beta,
    clamp).

    Three of TRL's defaults differ: a machine without an accelerator means `use_cpu`;
    `logging_nan_inf_filter` is off (it waits for the device at every step, and here a loss that is not
    finite ends the run); `data_seed` is `seed`, so that the order of samples depends on nothing else.
    """

    objective: str = field(
        default="glow", metadata={"help": "what is minimised: glow, plain, dft, or a name in OBJECTIVES"}
    )
    alpha: float = field(default=1.0, metadata={"help": "scale of the weight (paper: 1 or 2)"})
    beta: float = field(default=10.0, metadata={"help": "steepness in the gain, per nat (paper: 5 to 30)"})
    clamp: list[float] | None = field(
        default=None, metadata={"help": "low and high bound of the weight (released code: 0.5 5.0), or None"}
    )
    id_column: str | None = field(
        default=DEFAULT_ID_COLUMN,
        metadata={"help": "column with the samples' ids; None, or no column id: numbered from 0"},
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "leave a loss that is not finite out of the logged mean"}
    )

    def __post_init__(self) -> None:
        if not torch.accelerator.is_available():
            self.use_cpu = True
        super().__post_init__()
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective {self.objective!r} is unknown; known: {', '.join(OBJECTIVES)}")
        if self.clamp is not None and not (len(self.clamp) == 2 and 0 <= self.clamp[0] <= self.clamp[1]):
            raise ValueError(f"clamp must be None or (low, high) with 0 <= low <= high, not {self.clamp}")
        if self.alpha <= 0 or self.beta < 0:
            raise ValueError(f"alpha must be above 0 and beta at least 0, not {self.alpha} and {self.beta}")
        if self.loss_type != "nll":
            raise ValueError(f"loss_type {self.loss_type!r} has no effect here: set objective instead")
        if self.data_seed is None:
            self.data_seed = self.seed

    @property
    def device(self) -> torch.device:
        """The device to train on. Without its index on a CPU, with which torch.load would not resume."""
        device = super().device
        return torch.device("cpu") if device.type == "cpu" else device


def as_glow_config(args: TrainingArguments | None, model: str | PreTrainedModel) -> GlowConfig:
    """The arguments as a GlowConfig, as SFTTrainer makes an SFTConfig of others; None gives defaults."""
    if isinstance(args, GlowConfig):
        return args
    if args is None:
        name = model if isinstance(model, str) else get_config_model_id(model.config)
        return GlowConfig(f"{Path(name).name}-GLOW")
    # Not args.to_dict(), which puts placeholders for every token, those of the vocabulary too.
    given = {item.name: getattr(args, item.name) for item in fields(args) if item.init}
    return GlowConfig(**{**given, "logging_nan_inf_filter": False})
