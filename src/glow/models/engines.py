"""What runs a model: one interface for sampling responses, with a transformers and a vLLM engine."""

from collections.abc import Callable
from pathlib import Path

from glow.config import Decoding, Prompt
from glow.models.sampling import Engine
from glow.models.transformers_engine import TransformersEngine
from glow.models.vllm_engine import VllmEngine


def load_engine(
    model: Path, decoding: Decoding, prompt: Prompt, *, trust_remote_code: bool = False
) -> Engine:
    """Start the engine that `decoding.engine` names on the model in directory `model`.

    Args:
        prompt: names the chat template, and the marks of a thought.
        trust_remote_code: whether code in the directory may run.

    Raises:
        UserError: `model` has no causal language model with a chat template, it needs code that may not run,
            or vLLM is not installed.
    """
    engines: dict[str, Callable[[Path, Decoding, Prompt, bool], Engine]] = {
        "transformers": TransformersEngine,
        "vllm": VllmEngine,
    }
    return engines[decoding.engine](model, decoding, prompt, trust_remote_code)
