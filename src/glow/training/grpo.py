"""The GRPO stage: one initialisation trained by TRL's GRPOTrainer, rewarded by the verifier.

The objective and the optimiser are TRL's (`glow.training.grpo_config`; by default DAPO's token-level loss,
advantages scaled by each prompt's standard deviation, one update per rollout).
Added here: which problems (`grpo_problems`) and their order, the rollouts (`rollouts`), the reward, one log
row a step, evaluation (`grpo_evaluation`), resuming, a word where nothing could be learnt (`grpo_signal`).
The generation of trajectories and of evaluation samples is in `glow.models.sampling`, not here.
"""

import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedTokenizerBase, PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import GRPOConfig

from glow.config import Grpo, GrpoSettings
from glow.config.packages import require
from glow.data.problem_rows import gold_facts, gold_of
from glow.errors import UserError
from glow.files.jsonl import Record, write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Asked
from glow.files.resume_points import checkpoints_in
from glow.files.same_run import run_identity
from glow.models.adapters import adapter_base, with_base
from glow.models.load import (
    hidden_tokens,
    load_tokenizer,
    prompt_ids,
    require_model,
    response_text,
    stop_ids,
)
from glow.models.prompts import prompt_messages
from glow.models.templates import opens_thought, template_files
from glow.models.text_part import is_multimodal
from glow.training.adapters import (
    ResumedAdapter,
    float32_adapters,
    load_to_train,
    refuse_missing_packages,
    restore_float32,
    underlying,
)
from glow.training.callbacks import StepProgress, raise_if_stopped, save_model
from glow.training.card import grpo_card
from glow.training.checkpoints import (
    FiniteWeights,
    NoFinalCheckpoint,
    resume_point,
    save_steps,
)
from glow.training.grpo_config import (
    StopAfterRollouts,
    after_whole_rounds,
    not_identifying,
    refuse_unfit_engine,
    trl_settings,
)
from glow.training.grpo_evaluation import (
    EVALUATIONS_FILE,
    EvaluateAtTheEnd,
    EvaluatedGrpoTrainer,
    evaluation_rows,
)
from glow.training.grpo_problems import choose_problems
from glow.training.grpo_signal import no_signal
from glow.training.head import use_chunked_head
from glow.training.micro_batches import cut
from glow.training.report_to import refuse_missing_trackers, reported
from glow.training.rollouts import use_own_rollouts
from glow.training.saving import saved_form
from glow.training.sharding import ready_to_load, sharding_arguments
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
    problems: Path,
    model: Path,
    output: Path,
    settings: GrpoSettings,
    *,
    pass_rates: Path | None = None,
    trust_remote_code: bool = False,
) -> None:
    """Train `model` on the prompts of `problems`; write model/ and log.jsonl to `output`.

    With problems set aside for evaluation also evaluations.jsonl (`glow.training.grpo_evaluation`), which
    changes no other file but by the problems that are no longer trained on.

    A killed run resumes from its last checkpoint and, with the transformers rollouts, ends in the same
    weights and log to the last bit (for a given number of threads). vLLM keeps a random state of its
    own, which no checkpoint holds.

    Args:
        problems: JSON Lines of problems; a step draws `settings.grpo.prompts` different ones.
        pass_rates: JSON Lines of how often `model` solves each (`glow pass-rates`), where problems are left
            out by it (`settings.grpo.pass_rate_rollouts`).
        trust_remote_code: whether code in the model's directory may run.

    Raises:
        UserError: too few problems or a malformed one, no model, a prompt that its chat template refuses, no
            vLLM, rollouts that do not divide among processes and parts, or weights that are not finite.
    """
    manifest, started = Manifest("grpo"), time.monotonic()
    transformers_logging.disable_progress_bar()  # those of loading and saving weights
    grpo, noted = settings.grpo, settings.model_dump(mode="json")
    refuse_missing_packages(grpo)
    if grpo.vllm:
        require("vLLM", "grpo.vllm")
    refuse_missing_trackers(settings.tracking)
    require_model(model)
    _refuse_no_reference(model, grpo)
    _refuse_unmatched_pass_rates(grpo, pass_rates)
    chosen = choose_problems(problems, grpo, settings.seed, pass_rates)
    tokenizer = load_tokenizer(model, settings.prompt, trust_remote_code=trust_remote_code)
    dataset, stops = _dataset(chosen.trained_on, settings, tokenizer), stop_ids(tokenizer, model)
    order = prompt_order(len(dataset), grpo, settings.seed)
    aside = _dataset(chosen.set_aside, settings, tokenizer) if chosen.set_aside else None
    checkpoints = checkpoints_in(output)
    arguments = _arguments(checkpoints, settings, stops, trust_remote_code)
    refuse_unfit_engine(grpo, settings.engine, dataset["prompt"], tokenizer, arguments.world_size)
    given = [problems, *with_base(model), *template_files(settings.prompt)]
    inputs = [*given, *([pass_rates] if pass_rates else [])]
    # Mostly without the number of steps: the prompts of a longer run begin with these.
    identity = run_identity(settings.decisive(), inputs, leave_out=not_identifying(grpo))
    resume_from = resume_point(checkpoints, identity, grpo.steps)
    arguments.eval_on_start = aside is not None and resume_from is None
    ready_to_load(arguments)
    policy, adapters = load_to_train(
        model, grpo, trust_remote_code=trust_remote_code, attention=settings.hardware.attention
    )
    with Verifier(settings.verification, own_cores(), settings.prompt.thought) as verifier:
        reward = CorrectnessReward(verifier, tokenizer, stops)
        trainer = _trainer(policy, tokenizer, arguments, (dataset.select(order), aside), reward, adapters)
        if resume_from is not None and trainer.sharding == "ddp":
            trainer.add_callback(ResumedAdapter(resume_from))
        with reported(trainer, settings.tracking, output, identity):
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    raise_if_stopped(trainer)
    form = saved_form(model, grpo, trust_remote_code=trust_remote_code)
    save_model(trainer, output / "model", form, grpo_card(problems, len(chosen.trained_on), model, grpo))
    if trainer.is_world_process_zero():
        log = [_log_row(line) for line in trainer.state.log_history if "reward" in line]
        write_jsonl(output / "log.jsonl", log)
        if aside is not None:
            write_jsonl(output / EVALUATIONS_FILE, evaluation_rows(trainer.state.log_history))
        missing, resumed = no_signal(log), resume_from and resume_from.name
        facts = chosen.facts | {"resumed_from": resumed, "no_signal": missing}
        manifest.write(output, noted, inputs, facts, device=str(trainer.accelerator.device))
        shutil.rmtree(checkpoints)
        for words in missing:
            print(f"WARNING: {output}: {words}", file=sys.stderr)
        print(f"{output}: {_summary(log)}, {time.monotonic() - started:.0f} s")


# --- prompts ------------------------------------------------------------------------------------


def _refuse_unmatched_pass_rates(grpo: Grpo, pass_rates: Path | None) -> None:
    if bool(grpo.pass_rate_rollouts) != (pass_rates is not None):
        raise UserError(
            "grpo.pass_rate_rollouts (--pass-rate-rollouts) and --pass-rates go together: give the file that "
            "`glow pass-rates` makes with this model, or 0 and none"
        )


def prompt_order(problems: int, grpo: Grpo, seed: int) -> list[int]:
    """The problem of every prompt of the run, `grpo.prompts` for each rollout step: a function of the seed.

    A rollout step is an optimiser step, or `grpo.num_iterations` of them.

    Each pass over the problems is shuffled anew; what no longer fills a step is left out of the pass,
    so that a step's problems differ. TRL's own sampler is not used: resumed after its first pass, it
    would begin with the first pass's order again.
    """
    steps_per_pass = problems // grpo.prompts
    steps = math.ceil(grpo.steps / grpo.num_iterations)
    order: list[int] = []
    for number in range(math.ceil(steps / steps_per_pass)):
        shuffled = np.random.default_rng([seed, number]).permutation(problems)
        order += shuffled[: steps_per_pass * grpo.prompts].tolist()
    return order[: steps * grpo.prompts]


def _dataset(rows: Sequence[Asked], settings: GrpoSettings, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """One row a problem: the conversation, and the rest for the reward.

    Raises:
        UserError: the chat template refuses the conversation.
    """
    prompts = [prompt_messages(row["question"], settings.prompt) for row in rows]
    prompt_ids(tokenizer, prompts[0])  # or it is refused here
    opened = [opens_thought(tokenizer, prompt, settings.prompt.thought) for prompt in prompts]
    # As JSON: a column has one type, and only some golds have a type or choices.
    golds = [json.dumps({"answer": row["answer"]} | gold_facts(row)) for row in rows]
    columns: dict[str, list[Any]] = {"prompt": prompts, "gold": golds, "thought_open": opened}
    return Dataset.from_dict(columns)


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
    policy: Any,
    tokenizer: PreTrainedTokenizerBase,
    arguments: GRPOConfig,
    datasets: tuple[Dataset, Dataset | None],
    reward: CorrectnessReward,
    adapters: LoraConfig | None = None,
) -> EvaluatedGrpoTrainer:
    """The trainer of one run: `datasets` has the prompts in their order, and the problems set aside."""
    network, given = underlying(policy), float32_adapters(policy)
    # TRL ends rollouts at these too; base models name only their own end, not the chat template's.
    network.generation_config.eos_token_id = sorted(reward.stops)
    trained_on, aside = datasets
    trainer = EvaluatedGrpoTrainer(
        model=policy,
        peft_config=adapters,
        reward_funcs=reward,
        args=arguments,
        train_dataset=trained_on,
        eval_dataset=aside,
        processing_class=tokenizer,
        callbacks=[
            *(FiniteWeights(), NoFinalCheckpoint()),
            StopAfterRollouts(arguments.num_iterations),
            *([EvaluateAtTheEnd()] if aside is not None else []),
            StepProgress("GRPO", "reward"),
        ],
    )
    restore_float32(trainer.model, given)
    trainer.remove_callback(PrinterCallback)
    if trainer.accelerator.device.type == "cpu":  # on a GPU, TRL's are as fast or faster
        use_chunked_head(network, trainer.temperature)
        use_own_rollouts(trainer, tokenizer, sorted(reward.stops), reward.verifier.thought)
    return trainer


def _arguments(
    checkpoints: Path, settings: GrpoSettings, stops: list[int], trust_remote_code: bool
) -> GRPOConfig:
    grpo = settings.grpo
    rollouts = grpo.prompts * grpo.generations
    micro_batch, parts = cut(rollouts, settings.hardware, "grpo.prompts x grpo.generations")
    every = save_steps(grpo.steps, grpo.checkpoints)
    return GRPOConfig(
        output_dir=str(checkpoints),
        max_steps=grpo.steps,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=parts,
        num_generations=grpo.generations,
        optim=grpo.optimizer,
        learning_rate=grpo.learning_rate,
        warmup_steps=grpo.warmup_steps,
        adam_beta2=grpo.adam_beta2,
        max_completion_length=grpo.max_tokens,
        beta=grpo.kl,
        shuffle_dataset=False,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        trust_remote_code=trust_remote_code,  # vLLM and the reference of kl read the directory again
        use_vllm=grpo.vllm,
        generation_kwargs={"stop_token_ids": stops} if grpo.vllm else None,
        save_strategy="no" if every is None else "steps",
        save_steps=after_whole_rounds(every or grpo.steps, grpo),
        save_total_limit=2,
        logging_steps=1,
        disable_tqdm=True,
        report_to="none",
        seed=settings.seed,
        **sharding_arguments(settings.hardware, grpo),
        **trl_settings(grpo, settings.engine),
    )


def _refuse_no_reference(model: Path, grpo: Grpo) -> None:
    """Refuse what would have another model as the reference of the KL penalty than the initialisation.

    TRL reads it anew from a directory, and an adapter that was added to its base, for all weights to train,
    has none of its own. In that of a multimodal model it would not find the weights of the text model.
    """
    if grpo.kl > 0 and grpo.lora is None and adapter_base(model) is not None:
        raise UserError(
            f"grpo.kl: the initialisation {model} is an adapter: set grpo.lora to train it on, or merge it "
            "(sft.lora.merge: true, glow merge-adapter) to train all weights"
        )
    if grpo.kl > 0 and grpo.lora is None and is_multimodal(model):
        raise UserError(
            f"grpo.kl: the initialisation {model} is a multimodal model, of which no reference can be read: "
            "set grpo.lora, or begin with an arm, which is saved as the text model"
        )


# --- results ------------------------------------------------------------------------------------


def _log_row(line: dict[str, float]) -> Record:
    return {"step": line["step"]} | {name: line[key] for key, name in LOG_KEYS.items() if key in line}


def _summary(log: list[Record]) -> str:
    """The reward over the first and the last tenth of the steps, in words."""
    tenth = max(1, len(log) // 10)
    first, last = (sum(row["reward"] for row in rows) / tenth for rows in (log[:tenth], log[-tenth:]))
    return f"reward {first:.3f} -> {last:.3f} (first and last {tenth} of {len(log)} steps)"
