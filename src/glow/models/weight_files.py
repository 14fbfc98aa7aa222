"""How many numbers the weights of a model on disk have, by the headers of its files: no weights are read.

No deep-learning library is loaded, as `glow plan` counts with this too.
"""

import math
from pathlib import Path

from safetensors import SafetensorError, safe_open

from glow.errors import UserError


def weight_files(folder: Path) -> list[Path]:
    """The files of weights of a model, in safetensors; none where it has none."""
    return sorted(folder.glob("*.safetensors"))


def numbers_in(files: list[Path]) -> int:
    """How many numbers files of weights have; weights that are tied are in them once.

    Raises:
        UserError: a file cannot be read, or is not whole.
    """
    return sum(map(_in_file, files))


def _in_file(file: Path) -> int:
    try:
        with safe_open(file, framework="numpy") as weights:
            return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file}: cannot be read ({error}); make or fetch the model again") from None
