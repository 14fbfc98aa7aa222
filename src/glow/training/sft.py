"""The SFT stage: one base model, one selection of trajectories, one objective, one seed.

It sets up `glow.training.trainer.GlowTrainer` from plain files, resumes where a killed run stopped, and
leaves the final model, the per-sample history and the training log.
"""

import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset, load_from_disk
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase, PrinterCallback, set_seed

from glow.config import DONE_TO_LONG, Prompt, Sft, SftSettings
from glow.errors import UserError
from glow.files.atomic import atomic_path
from glow.files.jsonl import read_jsonl, refuse_duplicates, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Judged, read_records
from glow.files.resume_points import checkpoints_in, training_data_in
from glow.files.same_run import run_identity
from glow.models.adapters import with_base
from glow.models.load import load_tokenizer, prompt_ids, require_model, stop_ids
from glow.models.prompts import prompt_messages
from glow.models.templates import generation_prompt, template_files
from glow.training.adapters import (
    float32_adapters,
    load_to_train,
    refuse_missing_packages,
    restore_float32,
)
from glow.training.callbacks import StepProgress, StopWhenAsked, quieten, raise_if_stopped, save_model
from glow.training.card import sft_card
from glow.training.checkpoints import NoFinalCheckpoint, resume_point, save_steps
from glow.training.epochs import EPOCHS_FILE, measured_by_epoch, read_held_out
from glow.training.micro_batches import cut
from glow.training.objectives import choose
from glow.training.report_to import refuse_missing_trackers, reported
from glow.training.saving import saved_form
from glow.training.sharding import ready_to_load, sharding_arguments
from glow.training.trainer import GlowTrainer
from glow.training.trainer_config import GlowConfig, refuse_unmatched_history
from glow.verifier.thoughts import is_open

LOG_LINES = 50
"""How many lines of the training log a run writes, whatever its length."""


def fine_tune(  # noqa: PLR0913 (a stage's paths and options)
    data: Path,
    all_data: Path,
    model: Path,
    output: Path,
    settings: SftSettings,
    *,
    replayed: Path | None = None,
    held_out: Path | None = None,
    trust_remote_code: bool = False,
) -> None:
    """Train `model` on the trajectories of `data`; write model/, history.parquet, log.jsonl to `output`.

    With held-out trajectories also epochs.jsonl (`glow.training.epochs`), which changes no other file.

    Args:
        data: JSON Lines of the arm's trajectories, in training order before shuffling.
        all_data: JSON Lines of all trajectories; their number sets the budget of optimiser steps
            when `settings.sft.budget` is "steps".
        replayed: history.parquet of the run whose weights the objective replays, for one that does.
        held_out: JSON Lines of trajectories that no arm trains on (`glow arms`), right and wrong ones, whose
            loss is measured by epoch, and of whose questions the first `settings.sft.epoch_questions` are
            answered.
        trust_remote_code: whether code in the model's directory may run.

    Raises:
        UserError: no model, no trajectories, duplicate ids, a response that would not be trained as it is,
            too many that are longer than max_length, replayed weights that are not those of a run of the
            same trajectories and epochs, or fewer held-out questions than are to be answered.
    """
    objective = choose(settings.objective.objective, settings.objective.settings)
    refuse_unmatched_history(objective, replayed)
    refuse_missing_packages(settings.sft)
    refuse_missing_trackers(settings.tracking)
    manifest = Manifest("sft")
    require_model(model)
    rows = _read(data)
    all_rows = sum(1 for _ in read_jsonl(all_data))
    aside = read_held_out(held_out, settings.sft, {row["question"] for row in rows})
    checkpoints = checkpoints_in(output)
    quieten()
    set_seed(settings.seed)
    tokenizer = load_tokenizer(model, settings.prompt, trust_remote_code=trust_remote_code)
    # Before the model: under some shardings it is read in shares.
    arguments = _arguments(checkpoints, settings, replayed)
    ready_to_load(arguments)
    network, adapters = load_to_train(
        model,
        settings.sft,
        trust_remote_code=trust_remote_code,
        attention=settings.hardware.attention,
    )
    trainer = _trainer(
        network,
        tokenizer,
        arguments,
        _mapped(_dataset(rows, settings.prompt, tokenizer), training_data_in(output)),
        _dataset(aside, settings.prompt, tokenizer) if aside else None,
        adapters,
    )
    steps = _optimiser_steps(len(trainer.train_dataset), all_rows, settings.sft)
    _set_length(trainer.args, steps, settings.sft)
    # With the length of the run, on which the schedule depends: a model never depends on what was killed.
    of_run = {"objective": objective.identity, "steps": steps}
    noted = settings.model_dump(mode="json") | of_run
    inputs = [data, *with_base(model), *template_files(settings.prompt), *filter(None, (replayed, held_out))]
    identity = run_identity(settings.decisive() | of_run, inputs) | trainer.identity()
    resume_from = resume_point(checkpoints, identity, steps)
    with (
        measured_by_epoch(trainer, aside, settings, tokenizer, stop_ids(tokenizer, model)),
        reported(trainer, settings.tracking, output, identity),
    ):
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    raise_if_stopped(trainer)
    form = saved_form(model, settings.sft, trust_remote_code=trust_remote_code)
    card = sft_card(rows, data, model, settings, steps, len(trainer.sample_ids))
    save_model(trainer, output / "model", form, card)
    if trainer.is_world_process_zero():
        _save_history(trainer, rows, output)
        if aside:
            write_jsonl(output / EPOCHS_FILE, read_jsonl(checkpoints / EPOCHS_FILE))
        facts = _facts(trainer, rows) | {"resumed_from": resume_from.name if resume_from else None}
        manifest.write(output, noted, [all_data, *inputs], facts, device=str(trainer.accelerator.device))
        shutil.rmtree(checkpoints)
        # A network file system keeps what other processes still map; `glow unlock` deletes that.
        shutil.rmtree(training_data_in(output), ignore_errors=True)
        print(f"{output}: {steps} steps on {facts['samples']} trajectories, {objective}{_said(facts)}")


def _optimiser_steps(samples: int, all_samples: int, sft: Sft) -> int:
    """The run's optimiser steps: `epochs` passes over this arm, or over all trajectories."""
    return sft.epochs * math.ceil((all_samples if sft.budget == "steps" else samples) / sft.batch_size)


def _set_length(args: GlowConfig, steps: int, sft: Sft) -> None:
    """Give a run its length, which is known when its trajectories have been measured."""
    every = save_steps(steps, sft.checkpoints)
    args.max_steps = steps
    args.warmup_steps = math.ceil(sft.warmup_ratio * steps)
    args.save_strategy = "no" if every is None else "steps"
    args.save_steps = every or steps
    args.logging_steps = max(1, steps // LOG_LINES)


def _arguments(checkpoints: Path, settings: SftSettings, replayed: Path | None) -> GlowConfig:
    objective, sft, seed = settings.objective, settings.sft, settings.seed
    micro_batch, parts = cut(sft.batch_size, settings.hardware, "sft.batch_size")
    return GlowConfig(
        output_dir=str(checkpoints),
        objective=objective.objective,
        objective_settings=objective.settings,
        replayed_history=None if replayed is None else str(replayed),
        id_column="trajectory_id",
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=parts,
        optim=sft.optimizer,
        padding_free=settings.hardware.padding_free,
        learning_rate=sft.learning_rate,
        lr_scheduler_type=sft.scheduler,
        max_length=sft.max_length,
        too_long=sft.too_long,
        too_long_limit=sft.too_long_limit,
        use_cpu=not torch.cuda.is_available(),
        save_total_limit=2,
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        seed=seed,
        data_seed=seed,
        **sharding_arguments(settings.hardware, sft),
    )


def _trainer(
    network: Any,
    tokenizer: PreTrainedTokenizerBase,
    arguments: GlowConfig,
    trained_on: Dataset,
    held_out: Dataset | None,
    adapters: LoraConfig | None = None,
) -> GlowTrainer:
    given = float32_adapters(network)
    trainer = GlowTrainer(
        model=network,
        peft_config=adapters,
        args=arguments,
        train_dataset=trained_on,
        eval_dataset=held_out,
        processing_class=tokenizer,
        callbacks=[NoFinalCheckpoint(), StopWhenAsked(), StepProgress("SFT", "sample_loss")],
    )
    restore_float32(trainer.model, given)
    trainer.remove_callback(PrinterCallback)
    return trainer


# --- data ---------------------------------------------------------------------------------------


def _read(data: Path) -> list[Judged]:
    """The trajectories to train on."""
    rows = []
    for place, row in read_records(data, Judged, ("trajectory_id", "question", "response", "verdict")):
        if any("\ud800" <= character <= "\udfff" for character in row["question"] + row["response"]):
            raise UserError(f"{place}: half of a surrogate pair (\\udXXX), which is no text; remove the row")
        rows.append(row)
    if not rows:
        raise UserError(f"{data}: no trajectories to train on")
    refuse_duplicates(rows, "trajectory_id", data)
    return rows


def _dataset(rows: list[Judged], prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Prompt and completion as conversations, which TRL renders with the tokenizer's chat template."""
    opening = _opening(rows, prompt, tokenizer)
    return Dataset.from_list(
        [
            {
                "prompt": prompt_messages(row["question"], prompt),
                "completion": [
                    {"role": "assistant", "content": _after_opening(row["response"], opening, prompt)}
                ],
                "trajectory_id": row["trajectory_id"],
            }
            for row in rows
        ]
    )


def _mapped(data: Dataset, folder: Path) -> Dataset:
    """The data from a file, mapped into memory.

    What TRL makes of them (tokens) the first process writes beside it, and the others read.
    """
    with PartialState().main_process_first():
        if PartialState().is_main_process:
            shutil.rmtree(folder, ignore_errors=True)
            data.save_to_disk(str(folder))
    return load_from_disk(str(folder))


def _opening(rows: list[Judged], prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> str:
    """The thought that the chat template opens before the model's turn; empty where it opens none.

    Raises:
        UserError: the template refuses the prompt; or it opens a thought, and a response never closes it:
            what the model learns would be no answer.
    """
    asked = prompt_messages(rows[0]["question"], prompt)
    prompt_ids(tokenizer, asked)  # or it is refused here
    end = generation_prompt(tokenizer, asked)
    if not is_open(end, prompt.thought):
        return ""
    unclosed = [row["trajectory_id"] for row in rows if prompt.thought[1] not in row["response"]]
    if unclosed:
        raise UserError(
            f"the chat template opens a thought before the response ({end[-20:]!r}), and {len(unclosed)} of "
            f"{len(rows)} responses have no {prompt.thought[1]}: {', '.join(unclosed[:3])}\n"
            "Choose a template that opens none: prompt.chat_template (--chat-template) chatml or plain; some "
            "have a switch for it (prompt.chat_template_kwargs enable_thinking: false)"
        )
    return end[end.rfind(prompt.thought[0]) :]


def _after_opening(response: str, opening: str, prompt: Prompt) -> str:
    """The response with the thought's beginning, which the prompt has and not every response repeats."""
    return response if response.lstrip().startswith(prompt.thought[0]) else opening + response


# --- results --------------------------------------------------------------------------------------


def _facts(trainer: GlowTrainer, rows: list[Judged]) -> dict[str, Any]:
    """What the manifest notes of the data: how many were trained on, too long, or there twice."""
    too_long = set(trainer.too_long)
    verdicts = Counter(row["verdict"] for row in rows if row["trajectory_id"] in too_long)
    return {
        "samples": len(trainer.sample_ids),
        "too_long": {"found": len(too_long), "of": len(rows), "done": trainer.args.too_long, **verdicts},
        "exact_duplicates": len(rows) - len({(row["question"], row["response"]) for row in rows}),
    }


def _said(facts: dict[str, Any]) -> str:
    found = facts["too_long"]
    return f"; {found['found']} too long and {DONE_TO_LONG[found['done']]}" if found["found"] else ""


def _save_history(trainer: GlowTrainer, rows: list[Judged], output: Path) -> None:
    history = trainer.history().rename(columns={"sample_id": "trajectory_id"})
    verdicts = {row["trajectory_id"]: row["verdict"] for row in rows}
    history.insert(2, "verdict", history["trajectory_id"].map(verdicts))
    with atomic_path(output / "history.parquet") as partial:
        history.to_parquet(partial, index=False)
    # A checkpoint sorts the keys of the lines before it: so are all, whether or not a run was resumed.
    log = [dict(sorted(line.items())) for line in trainer.state.log_history if "loss" in line]
    write_jsonl(output / "log.jsonl", log)
