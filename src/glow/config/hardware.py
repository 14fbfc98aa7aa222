"""What stages run on: settings that change no number beyond rounding, and so stand in no configuration.

The rules take them from their resources (`--set-resources`, or a profile), the command line as options. None
is a fraction: Snakemake rounds a resource up to a whole number, without a word.
"""

from pydantic import Field

from glow.config.section import Section


class EngineHardware(Section):
    """What vLLM runs on; the transformers engine takes one device, and leaves the rest unused."""

    tensor_parallel: int = Field(1, description="GPUs that one copy of the model is spread over (vLLM)", gt=0)
    gpu_memory_percent: int | None = Field(
        None,
        description="how much of a GPU's memory vLLM takes for weights and cache (default: vLLM's own, 92)",
        gt=0,
        le=100,
    )
    max_model_len: int | None = Field(
        None,
        description="longest prompt and response together, in tokens, that vLLM keeps memory for; a prompt "
        "that needs more is refused (default: 8192 for the prompt, and the longest response)",
        gt=0,
    )
    enforce_eager: bool = Field(False, description="vLLM without CUDA graphs: less memory, and slower")
