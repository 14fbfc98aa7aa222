"""The GRPO stage: one initialisation trained by TRL's GRPOTrainer, rewarded by the verifier.

The objective and the optimiser are TRL's (1.16 defaults: DAPO's token-level loss, advantages scaled by each
prompt's standard deviation, one update per rollout), at a learning rate that is constant after its warm-up.
Added here: the order of the prompts, the rollouts (`glow.training.rollouts`), the reward, one log row a step,
resuming, and a word where nothing could be learnt (`glow.training.grpo_signal`). The generation of
trajectories and of evaluation samples is in `glow.models.sampling`, not here.
"""

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig, GRPOTrainer

from glow.config import Grpo, GrpoSettings
from glow.config.packages import missing
from glow.data.problem_rows import gold_facts, gold_of
from glow.errors import UserError
from glow.files.jsonl import Record, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Asked, read_records
from glow.files.resume_points import checkpoints_in
from glow.files.same_run import run_identity
from glow.models.load import (
    hidden_tokens,
    load_network,
    load_tokenizer,
    prompt_ids,
    response_text,
    stop_ids,
)
from glow.models.prompts import prompt_messages
from glow.models.templates import opens_thought, template_files
from glow.training.callbacks import StepProgress, StopWhenAsked, raise_if_stopped, save_model
from glow.training.checkpoints import (
    CheckpointMarker,
    FiniteWeights,
    NoFinalCheckpoint,
    resume_point,
    save_steps,
)
from glow.training.grpo_signal import no_signal
from glow.training.head import use_chunked_head
from glow.training.rollouts import use_own_rollouts
from glow.verifier.verify import Item, Verifier, own_cores

LOG_KEYS = {
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "unanimous_ratio",
    "entropy": "entropy",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "clipped_ratio",
    "loss": "loss",
    "grad_norm": "grad_norm",
    "kl": "kl",
}
"""TRL's metrics that a log row keeps, and their names there. The entropy is in nats per token, lengths
are in tokens, and `unanimous_ratio` is the share of prompts whose rollouts all got the same reward:
they teach nothing."""


def train(
    problems: Path, model: Path, output: Path, settings: GrpoSettings, *, trust_remote_code: bool = False
) -> None:
    """Train `model` on the prompts of `problems`; write model/ and log.jsonl to `output`.

    A killed run resumes from its last checkpoint and, with the transformers rollouts, ends in the same
    weights and log to the last bit (for a given number of threads). vLLM keeps a random state of its
    own, which no checkpoint holds.

    Args:
        problems: JSON Lines of problems; a step draws `settings.grpo.prompts` different ones.
        trust_remote_code: whether code in the model's directory may run.

    Raises:
        UserError: too few problems or a malformed one, no model, a prompt that its chat template refuses, no
            vLLM, rollouts that do not divide among processes and parts, or weights that are not finite.
    """
    manifest, started = Manifest("grpo"), time.monotonic()
    transformers_logging.disable_progress_bar()  # those of loading and saving weights
    grpo, seed, noted = settings.grpo, settings.seed, settings.model_dump(mode="json")
    rows = _read_problems(problems, grpo.prompts)
    tokenizer = load_tokenizer(model, settings.prompt, trust_remote_code=trust_remote_code)
    dataset, stops = _dataset(rows, settings, tokenizer), stop_ids(tokenizer, model)
    checkpoints = checkpoints_in(output)
    arguments = _arguments(checkpoints, grpo, stops, seed, trust_remote_code)
    inputs = [problems, model, *template_files(settings.prompt)]
    # Without the number of steps: neither the rate nor its warm-up depends on it, and the prompts of a longer
    # run begin with these.
    identity = run_identity(settings.decisive(), inputs, leave_out=["grpo.steps"])
    resume_from = resume_point(checkpoints, identity, grpo.steps)
    # float32 weights also for bf16: the optimiser's copy must keep small updates (autocast does the rest).
    policy = load_network(model, torch.float32, trust_remote_code=trust_remote_code)
    with Verifier(settings.verification, own_cores(), settings.prompt.thought) as verifier:
        reward = CorrectnessReward(verifier, tokenizer, stops)
        trainer = _trainer(policy, tokenizer, arguments, dataset, reward)
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    raise_if_stopped(trainer)
    save_model(trainer, output / "model")
    if trainer.is_world_process_zero():
        log = [_log_row(line) for line in trainer.state.log_history if "reward" in line]
        write_jsonl(output / "log.jsonl", log)
        missing, resumed = no_signal(log), resume_from and resume_from.name
        facts = {"problems": len(rows), "resumed_from": resumed, "no_signal": missing}
        manifest.write(output, noted, inputs, facts, device=str(trainer.accelerator.device))
        shutil.rmtree(checkpoints)
        for words in missing:
            print(f"WARNING: {output}: {words}", file=sys.stderr)
        print(f"{output}: {_summary(log)}, {time.monotonic() - started:.0f} s")


# --- prompts ------------------------------------------------------------------------------------


def _read_problems(path: Path, needed: int) -> list[Asked]:
    rows = [row for _, row in read_records(path, Asked, ("question", "answer", "answer_type", "choices"))]
    if len(rows) < needed:
        raise UserError(
            f"{path}: {len(rows)} problem(s), but a step draws {needed} different ones; "
            "add problems or lower grpo.prompts (--prompts)"
        )
    return rows


def prompt_order(problems: int, grpo: Grpo, seed: int) -> list[int]:
    """The problem of every prompt of the run, `grpo.prompts` a step: a function of the seed.

    Each pass over the problems is shuffled anew; what no longer fills a step is left out of the pass,
    so that a step's problems differ. TRL's own sampler is not used: resumed after its first pass, it
    would begin with the first pass's order again.
    """
    steps_per_pass = problems // grpo.prompts
    order: list[int] = []
    for number in range(math.ceil(grpo.steps / steps_per_pass)):
        shuffled = np.random.default_rng([seed, number]).permutation(problems)
        order += shuffled[: steps_per_pass * grpo.prompts].tolist()
    return order[: grpo.steps * grpo.prompts]


def _dataset(rows: Sequence[Asked], settings: GrpoSettings, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """One row a prompt of the run, in order: the conversation, and the rest for the reward.

    Raises:
        UserError: the chat template refuses the conversation.
    """
    prompts = [prompt_messages(row["question"], settings.prompt) for row in rows]
    prompt_ids(tokenizer, prompts[0])  # or it is refused here
    opened = [opens_thought(tokenizer, prompt, settings.prompt.thought) for prompt in prompts]
    # As JSON: a column has one type, and only some golds have a type or choices.
    golds = [json.dumps({"answer": row["answer"]} | gold_facts(row)) for row in rows]
    columns: dict[str, list[Any]] = {"prompt": prompts, "gold": golds, "thought_open": opened}
    order = prompt_order(len(rows), settings.grpo, settings.seed)
    return Dataset.from_dict({name: [values[index] for index in order] for name, values in columns.items()})


# --- reward -------------------------------------------------------------------------------------


class CorrectnessReward:
    """TRL reward function: 1 for a completion that the verifier finds correct, else 0.

    A completion that does not end in a stop token, an empty one too, was cut off; its verdict is `truncated`,
    never correct. It is read from its tokens: the text that TRL makes of them lacks what is a special token.
    A batch is judged on all cores of this process. However hard its answers, it takes little more than the
    deadline of one times their number, divided by the cores.
    """

    __name__ = "correctness"

    def __init__(self, verifier: Verifier, tokenizer: PreTrainedTokenizerBase, stops: Sequence[int]) -> None:
        self.verifier = verifier
        self.tokenizer = tokenizer
        self.hidden = hidden_tokens(tokenizer, verifier.thought)
        self.stops = frozenset(stops)

    def __call__(
        self, completion_ids: list[list[int]], gold: list[str], thought_open: list[bool], **_: Any
    ) -> list[float | None]:
        """Rewards, one a completion; the others are columns of the data set, repeated for each rollout."""
        items = [
            Item(
                response_text(self.tokenizer, ids, self.hidden),
                gold_of(json.loads(row)),
                "stop" if self.stops.intersection(ids[-1:]) else "length",
                opened,
            )
            for ids, row, opened in zip(completion_ids, gold, thought_open, strict=True)
        ]
        return [float(judgement.verdict == "correct") for judgement in self.verifier.judge(items)]


# --- trainer ------------------------------------------------------------------------------------


def _trainer(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    arguments: GRPOConfig,
    dataset: Dataset,
    reward: CorrectnessReward,
) -> GRPOTrainer:
    # TRL ends rollouts at these too; base models name only their own end, not the chat template's.
    policy.generation_config.eos_token_id = sorted(reward.stops)
    trainer = GRPOTrainer(
        model=policy,
        reward_funcs=reward,
        args=arguments,
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=[
            *(FiniteWeights(), CheckpointMarker(), NoFinalCheckpoint(), StopWhenAsked()),
            StepProgress("GRPO", "reward"),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    if trainer.accelerator.device.type == "cpu":  # on a GPU, TRL's are as fast or faster
        use_chunked_head(policy, trainer.temperature)
        use_own_rollouts(trainer, tokenizer, sorted(reward.stops), reward.verifier.thought)
    return trainer


def _arguments(
    checkpoints: Path, grpo: Grpo, stops: list[int], seed: int, trust_remote_code: bool = False
) -> GRPOConfig:
    every = save_steps(grpo.steps, grpo.checkpoints)
    return GRPOConfig(
        output_dir=str(checkpoints),
        max_steps=grpo.steps,
        per_device_train_batch_size=_batch_size(grpo),
        gradient_accumulation_steps=grpo.gradient_accumulation,
        num_generations=grpo.generations,
        learning_rate=grpo.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=grpo.warmup_steps,
        adam_beta2=grpo.adam_beta2,
        temperature=grpo.temperature,
        max_completion_length=grpo.max_tokens,
        beta=grpo.kl,
        shuffle_dataset=False,
        bf16=grpo.precision == "bf16",
        gradient_checkpointing=grpo.gradient_checkpointing,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        trust_remote_code=trust_remote_code,  # vLLM and the reference of kl read the directory again
        use_vllm=_vllm(grpo),
        vllm_mode="colocate",
        generation_kwargs={"stop_token_ids": stops} if grpo.vllm else None,
        save_strategy="no" if every is None else "steps",
        save_steps=every or grpo.steps,
        save_total_limit=2,
        logging_steps=1,
        disable_tqdm=True,
        report_to="none",
        seed=seed,
    )


def _batch_size(grpo: Grpo) -> int:
    """Rollouts that one process trains on at a time."""
    rollouts = grpo.prompts * grpo.generations
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if rollouts % (processes * grpo.gradient_accumulation):
        raise UserError(
            f"grpo: {rollouts} rollouts a step (prompts x generations) do not divide into {processes} "
            f"process(es) x {grpo.gradient_accumulation} part(s); change prompts or gradient_accumulation"
        )
    return rollouts // (processes * grpo.gradient_accumulation)


def _vllm(grpo: Grpo) -> bool:
    if grpo.vllm and (said := missing("vLLM", "grpo.vllm")):
        raise UserError(said)
    return grpo.vllm


# --- results ------------------------------------------------------------------------------------


def _log_row(line: dict[str, float]) -> Record:
    return {"step": line["step"]} | {name: line[key] for key, name in LOG_KEYS.items() if key in line}


def _summary(log: list[Record]) -> str:
    """The reward over the first and the last tenth of the steps, in words."""
    tenth = max(1, len(log) // 10)
    first, last = (sum(row["reward"] for row in rows) / tenth for rows in (log[:tenth], log[-tenth:]))
    return f"reward {first:.3f} -> {last:.3f} (first and last {tenth} of {len(log)} steps)"
