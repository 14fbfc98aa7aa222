"""A training step that costs what the released code's costs, to compare with; for the benchmarks only.

It is not the released code, nor written from it: it has properties that docs/paper.md lists under "Known
defects of the released code" (whole logits in float32, a loop over samples that reads each loss back to
the host, Python objects gathered over processes, a JSON line appended to disk at every step) and is
otherwise as lean as transformers' own loss, which shifts the labels rather than copy the logits.
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from datasets import Dataset
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from trl import SFTConfig, SFTTrainer

ROW = "sample_row"
LOG_FILE = "weights.jsonl"
CLAMP = (0.5, 5.0)


class ReleasedLikeTrainer(SFTTrainer):
    """Plain TRL but for the loss. Padded batches, one sample a row, no accumulation."""

    def __init__(
        self,
        model: torch.nn.Module,
        args: SFTConfig,
        alpha: float,
        beta: float,
        train_dataset: Dataset,
        **kwargs: Any,
    ) -> None:
        numbered = train_dataset.add_column(ROW, range(len(train_dataset)))
        super().__init__(model, args, train_dataset=numbered, **kwargs)
        self.alpha, self.beta = alpha, beta
        self.previous: dict[int, float] = {}
        collate = self.data_collator
        self.data_collator = lambda samples: {
            **collate(samples),
            ROW: torch.tensor([sample[ROW] for sample in samples]),
        }

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if ROW not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, ROW]

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        rows, labels = inputs.pop(ROW), inputs.pop("labels")
        logits = model(**inputs, use_cache=False).logits.float()
        shifted = pad(labels, (0, 1), value=-100)[:, 1:]
        token_loss = cross_entropy(logits.flatten(0, 1), shifted.flatten(), reduction="none")
        token_loss = token_loss.view(shifted.shape)
        weighted, seen = [], []
        for k, row in enumerate(rows):
            answer = shifted[k] != -100
            loss = token_loss[k][answer].mean()
            now = loss.item()
            weight = self._weight(row.item(), now)
            weighted.append(weight * loss)
            seen.append({"row": row.item(), "loss": now, "weight": weight})
        self._keep(seen)
        return torch.stack(weighted).mean()

    def _weight(self, row: int, now: float) -> float:
        if row not in self.previous:
            return 1.0
        gain = torch.tensor(self.previous[row] - now)
        return (self.alpha * (1 - torch.sigmoid(self.beta * gain))).clamp(*CLAMP).item()

    def _keep(self, seen: list[dict[str, float]]) -> None:
        if torch.distributed.is_initialized():
            gathered: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(gathered, seen)
            seen = [entry for part in gathered for entry in part]
        self.previous.update({entry["row"]: entry["loss"] for entry in seen})
        folder = Path(self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG_FILE).open("a") as log:
            log.write(json.dumps({"step": self.state.global_step, "samples": seen}) + "\n")
