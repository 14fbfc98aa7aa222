"""The miniature's tokenizer: its words and digits as single tokens, bytes for everything else.

It is a Qwen2 tokenizer (byte-level BPE over Qwen's pieces: digits stand alone) whose merges are made
from the problem families' own words, so each of them is one token and any other text falls back to
its UTF-8 bytes. It has to be a `Qwen2Tokenizer`: transformers 5 rebuilds whatever tokenizer stands
beside a Qwen2 model as one, from nothing but its vocabulary and merges. Like Qwen's, it puts text into
Unicode's NFC; in that form every text survives a round trip.
"""

import json
import random
from functools import cache

from tokenizers import Tokenizer, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

from glow.miniature.corpus import STYLES, draw_document
from glow.miniature.families import FAMILIES
from glow.models.chat_template import CHAT_TEMPLATE, PADDING, ROLES, SPECIAL_TOKENS, TURN_END, TURN_START

_UNBOUNDED = 1_000_000
_DRAWS_PER_STYLE = 120


def build_tokenizer() -> Qwen2Tokenizer:
    """The tokenizer that every model pretrained here shares; the same bytes each time it is saved."""
    vocabulary, merges = _learned()
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=None,
        eos_token=TURN_END,
        pad_token=PADDING,
        additional_special_tokens=[TURN_START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


@cache
def _learned() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges: BPE carried on until every piece of the families' texts is one token."""
    backend: Tokenizer = Qwen2Tokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=_UNBOUNDED,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL_TOKENS),
    )
    backend.train_from_iterator(_texts(), trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def _texts() -> list[str]:
    """Draws of every family in every style, all its possible answers, and the roles of a conversation."""
    rng = random.Random("vocabulary")
    texts = [f"{role}\n" for role in ROLES]
    for family in FAMILIES.values():
        for style in STYLES:
            for _ in range(_DRAWS_PER_STYLE):
                texts += draw_document(family, style, rng)
        for option in family.options or ():
            texts += [option, f" {option}", f"\\boxed{{{option}}}"]
    return texts
