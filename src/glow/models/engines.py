"""What runs a model: one interface for sampling responses, with a transformers and a vLLM engine."""

from pathlib import Path

from glow.config import Decoding, EngineHardware, Prompt
from glow.errors import UserError
from glow.models.sampling import Engine
from glow.models.transformers_engine import TransformersEngine
from glow.models.vllm_engine import VllmEngine

_ONE_DEVICE = EngineHardware()


def load_engine(
    model: Path,
    decoding: Decoding,
    prompt: Prompt,
    hardware: EngineHardware = _ONE_DEVICE,
    *,
    trust_remote_code: bool = False,
) -> Engine:
    """Start the engine that `decoding.engine` names on the model, or the adapter, in directory `model`.

    Args:
        prompt: names the chat template, and the marks of a thought.
        hardware: what it runs on.
        trust_remote_code: whether code in the directory may run.

    Raises:
        UserError: `model` has no causal language model with a chat template, it needs code that may not run,
            vLLM is not installed, or the hardware is not there.
    """
    if decoding.engine == "vllm":
        return VllmEngine(model, decoding, prompt, hardware, trust_remote_code)
    if hardware.tensor_parallel > 1:
        raise UserError(
            f"engine transformers runs on one device, and {hardware.tensor_parallel} are given to it; give "
            "one (--tensor-parallel, or the rule's resources tensor_parallel and gpu), or choose engine vllm"
        )
    return TransformersEngine(model, decoding, prompt, trust_remote_code)
