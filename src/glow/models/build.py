"""Stage: make an untrained model, with a tokenizer that is trained on the user's text.

It is an ordinary Hugging Face checkpoint directory (safetensors, tokenizer, chat template), as one from the
hub is (`glow.models.fetch`), so later stages treat them alike. The miniature's models are pretrained in
`glow.miniature.pretrain`; fine-tuning is in `glow.training.sft` and `glow.training.grpo`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from tokenizers import pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer
from transformers.utils import logging as transformers_logging

from glow.config import Pretrain, Scratch
from glow.errors import UserError
from glow.files.atomic import atomic_folder
from glow.files.manifest import Manifest
from glow.files.records import Trajectory, read_records
from glow.models.chat_template import CHAT_TEMPLATE, PADDING, ROLES, SPECIAL_TOKENS, TURN_END, TURN_START


def scratch(text: Path, output: Path, settings: Scratch) -> None:
    """Make a small Qwen2 model with random weights and a tokenizer trained on the text of `text`.

    Args:
        text: JSON Lines of trajectories; their questions and responses train the tokenizer.
        output: directory of the model. Equal text and settings give equal bytes.

    Raises:
        UserError: a row without question or response, or no rows.
    """
    manifest = Manifest("scratch")
    transformers_logging.disable_progress_bar()  # that of saving the weights
    tokenizer = train_tokenizer(_texts(text), settings.vocabulary)
    model = random_qwen2(tokenizer, settings, settings.max_length, settings.seed)
    with atomic_folder(output) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    manifest.write(
        output,
        settings.model_dump(mode="json"),
        [text],
        {"parameters": parameters, "vocabulary": len(tokenizer)},
    )
    print(f"{output}: untrained model of {parameters:,} parameters, vocabulary {len(tokenizer):,}")


def train_tokenizer(texts: Iterator[str], vocabulary: int) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer of at most `vocabulary` tokens that splits text as Qwen's does."""
    return qwen2_tokenizer(*learn_merges(texts, vocabulary))


def learn_merges(texts: Iterable[str], vocabulary: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """BPE over Qwen's pieces of the texts: every token's id, at most `vocabulary` of them, and the merges."""
    backend = Qwen2Tokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]


def qwen2_tokenizer(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], **settings: bool
) -> Qwen2Tokenizer:
    """A tokenizer with the chat template of the models made here.

    It has to be a `Qwen2Tokenizer`: transformers 5 turns any tokenizer saved with a Qwen2
    model into one, using only its vocabulary and merges.

    Args:
        vocabulary, merges: as `learn_merges` returns them.
        settings: further tokenizer settings, which are saved with it.
    """
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # annotated as texts, but passed to BPE, which takes pairs
        unk_token=None,  # type: ignore[arg-type]  # annotated as a text, though None means no such token
        eos_token=TURN_END,
        pad_token=PADDING,
        additional_special_tokens=[TURN_START],
        chat_template=CHAT_TEMPLATE,
        **settings,
    )


def random_qwen2(
    tokenizer: Qwen2Tokenizer, shape: Scratch | Pretrain, context: int, seed: int
) -> Qwen2ForCausalLM:
    """A float32 Qwen2 model with tied embeddings and random weights.

    Args:
        shape: settings that give hidden_size, layers and heads.
        context: longest sequence in tokens.
        seed: of the weights; with the shape and the vocabulary it determines them.
    """
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=3 * shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen2ForCausalLM(config)


def _texts(path: Path) -> Iterator[str]:
    """Roles of the chat template, then every question (once while it repeats) and response."""
    yield from (f"{role}\n" for role in ROLES)
    last = None
    for _, row in read_records(path, Trajectory, ("question", "response")):
        if row["question"] != last:
            yield (last := row["question"])
        yield row["response"]
    if last is None:
        raise UserError(f"{path}: no trajectories to train a tokenizer on")
