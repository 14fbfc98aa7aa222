"""The miniature's tokenizer: its words and digits as single tokens, bytes for everything else.

It is a Qwen2 tokenizer (byte-level BPE over Qwen's pieces: digits stand alone) whose merges are made
from the problem families' own words, so each of them is one token and any other text falls back to
its UTF-8 bytes. Like Qwen's, it puts text into Unicode's NFC; in that form every text survives a round
trip.
"""

import random
from functools import cache

from transformers import Qwen2Tokenizer

from glow.miniature.corpus import STYLES, draw_document
from glow.miniature.families import FAMILIES
from glow.models.build import learn_merges, qwen2_tokenizer
from glow.models.chat_template import ROLES

_UNBOUNDED = 1_000_000
_DRAWS_PER_STYLE = 120


def build_tokenizer() -> Qwen2Tokenizer:
    """The tokenizer that every model pretrained here shares; the same bytes each time it is saved."""
    return qwen2_tokenizer(*_vocabulary(), clean_up_tokenization_spaces=False)


@cache
def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges: BPE carried on until every piece of the families' texts is one token."""
    return learn_merges(_texts(), _UNBOUNDED)


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
