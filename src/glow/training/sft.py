"""The SFT stage: one base model, one selection of trajectories, one objective, one seed.

It sets up `glow.training.trainer.GlowTrainer` from plain files, resumes where a killed run stopped, and
leaves the final model, the per-sample history and the training log.
"""

import math
import os
import shutil
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback, set_seed

from glow.config import Prompt, Sft, SftSettings
from glow.errors import UserError
from glow.files.atomic import atomic_path
from glow.files.jsonl import read_jsonl, refuse_duplicates, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Judged, read_records
from glow.files.same_run import run_identity
from glow.models.load import load_tokenizer, require_model
from glow.models.prompts import prompt_messages
from glow.training.callbacks import StepProgress, quieten, save_model
from glow.training.checkpoints import NoFinalCheckpoint, resume_point, save_steps
from glow.training.objectives import choose
from glow.training.trainer import GlowTrainer
from glow.training.trainer_config import GlowConfig

LOG_LINES = 50
"""How many lines of the training log a run writes, whatever its length."""


def fine_tune(
    data: Path,
    all_data: Path,
    model: Path,
    output: Path,
    settings: SftSettings,
) -> None:
    """Train `model` on the trajectories of `data`; write model/, history.parquet, log.jsonl to `output`.

    Args:
        data: JSON Lines of the arm's trajectories, in training order before shuffling.
        all_data: JSON Lines of all trajectories; their number sets the budget of optimiser steps
            when `settings.sft.budget` is "steps".

    Raises:
        UserError: no model, no trajectories, a response with no token within max_length, or duplicate ids.
    """
    objective = choose(settings.objective.objective, settings.objective.settings)
    manifest = Manifest("sft")
    require_model(model)
    rows = [
        row for _, row in read_records(data, Judged, ("trajectory_id", "question", "response", "verdict"))
    ]
    if not rows:
        raise UserError(f"{data}: no trajectories to train on")
    refuse_duplicates(rows, "trajectory_id", data)
    steps = _optimiser_steps(len(rows), sum(1 for _ in read_jsonl(all_data)), settings.sft)
    noted = settings.model_dump(mode="json") | {"objective": objective.identity, "steps": steps}
    checkpoints = output / "checkpoints"
    trainer = _trainer(rows, model, checkpoints, settings, steps)
    # With the length of the run, on which the schedule depends: a model never depends on what was killed.
    stage = run_identity(noted, [data, model], leave_out=("sft.checkpoints", "sft.gradient_checkpointing"))
    resume_from = resume_point(checkpoints, stage | trainer.identity(), steps)
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    save_model(trainer, output / "model")
    if trainer.is_world_process_zero():
        _save_history(trainer, rows, output)
        manifest.write(
            output,
            noted,
            [data, all_data, model],
            {"samples": len(rows), "resumed_from": resume_from.name if resume_from else None},
            device=str(trainer.accelerator.device),
        )
        shutil.rmtree(checkpoints)
        print(f"{output}: {steps} steps on {len(rows)} trajectories, {objective}")


def _optimiser_steps(samples: int, all_samples: int, sft: Sft) -> int:
    """The run's optimiser steps: `epochs` passes over this arm, or over all trajectories."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    batches = math.ceil((all_samples if sft.budget == "steps" else samples) / (sft.batch_size * world_size))
    return sft.epochs * math.ceil(batches / sft.gradient_accumulation)


def _trainer(
    rows: list[Judged], model: Path, checkpoints: Path, settings: SftSettings, steps: int
) -> GlowTrainer:
    objective, sft, seed = settings.objective, settings.sft, settings.seed
    quieten()
    set_seed(seed)
    every = save_steps(steps, sft.checkpoints)
    arguments = GlowConfig(
        output_dir=str(checkpoints),
        objective=objective.objective,
        objective_settings=objective.settings,
        id_column="trajectory_id",
        max_steps=steps,
        per_device_train_batch_size=sft.batch_size,
        gradient_accumulation_steps=sft.gradient_accumulation,
        learning_rate=sft.learning_rate,
        lr_scheduler_type=sft.scheduler,
        warmup_steps=math.ceil(sft.warmup_ratio * steps),
        max_length=sft.max_length,
        bf16=sft.precision == "bf16",
        gradient_checkpointing=sft.gradient_checkpointing,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no" if every is None else "steps",
        save_steps=every or steps,
        save_total_limit=2,
        logging_steps=max(1, steps // LOG_LINES),
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        seed=seed,
        data_seed=seed,
    )
    trainer = GlowTrainer(
        # float32 weights also for bf16, which is autocast: the optimiser must not lose small updates.
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=arguments,
        train_dataset=_dataset(rows, settings.prompt),
        processing_class=load_tokenizer(model),
        callbacks=[NoFinalCheckpoint(), StepProgress("SFT", "sample_loss")],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _dataset(rows: list[Judged], prompt: Prompt) -> Dataset:
    """Prompt and completion as conversations, which TRL renders with the tokenizer's chat template."""
    return Dataset.from_list(
        [
            {
                "prompt": prompt_messages(row["question"], prompt),
                "completion": [{"role": "assistant", "content": row["response"]}],
                "trajectory_id": row["trajectory_id"],
            }
            for row in rows
        ]
    )


def _save_history(trainer: GlowTrainer, rows: list[Judged], output: Path) -> None:
    history = trainer.history().rename(columns={"sample_id": "trajectory_id"})
    verdicts = {row["trajectory_id"]: row["verdict"] for row in rows}
    history.insert(2, "verdict", history["trajectory_id"].map(verdicts))
    with atomic_path(output / "history.parquet") as partial:
        history.to_parquet(partial, index=False)
    # A checkpoint sorts the keys of the lines before it: so are all, whether or not a run was resumed.
    log = [dict(sorted(line.items())) for line in trainer.state.log_history if "loss" in line]
    write_jsonl(output / "log.jsonl", log)
