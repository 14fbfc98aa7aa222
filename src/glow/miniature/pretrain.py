"""Pretrain a small Qwen2 model on the miniature world's worked solutions, from scratch or from another one.

A plain training loop in phases, each with its own mix of packed documents, its optimiser (AdamW or Muon), a
warm-up and a cosine. It can be killed at any time: the next call resumes from its last checkpoint and ends in
the same weights to the last bit, for a given number of threads. Batches are a function of (seed, phase,
step), so no stream has to be rewound. Fine-tuning is not done here (glow.training.sft).
"""

import json
import math
import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer
from transformers import Qwen2ForCausalLM, Qwen2Tokenizer

from glow.config import Phase, Pretrain, Prompt
from glow.errors import UserError
from glow.files.atomic import atomic_folder, atomic_path
from glow.files.hashing import digest
from glow.files.jsonl import Record, write_jsonl
from glow.files.manifest import Manifest
from glow.files.progress import progress_bar
from glow.files.resume_points import checkpoints_beside
from glow.files.same_run import Identity, difference, run_identity
from glow.miniature.corpus import Corpus
from glow.miniature.tokenizer import build_tokenizer
from glow.models.build import random_qwen2
from glow.models.load import require_model
from glow.models.prompts import prompt_messages
from glow.models.scoring import IGNORED

ROW_LENGTH = 192
"""Tokens in a packed row: one to several documents."""
CONTEXT = 1024
WARMUP_SHARE = 0.05
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.01
BESIDE_MUON = 3e-3
"""AdamW's peak learning rate for what Muon does not train: embeddings and norms."""
GRADIENT_NORM = 1.0
CHECKPOINTS = 10
LOG_EVERY = 25


def pretrain(output: Path, settings: Pretrain, model: Path | None = None) -> None:
    """Train a model and save it at `output` as an ordinary Hugging Face checkpoint.

    Beside the weights (safetensors) and the tokenizer stand `log.jsonl` (loss in nats per response
    token, learning rate) and `manifest.json`. While it runs, `<output>.checkpoints` holds the
    last resume point; one of another run (`glow.files.same_run`) is not resumed but replaced.

    Args:
        model: directory of a model made here, to go on from; None for random weights.

    Raises:
        UserError: `model` is none, or has another shape than the settings.
    """
    manifest = Manifest("pretrain")
    run = _Run(settings, model, checkpoints_beside(output))
    resumed_at = run.resume()
    run.train()
    parameters = sum(parameter.numel() for parameter in run.model.parameters())
    with atomic_folder(output) as finished:
        run.save(finished)
        manifest.write(
            finished,
            settings.model_dump(mode="json"),
            run.inputs,
            {
                "parameters": parameters,
                "vocabulary": len(run.tokenizer),
                "documents": run.documents,
                "tokens": run.tokens,
                "resumed_at": resumed_at,
                "threads": torch.get_num_threads(),
            },
        )
    shutil.rmtree(run.checkpoints, ignore_errors=True)  # None was written by a short run.
    print(f"{output}: {settings.role} of {parameters:,} parameters, loss {run.log[-1]['loss']:.3f}")


class _Run:
    """A training run: model, optimisers and position, and how to save and restore them."""

    def __init__(self, settings: Pretrain, model: Path | None, checkpoints: Path) -> None:
        self.settings = settings
        self.checkpoints = checkpoints
        self.inputs = [] if model is None else [model]
        self.tokenizer = build_tokenizer()
        self.model = new_model(settings, self.tokenizer) if model is None else _same_shape(model, settings)
        self.step = self.documents = self.tokens = 0
        self.log: list[Record] = []
        self._enter(0)

    def _enter(self, phase: int) -> None:
        """Begin a phase: its documents, and optimisers that know nothing of the phase before."""
        self.phase = phase
        name, self._settings = list(self.settings.phases.items())[phase]
        self._first = sum(before.steps for before in list(self.settings.phases.values())[:phase])
        self._corpus = Corpus(self.settings, name, self._settings)
        self._optimizers = optimizers(self.model, self._settings)

    def train(self) -> None:
        """Take the steps that are still to be taken, with a checkpoint every tenth of the whole."""
        total = self.settings.steps
        every = math.ceil(total / CHECKPOINTS)
        self.model.train()
        with progress_bar(self.settings.role, "step", total=total, initial=self.step) as bar:
            while self.step < total:
                if self.step == self._first + self._settings.steps:
                    self._enter(self.phase + 1)
                loss = self._take_step()
                bar.update()
                if self.step % LOG_EVERY == 0 or self.step == total:
                    rate = self._settings.learning_rate * self._factor(self.step - 1)
                    self.log.append({"step": self.step, "loss": loss.item(), "learning_rate": rate})
                    bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                if self.step % every == 0 and self.step < total:
                    self._checkpoint()

    def _factor(self, step: int) -> float:
        return learning_rate_factor(step - self._first, self._settings.steps)

    def _take_step(self) -> torch.Tensor:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * self._factor(self.step)
        batch = packed_batch(self._corpus, self.tokenizer, self.step - self._first, self.settings.batch_size)
        loss = response_loss(self.model, batch)
        self.model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        for optimizer in self._optimizers:
            optimizer.step()
        self.step += 1
        self.documents += batch["documents"]
        self.tokens += batch["tokens"]
        return loss.detach()

    @property
    def identity(self) -> Identity:
        """What a checkpoint must share with this run to be resumed: settings, corpus, tokenizer and start."""
        corpora = [Corpus(self.settings, name, phase) for name, phase in self.settings.phases.items()]
        made = {
            "corpus": digest([list(islice(corpus.documents(0), 64)) for corpus in corpora]),
            "tokenizer": digest(self.tokenizer.backend_tokenizer.to_str()),
        }
        return run_identity(self.settings.model_dump(mode="json") | made, self.inputs)

    def _checkpoint(self) -> None:
        state = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "position": [self.phase, self.step, self.documents, self.tokens],
            "log": json.dumps(self.log),
        }
        with atomic_path(self.checkpoints / "latest.pt") as partial:
            torch.save(state, partial)

    def save(self, directory: Path) -> None:
        """Write the model, its tokenizer and the log of its losses."""
        self.model.eval()
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)
        write_jsonl(directory / "log.jsonl", self.log)

    def resume(self) -> int:
        """Restore the last checkpoint, if this run left one; return its step, else 0."""
        file = self.checkpoints / "latest.pt"
        if not file.is_file():
            return 0
        try:
            state = torch.load(file, weights_only=True)
        except Exception as error:  # of a damaged one, or one with code in it, any
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UserError(f"{file}: not a checkpoint of ours ({reason}); delete it to train anew") from None
        differs = difference(state.get("identity"), self.identity)
        if differs:
            print(f"{file}: of another run ({differs}); starting afresh", file=sys.stderr)
            return 0
        phase, self.step, self.documents, self.tokens = state["position"]
        self.model.load_state_dict(state["model"])
        self._enter(phase)
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.log = json.loads(state["log"])
        return self.step


def new_model(settings: Pretrain, tokenizer: Qwen2Tokenizer) -> Qwen2ForCausalLM:
    """A Qwen2 model with random weights that depend on the settings alone."""
    seed = int(digest([settings.role, settings.seed])[:8], 16)
    return random_qwen2(tokenizer, settings, CONTEXT, seed)


def _same_shape(directory: Path, settings: Pretrain) -> Qwen2ForCausalLM:
    """The model of a directory, which must be one of these settings' shape and tokenizer."""
    require_model(directory)
    model = Qwen2ForCausalLM.from_pretrained(directory, dtype=torch.float32)
    wanted = (len(build_tokenizer()), *settings.shape)
    own = model.config
    found = (own.vocab_size, own.hidden_size, own.num_hidden_layers, own.num_attention_heads)
    if found != wanted:
        raise UserError(
            f"{directory}: vocabulary, width, blocks and heads are {found}, but the settings have {wanted}; "
            "a model goes on from one of its own shape"
        )
    return model


def optimizers(model: Qwen2ForCausalLM, phase: Phase) -> list[Optimizer]:
    """The optimisers of a phase; their peak learning rates are each group's `initial_lr`."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        of_layers = parameter.ndim == 2 and "embed" not in name
        (matrices if phase.optimizer == "muon" and of_layers else others).append(parameter)
    rate = BESIDE_MUON if phase.optimizer == "muon" else phase.learning_rate
    made: list[Optimizer] = [AdamW(others, lr=rate, betas=BETAS, weight_decay=WEIGHT_DECAY)]
    if matrices:
        made.append(Muon(matrices, lr=phase.learning_rate, weight_decay=WEIGHT_DECAY))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return made


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the peak learning rate at `step` (from 0): linear warm-up, then a cosine to 0."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def packed_batch(corpus: Corpus, tokenizer: Qwen2Tokenizer, step: int, rows: int) -> dict[str, Any]:
    """The batch of one step: whole documents packed into `rows` rows of ROW_LENGTH tokens.

    Returns:
        `input_ids`, `position_ids` (restarting with each document, by which attention is kept within
        it) and `labels` (the next token where it belongs to a response, else IGNORED), each of shape
        (rows, ROW_LENGTH); and the numbers of `documents` and of `tokens` that they hold.
    """
    ids = torch.full((rows, ROW_LENGTH), tokenizer.pad_token_id)
    labels = torch.full((rows, ROW_LENGTH), IGNORED)
    positions = torch.arange(ROW_LENGTH).repeat(rows, 1)
    filled = [0] * rows
    documents = 0
    for question, response in corpus.documents(step):
        prompt, answer = encode(tokenizer, question, response)
        length = len(prompt) + len(answer)
        row = next((row for row in range(rows) if filled[row] + length <= ROW_LENGTH), None)
        if row is None:  # the first document that fits nowhere ends the batch
            break
        start, end = filled[row], filled[row] + length
        ids[row, start:end] = torch.tensor(prompt + answer)
        labels[row, start + len(prompt) - 1 : end - 1] = torch.tensor(answer)
        positions[row, start:] = torch.arange(ROW_LENGTH - start)
        filled[row] = end
        documents += 1
    for row, end in enumerate(filled):
        positions[row, end:] = torch.arange(ROW_LENGTH - end)
    return {
        "input_ids": ids,
        "position_ids": positions,
        "labels": labels,
        "documents": documents,
        "tokens": sum(filled),
    }


def encode(tokenizer: Qwen2Tokenizer, question: str, response: str) -> tuple[list[int], list[int]]:
    """Token ids of the prompt, up to the model's turn, and of the response with its end token."""
    conversation = prompt_messages(question, Prompt())
    prompt = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    return tokenizer.encode(prompt), [*tokenizer.encode(response), tokenizer.eos_token_id]


def response_loss(model: Qwen2ForCausalLM, batch: dict[str, Any]) -> torch.Tensor:
    """Mean cross entropy over the response tokens of a packed batch, in nats."""
    hidden = model.model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
    ).last_hidden_state
    learnt = batch["labels"] != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[learnt]), batch["labels"][learnt])
