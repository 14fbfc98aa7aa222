"""GRPO's evaluation while it trains: the reward of the policy on problems that it does not train on.

TRL's own evaluation takes the loss of its rollouts besides, averages over batches of unequal size, and draws
from the random numbers of training. Here each problem gets one rollout, sampled as in training, so that their
mean is the same quantity as the `reward` of a training step. Every evaluation draws the same random numbers
again, and leaves those of training as they were. When it is due is Trainer's business (`eval_steps`), and so
are its rows: they stand in the log history, go on with the checkpoints, and reach what training reports to.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import GRPOConfig, GRPOTrainer

from glow.files.jsonl import Record
from glow.training.held_out import evaluating
from glow.training.sharding import ShardedTrainer

EVALUATIONS_FILE = "evaluations.jsonl"
"""Rows of a run's evaluations: step (0: before training), reward (share of problems solved),
completion_length (mean, in tokens) and clipped_ratio (share of rollouts that were cut off)."""

EVALUATION_KEYS = {
    "eval_reward": "reward",
    "eval_completions/mean_length": "completion_length",
    "eval_completions/clipped_ratio": "clipped_ratio",
}
"""What the log history has of an evaluation, by TRL's names, and the names in its file."""


class EvaluatedGrpoTrainer(ShardedTrainer, GRPOTrainer):
    """TRL's trainer, its state in shares where asked, with an `evaluate` as this module says.

    Its one reward function is `CorrectnessReward`.
    """

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Roll out the evaluation set, log the mean reward, length and share of what was cut off.

        Args:
            eval_dataset: rows as those of the training set (default: the trainer's own).
            ignore_keys: Trainer's, of no effect.
            metric_key_prefix: what the names of the metrics begin with.
        """
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        assert isinstance(dataset, Dataset)
        rows, device = self._own_rows(dataset), self.accelerator.device
        totals = torch.zeros(4, dtype=torch.float64, device=device)
        assert isinstance(self.model, torch.nn.Module)
        with evaluating(self.model), _random_numbers_of_its_own(self.args.seed, device):
            for start in range(0, len(rows), self._evaluated_together):
                totals += self._evaluated(rows[start : start + self._evaluated_together])
            count, *sums = self.accelerator.reduce(totals, reduction="sum").tolist()
            self._metrics["eval"].clear()  # TRL's, of which the last batch may be smaller than the others
            names = ("reward", "completions/mean_length", "completions/clipped_ratio")
            metrics = {
                f"{metric_key_prefix}_{name}": total / count for name, total in zip(names, sums, strict=True)
            }
            self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _own_rows(self, dataset: Dataset) -> list[dict[str, Any]]:
        """This process's rows; as many for each, as a model that is divided among them needs all of them.

        A row that only makes the numbers equal has `counts` False.
        """
        processes, index = self.accelerator.num_processes, self.accelerator.process_index
        places = range(index, -(-len(dataset) // processes) * processes, processes)
        return [{**dataset[min(place, len(dataset) - 1)], "counts": place < len(dataset)} for place in places]

    @property
    def _evaluated_together(self) -> int:
        """As many rollouts as this process makes in a step of training."""
        assert isinstance(self.args, GRPOConfig)
        assert self.args.steps_per_generation is not None  # set by GRPOConfig itself
        return self.args.per_device_train_batch_size * self.args.steps_per_generation

    def _evaluated(self, rows: Sequence[Mapping[str, Any]]) -> torch.Tensor:
        """Sums over rows that count: how many, rewards, tokens, and what was cut off; (4,) float64."""
        ids = self._generate([row["prompt"] for row in rows])[1]
        reward: Any = self.reward_funcs[0]
        columns = {name: [row[name] for row in rows] for name in ("gold", "thought_open")}
        rewards = reward(completion_ids=ids, **columns)
        found = [
            (1, rewarded, len(own), not reward.stops.intersection(own[-1:]))
            for row, own, rewarded in zip(rows, ids, rewards, strict=True)
            if row["counts"]
        ]
        device = self.accelerator.device
        return torch.tensor([*found, (0, 0, 0, 0)], dtype=torch.float64, device=device).sum(0)


@contextmanager
def _random_numbers_of_its_own(seed: int, device: torch.device) -> Iterator[None]:
    """The same random numbers in each evaluation; afterwards, those of training go on where they were.

    Our own rollouts draw from none of these, but `generate` on a GPU does, and so do loaders of data.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class EvaluateAtTheEnd(TrainerCallback):
    """Lets the last step be followed by an evaluation, whether or not its turn has come."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True


def evaluation_rows(history: Sequence[Mapping[str, Any]]) -> list[Record]:
    """The rows of `EVALUATIONS_FILE`, from a trainer's log history."""
    return [
        {"step": line["step"]} | {name: line[key] for key, name in EVALUATION_KEYS.items()}
        for line in history
        if "eval_reward" in line
    ]
