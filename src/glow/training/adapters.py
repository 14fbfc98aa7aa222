"""The network that a stage trains: all of a model, new adapters on it, or the adapters that it has.

A run with `lora` from a model begins new adapters (TRL's `peft_config`). From an adapter it trains that one
on: one adapter on one base, and no second one on top. Without `lora` an adapter is added to its base, and all
weights train.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor
from transformers import (
    BitsAndBytesConfig,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from glow.config import ALL_LINEAR, Grpo, Lora, Sft
from glow.config.packages import require
from glow.errors import UserError
from glow.models.adapters import adapter_base, attached
from glow.models.load import load_network


def refuse_missing_packages(settings: Sft | Grpo) -> None:
    """Refuse settings whose package is not installed, before anything is read.

    Raises:
        UserError: names the setting and the package, and what installs it.
    """
    for setting in settings.needing_bitsandbytes:
        require("bitsandbytes", f"{type(settings).__name__.lower()}.{setting}")


def load_to_train(
    model: Path, settings: Sft | Grpo, *, trust_remote_code: bool = False, attention: str | None = None
) -> tuple[Any, LoraConfig | None]:
    """The network of a model or an adapter, ready for a trainer; and the adapters that this is to begin.

    Weights that train are float32, also for bf16, which is autocast: the optimiser must not lose small
    updates. Below adapters nothing is updated, so weights there have the format of the computation.

    Returns:
        A PreTrainedModel, or a `peft.PeftModel` whose adapter is trained on; TRL's `peft_config`, or None.

    Raises:
        UserError: as `load_network`; a model that has no layers of the names in lora.target_modules; or
            adapters that `lora` describes otherwise than they are.
    """
    lora = settings.lora
    if lora is None:
        network = load_network(model, torch.float32, trust_remote_code=trust_remote_code, attention=attention)
        return network, None
    base = adapter_base(model)
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    network = load_network(
        base or model,
        dtype,
        trust_remote_code=trust_remote_code,
        attention=attention,
        quantization=_four_bits(dtype) if settings.quantization is not None else None,
    )
    if base is None:
        _refuse_unknown_layers(network, lora)
        return network, _peft_config(lora)
    adapted = attached(network, model, trains=True, dropout=lora.dropout)
    _refuse_other_adapter(adapted, model, lora)
    return adapted, None


def float32_adapters(network: Any) -> dict[str, Tensor]:
    """The adapters that a network has already, for `restore_float32`; empty without any."""
    if not isinstance(network, PeftModel):
        return {}
    return {name: weight.detach().clone() for name, weight in _trained(network)}


def restore_float32(network: Any, given: dict[str, Tensor]) -> None:
    """Let adapters over 4-bit weights train in float32 again, after a trainer was made.

    TRL 1.16 puts them into bfloat16, in which small updates are lost, and PEFT puts them back into float32
    when a run resumes: it would not be the same run.

    Args:
        network: that of the trainer.
        given: the adapters as they were.
    """
    if getattr(network, "is_loaded_in_4bit", False):
        for name, weight in _trained(network):
            weight.data = given.get(name, weight.data).to(weight.device, torch.float32)


def _trained(network: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, weight) for name, weight in network.named_parameters() if weight.requires_grad)


class ResumedAdapter(TrainerCallback):
    """Loads the adapter that trains from a checkpoint where a reference is kept beside it.

    Of such a checkpoint transformers 5.17 loads the reference alone, so that a resumed run would begin with
    the adapter that it was given, and with the optimiser's state of another. Under FSDP2 and ZeRO the
    shares hold both, and are loaded whole.

    Args:
        checkpoint: what the run resumes from.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        network = kwargs["model"]
        if isinstance(network, PeftModel) and len(network.peft_config) > 1:
            network.load_adapter(str(self.checkpoint), "default", is_trainable=True)


def underlying(network: Any) -> PreTrainedModel:
    """The transformers model of a network that may have adapters."""
    whole: Any = network.get_base_model() if isinstance(network, PeftModel) else network
    found: PreTrainedModel = whole
    return found


def _four_bits(dtype: torch.dtype) -> BitsAndBytesConfig:
    """QLoRA's four bits (arXiv 2305.14314): NormalFloat, its scales quantised once more."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _peft_config(lora: Lora) -> LoraConfig:
    whole = lora.alpha.is_integer()
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=int(lora.alpha) if whole else lora.alpha,  # type: ignore[arg-type]  # it only divides it
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
    )


def _linear_layers(network: PreTrainedModel) -> set[str]:
    """The last names of the linear layers that can have adapters, those that have them included.

    The output layer is not one of them: TRL's loss multiplies by its weights itself.
    """
    output = network.get_output_embeddings()
    names = [
        name.removesuffix(".base_layer")
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not output and ".lora_" not in name
    ]
    return set(map(_last_name, names))


def _last_name(name: str) -> str:
    return name.rpartition(".")[2]


def _refuse_unknown_layers(network: PreTrainedModel, lora: Lora) -> None:
    if lora.target_modules == ALL_LINEAR:
        return
    known = _linear_layers(network)
    for name in lora.target_modules:
        if _last_name(name) not in known:
            raise UserError(
                f"lora.target_modules: the model has no layer {name!r} that can have an adapter; it has "
                f"{', '.join(sorted(known))}"
            )


def _refuse_other_adapter(adapted: Any, model: Path, lora: Lora) -> None:
    found = adapted.peft_config["default"]
    everywhere = lora.target_modules == ALL_LINEAR
    wanted = _linear_layers(underlying(adapted)) if everywhere else set(map(_last_name, lora.target_modules))
    differences: dict[str, tuple[Any, Any]] = {
        "rank": (found.r, lora.rank),
        "alpha": (found.lora_alpha, lora.alpha),
        "target_modules": (sorted(set(map(_last_name, found.target_modules))), sorted(wanted)),
    }
    for key, (is_now, asked) in differences.items():
        if is_now != asked:
            raise UserError(
                f"{model}: an adapter with {key} {is_now}, and lora.{key} asks for {asked}: it is trained "
                "on, so ask for the same; or train it with lora.merge: true, to begin new ones"
            )
