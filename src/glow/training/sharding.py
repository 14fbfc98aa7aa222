"""A training state in shares: DDP, FSDP2 and DeepSpeed's ZeRO, as transformers and accelerate offer them.

What is added: FSDP2 on CPUs, where accelerate 1.15 trains under DDP without a word; checkpoints without a
second, whole copy of the weights, from which another number of devices can go on; a whole model at the end.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import FullyShardedDataParallelPlugin, broadcast_object_list
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import rotate_checkpoints
from transformers.training_args import OptimizerNames
from trl.models.utils import unwrap_model_for_generation

from glow.config import Grpo, Sft, Sharding, TrainingHardware, refuse_unproven
from glow.config.packages import require
from glow.errors import UserError
from glow.training.checkpoints import UNIVERSAL, bytes_of, make_room, mark_whole, refuse_non_finite_weights
from glow.training.micro_batches import processes
from glow.training.numbers_only import numbers_only
from glow.training.shares import bytes_held

_PATIENCE_S = 2 * 60 * 60
"""How long processes wait for the first, which alone cuts a large model's shares anew, or merges adapters."""

FSDP_WEIGHTS = "pytorch_model_fsdp_0"
"""Folder of a checkpoint under FSDP2 (accelerate's name)."""

ZERO_LATEST = "latest"
"""File of a checkpoint under ZeRO that names the folder with the shares (DeepSpeed's name)."""


def sharding_arguments(hardware: TrainingHardware, settings: Sft | Grpo) -> dict[str, Any]:
    """The training arguments for precision and sharding; models are to be loaded after these were made.

    With bf16 the weights stay float32, and computations are in bfloat16 by autocast.

    Raises:
        UserError: ZeRO without DeepSpeed, shares in a single plain process, or what was never proven in them.
    """
    kind, recompute, bf16 = hardware.sharding, settings.gradient_checkpointing, settings.precision == "bf16"
    common = {
        "gradient_checkpointing": recompute,
        "bf16": bf16,
        "ddp_find_unused_parameters": False,
        "ddp_timeout": _PATIENCE_S,
    }
    if kind == "ddp":
        return common
    refuse_unproven(settings, kind)
    if "RANK" not in os.environ:
        raise UserError(f"sharding {kind}: start this by torchrun, or with --devices")
    if kind == "fsdp2":
        os.environ["ACCELERATE_USE_FSDP"] = "true"  # transformers asks it where models are loaded
        # accelerate recomputes in wrappers, in whose names PEFT finds no adapter to save: layers do it alone.
        wraps = recompute and settings.lora is None
        fsdp = {"fsdp": True, "fsdp_config": _fsdp(hardware, wraps)}
        return common | fsdp | {"gradient_checkpointing": recompute and not wraps}
    require("DeepSpeed", f"sharding {kind}")
    return common | {"deepspeed": _zero(hardware, bf16), "bf16": False}


def _fsdp(hardware: TrainingHardware, gradient_checkpointing: bool) -> dict[str, Any]:
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "cpu_offload": hardware.offload,
        "activation_checkpointing": gradient_checkpointing,
        # The first process reads the weights (glow.models.load); the others take their shares from it.
        "cpu_ram_efficient_loading": True,
        "state_dict_type": "SHARDED_STATE_DICT",
    }


def _zero(hardware: TrainingHardware, bf16: bool) -> dict[str, Any]:
    stage = 3 if hardware.sharding == "zero3" else 2
    shares: dict[str, Any] = {"stage": stage}
    if hardware.offload:
        shares["offload_optimizer"] = {"device": "cpu"}
        if stage == 3:
            shares["offload_param"] = {"device": "cpu"}
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_optimization": shares,
        # The optimiser is the configuration's, as under every sharding.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "torch_autocast": {"enabled": bf16, "dtype": "bfloat16"},
        "steps_per_print": 10**9,
    }


def ready_to_load(arguments: TrainingArguments) -> None:
    """Let a model be read in shares, where it will be in shares: to be called before it is loaded."""
    if arguments.deepspeed and arguments.device.type == "cpu":  # otherwise transformers has done so
        from deepspeed import comm

        comm.init_distributed(
            dist_backend="gloo",
            auto_mpi_discovery=False,
            verbose=False,
            timeout=timedelta(seconds=arguments.ddp_timeout),
        )


class ShardedTrainer(Trainer):
    """What a Trainer lacks for a state in shares; to be put before TRL's trainer in a class's bases."""

    model_wrapped: Any  # DeepSpeed's engine, under ZeRO

    def _send_telemetry(self) -> None:
        """TRL would tell its hub of every training."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.args.deepspeed and self.accelerator.distributed_type != DistributedType.DEEPSPEED:
            # accelerate sets it aside without a word
            raise UserError("ZeRO cannot run with ACCELERATE_USE_CPU set: unset it")
        if self.args.fsdp and self.args.device.type == "cpu":
            self._use_fsdp_on_cpus()
        if self.args.fsdp and self.args.bf16:
            # accelerate's own has gradients summed, and losses rounded, in bfloat16.
            policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = policy

    def _use_fsdp_on_cpus(self) -> None:
        """Say that this run is under FSDP, which accelerate believes of accelerators only."""
        self.accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
        for state in (PartialState, AcceleratorState):
            state._shared_state["distributed_type"] = DistributedType.FSDP
        self.is_fsdp_enabled = True

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(resume_from_checkpoint, str):
            return super().train(resume_from_checkpoint, *args, **kwargs)
        with numbers_only(Path(resume_from_checkpoint)):
            self._make_loadable(Path(resume_from_checkpoint))
            return super().train(resume_from_checkpoint, *args, **kwargs)

    def _make_loadable(self, checkpoint: Path) -> None:
        """Refuse a checkpoint of another sharding; under ZeRO, cut one of another number of devices anew."""
        written, now = sharding_of(checkpoint), self.sharding
        if written != now:
            raise UserError(
                f"{checkpoint}: written under sharding {written}, and this run is under {now}: go on with "
                f"{written}, or delete the checkpoints to train anew"
            )
        if now in ("zero2", "zero3") and (before := devices_of(checkpoint)) != processes():
            self._refuse_to_cut(checkpoint, before)
            if self.is_world_process_zero():
                print(f"{checkpoint}: of {before} devices; its shares are cut anew for {processes()}")
                _make_universal(checkpoint)
            self.accelerator.wait_for_everyone()
            self.accelerator.state.deepspeed_plugin.deepspeed_config["checkpoint"] = {"load_universal": True}

    def _refuse_to_cut(self, checkpoint: Path, before: int) -> None:
        """Refuse shares that DeepSpeed cannot cut anew, or for which there is no room."""
        optimizer = OptimizerNames(self.args.optim).value
        if not optimizer.startswith("adamw_torch"):
            raise UserError(
                f"{checkpoint}: written by {before} devices, and this run has {processes()}: DeepSpeed "
                f"cuts the shares of AdamW anew, not those of {optimizer}: go on with {before} devices, "
                "or delete the checkpoints to train anew"
            )
        size, free = bytes_of(checkpoint), shutil.disk_usage(checkpoint).free
        if free < size:
            raise UserError(
                f"{checkpoint}: to cut its shares anew for {processes()} devices takes {size / 1e9:.1f} GB, "
                f"and {free / 1e9:.1f} GB are free: make room, or go on with {before} devices"
            )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.sharding == "zero3":
            # From the universal form DeepSpeed 0.19 gives all groups one tensor as their number of steps, to
            # which the optimiser then adds once for each group.
            for state in self.model_wrapped.optimizer.optimizer.state.values():
                if torch.is_tensor(state.get("step")):
                    state["step"] = state["step"].clone()

    @property
    def sharding(self) -> Sharding:
        """What each device of this run holds."""
        if self.is_fsdp_enabled:
            return "fsdp2"
        if self.is_deepspeed_enabled:
            return "zero3" if self.accelerator.state.deepspeed_plugin.zero_stage == 3 else "zero2"
        return "ddp"

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """As Trainer's, marked when it is whole; only then are older ones deleted.

        Nothing is written, and nothing deleted, where the weights are not finite. Where the disk has no room,
        training goes on without.
        """
        every = Path(self._get_output_dir(trial))
        assert isinstance(self.model, torch.nn.Module)
        refuse_non_finite_weights(self.model, self.state.global_step, every)
        if not self._has_room(every):
            return
        folder = every / f"checkpoint-{self.state.global_step}"
        self.add_to_checkpoint(folder)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        super()._save_checkpoint(model, trial)
        self.args.save_total_limit = limit
        mark_whole(folder)
        if self.args.should_save:
            rotate_checkpoints(str(every), limit, self.state.best_model_checkpoint)

    def add_to_checkpoint(self, folder: Path) -> None:
        """Write what a subclass keeps besides into a checkpoint that is being made (each process calls)."""

    def _has_room(self, every: Path) -> bool:
        """Whether the disk has room for one more checkpoint: what the first process finds."""
        held = bytes_held(self)
        in_shares = {"ddp": (), "zero2": ("optimiser",)}.get(self.sharding, ("weights", "optimiser"))
        needed = sum(
            held[part] * (processes() if part in in_shares else 1) for part in ("weights", "optimiser")
        )
        found = [not self.is_world_process_zero() or make_room(every, needed)]
        return bool(broadcast_object_list(found)[0])

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As Trainer's, but a checkpoint under ZeRO, which has the weights in shares, gets no whole copy."""
        if not (_internal_call and self.is_deepspeed_enabled):
            super().save_model(output_dir, _internal_call)


@contextmanager
def that_answers(trainer: Trainer) -> Iterator[Any]:
    """The network of a trainer, to be called otherwise than in a training step, by all processes alike.

    Under ZeRO-3 each process has all weights meanwhile, under FSDP2 those of the layer that is at work.
    """
    engine: Any = trainer.model_wrapped
    if trainer.is_deepspeed_enabled and engine.zero_optimization_partition_weights():
        with unwrap_model_for_generation(engine, trainer.accelerator) as network:
            yield network
    else:
        yield trainer.model


def whole_weights(trainer: Trainer) -> dict[str, Tensor] | None:
    """The weights of a trainer's model, gathered from all shares (each process must call).

    Returns:
        In the first process all weights by name, in others nothing; None where each process has them whole.
    """
    model: Any = trainer.model
    if trainer.is_fsdp_enabled:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights: dict[str, Any] = get_model_state_dict(model, options=options)
        # Gathered, each of several tied names has a tensor of its own.
        tied = getattr(model, "all_tied_weights_keys", {})
        return {name: values for name, values in weights.items() if name not in tied}
    engine: Any = trainer.model_wrapped
    if trainer.is_deepspeed_enabled and engine.zero_optimization_partition_weights():
        return engine._zero3_consolidated_16bit_state_dict() or {}
    return None


# --- checkpoints ----------------------------------------------------------------------------------


def sharding_of(checkpoint: Path) -> Sharding:
    """The sharding under which a checkpoint was written."""
    if (checkpoint / FSDP_WEIGHTS).is_dir():
        return "fsdp2"
    if (checkpoint / ZERO_LATEST).is_file():
        return "zero3" if any(checkpoint.glob("global_step*/zero_pp_rank_*_model_states.pt")) else "zero2"
    return "ddp"


def devices_of(checkpoint: Path) -> int:
    """How many processes wrote a checkpoint: each left its random state."""
    return len(list(checkpoint.glob("rng_state*")))


def _make_universal(checkpoint: Path) -> None:
    """Write DeepSpeed's universal form of a checkpoint beside its shares: any number of devices reads it."""
    from deepspeed.checkpoint.ds_to_universal import main

    shares = checkpoint / (checkpoint / ZERO_LATEST).read_text().strip()
    main(
        SimpleNamespace(
            input_folder=str(shares),
            output_folder=f"{shares}{UNIVERSAL}",
            num_extract_workers=1,
            num_merge_workers=1,
            keep_temp_folder=False,
            strict=True,
            inject_missing_state=True,
        )
    )
