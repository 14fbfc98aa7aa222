"""GlowConfig: the settings of a GlowTrainer, TRL's and the objective's.

For the trainer as a library. The study's own configuration is `glow.config`.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainingArguments
from trl import SFTConfig
from trl.trainer.utils import get_config_model_id

from glow.errors import UserError
from glow.training.lengths import LengthLimit
from glow.training.objectives import OBJECTIVES, ChosenObjective, GlowSettings, choose

DEFAULT_ID_COLUMN = "id"

_OWN_FIELDS = tuple(GlowSettings.model_fields)


def _help(name: str) -> dict[str, str]:
    return {"help": f"{GlowSettings.model_fields[name].description}; left out: the objective's default"}


@dataclass
class GlowConfig(SFTConfig):
    """TRL's SFTConfig plus the objective, one of `glow.training.objectives`, and its settings.

    Settings named alpha, beta and clamp are fields here; all others go into `objective_settings`. Settings
    left out get the objective's defaults; a setting that the objective does not have is refused.

    Three of TRL's defaults differ: a machine without an accelerator means `use_cpu`;
    `logging_nan_inf_filter` is off (it waits for the device at every step, and here a loss that is not
    finite ends the run); `data_seed` is `seed`, so that the order of samples depends on nothing else.
    """

    _VALID_DICT_FIELDS = [*SFTConfig._VALID_DICT_FIELDS, "objective_settings"]  # noqa: RUF012 (TRL's own)

    objective: str = field(
        default="glow",
        metadata={"help": f"what is minimised: {', '.join(OBJECTIVES)}, file.py:name or module:name"},
    )
    alpha: float | None = field(default=None, metadata=_help("alpha"))
    beta: float | None = field(default=None, metadata=_help("beta"))
    clamp: list[float] | None = field(default=None, metadata=_help("clamp"))
    objective_settings: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "the objective's other settings, by name"}
    )
    replayed_history: str | None = field(
        default=None,
        metadata={
            "help": "history.parquet, or folder history, of the run whose weights the objective replays"
        },
    )
    id_column: str | None = field(
        default=DEFAULT_ID_COLUMN,
        metadata={"help": "column with the samples' ids; None, or no column id: numbered from 0"},
    )
    too_long: str = field(
        default=LengthLimit.too_long,
        metadata={
            "help": "samples longer than max_length: refuse, drop or cut (as TRL does); drop leaves out at "
            "most the share too_long_limit, and refuses more"
        },
    )
    too_long_limit: float = field(
        default=LengthLimit.largest_share,
        metadata={"help": "largest share of samples that too_long=drop may leave out"},
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "leave a loss that is not finite out of the logged mean"}
    )

    def __post_init__(self) -> None:
        if not torch.accelerator.is_available():
            self.use_cpu = True
        super().__post_init__()
        self._complete_settings()
        refuse_unmatched_history(self.chosen_objective, self.replayed_history)
        if self.loss_type != "nll":
            raise ValueError(f"loss_type {self.loss_type!r} has no effect here: set objective instead")
        _ = self.length_limit  # refuses values that are none
        if self.data_seed is None:
            self.data_seed = self.seed

    def _complete_settings(self) -> None:
        self.objective_settings = self.objective_settings or {}
        if not isinstance(self.objective_settings, dict):
            raise UserError(f"objective_settings: {self.objective_settings!r} is not a dictionary")
        for name in _OWN_FIELDS:
            if self.objective_settings.get(name) is not None and getattr(self, name) is not None:
                raise UserError(f"{name}: given twice; remove it from objective_settings")
        chosen = self.chosen_objective.settings
        settings, declared = chosen.model_dump(mode="json"), type(chosen).model_fields
        for name in _OWN_FIELDS:
            setattr(self, name, settings.get(name))
        self.objective_settings = {
            key: value
            for key, value in settings.items()
            # None in a field of its own would mean the default again.
            if key not in _OWN_FIELDS or (value is None and declared[key].default is not None)
        }

    @property
    def chosen_objective(self) -> ChosenObjective:
        """The objective with its settings, from the fields' present values.

        Raises:
            UserError: no such objective or setting, or a value out of bounds; names the field.
        """
        given = {name: value for name in _OWN_FIELDS if (value := getattr(self, name)) is not None}
        assert isinstance(self.objective_settings, dict)  # _complete_settings
        return choose(self.objective, self.objective_settings | given)

    @property
    def length_limit(self) -> LengthLimit:
        """How long samples may be, and what happens to longer ones."""
        return LengthLimit(
            self.max_length, self.too_long, self.too_long_limit, self.truncation_mode == "keep_end"
        )

    @property
    def device(self) -> torch.device:
        """The device to train on. Without its index on a CPU, with which torch.load would not resume."""
        device = super().device
        return torch.device("cpu") if device.type == "cpu" else device


def refuse_unmatched_history(objective: ChosenObjective, history: str | Path | None) -> None:
    """Refuse an objective that replays weights without a history, and a history without such an objective.

    Raises:
        UserError: says which of both is missing.
    """
    name, replays = objective.name, objective.replayed_arm is not None
    if replays and history is None:
        raise UserError(
            f"objective {name!r} replays the weights of a finished run: give its history.parquet "
            "(--replayed; in GlowConfig: replayed_history)"
        )
    if history is not None and not replays:
        raise UserError(f"{history}: objective {name!r} replays no weights; leave out the history")


def as_glow_config(args: TrainingArguments | None, model: str | PreTrainedModel) -> GlowConfig:
    """Convert the arguments to a GlowConfig, as SFTTrainer converts to an SFTConfig; None gives defaults."""
    if isinstance(args, GlowConfig):
        return args
    if args is None:
        name = model if isinstance(model, str) else get_config_model_id(model.config)
        return GlowConfig(f"{Path(name).name}-GLOW")
    # Not args.to_dict(), which puts placeholders for every token, those of the vocabulary too.
    given = {item.name: getattr(args, item.name) for item in fields(args) if item.init}
    return GlowConfig(**{**given, "logging_nan_inf_filter": False})
