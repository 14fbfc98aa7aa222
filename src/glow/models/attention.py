"""Implementations of attention, by transformers' names, and what each of them needs.

They differ in speed and memory, and in the last digits. Rows of several samples (packed or padding-free) want
`flash_attention_2` or `flex_attention`: the mask of the others is as large as the row is long, squared.
"""

import importlib.util

import torch

from glow.errors import UserError

ATTENTIONS = ("sdpa", "flash_attention_2", "flex_attention", "eager")


def refuse_missing_attention(attention: str) -> None:
    """Refuse an implementation that cannot run here, before a model is loaded.

    Raises:
        UserError: there is none of that name, or its package or device is missing.
    """
    if attention not in ATTENTIONS:
        raise UserError(f"attention: {attention!r} is none of {', '.join(ATTENTIONS)}")
    if attention == "flash_attention_2":
        # transformers would look for a kernel on the Hugging Face hub, from which none is loaded here.
        if importlib.util.find_spec("flash_attn") is None:
            raise UserError(
                "attention: flash_attention_2 needs the package flash-attn, which is not installed here: "
                "pip install flash-attn --no-build-isolation, or choose sdpa or flex_attention"
            )
        if not torch.cuda.is_available():
            raise UserError("attention: flash_attention_2 needs a CUDA device; choose sdpa")
    if attention == "flex_attention" and not torch.accelerator.is_available():
        raise UserError(
            "attention: flex_attention trains on an accelerator only, and there is none here; choose sdpa"
        )
