"""What runs a model: one interface for sampling responses, with a transformers and a vLLM engine."""

from collections.abc import Callable
from pathlib import Path

from glow.config import Decoding
from glow.models.sampling import Engine
from glow.models.transformers_engine import TransformersEngine
from glow.models.vllm_engine import VllmEngine


def load_engine(model: Path, decoding: Decoding) -> Engine:
    """Start the engine that `decoding.engine` names on the model in directory `model`.

    Raises:
        UserError: `model` has no causal language model with a chat template, or vLLM is not installed.
    """
    engines: dict[str, Callable[[Path, Decoding], Engine]] = {
        "transformers": TransformersEngine,
        "vllm": VllmEngine,
    }
    return engines[decoding.engine](model, decoding)
